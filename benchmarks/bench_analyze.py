"""`cxnlp analyze` on comments of real lengths: its whole time beside the engine's, and its memory.

    python benchmarks/bench_analyze.py --comments 100000

Comes in: how many. Goes out: one line of JSON. The command runs in a process of its own, which
counts from its start to its end; the engine's time is what the network takes, without cleaning,
spaCy, tokens, files and the loading of libraries. The peak is of that process, all included.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq


def measured(comments: int) -> dict[str, float]:
    """Return seconds of the whole and of the engine, their ratio, and the peak in megabytes."""
    from texts import texts

    with TemporaryDirectory() as folder:
        source = Path(folder) / "comments.parquet"
        made = texts(comments)
        pq.write_table(pa.table({"id": [f"c{i}" for i in range(comments)], "text": made}), source)
        del made
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--source", str(source)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        wall = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "comments": comments, "seconds": round(wall, 1), **found,
        "whole_by_engine": round(wall / found["engine_seconds"], 3),
    }  # fmt: skip


def _alone(source: Path) -> None:
    """Analyse one file beside itself and print what it took; the one thing this process does."""
    from cxnlp.analyse import Analyzer
    from cxnlp.model.engine import Engine
    from cxnlp.onefile import analyse_file

    spent = 0.0
    scores = Engine.scores

    def timed(*given: object) -> object:
        nonlocal spent
        began = time.perf_counter()
        found = scores(*given)  # type: ignore[arg-type]
        spent += time.perf_counter() - began
        return found

    Engine.scores = timed  # type: ignore[assignment, method-assign]
    analyse_file(source, source.parent / "out", Analyzer.load)
    status = Path("/proc/self/status").read_text("utf-8")  # ru_maxrss would be the parent's too
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    print(json.dumps({
        "engine_seconds": round(spent, 1), "processor": round(time.process_time(), 1),
        "peak_mb": peak,
    }))  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--comments", type=int, default=20_000)
    asked.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.source:
        _alone(given.source)
    else:
        print(json.dumps(measured(given.comments)))


if __name__ == "__main__":
    main()
