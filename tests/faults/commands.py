"""Commands of cxnlp in forks of this process, so that none waits for the libraries to load.

A fork is a process of its own: it reads its settings, loads its model, and can be killed. What
is done to it happens in `first`, inside the fork, before the command.
"""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import cxnlp.forget  # the libraries are loaded before the first fork
import cxnlp.night
import cxnlp.show  # noqa: F401
from cxnlp.cli import main

STEPS = ("replace", "fsync", "unlink")
KILLED = -signal.SIGKILL
torch.set_num_threads(1)  # a fork of a process that has threads may not use them


class Started(NamedTuple):
    """A fork, and where what it says can be read."""

    pid: int
    out: int


class Ended(NamedTuple):
    """How a command ended, as a shell has it, and what it said."""

    status: int
    said: str


def nothing() -> None:
    """Do nothing first."""


def start(folder: Path, arguments: Sequence[str], first: Callable[[], object] = nothing) -> Started:
    """Begin `cxnlp ARGUMENTS` in a folder."""
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return Started(child, out)
    status: Any = 1
    try:
        os.chdir(folder)
        os.dup2(into, 1)
        os.dup2(into, 2)
        sys.argv = ["cxnlp", *arguments]
        first()
        main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def end(started: Started) -> Ended:
    """Wait for a command and return how it ended."""
    with os.fdopen(started.out, "rb") as out:
        said = out.read().decode()
    return Ended(os.waitstatus_to_exitcode(os.waitpid(started.pid, 0)[1]), said)


def used(started: Started) -> float:
    """Return the seconds of processor time that a command has used; infinite once it ended."""
    if os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        return float("inf")
    return time.clock_gettime((~started.pid << 3) | 2)  # its clock: see clock_getcpuclockid(3)


def run(folder: Path, arguments: Sequence[str], first: Callable[[], object] = nothing) -> Ended:
    """Do a whole command."""
    return end(start(folder, arguments, first))


def at_step(step: int, act: Callable[[], object], counter: Path) -> None:
    """Call `act` before the call number `step`, from 0, that changes a name or waits for the disk.

    `counter` grows by a byte with each such call.
    """
    seen = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    left = iter(range(step))

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            if next(left, None) is None:
                act()
            else:
                os.write(seen, b".")
            return call(*args, **named)

        return wrapped

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk() -> None:
    """From now on this process can write no byte to any file; the system says so as it writes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
