"""Kill −9: at a random instant of five commands, or at each step of theirs that counts.

An instant is drawn evenly from the processor time that the undisturbed acts took, so that a busy
machine makes no difference. A step is a call of the system that changes a name or waits for the
disk, where all that can go half done is done.
"""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from cxnlp.warehouse import Warehouse
from faults.commands import KILLED, at_step, die, end, run, start, used
from faults.life import ACTS, COMMANDS, Life, neither, unreadable


def instant(life: Life, folder: Path, number: int) -> dict[str, Any]:
    """Kill an act at a random instant, look at what is left, and repeat the act."""
    at = random.Random(number).uniform(0, sum(life.seconds))  # noqa: S311
    act = 0
    while at > life.seconds[act]:
        at -= life.seconds[act]
        act += 1
    life.before(act, folder)
    started = start(folder, COMMANDS[act])
    while used(started) < at:
        time.sleep(0.001)
    os.kill(started.pid, signal.SIGKILL)
    killed = end(started).status == KILLED
    wrong = unreadable(folder) + life.repeat(act, folder)
    return {"act": ACTS[act], "second": round(at, 3), "killed": killed, "wrong": wrong}


def at_each(life: Life, folder: Path, act: int, step: int) -> dict[str, Any]:
    """Kill an act at a step; the tables are then, once settled, old or new; repeat the act."""
    life.before(act, folder)
    ended = run(folder, COMMANDS[act], partial(at_step, step, die, folder / "steps"))
    wrong = [] if ended.status == KILLED else [f"it ended in {ended.status}: {ended.said[-300:]}"]
    wrong += unreadable(folder)
    Warehouse(str(folder / "warehouse")).settle()
    wrong += neither(life, act, folder) + life.repeat(act, folder)
    return {"act": ACTS[act], "step": step, "wrong": wrong}
