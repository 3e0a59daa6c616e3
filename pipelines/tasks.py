"""The stages of a night as Prefect tasks: one per stage and source, tens a night, never rows.

What waits on a disk or a network (reading sources) is tried again; what computes is not: the
same input would fail the same way. Data stay in the warehouse; tasks hand on counts.
"""

from typing import Any

import pyarrow as pa
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import Source
from cxnlp.errors import CxnlpError
from pipelines.gpus import one_at_a_time

_SHOWN = 20


def _waits(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failure came from a disk or a network, so that a later try may succeed."""
    error = state.result(raise_on_failure=False)
    cause = error.__cause__ if isinstance(error, CxnlpError) else error
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError | PermissionError)


@task(
    task_run_name="lire-{source.name}", retries=3, retry_delay_seconds=[5, 30, 120],
    retry_condition_fn=_waits, cache_policy=NO_CACHE, persist_result=False,
)  # fmt: skip
def ingest(tonight: night.Night, source: Source) -> night.Ingested:
    """Read what is new of one source."""
    done = night.ingest(tonight, source)
    get_run_logger().info("%s", done)
    return done


def _of_days() -> str:
    """Return the name of an analysis: with its days, if it is limited to some."""
    tonight = task_run.parameters["tonight"]
    days = [str(day) for day in (tonight.first_day, tonight.last_day) if day]
    return " ".join(["analyser", *days])


@task(task_run_name=_of_days, cache_policy=NO_CACHE, persist_result=False)
def analyse(tonight: night.Night, analyzer: Analyzer) -> night.Analysed:
    """Label the comments that have no labels yet."""
    with one_at_a_time(tonight.settings):
        done = night.analyse(tonight, analyzer)
    get_run_logger().info("%s", done)
    return done


@task(task_run_name="mesurer", cache_policy=NO_CACHE, persist_result=False)
def measure(tonight: night.Night, analyzer: Analyzer) -> float:
    """Work out the metrics tables."""
    return night.measure(tonight, analyzer)


@task(task_run_name="conclure", cache_policy=NO_CACHE, persist_result=False)
def finish(
    tonight: night.Night, analyzer: Analyzer, ingested: list[night.Ingested],
    analysed: night.Analysed, measured: float,
) -> pa.Table:  # fmt: skip
    """Check the invariants, record the run, and leave its report as artifacts."""
    row = night.finish(tonight, analyzer, ingested, analysed, measured)
    alerts = tonight.warehouse.read(schema.ALERTS)[-_SHOWN:].to_pylist()
    create_table_artifact(
        key="sources",
        table=[
            {"source": i.source, "fichiers": i.files, "lignes": i.rows,
             "commentaires": i.comments, "rejets": i.rejects, "secondes": round(i.seconds, 1)}
            for i in ingested
        ],
        description="Ce qui a été lu, par source",
    )  # fmt: skip
    create_table_artifact(
        key="alertes",
        table=[
            {"jour": str(a["day"]), "point de contact": a["touchpoint"],
             "pourquoi": ", ".join(a["kinds"]), "commentaires": a["n"],
             "d'habitude": round(a["usual_n"], 1), "score": round(a["mean"], 2)}
            for a in reversed(alerts)
        ],
        description="Les dernières alertes, la plus récente d'abord",
    )  # fmt: skip
    create_markdown_artifact(key="nuit", markdown=report(row), description="Rapport de la nuit")
    return row


@task(task_run_name="rapporter", cache_policy=NO_CACHE, persist_result=False)
def write_report(tonight: night.Night, analyzer: Analyzer) -> str:
    """Write report.html; return where it is."""
    place = night.report(tonight, analyzer)
    get_run_logger().info("%s", place)
    return place


@task(task_run_name="ranger", cache_policy=NO_CACHE, persist_result=False)
def end(tonight: night.Night) -> None:
    """Tell of new alerts, remove raw files that are old enough."""
    told, removed = night.end(tonight)
    get_run_logger().info("%d alerts told, %d raw files removed", told, removed)


def report(row: pa.Table) -> str:
    """Return the run's row of `runs` as a markdown table."""
    meanings = {column.name: column.meaning for column in schema.RUNS.columns}
    lines = [f"# {row['run_id'][0]}", "", "| | |", "| --- | --- |"]
    lines += [f"| {meanings[n]} | {row[n][0]} |" for n in row.column_names]
    return "\n".join(lines)
