"""What speaking of a lever does to satisfaction: differences of means and least squares.

Comes in: the sums of `lever_impact.sql`, and the levers in the order of their bits. Goes out:
the table `lever_impact`. Left out: any cause; these are associations within the comments.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp import schema

Floats = npt.NDArray[np.float64]
_Z95: Final = 1.959964
_LEAST: Final = 30  # comments of a regression with twice seven levers
_LARGEST: Final = 4.0  # (stars / 2)²: one unit of the largest spread that 1–5 can have


def lever_impact(sums: pa.Table, levers: Sequence[str]) -> pa.Table:
    """Return `schema.LEVER_IMPACT`; `sums` is sorted by period and brand."""
    rows: list[dict[str, Any]] = []
    for start, stop in _groups(sums):
        some = sums.slice(start, stop - start)
        where = {"period": some["period"][0].as_py(), "brand": some["brand"][0].as_py()}
        rows += [where | row for row in _of_group(some, levers)]
    return pa.Table.from_pylist(rows, schema=schema.LEVER_IMPACT.arrow)


def _groups(sums: pa.Table) -> Iterator[tuple[int, int]]:
    """Return the first row of each period and brand, and one past its last."""
    keys = list(zip(sums["period"].to_pylist(), sums["brand"].to_pylist(), strict=True))
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    return zip(starts, [*starts[1:], len(keys)], strict=False)


def _of_group(sums: pa.Table, levers: Sequence[str]) -> Iterator[dict[str, Any]]:
    n, total, squares = (sums[name].to_numpy() for name in ("n", "total", "squares"))
    bits = np.arange(len(levers))
    spoken, badly, well = (
        ((sums[name].to_numpy()[:, None] >> bits) & 1).astype(float)
        for name in ("spoken", "badly", "well")
    )
    plain: list[Floats | None] = [None] * len(levers)
    sided = plain * 2
    if n.sum() >= _LEAST:
        plain = solve(spoken, n, total, squares)
        sided = solve(np.concatenate([badly, well], 1), n, total, squares)
    for i, lever in enumerate(levers):
        with_it, without = spoken[:, i], 1 - spoken[:, i]
        if not with_it @ n:
            continue
        row = {"lever": lever, "n": int(with_it @ n), "n_without": int(without @ n)}
        row |= _difference(with_it, without, n, total, squares)
        row |= _named("coefficient", plain[i])
        for side, chosen, place in (("negative", badly, i), ("positive", well, i + len(levers))):
            count = chosen[:, i] @ n
            base = row["mean_without"]
            row[f"n_{side}"] = int(count)
            known = count and base is not None
            row[f"difference_{side}"] = chosen[:, i] @ total / count - base if known else None
            row |= _named(f"coefficient_{side}", sided[place])
        yield row


def solve(present: Floats, n: Floats, total: Floats, squares: Floats) -> list[Floats | None]:
    """Return (coefficient, low, high) of each column of `present`, or None where it has none.

    Row r of `present` [rows, columns] stands for n[r] comments whose satisfaction sums to
    total[r] and whose squares sum to squares[r]. Least squares with an intercept; 95 % normal
    interval from the classical variance, to which one unit of the largest spread is added, so
    that a perfect fit to few comments has no narrow interval. A column that others determine
    has no coefficient.

    >>> present, one = np.array([[0.0], [0.0], [1.0]]), np.ones(3)
    >>> found = solve(present, one, np.array([4.0, 5.0, 2.0]), np.array([16.0, 25.0, 4.0]))
    >>> found[0].round(1).tolist()
    [-2.5, -6.1, 1.1]
    """
    x = np.concatenate([np.ones((len(n), 1)), present], 1)
    gram, right = x.T @ (x * n[:, None]), x.T @ total
    scale = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1))
    values, vectors = np.linalg.eigh(gram / scale / scale[:, None])
    sound = values > 1e-9
    inverse = (vectors[:, sound] / values[sound]) @ vectors[:, sound].T / scale / scale[:, None]
    free = n.sum() - sound.sum()
    determined = (vectors[:, ~sound] ** 2).sum(1) < 1e-9
    solution = inverse @ right
    spread = max(float(squares.sum() - solution @ right), 0) + _LARGEST
    half = _Z95 * np.sqrt(np.maximum(np.diag(inverse), 0) * spread / (free + 1))
    found = np.stack([solution, solution - half, solution + half], 1)
    return [row if ok and free >= 1 else None for row, ok in zip(found, determined, strict=True)][
        1:
    ]


def _difference(
    with_it: Floats, without: Floats, n: Floats, total: Floats, squares: Floats
) -> dict[str, float | None]:
    """Means of the two groups and their difference, with Welch's interval (normal)."""
    (mean, variance), (other, its) = (_mean(g, n, total, squares) for g in (with_it, without))
    if mean is None or other is None:
        return {"mean_with": mean, "mean_without": other}
    half = _Z95 * np.sqrt(variance + its)
    gap = mean - other
    return {
        "mean_with": mean, "mean_without": other, "difference": gap,
        "difference_low": gap - half, "difference_high": gap + half,
    }  # fmt: skip


def _mean(group: Floats, n: Floats, total: Floats, squares: Floats) -> tuple[float | None, float]:
    """Return the mean of a group and the variance of that mean."""
    count, added = group @ n, group @ total
    if not count:
        return None, 0.0
    spread = max(float(group @ squares - added * added / count), 0) + _LARGEST
    return float(added / count), float(spread / count / count)


def _named(name: str, found: Floats | None) -> dict[str, float | None]:
    value, low, high = (None, None, None) if found is None else found.tolist()
    return {name: value, f"{name}_low": low, f"{name}_high": high}
