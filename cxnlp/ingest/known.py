"""What the warehouse has of a source that is asked: where to start, and which answers are new.

Comes in: a warehouse and a source. Goes out: a `Start`, worked out from the comments there are;
of what a fetch gave, the comments that are new or changed and the rejects not seen before. Left
out: asking (`rest`, `sql`). There is no cursor to keep: a fetch that failed left nothing, so the
next one starts where it did.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.config_sources import Since, Source
from cxnlp.ingest.mapping import FileRead
from cxnlp.warehouse import Warehouse

_COLUMNS: Final = ("comment_id", "row_digest", "published_at", "native_id")
_REJECT: Final = ("comment_id", "reason", "detail", "raw")


class Start(NamedTuple):
    """Where a fetch starts: a moment, and the id of the newest comment before it; None: nowhere."""

    moment: datetime | None = None
    native_id: str | None = None

    def written(self, shape: str) -> str | None:
        """Return it as a service wants it: an id, seconds since 1970, or a date in UTC.

        >>> Start(datetime(2026, 9, 14, 8, tzinfo=UTC), "rv-7").written("%Y-%m-%d")
        '2026-09-14'
        """
        if shape == "id" or self.moment is None:
            return self.native_id if shape == "id" else None
        if shape == "unix":
            return str(int(self.moment.timestamp()))
        return self.moment.astimezone(UTC).strftime(shape)


class Known:
    """The comments and rejects of one source, as last seen."""

    def __init__(self, warehouse: Warehouse, source: Source) -> None:
        files = warehouse.read(schema.FILES, ("source", "mapping", "sequence")).sort_by("sequence")
        mappings = files["mapping"].filter(pc.equal(files["source"], source.name))
        self.mapping = len(mappings) > 0 and mappings[-1].as_py() == source.digest
        self._rows = _rows(warehouse, source.name)
        rejects = warehouse.read(schema.REJECTS, ("source", *_REJECT))
        rejects = rejects.filter(pc.equal(rejects["source"], source.name)).select(_REJECT)
        self._rejects = {tuple(row.values()) for row in rejects.to_pylist()}
        self._now: dict[str, str] = {}  # what this fetch gave

    def start(self, since: Since, now: datetime) -> Start:
        """Return where a fetch starts; at `since.start` when the source was never read this way."""
        first = datetime.combine(since.start, time(), UTC) if since.start else None
        newest = pc.max(self._rows["published_at"]).as_py() if self.mapping else None
        if newest is None:
            return Start(first)
        moment = min(newest, now) - timedelta(days=since.look_back)
        before = pc.and_(pc.less_equal(self._rows["published_at"], moment),
                         self._rows["native_id"].is_valid())  # fmt: skip
        rows = self._rows.filter(before).sort_by("published_at")
        return Start(moment, rows["native_id"][-1].as_py() if rows.num_rows else None)

    def new(self, read: FileRead) -> FileRead:
        """Return of what was fetched that which is not known; its row of `files` counts it."""
        ids = read.comments["comment_id"]
        seen = self._rows.filter(pc.is_in(self._rows["comment_id"], ids.combine_chunks()))
        known = dict(zip(*(seen[name].to_pylist() for name in _COLUMNS[:2]), strict=True))
        known |= self._now
        digests = zip(ids.to_pylist(), read.comments["row_digest"].to_pylist(), strict=True)
        changed = [known.get(comment) != digest for comment, digest in digests]
        comments = read.comments.filter(pa.array(changed, pa.bool_()))
        self._now |= dict(zip(*(comments[name].to_pylist() for name in _COLUMNS[:2]), strict=True))
        fresh = [tuple(row.values()) not in self._rejects
                 for row in read.rejects.select(_REJECT).to_pylist()]  # fmt: skip
        rejects = read.rejects.filter(pa.array(fresh, pa.bool_()))
        about: dict[str, Any] = read.file.to_pylist()[0]
        about |= {
            "comments": comments.num_rows, "rejects": rejects.num_rows,
            "rows": comments.num_rows + rejects.num_rows + (about["forgotten"] or 0),
        }  # fmt: skip
        return FileRead(comments, rejects, pa.Table.from_pylist([about], schema.FILES.arrow))


def _rows(warehouse: Warehouse, source: str) -> pa.Table:
    """Return the comments of a source, those read last being last."""
    none = schema.empty(schema.RAW).select(_COLUMNS)
    found = [none]
    for table in (schema.COMMENTS, schema.RAW):
        for name, period in sorted(warehouse.parts(table), key=str):
            if name == source:
                rows = warehouse.read_part(table, name, period, _COLUMNS)
                found.append(rows.select(_COLUMNS).cast(_nullable(none.schema)))
    return pa.concat_tables([none.cast(_nullable(none.schema)), *found[1:]]).combine_chunks()


def _nullable(given: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in given])
