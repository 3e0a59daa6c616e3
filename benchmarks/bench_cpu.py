"""Our engine beside what people usually run, on one CPU, on comments of real lengths.

    python benchmarks/bench_cpu.py              # `make bench`, under ten minutes

Comes in: nothing. Goes out: a table, then one line of JSON. All read the same texts with the
same weights in turn, on one thread, so that a noisy machine slows all alike: compare the ratios.
* engine: `Engine.predict`, every head, from clauses and their cues;
* batches of 32 and one by one: the Hugging Face pipeline with one classifier of 32 labels, which
  reads the first 256 tokens, unsorted as people write it;
* four classifiers: our engine four times, each with the same encoder and one head;
* TF-IDF + linear: words and characters, as many outputs as the engine has.
Then `cxnlp analyze` in a process of its own (`bench_analyze.py`) and three nights
(`bench_night.py`).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from bench_analyze import measured
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from texts import MODEL, texts
from tokenizers import Tokenizer
from transformers import CamembertForSequenceClassification, PreTrainedTokenizerFast, pipeline

from cxnlp.model.card import Labels
from cxnlp.model.engine import Engine
from cxnlp.model.network import Network
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy

TASKS = {"sentiment": 4, "emotions": 7, "touchpoints": 42, "levers": 7}
Run = Callable[[], object]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--comments", type=int, default=768, help="texts that all read")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument(
        "--file", type=int, default=10_000, help="comments of `cxnlp analyze`; 0: none"
    )
    asked.add_argument("--night", type=int, default=3_000, help="comments of a night; 0: none")
    given = asked.parse_args()
    torch.set_num_threads(1)
    some = texts(given.comments)
    runs = _engines(some) | _pipelines(some) | _classical(some)
    found = {
        "date": time.strftime("%Y-%m-%d"), "commit": _commit(), "machine": _machine(),
        "threads": 1, "comments": len(some),
        "padding_of_batches_of_32": _padding(some), **_raced(runs, len(some), given.rounds),
    }  # fmt: skip
    if given.file:
        found["analyze"] = measured(given.file)
    if given.night:
        found["night"] = _nights(given.night)
    _show(found)
    print(json.dumps(found))


def _engines(some: list[str]) -> dict[str, Run]:
    engine = Engine.load(MODEL, device="cpu")
    segmented = Segmenter(load_taxonomy("configs/taxonomy.yaml")).split(some)
    spans = segmented.segments
    places = zip(spans.text.tolist(), spans.start.tolist(), spans.end.tolist())
    pieces = [some[t][a:b] for t, a, b in places]
    cues = np.zeros((len(pieces), len(engine.card.labels.cues)), np.float32)
    apart = [_classifier(task, labels) for task, labels in TASKS.items()]
    rows, none = np.arange(len(some)), np.zeros((len(some), 1), np.float32)
    return {
        "engine": lambda: engine.predict(pieces, spans.text, len(some), cues),
        "four_classifiers": lambda: [one.predict(some, rows, len(some), none) for one in apart],
    }


def _classifier(task: str, labels: int) -> Engine:
    """Return an engine with the same encoder and one task; of every other head one label."""
    whole = Engine.load(MODEL, device="cpu")
    heads = {head: ("x",) for head in Labels.__dataclass_fields__ if head.islower()}
    heads[task] = tuple(map(str, range(labels)))
    few = Labels(**heads)
    with TemporaryDirectory() as folder:
        return _with_labels(whole, few, Path(folder))


def _with_labels(whole: Engine, few: Labels, folder: Path) -> Engine:
    from cxnlp.model.card import Card, write_card
    from cxnlp.model.weights import load_network, save_network

    comment, piece = few.slices(Labels.COMMENT), few.slices(Labels.PIECE)
    shape = replace(
        load_network(MODEL).shape, cues=1, comment_outputs=comment["levers"].stop,
        piece_outputs=piece["polarity"].stop, shared_outputs=piece["levers"].stop,
    )  # fmt: skip
    network = Network(shape)
    network.encoder.load_state_dict(load_network(MODEL).encoder.state_dict())
    save_network(network, folder)
    (folder / "tokenizer.json").write_bytes((MODEL / "tokenizer.json").read_bytes())
    write_card(folder, Card("one", few, {}, {}, whole.card.cleaning))
    return Engine.load(folder, device="cpu")


def _pipelines(some: list[str]) -> dict[str, Run]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CamembertForSequenceClassification.from_pretrained(
            MODEL, num_labels=32, dtype=torch.float32
        )
    file = str(MODEL / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=file, pad_token="<pad>", cls_token="<s>", sep_token="</s>",
        model_max_length=256,
    )  # fmt: skip
    usual = pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None,
        function_to_apply="sigmoid",
    )  # fmt: skip
    return {
        "pipeline_batch_32": lambda: usual(some, batch_size=32, truncation=True),
        "pipeline_batch_1": lambda: usual(some, batch_size=1, truncation=True),
    }


def _classical(some: list[str]) -> dict[str, Run]:
    words = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=150_000
        ),
    ).fit(some)
    shape = Engine.load(MODEL, device="cpu").card.labels
    outputs = sum(s.stop - s.start for s in shape.slices(Labels.COMMENT).values())
    weights = np.random.default_rng(0).normal(size=(words.transform(some[:1]).shape[1], outputs))
    return {"tfidf_linear": lambda: words.transform(some) @ weights}


def _raced(runs: dict[str, Run], rows: int, rounds: int) -> dict[str, object]:
    """Return rates and ratios: medians of rounds in turn, of wall time and of processor time."""
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    runs["engine"]()  # warm
    for _ in range(rounds):
        for name, run in runs.items():
            began, spent = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - spent)
    times = {"wall": wall, "processor": processor}
    return {
        f"comments_per_second_of_{kind}": {
            name: round(rows / statistics.median(some), 1) for name, some in seconds.items()
        }
        for kind, seconds in times.items()
    } | {
        f"engine_is_faster_by_{kind}": {
            name: round(statistics.median(
                one / ours for one, ours in zip(some, seconds["engine"])
            ), 2)
            for name, some in seconds.items() if name != "engine"
        }
        for kind, seconds in times.items()
    }  # fmt: skip


def _padding(some: list[str]) -> dict[str, float]:
    """Return how many tokens unsorted batches compute for one they have, by where texts are cut."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    lengths = np.array([len(e.ids) + 2 for e in tokenizer.encode_batch_fast(some)])
    batches = np.split(lengths, range(32, len(lengths), 32))
    return {
        str(cut): round(float(
            sum(len(b) * min(b.max(), cut) for b in batches) / np.minimum(lengths, cut).sum()
        ), 2)
        for cut in (256, 512)
    }  # fmt: skip


def _nights(comments: int) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("bench_night.py"), folder,
             "--comments", str(comments)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    first, seen = (found[name]["seconds"] for name in ("first", "seen"))
    return {**found, "seen_is_faster_by": round(first / seen, 1)}


def _commit() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _machine() -> str:
    able = [
        name
        for name, has in (
            ("AVX-512", torch.cpu._is_avx512_supported()),
            ("VNNI", torch.cpu._is_vnni_supported()),
            ("bfloat16", torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        )
        if has
    ]
    return " ".join([platform.machine(), *able])


def _show(found: dict[str, object]) -> None:
    print(f"{'':20}{'comments/s':>12}{'per CPU s':>12}{'engine faster, wall':>22}{'CPU':>8}")
    kinds = ("wall", "processor")
    rates = [found[f"comments_per_second_of_{kind}"] for kind in kinds]
    ratios = [found[f"engine_is_faster_by_{kind}"] for kind in kinds]
    for name, rate in rates[0].items():  # type: ignore[attr-defined]
        faster = [f"{ratio.get(name, 1):.2f}×" for ratio in ratios]  # type: ignore[attr-defined]
        print(f"{name:20}{rate:12}{rates[1][name]:12}{faster[0]:>22}{faster[1]:>8}")  # type: ignore[index]
    for name in ("analyze", "night"):
        if name in found:
            print(f"{name}: {found[name]}")


if __name__ == "__main__":
    main()
