"""Two runs that start together: one works, the other leaves with 75 and says that it is held."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from faults.commands import end, start
from faults.life import ACTS, COMMANDS, FIRST, SECOND, Life, content, litter

BUSY = 75


def pair(life: Life, folder: Path, number: int) -> dict[str, Any]:
    """Start the same night twice in the same moment."""
    act = (FIRST, SECOND)[number % 2]
    life.before(act, folder)
    gate, opened = os.pipe()
    both = [start(folder, COMMANDS[act], partial(_wait, gate, opened)) for _ in range(2)]
    os.close(gate)
    os.close(opened)  # the last to hold it: both begin
    ended = sorted((end(one) for one in both), key=lambda one: one.status)
    wrong = []
    if [one.status for one in ended] != [0, BUSY]:
        wrong.append(f"they ended in {[one.status for one in ended]}: {[e.said for e in ended]}")
    if "held by " not in ended[1].said:
        wrong.append(f"the second does not say why: {ended[1].said}")
    there, expected = content(folder), life.contents[act + 1]
    wrong += [f"{name}: other rows" for name in expected if not there[name].equals(expected[name])]
    wrong += [f"litter: {path}" for path in litter(folder / "warehouse")]
    return {"act": ACTS[act], "ended": [one.status for one in ended], "wrong": wrong}


def _wait(gate: int, opened: int) -> None:
    """Wait until nobody holds the other end."""
    os.close(opened)
    os.read(gate, 1)
