"""Windows → places in batches of a fixed number of tokens, with no padding between them.

Comes in: the tokens of a column of texts. Goes out: a `Layout`: in which batch each window lies
and where it starts there, and the ids of all batches end to end with `<s>` and `</s>` in place.
Two ways: end to end, for attention that knows where windows begin; or in bins that no window
crosses, for attention inside bins. Long windows come first, so that a budget the device cannot
hold shows at once. Left out: the device, and the results, which go back by window number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxnlp.model.tokens import Tokens

Ints = npt.NDArray[np.int64]
SHORT = 128  # tokens of a short window; of bins, the size that most comments fit into


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a batch may hold. No window is longer than `long`, which divides `tokens`."""

    tokens: int
    windows: int
    pieces: int
    long: int

    @classmethod
    def of(cls, budget: int, longest: int) -> "Limits":
        """Return the limits of a token budget, of at least one window of the `longest`.

        Fewer windows and pieces than tokens: comments are seldom shorter than 8 tokens.

        >>> Limits.of(2000, 300)
        Limits(tokens=1920, windows=240, pieces=480, long=384)
        """
        long = _up(longest, SHORT if longest > SHORT else 8)
        tokens = max(budget // long, 1) * long
        return cls(tokens, tokens // 8, tokens // 4, long)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of bins, the largest first; bounds of the length of windows that go together."""
        return (self.long, SHORT) if self.long > SHORT else (self.long,)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: numbers of its windows and pieces in `Tokens`, in order of place.

    `starts` are places of windows, `piece_starts` of pieces; no window is longer than `width`.
    """

    ids: npt.NDArray[np.int32]
    windows: Ints
    starts: Ints
    lengths: Ints
    pieces: Ints
    piece_starts: Ints
    piece_lengths: Ints
    piece_window: Ints
    width: int


@dataclass(frozen=True, slots=True)
class _Cut:
    """Windows `order[starts]` … in batches: where each batch begins in it, and its width."""

    order: Ints
    place: Ints
    begins: Ints
    widths: list[int]


def lay(tokens: Tokens, limits: Limits, frame: tuple[int, int, int], bins: bool) -> Iterator[Batch]:
    """Yield the batches of tokens. `frame` has the ids of padding, `<s>` and `</s>`.

    A batch is within `limits`, unless one window (or bin) alone is beyond them.
    """
    lengths = tokens.window_lengths + 2
    if not len(lengths):
        return
    bounds = np.searchsorted(tokens.piece_window, np.arange(len(lengths) + 1))
    cut = _cut(lengths, np.diff(bounds), limits, bins)
    where = np.empty(len(lengths), np.int64)  # place of each window among the ids of all batches
    spans = np.maximum(
        limits.tokens, np.maximum.reduceat(cut.place + lengths[cut.order], cut.begins[:-1])
    )
    first = np.concatenate([[0], np.cumsum(spans)])
    where[cut.order] = cut.place + np.repeat(first[:-1], np.diff(cut.begins))
    ids = _framed(tokens, where, lengths, int(first[-1]), frame)
    inside = (tokens.piece_ends - tokens.piece_lengths) - tokens.window_starts[tokens.piece_window]
    for number, width in enumerate(cut.widths):
        rows = cut.order[cut.begins[number] : cut.begins[number + 1]]
        counts = np.diff(bounds)[rows]
        pieces = ranges(bounds[rows], counts)
        window = np.repeat(np.arange(len(rows)), counts)
        starts = where[rows] - first[number]
        yield Batch(
            ids[first[number] : first[number + 1]], rows, starts, lengths[rows], pieces,
            starts[window] + 1 + inside[pieces], tokens.piece_lengths[pieces], window, width,
        )  # fmt: skip


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Return the numbers starts[i] … starts[i] + counts[i] − 1, end to end.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) + np.repeat(starts - before, counts))


def into_bins(lengths: Ints, width: int) -> tuple[Ints, Ints]:
    """Return the bin of each row and its place there; the longest that fits goes in next.

    Rows of one length are alike, so bins of one pattern are filled together.

    >>> into_bins(np.array([5, 3, 8, 2, 3]), 8)
    (array([1, 1, 0, 2, 2]), array([0, 5, 0, 3, 0]))
    """
    left = np.bincount(lengths, minlength=width + 1)
    by_length = np.argsort(lengths, kind="stable")
    taken = np.cumsum(left) - left  # where the rows of each length begin, later: the next one
    bin_of, place = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.int64)
    bins = 0
    while left.any():
        pattern = _pattern(left, width)
        used = np.bincount(pattern, minlength=width + 1)
        times = int((left[used > 0] // used[used > 0]).min())
        start = 0
        for length in pattern:
            rows = by_length[taken[length] : taken[length] + times]
            bin_of[rows], place[rows] = bins + np.arange(times), start
            taken[length] += times
            start += length
        left -= used * times
        bins += times
    return bin_of, place


def _pattern(left: Ints, width: int) -> list[int]:
    """Return lengths that are there and fit into one bin together, the longest first."""
    pattern: list[int] = []
    there, room = left.copy(), width
    while len(found := np.flatnonzero(there[: room + 1])):
        length = int(found[-1])
        pattern.append(length)
        there[length] -= 1
        room -= length
    return pattern


def _cut(lengths: Ints, pieces: Ints, limits: Limits, bins: bool) -> _Cut:
    order, place, begins, widths = [], [], [np.zeros(1, np.int64)], []
    done = 0
    for width, below in zip(limits.widths, (*limits.widths[1:], -1), strict=True):
        rows = np.flatnonzero((lengths > below) & (lengths <= width))
        if not len(rows):
            continue
        unit, inside = into_bins(lengths[rows], width) if bins else (np.arange(len(rows)), 0 * rows)
        by_unit = np.lexsort((inside, unit))
        rows, unit, inside = rows[by_unit], unit[by_unit], inside[by_unit]
        size = np.full(int(unit[-1]) + 1, width) if bins else lengths[rows]
        stops = _stops(
            size,
            np.bincount(unit),
            np.add.reduceat(pieces[rows], np.flatnonzero(np.diff(unit, prepend=-1))),
            limits,
        )
        before = np.cumsum(size) - size
        origin = before[np.concatenate([[0], stops[:-1]])]
        order.append(rows)
        place.append(before[unit] - origin[np.searchsorted(stops, unit, side="right")] + inside)
        begins.append(done + np.searchsorted(unit, stops))
        widths += [width] * len(stops)
        done += len(rows)
    return _Cut(np.concatenate(order), np.concatenate(place), np.concatenate(begins), widths)


def _stops(size: Ints, windows: Ints, pieces: Ints, limits: Limits) -> Ints:
    """Return after which unit each batch stops, so that it is within all limits."""
    sums = [np.cumsum(s) for s in (size, windows, pieces)]
    most = (limits.tokens, limits.windows, limits.pieces)
    stops: list[int] = [0]
    while stops[-1] < len(size):
        last = stops[-1]
        fits = (
            int(np.searchsorted(total, (total[last - 1] if last else 0) + limit, side="right"))
            for total, limit in zip(sums, most, strict=True)
        )
        stops.append(max(min(fits), last + 1))
    return np.asarray(stops[1:], np.int64)


def _framed(
    tokens: Tokens, where: Ints, lengths: Ints, total: int, frame: tuple[int, int, int]
) -> npt.NDArray[np.int32]:
    pad, begin, end = frame
    ids = np.full(total, pad, np.int32)
    ids[where] = begin
    ids[where + lengths - 1] = end
    ids[ranges(where + 1, lengths - 2)] = tokens.ids
    return ids


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
