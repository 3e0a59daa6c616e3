"""Parquet in, Parquet out, through the engine: reading and tokenising ahead, writing behind.

Comes in: an engine and how much to read. Goes out: comments a second, and how long the engine had
to wait for tokens. Processes read row groups and tokenise them; this one begins a block on the
device and hands it to a thread that waits for the scores and writes them. Written are sentiment,
stars and seven emotions of each comment. Left out: cleaning, spaCy, mentions.
"""

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gpu_texts import pieces, texts

from cxnlp.model.tokens import Tokenizer, Tokens

_WINDOW = 256  # tokens of the embedded model's windows
_loaded: list[Tokenizer] = []


def from_parquet(engine: Any, scale: Any, model: Path) -> dict[str, Any]:
    """Return the rate from file to file; processes are started and warm before it counts."""
    on_gpu = scale.device != "cpu"
    count = max((os.cpu_count() or 2) - 2, 1) if on_gpu else 1
    with TemporaryDirectory() as place:
        given, out = Path(place) / "texts.parquet", Path(place) / "out"
        out.mkdir()
        table = pa.table({"text": texts(scale.parquet, model.parent)})
        pq.write_table(table, given, row_group_size=scale.block, compression="zstd")
        with _workers(count, on_gpu, model / "tokenizer.json") as pool:
            warm = [pool.submit(_tokens, given, 0) for _ in range(3 * count)]
            for one in warm:
                tokens, rows = one.result()
            engine.scores(tokens, rows, _silent(engine, tokens))
            began = time.perf_counter()
            waited = _through(engine, _ahead(pool, given, count), out)
            spent = time.perf_counter() - began
        written = sum(pq.read_metadata(part).num_rows for part in out.iterdir())
    if written != scale.parquet:
        raise RuntimeError(f"{written} rows were written, {scale.parquet} read")
    return {"comments": scale.parquet / spent, "processes": count,
            "waiting_for_tokens": round(waited / spent, 3)}  # fmt: skip


def _workers(count: int, processes: bool, tokenizer: Path) -> Executor:
    if not processes:
        return ThreadPoolExecutor(count, initializer=_load, initargs=(tokenizer,))
    context = get_context("spawn")  # the device is in use here
    return ProcessPoolExecutor(count, context, initializer=_load, initargs=(tokenizer,))


def _load(tokenizer: Path) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process per core
    _loaded[:] = [Tokenizer.load(tokenizer, _WINDOW)]


def _tokens(file: Path, group: int) -> tuple[Tokens, int]:
    """Return the tokens of a row group, and how many comments it has."""
    with pq.ParquetFile(file) as parquet:
        column = parquet.read_row_group(group, columns=["text"])["text"].to_pylist()
    segments, owner = pieces(column)
    return _loaded[0].encode(segments, owner), len(column)


def _ahead(pool: Executor, file: Path, count: int) -> Iterator[tuple[Tokens, int]]:
    """Yield the tokens of row groups in order, several being made at a time."""
    waiting: deque[Future[tuple[Tokens, int]]] = deque()
    for group in range(pq.read_metadata(file).num_row_groups):
        waiting.append(pool.submit(_tokens, file, group))
        if len(waiting) > 2 * count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _through(engine: Any, blocks: Iterator[tuple[Tokens, int]], out: Path) -> float:
    """Write what the engine says of each block; return the seconds that tokens were waited for."""
    waited, number = 0.0, 0
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(4) as threads:
        while True:
            began = time.perf_counter()
            block = next(blocks, None)
            waited += time.perf_counter() - began
            if block is None:
                break
            tokens, rows = block
            finish = engine.begin(tokens, rows, _silent(engine, tokens))
            writing.append(threads.submit(_write, finish, engine.card.labels, out, number))
            number += 1
            if len(writing) > 6:
                writing.popleft().result()
        for one in writing:
            one.result()
    return waited


def _silent(engine: Any, tokens: Tokens) -> Any:
    segments = int(tokens.piece_segment.max(initial=-1)) + 1
    return np.zeros((segments, len(engine.card.labels.cues)), np.float32)


def _write(finish: Any, labels: Any, out: Path, number: int) -> None:
    found = finish().comment
    sentiment = pa.DictionaryArray.from_arrays(
        found["sentiment"].argmax(1).astype(np.int8), list(labels.sentiment)
    )
    stars = found["stars"] @ np.arange(1, 6, dtype=np.float32)
    columns = {"sentiment": sentiment, "satisfaction": stars} | {
        f"emotion_{name}": found["emotions"][:, i] for i, name in enumerate(labels.emotions)
    }
    pq.write_table(pa.table(columns), out / f"{number:06d}.parquet", compression="zstd")
