"""The flow that gives every comment the labels of a new model or taxonomy.

Comes in: the path of a configuration that names the new one. Goes out: the run's row of `runs`.
Comments are analysed shard by shard, and a shard that is finished is kept: a run that was
interrupted goes on where it stopped. The old labels stay in the tables until the last shard is
there, then all change in one publication. Left out: reading sources, which the nights do.
"""

import pyarrow as pa
from prefect import flow

from cxnlp.config import load_settings
from cxnlp.night import load_analyzer
from pipelines import tasks
from pipelines.runs import begin, name, scheduled


@flow(name="reanalyse", flow_run_name=name("reanalyse"), persist_result=False)
@scheduled
def reanalyse(config: str) -> pa.Table:
    """Analyse every comment whose labels are of another model, taxonomy or settings."""
    settings = load_settings(config)
    again = begin(settings)
    with again.underway():
        analyzer = load_analyzer(settings)
        analysed = tasks.analyse(again, analyzer)
        measured = tasks.measure(again, analyzer)
        row = tasks.finish(again, analyzer, [], analysed, measured)
        tasks.write_report(again, analyzer)
        tasks.end(again)
        return row
