"""The stages of a night as plain functions: ingest → analyse → measure → report.

Comes in: a `Night` (settings, warehouse, days). Goes out: counts; tables go to the warehouse.
What is left to do is worked out from what is there (files not read yet, comments without labels
under this model, taxonomy and settings), never remembered. The flow of `pipelines/` and
`cxnlp run --direct` call the same functions in the same order.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import __version__, schema
from cxnlp.analyse import Analyzer
from cxnlp.analysing import analyse
from cxnlp.config import Settings, Source
from cxnlp.errors import WarehouseError
from cxnlp.forgotten import read_forgotten
from cxnlp.ingest import FileRead, find_files, read_file
from cxnlp.ingest.fetch import fetch
from cxnlp.invariants import check
from cxnlp.metrics import measure as work_out
from cxnlp.names import load_names
from cxnlp.notify import tell_alerts
from cxnlp.parts import Part
from cxnlp.pseudonyms import author_key
from cxnlp.report import NAME, write_report
from cxnlp.retention import expire
from cxnlp.tonight import Analysed, Ingested, Night, Tell

__all__ = [
    "Analysed", "Ingested", "Night", "Tell", "analyse", "end", "finish", "ingest", "load_analyzer",
    "measure", "report", "run",
]  # fmt: skip


def load_analyzer(settings: Settings) -> Analyzer:
    """Return the analyzer that the settings name; workers of Ray, not it, use the GPUs."""
    on_ray = settings.execution.engine == "ray"
    inference = settings.inference.model_copy(update={"device": "cpu"} if on_ray else {})
    return Analyzer.load(
        settings.model, settings.taxonomy, inference=inference,
        keep=settings.language.keep, mask=settings.privacy.mask,
        names=settings.privacy.names_model,
    )  # fmt: skip


def ingest(night: Night, source: Source) -> Ingested:
    """Read what is new or changed of a source, and publish it."""
    began = time.monotonic()
    files = night.warehouse.read(schema.FILES).sort_by("sequence")
    next_one = (pc.max(files["sequence"]).as_py() or 0) + 1
    key = author_key(night.settings, night.warehouse) if "author" in source.fields else None
    if source.files:
        reads = _new_files(night, source, files, key, next_one)
    else:
        reads = fetch(
            source, night.warehouse, _struck(night), author_key=key,
            mask=night.settings.privacy.mask, run_id=night.run_id, sequence=next_one,
            now=night.started, tell=night.tell,
        )  # fmt: skip
    if reads:
        _publish_files(night, source, files, reads)
    rows, comments, rejects = (
        sum(r.file[n][0].as_py() for r in reads) for n in ("rows", "comments", "rejects")
    )
    return Ingested(source.name, len(reads), rows, comments, rejects, time.monotonic() - began)


def _new_files(
    night: Night, source: Source, files: pa.Table, key: bytes | None, next_one: int
) -> list[FileRead]:
    """Read the files that are new or changed."""
    known = {
        (row["source"], row["file"]): (row["digest"], row["mapping"])  # as it was read last
        for row in files.select(["source", "file", "digest", "mapping"]).to_pylist()
    }
    strike, reads = _struck(night), list[FileRead]()
    for found in find_files(source):
        if known.get((source.name, found.name)) == (found.digest, source.digest):
            continue
        night.tell(f"{source.name}: {found.name}")
        read = read_file(
            found, source, author_key=key, mask=night.settings.privacy.mask,
            run_id=night.run_id, sequence=next_one + len(reads),
        )  # fmt: skip
        reads.append(strike(read))
    return reads


def _struck(night: Night) -> Callable[[FileRead], FileRead]:
    """Return what takes names out of rejects, if settings ask for it, and the forgotten out of all.

    Names in comments are hidden when these are analysed: `raw/` keeps texts as given.
    """
    forgotten, model = read_forgotten(night.warehouse), night.settings.privacy.names_model
    if not model:
        return forgotten.strike
    names = load_names(model)
    return lambda read: forgotten.strike(replace(read, rejects=names.hide(read.rejects)))


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


def measure(night: Night, analyzer: Analyzer) -> float:
    """Work out the metrics tables anew and publish them; return seconds."""
    began = time.monotonic()
    tables = work_out(
        night.settings.warehouse, analyzer.taxonomy.table(), night.settings.metrics,
        analyzer.card.reference,
    )  # fmt: skip
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
        row = finish(night, analyzer, ingested, analysed, measure(night, analyzer))
        report(night, analyzer)
        end(night)
        return row


def _joined(first: pa.Table, more: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([first, *more], promote_options="permissive")
