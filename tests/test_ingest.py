"""Facts about reading files: formats, encodings, recovery, mapping, ids, privacy."""

import contextlib
import csv
import datetime as dt
import doctest
import hashlib
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import fsspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxnlp import schema
from cxnlp.config import Settings, Source
from cxnlp.errors import SourceError
from cxnlp.ingest import FileRead, find_files, objects, read_file, recognise, separated, values
from cxnlp.ingest import files as files_module
from cxnlp.ingest.separated import read_separated
from cxnlp.ingest.values import dates, ratings

KINDS = ("email", "telephone", "iban", "carte", "nir")
UTC = dt.UTC


def read(path: Path | str, key: bytes | None = b"secret", **options: object) -> FileRead:
    """Read one file, and hold the equation that every read must keep."""
    fields = options.pop("fields", {"text": "Avis"})
    source = Source.model_validate(
        {"name": "essai", "files": str(path), "fields": fields} | options
    )
    (found,) = find_files(source)
    result = read_file(found, source, author_key=key, mask=KINDS, run_id="r1", sequence=3)
    assert result.comments.schema == schema.RAW.arrow
    assert result.rejects.schema == schema.REJECTS.arrow
    assert result.file.schema == schema.FILES.arrow
    about = result.file.to_pylist()[0]
    assert about["rows"] == about["comments"] + about["rejects"]
    assert about["comments"] == result.comments.num_rows
    assert about["rejects"] == result.rejects.num_rows
    numbers = result.comments["row"].to_pylist() + result.rejects["row"].to_pylist()
    assert sorted(numbers) == list(range(1, about["rows"] + 1))
    assert len(set(result.comments["comment_id"].to_pylist())) == about["comments"]
    return result


def write(folder: Path, content: str | bytes, name: str = "a.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def workbook(path: Path, *rows: list[object]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def column(result: FileRead, name: str) -> list[object]:
    return result.comments[name].to_pylist()


def reasons(result: FileRead) -> list[tuple[int, str]]:
    return [(r["row"], r["reason"]) for r in result.rejects.to_pylist()]


def utc(cell: object, zone: str = "Europe/Paris", stated: str | None = None, **kind: bool) -> str:
    values, problems = dates([cell], zone, stated, **kind)
    if problems:
        return problems[0]
    moment = dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=values[0] or 0)
    return moment.isoformat().replace("+00:00", "Z")


# -- finding files


def test_files_come_sorted_by_name_and_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        write(tmp_path, "Avis\n", name)
    patterns = [f"{tmp_path}/*.csv", f"{tmp_path}/b.csv"]
    found = find_files(Source(name="s", files=patterns, fields={"text": "Avis"}))
    assert [Path(f.path).name for f in found] == ["a.csv", "b.csv"]


def test_a_relative_pattern_gives_relative_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports").mkdir()
    write(tmp_path / "exports", "Avis\n")
    monkeypatch.chdir(tmp_path)
    found = find_files(Source(name="s", files="exports/*.csv", fields={"text": "Avis"}))
    assert found[0].name == "exports/a.csv"


def test_a_pattern_without_files_says_pattern_and_folder(tmp_path: Path) -> None:
    source = Source(name="s", files=f"{tmp_path}/*.csv", fields={"text": "Avis"})
    with pytest.raises(SourceError, match=rf"\*\.csv.*looked in {tmp_path}"):
        find_files(source)


def test_every_pattern_must_match(tmp_path: Path) -> None:
    write(tmp_path, "Avis\n")
    patterns = [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]
    with pytest.raises(SourceError, match=r"b\.csv"):
        find_files(Source(name="s", files=patterns, fields={"text": "Avis"}))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder; write"):
        find_files(Source(name="s", files=str(tmp_path), fields={"text": "Avis"}))


def test_lock_files_of_office_programs_are_not_taken(tmp_path: Path) -> None:
    for name in ("a.csv", "~$a.csv", ".~lock.a.csv"):
        write(tmp_path, "Avis\n", name)
    found = find_files(Source(name="s", files=f"{tmp_path}/*.csv", fields={"text": "Avis"}))
    assert len(found) == 1


def test_files_are_read_from_any_fsspec_filesystem() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe("/boite/a.csv", "Avis;Note\nTrès bien;5\n".encode())
    try:
        assert column(read("memory://boite/*.csv"), "text") == ["Très bien"]
    finally:
        fs.rm("/boite", recursive=True)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Avis\nOui\n"))
    assert result.file["digest"][0].as_py() == hashlib.sha256(b"Avis\nOui\n").hexdigest()


# -- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_french_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "Note;Avis\n5;Déçu, l’œuvre coûte 5 €\n", encoding=encoding)
    result = read(path)
    assert column(result, "text") == ["Déçu, l’œuvre coûte 5 €"]
    assert result.file["encoding"][0].as_py() == encoding


def test_a_byte_unknown_to_cp1252_costs_only_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, b"Note;Avis\n5;D\xe9\xe7u\n4;\x81trange\n3;\xc9t\xe9\n")
    result = read(path)
    assert column(result, "text") == ["Déçu", "Été"]
    assert result.rejects.to_pylist()[0]["raw"] == "4;\\x81trange"
    assert reasons(result) == [(2, "encodage")]


def test_a_byte_unknown_to_the_stated_encoding_costs_only_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, b"Avis;Note\nDe\xcc\x81\xc3\xa9;5\nD\xe9;4\n\xc3\xa9;3\n")
    result = read(path, encoding="utf-8")
    assert reasons(result) == [(2, "encodage")]


def test_one_bad_byte_does_not_turn_a_utf8_file_into_cp1252(tmp_path: Path) -> None:
    path = write(tmp_path, "Avis;Note\nété à l’hôtel;5\n".encode() + b"rat\xe9;1\n")
    result = read(path)
    assert column(result, "text") == ["été à l’hôtel"]
    assert reasons(result) == [(2, "encodage")]


def test_a_bad_byte_in_json_lines_costs_only_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, '{"Avis": "été"}\n'.encode() + b'{"Avis": "\xe9"}\n', "a.jsonl")
    assert reasons(read(path)) == [(2, "encodage")]


def test_a_stated_encoding_against_the_byte_order_mark_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="remove `encoding:`"):
        read(write(tmp_path, "Avis\nété\n", encoding="utf-8-sig"), encoding="cp1252")


def test_utf16_without_its_mark_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="UTF-16"):
        read(write(tmp_path, "Avis;Note\nbien;5\n", encoding="utf-16-le"))


# -- separated values


@pytest.mark.parametrize("separator", [";", ",", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    rows = ["Note;Avis;Lieu", '5;"Oui, non; peut-être|bof";Lyon', "4;Bien;Paris"]
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(csv.reader(rows, delimiter=";"))
    result = read(write(tmp_path, out.getvalue()))
    assert column(result, "text") == ["Oui, non; peut-être|bof", "Bien"]
    assert result.file["separator"][0].as_py() == separator


def test_a_file_of_one_column_keeps_its_commas(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Avis\nBien, mais cher ; bof\n"))
    assert column(result, "text") == ["Bien, mais cher ; bof"]
    assert result.file["separator"][0].as_py() is None


def test_a_first_line_sep_states_the_separator(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "sep=|\nAvis|Note\na;b|5\n")), "text") == ["a;b"]


def test_quoted_fields_keep_line_breaks_and_doubled_quotes(tmp_path: Path) -> None:
    result = read(write(tmp_path, 'Avis;Note\r\n"Dit ""oui""\r\npuis; non";5\r\nb;4\r\n'))
    assert column(result, "text") == ['Dit "oui"\r\npuis; non', "b"]


def test_old_mac_line_ends_are_read(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "Avis;Note\ra;5\rb;4\r")), "text") == ["a", "b"]


@pytest.mark.parametrize("row", ["trop;5;de;cellules", "peu"])
def test_a_ragged_row_is_refused_and_its_neighbours_are_kept(tmp_path: Path, row: str) -> None:
    result = read(write(tmp_path, f"Avis;Note\na;5\n{row}\nb;4\n"))
    assert column(result, "text") == ["a", "b"]
    assert reasons(result) == [(2, "colonnes")]


def test_a_ragged_row_of_two_lines_is_one_reject(tmp_path: Path) -> None:
    result = read(write(tmp_path, 'Avis;Note\n"a\nsuite";5;x\nb;4\n'))
    assert reasons(result) == [(1, "colonnes")]


def test_surplus_cells_that_are_empty_are_no_reason_to_refuse(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "Avis;Note\na;5;;\n")), "text") == ["a"]


@pytest.mark.parametrize(
    "after",
    [
        '2;bon;4\n3;"très bien";5\n',  # the next quote opens a cell
        '2;bon;4\n3;un écran 27";5\n',  # the next quote happens to close it
        "2;bon;4\n3;correct;5\n",  # there is no other quote
        '2;"sur\ndeux lignes";4\n3;correct;5\n',
    ],
)
def test_an_unclosed_quote_swallows_no_good_row(tmp_path: Path, after: str) -> None:
    result = read(write(tmp_path, f'Id;Avis;Note\n0;bon;3\n1;"jamais fermé;5\n{after}'))
    assert column(result, "row") == [1, 3, 4]
    assert reasons(result) == [(2, "colonnes")]


def test_an_unclosed_quote_is_recovered_without_columns_of_numbers(tmp_path: Path) -> None:
    result = read(write(tmp_path, 'Avis;Ville\n"jamais fermé;Lyon\nbon;Paris\n"bien";Nice\n'))
    assert column(result, "text") == ["bon", "bien"]


def test_an_unclosed_quote_at_the_end_costs_one_row(tmp_path: Path) -> None:
    result = read(write(tmp_path, 'Avis;Note\na;1\n"b;2'))
    assert reasons(result) == [(2, "colonnes")]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('"il dit "oui" et part"', 'il dit "oui" et part'),
        ('"il dit "oui"\net part"', 'il dit "oui"\net part'),
        ('"il dit \\"oui\\""', 'il dit \\"oui\\"'),
        ('"Super" film', '"Super" film'),
        ('écran 27"', 'écran 27"'),
    ],
)
def test_quotes_that_were_not_doubled_are_understood(tmp_path: Path, cell: str, text: str) -> None:
    result = read(write(tmp_path, f"Id;Avis;Note\n1;{cell};5\n2;b;4\n"))
    assert column(result, "text") == [text, "b"]


def test_nul_characters_are_kept_as_written(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "Avis;Note\na\0b;5\n")), "text") == ["a\0b"]


def test_a_field_may_be_longer_than_the_default_limit_of_csv(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    result = read(write(tmp_path, f'Avis;Note\n"{"très " * 40_000}";5\n'))
    assert result.comments["text"][0].as_py() == "très " * 40_000
    assert csv.field_size_limit() == limit


def test_blank_lines_are_not_records(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "\nAvis;Note\n\na;5\n  \nb;4\n\n")), "row") == [1, 2]


def test_header_cells_lose_byte_order_mark_and_spaces(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "\ufeff\ufeff Avis ;Note\na;5\n")), "text") == ["a"]


def test_a_header_alone_is_a_file_of_no_rows(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Avis;Note\n"))
    assert result.file["rows"][0].as_py() == 0


def test_a_column_named_twice_is_an_error_only_if_it_is_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, "Avis;x;x\na;1;2\n")
    assert column(read(path), "text") == ["a"]
    with pytest.raises(SourceError, match="several columns are named 'x'"):
        read(path, fields={"text": "Avis", "title": "x"})


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\x1f"), max_size=12)


@given(rows=st.lists(st.lists(cells, min_size=3, max_size=3), max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    lines = list(io.StringIO(out.getvalue(), newline="\n"))
    spans = read_separated(lines, ";", []).spans
    assert [span.cells for span in spans] == rows


@given(lines=st.lists(st.text('";\na1\r', max_size=12), max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_line_of_any_file_is_lost(lines: list[str]) -> None:
    text = list(io.StringIO("\n".join(["a;b;c", *lines]), newline="\n"))
    spans = read_separated(text, ";", []).spans
    covered = {n for span in spans for n in range(span.first, span.end)}
    assert all(n in covered for n, line in enumerate(text[1:], 1) if line.strip())
    assert sum(span.end - span.first for span in spans) == len(covered)


# -- JSON


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, '{"Avis": "a", "n": 1}\n\n{"Avis": "b"}\n', "a.jsonl")
    assert column(read(path, fields={"text": "Avis", "native_id": "n"}), "native_id") == ["1", None]


def test_a_line_that_is_not_an_object_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, '{"Avis": "a"}\n{"Avis": "b"\n[1]\n"c"\n{"Avis": "d"}\n', "a.jsonl")
    assert reasons(read(path)) == [(2, "json"), (3, "json"), (4, "json")]


def test_an_empty_file_of_json_lines_has_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path, "", "a.jsonl")).file["rows"][0].as_py() == 0


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.xlsx", "a.parquet"])
def test_an_empty_file_of_another_format_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="the file is empty"):
        read(write(tmp_path, "", name))


def test_a_list_of_objects_is_found_at_its_dotted_path(tmp_path: Path) -> None:
    path = write(tmp_path, '{"data": {"reviews": [{"Avis": "a"}, 3]}}', "a.json")
    result = read(path, records="data.reviews")
    assert column(result, "text") == ["a"]
    assert reasons(result) == [(2, "json")]


def test_a_missing_list_says_which_lists_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, '{"data": {"reviews": []}}', "a.json")
    with pytest.raises(SourceError, match=r"lists found: data\.reviews"):
        read(path)


def test_json_lines_under_the_name_json_are_found_out(tmp_path: Path) -> None:
    result = read(write(tmp_path, '{"Avis": "a"}\n{"Avis": "b"}\n', "a.json"))
    assert result.file["format"][0].as_py() == "jsonl"


def test_nested_objects_are_reached_by_dots(tmp_path: Path) -> None:
    data = [{"Avis": "a", "reply": {"comment": "Merci"}}, {"Avis": "b"}]
    path = write(tmp_path, json.dumps(data), "a.json")
    result = read(path, fields={"text": "Avis", "reply_text": "reply.comment"})
    assert column(result, "reply_text") == ["Merci", None]


def test_a_column_with_a_dot_in_its_name_wins(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a.b": "nom", "a": {"b": "chemin"}}', "a.jsonl")
    assert column(read(path, fields={"text": "a.b"}), "text") == ["nom"]


def test_half_an_emoji_in_json_becomes_a_replacement_character(tmp_path: Path) -> None:
    path = write(
        tmp_path, r'{"Avis": "bof \ud83d"}' + "\n" + r'{"Avis": "\ud83d\ude00"}', "a.jsonl"
    )
    assert column(read(path), "text") == ["bof \ufffd", "😀"]


def test_answers_may_be_absent_from_all_objects(tmp_path: Path) -> None:
    path = write(tmp_path, '{"Avis": "a"}\n', "a.jsonl")
    assert column(read(path, fields={"text": "Avis", "reply_text": "r.c"}), "reply_text") == [None]


# -- workbooks and Parquet


def test_a_workbook_is_read_from_its_first_sheet(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        ["Id", "Avis", "Note", "Date"],
        [17, "Bien", 4.5, dt.datetime(2026, 3, 1, 14, 5)],
        [18, "Bof", 2, 46000.5],
    )
    fields = {"native_id": "Id", "text": "Avis", "rating": "Note", "published_at": "Date"}
    result = read(path, fields=fields)
    assert column(result, "native_id") == ["17", "18"]
    assert column(result, "published_at") == [
        dt.datetime(2026, 3, 1, 13, 5, tzinfo=UTC),
        dt.datetime(2025, 12, 9, 11, 0, tzinfo=UTC),
    ]


def test_trailing_empty_rows_of_a_workbook_are_not_records(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ["Avis", "x"], ["a", 1], ["", ""], ["b", 1], [" ", ""])
    assert column(read(path), "text") == ["a", "", "b"]


def test_a_missing_sheet_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there are: Sheet"):
        read(workbook(tmp_path / "a.xlsx", ["Avis"], ["a"]), sheet="Réponses")


def test_a_workbook_that_unpacks_to_far_too_much_is_not_opened(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ["Avis"], ["a"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bombe.xml", b"0" * 20_000_000)
    with pytest.raises(SourceError, match="it is not opened"):
        read(path)


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
    table = {
        "Avis": ["a", None],
        "Note": pa.array([4.0, float("nan")]),
        "Date": pa.array([moment, None], pa.timestamp("ns", "UTC")),
        "r": pa.array([{"t": "Merci"}, None]),
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    fields = {"text": "Avis", "rating": "Note", "published_at": "Date", "reply_text": "r.t"}
    result = read(tmp_path / "a.parquet", fields=fields)
    assert column(result, "text") == ["a", ""]
    assert column(result, "rating") == [4.0, None]
    assert column(result, "published_at") == [moment, None]
    assert column(result, "reply_text") == ["Merci", None]


def test_text_in_parquet_that_is_not_utf8_costs_only_its_row(tmp_path: Path) -> None:
    broken = pa.array([b"a", b"\xe9", b"b"]).view(pa.string())
    pq.write_table(pa.table({"Avis": broken}), tmp_path / "a.parquet")
    assert reasons(read(tmp_path / "a.parquet")) == [(2, "encodage")]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"%PDF-1.7 ...", "a.csv", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "a.csv", "a PNG image"),
        (b"<!DOCTYPE html><html>", "a.csv", "an HTML page"),
        (b"\x1f\x8b\x08", "a.csv", "gzip"),
        (b"\xd0\xcf\x11\xe0", "a.xlsx", "old Excel"),
        (b"PAR1 PAR1", "a.csv", "format: parquet"),
        (b"Avis;Note\n", "a.xlsx", "not xlsx"),
        (b"PAR1 cut short", "a.parquet", "cannot be read as parquet"),
        (b"PK\x03\x04 xl/ cut short", "a.xlsx", "cannot be read as xlsx"),
        (b"[{", "a.json", "is not JSON"),
        (b"Avis\n", "a.doc", "names no format"),
    ],
)
def test_a_file_of_another_kind_says_what_it_seems_to_be(
    tmp_path: Path, content: bytes, name: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words):
        read(write(tmp_path, content, name))


def test_a_workbook_named_csv_says_so(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ["Avis"], ["a"]).rename(tmp_path / "a.csv")
    with pytest.raises(SourceError, match="format: xlsx"):
        read(path)


# -- mapping


def test_a_wrong_column_names_source_file_field_and_the_closest(tmp_path: Path) -> None:
    path = write(tmp_path, "Commentaire;Note\na;5\n")
    with pytest.raises(
        SourceError, match=r"(?s)essai.*a\.csv.*fields\.text.*'Comentaire'"
    ) as caught:
        read(path, fields={"text": "Comentaire"})
    assert "did you mean 'Commentaire'? there are: Commentaire, Note" in str(caught.value)


def test_constants_fill_what_the_export_does_not_have(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Avis\na\n"), constants={"brand": "Véga"}, channel="avis")
    assert column(result, "brand") == ["Véga"]
    assert column(result, "channel") == ["avis"]


def test_an_empty_text_is_a_comment(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Avis;Note\n;\n;5\n"))
    assert column(result, "text") == ["", ""]


def test_texts_are_kept_as_written(tmp_path: Path) -> None:
    assert column(read(write(tmp_path, "Avis;Note\n  Bien !  ;5\n")), "text") == ["  Bien !  "]


@pytest.mark.parametrize(
    ("cell", "scale", "mark"),
    [
        ("4", None, 4), ("4,5", None, 4.5), (4.0, None, 4), ("4.5/5", None, 4.5),
        ("8/10", None, 4.2), ("8 / 10", (0, 10), 4.2), ("0", (0, 10), 1), (10, (0, 10), 5),
        ("★★★★☆", None, 4), ("⭐⭐⭐", None, 3), ("FOUR", None, 4), ("four", (0, 10), 4),
        ("4 sur 5", None, 4), ("3 étoiles", None, 3), ("STAR_RATING_UNSPECIFIED", None, None),
        ("", None, None), (None, None, None), ("N/A", None, None), (float("nan"), None, None),
    ],
)  # fmt: skip
def test_marks_are_understood(
    cell: object, scale: tuple[float, float] | None, mark: float | None
) -> None:
    assert ratings([cell], scale) == ([mark], {})


@pytest.mark.parametrize(
    ("cell", "scale"),
    [
        ("12", None), ("0", None), ("-1", (0, 10)), ("bien", None), ("8/10", (1, 5)), ("5/0", None),
        (True, None), ("☆☆☆☆☆", None), ("11/10", None), ("1e1", None), ({"a": 1}, None),
    ],
)  # fmt: skip
def test_marks_off_the_scale_are_refused(cell: object, scale: tuple[float, float] | None) -> None:
    assert "is not a mark" in ratings([cell], scale)[1][0]


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-03-12T14:05:00Z", "2026-03-12T14:05:00Z"),
        ("2026-03-12T14:05:00.5+02:00", "2026-03-12T12:05:00.500000Z"),
        ("2026-03-12 14:05", "2026-03-12T13:05:00Z"),
        ("2026-03-12 14:05:00 UTC", "2026-03-12T14:05:00Z"),
        ("2026-07-12 14:05", "2026-07-12T12:05:00Z"),
        ("12/03/2026 14:05", "2026-03-12T13:05:00Z"),
        ("12/03/2026 14h05", "2026-03-12T13:05:00Z"),
        ("12-03-2026", "2026-03-12T00:00:00Z"),
        ("12.03.2026", "2026-03-12T00:00:00Z"),
        ("2026/03/12", "2026-03-12T00:00:00Z"),
        ("20260312", "2026-03-12T00:00:00Z"),
        ("12 mars 2026", "2026-03-12T00:00:00Z"),
        ("1er août 2026", "2026-08-01T00:00:00Z"),
        ("jeudi 12 mars 2026 à 14h05", "2026-03-12T13:05:00Z"),
        ("3 Févr. 2026", "2026-02-03T00:00:00Z"),
        ("mars 2026", "2026-03-01T00:00:00Z"),
        ("1773324300", "2026-03-12T14:05:00Z"),
        (1773324300123, "2026-03-12T14:05:00.123000Z"),
        ("Wed Oct 10 20:19:24 +0000 2018", "2018-10-10T20:19:24Z"),
        ("Wed, 10 Oct 2018 20:19:24 +0200", "2018-10-10T18:19:24Z"),
        (dt.date(2026, 3, 12), "2026-03-12T00:00:00Z"),
        (dt.datetime(2026, 3, 12, 14, 5), "2026-03-12T13:05:00Z"),
    ],
)
def test_dates_are_understood(cell: object, moment: str) -> None:
    assert utc(cell) == moment


@pytest.mark.parametrize(
    "cell", ["31/02/2026", "hier", "12/13/2026", "12/03/26", "2026-02-30", "45000", "25h61", True]
)
def test_what_is_no_date_is_refused(cell: object) -> None:
    assert "is not a date" in utc(cell)


def test_dates_before_1990_and_in_the_future_are_refused() -> None:
    now = dt.datetime(2026, 3, 12, tzinfo=UTC)
    cells = ["31/12/1989", "01/01/1990", "13/03/2026", "15/03/2026"]
    assert list(dates(cells, "Europe/Paris", now=now)[1]) == [0, 3]


def test_an_empty_date_is_null() -> None:
    assert dates(["", None, " ", float("nan")], "Europe/Paris") == ([None] * 4, {})


def test_an_hour_that_does_not_exist_is_read_with_the_offset_before() -> None:
    assert utc("29/03/2026 02:30") == "2026-03-29T01:30:00Z"


def test_an_hour_that_occurs_twice_is_the_first() -> None:
    assert utc("26/10/2025 02:30") == "2025-10-26T00:30:00Z"


def test_a_stated_format_is_tried_first() -> None:
    assert utc("03/12/2025", stated="%m/%d/%Y") == "2025-03-12T00:00:00Z"


def test_excel_numbers_are_days_only_in_workbooks() -> None:
    assert utc(46000.0, excel=True) == "2025-12-09T00:00:00Z"


@given(st.datetimes(dt.datetime(1991, 1, 1), dt.datetime(2024, 1, 1), timezones=st.just(UTC)))
@settings(max_examples=100, deadline=None)
def test_any_iso_moment_is_read_back(moment: dt.datetime) -> None:
    assert utc(moment.isoformat()) == moment.isoformat().replace("+00:00", "Z")


def test_bad_dates_and_marks_are_refused_with_column_and_value(tmp_path: Path) -> None:
    path = write(tmp_path, "Date;Note;Avis\n31/02/2026;5;Parfait\n12/03/2026;9;Bof\n;;Bien\n")
    result = read(path, fields={"text": "Avis", "rating": "Note", "published_at": "Date"})
    assert reasons(result) == [(1, "date"), (2, "note")]
    first = result.rejects.to_pylist()[0]
    assert first["detail"] == "column 'Date': '31/02/2026' is not a date"
    assert first["raw"] == "31/02/2026;5;Parfait"


# -- ids


def test_ids_come_from_the_native_id_alone(tmp_path: Path) -> None:
    fields = {"native_id": "Id", "text": "Avis"}
    one = read(write(tmp_path, "Id;Avis\n7;a\n"), fields=fields)
    two = read(write(tmp_path, "Avis;Id\nz;8\ncorrigé;7\n"), fields=fields)
    assert column(one, "comment_id")[0] == column(two, "comment_id")[1]


def test_ids_are_24_hex_characters_that_depend_on_the_source(tmp_path: Path) -> None:
    path = write(tmp_path, "Avis\na\n")
    here, there = (column(read(path, name=name), "comment_id")[0] for name in ("s1", "s2"))
    assert here != there
    assert len(str(here)) == 24
    assert int(str(here), 16)


def test_equal_rows_without_ids_are_as_many_comments_in_every_export(tmp_path: Path) -> None:
    rows = "Avis;Date\nTrès bien;12/03/2026\nTrès bien;12/03/2026\n"
    fields = {"text": "Avis", "published_at": "Date"}
    one = read(write(tmp_path, rows, "1.csv"), fields=fields)
    two = read(write(tmp_path, rows + "Autre;13/03/2026\n", "2.csv"), fields=fields)
    assert column(one, "comment_id") == column(two, "comment_id")[:2]


def test_of_rows_with_one_id_the_last_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "Id;Avis\n7;a\n8;b\n7;c\n7;d\n")
    result = read(path, fields={"native_id": "Id", "text": "Avis"})
    assert column(result, "text") == ["b", "d"]
    assert reasons(result) == [(1, "identifiant"), (3, "identifiant")]
    assert "row 4" in result.rejects.to_pylist()[0]["detail"]


def test_a_refused_row_replaces_none(tmp_path: Path) -> None:
    path = write(tmp_path, "Id;Avis;Note\n7;a;5\n7;b;99\n")
    result = read(path, fields={"native_id": "Id", "text": "Avis", "rating": "Note"})
    assert column(result, "text") == ["a"]


def test_an_empty_native_id_is_null_and_its_row_has_an_id(tmp_path: Path) -> None:
    result = read(write(tmp_path, "Id;Avis\n;a\n;b\n"), fields={"native_id": "Id", "text": "Avis"})
    assert column(result, "native_id") == [None, None]


def test_the_row_digest_changes_with_any_value_but_not_with_the_place(tmp_path: Path) -> None:
    fields = {"native_id": "Id", "text": "Avis", "reply_text": "R"}
    one = read(write(tmp_path, "Id;Avis;R\n1;a;\n2;b;\n", "1.csv"), fields=fields)
    two = read(write(tmp_path, "Id;Avis;R\n2;b;\n1;a;Merci\n", "2.csv"), fields=fields)
    assert column(one, "row_digest")[1] == column(two, "row_digest")[0]
    assert column(one, "row_digest")[0] != column(two, "row_digest")[1]


# -- privacy


def test_authors_leave_as_keyed_pseudonyms(tmp_path: Path) -> None:
    path = write(tmp_path, "Avis;Nom\na;Anne B.\nb; ANNE B. \nc;Luc\nd;\n")
    fields = {"text": "Avis", "author": "Nom"}
    anne, again, luc, nobody = column(read(path, fields=fields), "author_key")
    assert anne == again != luc
    assert len(str(anne)) == 32
    assert nobody is None
    assert column(read(path, key=b"other", fields=fields), "author_key")[0] != anne


def test_without_a_key_there_are_no_pseudonyms(tmp_path: Path) -> None:
    path = write(tmp_path, "Avis;Nom\na;Anne\n")
    result = read(path, key=None, fields={"text": "Avis", "author": "Nom"})
    assert column(result, "author_key") == [None]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "Avis;Nom;Note\na;Zoé;99\n"),
        ("a.csv", "Avis;Nom;Note\na;b;Zoé;5\n"),
        ("a.csv", "Avis;Nom;Note\na;Zoé\n"),
        ("a.csv", 'Avis;Nom;Note\n"a;Zoé;5\nb;c;4\n'),
        ("a.csv", b"Avis;Nom;Note\n\x81;Zo\xe9;5\n"),
        ("a.jsonl", '{"Avis": "a", "Nom": "Zoé", "Note": 99}\n'),
        (
            "a.jsonl",
            '{"Avis": "a", "Nom": "la "belle" Zoé", "Note": 5\n{"Avis": 1, "Nom": 1, "Note": 1}',
        ),
        ("a.jsonl", '{"Nom": {"x": "a", "y": "Zoé"\n{"Avis": 1, "Nom": 1, "Note": 1}'),
        ("a.jsonl", 'Zoé a dit\n{"Avis": 1, "Nom": 1, "Note": 1}'),
    ],
)
def test_no_reject_keeps_the_name_of_an_author(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    fields = {"text": "Avis", "author": "Nom", "rating": "Note"}
    result = read(write(tmp_path, content, name), fields=fields)
    assert result.rejects.num_rows == 1
    assert "Zo" not in json.dumps(result.rejects.to_pylist(), ensure_ascii=False)


def test_rejects_are_masked_and_short(tmp_path: Path) -> None:
    path = write(tmp_path, f"Avis;Note\nanne@exemple.fr {'x' * 5000};99\n")
    raw = read(path, fields={"text": "Avis", "rating": "Note"}).rejects.to_pylist()[0]["raw"]
    assert "anne@exemple.fr" not in raw
    assert len(raw) <= 2000


# -- recognising columns


def test_known_names_are_recognised_in_any_case(tmp_path: Path) -> None:
    path = write(tmp_path, "ID,Text,Title,RATING,date,author,reply,reply_date\n", "a.csv")
    assert recognise(str(path)).fields == {
        "native_id": "ID", "text": "Text", "title": "Title", "rating": "RATING",
        "published_at": "date", "author": "author", "reply_text": "reply",
        "reply_at": "reply_date",
    }  # fmt: skip


def test_columns_can_be_named_instead(tmp_path: Path) -> None:
    path = write(tmp_path, "ref;text;Verbatim\n1;non;oui\n")
    fields = recognise(str(path), text_column="Verbatim", id_column="ref").fields
    assert fields == {"native_id": "ref", "text": "Verbatim"}


def test_no_column_for_the_text_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"--text.*there are: id, verbatim"):
        recognise(str(write(tmp_path, "id;verbatim\n1;a\n")))


def test_a_named_column_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="did you mean 'Verbatim'"):
        recognise(str(write(tmp_path, "id;Verbatim\n1;a\n")), text_column="verbatims")


def test_a_column_named_source_gives_the_source_of_each_row(tmp_path: Path) -> None:
    path = write(tmp_path, '{"text": "a", "source": "Google"}\n{"text": "b"}\n', "a.jsonl")
    source = recognise(str(path))
    (found,) = find_files(source)
    result = read_file(found, source, author_key=None, mask=KINDS, run_id="r", sequence=1)
    assert column(result, "source") == ["Google", "fichier"]


def test_a_warehouse_takes_no_source_from_a_column() -> None:
    source = {"name": "s", "files": "a.csv", "fields": {"text": "t", "source": "s"}}
    with pytest.raises(ValueError, match="may not map 'source'"):
        Settings.model_validate({"warehouse": "w", "sources": [source]})


def test_an_empty_file_of_json_lines_is_recognised(tmp_path: Path) -> None:
    assert recognise(str(write(tmp_path, "", "a.jsonl"))).fields == {"text": "text"}


@given(
    content=st.one_of(
        st.binary(max_size=120),
        st.text('";\n\r, é1/\0', max_size=80).map(str.encode),
        st.lists(st.sampled_from(['"', "{", "}", "[", ":", ",", "\n", "Avis", "1", "\\ud8aa", "é"]))
        .map("".join)
        .map(str.encode),
    ),
    start=st.sampled_from(
        [("a.csv", b"Avis;Note\n"), ("a.jsonl", b'{"Avis": 1}\n'), ("a.json", b"")]
    ),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_counted_rows_or_a_source_error(
    content: bytes, start: tuple[str, bytes]
) -> None:
    name, head = start
    fs = fsspec.filesystem("memory")
    fs.pipe(f"/{name}", head + content)
    with contextlib.suppress(SourceError):
        read(f"memory://{name}", fields={"text": "Avis"})
    fs.rm(f"/{name}")


@pytest.mark.parametrize("module", [files_module, objects, separated, values])
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    tried = doctest.testmod(module)
    assert tried.attempted
    assert not tried.failed
