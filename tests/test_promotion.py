"""Versions of a model: kept, compared, promoted or refused; the next run takes the current one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import TAXONOMY, TEXTS

from cxnlp import night
from cxnlp.analyse import Analyzer
from cxnlp.cli import app
from cxnlp.config import load_settings
from cxnlp.errors import ModelError, PromotionError, UsageError
from cxnlp.model import registry
from cxnlp.model.card import read_card, write_card
from cxnlp.training.contrast import contrast
from cxnlp.training.promotion import moved_labels, promote, worse_figures


def _changed(folder: Path, to: Path, **thresholds: tuple[float, ...]) -> Path:
    """Copy a model folder, with other thresholds."""
    shutil.copytree(folder, to)
    card = read_card(to)
    write_card(to, replace(card, thresholds={**card.thresholds, **thresholds}))
    return to


@pytest.fixture
def name(tmp_path: Path, tiny_model: Path) -> Path:
    """A model of this test, as a clone has it: files in the folder, nothing promoted."""
    return Path(shutil.copytree(tiny_model, tmp_path / "models" / "tiny"))


@pytest.fixture(scope="module")
def judged_set(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> Path:
    """Comments annotated as the tiny model answers them, so that it is never wrong."""
    texts = [f"{text} {i}" for i in range(2) for text in TEXTS]
    result = analyzer.analyze(texts)
    path = tmp_path_factory.mktemp("set") / "test.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i, (text, row) in enumerate(zip(texts, result.comments.to_pylist(), strict=True)):
            mentions = [
                {"q": m["excerpt"], "start": m["start"], "t": m["touchpoint"], "l": m["levers"],
                 "p": m["sentiment"]}
                for m in result.mentions.to_pylist()
                if m["comment_id"] == row["comment_id"] and m["touchpoint"]
            ]  # fmt: skip
            file.write(json.dumps({"id": f"t{i}", "text": text, "s": row["sentiment"],
                                   "e": row["emotions"], "i": row["intents"],
                                   "m": mentions}) + "\n")  # fmt: skip
    return path


@pytest.fixture
def worse(tmp_path: Path, tiny_model: Path) -> Path:
    """The same weights with thresholds under which every emotion is found everywhere."""
    return _changed(tiny_model, tmp_path / "worse", emotions=(0.0,) * 7)


@pytest.fixture
def equal(tmp_path: Path, tiny_model: Path) -> Path:
    return _equal(tiny_model, tmp_path / "equal")


def _equal(tiny_model: Path, to: Path) -> Path:
    """The same answers by thresholds that differ where no probability lies."""
    touchpoints = read_card(tiny_model).thresholds["segment_touchpoints"]
    nearly = (touchpoints[0] + 0.0001, *touchpoints[1:])
    return _changed(tiny_model, to, segment_touchpoints=nearly)


def _put(candidate: Path, name: Path) -> str:
    """Make a model the current version without judging it."""
    version = registry.store(candidate, name)
    registry.point(name, {"version": version})
    return version


def _promote(candidate: object, name: Path, test: Path | None, **more: Any) -> dict[str, Any]:
    return promote(
        str(candidate), name, test, TAXONOMY, **{"reason": "a test", "by": "anne"} | more
    )


# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_without_promotions_is_its_own_version(name: Path) -> None:
    assert registry.current(name) == name
    assert [(v.name, v.current) for v in registry.versions(name)] == [("bundled", True)]


def test_the_version_promoted_last_is_current(name: Path, equal: Path) -> None:
    version = _put(equal, name)
    assert registry.current(name) == name / version
    assert [(v.name, v.current) for v in registry.versions(name)] == [
        ("bundled", False), (version, True),
    ]  # fmt: skip


def test_a_version_is_whole(name: Path, equal: Path) -> None:
    assert read_card(name / registry.store(equal, name)) == read_card(equal)


def test_the_model_that_was_there_stays(name: Path, equal: Path) -> None:
    before = read_card(name)
    _put(equal, name)
    assert read_card(name) == before


def test_the_bundled_version_can_be_current_again(name: Path, equal: Path) -> None:
    _put(equal, name)
    registry.point(name, {"version": "bundled"})
    assert registry.current(name) == name


def test_the_same_model_is_kept_once(name: Path, equal: Path) -> None:
    assert registry.store(equal, name) == registry.store(equal, name)


def test_other_thresholds_make_another_version(name: Path, equal: Path, worse: Path) -> None:
    assert registry.store(equal, name) != registry.store(worse, name)


def test_a_version_that_is_gone_is_named(name: Path, equal: Path) -> None:
    version = _put(equal, name)
    shutil.rmtree(name / version)
    with pytest.raises(ModelError, match=rf"promotions\.yaml: version {version} .* is not there"):
        registry.current(name)


def test_a_version_that_was_altered_is_told(name: Path, equal: Path) -> None:
    version = _put(equal, name)
    (name / version / "config.json").write_text("{}", encoding="utf-8")
    assert ["not the files the card" in v.fault for v in registry.versions(name)] == [False, True]


def test_promotions_that_cannot_be_read_are_named(name: Path) -> None:
    (name / "promotions.yaml").write_text("promotions: 3", encoding="utf-8")
    with pytest.raises(ModelError, match=r"promotions\.yaml: not a list of promotions"):
        registry.current(name)


def test_a_promotion_that_was_cut_off_changes_nothing(name: Path) -> None:
    (name / ".promotions.yaml.part").write_text("promotions:\n- vers", encoding="utf-8")
    (name / ".half.part").mkdir()
    assert registry.current(name) == name
    assert [v.name for v in registry.versions(name)] == ["bundled"]


# --- the decision -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, judged_set: Path) -> Path:
    """A model whose equal was promoted; tests only read it, or fail before they change it."""
    folder = tmp_path_factory.mktemp("promoted")
    name = Path(shutil.copytree(tiny_model, folder / "tiny"))
    _promote(_equal(tiny_model, folder / "equal"), name, judged_set, force=True)
    return name


def test_a_promoted_model_is_the_current_one(promoted: Path) -> None:
    (version,) = (v for v in registry.versions(promoted) if v.current)
    assert version.name.startswith("undated-")
    assert Analyzer.load(promoted, TAXONOMY).card == version.card


def test_who_when_why_and_scores_are_written(promoted: Path) -> None:
    (told,) = yaml.safe_load((promoted / "promotions.yaml").read_text("utf-8"))["promotions"]
    assert (told["by"], told["why"], told["at"][:2]) == ("anne", "a test", "20")
    assert told["scores"]["sentiment_accuracy"] == 1
    assert told["test"]["comments"] == 2 * len(TEXTS)


def test_force_is_not_noted_where_it_was_not_needed(promoted: Path) -> None:
    assert registry.promotions(promoted)[-1]["forced"] is False


def test_a_worse_model_is_refused(promoted: Path, worse: Path) -> None:
    before = (promoted / "promotions.yaml").read_bytes()
    with pytest.raises(PromotionError, match=r"(?s)is worse than tiny-.*emotions_micro_f1: -0\."):
        _promote(worse, promoted, None)
    assert (promoted / "promotions.yaml").read_bytes() == before


def test_a_worse_model_can_be_forced(name: Path, worse: Path, judged_set: Path) -> None:
    done = _promote(worse, name, judged_set, force=True)
    assert (done["forced"], done["worse"]) == (True, ["emotions_micro_f1"])
    assert read_card(registry.current(name)) == read_card(worse)


def test_a_name_without_a_model_takes_its_first(
    tmp_path: Path, equal: Path, judged_set: Path
) -> None:
    done = _promote(equal, tmp_path / "models" / "new", judged_set)
    assert done["instead_of"] is None
    assert registry.current(tmp_path / "models" / "new").name == done["version"]


def test_the_current_model_is_not_promoted_again(name: Path, judged_set: Path) -> None:
    with pytest.raises(UsageError, match=r"is the current model of .* already"):
        _promote("bundled", name, judged_set)


def test_a_promotion_needs_a_reason(name: Path, equal: Path, judged_set: Path) -> None:
    with pytest.raises(UsageError, match="say why with --reason"):
        _promote(equal, name, judged_set, reason=" ")


def test_a_promotion_needs_a_test_set(name: Path, equal: Path) -> None:
    with pytest.raises(UsageError, match="give one with --test"):
        _promote(equal, name, None)


def test_the_test_set_stays_the_same(promoted: Path, judged_set: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text(judged_set.read_text("utf-8").replace("t0", "t99"))
    with pytest.raises(UsageError, match="is not the test set of the last promotion"):
        _promote("bundled", promoted, tmp_path / "other.jsonl")


def test_a_candidate_that_is_nowhere_is_named(name: Path, judged_set: Path) -> None:
    with pytest.raises(
        ModelError, match=r"nowhere: no such model folder, and no version .*bundled"
    ):
        _promote("nowhere", name, judged_set)


def test_two_do_not_promote_at_once(name: Path, equal: Path, judged_set: Path) -> None:
    with (
        registry.promoting(name),
        pytest.raises(ModelError, match="another promotion is under way"),
    ):
        _promote(equal, name, judged_set)


def test_a_current_model_that_cannot_be_loaded_wants_force(
    name: Path, equal: Path, judged_set: Path
) -> None:
    write_card(name, replace(read_card(name), cleaning="0"))
    with pytest.raises(ModelError, match=r"cannot be compared with: .*cleaning"):
        _promote(equal, name, judged_set)


def test_fewer_errors_of_stars_are_better() -> None:
    one = {"difference": -0.2, "interval": [-0.3, -0.1], "beyond_noise": True}
    found = {"against": {"differences": {"stars_mae": one, "levers_micro_f1": one}}}
    assert worse_figures(found) == ["levers_micro_f1"]


def test_labels_that_moved_are_told_by_direction() -> None:
    up = {"difference": 0.2, "interval": [0.1, 0.3], "beyond_noise": True}
    noise = {"difference": -0.2, "interval": [-0.3, 0.1], "beyond_noise": False}
    found = {"against": {"per_label": {"levers": {"offre": up, "emotions": noise}}}}
    assert moved_labels(found, better=True) == ["levers:offre"]
    assert moved_labels(found, better=False) == []


# --- what differs -------------------------------------------------------------------------------


def test_a_model_does_not_differ_from_itself(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    told = contrast(card, card)
    assert told["same_weights"]
    assert not any(told[k] for k in ("cleaning", "labels", "thresholds", "temperatures", "lexicon",
                                     "scores"))  # fmt: skip


def test_labels_and_thresholds_that_differ_are_told(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    labels = replace(card.labels, touchpoints=(*card.labels.touchpoints[1:], "parrainage"))
    thresholds = {**card.thresholds, "emotions": (0.4, *card.thresholds["emotions"][1:])}
    told = contrast(card, replace(card, labels=labels, thresholds=thresholds))
    first = card.labels.touchpoints[0]
    assert told["labels"] == {"touchpoints": {"added": ["parrainage"], "gone": [first]}}
    assert told["thresholds"] == {"emotions": {"joie": [0.5, 0.4]}}


def test_scores_of_cards_are_told_if_of_the_same_annotations(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    one, other, elsewhere = (
        replace(card, about={"scores": {"gold": gold, "values": {"levers_micro_f1": value}}})
        for gold, value in (("a", 0.5), ("a", 0.6), ("b", 0.7))
    )
    assert contrast(one, other)["scores"] == {"levers_micro_f1": [0.5, 0.6]}
    assert contrast(one, elsewhere)["scores"] == {}


# --- the night and the commands -----------------------------------------------------------------


def test_the_next_run_uses_the_new_version_and_labels_all_again(
    tmp_path: Path, demo: Path, name: Path, equal: Path
) -> None:
    config = yaml.safe_load(demo.read_text("utf-8")) | {"model": str(name)}
    config["sources"] = config["sources"][1:2]
    demo.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    settings = load_settings(demo)
    first = night.run(night.Night.begin(settings)).to_pylist()[0]
    _put(equal, name)
    again = night.run(night.Night.begin(settings)).to_pylist()[0]
    assert first["comments_written"] == again["comments_written"] > 0
    shown = pq.read_table(tmp_path / "warehouse" / "tables" / "comments", columns=["analysis_key"])
    assert shown["analysis_key"].unique().to_pylist() == [Analyzer.load(name, TAXONOMY).key]


def _command(*words: object) -> None:
    app(["models", *map(str, words)], standalone_mode=False)


def test_the_commands_promote_and_list(
    name: Path, equal: Path, judged_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _command("promote", equal, "--model", name, "--test", judged_set, "--reason", "fewer alarms")
    assert "Reanalyse is due" in capsys.readouterr().out
    _command("list", name.parent)
    assert "fewer alarms" in capsys.readouterr().out


def test_the_command_compares_two_models(
    tmp_path: Path, tiny_model: Path, worse: Path, judged_set: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "diff.json"
    _command("diff", tiny_model, worse, "--gold", judged_set, "--json", file)
    assert "threshold of" in capsys.readouterr().out
    flips = json.loads(file.read_text("utf-8"))["on_gold"]["against"]["flips"]
    assert flips["emotions"]["became_wrong"] > 0


def test_the_bundled_model_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    _command("verify", "models/cxnlp-fr-mini")
    assert "the files are those the card describes" in capsys.readouterr().out
