"""Lengths → batches within a token budget, so that little of a batch is padding.

Comes in: the length of each row. Goes out: the row numbers of each batch. Left out: the rows
themselves; results are written back by row number, so nothing is sorted back.
"""

import numpy as np
import numpy.typing as npt


def pack(lengths: npt.NDArray[np.integer], budget: int) -> list[npt.NDArray[np.int64]]:
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
