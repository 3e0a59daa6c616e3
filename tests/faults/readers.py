"""Readers at work while files are replaced: what each sees, one program a reader.

Run as a program, `python -m faults.readers NAME FOLDER`, it reads until a file `stop` is there
and prints what it has seen. Every row says in `model_version` which publication wrote it, and a
publication has a number of rows of its own, so that a reading can be judged by itself.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from warehouse_rows import comment, rows

from cxnlp import schema
from cxnlp.metrics import query
from cxnlp.parts import Part, split
from cxnlp.warehouse import Warehouse

SOURCES = ("avis", "enquete")
COLUMNS = ["source", "model_version", "comment_id", "text"]
SQL = ("SELECT source, model_version, count(*), count(DISTINCT comment_id), sum(length(text)) "
       "FROM {} GROUP BY ALL")  # fmt: skip
ONCE = ("pandas", "glob", "pyarrow dataset", "cxnlp query")  # that must never fail
OTHERS = ("duckdb", "duckdb, one connection", "duckdb, no cache", "polars read", "polars scan",
           "pyarrow by path")  # fmt: skip
Seen = Iterable[tuple[str, str, int, int]]  # source, publication, rows, distinct ids


def reading(folder: Path, name: str, publications: int, least: int) -> dict[str, Any]:
    """Publish two files again and again while a reader reads them again and again."""
    folder.mkdir(parents=True)
    (folder / "least").write_text(str(least))
    crowd = _crowd(least)
    _publish(folder, crowd, 0, least)
    size = max(path.stat().st_size for path in folder.rglob("part-*"))
    program = subprocess.Popen(
        [sys.executable, "-m", "faults.readers", name, folder],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert program.stdout
    program.stdout.readline()
    began = time.monotonic()
    for turn in range(1, publications + 1):
        _publish(folder, crowd, turn, least)
    seconds = time.monotonic() - began
    (folder / "stop").touch()
    seen = json.loads(program.communicate(timeout=300)[0])
    wrong = [f"{seen['wrong rows']} readings gave wrong rows"] if seen["wrong rows"] else []
    if seen["failed"] and name in ONCE:
        wrong.append(f"{seen['failed']} readings failed: {seen['why']}")
    return {"reader": name, "publications": publications, "bytes": size,
            "seconds": round(seconds, 1), **seen, "wrong": wrong}  # fmt: skip


def _size(turn: int, least: int) -> int:
    """Return how many rows each file of a publication has."""
    return least + turn % 7 * (least // 60 + 1)


def _crowd(least: int) -> pa.Table:
    made = [
        comment(f"{source}{i:06d}", source=source, text=f"{i * 2654435761 % 2**61:x} " * 10)
        for source in SOURCES
        for i in range(_size(6, least))
    ]
    return rows(schema.COMMENTS, *made)


def _publish(folder: Path, crowd: pa.Table, turn: int, least: int) -> None:
    count, every = _size(turn, least), len(crowd) // len(SOURCES)
    some = pa.concat_tables([crowd.slice(i * every, count) for i in range(len(SOURCES))])
    place = crowd.column_names.index("model_version")
    said = pa.array([str(turn)] * len(some))
    parts: list[Part] = split(some.set_column(place, "model_version", said), schema.COMMENTS)
    warehouse = Warehouse(str(folder))
    with warehouse.hold():
        warehouse.publish(parts, run_id="r", metadata={})


def _reader(name: str, folder: Path) -> Callable[[], Seen]:
    home = folder / "tables" / "comments"
    every = f"{home}/**/*.parquet"
    if name.startswith("duckdb"):
        import duckdb

        kept, sql = duckdb.connect(), SQL.format(f"read_parquet('{every}')")

        def ask() -> Seen:
            connection = kept if "one connection" in name else duckdb.connect()
            if "no cache" in name:
                connection.execute("SET enable_external_file_cache = false")
            return [row[:4] for row in connection.execute(sql).fetchall()]

        return ask
    if name.startswith("polars"):
        import polars as pl

        ids = pl.col("comment_id").n_unique()

        def frame() -> Seen:
            lazy = pl.scan_parquet(every)
            data = lazy.select(COLUMNS).collect() if "scan" in name else \
                pl.read_parquet(every, columns=COLUMNS)  # fmt: skip
            grouped = data.group_by("source", "model_version")
            return grouped.agg(pl.len(), ids.alias("ids")).rows()

        return frame
    return {
        "glob": lambda: _tables(map(_opened_once, home.glob("**/*.parquet"))),
        "pyarrow by path": lambda: _tables(
            pq.read_table(path, columns=COLUMNS, partitioning=None)
            for path in home.glob("**/*.parquet")
        ),
        "pandas": lambda: _counts(pd.read_parquet(home, columns=COLUMNS)),
        "pyarrow dataset": lambda: _counts(pq.read_table(home, columns=COLUMNS).to_pandas()),
        "cxnlp query": lambda: [
            tuple(row.values())[:4]
            for row in query(str(folder), SQL.format("comments")).to_pylist()
        ],
    }[name]


def _opened_once(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return pq.ParquetFile(file).read(columns=COLUMNS)


def _tables(tables: Iterable[pa.Table]) -> Seen:
    return [seen for table in tables for seen in _counts(table.to_pandas())]


def _counts(data: pd.DataFrame) -> Seen:
    grouped = data.groupby(["source", "model_version"], observed=True)["comment_id"]
    counts = grouped.agg(["size", "nunique"]).reset_index()
    return list(counts.itertuples(index=False, name=None))


def _judged(seen: Seen, least: int) -> str:
    """Say `right`, `two nights` (files of two publications, each whole), or `wrong rows`."""
    turns = {source: [row[1:] for row in seen if row[0] == source] for source in SOURCES}
    for found in turns.values():
        if len(found) != 1 or found[0][1:] != (_size(int(found[0][0]), least),) * 2:
            return "wrong rows"
    return "right" if len({found[0][0] for found in turns.values()}) == 1 else "two nights"


def _watch(name: str, folder: Path) -> None:
    read, least = _reader(name, folder), int((folder / "least").read_text())
    counts, why = Counter({"right": 0, "two nights": 0, "failed": 0, "wrong rows": 0}), ""
    read()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not (folder / "stop").exists():
        try:
            counts[_judged(list(read()), least)] += 1
        except BaseException as error:  # Polars panics
            counts["failed"] += 1
            why = f"{type(error).__name__}: {error}"[:150]
    sys.stdout.write(json.dumps({"readings": counts.total(), **counts, "why": why}))


if __name__ == "__main__":
    _watch(sys.argv[1], Path(sys.argv[2]))
