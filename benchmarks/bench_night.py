"""A first night, then one whose exports hold nine comments in ten that were seen before.

    python benchmarks/bench_night.py FOLDER --comments 10000

Comes in: how many comments. Goes out: one line of JSON: seconds and processor seconds of each
whole night (ingest, analyse, measure, checks), how many texts the model read, and the peak of
memory. The third night has the same texts, each with an answer it did not have: every row has
changed and no text has.
"""

import argparse
import json
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from texts import texts

from cxnlp import night
from cxnlp.config import Settings

DAYS = 360


def main() -> None:
    """Run the three nights in one warehouse and print what they cost."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--comments", type=int, default=10_000)
    given = asked.parse_args()
    some = texts(given.comments + given.comments // 10)
    settings = Settings.model_validate({
        "warehouse": str(given.folder / "warehouse"),
        "inference": {"device": "cpu"},
        "sources": [{
            "name": "avis", "channel": "avis", "files": str(given.folder / "avis.parquet"),
            "fields": {"native_id": "id", "published_at": "date", "text": "avis",
                       "rating": "note", "reply_text": "reponse"},
        }],
    })  # fmt: skip
    analyzer, found = night.load_analyzer(settings), {}
    new = given.comments // 10
    for name, first, reply in (("first", 0, None), ("seen", new, None), ("edited", new, "Merci.")):
        _export(given.folder / "avis.parquet", some, first, given.comments, reply)
        began, spent = time.perf_counter(), time.process_time()
        row = night.run(night.Night.begin(settings), analyzer).to_pylist()[0]
        found[name] = {
            "seconds": round(time.perf_counter() - began, 2),
            "processor": round(time.process_time() - spent, 2),
            "texts": row["analysed"],
            **{k: round(row[k], 2) for k in row if k.startswith("seconds_")},
        }
    status = Path("/proc/self/status").read_text("utf-8")  # ru_maxrss would be the parent's too
    found["peak_mb"] = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    found["comments"] = given.comments
    print(json.dumps(found))


def _export(path: Path, some: list[str], first: int, count: int, reply: str | None) -> None:
    rows = range(first, first + count)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({
            "id": [f"a{i}" for i in rows],
            "date": [str(date(2025, 11, 1) + timedelta(days=i % DAYS)) for i in rows],
            "avis": [some[i] for i in rows],
            "note": [1 + i % 5 for i in rows],
            "reponse": pa.array([reply] * count, pa.string()),
        }),
        path,
    )  # fmt: skip


if __name__ == "__main__":
    main()
