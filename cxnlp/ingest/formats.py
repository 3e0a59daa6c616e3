"""Read the records of a file in any format, with the row number of each.

Comes in: the bytes of a file and the settings of its source. Goes out: `Records`. Left out:
what the columns mean (`mapping`).

Rows are counted from 1, headers and blank lines not counted. An empty `.jsonl` has 0 rows; an
empty file of any other format is an error. The cells that may hold the author are taken out of
what is kept of a refused row, here, because only here is it known where they stand.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from python_calamine import CalamineError, CalamineWorkbook

from cxnlp.config import Source
from cxnlp.errors import SourceError
from cxnlp.ingest.files import Decoded, decode, format_of, readable
from cxnlp.ingest.objects import read_objects
from cxnlp.ingest.records import WITHHELD, Records, Refused
from cxnlp.ingest.separated import Separated, Span, read_separated

UNZIPPED_LIMIT: Final = 1 << 30
RATIO_LIMIT: Final = 200
_SMALL_MEMBER: Final = 10_000_000
_STEP: Final = 1 << 20  # bytes that are unpacked at a time
_UNREADABLE: Final = (
    CalamineError, pa.ArrowException, OSError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip


def read_records(data: bytes, name: str, source: Source, wanted: Iterable[str] = ()) -> Records:
    """Return the records of a file. `wanted` names help to find the separator.

    Raises `SourceError` when the file as a whole is not what it should be.
    """
    try:
        kind = format_of(data, name, source.format)
        if kind == "xlsx":
            return _read_xlsx(data, source.sheet)
        if kind == "parquet":
            return _read_parquet(data)
        text = decode(data, source.encoding)
        if kind == "csv":
            wanted = [*wanted, *source.fields.values()]
            return _csv(text, read_separated(text.lines, source.separator, wanted), source)
        return read_objects(text, kind, source)
    except SourceError as error:
        raise SourceError(f"source {source.name}: {name}: {error}") from error
    except _UNREADABLE as error:
        raise SourceError(
            f"source {source.name}: {name}: cannot be read as {kind}: {error}"
        ) from error


def _csv(text: Decoded, file: Separated, source: Source) -> Records:
    width, author = len(file.names), source.fields.get("author")
    place = file.names.index(author) if author in file.names else None
    names, rows, numbers, refused = [readable(n) for n in file.names], [], [], []
    for number, span in enumerate(file.spans, start=1):
        written = "".join(text.lines[span.first : span.end])
        bad = text.undecoded and text.undecoded.search(written)
        if span.cells is not None and len(span.cells) == width and not bad:
            rows.append(span.cells)
            numbers.append(number)
            continue
        reason, detail = "colonnes", _ragged(span, width)
        if bad:
            reason, detail = "encodage", f"{readable(bad[0])} means nothing in {text.encoding}"
        cells = span.cells or written.rstrip("\r\n").split(file.separator or "\x1f")
        raw = (file.separator or ";").join(_without(cells, place, width))
        refused.append(Refused(number, reason, detail, readable(raw)))
    return Records("csv", names, rows, numbers, refused, text.encoding, file.separator)


def _ragged(span: Span, width: int) -> str:
    if span.cells is None:
        return f"line {span.first + 1}: a quote is not closed, or not where cells begin and end"
    return f"line {span.first + 1}: expected {width} columns, found {len(span.cells)}"


def _without(cells: Sequence[str], place: int | None, width: int) -> list[str]:
    """Return the cells without all those that can be the author's when cells are shifted."""
    if place is None:
        return list(cells)
    shift = len(cells) - width
    low, high = min(place, place + shift), max(place, place + shift)
    return [cell for n, cell in enumerate(cells) if not low <= n <= high]


def _read_xlsx(data: bytes, sheet: str | None) -> Records:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    swollen = any(
        m.file_size > _SMALL_MEMBER and m.file_size > RATIO_LIMIT * m.compress_size for m in members
    )
    too_much = sum(m.file_size for m in members) > UNZIPPED_LIMIT
    if swollen or too_much or any(_unpacks_to_more(data, m) for m in members):
        raise SourceError(
            "the workbook would unpack to far more than it should; it is not opened. "
            "If it is sound, export it as CSV"
        )
    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    if sheet is not None and sheet not in book.sheet_names:
        raise SourceError(f"no sheet {sheet!r}; there are: {', '.join(book.sheet_names)}")
    page = book.get_sheet_by_name(sheet) if sheet else book.get_sheet_by_index(0)
    rows = page.to_python()
    while rows and not any(str(cell).strip() for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise SourceError(f"sheet {page.name!r} is empty; name another with `sheet:`")
    names = [str(cell).strip("\ufeff\xa0 \t\r\n") for cell in rows[0]]
    return Records("xlsx", names, rows[1:], list(range(1, len(rows))), [])


def _unpacks_to_more(data: bytes, member: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive unpacks to more than the archive says."""
    at = member.header_offset + 30 + sum(struct.unpack_from("<HH", data, member.header_offset + 26))
    packed, size = data[at : at + member.compress_size], 0
    if member.compress_type == zipfile.ZIP_STORED:
        return len(packed) > member.file_size
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return True  # no workbook is packed otherwise
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    while packed and not unpacker.eof and size <= member.file_size:
        size += len(unpacker.decompress(packed, _STEP))
        packed = unpacker.unconsumed_tail
    return size > member.file_size


def _read_parquet(data: bytes) -> Records:
    table = pq.ParquetFile(io.BytesIO(data)).read()
    columns = [_cells(column) for column in table.columns]
    rows, numbers, refused = [], [], []
    for number, row in enumerate(zip(*columns, strict=True), start=1):
        bad = [n for n, cell in enumerate(row) if type(cell) is bytes]
        if not bad:
            rows.append(row)
            numbers.append(number)
            continue
        detail = f"column {table.column_names[bad[0]]!r} is not UTF-8"
        refused.append(Refused(number, "encodage", detail, WITHHELD))
    return Records("parquet", table.column_names, rows, numbers, refused)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; text that is not UTF-8 is left as bytes."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return list(column.cast(pa.timestamp("us", kind.tz), safe=False).to_pylist())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())
    values = column.to_pylist()
    for n, value in enumerate(values):
        if type(value) is bytes:
            with suppress(UnicodeDecodeError):
                values[n] = value.decode("utf-8")
    return list(values)
