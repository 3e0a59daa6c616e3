"""What workers of Ray cost beside one process, on the machine it runs on.

    python benchmarks/bench_ray.py --comments 400 --rounds 2

Comes in: how many comments, the same for all (`texts.py`). Goes out: one line of JSON. `ways`: one
process of one thread, one of two, and two workers of Ray, in turn; seconds of the clock and of all
processors together, medians over the rounds, with the model already loaded. `start`: the same for
starting the cluster and loading the model in its workers. `stages`: processor seconds per 1,000
comments of each step of the method, and of what the driver of a cluster does for a shard.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import torch
from texts import texts

from cxnlp import clean, schema
from cxnlp.analyse import Analyzer
from cxnlp.analysing import analyse
from cxnlp.config import Settings
from cxnlp.fuse import fuse
from cxnlp.night import Night
from cxnlp.on_ray import workers
from cxnlp.parts import Part
from cxnlp.segment import Segmenter

SHARDS = 4


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--comments", type=int, default=400)
    asked.add_argument("--rounds", type=int, default=2)
    given = asked.parse_args()
    raw = _raw(texts(given.comments))
    pieces = [raw.slice(i * len(raw) // SHARDS, len(raw) // SHARDS) for i in range(SHARDS)]
    torch.set_num_threads(1)
    analyzer = Analyzer.load(inference=_settings("x").inference)
    found: dict[str, Any] = {"comments": given.comments, "cores": os.cpu_count()}
    found["stages"] = _stages(analyzer, raw)
    if given.rounds:
        found |= _ways(analyzer, pieces, given.rounds)
    print(json.dumps(found))


def _ways(analyzer: Analyzer, pieces: list[pa.Table], count: int) -> dict[str, Any]:
    with workers(_settings("x", workers=2), analyzer.key, lambda _: None) as team:

        def alone(threads: int) -> None:
            torch.set_num_threads(threads)
            for piece in pieces:
                analyzer.analyse(piece, "")

        def on_ray(some: list[pa.Table]) -> None:
            list(team.analyse(some, "", None, lambda _: pa.array([], pa.string())))

        start = _cost(lambda: on_ray(pieces[:1]))
        ways: dict[str, Callable[[], None]] = {
            "one process, one thread": lambda: alone(1),
            "one process, two threads": lambda: alone(2),
            "two workers of Ray": lambda: on_ray(pieces),
        }
        rounds = [{name: _cost(way) for name, way in ways.items()} for _ in range(count)]
    medians = {
        name: {k: statistics.median(one[name][k] for one in rounds) for k in rounds[0][name]}
        for name in ways
    }
    return {"start": start, "ways": medians}


def _stages(analyzer: Analyzer, raw: pa.Table) -> dict[str, float]:
    """Return processor seconds per 1,000 comments."""
    found, per = {}, 1000 / len(raw)

    def timed(name: str, step: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = step()
        found[name] = round((time.process_time() - began) * per, 4)
        return made

    cleaned = timed("clean", lambda: clean.clean(raw["text"], ("fr",), clean.KINDS))
    told = [text for text in cleaned.texts.to_pylist() if text]
    ready = timed("segment, tokens", lambda: analyzer._prepared(told))
    scores = timed("network", lambda: analyzer._engine.scores(ready.tokens, len(told), ready.cues))
    labels = Segmenter(analyzer.taxonomy).labels
    timed("fuse", lambda: fuse(told, ready.segmented, labels, scores, analyzer.card,
                               analyzer.taxonomy))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        night = Night.begin(_settings(folder))
        with night.warehouse.hold():
            night.warehouse.publish(
                [Part(schema.RAW, raw, "avis", "000001")], run_id="r", metadata={}
            )
            made = analyzer.analyse(raw, "")
            known = _Known(analyzer, made)
            timed("driver: shards in and out, partitions", lambda: analyse(night, known))  # type: ignore[arg-type]
    return found


class _Known:
    """An analyzer that has the answer already: what is left is what a driver does."""

    def __init__(self, analyzer: Analyzer, made: Any) -> None:
        self.key, self.taxonomy = analyzer.key, analyzer.taxonomy
        self.model_version, self._made = analyzer.model_version, made

    def analyse(self, raw: pa.Table, *_: Any) -> Any:
        return self._made


def _cost(way: Callable[[], None]) -> dict[str, float]:
    began, spent = time.perf_counter(), _spent()
    way()
    return {
        "clock": round(time.perf_counter() - began, 2), "processors": round(_spent() - spent, 2)
    }  # fmt: skip


def _spent() -> float:
    """Return the processor seconds of this process and of all that it started and are there."""
    here = psutil.Process()
    return sum(
        sum(one.cpu_times()[:2])
        for one in (here, *here.children(recursive=True))
        if one.is_running()
    )


def _settings(folder: str, **execution: int) -> Settings:
    source = {"name": "avis", "files": "none", "fields": {"text": "text"}}
    engine = "ray" if execution else "local"
    return Settings.model_validate({
        "warehouse": folder, "sources": [source],
        "inference": {"device": "cpu", "cache_mb": 0},
        "execution": {"engine": engine, **execution},
    })  # fmt: skip


def _raw(written: list[str]) -> pa.Table:
    """Return raw comments of two months, as ingest makes them."""
    count = len(written)
    days = np.datetime64("2026-08-01", "us") + np.arange(count) % 60 * np.timedelta64(1, "D")
    return schema.conform(
        pa.table({
            "comment_id": [f"{i:032d}" for i in range(count)], "source": ["avis"] * count,
            "channel": ["avis"] * count, "text": written, "file": ["a"] * count,
            "row": list(range(1, count + 1)), "row_digest": [f"{i:016d}" for i in range(count)],
            "published_at": pa.array(days).cast(pa.timestamp("us", "UTC")),
        }),
        schema.RAW,
    )  # fmt: skip


if __name__ == "__main__":
    main()
