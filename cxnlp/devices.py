"""Shards through several devices, a process with an analyzer of its own for each.

Comes in: names of devices, how to load what works on one, and shards. Goes out: what is made of
each shard, in the order given, a few ahead of who takes it. A shard goes to whichever process is
free. Left out: several machines (`on_ray.py`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any, TypeVar

from cxnlp.errors import CxnlpError

AHEAD = 2  # shards a process has: one in hand, one waiting
_working: list[Callable[[Any], Any]] = []  # in a process: what its device works with

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def over(
    devices: Sequence[str], load: Callable[[str], Callable[[_Given], _Made]],
    shards: Iterable[_Given],
) -> Iterator[_Made]:  # fmt: skip
    """Yield what is made of each shard; `load` is called with a device in a process of its own.

    `load`, shards and what is made of them cross a border between processes. Raises `CxnlpError`
    when a process dies.
    """
    context = get_context("spawn")  # a GPU that is in use does not survive a fork
    free: Queue[str] = context.Queue()
    for device in devices:
        free.put(device)
    waiting: deque[Future[Any]] = deque()
    with ProcessPoolExecutor(len(devices), context, _start, (load, free)) as pool:
        try:
            for shard in shards:
                waiting.append(pool.submit(_work, shard))
                if len(waiting) >= AHEAD * len(devices):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise CxnlpError(
                f"a process of the devices {', '.join(devices)} died, often for want of memory; "
                "try fewer devices with inference.device"
            ) from error


def _start(load: Callable[[str], Callable[[Any], Any]], free: "Queue[str]") -> None:
    _working[:] = [load(free.get())]


def _work(shard: Any) -> Any:
    return _working[0](shard)
