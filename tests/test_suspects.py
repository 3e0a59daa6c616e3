"""Annotations that are probably wrong are found by what the others teach, and written down."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TAXONOMY

from cxnlp.cli import app
from cxnlp.errors import UsageError
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.corpus import read_annotated
from cxnlp.training.suspects import SUSPECTS, each, one_of, suspects, write

WRITTEN = ROOT / "models" / "annotations" / "written.jsonl"
LEVERS = "levers"


def test_a_label_that_is_told_to_be_another_is_suspected() -> None:
    # Believed in class 0: on average (5 · 0.9 + 0.2) / 6 = 0.78; in class 1: 0.85. The sixth is
    # given 0 and told 1 with 0.8 < 0.85, so it is left; the seventh, told 1 with 0.95, is not.
    given = np.eye(2, dtype=bool)[[0] * 7 + [1] * 6]
    told = np.array([[0.9, 0.1]] * 5 + [[0.2, 0.8], [0.05, 0.95]] + [[0.15, 0.85]] * 6, np.float32)
    instead, score = one_of(given, told)
    assert np.flatnonzero((instead != given).any(1)).tolist() == [6]
    assert instead[6].tolist() == [False, True]
    assert score[5:7].tolist() == pytest.approx([0.2, 0.05], abs=1e-4)


def test_labels_beside_each_other_are_judged_each_by_itself() -> None:
    given = np.array([[True, True]] * 6 + [[False, False]] * 6)
    told = np.where(given, 0.9, 0.1).astype(np.float32)
    told[0, 1], told[7, 0] = 0.02, 0.97  # one too many, one that is missing
    instead, score = each(given, told)
    assert {(int(r), int(c)) for r, c in np.argwhere(instead != given)} == {(0, 1), (7, 0)}
    assert score[[0, 1, 7]].tolist() == pytest.approx([0.02, 1, 0.03], abs=1e-4)


def test_a_label_with_few_examples_is_not_judged() -> None:
    given = np.array([[True]] * 4 + [[False]] * 20)
    instead, _ = each(given, np.full((24, 1), 0.01, np.float32))
    assert (instead == given).all()


@pytest.mark.slow
def test_most_sentiments_that_were_spoilt_are_suspected() -> None:
    """A tenth of the angry comments written for the project are said to be happy."""
    examples = read_annotated(WRITTEN)
    angry = [e.id for e in examples if e.sentiment == "negatif" and "colere" in e.emotions]
    spoilt = set(angry[::10])
    happy = {"sentiment": "positif", "emotions": ("joie",)}
    given = [replace(e, **happy) if e.id in spoilt else e for e in examples]
    told: list[str] = []
    found = suspects(given, load_taxonomy(TAXONOMY), told.append)
    assert (found.schema, told[-1].partition(":")[0]) == (SUSPECTS, "fold 5 of 5")
    rows = [row for row in found.to_pylist() if row["head"] == "sentiment"]
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    suspected = {row["comment_id"] for row in rows if row["suggested"] == ["negatif"]}
    assert len(suspected & spoilt) / len(spoilt) > 0.5


@pytest.mark.slow
def test_the_command_writes_a_table_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = [str(ROOT / "samples" / f"gold_part{n}.jsonl") for n in (1, 2)]
    out = tmp_path / "out" / "suspects.csv"
    app(["annotate", "suspects", *gold, "--output", str(out)], standalone_mode=False)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = capsys.readouterr().out
    assert f"{len(rows)} labellings of 155 annotated comments are worth a look" in said
    assert all(row["given"] != row["suggested"] for row in rows)
    assert rows[0].keys() == set(SUSPECTS.names)


def test_json_keeps_labels_apart(tmp_path: Path) -> None:
    row = {"comment_id": "a", "head": LEVERS, "given": ["offre", "emotions"], "suggested": [],
           "score": 0.1, "text": "Déçu."}  # fmt: skip
    table = SUSPECTS.empty_table().from_pylist([row], schema=SUSPECTS)
    write(table, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [row]


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends with \.csv or \.json"):
        write(SUSPECTS.empty_table(), tmp_path / "a.xlsx")


def test_too_few_comments_are_refused() -> None:
    with pytest.raises(UsageError, match="3 annotated comments are too few"):
        suspects(read_annotated(WRITTEN)[:3], load_taxonomy(TAXONOMY), lambda _: None)
