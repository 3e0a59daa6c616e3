"""Input that means harm, or is only noise, costs its own rows and nothing else."""

import io
import json
import re
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import openpyxl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.clean import KINDS, clean, clean_text, mask
from cxnlp.config import Settings, Source, load_settings
from cxnlp.errors import ConfigError, SourceError
from cxnlp.ingest import FileRead, find_files, read_file
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy

CASES = 4_000  # of each of the three stages that read what strangers wrote
SHEET = "xl/worksheets/sheet1.xml"


def read(path: Path | str, **fields: str) -> FileRead:
    source = Source.model_validate({"name": "a", "files": str(path), "fields": fields})
    (found,) = find_files(source)
    return read_file(found, source, author_key=b"k", mask=KINDS, run_id="r", sequence=1)


# --- names and paths ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../ailleurs", "a/b", "a\\b", "/etc", "..", "", "a\0b", "A"])
def test_a_source_whose_name_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        Source.model_validate({"name": name, "files": "a.csv", "fields": {"text": "t"}})


def test_no_value_of_a_comment_becomes_a_path(tmp_path: Path, analyzer: Analyzer) -> None:
    evil = "../../../ailleurs"
    export = tmp_path / "avis.csv"
    export.write_text(f"id;date;texte;marque\n{evil};2026-09-01;Bien ! {evil};{evil}\n")
    fields = {"native_id": "id", "published_at": "date", "text": "texte", "brand": "marque"}
    folder = tmp_path / "un" / "deux" / "trois" / "warehouse"
    source = {"name": "avis", "files": str(export), "fields": fields}
    tonight = night.Night.begin(
        Settings.model_validate({"warehouse": str(folder), "sources": [source]})
    )
    with tonight.warehouse.hold():
        night.ingest(tonight, tonight.settings.sources[0])
        night.analyse(tonight, analyzer)
    assert not list(tmp_path.rglob("*ailleurs*"))
    assert {p.name for p in tmp_path.rglob("*") if not p.is_relative_to(folder)} == {
        "avis.csv", "un", "deux", "trois",
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["zip://a.csv::b.zip", "filecache::file://a.csv"])
def test_an_archive_is_not_looked_into(pattern: str) -> None:
    with pytest.raises(SourceError, match="chained URLs are not read"):
        read(pattern, text="t")


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['true']", "a: !!python/name:os.system"]
)
def test_a_configuration_makes_no_objects(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_settings(tmp_path / "c.yaml")


# --- workbooks ----------------------------------------------------------------------------------


def workbook(path: Path, *, instead: dict[str, bytes]) -> Path:
    """A workbook of which some members are others; those that were not there are added."""
    book, kept = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["Avis"])
    book.active.append(["Très bien"])
    book.save(kept)
    with zipfile.ZipFile(kept) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, instead.get(name, old.read(name)))
        for name in instead.keys() - {*old.namelist()}:
            new.writestr(name, instead[name])
    return path


def test_a_member_that_unpacks_to_more_than_it_says_is_not_opened(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", instead={SHEET: b"<" * 9_999_999})
    size, lie = (9_999_999).to_bytes(4, "little"), (1_000).to_bytes(4, "little")
    assert path.read_bytes().count(size) == 2
    path.write_bytes(path.read_bytes().replace(size, lie))
    tracemalloc.start()
    with pytest.raises(SourceError, match="it is not opened"):
        read(path, text="Avis")
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_members_named_like_paths_write_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "un" / "deux"
    folder.mkdir(parents=True)
    path = workbook(folder / "a.xlsx", instead={"../../ailleurs.csv": b"x", "/ailleurs": b"x"})
    assert read(path, text="Avis").comments["text"].to_pylist() == ["Très bien"]
    assert not list(tmp_path.rglob("*ailleurs*"))


def test_entities_of_a_workbook_are_not_unfolded(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    sheet = (
        f'<?xml version="1.0"?><!DOCTYPE x [{laughs}]><worksheet xmlns="http://schemas.'
        'openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1" '
        't="inlineStr"><is><t>Avis</t></is></c></row><row r="2"><c r="A2" t="inlineStr"><is><t>'
        "&l9;</t></is></c></row></sheetData></worksheet>"
    )
    path = workbook(tmp_path / "a.xlsx", instead={SHEET: sheet.encode()})
    try:
        texts = read(path, text="Avis").comments["text"].to_pylist()
    except SourceError:
        texts = []
    assert "lollol" not in str(texts)


def test_a_formula_of_a_workbook_is_not_carried_out(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Id", "Avis"])
    book.active.append([1, '=HYPERLINK("https://ailleurs.example","Très bien")'])
    book.save(tmp_path / "a.xlsx")
    (text,) = read(tmp_path / "a.xlsx", text="Avis").comments["text"].to_pylist()
    assert "ailleurs" not in text


def test_json_without_end_of_nesting_is_one_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"Avis": "un"}\n' + '{"Avis":' * 50_000 + "\n" + '{"Avis": "deux"}\n')
    result = read(path, text="Avis")
    assert result.comments["text"].to_pylist() == ["un", "deux"]
    assert result.rejects.num_rows == 1


# --- ten thousand cases and more ----------------------------------------------------------------

PIECES = st.sampled_from([
    '"', ";", ",", "\t", "\n", "\r\n", "\r", "{", "}", "[", "]", ":", "null", "NaN", "\\ud83d",
    "\\u0000", "é", "Ã©", "\0", "\ufeff", "Avis", "Note", "Date", "Nom", "31/02/2026", "1e400",
    "2026-09-14T08:00:00Z", "99", "4,5", "=1+1", "<b>", "&lt;", "😡", "e\u0301", "\u202e", "\u2028",
    "Deux heures de queue", "l’accueil", "jean@free.fr", "06 12 34 56 78", " mais ", "… ", "[nom]",
    "http://", "@nom", "ooooo", "x" * 300,
])  # fmt: skip
NOISE = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80)
MANY = settings(
    max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
HEADS = {
    "a.csv": b"Id;Avis;Note;Date;Nom\n1;Bien;5;2026-09-14;Zoe\n",
    "a.jsonl": b'{"Id": 1, "Avis": "Bien", "Note": 5, "Date": "2026-09-14", "Nom": "Zoe"}\n',
    "a.json": b"",
}
FIELDS = {"native_id": "Id", "text": "Avis", "rating": "Note", "published_at": "Date",
          "author": "Nom"}  # fmt: skip


@pytest.mark.slow
@MANY
@given(
    st.sampled_from(sorted(HEADS)),
    NOISE.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200),
)
def test_whatever_a_file_holds_every_row_is_counted(name: str, noise: bytes) -> None:
    files = fsspec.filesystem("memory")
    files.pipe(f"/{name}", HEADS[name] + noise)
    try:
        result = read(f"memory://{name}", **FIELDS)
    except SourceError:
        return
    finally:
        files.rm(f"/{name}")
    about: dict[str, Any] = result.file.to_pylist()[0]
    assert about["rows"] == result.comments.num_rows + result.rejects.num_rows
    rows = result.comments["row"].to_pylist() + result.rejects["row"].to_pylist()
    assert sorted(rows) == list(range(1, about["rows"] + 1))
    assert len({*result.comments["comment_id"].to_pylist()}) == result.comments.num_rows
    marks = result.comments["rating"].drop_null().to_pylist()
    assert all(1 <= mark <= 5 for mark in marks)
    assert result.comments.schema == schema.RAW.arrow


@pytest.mark.slow
@MANY
@given(NOISE)
def test_whatever_a_text_holds_it_is_cleaned_once_and_for_all(text: str) -> None:
    written = re.sub("[\ud800-\udfff]", "", text)
    result = clean(pa.array([written]))
    (cleaned,) = result.texts.to_pylist()
    (reason,) = result.set_aside.to_pylist()
    assert reason in (None, "vide", "langue")
    assert cleaned is not None or reason == "vide"
    if cleaned is not None:
        assert clean(pa.array([cleaned])).texts.to_pylist() == [cleaned]
        assert mask(cleaned) == cleaned == clean_text(cleaned)
        assert json.loads(json.dumps(cleaned)) == cleaned
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", cleaned)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(load_taxonomy("configs/taxonomy.yaml"))


@pytest.mark.slow
@MANY
@given(text=NOISE)
def test_whatever_a_text_holds_its_clauses_and_hits_lie_within(
    segmenter: Segmenter, text: str
) -> None:
    (cleaned,) = clean(pa.array([re.sub("[\ud800-\udfff]", "", text)])).texts.to_pylist()
    text = cleaned or ""
    found = segmenter.split([text])
    segments, hits = found.segments, found.hits
    places = list(zip(segments.start.tolist(), segments.end.tolist(), strict=True))
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    inside = {at for start, end in places for at in range(start, end)}
    assert not [c for at, c in enumerate(text) if c.isalpha() and at not in inside]
    assert all(segments.start[hits.segment] <= hits.start)
    assert all(hits.end <= segments.end[hits.segment])
