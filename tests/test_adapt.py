"""From a comment to a better model: out, annotated, in, learnt, promoted, used by the next run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TAXONOMY, TEXTS
from safetensors.numpy import load_file

from cxnlp import night, schema
from cxnlp.cli import app
from cxnlp.config import load_settings
from cxnlp.errors import ConfigError, UsageError
from cxnlp.model.card import Labels, read_card
from cxnlp.model.weights import load_network
from cxnlp.training.adapt import adapt
from cxnlp.training.adaptation import Adaptation, read_adaptation
from cxnlp.training.transfer import carry_over
from cxnlp.warehouse import Warehouse

NEW = {
    "id": "parrainage", "libelle": "Parrainage", "etape": "debrief",
    "definition": "Le client amène un proche et en est remercié.",
    "declencheurs": ["parrainage", "filleul"],
}  # fmt: skip
SENTENCES = ["Le parrainage ne marche pas.", "Mon filleul a eu sa remise, merci.",
             "Parrainage simple et rapide."]  # fmt: skip


def _row(i: int) -> dict[str, Any]:
    """An annotated comment, every second one about the new touchpoint."""
    new = i % 2 == 0
    words = SENTENCES[i % 3] if new else TEXTS[0]
    mention = {"q": words, "t": "parrainage" if new else "personnel_accueil", "l": ["offre"],
               "p": "negatif" if i % 3 == 0 else "positif"}  # fmt: skip
    return {"id": f"a{i}", "text": f"{words} Le {i}.", "s": "negatif" if i % 3 == 0 else "positif",
            "e": ["joie"] if i % 3 else [], "i": [], "m": [mention], "w": 0}  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a taxonomy that has gained a touchpoint, annotations and a test set."""
    folder = tmp_path_factory.mktemp("adapt")
    data = yaml.safe_load(TAXONOMY.read_text("utf-8"))
    data["points_de_contact"].append(NEW)
    data["points_de_contact"] = [
        t for t in data["points_de_contact"] if t["id"] != "publicite_affichage"
    ]
    data["leviers_typiques"].pop("publicite_affichage", None)
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    (folder / "taxonomy.yaml").write_text(text, encoding="utf-8")
    _write(folder / "ours.jsonl", [_row(i) for i in range(24)])
    _write(folder / "test.jsonl", [_row(i) for i in range(20, 30)])
    return folder


def _plan(place: Path, start: Path, **more: Any) -> Adaptation:
    finetune = {"tokens": 3000, "batch_tokens": 300, "head_rate": 0.01}
    keys = {"name": "tiny", "folder": place / "run", "taxonomy": place / "taxonomy.yaml",
            "start": start, "annotations": [place / "ours.jsonl"], "test": place / "test.jsonl",
            "finetune": finetune, "min_mentions": 3}  # fmt: skip
    return Adaptation.model_validate(keys | more)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def adapted(place: Path, tiny_model: Path, told: list[str]) -> Path:
    return adapt(_plan(place, tiny_model), None, told.append)


def test_a_new_touchpoint_gets_its_place(adapted: Path, tiny_model: Path) -> None:
    old, new = (set(read_card(folder).labels.touchpoints) for folder in (tiny_model, adapted))
    assert (new - old, old - new) == ({"parrainage"}, {"publicite_affichage"})


def test_triggers_still_decide_a_new_touchpoint(adapted: Path) -> None:
    assert list(read_card(adapted).lexicon["touchpoints"]) == ["parrainage"]


def test_thresholds_are_those_of_the_start(adapted: Path, tiny_model: Path) -> None:
    old, new = read_card(tiny_model), read_card(adapted)
    assert new.thresholds["emotions"] == old.thresholds["emotions"]
    assert len(new.thresholds["touchpoints"]) == len(new.labels.touchpoints)


def test_the_network_goes_on_from_the_start(adapted: Path, tiny_model: Path) -> None:
    """Words that no annotation has keep their vectors, nearly; the heads have moved."""
    old, new = (load_file(folder / "model.safetensors") for folder in (tiny_model, adapted))
    words = "roberta.embeddings.word_embeddings.weight"
    assert np.abs(old[words].astype(np.float32) - new[words].astype(np.float32)).mean() < 0.02
    emotions = slice(9, 16)
    assert not np.array_equal(old["heads.comment_heads.bias"][emotions],
                              new["heads.comment_heads.bias"][emotions])  # fmt: skip


def test_what_is_tested_on_is_not_learnt(adapted: Path, told: list[str], place: Path) -> None:
    assert f"{place / 'ours.jsonl'}: 24 comments, 4 held out for tests" in told
    assert read_card(adapted).about["annotations"]["comments"] == 20


def test_the_card_says_where_it_comes_from(adapted: Path, tiny_model: Path) -> None:
    about = read_card(adapted).about
    assert about["start"] == read_card(tiny_model).version
    assert "nothing was learnt from them" in about["scores"]["gold"]


def test_the_same_material_is_learnt_once(adapted: Path, place: Path, tiny_model: Path) -> None:
    before = read_card(adapted).sha256
    runs = sorted(p.name for p in (place / "run").iterdir())
    adapt(_plan(place, tiny_model), None, lambda _: None)
    assert (read_card(adapted).sha256, sorted(p.name for p in (place / "run").iterdir())) == (
        before, runs,
    )  # fmt: skip


@pytest.fixture(scope="module")
def one(place: Path, tiny_model: Path) -> Path:
    """Fine-tuned with `only` the new touchpoint and one emotion to change."""
    labels = ["touchpoints:parrainage", "emotions:joie"]
    return adapt(_plan(place, tiny_model, folder=place / "one", only=labels), None, lambda _: None)


def test_only_the_labels_that_are_named_change(one: Path, tiny_model: Path) -> None:
    old, new = (load_network(folder) for folder in (tiny_model, one))
    before, after = (read_card(folder).labels for folder in (tiny_model, one))
    same = carry_over(old.state_dict(), before, new.state_dict(), after)
    rows = after.slices(Labels.COMMENT)
    free = {rows["emotions"].start + after.emotions.index("joie"),
            rows["touchpoints"].start + after.touchpoints.index("parrainage")}  # fmt: skip
    moved = (same["comment_heads.weight"] != new.comment_heads.weight).any(1).nonzero()
    assert set(moved.flatten().tolist()) <= free
    assert rows["emotions"].start + after.emotions.index("joie") in moved


def test_only_leaves_encoder_and_words_as_they_were(one: Path, tiny_model: Path) -> None:
    old, new = (load_network(folder).state_dict() for folder in (tiny_model, one))
    assert all(bool((old[n] == new[n]).all()) for n in old if n.startswith(("encoder", "wide")))


def test_a_label_that_only_may_change_gets_its_own_threshold(place: Path, tiny_model: Path) -> None:
    plan = _plan(place, tiny_model, folder=place / "own", dev=place / "test.jsonl",
                 only=["emotions:joie"])  # fmt: skip
    old, new = read_card(tiny_model), read_card(adapt(plan, None, lambda _: None))
    at = new.labels.emotions.index("joie")
    assert new.thresholds["emotions"][at] != old.thresholds["emotions"][at]
    assert new.thresholds["emotions"][:at] == old.thresholds["emotions"][:at]
    assert new.thresholds["intents"] == old.thresholds["intents"]


def test_a_label_that_there_is_not_cannot_be_the_only_one(place: Path, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="'emotions:ennui' is no label of the model"):
        adapt(_plan(place, tiny_model, only=["emotions:ennui"]), None, lambda _: None)


def test_without_annotations_there_is_nothing_to_learn(place: Path, tiny_model: Path) -> None:
    plan = _plan(place, tiny_model, annotations=[place / "test.jsonl"])
    with pytest.raises(ConfigError, match="no annotations to learn from"):
        adapt(plan, None, lambda _: None)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{start: x, epochs: 3}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.yaml: epochs: "):
        read_adaptation(tmp_path / "a.yaml")


def test_the_bundled_configuration_is_valid() -> None:
    plan = read_adaptation(Path("configs/training/adapt.yaml"))
    assert plan is not None
    assert plan.schedule().tokens > 0


def test_a_recipe_starts_from_nothing_and_needs_data() -> None:
    assert read_adaptation(Path("configs/training/fr-mini.yaml")) is None
    with pytest.raises(UsageError, match="say where the data are with --data"):
        app(["train", "configs/training/fr-mini.yaml"], standalone_mode=False)


@pytest.mark.slow
def test_out_annotated_in_learnt_promoted_used(
    tmp_path: Path, demo: Path, tiny_model: Path, place: Path
) -> None:
    """The whole round at small size, by the commands."""

    def cxnlp(*words: object) -> None:
        app([str(word) for word in words], standalone_mode=False)

    name = tmp_path / "models" / "tiny"
    config = yaml.safe_load(demo.read_text("utf-8"))
    config |= {"model": str(name), "taxonomy": str(place / "taxonomy.yaml")}
    config["sources"] = config["sources"][1:2]
    demo.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    taxonomy = ("--taxonomy", place / "taxonomy.yaml")
    test = ("--test", place / "test.jsonl")
    cxnlp("models", "promote", tiny_model, "--model", name, *test, *taxonomy, "--reason", "first")
    settings = load_settings(demo)
    first = night.run(night.Night.begin(settings)).to_pylist()[0]

    todo = tmp_path / "todo"
    cxnlp("annotate", "export", settings.warehouse, "--count", 12, "--format", "jsonl",
          "--output", todo, *taxonomy)  # fmt: skip
    rows = [json.loads(line) for line in (todo / "comments.jsonl").read_text("utf-8").splitlines()]
    done = [{**row, "done": True, "s": "positif", "e": ["joie"]} for row in rows]
    _write(todo / "comments.jsonl", done)
    cxnlp("annotate", "import", todo / "comments.jsonl", "--output", tmp_path / "ours", *taxonomy)

    plan = _plan(place, name, rehearse=settings.warehouse, folder=tmp_path / "run",
                 annotations=[tmp_path / "ours", place / "ours.jsonl"])  # fmt: skip
    (tmp_path / "adapt.yaml").write_text(yaml.safe_dump(plan.model_dump(mode="json")))
    cxnlp("train", tmp_path / "adapt.yaml")
    cxnlp("models", "promote", tmp_path / "run" / "model", "--model", name, *taxonomy,
          "--reason", "second", "--force")  # fmt: skip
    second = night.run(night.Night.begin(settings)).to_pylist()[0]
    versions = Warehouse(settings.warehouse).read(schema.COMMENTS, ("model_version",))
    assert versions["model_version"].unique().to_pylist() == [second["model_version"]]
    assert first["model_version"] != second["model_version"]
    assert second["model_version"] == read_card(tmp_path / "run" / "model").version
