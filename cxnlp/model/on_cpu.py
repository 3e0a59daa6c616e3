"""Batches of windows of like length end to end, on a CPU: no padding, no mask.

Comes in: tokens and trigger hits of a column of texts. Goes out: logits of windows and pieces, by
their numbers. Query, key and value are one matrix; matrices are laid out anew for oneDNN and run in
the precision asked for, attention too; sums, norms, pools and heads stay in single precision. What
a window is told depends on its own tokens alone, to the last bit of its hidden states. Left out:
encoders that are not our own (`padded.py`), and what logits mean.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

from cxnlp.freed import give_back
from cxnlp.model.layout import ranges
from cxnlp.model.network import Network, Shape, hashed
from cxnlp.model.padded import CPU_TOKENS
from cxnlp.model.tokens import Tokens

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
ROUND = 64  # tokens that a batch is filled up to a multiple of
TIDY = 16  # batches, whose shapes differ, between two times that memory is given back


def native_bfloat16() -> bool:
    """Return whether this CPU multiplies in bfloat16; without, it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class OnCpu:
    """A network of ours on a CPU; `budget` is in tokens of a batch.

    As many batches run side by side as torch has threads, each on one: matrices as small as these
    gain nothing from a second thread.
    """

    def __init__(self, network: Network, dtype: torch.dtype, budget: int):
        self.budget = min(budget, CPU_TOKENS)
        self._network, self._threads = network.float(), torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)
        encoder = network.encoder
        self._layers = [_Layer.of(layer, dtype) for layer in cast(list[Any], encoder.layers)]
        self._attention_heads = network.shape.num_attention_heads
        encoder.layers = nn.ModuleList()  # they were copied

    def begin(self, tokens: Tokens, cues: Floats) -> Callable[[], tuple[Floats, Floats]]:
        """Return what has the logits of windows and of pieces; they are made at once."""
        shape = self._network.shape
        comment = np.zeros((len(tokens.window_ends), shape.comment_outputs), np.float32)
        piece = np.zeros((len(tokens.piece_ends), shape.piece_outputs), np.float32)
        bounds = np.searchsorted(tokens.piece_window, np.arange(len(comment) + 1))

        def step(number: int, rows: Ints) -> None:
            if torch.get_num_threads() > 1:  # of this thread of the pool; the others keep theirs
                torch.set_num_threads(1)
            counts = np.diff(bounds)[rows]
            pieces = ranges(bounds[rows], counts)
            heard = torch.from_numpy(cues[tokens.piece_segment[pieces]])
            with torch.inference_mode():
                some, parts = self._answers(tokens, rows, pieces, counts, heard)
            comment[rows], piece[pieces] = some.numpy(), parts.numpy()
            if number % TIDY == TIDY - 1:
                give_back()

        batches = enumerate(_batches(tokens.window_lengths, self.budget))
        for done in [self._pool.submit(step, *batch) for batch in batches]:
            done.result()
        torch.set_num_threads(self._threads)  # which threads to come also start with
        return lambda: (comment, piece)

    def _answers(
        self, tokens: Tokens, rows: Ints, pieces: Ints, counts: Ints, heard: Tensor
    ) -> tuple[Tensor, Tensor]:
        shape, lengths = self._network.shape, tokens.window_lengths[rows]
        inside = ranges(np.cumsum(lengths + 2) - lengths - 1, lengths)
        ids, position, framed = _framed(tokens, rows, lengths, inside, shape)
        deep, wide = self._encoded(ids, position, framed), self._wide(ids, position)
        window = np.repeat(np.arange(len(rows)), lengths)
        token_piece = np.repeat(np.arange(len(pieces)), tokens.piece_lengths[pieces])
        piece_window = np.repeat(np.arange(len(rows)), counts)
        real = torch.from_numpy(inside)
        one, two, three = map(torch.from_numpy, (window, token_piece, piece_window))
        return self._network.answers((deep[real], wide[real]), (one, two, three), heard, len(rows))

    def _wide(self, ids: Tensor, position: Tensor) -> Tensor:
        pad = ids.new_full((), self._network.shape.pad_token_id)
        before = torch.where(position >= 1, ids.roll(1), pad)
        before2 = torch.where(position >= 2, ids.roll(2), pad)
        grams = hashed(ids, before, before2, self._network.shape.wide_buckets)
        return F.embedding_bag(grams, self._network.wide.weight, mode="sum")

    def _encoded(self, ids: Tensor, position: Tensor, lengths: Ints) -> Tensor:
        encoder = self._network.encoder
        place = encoder.positions(position + encoder.pad + 1) + encoder.types.weight[0]
        x = encoder.norm(encoder.words(ids) + place)
        alike = _alike(lengths)
        for layer in self._layers:
            mixed = _attended(layer.mix(x), alike, self._attention_heads)
            x = layer.out_norm(layer.out(mixed) + x)
            x = layer.norm(layer.down(layer.up(x, gelu=True)) + x)
        return cast(Tensor, x)


class _Matrix:
    """A linear layer whose weights are laid out once, where oneDNN is there to do so."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self._packed = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        self._weight, self._bias = (x.detach().to(dtype).contiguous() for x in (weight, bias))
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, CPU_TOKENS)
        self._dtype = dtype

    def __call__(self, x: Tensor, gelu: bool = False) -> Tensor:
        x = x.to(self._dtype)
        if not self._packed:
            x = F.linear(x, self._weight, self._bias)
            return F.gelu(x) if gelu else x
        name, kind = ("gelu", "none") if gelu else ("none", "")
        found = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, name, [], kind)
        return cast(Tensor, found)


@dataclass(frozen=True, slots=True)
class _Layer:
    mix: _Matrix
    out: _Matrix
    out_norm: nn.LayerNorm
    up: _Matrix
    down: _Matrix
    norm: nn.LayerNorm

    @classmethod
    def of(cls, layer: Any, dtype: torch.dtype) -> "_Layer":
        three = layer.query, layer.key, layer.value
        weight, bias = (torch.cat([getattr(x, n) for x in three]) for n in ("weight", "bias"))
        out, up, down = (
            _Matrix(x.weight, x.bias, dtype) for x in (layer.attention_output, layer.up, layer.down)
        )
        return cls(_Matrix(weight, bias, dtype), out, layer.attention_norm, up, down, layer.norm)


def _batches(lengths: Ints, budget: int) -> Iterator[Ints]:
    """Yield the numbers of windows in batches, the longest first; `lengths` are without frame.

    A batch has no more than `budget` tokens, unless one window alone has.

    >>> [rows.tolist() for rows in _batches(np.array([1, 7, 1, 6]), 12)]
    [[1], [3, 0], [2]]
    """
    order = np.argsort(-lengths, kind="stable")
    ends, start = np.cumsum(lengths[order] + 2), 0
    while start < len(order):
        done = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, done + budget, side="right")), start + 1)
        yield order[start:stop]
        start = stop


def _framed(
    tokens: Tokens, rows: Ints, lengths: Ints, inside: Ints, shape: Shape
) -> tuple[Tensor, Tensor, Ints]:
    """Return the ids of windows with `<s>` and `</s>`, end to end, their place in each, and the
    lengths of windows, the last a filler that nobody reads: with few different sizes of matrices
    oneDNN does not make and keep a program for each."""
    ends = np.cumsum(lengths + 2)
    filler = -int(ends[-1]) % ROUND
    framed = np.append(lengths + 2, [filler] if filler else []).astype(np.int64)
    ids = np.full(int(ends[-1]) + filler, shape.bos_token_id, np.int64)
    ids[ends - 1] = shape.eos_token_id
    ids[inside] = tokens.ids[ranges(tokens.window_starts[rows], lengths)]
    position = np.zeros(len(ids), np.int64)
    position[: ends[-1]] = ranges(np.zeros(len(rows), np.int64), lengths + 2)
    return torch.from_numpy(ids), torch.from_numpy(position), framed


def _alike(lengths: Ints) -> list[tuple[int, int]]:
    """Return how many windows of which length follow each other.

    >>> _alike(np.array([9, 5, 5, 5, 3]))
    [(1, 9), (3, 5), (1, 3)]
    """
    stops = [*np.flatnonzero(np.diff(lengths)) + 1, len(lengths)]
    return [(int(b - a), int(lengths[a])) for a, b in pairwise([0, *stops])]


def _attended(qkv: Tensor, alike: list[tuple[int, int]], heads: int) -> Tensor:
    """Return attention inside each window, [tokens, 3 · size] to [tokens, size]."""
    mixed, start = [], 0
    for rows, length in alike:
        some = qkv[start : start + rows * length].view(rows, length, 3, heads, -1)
        query, key, value = some.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value)
        mixed.append(found.transpose(1, 2).reshape(rows * length, -1))
        start += rows * length
    return torch.cat(mixed)
