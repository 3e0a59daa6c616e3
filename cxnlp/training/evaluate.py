"""Score a model against annotations, as the pipeline would answer.

Comes in: annotated comments (`docs/annotation.md`), an analyzer, and perhaps another to compare
with. Goes out: a dictionary ready for JSON: figures with 95 % bootstrap intervals over comments
(Efron 1979, 1,000 resamples), figures per label, the confusion of the sentiments, reliability,
slices, differences; `docs/evaluation.md` says how to read each. A comment that the pipeline sets
aside is scored as having no labels.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxnlp import schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.errors import UsageError
from cxnlp.training import changes
from cxnlp.training.corpus import Example, read_annotated
from cxnlp.training.judged import (
    Doubles,
    Judged,
    figures,
    interval,
    judged,
    label_figures,
    resamples,
)
from cxnlp.training.reliability import reliability
from cxnlp.training.slices import slices


def evaluate(
    gold: Path, analyzer: Analyzer, *, against: Analyzer | None = None,
    by: Iterable[str] = (), output: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the scores of an analyzer on a gold file; raises `UsageError` if it is not one.

    `against` adds the differences to another model, `by` the scores of slices. `output` gets
    `scores.json`, `mistakes.parquet` and, with `against`, `flips.parquet`, both with the texts.
    """
    examples = read_annotated(gold)
    if not examples:
        raise UsageError(f"{gold}: no annotated comments in it")
    chosen = slices(gold, examples, by)
    result, some = _answered(examples, analyzer)
    weights = resamples(len(examples))
    found: dict[str, Any] = {
        "gold": gold.name, "model": analyzer.model_version, "comments": len(examples),
        "set_aside": int((some.found < 0).sum()), **measure(some, weights),
        "reliability": reliability(examples, result.comments, analyzer),
    }  # fmt: skip
    if chosen:
        found["slices"] = {
            column: {value: _slice(some.take(rows)) for value, rows in parts.items()}
            for column, parts in chosen.items()
        }
    tables = {"mistakes": changes.mistakes(some)}
    if against:
        _, other = _answered(examples, against)
        found["against"] = {"model": against.model_version, **difference(some, other, weights)}
        tables["flips"] = changes.flips(other, some)
        found["against"]["flips"] = changes.counted(tables["flips"])
    if output:
        texts = {e.id: e.text for e in examples}
        _write(output, found, {name: _with_texts(some, texts) for name, some in tables.items()})
    return found


def compare(examples: list[Example], result: Analysis, analyzer: Analyzer) -> dict[str, Any]:
    """Return scores, intervals, per_label and confusion; what cannot be measured is left out."""
    some = judged(examples, result.comments, result.mentions, analyzer.taxonomy)
    return measure(some, resamples(len(examples)))


def measure(some: Judged, weights: Doubles) -> dict[str, Any]:
    """Return the same of answers from anywhere; the first row of `weights` is all ones."""
    known = {n: v for n, v in figures(some, weights).items() if not np.isnan(v[0])}
    per_label: dict[str, dict[str, dict[str, Any]]] = {
        head: {
            name: {
                "f1": round(float(one["f1"][0]), 4), "interval": _rounded(one["f1"][1:]),
                "precision": round(float(one["precision"][0]), 4),
                "precision_interval": _rounded(one["precision"][1:]),
                "recall": round(float(one["recall"][0]), 4),
                "recall_interval": _rounded(one["recall"][1:]),
                "gold": int(one["gold"][0]), "found": int(one["found"][0]),
            }
            for name, one in labels.items()
        }
        for head, labels in label_figures(some, weights).items()
    }  # fmt: skip
    confusion = {
        wanted: {
            given: int(((some.truth == i) & (some.found == j)).sum())
            for j, given in enumerate(schema.SENTIMENTS)
        }
        for i, wanted in enumerate(schema.SENTIMENTS)
    }
    return {
        "scores": {name: float(v[0]) for name, v in known.items()},
        "intervals": {name: interval(v[1:]) for name, v in known.items()},
        "per_label": per_label, "confusion": confusion,
    }  # fmt: skip


def difference(new: Judged, old: Judged, weights: Doubles) -> dict[str, Any]:
    """Return new minus old for each figure and F1, over the same resamples of the comments.

    `beyond_noise` is true where the interval leaves 0 outside.
    """
    ours, theirs = figures(new, weights), figures(old, weights)
    labels, others = label_figures(new, weights), label_figures(old, weights)
    return {
        "scores": {n: float(v[0]) for n, v in theirs.items() if not np.isnan(v[0])},
        "differences": {
            name: _differ(ours[name] - theirs[name])
            for name in ours if not np.isnan(ours[name][0] - theirs[name][0])
        },
        "per_label": {
            head: {n: _differ(one["f1"] - others[head][n]["f1"]) for n, one in some.items()}
            for head, some in labels.items()
        },
    }  # fmt: skip


def _answered(examples: list[Example], analyzer: Analyzer) -> tuple[Analysis, Judged]:
    result = analyzer.analyze([e.text for e in examples])
    return result, judged(examples, result.comments, result.mentions, analyzer.taxonomy)


def _slice(some: Judged) -> dict[str, Any]:
    known = figures(some, resamples(len(some.ids)))
    known = {name: v for name, v in known.items() if not np.isnan(v[0])}
    return {
        "comments": len(some.ids),
        "scores": {name: float(v[0]) for name, v in known.items()},
        "intervals": {name: interval(v[1:]) for name, v in known.items()},
    }


def _differ(values: Doubles) -> dict[str, Any]:
    low, high = interval(values[1:])
    return {
        "difference": round(float(values[0]), 4), "interval": [round(low, 4), round(high, 4)],
        "beyond_noise": low > 0 or high < 0,
    }  # fmt: skip


def _rounded(values: Doubles) -> list[float]:
    return [round(v, 4) for v in interval(values)]


def _with_texts(changed: pa.Table, texts: dict[str, str]) -> pa.Table:
    """Return the table with the text of each comment, to be read."""
    column = [texts[i] for i in changed["comment_id"].to_pylist()]
    return changed.append_column("text", pa.array(column, pa.string()))


def _write(output: Path, found: dict[str, Any], tables: dict[str, pa.Table]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (output / "scores.json").write_text(text, encoding="utf-8")
    for name, table in tables.items():
        pq.write_table(table, output / f"{name}.parquet")
