"""Make faults in number, and print what they did: see the package.

Figures go to a file of JSON lines, one a trial; a trial that stands there is not made again, so
that a long run may be stopped and goes on.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from conftest import make_tiny_model

from faults.damage import damage
from faults.disk import filled, real
from faults.forgetting import forgetting
from faults.garbage import garbage
from faults.kills import at_each, instant
from faults.life import KEY, Life, live
from faults.pairs import pair
from faults.readers import ONCE, OTHERS, reading

READERS = (*ONCE, *OTHERS)
LONG = {"kill at an instant": 200, "kill at a step": 100, "pair of runs": 20,
        "full disk": 40, "full tmpfs": 10, "damaged file": 100, "forget while read": 10,
        "readers": len(READERS), "garbage": 1}  # fmt: skip
SHORT = {"kill at an instant": 3, "kill at a step": 3, "pair of runs": 2, "full disk": 3,
         "damaged file": 6, "forget while read": 1, "readers": 1, "garbage": 1}  # fmt: skip


class Bench:
    """Where trials are made; what several need is made when the first needs it."""

    def __init__(self, folder: Path, model: Path | None, *, short: bool) -> None:
        self._home, self._model, self._short = folder, model, short
        self.folder = folder / "trial"

    @cached_property
    def model(self) -> Path:
        return self._model or make_tiny_model(self._home / "tiny")

    @cached_property
    def life(self) -> Life:
        return live(self._home / "life", self.model)

    def step(self, number: int, of: int) -> tuple[int, int]:
        """Return the act and step of a trial: all steps of all acts, evenly, in a mixed order."""
        steps = [(act, s) for act, count in enumerate(self.life.steps) for s in range(count)]
        return steps[(number * 37 % of * len(steps) + len(steps) // 2) // of]

    def trial(self, kind: str, number: int, of: int) -> dict[str, Any]:
        """Make a trial and return its facts."""
        shutil.rmtree(self.folder, ignore_errors=True)
        few = self._short
        trials: dict[str, Callable[[], dict[str, Any]]] = {
            "kill at an instant": lambda: instant(self.life, self.folder, number),
            "kill at a step": lambda: at_each(self.life, self.folder, *self.step(number, of)),
            "pair of runs": lambda: pair(self.life, self.folder, number),
            "full disk": lambda: filled(self.life, self.folder, *self.step(number, of)),
            "full tmpfs": lambda: real(self.life, self.folder, number),
            "damaged file": lambda: damage(self.life, self.folder, number),
            "forget while read": lambda: forgetting(self.life, self.folder, number),
            "readers": lambda: reading(
                self.folder, READERS[number], 10 if few else 100, 60 if few else 6000
            ),
            "garbage": lambda: garbage(self.model, self.folder, 5_000 if few else 1_000_000),
        }
        return {"kind": kind, "n": number, **trials[kind]()}


def main() -> None:
    """Make the trials that are asked for and not yet in the file."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--short", action="store_true", help="a few of each")
    parser.add_argument("--only", action="append", choices=LONG, help="this kind; repeat it")
    parser.add_argument("--workers", type=int, default=1, help="processes; where the machine waits")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then stop")
    parser.add_argument("--model", type=Path, help="model folder; otherwise a tiny one is made")
    given = parser.parse_args()
    os.environ[KEY] = "une clé"
    until = time.monotonic() + 60 * given.minutes
    counts = SHORT if given.short else LONG
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.model, short=given.short)
        done = {(one["kind"], one["n"]) for one in _figures(given.figures)}
        left = [(kind, n) for kind in given.only or counts for n in range(counts[kind])
                if (kind, n) not in done]  # fmt: skip
        if {kind for kind, _ in left} - {"readers", "garbage"}:
            bench.life  # noqa: B018  the workers share it
        workers = [
            _worker(bench, given.figures, left[n :: given.workers], counts, until, n)
            for n in range(given.workers)
        ]
        failed = [pid for pid in workers if os.waitpid(pid, 0)[1]]
        if failed:
            raise SystemExit(f"{len(failed)} workers failed")
    sys.stdout.write(_shown(_figures(given.figures)))


def _worker(
    bench: Bench, figures: Path, trials: list[tuple[str, int]], counts: dict[str, int],
    until: float, number: int,
) -> int:  # fmt: skip
    """Begin a fork that makes these trials until the time is up, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        bench.folder = bench.folder.with_name(f"worker-{number}") / "trial"
        for kind, n in trials:
            if time.monotonic() < until:
                facts = bench.trial(kind, n, counts[kind])
                with figures.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(facts, ensure_ascii=False) + "\n")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _figures(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def _shown(figures: list[dict[str, Any]]) -> str:
    """Return the table of all trials, the readers one by one, and what was wrong."""
    trials = Counter(one["kind"] for one in figures)
    wrong = Counter(one["kind"] for one in figures if one["wrong"])
    lines = []
    for kind, count in trials.items():
        acts = Counter(one["act"] for one in figures if one["kind"] == kind and "act" in one)
        lines.append(f"{kind:20} {count:5} trials {wrong[kind]:5} wrong  {dict(acts) or ''}")
    columns = ("publications", "readings", "right", "two nights", "failed", "wrong rows")
    for one in figures:
        if "reader" in one:
            seen = ", ".join(f"{one[name]} {name}" for name in columns)
            lines.append(f"  {one['reader']:24} {seen}")
        lines += [f"  {one['kind']} {one['n']}: {sentence}" for sentence in one["wrong"]]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
