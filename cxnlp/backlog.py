"""Which comments are left to analyse, and their raw rows, shard by shard.

Comes in: a night, and what `comments` has. Goes out: an index of the raw comments, each as last
seen, and the rows of a part of it. Left out: analysing them (`analysing.py`). Of all comments
only what the index needs is in memory, never the texts.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.retention import as_raw
from cxnlp.tonight import Night

_RAW = ("comment_id", "row_digest", "published_at", "source")
_ORDER = ("source", "published_at", "comment_id")  # near to how tables and raw are cut


class Backlog:
    """The raw comments of the sources in the settings; `index` has a row for each."""

    def __init__(self, night: Night, seen: pa.Table) -> None:
        self._night, self._seen = night, seen
        self._names = pa.array([source.name for source in night.settings.sources])
        self._files = [
            key for key in night.warehouse.parts(schema.RAW) if key[0] in self._names.to_pylist()
        ]
        self.index = self._last_seen()

    def left(self, key: str) -> pa.Table:
        """Return the index of what has no labels under this key, of the days to analyse."""
        stale = pc.not_equal(self._seen["analysis_key"], key)
        index = self._with_expired(self._seen["comment_id"].filter(stale))
        place = pc.index_in(index["comment_id"], self._seen["comment_id"])
        same = pc.equal(self._seen["row_digest"].take(place), index["row_digest"])
        current = pc.equal(self._seen["analysis_key"].take(place), key)
        done = pc.fill_null(pc.and_(same, current), False)
        return _ordered(index.filter(pc.and_(pc.invert(done), self._in_days(index))))

    def of(self, ids: pa.ChunkedArray) -> pa.Table:
        """Return the index of these comments."""
        index = self._with_expired(ids)
        return _ordered(index.filter(pc.is_in(index["comment_id"], ids)))

    def rows(self, index: pa.Table) -> pa.Table:
        """Return the raw rows of a part of the index, in its order."""
        file, place = (index[name].to_numpy() for name in ("number", "place"))
        found, order = [schema.empty(schema.RAW)], [np.zeros(0, np.int64)]
        for number in np.unique(file):
            here = np.flatnonzero(file == number)
            if number < 0:
                some = as_raw(self._night.warehouse, index["comment_id"].take(pa.array(here)))
                ids = index["comment_id"].combine_chunks()
                here = pc.index_in(some["comment_id"], ids).to_numpy()
            else:
                here = here[np.argsort(place[here])]
                source, sequence = self._files[number]
                some = self._night.warehouse.pick(schema.RAW, source, sequence, place[here])
            found.append(some)
            order.append(here)
        back = np.argsort(np.concatenate(order), kind="stable")
        return pa.concat_tables(found).take(pa.array(back)).combine_chunks()

    def _last_seen(self) -> pa.Table:
        """Return the index; of a comment that several files have, the row of the last file."""
        found = [self._numbered(schema.empty(schema.RAW).select(_RAW), -1)]
        for number, (source, sequence) in enumerate(self._files):
            rows = self._night.warehouse.read_part(schema.RAW, source, sequence, _RAW)
            found.append(self._numbered(rows, number))
        index = pa.concat_tables(found).combine_chunks()
        codes = index["comment_id"].combine_chunks().dictionary_encode()
        last = np.zeros(len(codes.dictionary), np.int64)
        last[codes.indices.to_numpy()] = np.arange(len(codes))  # the last one stays
        return index.take(pa.array(np.sort(last)))

    def _numbered(self, rows: pa.Table, number: int) -> pa.Table:
        """Add which file rows are of and their place in it; −1: their raw has expired."""
        columns = {name: rows[name].cast(schema.RAW.arrow.field(name).type) for name in _RAW}
        places = np.arange(rows.num_rows)
        return pa.table({**columns, "number": np.full_like(places, number), "place": places})

    def _with_expired(self, ids: pa.ChunkedArray) -> pa.Table:
        """Return the index and, of `ids`, the comments whose raw is no longer kept."""
        gone = ids.filter(pc.invert(pc.is_in(ids, self.index["comment_id"].combine_chunks())))
        wanted = pc.and_(
            pc.is_in(self._seen["comment_id"], gone.combine_chunks()),
            pc.is_in(self._seen["source"], self._names),
        )
        rows = self._numbered(self._seen.filter(wanted).select(_RAW), -1)
        return pa.concat_tables([self.index, rows])

    def _in_days(self, index: pa.Table) -> pa.ChunkedArray:
        days, night = index["published_at"].cast(pa.date32()), self._night
        inside = pc.or_kleene(pc.is_null(days), pc.is_valid(days))
        if night.first_day:
            inside = pc.and_(inside, pc.fill_null(pc.greater_equal(days, night.first_day), False))
        if night.last_day:
            inside = pc.and_(inside, pc.fill_null(pc.less_equal(days, night.last_day), False))
        return inside


def _ordered(index: pa.Table) -> pa.Table:
    return index.sort_by([(name, "ascending") for name in _ORDER]).combine_chunks()
