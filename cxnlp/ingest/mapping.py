"""Map the records of a file to the raw schema, and refuse those that cannot be mapped.

Comes in: a found file, the settings of its source, the key of pseudonyms. Goes out: comments,
rejects and one row about the file; records read = comments + rejects. Left out: cleaning.
A name of an author comes in here and does not leave: only its keyed pseudonym does.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from cxnlp import schema
from cxnlp.config import RawField, Source
from cxnlp.errors import SourceError
from cxnlp.ingest.files import FoundFile, find_files, read_bytes
from cxnlp.ingest.formats import read_records
from cxnlp.ingest.records import Records
from cxnlp.ingest.values import as_text, dates, ratings, texts
from cxnlp.masks import mask as masked
from cxnlp.pseudonyms import pseudonym

RAW_LIMIT: Final = 2_000
RECOGNISED: Final[dict[RawField, tuple[str, ...]]] = {
    "native_id": ("id", "native_id"),
    "text": ("text",),
    "title": ("title",),
    "rating": ("rating",),
    "published_at": ("date", "published_at"),
    "source": ("source",),
    "author": ("author",),
    "reply_text": ("reply", "reply_text"),
    "reply_at": ("reply_date", "reply_at"),
    "brand": ("brand",),
    "location": ("location",),
    "product": ("product",),
    "url": ("url",),
}
_READ_LIMIT: Final = 5 * RAW_LIMIT  # what is masked before it is cut
_DATES: Final = ("published_at", "reply_at")
_AS_WRITTEN: Final = ("text", "title", "reply_text")
_SPARSE: Final = ("reply_text", "reply_at")  # objects without an answer often lack the key
_DIGESTED: Final = tuple(
    column.name for column in schema.RAW.columns if column.name not in ("file", "row", "row_digest")
)

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class FileRead:
    """What a file gave: `schema.RAW`, `schema.REJECTS`, and one row of `schema.FILES`."""

    comments: pa.Table
    rejects: pa.Table
    file: pa.Table


class _Reject(NamedTuple):
    row: int
    reason: str
    detail: str
    raw: str
    comment_id: str | None = None
    author_key: str | None = None


def read_file(
    found: FoundFile,
    source: Source,
    *,
    author_key: bytes | None,
    mask: tuple[str, ...],
    run_id: str,
    sequence: int,
    data: bytes | None = None,
) -> FileRead:
    """Return the comments and the rejects of a file; `data` is its content, if it is at hand.

    Without `author_key` there are no pseudonyms. `mask` names what is masked in rejects.
    Raises `SourceError` when the file as a whole cannot be read as its source says.
    """
    data = read_bytes(found) if data is None else data
    records = read_records(data, found.name, source)
    cells = _mapped(records, source, found.name)
    columns, problems = _values(cells, records, source)
    refused = [_Reject(r.row, r.reason, r.detail, r.raw) for r in records.refused]

    columns["comment_id"] = _comment_ids(columns, cells, problems)
    problems |= _replaced(columns["comment_id"], records.numbers, problems)
    author = source.fields.get("author")
    columns["author_key"] = _pseudonyms(cells.get("author"), len(records.rows), author_key)
    ids, authors = columns["comment_id"], columns["author_key"]
    refused += [
        _Reject(records.numbers[n], *problem, records.raw(n, author), ids[n], authors[n])
        for n, problem in problems.items()
    ]
    comments = _comments(columns, records.numbers, problems, found.name)
    rejects = _rejects(refused, source.name, found.name, mask, run_id)
    about = {
        "source": source.name, "file": found.name, "sequence": sequence,
        "digest": hashlib.sha256(data).hexdigest(), "mapping": source.digest,
        "bytes": len(data), "format": records.format, "encoding": records.encoding,
        "separator": records.separator, "rows": len(records.rows) + len(records.refused),
        "comments": comments.num_rows, "rejects": rejects.num_rows, "run_id": run_id,
    }  # fmt: skip
    return FileRead(comments, rejects, pa.Table.from_pylist([about], schema.FILES.arrow))


def recognise(path: str, *, text_column: str | None = None, id_column: str | None = None) -> Source:
    """Return a source for one file whose columns have the names of `RECOGNISED`, in any case.

    Raises `SourceError` naming the columns there are if none holds the text.
    """
    stand_in = Source(name="fichier", files=path, fields={"text": text_column or "text"})
    found = find_files(stand_in)[0]
    wanted = [name for names in RECOGNISED.values() for name in names]
    records = read_records(read_bytes(found), found.name, stand_in, wanted)
    stated: dict[RawField, str | None] = {"text": text_column, "native_id": id_column}
    for column in filter(None, stated.values()):
        if records.names and records.column(column) is None:
            raise _missing(f"{found.name}: no column {column!r}", column, records.names)
    fields = {
        field: stated.get(field) or _recognised(names, records.names)
        for field, names in RECOGNISED.items()
    }
    if not fields["text"] and records.names:
        raise SourceError(
            f"{found.name}: no column is named 'text'; name the one that holds the comment "
            f"with --text (there are: {', '.join(records.names)})"
        )
    known = {field: name for field, name in fields.items() if name}
    return Source(name="fichier", files=path, fields=known or {"text": "text"})


def _recognised(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    for name in wanted:
        if name in names:
            return name
        for other in names:
            if other.casefold() == name:
                return other
    return None


def _mapped(records: Records, source: Source, file: str) -> Columns:
    """Return the cells of each mapped column, under our names."""
    cells: Columns = {}
    keyed = records.format in ("json", "jsonl")
    for field, name in source.fields.items():
        where = f"source {source.name}: {file}: fields.{field}"
        if not keyed and records.names.count(name) > 1:
            raise SourceError(f"{where}: several columns are named {name!r}; rename all but one")
        column = records.column(name)
        if column is None:
            near = difflib.get_close_matches(name, records.names, n=1, cutoff=0.8)
            if not keyed or (records.rows and (near or field not in _SPARSE)):
                raise _missing(f"{where}: no column {name!r}", name, records.names)
            column = [None] * len(records.rows)
        cells[field] = column
    return cells


def _missing(where: str, name: str, names: Sequence[str]) -> SourceError:
    folded = {other.casefold(): other for other in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    meant = f"did you mean {folded[near[0]]!r}? " if near else ""
    return SourceError(f"{where}; {meant}there are: {', '.join(names)}")


def _values(
    cells: Columns, records: Records, source: Source
) -> tuple[Columns, dict[int, tuple[str, str]]]:
    """Return the columns in our types, and the rows with a value that cannot be read."""
    rows = len(records.rows)
    columns: Columns = {"channel": [source.channel] * rows}
    problems: dict[int, tuple[str, str]] = {}
    for (field, column), name in zip(cells.items(), source.fields.values(), strict=True):
        reason, wrong = "", dict[int, str]()
        if field == "rating":
            reason = "note"
            columns[field], wrong = ratings(column, source.rating_scale)
        elif field in _DATES:
            reason, excel = "date", records.format == "xlsx"
            columns[field], wrong = dates(column, source.timezone, source.date_format, excel=excel)
        elif field == "text":
            columns[field] = [as_text(cell) or "" for cell in column]
        elif field != "author":
            columns[field] = texts(column, strip=field not in _AS_WRITTEN)
        for row, detail in wrong.items():
            problems.setdefault(row, (reason, f"column {name!r}: {detail}"))
    for field, constant in [("source", source.name), *source.constants.items()]:
        columns[field] = [cell or constant for cell in columns.get(field, [None] * rows)]
    return columns, problems


def _comment_ids(
    columns: Columns, cells: Columns, problems: dict[int, tuple[str, str]]
) -> list[str]:
    """Return the id of each row; rows with problems do not count among equal rows."""
    rows = len(columns["text"])
    blank: list[Any] = [None] * rows
    seen: Counter[tuple[str, ...]] = Counter()
    ids = []
    for n, (name, native, author, date, rating, text) in enumerate(
        zip(
            columns["source"],
            columns.get("native_id", blank),
            cells.get("author", blank),
            cells.get("published_at", blank),
            cells.get("rating", blank),
            columns["text"],
            strict=True,
        )
    ):
        if native is not None:
            ids.append(_digest(12, "id", name, native))
            continue
        key = (name, as_text(author) or "", as_text(date) or "", as_text(rating) or "", text)
        if n not in problems:
            seen[key] += 1
        ids.append(_digest(12, "row", *key, seen[key]))
    return ids


def _replaced(
    ids: list[str], numbers: list[int], problems: dict[int, tuple[str, str]]
) -> dict[int, tuple[str, str]]:
    """Return the rows whose id comes again further down, where the row that counts is."""
    last: dict[str, int] = {}
    earlier: dict[int, tuple[str, str]] = {}
    for n in range(len(ids) - 1, -1, -1):
        if n not in problems and last.setdefault(ids[n], n) != n:
            row = numbers[last[ids[n]]]
            earlier[n] = ("identifiant", f"the same id comes again in row {row}, which is kept")
    return earlier


def _pseudonyms(authors: list[Any] | None, rows: int, key: bytes | None) -> list[str | None]:
    if authors is None or key is None:
        return [None] * rows
    known: dict[str, str | None] = {}
    pseudonyms = []
    for author in (as_text(cell) or "" for cell in authors):
        if author not in known:
            known[author] = pseudonym(author, key)
        pseudonyms.append(known[author])
    return pseudonyms


def _comments(
    columns: Columns, numbers: list[int], problems: dict[int, Any], file: str
) -> pa.Table:
    rows = len(numbers)
    blank: list[Any] = [None] * rows
    given = [columns.get(name, blank) for name in _DIGESTED]
    arrays = {
        name: pa.array(values, schema.RAW.arrow.field(name).type)
        for name, values in zip(_DIGESTED, given, strict=True)
    }
    arrays["file"] = pa.repeat(pa.scalar(file), rows)
    arrays["row"] = pa.array(numbers, schema.INT)
    arrays["row_digest"] = pa.array([_digest(16, *row) for row in zip(*given, strict=True)])
    table = schema.conform(pa.table(arrays), schema.RAW)
    return table.take(pa.array([n for n in range(rows) if n not in problems], schema.INT))


def _rejects(
    refused: list[_Reject], source: str, file: str, kinds: tuple[str, ...], run_id: str
) -> pa.Table:
    rows = [
        {
            "source": source,
            "file": file,
            "row": one.row,
            "reason": one.reason,
            "detail": masked(one.detail, kinds),
            "raw": masked(one.raw[:_READ_LIMIT], kinds)[:RAW_LIMIT],
            "comment_id": one.comment_id,
            "author_key": one.author_key,
            "run_id": run_id,
        }
        for one in sorted(refused)
    ]
    return pa.Table.from_pylist(rows, schema.REJECTS.arrow)


def _digest(size: int, *parts: Any) -> str:
    """Return the digest of values, each written with its length so that none runs into another."""
    written = "".join(
        ["-" if part is None else f"{len(text := str(part))}:{text}" for part in parts]
    )
    return hashlib.blake2b(written.encode(), digest_size=size).hexdigest()
