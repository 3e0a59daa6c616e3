"""Comments that a model was trained on → the section `reference` of its card.

Comes in: a model folder, texts. Goes out: the same folder, whose card counts what the model
answers of those texts, so that the table `drift` can tell when comments are no longer like them.
Weights are not touched, so no comment is analysed again. Left out: the comparing (`drift.sql`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxnlp.analyse import Analyzer
from cxnlp.annotate.sets import annotations_file
from cxnlp.errors import UsageError
from cxnlp.metrics.drift import added, counts
from cxnlp.model.card import Card, read_card, write_card
from cxnlp.training.corpus import read_annotated, read_reviews, text_digest

MOST = 5_000  # texts that are read: shares of them are within 1.4 points, 19 times in 20


def texts_of(place: Path) -> list[str]:
    """Return the reviews of a folder of training data, or the texts of annotations."""
    if (place / "reviews.jsonl.gz").is_file():
        return [e.text for e in read_reviews(place)]
    return [e.text for e in read_annotated(annotations_file(place))]


def refer(
    folder: Path, texts: Sequence[str], taxonomy: Path, origin: str, most: int = MOST,
    before: Mapping[str, Any] | None = None,
) -> Card:  # fmt: skip
    """Write what the texts are like into the card: a fixed sample of at most `most` of them.

    `before`, the reference of the model that this one goes on from, is counted with them.
    """
    chosen = sorted(dict.fromkeys(texts), key=text_digest)[:most]
    if not chosen:
        raise UsageError(f"{origin}: no comments to take a reference from")
    result = Analyzer.load(folder, taxonomy).analyze(chosen)
    counted = counts(result.comments)
    reference = {
        "from": f"{origin}: {len(chosen):,} of {len(texts):,} comments, by digest of the text",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "answers_of": read_card(folder).version,
        "counts": counted,
    }
    if before:
        reference["before"] = {k: v for k, v in before.items() if k not in ("counts", "before")}
        reference["counts"] = added(before["counts"], counted)
    return write_card(folder, replace(read_card(folder), reference=reference))
