"""Comments out to annotation tools and back: chosen, pre-annotated, checked, kept by versions."""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
import yaml
from conftest import TAXONOMY, TEXTS

from cxnlp import schema
from cxnlp.analyse import Analyzer
from cxnlp.annotate import doccano, labelstudio, own
from cxnlp.annotate.agreement import agreement
from cxnlp.annotate.check import Checked, read_files
from cxnlp.annotate.choose import choose, eligible
from cxnlp.annotate.export import Format, export
from cxnlp.annotate.rows import Annotated, own_row, place_at
from cxnlp.annotate.sets import add, annotations_file
from cxnlp.cli import app
from cxnlp.errors import UsageError
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.training.corpus import read_annotated
from cxnlp.warehouse import Warehouse, split

TEXT = "😀 Accueil charmant, mais deux heures de queue.\nNous reviendrons 👍 avec plaisir."
QUEUE = TEXT.index("deux heures de queue")
ONE = Annotated(
    "c1", TEXT, "mixte", ("joie", "colere"), ("revenir",),
    (
        place_at(TEXT, 2, 18, "personnel_accueil", ("emotions",), "positif"),
        place_at(TEXT, QUEUE, QUEUE + 20, "attente_caisse", ("temps_praticite",), "negatif"),
    ),
    rating=3.0, source="avis", why="random",
)  # fmt: skip


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy(TAXONOMY)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> Warehouse:
    """Forty analysed comments, one of them twice, one in English, some with a mark."""
    texts = [f"{text} Visite n° {i}." for i in range(5) for text in TEXTS]
    texts += [texts[0], "We were not happy with this hotel at all and we will not come back."]
    rows = len(texts)
    raw = pa.table({
        "comment_id": [f"c{i:03d}" for i in range(rows)], "source": ["avis"] * rows,
        "channel": ["avis"] * rows, "text": texts, "file": ["a.csv"] * rows,
        "row": list(range(rows)), "row_digest": ["d"] * rows,
        "rating": pa.array([(i % 5) + 1.0 if i % 2 else None for i in range(rows)], pa.float32()),
    })  # fmt: skip
    result = analyzer.analyse(schema.conform(raw, schema.RAW), run_id="r")
    place = Warehouse(str(tmp_path_factory.mktemp("warehouse")))
    with place.hold():
        parts = [*split(result.comments, schema.COMMENTS, "month"),
                 *split(result.mentions, schema.MENTIONS, "month")]  # fmt: skip
        place.publish(parts, run_id="r", metadata={})
    return place


def _export(warehouse: Warehouse, folder: Path, to: str, taxonomy: Taxonomy, **more: Any) -> Any:
    return export(warehouse, folder, Format(to), taxonomy, **({"count": 20} | more))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _write(path: Path, rows: list[Any]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


# --- the choice ---------------------------------------------------------------------------------


def _comments(rows: int = 200) -> pa.Table:
    """Made-up columns: every 50th comment has a rare touchpoint, every 10th a mark that is off."""
    of = np.random.default_rng(3)
    words = ["queue", "billet", "chambre", "serveur", "livraison", "vendeur", "musique", "facture"]
    return pa.table({
        "text": [" ".join(of.choice(words, 4, replace=False)) + f" {i}" for i in range(rows)],
        "sentiment": ["positif" if i % 3 else "negatif" for i in range(rows)],
        "emotions": pa.array([["joie"] if i % 2 else [] for i in range(rows)], schema.STRINGS),
        "intents": pa.array([[] for _ in range(rows)], schema.STRINGS),
        "touchpoints": pa.array(
            [["emballage_packaging"] if i % 50 == 7 else ["prix_tarif"] for i in range(rows)],
            schema.STRINGS,
        ),
        "rating": pa.array([5.0 if i % 10 == 3 else None for i in range(rows)], pa.float32()),
        "satisfaction": pa.array([1.5] * rows, pa.float32()),
        "confidence": pa.array(np.linspace(0.9, 0.2, rows), pa.float32()),
    })  # fmt: skip


def test_the_same_seed_gives_the_same_choice() -> None:
    assert choose(_comments(), 40) == choose(_comments(), 40)


def test_another_seed_gives_another_choice() -> None:
    assert choose(_comments(), 40).keys() != choose(_comments(), 40, seed=8).keys()


def test_a_fixed_share_is_drawn_at_random() -> None:
    assert Counter(choose(_comments(), 40, 0.25).values())["random"] == 10


def test_each_reason_has_its_turn() -> None:
    counted = Counter(choose(_comments(), 50, 0.2).values())
    assert counted["uncertain"] == counted["rare"] == counted["stars"] == counted["diverse"] == 10


def test_all_are_chosen_where_there_are_fewer() -> None:
    assert len(choose(_comments(30), 100)) == 30


def test_uncertain_ones_are_those_of_least_confidence() -> None:
    chosen = [row for row, why in choose(_comments(), 40, 0).items() if why == "uncertain"]
    assert chosen[:3] == [199, 198, 197]


def test_rare_labels_are_found() -> None:
    chosen = choose(_comments(), 40, 0)
    assert any(row % 50 == 7 and why == "rare" for row, why in chosen.items())


def test_marks_that_disagree_are_found() -> None:
    chosen = [row for row, why in choose(_comments(), 40, 0).items() if why == "stars"]
    assert len(chosen) == 10
    assert all(row % 10 == 3 for row in chosen)


def test_unlike_ones_are_chosen_before_like_ones() -> None:
    same = ["toujours la même phrase banale"] * 50
    table = _comments(52).set_column(
        0, "text", pa.array([*same, "spectacle nocturne magnifique", "parking souterrain fermé"])
    )
    chosen = choose(table, 4, 0)
    rows = [row for row, why in choose(table, 12, 0).items() if why == "diverse"]
    assert len(chosen) == 4
    assert {50, 51} & set(rows)


def test_only_analysed_comments_are_eligible(warehouse: Warehouse) -> None:
    some = eligible(warehouse.read(schema.COMMENTS))
    assert some.num_rows == 40
    assert some["set_aside"].null_count == 40


# --- the tools' formats -------------------------------------------------------------------------


def test_a_label_studio_prediction_accepted_as_it_is_comes_back() -> None:
    (task,) = labelstudio.write([ONE], "tiny-1")
    result = task["predictions"][0]["result"]
    assert labelstudio.read({**task, "annotations": [{"result": result}]}) == [ONE]


def test_doccano_gives_back_what_it_got() -> None:
    assert doccano.read(doccano.write([ONE])[0], "") == [ONE]


def test_our_own_rows_come_back() -> None:
    (row,) = own.write([ONE])
    assert own.read({**row, "done": True}) == [ONE]


def test_label_studio_counts_an_emoji_twice() -> None:
    (task,) = labelstudio.write([ONE], "tiny-1")
    value = task["predictions"][0]["result"][0]["value"]
    assert (value["start"], value["end"], value["text"]) == (3, 19, "Accueil charmant"[:16])


def test_offsets_in_characters_are_understood_by_the_words_beside_them() -> None:
    value = {"start": QUEUE, "end": QUEUE + 20, "text": "deux heures de queue"}
    regions = [
        {"id": "r", "from_name": "touchpoint", "to_name": "text", "type": "labels",
         "value": {**value, "labels": ["attente_caisse"]}},
    ]  # fmt: skip
    task = {"data": {"text": TEXT, "comment_id": "c"}, "annotations": [{"result": regions}]}
    assert labelstudio.read(task)[0].places[0].start == QUEUE


def test_the_labelling_configuration_has_every_label(taxonomy: Taxonomy) -> None:
    root = ET.fromstring(labelstudio.config(taxonomy))  # noqa: S314 (it is our own)
    assert [e.get("value") for e in root.iter("Label")] == [t.id for t in taxonomy.touchpoints]
    named = {e.get("name"): [c.get("value") for c in e] for e in root.iter("Choices")}
    assert named["sentiment"] == list(schema.SENTIMENTS)
    assert named["emotions"] == list(schema.EMOTIONS)
    assert named["polarity"] == list(schema.POLARITIES)
    assert named["levers"] == [lever.id for lever in taxonomy.levers]


def test_the_mark_is_not_shown_to_annotators(taxonomy: Taxonomy) -> None:
    (task,) = labelstudio.write([ONE], "tiny-1")
    assert task["data"].keys() == {"text", "comment_id"}


def test_doccano_has_a_label_for_everything(taxonomy: Taxonomy) -> None:
    spans = {label["text"] for label in doccano.span_labels(taxonomy)}
    cats = {label["text"] for label in doccano.category_labels()}
    (row,) = doccano.write([ONE])
    assert {label for _, _, label in row["entities"]} <= spans
    assert set(row["cats"]) <= cats


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([[2, 9, "polarity:positif"]], "no touchpoint is marked"),
        ([[2, 9, "personne"]], "unknown label of a span"),
        ([[2, 9, "touchpoint:prix_tarif"], [2, 9, "polarity:positif"], [2, 9, "polarity:negatif"]],
         "two polarities"),
    ],
)  # fmt: skip
def test_spans_of_doccano_that_say_nothing_clear_are_refused(
    entities: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        doccano.read({"text": TEXT, "comment_id": "c", "cats": [], "entities": entities}, "")


# --- the export ---------------------------------------------------------------------------------


@pytest.mark.parametrize("to", list(Format))
def test_what_is_exported_is_what_the_model_found(
    warehouse: Warehouse, taxonomy: Taxonomy, tmp_path: Path, to: str
) -> None:
    done = _export(warehouse, tmp_path / "todo", to, taxonomy, count=100)
    labels = {
        row["comment_id"]: (row["sentiment"], set(row["emotions"]))
        for row in warehouse.read(schema.COMMENTS).to_pylist()
        if row["set_aside"] is None
    }
    text = done.files[0].read_text("utf-8")
    if to == "labelstudio":
        some = [
            one
            for task in json.loads(text)
            for one in labelstudio.read({**task, "annotations": task["predictions"]})
        ]
    else:
        read = own.read if to == "jsonl" else lambda row: doccano.read(row, "")
        some = [one for line in text.splitlines() for one in read(json.loads(line))]
    assert len(some) == done.eligible == 40
    assert all((one.sentiment, set(one.emotions)) == labels[one.id] for one in some)
    assert any(one.places for one in some)


def test_comments_that_are_annotated_already_are_left_out(
    warehouse: Warehouse, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    _export(warehouse, tmp_path / "one", "jsonl", taxonomy)
    known = tmp_path / "one" / "comments.jsonl"
    _export(warehouse, tmp_path / "two", "jsonl", taxonomy, without=[known])
    first, second = ({r["id"] for r in _lines(tmp_path / n / "comments.jsonl")}
                     for n in ("one", "two"))  # fmt: skip
    assert len(first) == len(second) == 20
    assert not first & second


def test_files_that_are_there_are_not_written_over(
    warehouse: Warehouse, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    _export(warehouse, tmp_path, "jsonl", taxonomy)
    with pytest.raises(UsageError, match="is there already"):
        _export(warehouse, tmp_path, "jsonl", taxonomy)


# --- what comes back ----------------------------------------------------------------------------


def _region(value: dict[str, Any], number: str, **chosen: list[str]) -> list[dict[str, Any]]:
    where = {"id": number, "to_name": "text", "origin": "manual"}
    return [
        {**where, "from_name": name,
         "type": "labels" if name == "touchpoint" else "choices",
         "value": {**value, "labels" if name == "touchpoint" else "choices": labels}}
        for name, labels in chosen.items()
    ]  # fmt: skip


def _whole(name: str, *chosen: str) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "text", "type": "choices",
            "origin": "manual", "value": {"choices": list(chosen)}}  # fmt: skip


@pytest.fixture
def label_studio_file(tmp_path: Path) -> Path:
    """An export as Label Studio writes it: two people, tasks skipped, unopened, imported twice."""
    text = "Deux heures de queue 😡 au guichet."
    queue = {"start": 0, "end": 20, "text": "Deux heures de queue"}
    desk = {"start": 24, "end": 34, "text": "au guichet"}  # 😡 counts two
    good = [_whole("sentiment", "negatif"), _whole("emotions", "colere")]
    good += _region(queue, "a", touchpoint=["attente_caisse"], polarity=["negatif"],
                    levers=["temps_praticite"])  # fmt: skip
    good += _region(desk, "b", touchpoint=["magasin_boutique"], polarity=["neutre"])

    def annotation(who: int, result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {"id": who * 10, "completed_by": who, "result": result, "was_cancelled": False,
                "ground_truth": False, "created_at": "2026-10-01T08:00:00.000000Z",
                "lead_time": 31.2, **more}  # fmt: skip

    def task(name: str, *annotations: dict[str, Any]) -> dict[str, Any]:
        return {"id": 1, "annotations": list(annotations), "drafts": [], "predictions": [],
                "data": {"text": text, "comment_id": name}, "project": 3, "inner_id": 1,
                "meta": {"why": "rare", "source": "avis", "rating": 2.0}}  # fmt: skip

    rows = [
        task("both", annotation(1, good), annotation(2, [_whole("sentiment", "mixte")])),
        task("skipped", annotation(1, [], was_cancelled=True)),
        task("untouched"),
        task("no-polarity", annotation(1, [*good[:2], *_region(queue, "c",
                                           touchpoint=["attente_caisse"])])),
        task("unknown", annotation(1, [_whole("sentiment", "negatif"),
                                       _whole("emotions", "jalousie")])),
        task("elsewhere", annotation(1, [*good[:2], *_region({**desk, "text": "au comptoir"}, "d",
                                         touchpoint=["prix_tarif"], polarity=["neutre"])])),
        task("both", annotation(1, [_whole("sentiment", "neutre")])),
    ]  # fmt: skip
    path = tmp_path / "export.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def test_an_export_of_label_studio_is_read(label_studio_file: Path, taxonomy: Taxonomy) -> None:
    one = read_files([label_studio_file], taxonomy).good[0]
    assert (one.id, one.annotator, one.rating, one.why) == ("both", "1", 2.0, "rare")
    assert [(p.quote, p.touchpoint, p.polarity, p.levers) for p in one.places] == [
        ("Deux heures de queue", "attente_caisse", "negatif", ("temps_praticite",)),
        ("au guichet", "magasin_boutique", "neutre", ()),
    ]


def test_bad_tasks_of_label_studio_are_refused_one_by_one(
    label_studio_file: Path, taxonomy: Taxonomy
) -> None:
    checked = read_files([label_studio_file], taxonomy)
    assert [one.id for one in checked.good] == ["both", "both"]
    assert {r.id: r.reason for r in checked.rejects} == {
        "skipped": "half_finished", "untouched": "half_finished", "no-polarity": "half_finished",
        "unknown": "unknown_label", "elsewhere": "not_in_text", "both": "duplicate_id",
    }  # fmt: skip


@pytest.fixture
def doccano_file(tmp_path: Path) -> Path:
    """An export as doccano writes it, in the file of one of its users."""
    text = "Colis écrasé, vendeuse adorable."
    rows = [
        {"id": 11, "text": text, "comment_id": "good", "why": "random", "source": "avis",
         "rating": 3.0, "Comments": [],
         "cats": ["emotion:joie", "intent:revenir", "sentiment:mixte"],
         "entities": [[0, 12, "polarity:negatif"], [0, 12, "touchpoint:emballage_packaging"],
                      [14, 22, "touchpoint:personnel_accueil"], [14, 31, "lever:emotions"],
                      [14, 31, "polarity:positif"]]},
        {"id": 12, "text": text, "comment_id": "unfinished", "cats": [], "entities": []},
        {"id": 13, "text": text, "comment_id": "beyond", "cats": ["sentiment:negatif"],
         "entities": [[20, 99, "touchpoint:prix_tarif"], [20, 99, "polarity:negatif"]]},
        {"id": 14, "text": text, "comment_id": "unknown", "cats": ["sentiment:genial"],
         "entities": [[0, 5, "touchpoint:colis"], [0, 5, "polarity:negatif"]]},
        {"id": 15, "text": text, "comment_id": "two", "entities": [],
         "cats": ["sentiment:mixte", "sentiment:neutre"]},
        {"id": 16, "text": text, "comment_id": "good", "entities": [], "cats": ["sentiment:mixte"]},
    ]  # fmt: skip
    return _write(tmp_path / "claire.jsonl", rows)


def test_an_export_of_doccano_is_read(doccano_file: Path, taxonomy: Taxonomy) -> None:
    (one,) = read_files([doccano_file], taxonomy).good
    assert (one.id, one.annotator, one.sentiment, one.intents) == (
        "good", "claire", "mixte", ("revenir",),
    )  # fmt: skip
    assert [(p.quote, p.touchpoint, p.polarity, p.levers) for p in one.places] == [
        ("Colis écrasé", "emballage_packaging", "negatif", ()),
        ("vendeuse", "personnel_accueil", "positif", ("emotions",)),
    ]


def test_bad_rows_of_doccano_are_refused_one_by_one(doccano_file: Path, taxonomy: Taxonomy) -> None:
    found = {(r.row, r.id, r.reason) for r in read_files([doccano_file], taxonomy).rejects}
    assert found == {
        (2, "unfinished", "half_finished"), (3, "beyond", "not_in_text"),
        (4, "unknown", "unknown_label"), (5, "two", "unreadable"), (6, "good", "duplicate_id"),
    }  # fmt: skip


def _row(name: str, **more: Any) -> dict[str, Any]:
    text = "Bel accueil. Prix trop élevés."
    mention = {"q": "Prix trop élevés", "t": "prix_tarif", "l": ["offre"], "p": "negatif"}
    return {"id": name, "text": text, "s": "mixte", "e": [], "m": [mention], "i": [], "w": 0} | more


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row("a", s="super"), "unknown_label"),
        (_row("a", e=["jalousie"]), "unknown_label"),
        (_row("a", i=["acheter"]), "unknown_label"),
        (_row("a", m=[{"q": "Bel accueil", "t": "accueil", "l": [], "p": "positif"}]),
         "unknown_label"),
        (_row("a", m=[{"q": "Bel accueil", "t": "prix_tarif", "l": ["cout"], "p": "positif"}]),
         "unknown_label"),
        (_row("a", m=[{"q": "Bel acceuil", "t": "prix_tarif", "l": [], "p": "positif"}]),
         "not_in_text"),
        (_row("a", m=[{"q": "", "t": "prix_tarif", "l": [], "p": "positif"}]), "not_in_text"),
        (_row("a", done=False), "half_finished"),
        (_row("a", s=None), "half_finished"),
        (_row("a", m=[{"q": "Bel accueil", "t": "prix_tarif", "l": [], "p": None}]),
         "half_finished"),
        ({"id": "a", "text": "Bien."}, "unreadable"),
        (_row("a", text=" ", m=[]), "unreadable"),
        (["a"], "unreadable"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_row_is_refused_and_the_good_one_kept(
    row: Any, reason: str, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    checked = read_files([_write(tmp_path / "a.jsonl", [_row("b"), row])], taxonomy)
    assert [one.id for one in checked.good] == ["b"]
    assert [(r.row, r.reason) for r in checked.rejects] == [(2, reason)]


def test_an_id_that_stands_twice_is_refused(taxonomy: Taxonomy, tmp_path: Path) -> None:
    checked = read_files([_write(tmp_path / "a.jsonl", [_row("b"), _row("b", s="neutre")])],
                         taxonomy)  # fmt: skip
    assert [one.sentiment for one in checked.good] == ["mixte"]
    assert [(r.row, r.reason) for r in checked.rejects] == [(2, "duplicate_id")]


def test_two_people_may_annotate_one_comment(taxonomy: Taxonomy, tmp_path: Path) -> None:
    rows = [_row("b", annotator="anne"), _row("b", annotator="paul", s="negatif")]
    assert len(read_files([_write(tmp_path / "a.jsonl", rows)], taxonomy).good) == 2


def test_one_id_with_two_texts_is_refused(taxonomy: Taxonomy, tmp_path: Path) -> None:
    rows = [_row("b", annotator="anne"), _row("b", annotator="paul", text="Non.", m=[])]
    checked = read_files([_write(tmp_path / "a.jsonl", rows)], taxonomy)
    assert [r.reason for r in checked.rejects] == ["duplicate_id"]


def test_a_line_that_is_not_json_is_refused(taxonomy: Taxonomy, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [_row("b")])
    path.write_text(path.read_text("utf-8") + "{half", encoding="utf-8")
    checked = read_files([path], taxonomy)
    assert (len(checked.good), checked.rejects[0].reason) == (1, "unreadable")


def test_a_file_that_is_not_there_is_named(taxonomy: Taxonomy, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl: cannot be read"):
        read_files([tmp_path / "none.jsonl"], taxonomy)


# --- agreement ----------------------------------------------------------------------------------


def test_kappa_is_that_of_a_worked_example() -> None:
    """Ten comments, eight alike, both say joie of half: (0.8 − 0.5) / (1 − 0.5)."""
    said = [(1, 1)] * 4 + [(0, 0)] * 4 + [(1, 0), (0, 1)]
    some = [
        Annotated(f"c{i}", "t", "positif", ("joie",) if joy else (), annotator=who)
        for i, both in enumerate(said)
        for who, joy in zip(("anne", "paul"), both, strict=True)
    ]
    sentiment, joy = agreement(some)
    assert (joy.label, joy.comments, joy.share) == ("joie", 10, 0.8)
    assert joy.kappa == pytest.approx(0.6)
    assert (sentiment.share, sentiment.kappa) == (1, None)


def test_comments_of_one_person_say_nothing_of_agreement() -> None:
    assert agreement([ONE]) == []


# --- sets ---------------------------------------------------------------------------------------


def test_an_import_is_the_next_version_of_a_set(
    label_studio_file: Path, doccano_file: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    for number, file in enumerate((label_studio_file, doccano_file), 1):
        done = add(ours, read_files([file], taxonomy), [file], taxonomy.name)
        assert done.folder.name == f"000{number}"
    assert [r["id"] for r in _lines(annotations_file(ours))] == ["both", "good"]
    assert [r["id"] for r in _lines(ours / "0001" / "annotations.jsonl")] == ["both"]


def test_training_reads_what_was_imported(
    label_studio_file: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    add(tmp_path / "ours", read_files([label_studio_file], taxonomy), [label_studio_file], "1")
    (example,) = read_annotated(annotations_file(tmp_path / "ours"))
    assert [(example.text[m.start : m.end], m.touchpoint) for m in example.mentions] == [
        ("Deux heures de queue", "attente_caisse"), ("au guichet", "magasin_boutique"),
    ]  # fmt: skip


def test_rejects_and_further_annotations_are_kept(
    label_studio_file: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    checked = read_files([label_studio_file], taxonomy)
    done = add(tmp_path / "ours", checked, [label_studio_file], taxonomy.name)
    rejects = _lines(done.folder / "rejects.jsonl")
    assert [r["reason"] for r in rejects] == [r.reason for r in checked.rejects]
    assert [r["s"] for r in _lines(done.folder / "doubles.jsonl")] == ["mixte"]
    assert yaml.safe_load((done.folder / "about.yaml").read_text("utf-8"))["doubles"] == 1


def test_the_same_files_make_no_new_version(
    doccano_file: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    first, second = (
        add(tmp_path / "ours", read_files([doccano_file], taxonomy), [doccano_file], "1")
        for _ in range(2)
    )
    assert (first.folder, first.new, second.new) == (second.folder, True, False)


def test_a_later_annotation_replaces_the_earlier(taxonomy: Taxonomy, tmp_path: Path) -> None:
    for name, s in (("a", "mixte"), ("b", "negatif")):
        file = _write(tmp_path / f"{name}.jsonl", [_row("x", s=s), _row("y")])
        done = add(tmp_path / "ours", read_files([file], taxonomy), [file], taxonomy.name)
    assert (done.added, done.replaced, done.total) == (0, 1, 2)
    assert [r["s"] for r in _lines(annotations_file(tmp_path / "ours"))] == ["negatif", "mixte"]


def test_the_annotation_marked_as_settled_is_learnt(tmp_path: Path) -> None:
    some = [Annotated("x", "t", "mixte", annotator="anne"),
            Annotated("x", "t", "neutre", annotator="paul", settled=True)]  # fmt: skip
    done = add(tmp_path / "ours", Checked(some, [], 1), [], "1")
    assert [r["s"] for r in _lines(done.folder / "annotations.jsonl")] == ["neutre"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("!")
    with pytest.raises(UsageError, match="is not a set of annotations"):
        add(tmp_path, Checked(), [], "1")


def test_the_row_of_an_annotation_is_that_of_the_guide() -> None:
    row = own_row(ONE)
    assert list(row)[:7] == ["id", "text", "s", "e", "m", "i", "w"]
    assert row["m"][1]["q"] == TEXT[row["m"][1]["start"] :][:20]


# --- the commands -------------------------------------------------------------------------------


def test_the_commands_send_out_and_take_back(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(["annotate", "export", warehouse.root, "--count", "10", "--format", "jsonl",
         "--output", str(tmp_path / "todo")], standalone_mode=False)  # fmt: skip
    file = tmp_path / "todo" / "comments.jsonl"
    assert "10 of 40 comments: random 2" in capsys.readouterr().out
    rows = _lines(file)
    _write(file, [{**row, "done": True} for row in rows[:9]] + rows[9:])
    app(["annotate", "import", str(file), "--output", str(tmp_path / "ours")],
        standalone_mode=False)  # fmt: skip
    told = capsys.readouterr().out
    assert "9 comments, 9 new, 0 replaced, of 10 rows read" in told
    assert "half_finished" in told
