"""How far comments are from those that the model was trained on, worked out by a person."""

import hashlib
import shutil
from math import log, log2
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, TAXONOMY
from warehouse_rows import comment, rows, touchpoints

from cxnlp import config, night, schema
from cxnlp.cli import app
from cxnlp.config import load_settings
from cxnlp.errors import UsageError
from cxnlp.forget import forget
from cxnlp.metrics import measure
from cxnlp.metrics.drift import counts
from cxnlp.model.card import read_card
from cxnlp.parts import split
from cxnlp.schema_drift import REFERENCE
from cxnlp.training.reference import refer, texts_of
from cxnlp.warehouse import Warehouse

GOLD = ROOT / "samples" / "gold_part1.jsonl"
SEPTEMBER = "2026-09-14"
Rows = dict[tuple[str, str], dict[str, Any]]


def some(n: int, start: int = 0, **other: Any) -> list[dict[str, Any]]:
    """Return analysed comments without a word of four letters, but those of `text`."""
    base = {"text": "un vin", "sentiment": "positif", "emotion": "joie", "confidence": 0.95}
    return [comment(f"c{i}", SEPTEMBER, **{**base, **other}) for i in range(start, start + n)]


def drift(
    root: Path, made: list[dict[str, Any]], trained: list[dict[str, Any]] | None, **settings: Any
) -> Rows:
    """Return the rows by period and source, of comments beside those of a reference."""
    warehouse = Warehouse(str(root))
    with warehouse.hold():
        parts = [*split(rows(schema.COMMENTS, *made), schema.COMMENTS),
                 *split(schema.empty(schema.MENTIONS), schema.MENTIONS)]  # fmt: skip
        warehouse.publish(parts, run_id="r1", metadata={})
    reference = {"counts": counts(rows(schema.COMMENTS, *trained))} if trained else None
    found = measure(str(root), touchpoints(), config.Metrics(**settings), reference)
    table = found[schema.DRIFT].to_pylist()
    return {(row["period"], row["source"]): row for row in table}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Of 400 trained on 300 are positive; of 400 in September 100; 200 elsewhere have no day."""
    trained = [*some(300), *some(100, 300, sentiment="negatif", emotion="colere", confidence=0.55)]
    made = [
        *some(100),
        *some(300, 100, sentiment="negatif", emotion="colere", confidence=0.55),
        *some(100, 400, set_aside="langue", sentiment=None, emotion=None, confidence=None),
        *some(7, 500, set_aside="doublon", sentiment=None, emotion=None, confidence=None),
        *(comment(f"d{i}", None, source="reseau", text="un vin", sentiment="positif",
                  emotion="joie", confidence=0.95) for i in range(200)),
    ]  # fmt: skip
    return drift(tmp_path_factory.mktemp("worked"), made, trained)


def test_shares_are_of_comments_analysed(worked: Rows) -> None:
    found = worked["2026-09", "avis"]
    assert (found["n"], found["sentiment_positif"], found["sentiment_mixte"]) == (400, 0.25, 0)
    assert (found["emotion_colere"], found["emotion_neutre"]) == (0.75, 0)


def test_confidence_is_its_mean(worked: Rows) -> None:
    # (100 · 0.95 + 300 · 0.55) / 400 = 0.65
    assert worked["2026-09", "avis"]["confidence"] == pytest.approx(0.65)


def test_the_stability_index_of_sentiment(worked: Rows) -> None:
    # 4 labels: (n + ½) / 402. negatif 300.5 against 100.5, positif the other way round, neutre and
    # mixte 0.5 against 0.5: (200 / 402) · ln(300.5 / 100.5) twice = 1.0898
    expected = 2 * (200 / 402) * log(300.5 / 100.5)
    assert worked["2026-09", "avis"]["psi_sentiment"] == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(1.0898, abs=1e-4)


def test_the_index_of_emotions_and_confidence_has_their_number_of_labels(
    worked: Rows,
) -> None:
    # 8 emotions: 2 · (200 / 404) · ln(300.5 / 100.5); 10 tenths: / 405
    found = worked["2026-09", "avis"]
    assert found["psi_emotion"] == pytest.approx(400 / 404 * log(300.5 / 100.5), rel=1e-5)
    assert found["psi_confidence"] == pytest.approx(400 / 405 * log(300.5 / 100.5), rel=1e-5)


def test_comments_set_aside_for_language_are_a_share(
    worked: Rows,
) -> None:
    # 100 / (400 + 100); duplicates are in no count
    assert worked["2026-09", "avis"]["other_language"] == pytest.approx(0.2)
    assert worked["reference", "toutes"]["other_language"] == 0


def test_a_comment_without_a_day_counts_in_tout_alone(
    worked: Rows,
) -> None:
    assert {place: row["n"] for place, row in worked.items()} == {
        ("2026-09", "avis"): 400, ("2026-09", "toutes"): 400, ("tout", "avis"): 400,
        ("tout", "reseau"): 200, ("tout", "toutes"): 600, ("reference", "toutes"): 400,
    }  # fmt: skip


def test_the_reference_is_a_row_to_compare_with(
    worked: Rows,
) -> None:
    found = worked["reference", "toutes"]
    assert (found["sentiment_positif"], found["psi_sentiment"]) == (0.75, 0)
    assert (found["confidence"], found["advice"]) == (pytest.approx(0.85), "aucune")


def test_far_from_the_reference_the_advice_is_to_annotate(
    worked: Rows,
) -> None:
    found = worked["2026-09", "avis"]
    assert found["advice"] == "annoter"
    assert found["reasons"] == ["sentiment", "emotion", "confiance", "langue"]


# --- words --------------------------------------------------------------------------------------


def group_of(word: str) -> int:
    """Return the group of a word: the second half of its MD5 as a number, modulo 256."""
    digest = hashlib.md5(word.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % 256


def test_words_are_counted_by_group_and_short_ones_not() -> None:
    found = counts(rows(schema.COMMENTS, *some(3, text="Le Vélo, le VÉLO : 12 d'été ou l'hôtel")))
    words = [int(n) for n in found["mots"].split()]
    assert sum(words) == 9
    assert (words[group_of("vélo")], words[group_of("hôtel")]) == (6, 3)


def test_the_divergence_of_words_less_what_chance_gives(tmp_path: Path) -> None:
    # 400 times "hôtel", against 300 "hôtel" and 100 "vélo": m = 7/8 and 1/8
    # (log2(8/7) + 3/4 · log2(6/7) + 1/4 · log2 2) / 2 = 0.13792; 255 / (8 ln 2) · 2 / 400 = 0.22993
    made, before = some(400, text="hôtel"), [*some(300, text="hôtel"), *some(100, 300, text="vélo")]
    raw = (log2(8 / 7) + 0.75 * log2(6 / 7) + 0.25) / 2
    found = drift(tmp_path, made, before)["tout", "toutes"]
    assert raw == pytest.approx(0.13792, abs=1e-5)
    assert (found["words"], found["words_distance"]) == (400, 0)  # less than chance gives
    many = [{**c, "text": " ".join([c["text"]] * 10)} for c in made]
    often = [{**c, "text": " ".join([c["text"]] * 10)} for c in before]
    found = drift(tmp_path / "often", many, often)["tout", "toutes"]
    assert found["words_distance"] == pytest.approx(raw - 255 / (8 * log(2)) * 2 / 4000, abs=1e-6)
    assert (found["advice"], found["reasons"]) == ("annoter", ["mots"])


def test_of_many_comments_a_sample_is_read_and_counts_for_all(tmp_path: Path) -> None:
    found = drift(tmp_path, some(4000, text="hôtel"), None, terms_sample=1000)["tout", "toutes"]
    assert found["n"] == 4000
    assert found["words"] == pytest.approx(4000, rel=0.15)
    assert found["words"] % 4 == 0


# --- advice -------------------------------------------------------------------------------------


def mixed(positive: int, negative: int) -> list[dict[str, Any]]:
    return [*some(positive), *some(negative, positive, sentiment="negatif")]


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (mixed(200, 200), "aucune"),
        (mixed(133, 267), "surveiller"),  # psi ≈ 0.167 · ln 2 = 0.115
        (mixed(100, 300), "annoter"),  # psi ≈ 0.25 · ln 3 = 0.275
        (mixed(0, 199), "trop_peu"),
    ],
    ids=["same", "near", "far", "few"],
)
def test_the_rule_of_the_advice(tmp_path: Path, made: list[dict[str, Any]], advice: str) -> None:
    found = drift(tmp_path, made, mixed(200, 200))["2026-09", "avis"]
    assert found["advice"] == advice
    assert found["reasons"] == (["sentiment"] if advice in ("surveiller", "annoter") else [])


def test_another_language_is_watched_since_annotating_it_is_no_help(tmp_path: Path) -> None:
    aside = some(12, 200, set_aside="langue", sentiment=None, emotion=None, confidence=None)
    found = drift(tmp_path, [*some(200), *aside], some(200))["tout", "toutes"]
    assert (found["advice"], found["reasons"]) == ("surveiller", ["langue"])


def test_without_a_reference_shares_stand_alone(tmp_path: Path) -> None:
    found = drift(tmp_path, some(300), None)
    assert {row["advice"] for row in found.values()} == {"sans_reference"}
    assert ("reference", "toutes") not in found
    assert found["tout", "toutes"]["sentiment_positif"] == 1
    assert found["tout", "toutes"]["psi_sentiment"] is None


def test_without_comments_only_the_reference_is_there(tmp_path: Path) -> None:
    assert drift(tmp_path, [], some(5)).keys() == {("reference", "toutes")}


# --- the reference of a model -------------------------------------------------------------------


def test_a_model_gets_its_reference_by_a_command(tiny_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    app(["models", "reference", str(model), str(GOLD), "--most", "30"], standalone_mode=False)
    card = read_card(model)
    assert card.reference["from"] == "gold_part1.jsonl: 30 of 80 comments, by digest of the text"
    assert sum(card.reference["counts"]["sentiment"].values()) == 30
    assert (card.sha256, card.decisions) == (
        read_card(tiny_model).sha256, read_card(tiny_model).decisions,
    )  # fmt: skip


def test_the_reference_of_the_start_is_counted_with_that_of_new_material(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    texts = texts_of(GOLD)
    before = refer(model, texts, TAXONOMY, "first", most=10).reference
    after = refer(model, texts[:3], TAXONOMY, "second", before=before).reference
    assert sum(after["counts"]["sentiment"].values()) == 13
    assert after["before"]["from"].startswith("first: 10 of 80")


def test_no_texts_give_no_reference(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="nothing: no comments to take a reference from"):
        refer(tiny_model, [], TAXONOMY, "nothing")


def test_the_bundled_model_has_a_reference() -> None:
    card = read_card(ROOT / "models" / "cxnlp-fr-mini")
    assert sum(card.reference["counts"]["sentiment"].values()) > 4000


@pytest.fixture
def measured(demo: Path, tiny_model: Path, tmp_path: Path) -> Warehouse:
    """A warehouse after a real run with a model that has a reference."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    refer(model, texts_of(GOLD), TAXONOMY, "gold", most=40)
    settings = yaml.safe_load(demo.read_text("utf-8"))
    settings |= {"model": str(model), "sources": settings["sources"][1:2]}
    demo.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    night.run(night.Night.begin(load_settings(demo)))
    return Warehouse(settings["warehouse"])


def test_a_night_compares_until_someone_is_forgotten(measured: Warehouse) -> None:
    """Forgetting works the table out again without the model; the next night compares anew."""
    found = measured.read(schema.DRIFT).to_pylist()
    assert [row["n"] for row in found if row["period"] == REFERENCE] == [40]
    assert all(row["psi_sentiment"] is not None for row in found)
    one = measured.read(schema.COMMENTS, ("comment_id",))["comment_id"][0].as_py()
    forget(measured, [], [one], [])
    found = measured.read(schema.DRIFT).to_pylist()
    assert {row["advice"] for row in found} == {"sans_reference"}
