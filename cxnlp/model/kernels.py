"""Two operations of the packed network, each as torch has it and as one kernel for a GPU.

Comes in: tensors of tokens end to end. Goes out: sums with their layer norm; sums and maxima of
runs of rows. A kernel reads and writes memory once where torch's pieces do so several times, and
adds up in single precision in a fixed order. `FUSED` says whether Triton is there to compile them.
"""

from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

FUSED = find_spec("triton") is not None
_VALUES = 4096  # values that one program of a kernel holds at a time

Rows = tuple[Tensor, Tensor]


def add_norm(
    x: Tensor, other: Tensor, weight: Tensor, bias: Tensor, epsilon: float, rows: Rows | None = None
) -> Tensor:
    """Return the layer norm of x + other; with `rows`, of the rows they name of each table."""
    if x.is_cuda and FUSED:
        return fused_add_norm(x, other, weight, bias, epsilon, rows)
    if rows:
        x, other = F.embedding(rows[0], x), F.embedding(rows[1], other)
    return F.layer_norm(x + other, weight.shape, weight, bias, epsilon)


def pool(x: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum and the maximum of rows start[i] … stop[i] − 1 of x, in single precision.

    Runs rise and are apart. Those without rows have 0.

    >>> total, largest = pool(torch.tensor([[3.0], [-5], [4]]), *torch.tensor([[0, 2], [2, 2]]))
    >>> total.tolist(), largest.tolist()
    ([[-2.0], [0.0]], [[3.0], [0.0]])
    """
    if x.is_cuda and FUSED:
        return fused_pool(x, start, stop)
    runs = len(start)
    row = torch.arange(len(x), device=x.device, dtype=start.dtype)
    owner = torch.searchsorted(start, row, right=True) - 1
    inside = (owner >= 0) & (row < stop[owner.clamp(min=0)])
    owner = torch.where(inside, owner, runs)  # one run more takes what lies between
    values = x.float()
    total = values.new_zeros(runs + 1, x.shape[1]).index_add(0, owner, values)
    largest = values.new_zeros(runs + 1, x.shape[1]).scatter_reduce(
        0, owner[:, None].expand_as(values), values, "amax", include_self=False
    )
    return total[:runs], largest[:runs]


def fused_add_norm(
    x: Tensor, other: Tensor, weight: Tensor, bias: Tensor, epsilon: float, rows: Rows | None = None
) -> Tensor:
    """`add_norm` as one kernel."""
    from cxnlp.model.triton_kernels import add_norm_kernel, power_of_two

    count, size = len(rows[0]) if rows else len(x), x.shape[1]
    out = torch.empty(count, size, dtype=x.dtype, device=x.device)
    block = power_of_two(size)
    together = max(_VALUES // block, 1)
    first, second = rows or (x, x)  # not read without rows
    add_norm_kernel[(-(-count // together),)](
        x, other, weight, bias, out, first, second, count, size, epsilon,
        LOOKED_UP=rows is not None, ROWS=together, BLOCK=block,
    )  # fmt: skip
    return out


def fused_pool(x: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """`pool` as one kernel."""
    from cxnlp.model.triton_kernels import pool_kernel, power_of_two

    runs, size = len(start), x.shape[1]
    total, largest = (
        torch.empty(runs, size, dtype=torch.float32, device=x.device) for _ in range(2)
    )
    block = min(power_of_two(size), 256)
    pool_kernel[(runs, -(-size // block))](
        x, start, stop, total, largest, size, ROWS=8, BLOCK=block, num_warps=2
    )
    return total, largest
