"""The stages of a night as plain functions: ingest → analyse → measure → report.

Comes in: a `Night` (settings, warehouse, days). Goes out: counts; tables go to the warehouse.
What is left to do is worked out from what is there (files not read yet, comments without labels
under this model, taxonomy and settings), never remembered. The flow of `pipelines/` and
`cxnlp run --direct` call the same functions in the same order.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import __version__, schema
from cxnlp.analyse import Analyzer
from cxnlp.cache import Cache
from cxnlp.clean import duplicates
from cxnlp.config import Settings, Source
from cxnlp.errors import WarehouseError
from cxnlp.forgotten import read_forgotten
from cxnlp.ingest import FileRead, find_files, read_file
from cxnlp.invariants import check
from cxnlp.metrics import measure as work_out
from cxnlp.notify import tell_alerts
from cxnlp.parts import UNDATED, Part, split
from cxnlp.pseudonyms import author_key
from cxnlp.report import NAME, write_report
from cxnlp.retention import as_raw, expire
from cxnlp.taxonomy import Taxonomy
from cxnlp.told import set_aside_duplicates
from cxnlp.underway import underway
from cxnlp.warehouse import Warehouse

Tell = Callable[[str], None]
_SEEN = ("comment_id", "row_digest", "analysis_key", "set_aside", "duplicate_of", "duplicate_key",
         "published_at", "author_key", "source")  # fmt: skip
_KEYS = ("comment_id", "published_at", "author_key", "duplicate_key")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What ingest did for one source: files and rows read this time."""

    source: str
    files: int
    rows: int
    comments: int
    rejects: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Analysed:
    """What analyse did: rows of `comments` written, texts read by the model, seconds."""

    written: int
    texts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Night:
    """One run: what it works on and how it is called."""

    settings: Settings
    warehouse: Warehouse
    run_id: str
    started: datetime
    first_day: date | None = None
    last_day: date | None = None
    tell: Tell = field(default=lambda _: None)

    @classmethod
    def begin(
        cls, settings: Settings, first_day: date | None = None, last_day: date | None = None,
        tell: Tell = lambda _: None,
    ) -> "Night":  # fmt: skip
        """Return a run that starts now."""
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        return cls(settings, Warehouse(settings.warehouse), run_id, now, first_day, last_day, tell)

    def underway(self) -> AbstractContextManager[None]:
        """Hold the warehouse; a failure inside leaves a row in `runs`."""
        return underway(self.warehouse, self.settings, self.run_id, self.started)

    @property
    def metadata(self) -> dict[str, str]:
        return {"config": self.settings.digest, "cxnlp": __version__}


def load_analyzer(settings: Settings) -> Analyzer:
    """Return the analyzer that the settings name."""
    return Analyzer.load(
        settings.model, settings.taxonomy, inference=settings.inference,
        keep=settings.language.keep, mask=settings.privacy.mask,
    )  # fmt: skip


def ingest(night: Night, source: Source) -> Ingested:
    """Read the files of a source that are new or changed, and publish what they hold."""
    began = time.monotonic()
    files = night.warehouse.read(schema.FILES).sort_by("sequence")
    known = {
        (row["source"], row["file"]): (row["digest"], row["mapping"])  # as it was read last
        for row in files.select(["source", "file", "digest", "mapping"]).to_pylist()
    }
    last = pc.max(files["sequence"]).as_py() or 0
    key = author_key(night.settings, night.warehouse) if "author" in source.fields else None
    forgotten = read_forgotten(night.warehouse)
    reads: list[FileRead] = []
    for found in find_files(source):
        if known.get((source.name, found.name)) == (found.digest, source.digest):
            continue
        night.tell(f"{source.name}: {found.name}")
        read = read_file(
            found, source, author_key=key, mask=night.settings.privacy.mask,
            run_id=night.run_id, sequence=last + len(reads) + 1,
        )  # fmt: skip
        reads.append(forgotten.strike(read))
    if reads:
        _publish_files(night, source, files, reads)
    rows, comments, rejects = (
        sum(r.file[n][0].as_py() for r in reads) for n in ("rows", "comments", "rejects")
    )
    return Ingested(source.name, len(reads), rows, comments, rejects, time.monotonic() - began)


def _publish_files(night: Night, source: Source, files: pa.Table, reads: list[FileRead]) -> None:
    rejects = night.warehouse.read(schema.REJECTS)
    again = [r.file["file"][0].as_py() for r in reads]
    old = pc.and_(pc.equal(rejects["source"], source.name),
                  pc.is_in(rejects["file"], pa.array(again)))  # fmt: skip
    parts = [
        Part(schema.RAW, r.comments, source.name, f"{r.file['sequence'][0].as_py():06d}")
        for r in reads
        if r.comments.num_rows
    ]
    parts += [
        Part(schema.REJECTS, _joined(rejects.filter(pc.invert(old)), [r.rejects for r in reads])),
        Part(schema.FILES, _joined(files, [r.file for r in reads])),
    ]
    night.warehouse.publish(parts, run_id=night.run_id, metadata=night.metadata)


def analyse(night: Night, analyzer: Analyzer) -> Analysed:
    """Analyse the comments that have no labels under this model and these settings."""
    began = time.monotonic()
    seen = night.warehouse.read(schema.COMMENTS, _SEEN)
    raw = _latest(night)
    stale = pc.not_equal(seen["analysis_key"], analyzer.key)
    raw = _with_expired(night, raw, seen["comment_id"].filter(stale))
    done = {
        (c, d)
        for c, d, k in zip(*(seen[n].to_pylist() for n in _SEEN[:3]), strict=True)
        if k == analyzer.key
    }
    left = np.array([
        pair not in done
        for pair in zip(raw["comment_id"].to_pylist(), raw["row_digest"].to_pylist(), strict=True)
    ], dtype=bool)  # fmt: skip
    left &= _in_days(night, raw["published_at"])
    cache = _cache(night, analyzer)
    comments, mentions, texts = _in_shards(night, analyzer, raw.filter(pa.array(left)), cache)
    others = seen.filter(pc.invert(pc.is_in(seen["comment_id"], comments["comment_id"])))
    every = pa.concat_tables([others.select(_KEYS), comments.select(_KEYS)])
    repeats = duplicates(every)
    before, now = repeats.slice(0, len(others)), repeats.slice(len(others))
    flipped = _differ(before, others["duplicate_of"])
    if pc.any(flipped).as_py():
        ids = others["comment_id"].filter(flipped)
        again = _with_expired(night, raw, ids)
        again = again.filter(pc.is_in(again["comment_id"], ids))
        more, more_mentions, more_texts = _in_shards(night, analyzer, again, cache)
        place = pc.index_in(more["comment_id"], others["comment_id"])
        now = pa.concat_arrays([now, before.take(place.combine_chunks())])
        comments = pa.concat_tables([comments, more])
        mentions = pa.concat_tables([mentions, more_mentions])
        texts += more_texts
    if comments.num_rows:
        comments, mentions = set_aside_duplicates(comments, mentions, now)
        _publish_rows(night, analyzer, seen, comments, mentions)
    night.warehouse.drop_shards()
    if cache:
        cache.settle()
    return Analysed(comments.num_rows, texts, time.monotonic() - began)


def _cache(night: Night, analyzer: Analyzer) -> Cache | None:
    limit = night.settings.inference.cache_mb
    return Cache(night.warehouse.files, analyzer.key, night.run_id, limit) if limit else None


def _in_shards(
    night: Night, analyzer: Analyzer, raw: pa.Table, cache: Cache | None
) -> tuple[pa.Table, pa.Table, int]:
    """Analyse shard by shard; a shard that an interrupted run has made is not made again."""
    comments, mentions = [schema.empty(schema.COMMENTS)], [schema.empty(schema.MENTIONS)]
    texts = 0
    size = night.settings.execution.shard_size
    for start in range(0, raw.num_rows, size):
        shard = raw.slice(start, size)
        parts = [analyzer.key, *shard["comment_id"].to_pylist(), *shard["row_digest"].to_pylist()]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        made = night.warehouse.read_shard(name)
        if made is None:
            result = analyzer.analyse(shard, night.run_id, cache)
            made = result.comments, result.mentions
            night.warehouse.stage_shard(name, *made)
            texts += result.read
        comments.append(schema.conform(made[0], schema.COMMENTS))
        mentions.append(schema.conform(made[1], schema.MENTIONS))
        night.tell(f"{min(start + size, raw.num_rows):,} of {raw.num_rows:,} comments analysed")
    return pa.concat_tables(comments), pa.concat_tables(mentions), texts


def _publish_rows(
    night: Night, analyzer: Analyzer, seen: pa.Table, comments: pa.Table, mentions: pa.Table
) -> None:
    """Rebuild the partitions that hold a new, changed or moved comment."""
    grain = night.settings.partition
    old = seen.filter(pc.is_in(seen["comment_id"], comments["comment_id"]))
    affected = {*_places(old, grain), *_places(comments, grain)}
    months = {(source, period[:7]) for source, period in affected}
    gone = comments["comment_id"]
    parts: list[Part] = []
    for table, new in ((schema.COMMENTS, comments), (schema.MENTIONS, mentions)):
        strays = _of_other_grain(night, table, months)
        left = [stray.data.filter(pc.invert(pc.is_in(stray.data["comment_id"], gone)))
                for stray in strays]  # fmt: skip
        parts += [Part(table, schema.empty(table), s.source, s.period) for s in strays]
        fresh = {(str(p.source), str(p.period)): p.data
                 for p in split(_joined(new, left), table, grain)}  # fmt: skip
        for source, period in sorted({*affected, *fresh}):
            rest = night.warehouse.read_part(table, source, period)
            rest = rest.filter(pc.invert(pc.is_in(rest["comment_id"], gone)))
            some = fresh.get((source, period))
            parts.append(Part(table, _joined(rest, [some] if some else []), source, period))
    metadata = {**night.metadata, "model": analyzer.model_version,
                "taxonomy": analyzer.taxonomy.name}  # fmt: skip
    night.warehouse.publish(parts, run_id=night.run_id, metadata=metadata)


def _of_other_grain(night: Night, table: schema.Table, months: set[tuple[str, str]]) -> list[Part]:
    """Return the parts of those months that were cut by day and now go by month, or the reverse."""
    length = len("2026-09") if night.settings.partition == "month" else len("2026-09-14")
    return [
        Part(table, night.warehouse.read_part(table, source, period), source, period)
        for source, period in night.warehouse.parts(table)
        if source and period and period != UNDATED and len(period) != length
        and (source, period[:7]) in months
    ]  # fmt: skip


def measure(night: Night, taxonomy: Taxonomy) -> float:
    """Work out the metrics tables anew and publish them; return seconds."""
    began = time.monotonic()
    tables = work_out(night.settings.warehouse, taxonomy.table(), night.settings.metrics)
    night.warehouse.publish(
        [Part(table, data) for table, data in tables.items()],
        run_id=night.run_id, metadata=night.metadata,
    )  # fmt: skip
    return time.monotonic() - began


def finish(
    night: Night, analyzer: Analyzer, ingested: list[Ingested], analysed: Analysed, measured: float
) -> pa.Table:
    """Check the invariants, add the run to `runs`, and return its row.

    Raises `WarehouseError` listing what does not hold.
    """
    taxonomy = analyzer.taxonomy
    stages = {t.id: t.stage for t in taxonomy.touchpoints}
    problems = check(night.warehouse, stages, {lever.id for lever in taxonomy.levers})
    if problems:
        raise WarehouseError("the tables are not as they should be:\n" + "\n".join(problems))
    aside = night.warehouse.read(schema.COMMENTS, ("set_aside",))["set_aside"]
    row = {
        "run_id": night.run_id, "started_at": night.started, "finished_at": datetime.now(UTC),
        "status": "done", "files_read": sum(i.files for i in ingested),
        "rows_read": sum(i.rows for i in ingested),
        "rows_rejected": sum(i.rejects for i in ingested), "comments": len(aside),
        "comments_written": analysed.written, "analysed": analysed.texts,
        "set_aside": len(aside) - aside.null_count,
        "mentions": len(night.warehouse.read(schema.MENTIONS, ("mention_id",))),
        "seconds_ingest": sum(i.seconds for i in ingested), "seconds_analyse": analysed.seconds,
        "seconds_measure": measured,
        "comments_per_second": analysed.texts / max(analysed.seconds, 1e-6),
        "model_version": analyzer.model_version, "taxonomy_version": taxonomy.name,
        "config_digest": night.settings.digest, "n_min": night.settings.metrics.n_min,
        "metrics": night.settings.metrics.model_dump_json(),
        "cxnlp_version": __version__,
    }  # fmt: skip
    runs = night.warehouse.read(schema.RUNS)
    new = schema.conform(pa.Table.from_pylist([row], schema=schema.RUNS.arrow), schema.RUNS)
    parts = [Part(schema.RUNS, _joined(runs, [new]))]
    night.warehouse.publish(parts, run_id=night.run_id, metadata=night.metadata)
    return new


def report(night: Night, analyzer: Analyzer) -> str:
    """Write report.html from the tables as they are now, and return where it is.

    Raises `WarehouseError` when that fails; the tables stay as they were published.
    """
    names = {lever.id: lever.label for lever in analyzer.taxonomy.levers}
    try:
        return write_report(night.warehouse, names, analyzer.card)
    except Exception as error:
        raise WarehouseError(
            f"{night.warehouse.root}: the tables are complete, but {NAME} could not be made: "
            f"{error}; once that is mended, `cxnlp report {night.settings.warehouse}` makes it"
        ) from error


def end(night: Night) -> tuple[int, int]:
    """Tell of new alerts, remove raw files that are old enough; return how many of each."""
    told = tell_alerts(night.settings.notify, night.warehouse, night.run_id, night.started)
    days = night.settings.retention.raw_days
    return told, expire(night.warehouse, days, night.run_id, night.started)


def run(night: Night, analyzer: Analyzer | None = None) -> pa.Table:
    """Do a whole night in this process, without Prefect; return its row of `runs`.

    `analyzer` is the one that the settings name, if it is loaded already.
    """
    with night.underway():
        analyzer = analyzer or load_analyzer(night.settings)
        ingested = [ingest(night, source) for source in night.settings.sources]
        analysed = analyse(night, analyzer)
        row = finish(night, analyzer, ingested, analysed, measure(night, analyzer.taxonomy))
        report(night, analyzer)
        end(night)
        return row


def _latest(night: Night) -> pa.Table:
    """Return each raw comment as last seen, of the sources in the settings, in a stable order."""
    names = {source.name for source in night.settings.sources}
    tables = [schema.empty(schema.RAW)]
    tables += [
        night.warehouse.read_part(schema.RAW, source, sequence)
        for source, sequence in night.warehouse.parts(schema.RAW)
        if source in names
    ]
    raw = pa.concat_tables(tables).combine_chunks()
    ids = raw["comment_id"].to_pylist()
    last = {comment: row for row, comment in enumerate(ids)}
    return raw.take(pa.array(sorted(last.values()), pa.int64()))


def _with_expired(night: Night, raw: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    """Return `raw` and, of `ids`, the comments whose raw is no longer kept."""
    gone = as_raw(night.warehouse, ids.filter(pc.invert(pc.is_in(ids, raw["comment_id"]))))
    names = pa.array([source.name for source in night.settings.sources])
    return pa.concat_tables([raw, gone.filter(pc.is_in(gone["source"], names))])


def _in_days(night: Night, published: pa.ChunkedArray) -> np.ndarray:
    days = published.cast(pa.date32())
    inside = pa.chunked_array([pa.array([True] * len(days), pa.bool_())])
    if night.first_day:
        inside = pc.and_(inside, pc.fill_null(pc.greater_equal(days, night.first_day), False))
    if night.last_day:
        inside = pc.and_(inside, pc.fill_null(pc.less_equal(days, night.last_day), False))
    return np.asarray(inside.to_numpy())


def _places(rows: pa.Table, grain: str) -> Iterator[tuple[str, str]]:
    """Return the partitions of rows that have `source` and `published_at`."""
    length = 7 if grain == "month" else 10
    days = pc.fill_null(pc.utf8_slice_codeunits(rows["published_at"].cast(pa.string()), 0, length),
                        UNDATED)  # fmt: skip
    yield from zip(rows["source"].to_pylist(), days.to_pylist(), strict=True)


def _differ(one: pa.Array, other: pa.ChunkedArray) -> pa.Array:
    """Where two columns differ, null being a value."""
    other = other.combine_chunks() if isinstance(other, pa.ChunkedArray) else other
    return pc.not_equal(pc.fill_null(one, ""), pc.fill_null(other, ""))


def _joined(first: pa.Table, more: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([first, *more], promote_options="permissive")
