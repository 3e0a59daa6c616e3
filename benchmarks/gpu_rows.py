"""What `bench_gpu.py` measures on the device: equality, ceiling, our paths and the library's.

Comes in: how much to measure, and the embedded model. Goes out: rates by name. Ours start from
token ids; so does the library where texts are sorted by length; its pipeline starts from texts.
"""

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from gpu_texts import pieces, texts, token_ids
from transformers import CamembertForSequenceClassification, PreTrainedTokenizerFast, pipeline
from transformers.utils import logging

from cxnlp.model.card import read_card
from cxnlp.model.engine import Engine
from cxnlp.model.network import Network, Shape
from cxnlp.model.packing import pack
from cxnlp.model.padded import Padded
from cxnlp.model.runner import Runner
from cxnlp.model.tokens import Tokenizer, Tokens
from cxnlp.model.weights import load_network, save_network

NEAR = 0.05  # how far a probability in bfloat16 may be from that in single precision
Counts = tuple[int, int]  # comments and tokens of a run
Run = Callable[[], Counts]


class Bench:
    """The embedded model and a device; each method is one part of the figures."""

    def __init__(self, scale: Any, model: Path):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        warnings.filterwarnings("ignore", message="(?s).*pipelines sequentially on GPU.*")
        self._scale, self._model, self._device = scale, model, torch.device(scale.device)
        self._gpu = self._device.type == "cuda"
        if not self._gpu:
            torch.set_num_threads(1)  # what is this small only waits for a second one
        self._dtype = torch.bfloat16 if self._gpu else torch.float32
        self._card = read_card(model)

    def machine(self) -> dict[str, Any]:
        name = torch.cuda.get_device_name(self._device) if self._gpu else platform.machine()
        return {"device": name, "torch": torch.__version__, "cores": os.cpu_count()}

    def engine(self, name: str) -> Engine:
        """Return an engine of the embedded model by what `_variants` calls it."""
        way, budget, graphs = self._variants()[name]
        network = load_network(self._model)
        tokenizer = Tokenizer.load(self._model / "tokenizer.json", network.shape.max_tokens)
        engine = Engine(network, tokenizer, self._card, self._device, self._dtype, budget, way)
        engine._runner = Runner(network, self._device, self._dtype, budget, way, graphs)
        return engine

    def equality(self) -> dict[str, Any]:
        """Compare every path with single precision on a CPU, one text at a time."""
        segments, owner = pieces(texts(self._scale.equal, self._model.parent))
        cues = np.random.default_rng(8).random((len(segments), len(self._card.labels.cues))) < 0.05
        heard = cues.astype(np.float32)
        plain = Engine.load(self._model, "cpu", "float32", way="padded")
        alone = [
            plain.predict(segments[a:b], owner[a:b] * 0, 1, heard[a:b])
            for a, b in ((int(np.searchsorted(owner, t)), int(np.searchsorted(owner, t + 1)))
                         for t in range(self._scale.equal))
        ]  # fmt: skip
        found: dict[str, Any] = {"comments": self._scale.equal, "tolerance": NEAR}
        for name in self._variants():
            with warnings.catch_warnings(record=True):  # a budget that did not fit
                got = self.engine(name).predict(segments, owner, self._scale.equal, heard)
            off, same = [], []
            for head, values in got.comment.items():
                wanted = np.concatenate([one.comment[head] for one in alone])
                off.append(float(np.abs(values - wanted).max()))
                limit = self._card.thresholds.get(head, 0.5)
                same.append((values >= limit) == (wanted >= limit))
            share = float(np.concatenate(same, 1).mean())
            found[name] = {"off": round(max(off), 5), "same_labels": round(share, 5)}
        found["passed"] = all(some["off"] <= NEAR for some in found.values() if type(some) is dict)
        return found

    def ceiling(self) -> float:
        """Return the TFLOP/s of a large product in bfloat16, the median of some."""
        size = self._scale.product
        a, b = (torch.randn(size, size, device=self._device, dtype=torch.bfloat16) for _ in "ab")
        spent = []
        for _ in range(25):
            self._wait()
            began = time.perf_counter()
            a @ b
            self._wait()
            spent.append(time.perf_counter() - began)
        return float(f"{2 * size**3 / statistics.median(spent[5:]) / 1e12:.4g}")

    def base(self, ceiling: float) -> dict[str, Any]:
        """Measure a network of CamemBERT-base's shape with random weights."""
        shape = Shape(**self._scale.base, cues=60, comment_outputs=69, piece_outputs=52,
                      shared_outputs=49)  # fmt: skip
        torch.manual_seed(1)
        network = Network(shape).eval()
        tokens = token_ids(self._scale.comments // 5, shape.vocab_size, shape.max_tokens - 2)
        cues = np.zeros((len(tokens.piece_ends), shape.cues), np.float32)
        runs: dict[str, Run] = {}
        for name, (way, budget, graphs) in self._variants().items():
            runner = Runner(network, self._device, self._dtype, budget, way, graphs)
            runs[name] = lambda r=runner: _logits(r, tokens, cues)  # type: ignore[misc]
        with TemporaryDirectory() as folder:
            save_network(network, Path(folder))
            runs |= self._peers(Path(folder), shape, tokens)
        padded = Padded(network, self._device, self._dtype, self._scale.budgets[-1])
        runs["padded, our own"] = lambda: _logits(padded, tokens, cues)
        return self._summary(self._raced(runs), _flops(shape, tokens) / (ceiling * 1e12))

    def embedded(self) -> dict[str, Any]:
        """Measure the embedded model, blocks of tokens to scores."""
        network = load_network(self._model)
        shape, block = network.shape, self._scale.block
        room = shape.max_tokens - 2
        blocks = [
            token_ids(block, shape.vocab_size, room)
            for _ in range(-(-self._scale.comments // block))
        ]
        engines = {name: self.engine(name) for name in self._variants()}
        runs: dict[str, Run] = {
            name: lambda e=engine: _scores(e, blocks, block)  # type: ignore[misc]
            for name, engine in engines.items()
        }
        return self._summary(self._raced(runs | self._peers(self._model, shape, blocks[0])))

    def _variants(self) -> dict[str, tuple[Any, int, bool]]:
        """Return way, token budget and whether graphs are used, by name."""
        found: dict[str, tuple[Any, int, bool]] = {}
        for way in ("varlen", "bins"):
            for budget in self._scale.budgets:
                found[f"{way}, {budget:,} tokens"] = (way, budget, True)
            if self._gpu:
                found[f"{way}, {budget:,} tokens, no graphs"] = (way, budget, False)
        return found

    def _peers(self, folder: Path, shape: Shape, tokens: Tokens) -> dict[str, Run]:
        """Return the library's ways of running the encoder of a folder with one classifier."""
        model = CamembertForSequenceClassification.from_pretrained(
            folder, num_labels=69, dtype=self._dtype
        ).to(self._device).eval()  # fmt: skip
        file = str(self._model / "tokenizer.json")
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=file, pad_token="<pad>")
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        given = texts(self._scale.peer, self._model.parent)
        cut = {"truncation": True, "max_length": shape.max_tokens}
        read = sum(len(ids) for ids in tokenizer(given, **cut)["input_ids"])
        usual = pipeline("text-classification", model=model, tokenizer=tokenizer, batch_size=64,
                         device=self._device, top_k=None, function_to_apply="sigmoid")  # fmt: skip

        def piped() -> Counts:
            usual(given, **cut)
            return len(given), read

        def sorted_by_length(budget: int) -> Run:
            return lambda: _sorted(model, tokens, budget)

        return {"hugging face pipeline, batch 64": piped} | {
            f"hugging face sorted, {budget:,} tokens": sorted_by_length(budget)
            for budget in self._scale.budgets[:3]
        }

    def _raced(self, runs: dict[str, Run]) -> dict[str, dict[str, float]]:
        """Return rates by name: the median of rounds that take turns, after one to warm up."""
        spent: dict[str, list[float]] = {name: [] for name in runs}
        counts: dict[str, Counts] = {}
        for round_ in range(self._scale.rounds + 1):
            for name, run in runs.items():
                self._wait()
                began = time.perf_counter()
                counts[name] = run()
                self._wait()
                if round_:
                    spent[name].append(time.perf_counter() - began)
        middle = {name: statistics.median(some) for name, some in spent.items()}
        return {
            name: {"comments": c / middle[name], "tokens": t / middle[name]}
            for name, (c, t) in counts.items()
        }

    def _summary(self, runs: dict[str, Any], ceiling_tokens: float = 0.0) -> dict[str, Any]:
        for row in runs.values() if ceiling_tokens else ():
            row["of_ceiling"] = row["tokens"] * ceiling_tokens
        ours = {name: runs[name]["comments"] for name in self._variants()}
        best = max(ours, key=lambda name: ours[name])
        peers = [v["comments"] for k, v in runs.items() if k.startswith("hugging face sorted")]
        return {
            "best": best, **runs[best], "to_sorted": ours[best] / max(peers),
            "to_pipeline": ours[best] / runs["hugging face pipeline, batch 64"]["comments"],
            "runs": runs,
        }  # fmt: skip

    def _wait(self) -> None:
        if self._gpu:
            torch.cuda.synchronize(self._device)


def _counts(tokens: Tokens) -> Counts:
    return int(tokens.window_text[-1]) + 1, len(tokens.ids) + 2 * len(tokens.window_ends)


def _flops(shape: Shape, tokens: Tokens) -> float:
    """Return the operations of a real token: products of layers, and attention in its window."""
    sizes, lengths = asdict(shape), tokens.window_lengths + 2.0
    size, inner = sizes["hidden_size"], sizes["intermediate_size"]
    seen = float((lengths**2).sum() / lengths.sum())
    each: float = 8 * size**2 + 4 * size * inner + 4 * size * seen
    return shape.num_hidden_layers * each


def _logits(runner: Any, tokens: Tokens, cues: Any) -> Counts:
    runner.begin(tokens, cues)()
    return _counts(tokens)


def _scores(engine: Engine, blocks: list[Tokens], size: int) -> Counts:
    """Begin blocks one after another; threads wait for their scores."""
    width = len(engine.card.labels.cues)
    with ThreadPoolExecutor(3) as threads:
        waiting = []
        for tokens in blocks:
            cues = np.zeros((int(tokens.piece_segment[-1]) + 1, width), np.float32)
            waiting.append(threads.submit(engine.begin(tokens, size, cues)))
        for one in waiting:
            one.result()
    counts = [_counts(tokens) for tokens in blocks]
    return sum(c for c, _ in counts), sum(t for _, t in counts)


def _sorted(model: Any, tokens: Tokens, budget: int) -> Counts:
    lengths, starts = tokens.window_lengths, tokens.window_starts
    device = next(model.parameters()).device
    with torch.inference_mode():
        for rows in pack(lengths + 2, budget):
            ids = np.ones((len(rows), int(lengths[rows[0]]) + 2), np.int64)
            ids[:, 0] = 0
            inside = np.arange(ids.shape[1] - 2) < lengths[rows][:, None]
            places = starts[rows][:, None] + np.arange(ids.shape[1] - 2)
            ids[:, 1:-1][inside] = tokens.ids[places[inside]]
            ids[np.arange(len(rows)), lengths[rows] + 1] = 2
            there = torch.from_numpy(ids).to(device)
            model(there, attention_mask=(there != 1).long()).logits.float().cpu()
    return _counts(tokens)
