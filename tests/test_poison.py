"""A comment that nobody should have written costs only itself."""

import resource
import time

import numpy as np
import pyarrow as pa
import pytest
from conftest import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from cxnlp.analyse import LONGEST, Analysis, Analyzer
from cxnlp.told import LABELS

CLAUSE = "Accueil charmant, mais deux heures de queue au guichet. "
POISON = {
    "ten megabytes": CLAUSE * (10_000_000 // len(CLAUSE)),
    "emoji": "😡" * 10_000,
    "NUL": "Très\x00 bien\x00" * 100,
    "half a character": "Parfait \ud83d, merci",
    "no space": "mot" * 100_000,
    "zero width": "\u200b" * 5_000,
    "digits": "1" * 1_000_000,
    "commas": "a," * 500_000,
    "unclosed tags": '<a href="' * 20_000,
    "line breaks": "\n" * 1_000_000,
    "accents on one letter": "e" + "\u0301" * 20_000,
    "numbers like telephones": "+33 " * 50_000,
}
SECONDS = 60  # of the processor; most take less than one
MEGABYTES = 400


@pytest.fixture(scope="module")
def alone(analyzer: Analyzer) -> Analysis:
    return analyzer.analyze(TEXTS)


@pytest.fixture(scope="module", params=POISON, ids=lambda name: str(name).replace(" ", "-"))
def poisoned(request: pytest.FixtureRequest, analyzer: Analyzer) -> tuple[Analysis, float, int]:
    """`TEXTS` with one such text among them; seconds and megabytes that it took."""
    texts = [*TEXTS[:3], POISON[request.param], *TEXTS[3:]]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    result = analyzer.analyze(texts)
    spent = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return result, spent, grown >> 10


def _neighbours(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table[:3], table[4:]])


def _apart(one: pa.Table, other: pa.Table) -> list[str]:
    """Return the columns of labels that differ, floats by more than 1e-5."""
    found = []
    for name in LABELS:
        left, right = one[name], other[name]
        if pa.types.is_floating(left.type):
            numbers = [column.to_numpy().astype(float) for column in (left, right)]
            same = np.allclose(numbers[0], numbers[1], atol=1e-5, equal_nan=True)
        else:
            same = left.equals(right)
        found += [] if same else [name]
    return found


def test_its_neighbours_have_the_labels_they_have_without_it(
    poisoned: tuple[Analysis, float, int], alone: Analysis
) -> None:
    assert _apart(_neighbours(poisoned[0].comments), alone.comments) == []


def test_it_has_its_row(poisoned: tuple[Analysis, float, int]) -> None:
    row = poisoned[0].comments.slice(3, 1).to_pylist()[0]
    assert row["comment_id"] == "00000003"
    assert (row["sentiment"] is None) == (row["set_aside"] is not None)


def test_its_excerpts_lie_in_its_text(poisoned: tuple[Analysis, float, int]) -> None:
    text = poisoned[0].comments["text"][3].as_py()
    for mention in poisoned[0].mentions.to_pylist():
        if mention["comment_id"] == "00000003":
            assert text[mention["start"] : mention["end"]] == mention["excerpt"]


def test_its_time_is_bounded(poisoned: tuple[Analysis, float, int]) -> None:
    assert poisoned[1] < SECONDS


def test_its_memory_is_bounded(poisoned: tuple[Analysis, float, int]) -> None:
    assert poisoned[2] < MEGABYTES


def test_of_a_text_too_long_the_beginning_is_analysed_and_a_person_is_asked(
    analyzer: Analyzer,
) -> None:
    text = CLAUSE * (LONGEST // len(CLAUSE) + 10)
    result = analyzer.analyze([text])
    assert result.comments["text"][0].as_py() == text.strip()
    assert result.comments["needs_review"][0].as_py()
    assert max(result.mentions["end"].to_pylist(), default=0) <= LONGEST


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(len(TEXTS))), st.integers(1, len(TEXTS)))
def test_neither_order_nor_neighbours_change_an_answer(
    analyzer: Analyzer, alone: Analysis, order: list[int], size: int
) -> None:
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    made = [analyzer.analyze([TEXTS[i] for i in batch]).comments for batch in batches]
    assert _apart(pa.concat_tables(made), alone.comments.take(pa.array(order))) == []
