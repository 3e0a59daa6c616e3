"""The nightly flow: ingest → analyse → measure → report, top to bottom.

Comes in: the path of a configuration, and the days to analyse if not all. Goes out: the run's
row of `runs`. Left out: what the stages do (`cxnlp.night`).
"""

from datetime import date

import pyarrow as pa
from prefect import flow

from cxnlp.config import load_settings
from cxnlp.night import load_analyzer
from pipelines import tasks
from pipelines.runs import begin, name, scheduled


@flow(name="nightly", flow_run_name=name("nuit"), persist_result=False)
@scheduled
def nightly(config: str, first_day: date | None = None, last_day: date | None = None) -> pa.Table:
    """Run a night; raises what its stages raise, `WarehouseBusyError` when another run is on."""
    settings = load_settings(config)
    tonight = begin(settings, first_day, last_day)
    with tonight.underway():
        analyzer = load_analyzer(settings)
        ingested = [tasks.ingest(tonight, source) for source in settings.sources]
        analysed = tasks.analyse(tonight, analyzer)
        measured = tasks.measure(tonight, analyzer)
        row = tasks.finish(tonight, analyzer, ingested, analysed, measured)
        tasks.write_report(tonight, analyzer)
        tasks.end(tonight)
        return row
