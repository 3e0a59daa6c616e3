"""Every broken invariant is found, and a sound warehouse has none."""

from pathlib import Path
from typing import Any

import pytest
from warehouse_rows import LEVERS, STAGES, comment, mention, night, rows

from cxnlp import schema
from cxnlp.invariants import check
from cxnlp.parts import Part, split
from cxnlp.warehouse import Warehouse


def problems(root: Path, parts: list[Part]) -> list[str]:
    warehouse = Warehouse(str(root))
    with warehouse.hold():
        warehouse.publish(parts, run_id="r1", metadata={})
    return check(warehouse, STAGES, LEVERS)


def one(of: dict[str, Any], *mentions: dict[str, Any]) -> list[Part]:
    """Return a comment with its mentions, and the file that brought it."""
    file = {"source": "avis", "file": "avis.csv", "sequence": 1, "rows": 1, "comments": 1}
    return [
        *split(rows(schema.COMMENTS, of), schema.COMMENTS),
        *split(rows(schema.MENTIONS, *mentions), schema.MENTIONS),
        Part(schema.FILES, rows(schema.FILES, file)),
    ]


def test_a_sound_warehouse_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, night()) == []


def test_an_empty_warehouse_has_no_problem(tmp_path: Path) -> None:
    assert check(Warehouse(str(tmp_path)), STAGES, LEVERS) == []


def test_a_comment_set_aside_without_labels_is_sound(tmp_path: Path) -> None:
    known = schema.COMMENTS.names[: schema.COMMENTS.names.index("set_aside")]
    aside = {name: value for name, value in comment("a").items() if name in known}
    assert problems(tmp_path, one({**aside, "set_aside": "doublon"})) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sentiment": "content"}, "sentiment: unknown labels: content"),
        ({"channel": "blog"}, "channel: unknown labels: blog"),
        ({"touchpoints": ["attente", "ovni"]}, "touchpoints: unknown labels: ovni"),
        ({"levers": ["magie"]}, "levers: unknown labels: magie"),
        ({"emotions": ["ennui"]}, "emotions: unknown labels: ennui"),
        ({"emotion": "ennui"}, "emotion: unknown labels: ennui"),
        ({"intents": ["rire"]}, "intents: unknown labels: rire"),
        ({"confidence": 1.01}, "1 rows, as a: confidence is not within 0 … 1"),
        ({"emotion_joie": -0.1}, "1 rows, as a: emotion_joie is not within 0 … 1"),
        ({"emotion_joie": float("nan")}, "1 rows, as a: emotion_joie is not within 0 … 1"),
        ({"satisfaction": 0.5}, "1 rows, as a: satisfaction is not within 1 … 5"),
        ({"promise_gap": 2}, "1 rows, as a: promise_gap is not within -1 … 1"),
        ({"sentiment": None}, "1 rows, as a: sentiment is null, though the comment is analysed"),
    ],
)
def test_a_wrong_comment_is_found(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    found = problems(tmp_path, one(comment("a", **change)))
    assert found == [f"comments of avis 2026-09: {told}"]


def test_labels_of_a_comment_set_aside_are_found(tmp_path: Path) -> None:
    found = problems(tmp_path, one(comment("a", set_aside="vide")))
    assert any("sentiment is there, though the comment is set aside" in line for line in found)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": 0}, "text[start:end] is not the excerpt"),
        ({"start": -21, "end": -1}, "text[start:end] is not the excerpt"),
        ({"excerpt": "Deux heures de queue"}, "text[start:end] is not the excerpt"),
        ({"end": 9999}, "text[start:end] is not the excerpt"),
        ({"stage": None}, "have a touchpoint and no stage"),
        ({"comment_id": "b"}, "have no comment in the part of that name"),
        ({"sentiment_score": -2}, "sentiment_score is not within -1 … 1"),
    ],
)
def test_a_wrong_mention_is_found(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    of = comment("a")
    found = problems(tmp_path, one(of, {**mention(of), "mention_id": "m", **change}))
    assert found == [f"mentions of avis 2026-09: 1 rows, as m: {told}"]


def test_a_mention_is_of_no_mixed_sentiment(tmp_path: Path) -> None:
    of = comment("a")
    found = problems(tmp_path, one(of, mention(of, sentiment="mixte")))
    assert found == ["mentions of avis 2026-09: sentiment: unknown labels: mixte"]


def test_an_id_in_two_months_is_found(tmp_path: Path) -> None:
    parts = [*one(comment("a")), *split(rows(schema.COMMENTS, comment("a", "2026-08-01")),
             schema.COMMENTS)]  # fmt: skip
    assert "comments: 1 ids are there more than once, as a" in problems(tmp_path, parts)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"rows": 5}, "files: 1 rows, as avis.csv: rows are not comments + rejects + forgotten"),
        ({"rows": 5, "rejects": 1}, "rejects: 0 rows of avis.csv (avis), files says 1"),
        ({"rows": 3, "comments": 3}, "comments: 4 rows of avis.csv (avis), files says 3 at most"),
    ],
)
def test_rows_that_went_missing_are_found(tmp_path: Path, file: dict[str, Any], told: str) -> None:
    said = {"source": "avis", "file": "avis.csv", "sequence": 1, "rows": 4, "comments": 4, **file}
    parts = [part for part in night(sources=("avis",)) if part.table is not schema.FILES]
    found = problems(tmp_path, [*parts, Part(schema.FILES, rows(schema.FILES, said))])
    assert found == [told]
