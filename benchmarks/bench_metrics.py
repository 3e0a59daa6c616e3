"""Time and memory of all metrics over made-up warehouses of 1, 3 and 10 million comments.

    python benchmarks/bench_metrics.py --millions 1 3 10 --folder build/synthetic

A warehouse that is not there yet is made first (`synthetic.py`); that is outside the figures.
Each size is measured in a process of its own, so that peak memory is that of the size. Prints
one line of JSON per size: reading the Parquet files is in the time, writing the tables is not.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from synthetic import write

from cxnlp import schema
from cxnlp.config import Metrics
from cxnlp.metrics import measure, query
from cxnlp.taxonomy import load_taxonomy


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--millions", type=float, nargs="+", default=[1.0])
    asked.add_argument("--folder", type=Path, default=Path("build/synthetic"))
    asked.add_argument("--measure", help=argparse.SUPPRESS)  # the process of one size
    given = asked.parse_args()
    if given.measure:
        print(json.dumps(_measured(given.measure)))
        return
    for millions in given.millions:
        folder = given.folder / f"{millions:g}m"
        if not (folder / "views.sql").exists():
            write(str(folder), int(millions * 1_000_000))
        subprocess.run([sys.executable, __file__, "--measure", str(folder)], check=True)


def _measured(folder: str) -> dict[str, object]:
    known = load_taxonomy(Path(__file__).parents[1] / "configs" / "taxonomy.yaml").table()
    began, cpu = time.perf_counter(), time.process_time()
    tables = measure(folder, known, Metrics())
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    counted = query(folder, "SELECT (SELECT count(*) FROM comments) AS c, count(*) AS m "
                            "FROM mentions").to_pylist()[0]  # fmt: skip
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"), "commit": commit, "machine": platform.machine(),
        "comments": counted["c"], "mentions": counted["m"], "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1), "peak_gib": round(peak, 2),
        "rows": {table.name: tables[table].num_rows for table in schema.METRICS},
    }  # fmt: skip


if __name__ == "__main__":
    main()
