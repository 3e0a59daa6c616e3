"""A night keeps every row, does nothing twice, and follows what changes in its sources."""

import csv
import hashlib
import math
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.errors import ConfigError, SourceError
from cxnlp.invariants import check
from cxnlp.warehouse import Warehouse

Row = dict[str, str]
HEADER = ("id", "date", "auteur", "note", "texte", "reponse", "reponse_le")
FIELDS = {
    "native_id": "id", "published_at": "date", "author": "auteur", "rating": "note",
    "text": "texte", "reply_text": "reponse", "reply_at": "reponse_le",
}  # fmt: skip
LONG = "Deux heures de queue au guichet et personne pour nous renseigner, quelle honte !"
LINEAGE = ("run_id", "analysed_at")
METRICS = (schema.TOUCHPOINT_SCORES, schema.SENTIMENT_TREND, schema.EMOTION_TREND)


class Place:
    """A folder with a configuration of small sources, and the tables made of them."""

    def __init__(self, folder: Path, analyzer: Analyzer, model: Path) -> None:
        self.folder, self.analyzer = folder, analyzer
        self.config = folder / "config.yaml"
        self.data: dict[str, Any] = {
            "warehouse": str(folder / "warehouse"), "model": str(model), "sources": [],
        }  # fmt: skip
        self.source("avis")

    def source(self, name: str) -> None:
        files = str(self.folder / name / "*.csv")
        self.data["sources"].append({"name": name, "files": files, "fields": FIELDS})

    def put(self, *rows: Row, name: str = "avis", file: str = "a.csv") -> None:
        path = self.folder / name / file
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, HEADER, delimiter=";", restval="")
            writer.writeheader()
            writer.writerows(rows)

    def run(self, first: date | None = None, last: date | None = None) -> night.Analysed:
        """Ingest and analyse."""
        tonight = self._begin(first, last)
        with tonight.warehouse.hold(tonight.run_id):
            self.ingested = [night.ingest(tonight, s) for s in tonight.settings.sources]
            return night.analyse(tonight, self.analyzer)

    def whole_night(self) -> dict[str, Any]:
        """Also measure and check; return the row of `runs`."""
        return dict(night.run(self._begin(None, None), self.analyzer).to_pylist()[0])

    def _begin(self, first: date | None, last: date | None) -> night.Night:
        self.config.write_text(yaml.safe_dump(self.data), encoding="utf-8")
        return night.Night.begin(load_settings(self.config), first, last)

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.data["warehouse"])

    def rows(self, table: schema.Table = schema.COMMENTS) -> dict[str, dict[str, Any]]:
        """Return rows by the id that the source gave, or by the first column of their key."""
        key = "native_id" if table is schema.COMMENTS else table.key[-1]
        return {row[key]: row for row in self.warehouse.read(table).to_pylist()}

    def problems(self) -> list[str]:
        return problems(self.warehouse, self.analyzer)


@pytest.fixture
def place(tmp_path: Path, analyzer: Analyzer, tiny_model: Path) -> Place:
    return Place(tmp_path, analyzer, tiny_model)


def row(name: str, text: str = "", day: str = "2026-09-14", **more: str) -> Row:
    written = {
        "id": name,
        "date": day,
        "auteur": "Ana",
        "note": "4",
        "texte": text or f"Lit {name}.",
    }
    return written | more


def problems(warehouse: Warehouse, analyzer: Analyzer) -> list[str]:
    stages = {t.id: t.stage for t in analyzer.taxonomy.touchpoints}
    return check(warehouse, stages, {lever.id for lever in analyzer.taxonomy.levers})


def bytes_of(warehouse: Warehouse) -> dict[str, str]:
    root = Path(warehouse.root) / "tables"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.parquet"))
    }


def content(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """Return every table without what names the run."""
    tables = (schema.COMMENTS, schema.MENTIONS, schema.REJECTS, *METRICS)
    return {
        table.name: warehouse.read(table)
        .drop_columns([name for name in LINEAGE if name in table.names])
        .sort_by([(name, "ascending") for name in table.key])
        .to_pylist()
        for table in tables
    }


def test_a_row_that_is_read_becomes_a_comment(place: Place) -> None:
    place.put(row("1"), row("2", "Trop cher."))
    ran = place.whole_night()
    assert (ran["rows_read"], ran["comments"], ran["comments_written"]) == (2, 2, 2)
    assert place.rows()["2"]["text"] == "Trop cher."


def test_a_source_with_a_header_alone_gives_empty_tables(place: Place) -> None:
    place.put()
    ran = place.whole_night()
    assert (ran["files_read"], ran["comments"], ran["mentions"]) == (1, 0, 0)
    assert len(place.warehouse.read(schema.SENTIMENT_TREND)) == 0


def test_a_missing_file_is_told_and_leaves_no_tables(place: Place) -> None:
    with pytest.raises(SourceError, match=r"source avis: no file matches"):
        place.run()
    assert bytes_of(place.warehouse) == {}


def test_a_row_that_is_edited_is_the_only_one_written(place: Place) -> None:
    place.put(row("1"), row("2"), row("3", "Trop cher."))
    place.run()
    before = place.rows()
    place.put(row("1"), row("2"), row("3", "Trop cher, vraiment."))
    ran = place.run()
    after = place.rows()
    assert (ran.texts, ran.written) == (1, 1)
    assert after["3"]["text"] == "Trop cher, vraiment."
    assert after["3"]["comment_id"] == before["3"]["comment_id"]
    assert after["3"]["run_id"] != before["3"]["run_id"]
    assert (after["1"], after["2"]) == (before["1"], before["2"])


def test_a_row_that_is_added_is_the_only_one_written(place: Place) -> None:
    place.put(row("1"), row("2"))
    place.run()
    before = place.rows()
    place.put(row("0"), row("1"), row("2"))
    assert place.run().written == 1
    assert {name: place.rows()[name] for name in before} == before


def test_a_row_that_is_no_longer_exported_is_kept(place: Place) -> None:
    place.put(row("1"), row("2"))
    place.run()
    place.put(row("2"))
    place.run()
    assert sorted(place.rows()) == ["1", "2"]


def test_a_file_put_back_as_it_was_is_read_again(place: Place) -> None:
    for text in ("Trop cher.", "Trop cher, vraiment.", "Trop cher."):
        place.put(row("1", text))
        place.run()
    assert place.rows()["1"]["text"] == "Trop cher."


def test_an_answer_that_arrives_later_is_added_to_its_comment(place: Place) -> None:
    place.put(row("1"), row("2"))
    place.run()
    before = place.rows()["1"]
    place.put(row("1", reponse="Merci !", reponse_le="2026-09-21"), row("2"))
    assert place.run().written == 1
    after = place.rows()["1"]
    assert after["reply_text"] == "Merci !"
    assert after["reply_at"].date() == date(2026, 9, 21)
    kept = ("comment_id", "text", *(f"emotion_{e}" for e in schema.EMOTIONS), "touchpoints")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_a_comment_that_moves_to_another_month_leaves_the_old_one(place: Place) -> None:
    place.put(row("1", LONG), row("2", "Trop cher.", "2026-10-02"))
    place.run()
    place.put(row("1", LONG, "2026-10-05"), row("2", "Trop cher.", "2026-10-02"))
    place.run()
    assert place.warehouse.parts(schema.COMMENTS) == [("avis", "2026-10")]
    assert {period for _, period in place.warehouse.parts(schema.MENTIONS)} <= {"2026-10"}
    assert place.problems() == []


def test_a_comment_without_a_date_has_its_place(place: Place) -> None:
    place.put(row("1", day=""))
    place.run()
    assert place.warehouse.parts(schema.COMMENTS) == [("avis", "sans-date")]


def test_partitions_may_be_days(place: Place) -> None:
    place.data["partition"] = "day"
    place.put(row("1", day="2026-09-14"), row("2", day="2026-09-15"))
    place.run()
    assert place.warehouse.parts(schema.COMMENTS) == [
        ("avis", "2026-09-14"),
        ("avis", "2026-09-15"),
    ]


def test_a_change_from_months_to_days_doubles_no_comment(place: Place) -> None:
    place.put(row("1", day="2026-09-14"), row("2", "Trop cher.", day="2026-09-15"))
    place.run()
    place.data["partition"] = "day"
    place.put(row("1", day="2026-09-14"), row("2", "Trop cher, oui.", day="2026-09-15"))
    place.run()
    assert len(place.warehouse.read(schema.COMMENTS)) == 2
    assert place.warehouse.parts(schema.COMMENTS) == [
        ("avis", "2026-09-14"),
        ("avis", "2026-09-15"),
    ]
    assert place.problems() == []


def test_of_one_long_comment_in_two_sources_the_later_is_a_duplicate(place: Place) -> None:
    two_sources(place)
    place.run()
    first, second = place.rows()["1"], place.rows()["2"]
    assert (first["set_aside"], second["set_aside"]) == (None, "doublon")
    assert second["duplicate_of"] == first["comment_id"]
    assert second["sentiment"] is None
    assert (
        second["comment_id"]
        not in place.warehouse.read(schema.MENTIONS, ("comment_id",))["comment_id"].to_pylist()
    )


def test_a_duplicate_is_analysed_when_the_one_kept_is_edited(place: Place) -> None:
    two_sources(place)
    place.run()
    place.put(row("1", "Finalement remboursés, très bon accueil au téléphone du service client."))
    ran = place.run()
    second = place.rows()["2"]
    assert (second["set_aside"], second["duplicate_of"]) == (None, None)
    assert second["sentiment"] is not None
    assert (ran.written, ran.texts) == (2, 1)  # of the second one the labels were kept
    assert place.problems() == []


def test_an_earlier_copy_that_arrives_late_is_the_one_kept(place: Place) -> None:
    two_sources(place)
    place.run()
    place.put(row("0", LONG, "2026-08-01"), file="late.csv")
    place.run()
    found = {name: one["set_aside"] for name, one in place.rows().items()}
    assert found == {"0": None, "1": "doublon", "2": "doublon"}
    assert {place.rows()[n]["duplicate_of"] for n in "12"} == {place.rows()["0"]["comment_id"]}


def test_days_bound_what_is_analysed(place: Place) -> None:
    place.put(row("1", day="2026-09-13"), row("2", day="2026-09-14"), row("3", day="2026-09-15"))
    place.run(date(2026, 9, 14), date(2026, 9, 14))
    assert place.ingested[0].comments == 3
    assert sorted(place.rows()) == ["2"]


def test_bounded_runs_and_a_full_one_make_the_tables_of_one_full_run(
    tmp_path: Path, analyzer: Analyzer, tiny_model: Path
) -> None:
    found = []
    bounds: list[Any] = [[(None, None)], [(date(2026, 10, 1), None), (None, date(2026, 9, 14)),
                                          (None, None)]]  # fmt: skip
    for name, nights in zip(("one", "several"), bounds, strict=True):
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name, analyzer, tiny_model)
        place.data["sources"][0]["files"] = str(tmp_path / "avis" / "*.csv")
        place.folder = tmp_path
        place.put(
            row("1", LONG, "2026-10-03"), row("2", LONG, "2026-09-14"), row("3", "Parfait."),
            row("4", "Trop cher.", "2026-09-20"), row("5", "Sans date.", ""),
            row("6", "Impossible.", "2026-02-31"),
        )  # fmt: skip
        for first, last in nights:
            place.run(first, last)
        place.whole_night()
        (tmp_path / name / "warehouse" / "state" / "author.key").replace(tmp_path / f"{name}.key")
        found.append(content(place.warehouse))
        for comment in found[-1]["comments"]:
            assert len(comment.pop("author_key")) == 32
            comment.pop("row_digest")
        for reject in found[-1]["rejects"]:
            reject.pop("author_key")
    assert same(*found)


def test_a_late_file_adds_its_rows_to_an_old_month(place: Place) -> None:
    place.put(row("1"))
    place.run()
    before = place.rows()["1"]
    place.put(row("2", "Trop cher."), row("3", day="2026-07-01"), file="late.csv")
    ran = place.run()
    assert (place.ingested[0].files, ran.written) == (1, 2)
    assert place.rows()["1"] == before
    assert [period for _, period in place.warehouse.parts(schema.COMMENTS)] == [
        "2026-07",
        "2026-09",
    ]


def test_other_languages_and_empty_texts_are_set_aside_with_a_reason(place: Place) -> None:
    place.put(row("1", "The staff was friendly and the rooms were very clean."), row("2", " "))
    assert place.run().texts == 0
    assert [place.rows()[n]["set_aside"] for n in "12"] == ["langue", "vide"]


def test_a_reject_is_replaced_when_its_file_is_mended(place: Place) -> None:
    place.put(row("1", day="2026-02-31"), row("2"))
    place.run()
    assert [r["reason"] for r in place.rows(schema.REJECTS).values()] == ["date"]
    place.put(row("1"), row("2"))
    place.run()
    assert place.rows(schema.REJECTS) == {}
    assert place.problems() == []


def test_each_run_has_its_row(place: Place) -> None:
    place.put(row("1"))
    ids = [place.whole_night()["run_id"] for _ in range(2)]
    assert place.warehouse.read(schema.RUNS, ("run_id",))["run_id"].to_pylist() == ids


def test_a_key_that_is_not_set_says_how_to_make_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLE_DES_AUTEURS", raising=False)
    place.data["privacy"] = {"author_key_env": "CLE_DES_AUTEURS"}
    place.put(row("1"))
    with pytest.raises(ConfigError, match=r"export CLE_DES_AUTEURS=.*secrets\.token_hex"):
        place.run()


def test_an_object_store_keeps_no_key_in_the_open(place: Place) -> None:
    place.data["warehouse"] = "memory://sans-cle"
    place.put(row("1"))
    with pytest.raises(ConfigError, match="author_key_env"):
        place.run()


def test_a_warehouse_may_be_an_object_store(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLE_DES_AUTEURS", "une clé")
    place.data |= {"warehouse": "memory://nuit", "privacy": {"author_key_env": "CLE_DES_AUTEURS"}}
    place.put(row("1"), row("2", "Trop cher.", "2026-10-02"))
    assert place.whole_night()["comments_written"] == 2
    assert place.run().written == 0
    assert len(place.warehouse.read(schema.SENTIMENT_TREND)) > 0


def test_the_key_is_read_by_its_owner_alone(place: Place) -> None:
    place.put(row("1"))
    place.run()
    key = Path(place.warehouse.root) / "state" / "author.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_pseudonym_is_the_same_in_every_run_and_source(place: Place) -> None:
    place.source("enquete")
    place.put(row("1", auteur="Zoé Quattrocchi"))
    place.put(row("2", auteur=" zoé quattrocchi"), name="enquete")
    place.run()
    place.put(row("1", auteur="Zoé Quattrocchi"), row("3", auteur="ZOÉ QUATTROCCHI"))
    place.run()
    assert len({one["author_key"] for one in place.rows().values()}) == 1


def test_no_table_holds_the_name_of_an_author(place: Place) -> None:
    name = "Zoé Quattrocchi"
    place.put(
        row("1", auteur=name), row("2", auteur=name, day="2026-02-31"),
        row("3", auteur=name, note="12"), row("3", auteur=name), row("3", auteur=name, note="1"),
    )  # fmt: skip
    with (place.folder / "avis" / "a.csv").open("a", encoding="utf-8") as file:
        file.write(f"4;2026-09-14;{name};4\n5;2026-09-14;{name};4;trop;de;choses;ici;encore\n")
    ran = place.whole_night()
    assert (ran["rows_rejected"], ran["comments"]) == (5, 2)
    assert [path for path in bytes_of(place.warehouse) if holds(place, path, "quattrocchi")] == []


@pytest.fixture(scope="module")
def samples(
    tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer, tiny_model: Path
) -> tuple[Warehouse, list[dict[str, Any]], list[dict[str, str]]]:
    """The tables of two nights over the bundled samples; the rows of `runs`; bytes after each."""
    root = Path(__file__).parents[1]
    settings = load_settings(root / "configs" / "demo.yaml").model_copy(
        update={"warehouse": str(tmp_path_factory.mktemp("samples")), "model": str(tiny_model)}
    )
    ran, seen = [], []
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        for _ in range(2):
            ran += night.run(night.Night.begin(settings), analyzer).to_pylist()
            seen.append(bytes_of(Warehouse(settings.warehouse)))
    return Warehouse(settings.warehouse), ran, seen


def test_every_row_of_the_samples_is_a_comment_or_a_reject(samples: Any) -> None:
    warehouse, ran, _ = samples
    files = warehouse.read(schema.FILES)
    assert pc.all(pc.equal(files["rows"], pc.add(files["comments"], files["rejects"]))).as_py()
    assert ran[0]["rows_read"] == 529
    assert ran[0]["comments"] + ran[0]["rows_rejected"] == 529


def test_ids_of_the_samples_are_unique(samples: Any) -> None:
    for table in (schema.COMMENTS, schema.MENTIONS):
        ids = samples[0].read(table, table.key)[table.key[0]]
        assert pc.count_distinct(ids).as_py() == len(ids) > 0


def test_the_tables_of_the_samples_hold_every_invariant(samples: Any, analyzer: Analyzer) -> None:
    assert problems(samples[0], analyzer) == []
    assert samples[0].verify() == []


def test_the_known_dirt_of_the_samples_is_in_rejects_with_its_reason(samples: Any) -> None:
    rejects = samples[0].read(schema.REJECTS).to_pylist()
    found = {(Path(r["file"]).name, r["row"]): r["reason"] for r in rejects}
    survey = "enquete_satisfaction.xlsx"  # its rows are counted from the one below the header
    assert found == {
        ("avis_2026-09.csv", 42): "colonnes",
        ("avis_2026-10.csv", 24): "colonnes",
        ("avis_2026-10.csv", 27): "note",
        ("avis_2026-10.csv", 33): "identifiant",
        ("avis_2026-11.csv", 4): "date",
        ("messages_2026-10.jsonl", 33): "json",
        ("messages_2026-11.jsonl", 25): "date",
        ("messages_2026-11.jsonl", 42): "json",
        (survey, 34): "note",
        (survey, 52): "note",
        (survey, 68): "date",
    }


def test_the_known_repeats_of_the_samples_are_set_aside(samples: Any) -> None:
    comments = samples[0].read(schema.COMMENTS)
    repeated = comments.filter(pc.equal(comments["set_aside"], "doublon"))
    kept = comments["comment_id"].to_pylist()
    assert len(repeated) == 7
    assert {*repeated["duplicate_of"].to_pylist()} <= {*kept}


def test_a_second_run_over_the_samples_analyses_and_writes_nothing(samples: Any) -> None:
    again = samples[1][1]
    counted = ("files_read", "rows_read", "analysed", "comments_written")
    assert [again[name] for name in counted] == [0, 0, 0, 0]
    assert again["comments"] == samples[1][0]["comments"]


def test_a_second_run_over_the_samples_changes_no_byte_but_of_runs(samples: Any) -> None:
    before, after = samples[2]
    assert {path for path in after if after[path] != before.get(path)} == {"runs.parquet"}
    assert before.keys() == after.keys()


def test_masked_data_of_the_samples_are_in_no_table(samples: Any) -> None:
    texts = samples[0].read(schema.COMMENTS, ("text",))["text"].drop_null()
    marks = ("[email]", "[telephone]", "[iban]", "[carte]")
    counts = [pc.sum(pc.match_substring(texts, m)).as_py() for m in marks]
    assert all(counts)
    assert not pc.any(pc.match_substring_regex(texts, r"[\w.]+@\w+\.example")).as_py()


def same(one: Any, other: Any) -> bool:
    """Say whether two contents are equal but for the last digits of sums of floats."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return math.isclose(one, other, abs_tol=1e-5) if isinstance(one, float) else one == other


def two_sources(place: Place) -> None:
    place.source("enquete")
    place.put(row("1", LONG, "2026-09-14"))
    place.put(row("2", LONG.upper(), "2026-10-02"), name="enquete")


def holds(place: Place, path: str, word: str) -> bool:
    """Say whether a word is in the values, the schema or the metadata of a file."""
    file = pq.ParquetFile(Path(place.warehouse.root) / "tables" / path)
    table = file.read()
    values = [str(table.schema), *map(str, (file.metadata.metadata or {}).items())]
    for column in table.columns:
        flat = column
        while pa.types.is_list(flat.type):
            flat = pc.list_flatten(flat)
        values += map(str, flat.to_pylist())
    return any(word in value.casefold() for value in values)
