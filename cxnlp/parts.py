"""Tables cut into files: which rows lie in which file, and how a file is written.

Comes in: tables of `schema.py`. Goes out: parts, their paths, and Parquet bytes. Left out:
putting them on a disk (`warehouse.py`).

    tables/comments/SOURCE/month=YYYY-MM/part-0.parquet    also mentions; part-DD for a day
    tables/NAME.parquet                                    every other table
    raw/SOURCE/NNNNNN.parquet                              private: comments as given

The source is a folder, not `source=SOURCE`: the files have a column of that name, and no
type of it suits every reader (pandas takes such a folder for a dictionary, Arrow for a
string). Days are files of a month for the same reason: `day` is a column, with nulls.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxnlp import schema

UNDATED: Final = "sans-date"
PARTITIONED: Final = (schema.COMMENTS, schema.MENTIONS, schema.RAW)
ROW_GROUP: Final = 65_536
_PERIOD: Final = re.compile(rf"\d{{4}}-\d\d(-\d\d)?|{UNDATED}")
_SEQUENCE: Final = re.compile(r"\d{6}")
_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PATH: Final = re.compile(
    r"tables/(?P<dated>\w+)/(?P<source>[^/]+)/month=(?P<month>[^/]+)/part-(?P<day>\d+)\.parquet"
    r"|raw/(?P<giver>[^/]+)/(?P<sequence>\d{6})\.parquet"
    r"|tables/(?P<whole>\w+)\.parquet"
)

Grain = Literal["month", "day"]


@dataclass(frozen=True, slots=True)
class Part:
    """The new content of one file; a part of comments, mentions or raw without rows removes it.

    `source` and `period` are for those three. `period` is a month, a day or `sans-date`; for
    raw it is the file's sequence in six digits.
    """

    table: schema.Table
    data: pa.Table
    source: str | None = None
    period: str | None = None

    @property
    def path(self) -> str:
        return path_of(self.table, self.source, self.period)

    def rows(self) -> pa.Table:
        """Return the rows as they are written: conformed, sorted, all of this part.

        Raises `ValueError` when a row belongs to another part or a column does not conform.
        """
        data = schema.conform(self.data, self.table)
        if self.table in PARTITIONED:
            _belong(data["source"], self.source, self.path)
        if self.table in PARTITIONED and self.table is not schema.RAW:
            grain: Grain = "day" if len(self.period or "") == len("2026-09-14") else "month"
            _belong(_periods(data["published_at"], grain), self.period, self.path)
        order = dict.fromkeys([*self.table.order, *self.table.key])
        return data.sort_by([(name, "ascending") for name in order])


def split(data: pa.Table, table: schema.Table, grain: Grain = "month") -> list[Part]:
    """Return comments or mentions as one part for each source and period they have rows of."""
    rows = pa.table(
        {
            "source": data["source"],
            "period": _periods(data["published_at"], grain),
            "row": pa.array(range(data.num_rows), pa.int64()),
        }
    )
    groups = rows.group_by(["source", "period"], use_threads=False).aggregate([("row", "list")])
    groups = groups.sort_by([("source", "ascending"), ("period", "ascending")])
    keys = zip(groups["source"].to_pylist(), groups["period"].to_pylist(), strict=True)
    return [
        Part(table, data.take(groups["row_list"][i].values), source, period)
        for i, (source, period) in enumerate(keys)
    ]


def path_of(table: schema.Table, source: str | None = None, period: str | None = None) -> str:
    """Return where a part lies within the warehouse.

    >>> path_of(schema.COMMENTS, "avis", "2026-09"), path_of(schema.COMMENTS, "avis", "2026-09-14")
    ('tables/comments/avis/month=2026-09/part-0.parquet', \
'tables/comments/avis/month=2026-09/part-14.parquet')
    """
    if table not in PARTITIONED:
        return f"tables/{table.name}.parquet"
    expected = _SEQUENCE if table is schema.RAW else _PERIOD
    if not _SOURCE.fullmatch(source or "") or not expected.fullmatch(period or ""):
        raise ValueError(f"table {table.name}: no part is named {source!r}, {period!r}")
    if table is schema.RAW:
        return f"raw/{source}/{period}.parquet"
    month, day = (period, "0") if period == UNDATED else _month_and_day(str(period))
    return f"tables/{table.name}/{source}/month={month}/part-{day}.parquet"


def part_at(path: str) -> tuple[schema.Table, str | None, str | None] | None:
    """Return (table, source, period) of a path; None when no part lies there.

    >>> part_at("tables/mentions/avis/month=sans-date/part-0.parquet")[1:]
    ('avis', 'sans-date')
    """
    found = _PATH.fullmatch(path)
    if not found:
        return None
    if found["giver"]:
        return schema.RAW, found["giver"], found["sequence"]
    named = {table.name: table for table in schema.TABLES}
    table = named.get(found["dated"] or found["whole"])
    if table is None or (table in PARTITIONED) != bool(found["dated"]):
        return None
    if found["whole"]:
        return table, None, None
    day = "" if found["day"] == "0" else f"-{found['day']}"
    return table, found["source"], found["month"] + day


def encode(data: pa.Table, metadata: Mapping[str, str]) -> memoryview:
    """Return a table as Parquet bytes; `metadata` is readable without reading the rows."""
    ids = {name for name in ("comment_id",) if name in data.column_names}
    distinct = max(1, min(data.num_rows, ROW_GROUP))
    sink = pa.BufferOutputStream()
    pq.write_table(
        data.replace_schema_metadata(dict(metadata)),
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=3,
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        bloom_filter_options={name: {"ndv": distinct, "fpp": 0.01} for name in ids} or None,
    )
    return memoryview(sink.getvalue())


def decode(file: Any, columns: Collection[str] | None = None) -> pa.Table:
    """Return what `encode` was given, or those of `columns` that are there.

    Every page read is checked against its checksum.
    """
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    names = parquet.schema_arrow.names
    kept = names if columns is None else [name for name in names if name in columns]
    threads = parquet.metadata.num_rows > ROW_GROUP  # for less, starting them costs more
    return parquet.read(columns=kept, use_threads=threads).replace_schema_metadata()


def pick(file: Any, places: np.ndarray) -> pa.Table:
    """Return the rows of a file at `places`, which rise; memory holds one row group more."""
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    found, start = [parquet.schema_arrow.empty_table()], 0
    for group in range(parquet.num_row_groups):
        stop = start + parquet.metadata.row_group(group).num_rows
        here = places[np.searchsorted(places, start) : np.searchsorted(places, stop)]
        if len(here):
            rows = parquet.read_row_group(group, use_threads=False)
            found.append(rows.take(pa.array(here - start)))
        start = stop
    return pa.concat_tables(found).replace_schema_metadata()


def digest(table: schema.Table) -> str:
    """Return the version of a table's columns: it changes when a name or a type does."""
    columns = ",".join(f"{c.name}:{c.type}:{c.nullable}" for c in table.columns)
    return hashlib.sha256(columns.encode()).hexdigest()[:8]


def _belong(values: pa.ChunkedArray, expected: str | None, path: str) -> None:
    others = [value for value in pc.unique(values).to_pylist() if value != expected]
    if others:
        raise ValueError(f"{path}: has rows of {', '.join(map(repr, others[:3]))}")


def _periods(published_at: pa.ChunkedArray, grain: Grain) -> pa.ChunkedArray:
    shape = "%Y-%m-%d" if grain == "day" else "%Y-%m"
    return pc.fill_null(pc.strftime(published_at, shape), UNDATED)


def _month_and_day(period: str) -> tuple[str, str]:
    return period[:7], period[8:] or "0"
