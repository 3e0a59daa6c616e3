"""The engine on one GPU beside the Hugging Face library: every GPU figure, in some minutes.

    python benchmarks/bench_gpu.py --json gpu.json          # one H100 or H200, 16 cores
    python benchmarks/bench_gpu.py --small                  # the same script on a CPU, a minute

Comes in: the embedded model and its annotations' sentences. Goes out: a table, and the figures as
JSON. First of all answers are compared with those of a CPU in single precision, one text at a time;
if they differ nothing is measured and the exit status is 1. Needs torch, transformers, tokenizers,
safetensors, pyarrow, pyyaml; spaCy and Prefect are not imported, so pieces are clauses cut at
punctuation and no triggers are heard. Lengths are those of real comments (`texts.py`): log-normal,
median 29, mean 47.5, at most 512 tokens. Runs of one table take turns; the median counts.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "cxnlp-fr-mini"


@dataclass(frozen=True)
class Scale:
    """How much is measured. `peer` counts the comments that slower peers read."""

    device: str
    product: int  # rows of the square matrices whose product is the ceiling
    base: dict[str, int]
    equal: int
    comments: int
    peer: int
    parquet: int
    block: int
    budgets: tuple[int, ...]
    rounds: int


BASE = {"vocab_size": 32005, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072,
        "max_position_embeddings": 514}  # fmt: skip
FULL = Scale("cuda:0", 8192, BASE, 500, 200_000, 8_000, 500_000, 16_384,
             (16_384, 32_768, 65_536, 131_072), 3)  # fmt: skip
SMALL = Scale("cpu", 256, BASE | {"hidden_size": 32, "num_hidden_layers": 2,
                                  "num_attention_heads": 2, "intermediate_size": 64},
              6, 40, 16, 32, 16, (1024,), 1)  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--small", action="store_true", help="on a CPU, to try the script")
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    from gpu_parquet import from_parquet  # what workers start with stays light
    from gpu_rows import Bench

    scale = SMALL if given.small else FULL
    bench = Bench(scale, MODEL)
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "commit": _commit(),
                             "small": given.small}  # fmt: skip
    found |= {"command": " ".join(["python", *sys.argv]), **bench.machine()}
    began = time.perf_counter()
    found["equal"] = _told("equality", bench.equality)
    if found["equal"]["passed"]:
        found["ceiling_tflops"] = _told("ceiling", bench.ceiling)
        found["base"] = _told("base shape", lambda: bench.base(found["ceiling_tflops"]))
        found["embedded"] = _told("embedded model", bench.embedded)
        best = bench.engine(found["embedded"]["best"])
        found["parquet"] = _told("Parquet", lambda: from_parquet(best, scale, MODEL))
    found["seconds"] = round(time.perf_counter() - began)
    _show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if found["equal"]["passed"] else 1


def _told(part: str, measure: Callable[[], Any]) -> Any:
    print(f"{time.strftime('%H:%M:%S')} {part}", file=sys.stderr, flush=True)
    return measure()


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False,
        cwd=ROOT,
    ).stdout.strip()  # fmt: skip


def _show(found: dict[str, Any]) -> None:
    print(f"\n{found['date']}, {found['device']}, torch {found['torch']}, {found['cores']} cores, "
          f"commit {found['commit']}, {found['seconds']} s")  # fmt: skip
    for name, some in found["equal"].items():
        print(f"equal  {name:<22} {some}")
    if "parquet" not in found:
        print("answers differ: nothing was measured")
        return
    print(f"ceiling of bf16 products: {found['ceiling_tflops']} TFLOP/s")
    for part in ("base", "embedded"):
        print(f"\n{part:<44} {'comments/s':>12} {'tokens/s':>12} {'of ceiling':>10}")
        for name, row in found[part]["runs"].items():
            share = f"{row['of_ceiling']:>10.1%}" if "of_ceiling" in row else ""
            print(f"{name:<44} {row['comments']:>12,.0f} {row['tokens']:>12,.0f} {share}")
    base, mini = found["base"], found["embedded"]
    if found["small"]:
        print("\nsizes and device are only there to try the script: these are no figures")
    rows = [
        ("CamemBERT-base shape, share of the ceiling", f"{base['of_ceiling']:.1%}", "50 %", "80 %"),
        ("embedded model, comments/s from token ids", f"{mini['comments']:,.0f}", "300k", "500k"),
        ("embedded model, comments/s Parquet to Parquet", f"{found['parquet']['comments']:,.0f}",
         "100k", "250k"),
    ]  # fmt: skip
    for part, some in (("base", base), ("embedded", mini)):
        rows += [(f"{part}: against the pipeline, bf16, batch 64", f"{some['to_pipeline']:.1f}×",
                  "10×", "20×"),
                 (f"{part}: against length-sorted Hugging Face", f"{some['to_sorted']:.1f}×",
                  "2.5×", "4×")]  # fmt: skip
    print(f"\n{'':<48} {'found':>10} {'reach':>8} {'aim':>8}")
    for name, value, reach, aim in rows:
        print(f"{name:<48} {value:>10} {reach:>8} {aim:>8}")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    sys.exit(main())
