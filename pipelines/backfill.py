"""The flow that analyses a long past, month by month.

Comes in: the path of a configuration, the first and the last day. Goes out: the run's row of
`runs`. Each month is published as soon as it is analysed: one that was interrupted starts again
where it stopped. Left out: comments without a date, which a nightly run analyses.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
from prefect import flow

from cxnlp.config import load_settings
from cxnlp.errors import UsageError
from cxnlp.night import Analysed, load_analyzer
from pipelines import tasks
from pipelines.runs import begin, name, scheduled


@flow(name="backfill", flow_run_name=name("rattrapage"), persist_result=False)
@scheduled
def backfill(config: str, first_day: date, last_day: date) -> pa.Table:
    """Read all sources, then analyse the comments of these days, months in order."""
    if first_day > last_day:
        raise UsageError(f"first_day {first_day} is after last_day {last_day}")
    settings = load_settings(config)
    whole = begin(settings, first_day, last_day)
    with whole.underway():
        analyzer = load_analyzer(settings)
        ingested = [tasks.ingest(whole, source) for source in settings.sources]
        done = [
            tasks.analyse(replace(whole, first_day=first, last_day=last), analyzer)
            for first, last in months(first_day, last_day)
        ]
        analysed = Analysed(*(sum(column) for column in zip(*done, strict=True)))
        measured = tasks.measure(whole, analyzer)
        row = tasks.finish(whole, analyzer, ingested, analysed, measured)
        tasks.write_report(whole, analyzer)
        tasks.end(whole)
        return row


def months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield the first and the last day of each piece, cut where months end.

    >>> [f"{a} {b}" for a, b in months(date(2025, 12, 30), date(2026, 1, 2))]
    ['2025-12-30 2025-12-31', '2026-01-01 2026-01-02']
    """
    while first <= last:
        following = (first.replace(day=1) + timedelta(days=31)).replace(day=1)
        yield first, min(last, following - timedelta(days=1))
        first = following
