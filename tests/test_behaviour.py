"""Cases of behaviour: their file, how they are judged, and what the bundled model's card says."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, TAXONOMY

from cxnlp.analyse import Analyzer
from cxnlp.errors import ConfigError
from cxnlp.model.card import read_card
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.behaviour import (
    CASES,
    Case,
    behave,
    load_cases,
    unknown_labels,
    verdict,
)
from cxnlp.training.describe import record

MODEL = ROOT / "models" / "cxnlp-fr-mini"
ASKED = {"negation", "concession", "irony", "contempt", "disappointment", "must_know", "neutral",
         "direction", "accents", "capitals", "typos", "emoji", "brand", "place"}  # fmt: skip
ROW: dict[str, Any] = {
    "set_aside": None, "sentiment": "negatif", "emotions": ["colere"], "intents": [],
    "touchpoints": ["prix_tarif"], "levers": ["offre"], "promise_gap": None, "satisfaction": 2.0,
    "mentions": {"prix_tarif": {"negatif"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return load_cases(ROOT / CASES)


@pytest.fixture(scope="module")
def behaved(tiny_model: Path, cases: list[Case]) -> dict[str, Any]:
    return behave(cases[:40], Analyzer.load(tiny_model, TAXONOMY))


# --- the file -----------------------------------------------------------------------------------


def test_there_are_many_cases_of_every_capability(cases: list[Case]) -> None:
    assert len(cases) >= 140
    assert {c.capability for c in cases} >= ASKED


def test_every_label_of_a_case_exists(cases: list[Case]) -> None:
    taxonomy = load_taxonomy(TAXONOMY)
    assert {c.id: some for c in cases if (some := unknown_labels(c, taxonomy))} == {}


def test_no_case_is_also_learnt_from_or_gold(cases: list[Case]) -> None:
    files = [*ROOT.glob("models/annotations/*.jsonl"), *ROOT.glob("samples/gold_*.jsonl")]
    rows = [json.loads(line) for f in files for line in f.read_text("utf-8").splitlines()]
    learnt = {_plain(row["text"]) for row in rows if row.get("text")}
    assert [c.id for c in cases if _plain(c.text) in learnt] == []


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"id": "x-1", "text": "Bien.", "humour": "bon"}, "x-1: humour"),
        ({"id": "x-1", "text": "Bien."}, "x-1: says nothing"),
        ({"id": "x-1", "text": "Bien.", "other": "Mal.", "sentiment": "positif"}, "other needs"),
        ({"id": "x-1", "text": "Bien.", "same": ["sentiment"]}, "other needs"),
        ({"id": "x-1", "text": "Bien.", "other": "Mal.", "change": {"satisfaction": "down"}},
         "x-1: change"),
        ({"id": "x", "text": "Bien.", "sentiment": "positif"}, "capability-01"),
        ("Bien.", "0"),
    ],
)  # fmt: skip
def test_a_case_that_is_none_is_named(tmp_path: Path, case: Any, message: str) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump([case]), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"cases\.yaml: .*{message}"):
        load_cases(path)


def test_two_cases_of_one_id_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump([{"id": "x-1", "text": "Bien.", "sentiment": "positif"}] * 2))
    with pytest.raises(ConfigError, match="x-1: two cases"):
        load_cases(path)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("3", "not a list of cases")]
)
def test_a_file_that_is_no_list_of_cases_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"cases\.yaml: {message}"):
        load_cases(path)


def test_a_missing_file_of_cases_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file of cases"):
        load_cases(tmp_path / "cases.yaml")


def test_a_label_that_does_not_exist_is_found() -> None:
    case = Case(id="x-1", text="Bien.", sentiment="bof", emotions=("ennui",), not_intents=("rire",),
                mentions={"prix_tarif": "mixte"}, change={"joy": "not_up"})  # fmt: skip
    wrong = {"bof", "ennui", "rire", "mixte", "joy"}
    assert unknown_labels(case, load_taxonomy(TAXONOMY)) == wrong


# --- the verdict --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expected",
    [
        {"sentiment": "negatif"}, {"sentiment": ["mixte", "negatif"]}, {"emotions": ["colere"]},
        {"not_emotions": ["joie"]}, {"touchpoints_any": ["prix_tarif", "lieu_acces"]},
        {"levers": ["offre"]}, {"mentions": {"prix_tarif": "negatif"}},
        {"mentions": {"prix_tarif": ["positif", "negatif"]}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_found_passes(expected: dict[str, Any]) -> None:
    assert verdict(Case(id="x-1", text="Trop cher.", **expected), ROW, None) is None


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        ({"sentiment": "positif"}, "sentiment is negatif, not positif"),
        ({"sentiment": ["mixte", "neutre"]}, "sentiment is negatif, not mixte or neutre"),
        ({"emotions": ["colere", "degout"]}, "emotions: degout missing, found colere"),
        ({"not_emotions": ["colere"]}, "emotions: colere found"),
        ({"intents": ["partir"]}, "intents: partir missing, found none"),
        ({"touchpoints_any": ["lieu_acces"]}, "touchpoints: none of lieu_acces"),
        ({"mentions": {"lieu_acces": "negatif"}}, "mentions: lieu_acces missing"),
        ({"mentions": {"prix_tarif": "positif"}}, "mentions: prix_tarif is negatif, not positif"),
        ({"promise_gap": -1}, "promise_gap is None, not -1"),
    ],
)
def test_what_is_not_found_says_why(expected: dict[str, Any], why: str) -> None:
    assert verdict(Case(id="x-1", text="Trop cher.", **expected), ROW, None) == why


def _pair(expected: dict[str, Any], **changed: Any) -> str | None:
    case = Case(id="x-1", text="Trop cher.", other="TROP CHER.", **expected)
    return verdict(case, ROW, ROW | changed)


def test_a_pair_that_agrees_passes() -> None:
    assert _pair({"same": ["sentiment", "emotions", "touchpoints"]}) is None


def test_a_pair_that_disagrees_says_why() -> None:
    why = _pair({"same": ["emotions"]}, emotions=["colere", "mepris"])
    assert why == "emotions is colere in text, colere, mepris in other"


@pytest.mark.parametrize(
    ("way", "satisfaction", "passes"),
    [("not_up", 1.5, True), ("not_up", 2.0, True), ("not_up", 2.5, False),
     ("not_down", 2.5, True), ("not_down", 1.5, False)],
)  # fmt: skip
def test_a_number_moves_as_it_may(way: str, satisfaction: float, passes: bool) -> None:
    why = _pair({"change": {"satisfaction": way}}, satisfaction=satisfaction)
    assert (why is None) == passes


def test_a_comment_that_is_set_aside_fails() -> None:
    case = Case(id="x-1", text="Hello.", sentiment="neutre")
    assert verdict(case, ROW | {"set_aside": "langue"}, None) == "set aside: langue"


# --- a model ------------------------------------------------------------------------------------


def test_every_case_of_a_model_passes_or_says_why(behaved: dict[str, Any]) -> None:
    counts = behaved["capabilities"].values()
    assert sum(of for _, of in counts) == behaved["cases"] == 40
    assert sum(passed for passed, _ in counts) == behaved["passed"]
    assert behaved["passed"] + len(behaved["failures"]) == 40


def test_what_passes_is_written_into_card_and_readme(
    behaved: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "README.md").write_text("# tiny\n\n## Scores\n\n…\n", encoding="utf-8")
    before = read_card(folder)
    record(folder, behaved)
    card = record(folder, behaved)
    assert card.about["behaviour"]["failures"] == sorted(behaved["failures"])
    assert (card.sha256, card.decisions) == (before.sha256, before.decisions)
    readme = (folder / "README.md").read_text("utf-8")
    assert readme.startswith("# tiny\n\n## Scores\n\n…\n\n## Behaviour\n")
    assert readme.count("## Behaviour") == 1


def test_the_bundled_model_behaves_as_its_card_says(cases: list[Case]) -> None:
    """`cxnlp evaluate --behaviour --record` writes it anew."""
    found = behave(cases, Analyzer.load(MODEL, TAXONOMY))
    told = read_card(MODEL).about["behaviour"]
    assert told["failures"] == sorted(found["failures"])
    assert {k: told[k] for k in ("model", "cases", "passed", "capabilities")} == {
        k: found[k] for k in ("model", "cases", "passed", "capabilities")
    }
