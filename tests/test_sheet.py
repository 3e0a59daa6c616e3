"""An answer of SQL as .xlsx: what is written is what is read, and no text is a formula."""

import datetime as dt
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest

from cxnlp.errors import UsageError
from cxnlp.sheet import write_sheet


def read(table: pa.Table, folder: Path) -> list[tuple[object, ...]]:
    write_sheet(table, folder / "answer.xlsx")
    return list(openpyxl.load_workbook(folder / "answer.xlsx").active.iter_rows(values_only=True))


@pytest.mark.parametrize("text", ["=1+1", "+33 1", "-5", "@SUM(A1)", '=HYPERLINK("x")'])
def test_a_text_like_a_formula_is_a_text(text: str, tmp_path: Path) -> None:
    table = pa.table({"=text": [text]})
    write_sheet(table, tmp_path / "answer.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "answer.xlsx").active
    assert [(cell.value, cell.data_type) for row in sheet.iter_rows() for cell in row] == [
        ("=text", "s"), (text, "s"),
    ]  # fmt: skip


def test_numbers_dates_and_nulls_keep_their_kind(tmp_path: Path) -> None:
    when = dt.datetime(2026, 9, 14, 8, 5, tzinfo=dt.UTC)
    table = pa.table({"n": [3], "share": [0.5], "day": [when.date()], "at": [when],
                      "good": [True], "none": pa.nulls(1, pa.string())})  # fmt: skip
    head, row = read(table, tmp_path)
    assert head == ("n", "share", "day", "at", "good", "none")
    assert row == (3, 0.5, dt.datetime(2026, 9, 14), dt.datetime(2026, 9, 14, 8, 5), True, None)


def test_a_list_is_joined(tmp_path: Path) -> None:
    assert read(pa.table({"levers": [["prix", "temps"]]}), tmp_path)[1] == ("prix, temps",)


def test_a_sign_that_no_sheet_can_hold_leaves_a_mark(tmp_path: Path) -> None:
    assert read(pa.table({"text": ["a\x00b"]}), tmp_path)[1] == ("a\N{REPLACEMENT CHARACTER}b",)


def test_what_is_no_number_is_empty_or_said(tmp_path: Path) -> None:
    found = read(pa.table({"x": [float("nan"), float("inf")]}), tmp_path)
    assert found[1:] == [(None,), ("inf",)]


def test_a_text_that_is_too_long_is_refused_rather_than_cut(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"32,768 characters, a cell holds 32,767; write \.csv"):
        write_sheet(pa.table({"text": ["x" * 32_768]}), tmp_path / "answer.xlsx")


def test_more_rows_than_a_sheet_has_are_refused(tmp_path: Path) -> None:
    table = pa.table({"n": pa.nulls(1_048_576, pa.int8())})
    with pytest.raises(UsageError, match=r"1,048,576 rows, a sheet holds 1,048,575"):
        write_sheet(table, tmp_path / "answer.xlsx")
