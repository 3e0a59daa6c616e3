"""Lengths → batches within a token budget, so that little of a batch is padding.

Comes in: the length of each row. Goes out: the row numbers of each batch. Left out: the rows
themselves; results are written back by row number, so nothing is sorted back.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def pack(lengths: npt.NDArray[np.integer], budget: int) -> list[Rows]:
    """Return the row numbers of each batch, longest rows first.

    In every batch, rows times the longest length stays within `budget` tokens, unless one row
    alone is longer than that.

    >>> [rows.tolist() for rows in pack(np.array([3, 9, 3, 8]), budget=18)]
    [[1, 3], [0, 2]]
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        stop = start + max(budget // longest, 1)
        batches.append(order[start:stop])
        start = stop
    return batches


def in_batches(
    lengths: npt.NDArray[np.integer], budget: int, step: Callable[[Rows], None],
    full: type[Exception],
) -> int:  # fmt: skip
    """Call `step` with the rows of each batch; return the budget that was kept to.

    Where a step raises `full`, the budget is halved for it and for all that is left. Raises
    `full` when a single row is too much.

    >>> def step(rows):
    ...     if len(rows) > 1:
    ...         raise MemoryError
    ...     print(rows.tolist())
    >>> in_batches(np.array([3, 9, 3]), 18, step, MemoryError)
    [1]
    [0]
    [2]
    4
    """
    left = np.arange(len(lengths))
    while len(left):
        batches = pack(lengths[left], budget)
        done = 0
        for rows in batches:
            try:
                step(left[rows])
            except full:
                if len(rows) == 1:
                    raise
                break
            done += 1
        if done < len(batches):
            budget = max(budget // 2, 1)
        left = left[np.concatenate([left[:0], *batches[done:]])]
    return budget
