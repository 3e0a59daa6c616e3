"""The kernels of `kernels.py` in Triton, imported where a GPU runs them.

Comes in: pointers to contiguous rows. Goes out: what `kernels.py` says. Sums are taken in single
precision. Left out: sizes and grids, which `kernels.py` chooses.
"""

# ruff: noqa: N803 (constants of a kernel are in capitals)
# mypy: disable-error-code="no-untyped-def, untyped-decorator, misc"

from importlib.util import find_spec
from typing import Any

if find_spec("triton"):  # comes with torch where that has a GPU
    import triton
    import triton.language as tl

    power_of_two: Any = triton.next_power_of_2

    @triton.jit
    def add_norm_kernel(
        x, other, weight, bias, out, x_rows, other_rows, count, size, epsilon,
        LOOKED_UP: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    ):  # fmt: skip
        """Normalise ROWS rows of x + other."""
        row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        place = tl.arange(0, BLOCK)
        known, wide = row < count, place < size
        inside = known[:, None] & wide[None, :]
        first, second = row, row
        if LOOKED_UP:
            first = tl.load(x_rows + row, mask=known, other=0).to(tl.int64)
            second = tl.load(other_rows + row, mask=known, other=0).to(tl.int64)
        values = tl.load(x + first[:, None] * size + place[None, :], mask=inside, other=0.0).to(
            tl.float32
        )
        values += tl.load(
            other + second[:, None] * size + place[None, :], mask=inside, other=0.0
        ).to(tl.float32)
        centred = tl.where(inside, values - (tl.sum(values, 1) / size)[:, None], 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / size + epsilon)
        slope = tl.load(weight + place, mask=wide, other=0.0).to(tl.float32)
        shift = tl.load(bias + place, mask=wide, other=0.0).to(tl.float32)
        normal = centred * scale[:, None] * slope[None, :] + shift[None, :]
        tl.store(out + row[:, None] * size + place[None, :], normal, mask=inside)

    @triton.jit
    def pool_kernel(
        x, start, stop, total, largest, size, ROWS: tl.constexpr, BLOCK: tl.constexpr
    ):  # fmt: skip
        """Add up one run of rows, and take its maximum, in BLOCK columns."""
        run = tl.program_id(0).to(tl.int64)
        place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        wide = place < size
        first, last = tl.load(start + run).to(tl.int64), tl.load(stop + run).to(tl.int64)
        added = tl.zeros([BLOCK], tl.float32)
        most = tl.full([BLOCK], float("-inf"), tl.float32)
        begin = first
        while begin < last:
            row = begin + tl.arange(0, ROWS)
            inside = (row < last)[:, None] & wide[None, :]
            values = tl.load(x + row[:, None] * size + place[None, :], mask=inside, other=0.0).to(
                tl.float32
            )
            added += tl.sum(values, 0)
            most = tl.maximum(most, tl.max(tl.where(inside, values, float("-inf")), 0))
            begin += ROWS
        tl.store(total + run * size + place, added, mask=wide)
        tl.store(largest + run * size + place, tl.where(last > first, most, 0.0), mask=wide)
