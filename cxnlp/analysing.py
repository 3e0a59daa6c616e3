"""The stage that labels: what is left → shards → partitions.

Comes in: a night and an analyzer. Goes out: counts; comments and mentions are published. Shards
are analysed one by one and wait on disk, then partitions are rebuilt one by one, so that memory
holds a shard or two and the keys of all comments, however many there are. Left out: which
comments are left (`backlog.py`).
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.backlog import Backlog
from cxnlp.cache import Cache
from cxnlp.clean import duplicates
from cxnlp.errors import WarehouseError
from cxnlp.freed import give_back
from cxnlp.parts import UNDATED, Part, split
from cxnlp.told import set_aside_duplicates
from cxnlp.tonight import Analysed, Night

_SEEN = ("comment_id", "row_digest", "analysis_key", "duplicate_of", "duplicate_key",
         "published_at", "author_key", "source", "text_digest")  # fmt: skip
_KEYS = ("comment_id", "published_at", "author_key", "duplicate_key", "source")

Place = tuple[str, str]  # source and period
Read = Callable[[Iterable[pa.Table]], Iterator[Analysis]]  # shards in order → what is made of each


@dataclass(frozen=True, slots=True)
class _Shard:
    """A shard that waits on disk, and the keys of its comments, in order."""

    name: str
    keys: pa.Table


def analyse(night: Night, analyzer: Analyzer) -> Analysed:
    """Analyse the comments that have no labels under this model and these settings."""
    began = time.monotonic()
    seen = night.warehouse.read(schema.COMMENTS, _SEEN)
    cache = _cache(night, analyzer)
    with _reader(night, analyzer, seen, cache) as read:
        shards, repeats, texts = _shards(night, analyzer.key, seen, read)
    if shards:
        metadata = {**night.metadata, "model": analyzer.model_version,
                    "taxonomy": analyzer.taxonomy.name}  # fmt: skip
        night.warehouse.publish(
            _parts(night, seen, shards, repeats), run_id=night.run_id, metadata=metadata
        )
    night.warehouse.drop_shards()
    if cache:
        cache.settle()
    return Analysed(_keys(shards).num_rows, texts, time.monotonic() - began)


def _cache(night: Night, analyzer: Analyzer) -> Cache | None:
    limit = night.settings.inference.cache_mb
    return Cache(night.warehouse.files, analyzer.key, night.run_id, limit) if limit else None


@contextmanager
def _reader(
    night: Night, analyzer: Analyzer, seen: pa.Table, cache: Cache | None
) -> Iterator[Read]:
    """Give what analyses shards in turn: this process, or the workers of a Ray cluster."""
    if night.settings.execution.engine == "local":
        yield lambda shards: (analyzer.analyse(raw, night.run_id, cache) for raw in shards)
        return
    from cxnlp.on_ray import workers  # an extra

    def digests(raw: pa.Table) -> pa.Array:
        ids = raw["comment_id"].combine_chunks()
        return pc.unique(seen["text_digest"].filter(pc.is_in(seen["comment_id"], ids)).drop_null())

    with workers(night.settings, analyzer.key, night.tell) as team:
        yield partial(team.analyse, run_id=night.run_id, memory=cache, digests=digests)


def _shards(
    night: Night, key: str, seen: pa.Table, read: Read
) -> tuple[list[_Shard], pa.Array, int]:
    """Return the shards made, which comment each of theirs repeats, and how many texts were read.

    A comment that repeats another one since these came, or no longer does, is analysed too.
    """
    backlog = Backlog(night, seen)
    shards, texts = _in_shards(night, key, backlog, backlog.left(key), read)
    new = _keys(shards)
    others = seen.filter(pc.invert(pc.is_in(seen["comment_id"], new["comment_id"])))
    repeats = duplicates(pa.concat_tables([others.select(_KEYS), new]))
    before, now = repeats.slice(0, len(others)), repeats.slice(len(others))
    flipped = others["comment_id"].filter(_differ(before, others["duplicate_of"]))
    if len(flipped):
        more, again = _in_shards(night, key, backlog, backlog.of(flipped), read)
        place = pc.index_in(_keys(more)["comment_id"], others["comment_id"].combine_chunks())
        now = pa.concat_arrays([now, before.take(place.combine_chunks())])
        shards, texts = [*shards, *more], texts + again
    return shards, now, texts


def _in_shards(
    night: Night, key: str, backlog: Backlog, index: pa.Table, read: Read
) -> tuple[list[_Shard], int]:
    """Analyse shard by shard; a shard that an interrupted run has made is not made again."""
    size, texts, done = night.settings.execution.shard_size, 0, 0
    some = [index.slice(start, size) for start in range(0, index.num_rows, size)]
    left = {_name(key, piece): piece for piece in some}
    made = {name: _made(night, name) for name in left}
    results = read(backlog.rows(piece) for name, piece in left.items() if made[name] is None)
    for name, piece in left.items():
        if made[name] is None:
            result = next(results)
            night.warehouse.stage_shard(name, result.comments, result.mentions)
            texts += result.read
            made[name] = _Shard(name, _keys_of(result.comments))
            del result
            give_back()
        done += piece.num_rows
        night.tell(f"{done:,} of {index.num_rows:,} comments analysed")
    return [shard for shard in made.values() if shard], texts


def _name(key: str, piece: pa.Table) -> str:
    parts = [key, *piece["comment_id"].to_pylist(), *piece["row_digest"].to_pylist()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _made(night: Night, name: str) -> _Shard | None:
    """Return the shard of that name if it is there."""
    made = night.warehouse.read_shard(name)
    return _Shard(name, _keys_of(made[0])) if made else None


def _keys_of(comments: pa.Table) -> pa.Table:
    return schema.conform(comments, schema.COMMENTS).select(_KEYS)


def _keys(shards: Sequence[_Shard]) -> pa.Table:
    none = schema.empty(schema.COMMENTS).select(_KEYS)
    return pa.concat_tables([none, *(shard.keys for shard in shards)])


def _parts(
    night: Night, seen: pa.Table, shards: Sequence[_Shard], repeats: pa.Array
) -> Iterator[Part]:
    """Yield anew, one at a time, the partitions that hold a new, changed or moved comment."""
    grain, gone = night.settings.partition, _keys(shards)["comment_id"].combine_chunks()
    staged = _Staged(night, shards, repeats)
    old = seen.filter(pc.is_in(seen["comment_id"], gone))
    affected = {*_places(old, grain), *staged.places}
    more: dict[tuple[str, Place], list[pa.Table]] = {}
    for stray in _of_other_grain(night, {(source, period[:7]) for source, period in affected}):
        yield Part(stray.table, schema.empty(stray.table), stray.source, stray.period)
        for part in split(_without(stray.data, gone), stray.table, grain):
            place = str(part.source), str(part.period)
            more.setdefault((part.table.name, place), []).append(part.data)
    for place in sorted({*affected, *(place for _, place in more)}):
        for table in (schema.COMMENTS, schema.MENTIONS):
            rest = _without(night.warehouse.read_part(table, *place), gone)
            rows = [rest, *staged.rows(table, place), *more.get((table.name, place), [])]
            yield Part(table, pa.concat_tables(rows, promote_options="permissive"), *place)


class _Staged:
    """The shards on disk, cut into partitions when one of theirs is asked for."""

    def __init__(self, night: Night, shards: Sequence[_Shard], repeats: pa.Array) -> None:
        self._night, self._shards, self._repeats = night, shards, repeats
        self._starts = [0]
        for shard in shards:
            self._starts.append(self._starts[-1] + shard.keys.num_rows)
        self._where = [_places(shard.keys, night.settings.partition) for shard in shards]
        self.places = {place for places in self._where for place in places}
        self._cut: dict[int, dict[tuple[str, Place], pa.Table]] = {}  # of the last two shards

    def rows(self, table: schema.Table, place: Place) -> Iterator[pa.Table]:
        """Yield the rows that shards have of a partition."""
        for number, places in enumerate(self._where):
            if place in places:
                found = self._cut.pop(number, None) or self._read(number)
                self._cut[number] = found
                for oldest in list(self._cut)[:-2]:
                    del self._cut[oldest]
                if (table.name, place) in found:
                    yield found[table.name, place]

    def _read(self, number: int) -> dict[tuple[str, Place], pa.Table]:
        made = self._night.warehouse.read_shard(self._shards[number].name)
        if made is None:
            raise WarehouseError(
                f"{self._night.warehouse.root}: a shard that was just written to state/shards "
                "cannot be read; mend the disk and run again, it is then analysed again"
            )
        here = slice(*self._starts[number : number + 2])
        repeats = self._repeats[here]
        comments, mentions = set_aside_duplicates(
            schema.conform(made[0], schema.COMMENTS), schema.conform(made[1], schema.MENTIONS),
            repeats,
        )  # fmt: skip
        return {
            (table.name, (str(part.source), str(part.period))): part.data
            for table, data in ((schema.COMMENTS, comments), (schema.MENTIONS, mentions))
            for part in split(data, table, self._night.settings.partition)
        }


def _of_other_grain(night: Night, months: set[Place]) -> list[Part]:
    """Return the parts of those months that were cut by day and now go by month, or the reverse."""
    length = len("2026-09") if night.settings.partition == "month" else len("2026-09-14")
    return [
        Part(table, night.warehouse.read_part(table, source, period), source, period)
        for table in (schema.COMMENTS, schema.MENTIONS)
        for source, period in night.warehouse.parts(table)
        if source and period and period != UNDATED and len(period) != length
        and (source, period[:7]) in months
    ]  # fmt: skip


def _places(rows: pa.Table, grain: str) -> set[Place]:
    """Return the partitions of rows that have `source` and `published_at`."""
    length = 7 if grain == "month" else 10
    days = pc.fill_null(pc.utf8_slice_codeunits(rows["published_at"].cast(pa.string()), 0, length),
                        UNDATED)  # fmt: skip
    found = pa.table({"source": rows["source"], "period": days}).group_by(["source", "period"])
    distinct = found.aggregate([])
    return set(zip(distinct["source"].to_pylist(), distinct["period"].to_pylist(), strict=True))


def _without(rows: pa.Table, ids: pa.Array) -> pa.Table:
    """Leave out the rows of these comments."""
    return rows.filter(pc.invert(pc.is_in(rows["comment_id"], ids))) if rows.num_rows else rows


def _differ(one: pa.Array, other: pa.ChunkedArray) -> pa.Array:
    """Where two columns differ, null being a value."""
    other = other.combine_chunks() if isinstance(other, pa.ChunkedArray) else other
    return pc.not_equal(pc.fill_null(one, ""), pc.fill_null(other, ""))
