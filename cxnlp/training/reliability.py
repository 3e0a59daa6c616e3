"""Whether a probability of 0.8 is right eight times in ten: expected calibration error.

Comes in: annotated comments and an analyzer. Goes out: per head the calibration error, with bins
of equal width and of equal size (Guo et al. 2017, arXiv:1706.04599; Nixon et al. 2019,
arXiv:1904.01685), its 95 % interval over comments, and the table behind it. Left out: comments
that the pipeline sets aside.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp.analyse import Analyzer
from cxnlp.segment import Segmented
from cxnlp.training.corpus import Example
from cxnlp.training.finetune import segment_targets
from cxnlp.training.judged import resamples
from cxnlp.training.targets import targets

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
BINS = 15
SETS = ("emotions", "touchpoints", "levers", "intents")


def reliability(
    examples: list[Example], comments: pa.Table, analyzer: Analyzer
) -> dict[str, dict[str, Any]]:
    """Return {head: cells, probability, right, ece, ece_adaptive, their intervals, bins}.

    `sentiment` and `polarity` are of the answer that was given. Of the other heads every
    (comment, label) is a cell, and beside it `emotions_given` and so on, of labels above their
    thresholds alone, because the many certain absences flatter.
    """
    kept = np.flatnonzero(comments["set_aside"].is_null().to_numpy(zero_copy_only=False))
    if not len(kept):
        return {}
    texts = comments["text"].take(pa.array(kept)).to_pylist()
    segmented, scores = analyzer.scores(texts)
    some, card = [examples[i] for i in kept], analyzer.card
    wanted = targets(some, card.labels)
    weights = resamples(len(kept))
    rows = np.arange(len(kept))
    p = scores.comment["sentiment"]
    chosen = (p / np.array(card.thresholds["sentiment"], np.float32)).argmax(1)
    cells = {"sentiment": (p[rows, chosen], wanted["sentiment"][rows, chosen], rows)}
    polarity = _polarity(some, texts, segmented, analyzer)
    if len(polarity):
        p = scores.segment["polarity"][polarity[:, 0]]
        chosen = (p / np.array(card.thresholds["polarity"], np.float32)).argmax(1)
        right = (chosen == polarity[:, 1]).astype(np.float32)
        cells["polarity"] = (p[np.arange(len(p)), chosen], right, polarity[:, 2])
    for head in SETS:
        p, y = scores.comment[head], wanted[head]
        above = p >= np.array(card.thresholds[head], np.float32)
        owner = np.broadcast_to(rows[:, None], p.shape)
        cells[head] = (p.ravel(), y.ravel(), owner.ravel())
        if above.any():
            cells[f"{head}_given"] = (p[above], y[above], owner[above])
    return {head: measured(*columns, weights) for head, columns in cells.items()}


def measured(probability: Floats, right: Floats, owner: Ints, weights: Doubles) -> dict[str, Any]:
    """Return the calibration error of cells, each of the comment `owner`.

    >>> sure, right = np.full(10, 0.8, np.float32), np.array([1] * 8 + [0] * 2, np.float32)
    >>> measured(sure, right, np.arange(10), np.ones((2, 10)))["ece"]
    0.0
    """
    width = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    rank = np.argsort(np.argsort(probability, kind="stable"), kind="stable")
    size = rank * BINS // len(rank)
    ece, ece_interval = _ece(probability, right, owner, width, weights)
    adaptive, adaptive_interval = _ece(probability, right, owner, size, weights)
    return {
        "cells": len(probability), "probability": round(float(probability.mean()), 4),
        "right": round(float(right.mean()), 4), "ece": ece, "ece_interval": ece_interval,
        "ece_adaptive": adaptive, "ece_adaptive_interval": adaptive_interval,
        "bins": [
            {"from": round(b / BINS, 4), "to": round((b + 1) / BINS, 4), "cells": int(here.sum()),
             "probability": round(float(probability[here].mean()), 4),
             "right": round(float(right[here].mean()), 4)}
            for b in range(BINS) if (here := width == b).any()
        ],
    }  # fmt: skip


def _ece(
    probability: Floats, right: Floats, owner: Ints, place: Ints, weights: Doubles
) -> tuple[float, list[float]]:
    """Mean gap of the bins and its interval.

    Chance alone opens gaps, and resampling opens them again; the interval is moved back by as
    much as the resamples exceed the estimate on average.
    """
    gaps, counts = np.zeros((weights.shape[1], BINS)), np.zeros(weights.shape[1])
    np.add.at(gaps, (owner, place), probability.astype(float) - right)
    np.add.at(counts, owner, 1)
    drawn = np.abs(weights @ gaps).sum(1) / np.maximum(weights @ counts, 1)
    excess = drawn[1:].mean() - drawn[0]
    moved = np.maximum(np.percentile(drawn[1:] - excess, (2.5, 97.5)), 0)
    return round(float(drawn[0]), 4), [round(float(v), 4) for v in moved]


def _polarity(
    examples: list[Example], texts: list[str], segmented: Segmented, analyzer: Analyzer
) -> Ints:
    """[clauses, 3]: clause, polarity annotated for it, comment; of texts that cleaning kept."""
    spans = segmented.segments
    bounds = np.searchsorted(spans.text, np.arange(len(examples) + 1))
    found = []
    for row, (example, text) in enumerate(zip(examples, texts, strict=True)):
        first, last = int(bounds[row]), int(bounds[row + 1])
        if text == example.text:
            places = zip(spans.start[first:last], spans.end[first:last], strict=True)
            own = [(int(a), int(b)) for a, b in places]
            _, sides = segment_targets(example, own, analyzer.card.labels)
            found += [(first + i, side, row) for i, side in enumerate(sides) if side >= 0]
    return np.array(found, np.int64).reshape(-1, 3)
