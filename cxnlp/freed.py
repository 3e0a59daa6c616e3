"""Freed memory goes back to the system, where an allocator would keep it.

Comes in: nothing. Goes out: nothing; the process is smaller. Left out: what is in use. Two
allocators are told: Arrow's, and the C library's if it is glibc, which before 2.38 does not find
the place that an aligned block left when the next one is a little larger: batches of ever new
shapes would take hundreds of megabytes for nothing.
"""

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa


def give_back() -> None:
    """Tell the allocators to let go; some milliseconds."""
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except OSError:  # a system without a C library to ask
        return None
