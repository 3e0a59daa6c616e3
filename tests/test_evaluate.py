"""Judging a model: figures and their intervals, reliability, slices, two models side by side."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import TAXONOMY, TEXTS
from rich.console import Console

from cxnlp import schema, show_scores
from cxnlp.analyse import Analyzer
from cxnlp.cli import main
from cxnlp.errors import UsageError
from cxnlp.training.changes import counted, flips, mistakes
from cxnlp.training.corpus import read_annotated
from cxnlp.training.evaluate import difference, evaluate, measure
from cxnlp.training.judged import SETS, Judged, figures, label_figures, resamples
from cxnlp.training.reliability import measured
from cxnlp.training.scores import f1, micro_f1
from cxnlp.training.slices import slices

ROWS = 40
NAMES = {"emotions": list(schema.EMOTIONS), "intents": list(schema.INTENTS),
         "touchpoints": ["file", "prix", "lieu"], "levers": ["temps", "offre"]}  # fmt: skip
PLACES = [("queue au guichet", "attente_caisse"), ("qualité du produit", "produit_qualite")]


def _judged(seed: int, same: "Judged | None" = None) -> Judged:
    """Answers at random; with `same`, of another model for the same annotations."""
    random = np.random.default_rng(seed)
    flags = [{h: random.random((ROWS, len(n))) < 0.3 for h, n in NAMES.items()} for _ in range(2)]
    stars = random.integers(1, 6, (2, ROWS)).astype(float)
    stars[0, :5] = np.nan
    return Judged(
        [f"c{i}" for i in range(ROWS)], NAMES,
        same.truth if same else random.integers(0, 4, ROWS), random.integers(-1, 4, ROWS),
        same.wanted if same else flags[0], flags[1], random.integers(0, 2, (ROWS, 3, 3)),
        same.rated if same else stars[0], stars[1],
    )  # fmt: skip


SOME = _judged(1)
OTHER = _judged(2, SOME)
WEIGHTS = resamples(ROWS)


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty annotated comments of two sources."""
    path = tmp_path_factory.mktemp("gold") / "gold.jsonl"
    rows = []
    for i in range(20):
        text = TEXTS[i % len(TEXTS)] + ("" if i % 5 else f" Commande {i}.")
        rows.append({
            "id": f"g{i}", "text": text, "s": schema.SENTIMENTS[i % 4], "e": ["joie"] * (i % 2),
            "i": [], "source": f"s{i % 2}", "rating": 1 + i % 5,
            "m": [{"q": q, "t": t, "l": ["offre"], "p": "negatif"} for q, t in PLACES if q in text],
        })  # fmt: skip
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def found(gold: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    analyzer = Analyzer.load(tiny_model, TAXONOMY)
    output = tmp_path_factory.mktemp("output") / "new"
    scores = evaluate(gold, analyzer, against=analyzer, by=("source", "emoji"), output=output)
    return scores | {"folder": output}


# --- figures ------------------------------------------------------------------------------------


def test_a_resample_draws_as_many_comments_as_there_are() -> None:
    assert (WEIGHTS[0] == 1).all()
    assert (WEIGHTS.sum(1) == ROWS).all()


@pytest.mark.parametrize("row", [0, 1, 7])
def test_weighing_comments_is_repeating_them(row: int) -> None:
    drawn = np.repeat(np.arange(ROWS), WEIGHTS[row].astype(int))
    repeated = figures(SOME.take(drawn), np.ones((1, ROWS)))
    for name, values in figures(SOME, WEIGHTS[row : row + 1]).items():
        assert values[0] == pytest.approx(repeated[name][0], nan_ok=True), name


def test_figures_are_those_of_plain_formulas() -> None:
    plain = {name: values[0] for name, values in figures(SOME, WEIGHTS[:1]).items()}
    classes = np.arange(4)
    each = f1(SOME.found[:, None] == classes, SOME.truth[:, None] == classes)
    known = ~np.isnan(SOME.rated)
    assert plain["sentiment_accuracy"] == (SOME.truth == SOME.found).mean()
    assert plain["sentiment_macro_f1"] == pytest.approx(each.mean())
    for head in SETS:
        assert plain[f"{head}_micro_f1"] == pytest.approx(
            micro_f1(SOME.given[head], SOME.wanted[head])
        )
    assert plain["stars_mae"] == np.abs(SOME.rated - SOME.stars)[known].mean()


def test_a_rank_correlation_is_that_of_ranks_with_ties() -> None:
    """Five comments, worked by hand: ranks 0.5 0.5 2 3.5 3.5 and 0 1 2 3 4."""
    few = SOME.take(np.arange(5))
    few.rated[:], few.stars[:] = [1, 1, 2, 5, 5], [1, 2, 3, 4, 5]
    (found,) = figures(few, np.ones((1, 5)))["stars_spearman"]
    assert found == pytest.approx(9 / np.sqrt(9 * 10))


def test_precision_and_recall_of_a_label() -> None:
    one = label_figures(SOME, WEIGHTS[:1])["levers"]["offre"]
    wanted, given = SOME.wanted["levers"][:, 1], SOME.given["levers"][:, 1]
    assert one["precision"][0] == pytest.approx((wanted & given).sum() / given.sum())
    assert one["recall"][0] == pytest.approx((wanted & given).sum() / wanted.sum())


def test_every_label_has_its_interval() -> None:
    for labels in measure(SOME, WEIGHTS)["per_label"].values():
        for name, one in labels.items():
            low, high = one["interval"]
            assert low <= one["f1"] <= high, name


def test_a_comment_set_aside_is_in_no_column_of_the_confusion() -> None:
    counted_ = sum(sum(row.values()) for row in measure(SOME, WEIGHTS)["confusion"].values())
    assert counted_ == ROWS - (SOME.found < 0).sum()


# --- two models ---------------------------------------------------------------------------------


def test_a_model_does_not_differ_from_itself() -> None:
    found = difference(SOME, SOME, WEIGHTS)
    for one in found["differences"].values():
        assert one == {"difference": 0, "interval": [0, 0], "beyond_noise": False}


def test_a_perfect_model_differs_beyond_noise() -> None:
    perfect = Judged(SOME.ids, NAMES, SOME.truth, SOME.truth, SOME.wanted, SOME.wanted,
                     SOME.sides, SOME.rated, SOME.rated)  # fmt: skip
    found = difference(perfect, SOME, WEIGHTS)
    one = found["differences"]["sentiment_accuracy"]
    assert one["difference"] == pytest.approx(1 - found["scores"]["sentiment_accuracy"], abs=1e-4)
    assert one["beyond_noise"]
    assert found["per_label"]["levers"]["offre"]["beyond_noise"]


def test_pairing_makes_the_interval_narrower() -> None:
    """Two models with the same mistakes but one: what both get wrong says nothing of them."""
    nearly = SOME.take(np.arange(ROWS))
    nearly.found[0] = (SOME.truth[0] + 1) % 4
    low, high = difference(nearly, SOME, WEIGHTS)["differences"]["sentiment_accuracy"]["interval"]
    alone = measure(SOME, WEIGHTS)["intervals"]["sentiment_accuracy"]
    assert high - low < (alone[1] - alone[0]) / 3


def test_flips_are_the_labels_that_changed() -> None:
    rows = flips(SOME, OTHER).to_pylist()
    changed = (SOME.given["levers"] != OTHER.given["levers"]).sum()
    assert sum(row["head"] == "levers" for row in rows) == changed
    assert all(row["old"] != row["new"] for row in rows)


def test_flips_for_better_and_worse_are_counted() -> None:
    better, worse = (
        (SOME.given["intents"] != OTHER.given["intents"])
        & ((OTHER.given["intents"] == SOME.wanted["intents"]) == right)
        for right in (True, False)
    )
    told = counted(flips(SOME, OTHER))["intents"]
    assert told == {"became_right": better.sum(), "became_wrong": worse.sum()}


def test_mistakes_are_the_labels_that_gold_does_not_share() -> None:
    rows = mistakes(SOME).to_pylist()
    assert (
        len([r for r in rows if r["head"] == "emotions"])
        == (SOME.given["emotions"] != SOME.wanted["emotions"]).sum()
    )
    assert all(row["gold"] != row["found"] for row in rows)


# --- reliability --------------------------------------------------------------------------------


def _cells(probability: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    rows = len(probability)
    return measured(probability.astype(np.float32), right.astype(np.float32), np.arange(rows),
                    resamples(rows))  # fmt: skip


def test_a_probability_that_is_always_too_high_errs_by_that_much() -> None:
    found = _cells(np.full(200, 0.9), np.arange(200) % 2 == 0)
    assert found["ece"] == pytest.approx(0.4, abs=1e-3)
    assert found["ece_adaptive"] == pytest.approx(0.4, abs=0.1)


def test_calibrated_probabilities_err_little() -> None:
    random = np.random.default_rng(3)
    p = random.random(3000)
    found = _cells(p, random.random(3000) < p)
    assert found["ece"] < 0.05
    assert found["ece_adaptive"] < 0.05


def test_an_error_of_calibration_lies_in_its_interval() -> None:
    found = _cells(np.random.default_rng(5).random(300), np.arange(300) % 3 == 0)
    for kind in ("ece", "ece_adaptive"):
        low, high = found[f"{kind}_interval"]
        assert low <= found[kind] <= high


def test_the_bins_hold_every_cell() -> None:
    found = _cells(np.linspace(0, 1, 150), np.ones(150))
    assert sum(one["cells"] for one in found["bins"]) == 150
    assert len(found["bins"]) == 15


# --- slices -------------------------------------------------------------------------------------


def test_values_of_few_comments_are_joined(gold: Path) -> None:
    found = slices(gold, read_annotated(gold), ("source", "rating", "emoji", "accents"))
    assert {v: len(rows) for v, rows in found["source"].items()} == {"s0": 10, "s1": 10}
    assert {v: len(rows) for v, rows in found["rating"].items()} == {"(rare)": 20}
    assert sum(map(len, found["accents"].values())) == 20


def test_a_column_that_is_not_there_is_named(gold: Path, analyzer: Analyzer) -> None:
    with pytest.raises(UsageError, match=r"--by colour: .*gold\.jsonl .*length, .*source"):
        evaluate(gold, analyzer, by=("colour",))


# --- the whole ----------------------------------------------------------------------------------


def test_an_evaluation_holds_all_its_parts(found: dict[str, Any]) -> None:
    parts = {"gold", "model", "comments", "set_aside", "scores", "intervals", "per_label"}
    assert found.keys() >= parts | {"confusion", "reliability", "slices", "against"}
    assert found["reliability"].keys() >= {"sentiment", "polarity", *SETS}
    assert {v: one["comments"] for v, one in found["slices"]["source"].items()} == {
        "s0": 10, "s1": 10,
    }  # fmt: skip


def test_the_files_hold_what_was_found(found: dict[str, Any]) -> None:
    folder = found["folder"]
    told = {k: v for k, v in found.items() if k != "folder"}
    assert json.loads((folder / "scores.json").read_text("utf-8")) == told
    assert pq.read_table(folder / "flips.parquet").num_rows == 0
    columns = pq.read_table(folder / "mistakes.parquet").column_names
    assert columns == ["comment_id", "head", "label", "gold", "found", "text"]


def test_a_mistake_has_the_text_it_is_in(found: dict[str, Any], gold: Path) -> None:
    rows = pq.read_table(found["folder"] / "mistakes.parquet").to_pylist()
    texts = {e.id: e.text for e in read_annotated(gold)}
    assert rows
    assert [row["text"] for row in rows] == [texts[row["comment_id"]] for row in rows]


def test_a_person_sees_every_part(found: dict[str, Any]) -> None:
    console = Console(width=120, record=True, quiet=False, file=None, markup=False)
    with console.capture() as shown:
        for part in show_scores.parts(found):
            console.print(part)
    for words in ("sentiment_accuracy", "Each label", "given in columns", "ECE", "By source",
                  "Against", "became right"):  # fmt: skip
        assert words in shown.get()


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`cxnlp evaluate` in this process: exit status, output, errors."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cxnlp", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return call


def test_the_command_judges_and_behaves(
    command: Callable[..., tuple[int, str, str]], gold: Path, tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "scores.json"
    status, out, err = command(
        gold, "--model", tiny_model, "--behaviour", "--by", "source", "--json", file
    )
    assert (status, err) == (0, "")
    assert "cases of behaviour pass" in out
    told = json.loads(file.read_text("utf-8"))
    assert told.keys() >= {"scores", "intervals", "per_label", "confusion", "slices", "behaviour"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say which annotations"), (("--behaviour", "--by", "source"), "say which annotations"),
        (("gold.jsonl", "--record"), "give both"),
    ],
    ids=str,
)  # fmt: skip
def test_a_call_that_cannot_be_carried_out_is_refused(
    command: Callable[..., tuple[int, str, str]], words: tuple[str, ...], message: str
) -> None:
    status, _, err = command(*words)
    assert status == 2
    assert message in err
