"""Several processes that fit one network together, started by `torchrun`.

Each takes every n-th batch and steps by itself; every few steps they take the mean of their weights
(local SGD: Stich 2019, arXiv:1805.09767). On a CPU two processes of one thread train about half as
fast again as one of two, and a big network spends no time on sending gradients. Alone, all of this
does nothing.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta

import torch
from torch import distributed

WAIT = timedelta(hours=6)  # the first prepares, the others wait


def join() -> None:
    """Meet the processes that `torchrun` started beside this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=WAIT)


def number() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first(step: Callable[[], None]) -> None:
    """Let the first process do a step while the others wait for it."""
    if number() == 0:
        step()
    if count() > 1:
        distributed.barrier()


def average(parameters: Iterable[torch.Tensor]) -> None:
    """Give all processes the mean of their weights."""
    if count() == 1:
        return
    every = list(parameters)
    with torch.no_grad():
        flat = torch.cat([p.reshape(-1) for p in every])
        distributed.all_reduce(flat)
        flat /= count()
        at = 0
        for p in every:
            p.copy_(flat[at : at + p.numel()].view_as(p))
            at += p.numel()
