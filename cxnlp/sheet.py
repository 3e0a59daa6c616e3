"""An answer of SQL as an Excel workbook.

Comes in: a table. Goes out: one .xlsx file with one sheet; texts are texts there, also those that
look like a formula. Left out: what a sheet cannot hold, which is refused rather than cut.
"""

import datetime as dt
from math import isfinite
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from cxnlp.errors import UsageError

_ROWS: Final = 1_048_575  # of a sheet, beside the names of the columns
_CHARACTERS: Final = 32_767  # of a cell


def write_sheet(table: pa.Table, output: Path) -> None:
    """Write a table as .xlsx: lists with commas between, times in UTC.

    Raises `UsageError` when it has more rows or a longer text than a sheet can hold.
    """
    if table.num_rows > _ROWS:
        raise UsageError(
            f"{output}: {table.num_rows:,} rows, a sheet holds {_ROWS:,}; write .csv or .parquet"
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet("cxnlp")
    sheet.freeze_panes = "A2"
    try:
        sheet.append([_cell(sheet, name, output) for name in table.column_names])
        for batch in table.to_batches():
            columns = [column.to_pylist() for column in batch.columns]
            for row in zip(*columns, strict=True):
                sheet.append([_cell(sheet, value, output) for value in row])
    finally:
        sheet.close()
    book.save(output)


def _cell(sheet: Any, value: Any, output: Path) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, float) and not isfinite(value):
        return None if value != value else str(value)
    if not isinstance(value, str):
        return value if value is None or isinstance(value, int | float | dt.date) else str(value)
    if len(value) > _CHARACTERS:
        raise UsageError(
            f"{output}: a text of {len(value):,} characters, a cell holds {_CHARACTERS:,}; "
            "write .csv or .parquet"
        )
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value))
    cell.data_type = "s"  # a text, whatever it begins with
    return cell
