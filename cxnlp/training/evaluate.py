"""Score a model against annotations, as the pipeline would answer.

Comes in: annotated comments (`docs/annotation.md`) and an analyzer. Goes out: a dictionary ready
for JSON: scores with 95 % bootstrap intervals over comments (Efron 1979, 1,000 resamples), scores
per label, and the confusion of the sentiments. A comment that the pipeline sets aside is scored
as having no labels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp import schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.errors import UsageError
from cxnlp.training.corpus import Example, read_annotated
from cxnlp.training.scores import f1, micro_f1

Bools = npt.NDArray[np.bool_]
RESAMPLES = 1000
SETS = ("emotions", "touchpoints", "levers", "intents")


def evaluate(gold: Path, analyzer: Analyzer) -> dict[str, Any]:
    """Return the scores of an analyzer on a gold file; raises `UsageError` if it is not one."""
    examples = read_annotated(gold)
    if not examples:
        raise UsageError(f"{gold}: no annotated comments in it")
    result = analyzer.analyze([e.text for e in examples])
    return {"gold": gold.name, "model": analyzer.model_version, "comments": len(examples),
            **compare(examples, result, analyzer)}  # fmt: skip


def compare(examples: list[Example], result: Analysis, analyzer: Analyzer) -> dict[str, Any]:
    """Return scores, intervals, per_label and confusion; what cannot be measured is left out."""
    comments = result.comments
    truth = np.array([schema.SENTIMENTS.index(str(e.sentiment)) for e in examples])
    found = np.array([
        schema.SENTIMENTS.index(s) if s else -1 for s in comments["sentiment"].to_pylist()
    ])  # fmt: skip
    names = _names(analyzer)
    wanted = {head: _wanted(examples, head, names[head]) for head in SETS}
    given = {
        head: np.array([
            [n in (row or ()) for n in names[head]] for row in comments[head].to_pylist()
        ])
        for head in SETS
    }  # fmt: skip
    sides = _mention_sides(examples, result.mentions)
    rated = np.array([np.nan if e.rating is None else e.rating for e in examples])
    stars = comments["satisfaction"].to_numpy(zero_copy_only=False).astype(float)
    columns = (truth, found, wanted, given, sides, rated, stars)
    scores = _scores(np.arange(len(examples)), *columns)
    random = np.random.default_rng(7)
    drawn = [
        _scores(random.integers(0, len(examples), len(examples)), *columns)
        for _ in range(RESAMPLES)
    ]
    intervals = {
        name: [float(np.percentile([d[name] for d in drawn if name in d], q)) for q in (2.5, 97.5)]
        for name in scores
    }
    per_label = {
        head: {
            n: {"f1": round(float(score), 4), "gold": int(wanted[head][:, i].sum()),
                "found": int(given[head][:, i].sum())}
            for i, (n, score) in enumerate(zip(names[head], f1(given[head], wanted[head]),
                                               strict=True))
        }
        for head in SETS
    }  # fmt: skip
    confusion = {
        schema.SENTIMENTS[i]: {
            schema.SENTIMENTS[j]: int(((truth == i) & (found == j)).sum()) for j in range(4)
        }
        for i in range(4)
    }
    return {"scores": scores, "intervals": intervals, "per_label": per_label,
            "confusion": confusion}  # fmt: skip


def _scores(
    rows: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], found: npt.NDArray[np.int64],
    wanted: dict[str, Bools], given: dict[str, Bools], sides: npt.NDArray[np.int64],
    rated: npt.NDArray[np.float64], stars: npt.NDArray[np.float64],
) -> dict[str, float]:  # fmt: skip
    """Return the scores of these rows; one that nothing among them could change is left out."""
    t, p = truth[rows], found[rows]
    classes = np.arange(4)
    scores = {
        "sentiment_accuracy": float((t == p).mean()),
        "sentiment_macro_f1": float(f1(p[:, None] == classes, t[:, None] == classes).mean()),
    }
    clear = np.isin(t, (0, 2))
    if clear.any():
        scores["polarity_accuracy"] = float((t == p)[clear].mean())
    for head in SETS:
        w, g = wanted[head][rows], given[head][rows]
        scores[f"{head}_micro_f1"] = micro_f1(g, w)
        some = w.any(0)
        scores[f"{head}_macro_f1"] = float(f1(g[:, some], w[:, some]).mean()) if some.any() else 0.0
    right, asked = sides[rows].sum(0)
    if asked:
        scores["mention_polarity_accuracy"] = float(right / asked)
    known = ~np.isnan(rated[rows]) & ~np.isnan(stars[rows])
    r, s = rated[rows][known], stars[rows][known]
    if len(r):
        scores["stars_exact"] = float((np.round(s) == np.round(r)).mean())
        scores["stars_mae"] = float(np.abs(s - r).mean())
    if len({*r}) > 1 and len({*s}) > 1:
        scores["stars_spearman"] = float(np.corrcoef(_ranks(r), _ranks(s))[0, 1])
    return scores


def _mention_sides(examples: list[Example], mentions: pa.Table) -> npt.NDArray[np.int64]:
    """Return [comments, 2]: mentions with the right polarity, mentions with the right touchpoint.

    A gold mention is compared with the mention of its touchpoint that lies nearest.
    """
    found: dict[tuple[int, str], list[tuple[int, str]]] = {}
    for m in mentions.select(["comment_id", "touchpoint", "start", "end", "sentiment"]).to_pylist():
        place = (m["start"] + m["end"]) // 2
        key = (int(m["comment_id"]), m["touchpoint"])
        found.setdefault(key, []).append((place, m["sentiment"]))
    sides = np.zeros((len(examples), 2), np.int64)
    for row, example in enumerate(examples):
        for m in example.mentions:
            near = found.get((row, m.touchpoint))
            if near:
                middle = (m.start + m.end) // 2
                side = min(near, key=lambda one: abs(one[0] - middle))[1]
                sides[row] += (side == m.polarity, 1)
    return sides


def _wanted(examples: list[Example], head: str, names: list[str]) -> Bools:
    choose: dict[str, Callable[[Example], set[str]]] = {
        "emotions": lambda e: set(e.emotions),
        "intents": lambda e: set(e.intents),
        "touchpoints": lambda e: {m.touchpoint for m in e.mentions},
        "levers": lambda e: {lever for m in e.mentions for lever in m.levers},
    }
    return np.array([[n in some for n in names] for some in map(choose[head], examples)])


def _names(analyzer: Analyzer) -> dict[str, list[str]]:
    taxonomy = analyzer.taxonomy
    return {
        "emotions": list(schema.EMOTIONS), "intents": list(schema.INTENTS),
        "touchpoints": [t.id for t in taxonomy.touchpoints],
        "levers": [lever.id for lever in taxonomy.levers],
    }  # fmt: skip


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks with ties at their mean, as Spearman's correlation takes them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts + ends - 1) / 2)[inverse], np.float64)
