"""Names of people are hidden where the settings name a spaCy model, and nowhere else."""

from pathlib import Path

import pyarrow as pa
import pytest
import spacy

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import Settings
from cxnlp.errors import ConfigError
from cxnlp.names import load_names

TRAINED = (
    "Merci à Sophie du guichet.", "Sophie nous a très bien reçus.", "Le prix est trop élevé.",
    "Bravo à Karim pour son aide.", "Karim est adorable.", "Deux heures de queue au guichet.",
)  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline that really learned two names, saved as a folder."""
    pipeline = spacy.blank("fr")
    pipeline.add_pipe("ner").add_label("PER")
    examples = []
    for text in TRAINED:
        doc = pipeline.make_doc(text)
        spots = [(text.find(n), text.find(n) + len(n), "PER")
                 for n in ("Sophie", "Karim") if n in text]  # fmt: skip
        examples.append(spacy.training.Example.from_dict(doc, {"entities": spots}))
    spacy.util.fix_random_seed(1)
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(25):
        pipeline.update(examples, sgd=optimizer)
    folder = tmp_path_factory.mktemp("ner") / "gens"
    pipeline.to_disk(folder)
    return folder


def _night(folder: Path, model: Path, people: Path | None, *lines: str) -> night.Night:
    """Ingest and analyse one file."""
    export = folder / "avis.csv"
    export.write_text("\n".join(["id;date;note;texte;reponse", *lines]), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "rating": "note", "text": "texte",
              "reply_text": "reponse"}  # fmt: skip
    tonight = night.Night.begin(Settings.model_validate({
        "warehouse": str(folder / "warehouse"), "model": str(model),
        "privacy": {"names_model": str(people) if people else None},
        "sources": [{"name": "avis", "files": str(export), "fields": fields}],
    }))  # fmt: skip
    with tonight.warehouse.hold():
        night.ingest(tonight, tonight.settings.sources[0])
        night.analyse(tonight, night.load_analyzer(tonight.settings))
    return tonight


def test_names_are_hidden_in_texts_and_answers(
    tmp_path: Path, tiny_model: Path, people: Path
) -> None:
    lines = ["1;2026-09-01;5;Merci à Sophie du guichet.;Karim est adorable.", "2;2026-09-01;4;Bof;"]
    tonight = _night(tmp_path, tiny_model, people, *lines)
    first, second = tonight.warehouse.read(schema.COMMENTS).sort_by("native_id").to_pylist()
    assert first["text"] == "Merci à [nom] du guichet."
    assert first["reply_text"] == "[nom] est adorable."
    assert (second["text"], second["reply_text"]) == ("Bof", None)


def test_names_are_hidden_in_rejects(tmp_path: Path, tiny_model: Path, people: Path) -> None:
    tonight = _night(tmp_path, tiny_model, people, "1;2026-09-01;99;Merci à Sophie du guichet.;")
    (reject,) = tonight.warehouse.read(schema.REJECTS).to_pylist()
    assert "Merci à [nom] du guichet." in reject["raw"]


def test_offsets_point_into_the_text_without_names(
    tmp_path: Path, tiny_model: Path, people: Path
) -> None:
    line = "1;2026-09-01;5;Karim est adorable. Deux heures de queue au guichet.;"
    tonight = _night(tmp_path, tiny_model, people, line)
    (text,) = tonight.warehouse.read(schema.COMMENTS)["text"].to_pylist()
    for mention in tonight.warehouse.read(schema.MENTIONS).to_pylist():
        assert text[mention["start"] : mention["end"]] == mention["excerpt"]
    assert text.startswith("[nom] est adorable.")


def test_without_the_setting_names_stay(tmp_path: Path, tiny_model: Path) -> None:
    tonight = _night(tmp_path, tiny_model, None, "1;2026-09-01;5;Merci à Sophie du guichet.;")
    assert tonight.warehouse.read(schema.COMMENTS)["text"].to_pylist() == [
        "Merci à Sophie du guichet."
    ]


def test_hiding_twice_is_hiding_once(people: Path) -> None:
    names = load_names(str(people))
    rows = pa.table({"text": [*TRAINED, "", "Merci à [nom] du guichet."]})
    once = names.hide(rows)
    assert names.hide(once) == once
    assert "Sophie" not in str(once)


def test_a_very_long_text_is_hidden_piece_by_piece(people: Path) -> None:
    text = "Le prix est trop élevé. " * 5_000 + TRAINED[0]
    (hidden,) = load_names(str(people)).hide(pa.table({"text": [text]}))["text"].to_pylist()
    assert "Sophie" not in hidden


def test_another_model_of_names_analyses_every_comment_again(
    tiny_model: Path, people: Path
) -> None:
    plain = Analyzer.load(tiny_model, "configs/taxonomy.yaml")
    hiding = Analyzer.load(tiny_model, "configs/taxonomy.yaml", names=str(people))
    assert plain.key != hiding.key


def test_a_model_that_is_not_there_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"privacy.names_model: nulle_part: .* spacy download"):
        load_names("nulle_part")


def test_a_model_that_finds_no_people_says_so(tmp_path: Path) -> None:
    pipeline = spacy.blank("fr")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Lyon"}])
    pipeline.to_disk(tmp_path / "lieux")
    with pytest.raises(ConfigError, match="finds no people: its labels are LOC"):
        load_names(str(tmp_path / "lieux"))
