"""Our engine against the same encoder as people usually run it, on one CPU, in turn.

`make bench`. Texts are those of the bundled samples. Rounds are interleaved, so that a noisy
machine slows all alike; the ratio of medians is the figure, absolute rates are not. Both start
from texts and segments; spaCy and Parquet are outside. Prints one line of JSON.
"""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import CamembertModel, PreTrainedTokenizerFast

from cxnlp.config import load_settings
from cxnlp.ingest import find_files, read_file
from cxnlp.model.engine import Engine
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy

MODEL = Path("models/cxnlp-fr-mini")
ROUNDS = 3


def main() -> None:
    torch.set_num_threads(1)
    texts = [t for t in _texts() if t.strip()][:400]
    engine = Engine.load(MODEL, device="cpu")
    segmented = Segmenter(load_taxonomy("configs/taxonomy.yaml")).split(texts)
    spans = segmented.segments
    pieces = [
        texts[t][a:b]
        for t, a, b in zip(spans.text.tolist(), spans.start.tolist(), spans.end.tolist())
    ]
    cues = np.zeros((len(pieces), len(engine.card.labels.cues)), np.float32)
    plain = CamembertModel.from_pretrained(MODEL, add_pooling_layer=False).float().eval()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(MODEL / "tokenizer.json"), pad_token="<pad>"
    )

    def usual(batch: int) -> None:
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                given = tokenizer(
                    texts[start : start + batch], padding=True, truncation=True, max_length=256,
                    return_tensors="pt",
                )  # fmt: skip
                plain(given["input_ids"], attention_mask=given["attention_mask"])

    runs: dict[str, Callable[[], object]] = {
        "engine": lambda: engine.predict(pieces, spans.text, len(texts), cues),
        "hugging_face_batch_32": lambda: usual(32),
        "hugging_face_batch_1": lambda: usual(1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if round_:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(some) for name, some in seconds.items()}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        json.dumps({
            "date": time.strftime("%Y-%m-%d"), "commit": commit, "machine": platform.machine(),
            "threads": 1, "comments": len(texts),
            "comments_per_second": {n: round(len(texts) / s, 1) for n, s in median.items()},
            "engine_is_faster_by": {
                n: round(s / median["engine"], 2) for n, s in median.items() if n != "engine"
            },
        })
    )  # fmt: skip


def _texts() -> list[str]:
    found: list[str] = []
    for source in load_settings("configs/demo.yaml").sources:
        for file in find_files(source):
            read = read_file(file, source, author_key=None, mask=(), run_id="", sequence=1)
            found += read.comments["text"].to_pylist()
    return found


if __name__ == "__main__":
    main()
