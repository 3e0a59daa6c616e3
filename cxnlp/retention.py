"""Raw comments leave the warehouse some days after they were read.

Comes in: a warehouse and a number of days. Goes out: fewer files in `raw/`; `comments` and
everything made of it stay, and are analysed again from their cleaned text (`as_raw`) if the
model changes. Left out: when that happens (the end of a run).
"""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.parts import Part
from cxnlp.warehouse import Warehouse


def expire(warehouse: Warehouse, days: int | None, run_id: str, now: datetime) -> int:
    """Remove raw files read more than `days` ago, and return how many; none without `days`.

    A file that has a comment's last word, when that is not in `comments` yet (a run limited to
    some days left it), stays until it is.
    """
    if days is None:
        return 0
    files = warehouse.read(schema.FILES, ("sequence", "run_id"))
    read_at = dict(zip(*(files[name].to_pylist() for name in ("sequence", "run_id")), strict=True))
    waiting = _waiting(warehouse)
    parts = []
    for source, sequence in warehouse.parts(schema.RAW):
        began = _start(read_at.get(int(sequence or 0), ""))
        if began and now - began > timedelta(days=days):
            ids = warehouse.read_part(schema.RAW, source, sequence, ("comment_id",))["comment_id"]
            if not pc.any(pc.is_in(ids, waiting)).as_py():
                parts.append(Part(schema.RAW, schema.empty(schema.RAW), source, sequence))
    if parts:
        warehouse.publish(parts, run_id=run_id, metadata={})
    return len(parts)


def as_raw(warehouse: Warehouse, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return comments whose raw has gone in the shape of raw: their text is the cleaned one."""
    found = [schema.empty(schema.RAW)]
    for source, period in warehouse.parts(schema.COMMENTS) if len(ids) else []:
        some = warehouse.read_part(schema.COMMENTS, source, period, ("comment_id",))
        if pc.any(pc.is_in(some["comment_id"], ids)).as_py():
            rows = warehouse.read_part(schema.COMMENTS, source, period)
            rows = rows.filter(pc.is_in(rows["comment_id"], ids))
            for name, missing in (("text", ""), ("file", ""), ("row", 0), ("row_digest", "")):
                place = rows.column_names.index(name)
                rows = rows.set_column(place, name, pc.fill_null(rows[name], missing))
            found.append(schema.conform(rows, schema.RAW))
    return pa.concat_tables(found)


def _waiting(warehouse: Warehouse) -> pa.Array:
    """Return the ids of the comments whose last version in raw is not the one in `comments`."""
    pair = ("comment_id", "row_digest")
    last: dict[str, str] = {}
    for source, sequence in sorted(warehouse.parts(schema.RAW), key=lambda key: str(key[1])):
        raw = warehouse.read_part(schema.RAW, source, sequence, pair)
        last |= dict(zip(*(raw[name].to_pylist() for name in pair), strict=True))
    seen = warehouse.read(schema.COMMENTS, pair)
    done = dict(zip(*(seen[name].to_pylist() for name in pair), strict=True))
    return pa.array([c for c, digest in last.items() if done.get(c) != digest], pa.string())


def _start(run_id: str) -> datetime | None:
    """Return when a run began, which its id says; None for an id of another shape.

    >>> _start("20260915T020000-4f1d").isoformat()
    '2026-09-15T02:00:00+00:00'
    """
    try:
        return datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
