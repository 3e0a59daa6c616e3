"""A reader at work while a person is forgotten: each file has the rows of before or of after."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from cxnlp.parts import decode
from faults.commands import end, start, used
from faults.life import COMMANDS, FORGET, Life


def forgetting(life: Life, folder: Path, number: int) -> dict[str, Any]:
    """Read every file of comments and mentions, again and again, until `forget` has ended."""
    life.before(FORGET, folder)
    before, after = _rows(folder), _rows(life.stages[FORGET + 1])
    wrong, readings = [], 0
    started = start(folder, COMMANDS[FORGET])
    while used(started) != float("inf"):
        readings += 1
        try:
            seen = _rows(folder)
        except (OSError, pa.ArrowException) as error:
            wrong.append(f"reading {readings} failed: {error}")
            continue
        wrong += [f"{path}: {count} rows" for path, count in seen.items()
                  if count not in (before.get(path), after.get(path))]  # fmt: skip
    ended = end(started)
    wrong += [f"it ended in {ended.status}: {ended.said}"] if ended.status else []
    return {"n": number, "readings": readings, "wrong": wrong}


def _rows(folder: Path) -> dict[str, int]:
    """Return the rows of each file, opened once."""
    found = {}
    for path in sorted((folder / "warehouse" / "tables").glob("*/*/*/*.parquet")):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = decode(file).num_rows
    return found
