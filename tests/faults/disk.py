"""A full disk: from a step of a command on, no byte more can be written.

`filled` has the system refuse every write of the process (RLIMIT_FSIZE), which needs no rights;
`real` fills a small file system of its own (tmpfs, in a user namespace of Linux).
"""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from faults.commands import Ended, at_step, fill_disk, run
from faults.life import ACTS, COMMANDS, SECOND, Life, content, neither, unreadable

CLEAR = ("make room", "mend the disk", "with room left", "once that is mended")
_SMALL = (
    'mount -t tmpfs -o size="$1" tmpfs "$2" && cp -a "$3/." "$2" && cd "$2" || exit 99; '
    'kept="$4"; shift 4; "$@"; status=$?; cp -a . "$kept"; exit $status'
)


def filled(life: Life, folder: Path, act: int, step: int) -> dict[str, Any]:
    """Fill the disk at a step of an act; then make room and repeat the act."""
    life.before(act, folder)
    ended = run(folder, COMMANDS[act], partial(at_step, step, fill_disk, folder / "steps"))
    return {"act": ACTS[act], "step": step, "status": ended.status, "told": ended.said[-200:]} | {
        "wrong": _judged(life, act, folder, ended)
    }


def real(life: Life, folder: Path, number: int) -> dict[str, Any]:
    """Do the second night, a process of its own, where there is room for `number` × 32 KiB."""
    life.before(SECOND, folder)
    small, kept = folder.with_name("small"), folder.with_name("kept")
    small.mkdir(exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    pages = sum(-(-path.stat().st_size // 4096) for path in folder.rglob("*"))
    size = pages * 4096 + number * 32_768
    command = [sys.executable, "-m", "cxnlp", *COMMANDS[SECOND]]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", _SMALL, "sh", str(size), small, folder, kept, *command],
        check=False, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    ended = Ended(done.returncode, done.stdout + done.stderr)
    shutil.rmtree(folder)
    kept.rename(folder)
    wrong = _judged(life, SECOND, folder, ended)
    return {"room": number * 32_768, "status": ended.status, "told": ended.said[-200:]} | {
        "wrong": wrong
    }


def _judged(life: Life, act: int, folder: Path, ended: Ended) -> list[str]:
    wrong = []
    if ended.status == 0:  # it may, when all was written before the disk was full
        there, expected = content(folder), life.contents[act + 1]
        wrong += [f"{n}: not new, but it ended in 0" for n in there
                  if not there[n].equals(expected[n])]  # fmt: skip
    elif not any(words in ended.said for words in CLEAR) or "Traceback" in ended.said:
        wrong.append(f"the message is not clear: {ended.said[-500:]}")
    return wrong + unreadable(folder) + neither(life, act, folder) + life.repeat(act, folder)
