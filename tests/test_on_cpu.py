"""The paths of a CPU answer as the plain one does: one text at a time, padded, float32."""

import runpy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, TAXONOMY
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cxnlp.analyse import Analyzer
from cxnlp.config import Inference
from cxnlp.errors import ModelError
from cxnlp.fuse import fuse
from cxnlp.model.engine import Engine, Scores
from cxnlp.model.on_cpu import _batches
from cxnlp.taxonomy import load_taxonomy

MODEL = ROOT / "models" / "cxnlp-fr-mini"
LABELS = ("sentiment", "emotion", "emotions", "touchpoints", "levers", "intents", "promise_gap")
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.02}  # of a probability
SAME = {"float32": 1.0, "bfloat16": 0.998}  # share of texts with the same answer, each column
Scored = tuple[dict[str, list[Any]], Scores]


def _texts(count: int) -> list[str]:
    texts = runpy.run_path(str(ROOT / "benchmarks" / "texts.py"))["texts"]
    return list(texts(count, seed=17))


def _scored(engine: Engine, texts: list[str], size: int) -> Scored:
    """Return labels and probabilities of texts read `size` at a time."""
    analyzer = Analyzer(engine, load_taxonomy(TAXONOMY))
    labels = analyzer._segmenter.labels
    tables, scores = [], []
    for start in range(0, len(texts), size):
        some = texts[start : start + size]
        segmented, found = analyzer.scores(some)
        comments, _ = fuse(some, segmented, labels, found, engine.card, analyzer.taxonomy)
        tables.append(comments.select(LABELS).to_pydict())
        scores.append(found)
    return (
        {name: [x for table in tables for x in table[name]] for name in LABELS},
        Scores(*(
            {head: np.concatenate([getattr(s, part)[head] for s in scores])
             for head in getattr(scores[0], part)}
            for part in ("comment", "segment")
        )),
    )  # fmt: skip


def _largest_difference(one: Scores, other: Scores) -> float:
    return max(
        float(np.abs(getattr(one, part)[head] - values).max(initial=0))
        for part in ("comment", "segment")
        for head, values in getattr(other, part).items()
    )


def _shares(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> dict[str, float]:
    """Return the share of texts with the same answer, by column."""
    return {
        name: float(np.mean([a == b for a, b in zip(one[name], other[name], strict=True)]))
        for name in LABELS
    }


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The padded path's second thread only waits, and on a busy machine for long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return _texts(200)


@pytest.fixture(scope="module")
def plain(texts: list[str]) -> Scored:
    return _scored(Engine.load(MODEL, "cpu", "float32", way="padded"), texts, 1)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def path(request: pytest.FixtureRequest, texts: list[str]) -> tuple[str, Scored]:
    engine = Engine.load(MODEL, "cpu", request.param)
    return request.param, _scored(engine, texts, len(texts))


def test_probabilities_of_real_weights_are_those_of_the_plain_path(
    path: tuple[str, Scored], plain: Scored
) -> None:
    name, (_, scores) = path
    assert _largest_difference(scores, plain[1]) < TOLERANCE[name]


def test_labels_of_200_comments_are_those_of_the_plain_path(
    path: tuple[str, Scored], plain: Scored
) -> None:
    name, (labels, _) = path
    shares = _shares(labels, plain[0])
    assert min(shares.values()) >= SAME[name] - 1 / 200, shares


@pytest.mark.slow
def test_labels_of_5000_comments_are_those_of_the_plain_path() -> None:
    texts = _texts(5_000)
    plain = _scored(Engine.load(MODEL, "cpu", "float32", way="padded"), texts, 1)
    for name, least in SAME.items():
        labels, scores = _scored(Engine.load(MODEL, "cpu", name), texts, 1_024)
        shares = _shares(labels, plain[0])
        assert min(shares.values()) >= least, (name, shares)
        assert _largest_difference(scores, plain[1]) < TOLERANCE[name]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_neighbours_change_nothing(precision: str, texts: list[str]) -> None:
    engine, some = Engine.load(MODEL, "cpu", precision), texts[:32]
    together, alone = (_scored(engine, some, size)[1] for size in (32, 1))
    assert _largest_difference(together, alone) < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_texts_of_every_kind_are_read_without_padding(tiny_model: Path, precision: str) -> None:
    """Empty, one mark, longer than a window: in turn and together."""
    texts = ["Parfait.", "", "a" * 500, "🎉", "Le personnel est souriant. " * 60, "RAS", ""]
    plain = _scored(Engine.load(tiny_model, "cpu", "float32", way="padded"), texts, 1)
    found = _scored(Engine.load(tiny_model, "cpu", precision), texts, len(texts))
    assert _largest_difference(found[1], plain[1]) < TOLERANCE[precision]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_batches_side_by_side_answer_as_one_after_the_other(tiny_model: Path) -> None:
    texts = ["Parfait.", "Le personnel est souriant. " * 60, "RAS"]
    engine = Engine.load(tiny_model, "cpu", "float32")
    plain = _scored(Engine.load(tiny_model, "cpu", "float32", way="padded"), texts, 1)
    assert _largest_difference(_scored(engine, texts, 3)[1], plain[1]) < 1e-5


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_stays_as_it_was(tiny_model: Path) -> None:
    _scored(Engine.load(tiny_model, "cpu"), ["Parfait."], 1)
    with ThreadPoolExecutor(1) as another:
        assert [torch.get_num_threads(), another.submit(torch.get_num_threads).result()] == [2, 2]


@given(st.lists(st.integers(0, 254), max_size=60), st.integers(16, 400))
def test_each_window_is_in_one_batch_and_none_is_over_budget(
    lengths: list[int], budget: int
) -> None:
    sizes = np.array(lengths, np.int64)
    batches = list(_batches(sizes, budget))
    assert sorted(row for rows in batches for row in rows.tolist()) == list(range(len(lengths)))
    assert all(len(rows) == 1 or (sizes[rows] + 2).sum() <= budget for rows in batches)
    assert all(sizes[a].min() >= sizes[b].max() for a, b in pairwise(batches))


def test_int8_is_refused_by_the_engine(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="'int8'; expected auto, float32 or bfloat16"):
        Engine.load(tiny_model, "cpu", "int8")


def test_int8_is_refused_by_the_configuration() -> None:
    with pytest.raises(ValidationError, match="'auto', 'float32' or 'bfloat16'"):
        Inference.model_validate({"precision": "int8"})
