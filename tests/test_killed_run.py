"""A run that is killed at any step is completed by the next, as if nothing had happened.

Run as a program, this file does the killing: see `_kill`. It loads the model once and works in
forked children, each a process of its own that knows nothing of the one before.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from cxnlp import night, schema
from cxnlp.config import Settings, load_settings
from cxnlp.journal import JOURNAL, STAGING
from cxnlp.warehouse import Warehouse

STEPS = ("replace", "fsync", "unlink")
LINEAGE = ("run_id", "analysed_at")
TABLES = tuple(table for table in schema.TABLES if table is not schema.RUNS)
TEXTS = (
    "Accueil charmant, mais deux heures de queue au guichet numéro {}.",
    "La livraison de la commande {} est arrivée avec trois jours de retard.",
    "Le prix du billet {} est trop élevé. Service client injoignable.",
    "The room number {} was very clean and the staff was friendly.",
)


@dataclass
class Ended:
    """What the run after a kill at step `step` left: its row of `runs`, and the tables."""

    step: int
    run: dict[str, Any]
    tables: dict[str, pa.Table]
    problems: list[str]
    litter: list[Path]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A configuration of two sources and three files of ten rows, one of them a reject."""
    folder = tmp_path_factory.mktemp("killed")
    for number, name in enumerate(("avis/a", "avis/b", "enquete/c")):
        path = folder / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        rows = ["id;date;auteur;texte"]
        for i in range(10 * number, 10 * number + 10):
            day = "2026-02-31" if i % 10 == 9 else f"2026-{9 + i % 2:02d}-{1 + i % 28:02d}"
            rows.append(f"{i};{day};Ana {i % 4};{TEXTS[i % 4].format(i // 3)}")
        path.write_text("\n".join(rows), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "author": "auteur", "text": "texte"}
    settings = {
        "warehouse": str(folder / "unused"), "model": str(tiny_model),
        "execution": {"shard_size": 10}, "privacy": {"author_key_env": "CLE_DES_AUTEURS"},
        "sources": [{"name": name, "files": str(folder / name / "*.csv"), "fields": fields}
                    for name in ("avis", "enquete")],
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ended(config: Path) -> tuple[dict[str, pa.Table], list[Ended]]:
    """The tables of a run that nobody killed, and what six killed at other steps left."""
    return _ended(config, "six")


def test_a_killed_run_is_completed_by_the_next(ended: Any) -> None:
    assert _differences(*ended) == []


def test_after_a_kill_and_a_run_every_file_is_whole(ended: Any) -> None:
    assert {one.step: one.problems for one in ended[1] if one.problems} == {}


def test_after_a_kill_and_a_run_nothing_lies_about(ended: Any) -> None:
    assert [path for one in ended[1] for path in one.litter] == []


def test_what_a_killed_run_has_analysed_is_not_analysed_again(ended: Any) -> None:
    analysed = [one.run["analysed"] for one in ended[1]]
    assert analysed == sorted(analysed, reverse=True)
    assert len(set(analysed)) > 1
    assert analysed[-1] == 0 < analysed[0]


def test_what_a_killed_run_has_read_is_not_read_again(ended: Any) -> None:
    for one in ended[1]:
        assert one.tables["files"]["sequence"].to_pylist() == [1, 2, 3]


@pytest.mark.slow
def test_a_run_killed_at_any_step_is_completed_by_the_next(config: Path) -> None:
    undisturbed, ended = _ended(config, "all")
    assert len(ended) > 100
    assert _differences(undisturbed, ended) == []
    assert [
        (one.step, one.problems, one.litter) for one in ended if one.problems + one.litter
    ] == []


def _differences(undisturbed: dict[str, pa.Table], ended: list[Ended]) -> list[tuple[str, int]]:
    return [
        (name, one.step)
        for one in ended
        for name, table in undisturbed.items()
        if not one.tables[name].equals(table)
    ]


def _ended(config: Path, which: str) -> tuple[dict[str, pa.Table], list[Ended]]:
    found = []
    for step in json.loads(_child(config, which)):
        root = config.parent / which / f"killed-{step}"
        warehouse = Warehouse(str(root))
        *_, run = warehouse.read(schema.RUNS).to_pylist()  # one killed at its very end has a row
        litter = [*(root / STAGING).rglob("*"), *root.rglob("*.part"), *root.glob(JOURNAL)]
        shards = [*(root / "state" / "shards").glob("*")]
        problems = warehouse.verify()
        found.append(Ended(step, run, _tables(root), problems, [*litter, *shards]))
    return _tables(config.parent / which / "undisturbed"), found


def _tables(root: Path) -> dict[str, pa.Table]:
    warehouse = Warehouse(str(root))
    return {
        table.name: warehouse.read(table)
        .drop_columns([name for name in LINEAGE if name in table.names])
        .sort_by([(name, "ascending") for name in table.key])
        .combine_chunks()
        for table in TABLES
    }


def _child(config: Path, which: str) -> str:
    """Run this file as a program."""
    done = subprocess.run(
        [sys.executable, __file__, str(config), which],
        check=False,
        timeout=1800,
        capture_output=True,
        text=True,
        env={**os.environ, "CLE_DES_AUTEURS": "une clé", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _forked(act: Callable[[], object]) -> int:
    """Do something in a child of this process and return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _at_each_step(act: Callable[[], object]) -> None:
    """Call `act` before each call of the system that changes names or waits for the disk."""

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            act()
            return call(*args, **named)

        return wrapped

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def _kill(config: Path, which: str) -> list[int]:
    """Run undisturbed; then run killed at a step and run again, step after step; return those."""
    settings = load_settings(config)
    import torch

    torch.set_num_threads(1)  # a child of a process that has threads may not use them
    analyzer = night.load_analyzer(settings)
    folder = config.parent / which
    folder.mkdir()

    def run(name: str) -> None:
        place: Settings = settings.model_copy(update={"warehouse": str(folder / name)})
        night.run(night.Night.begin(place), analyzer)

    def counted() -> None:
        seen: list[None] = []
        _at_each_step(lambda: seen.append(None))
        run("undisturbed")
        (folder / "steps").write_text(str(len(seen)))

    def killed(name: str, step: int) -> None:
        left = iter(range(step))
        _at_each_step(lambda: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL))
        run(name)

    if _forked(counted) != 0:
        raise SystemExit("the run that nobody kills did not end")
    last = int((folder / "steps").read_text()) - 1
    steps = [*range(last + 1)] if which == "all" else [1 + (last - 1) * k // 5 for k in range(6)]
    for step in steps:
        name = f"killed-{step}"
        if _forked(partial(killed, name, step)) != signal.SIGKILL:
            raise SystemExit(f"it was to be killed at step {step}")
        if _forked(partial(run, name)) != 0:
            raise SystemExit(f"the run after a kill at step {step} did not end")
    return steps


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_kill(Path(sys.argv[1]), sys.argv[2])))
