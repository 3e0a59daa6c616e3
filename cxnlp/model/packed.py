"""The network over batches without padding: the same answers as `network.py`, made for a GPU.

Comes in: a `Network` and batches laid end to end or in bins (`layout.py`), as one buffer of
integers whose size a `Room` fixes, so that a CUDA graph can read it again and again. Goes out:
logits of each window and each piece. Query, key and value are one matrix; sums over tokens and the
last matrix of each head are in single precision, all else in that of the weights. Left out: when
batches come and where results go (`runner.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

from cxnlp.model.kernels import add_norm, pool
from cxnlp.model.layout import Batch
from cxnlp.model.network import PAD, Network, hashed

Way = Literal["varlen", "bins"]


@dataclass(frozen=True, slots=True)
class Room:
    """Sizes of a buffer: tokens, windows, pieces, cues; `width` bounds the length of a window."""

    tokens: int
    windows: int
    pieces: int
    cues: int
    width: int

    @property
    def parts(self) -> dict[str, int]:
        """How many integers of 32 bits each part of a buffer takes, in order."""
        return {
            "ids": self.tokens, "starts": self.windows + 1, "lengths": self.windows,
            "piece_starts": self.pieces, "piece_stops": self.pieces, "piece_window": self.pieces,
            "first_piece": self.windows, "last_piece": self.windows,
            "cues": -(-self.pieces * self.cues // 4),
        }  # fmt: skip

    @property
    def size(self) -> int:
        return sum(self.parts.values())

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts of a buffer by name; `cues` as bytes [pieces, cues]."""
        split = torch.split(buffer, list(self.parts.values()))
        found = dict(zip(self.parts, split, strict=True))
        flat = found["cues"].view(torch.uint8)[: self.pieces * self.cues]
        found["cues"] = flat.view(self.pieces, self.cues)
        return found

    def fill(self, buffer: Tensor, batch: Batch, heard: npt.NDArray[np.uint8]) -> None:
        """Write a batch that fits; what is left over has no tokens. `heard` [pieces, cues]."""
        into = {name: part.numpy() for name, part in self.views(buffer).items()}
        windows, pieces = len(batch.windows), len(batch.pieces)
        stop = int(batch.starts[-1] + batch.lengths[-1])  # what is left over begins here
        bounds = np.searchsorted(batch.piece_window, np.arange(windows + 1))
        given: dict[str, tuple[npt.NDArray[np.integer], int]] = {
            "ids": (batch.ids[: self.tokens], 0), "starts": (batch.starts, stop),
            "lengths": (batch.lengths, 0), "piece_starts": (batch.piece_starts, self.tokens),
            "piece_stops": (batch.piece_starts + batch.piece_lengths, self.tokens),
            "piece_window": (batch.piece_window, 0), "first_piece": (bounds[:-1], pieces),
            "last_piece": (bounds[1:], pieces), "cues": (heard, 0),
        }  # fmt: skip
        for name, (values, rest) in given.items():
            into[name][: len(values)] = values
            into[name][len(values) :] = rest


class PackedNetwork:
    """A network's weights on a device, in the precision and with the attention it runs with."""

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype, way: Way):
        self.shape, self.way, self.device = network.shape, way, device
        encoder = network.encoder

        def put(weight: Tensor, kind: torch.dtype = dtype) -> Tensor:
            return weight.detach().to(device=device, dtype=kind).contiguous()

        def both(linear: nn.Linear | nn.LayerNorm, kind: torch.dtype = dtype) -> Rows:
            return put(linear.weight, kind), put(linear.bias, kind)

        self._words = put(encoder.words.weight)
        self._positions = put(encoder.positions.weight + encoder.types.weight[0])
        self._norm = both(encoder.norm)
        self._layers = [
            _Layer(
                (put(torch.cat([x.query.weight, x.key.weight, x.value.weight])),
                 put(torch.cat([x.query.bias, x.key.bias, x.value.bias]))),
                both(x.attention_output), both(x.attention_norm), both(x.up), both(x.down),
                both(x.norm),
            )
            for x in cast(list[Any], encoder.layers)
        ]  # fmt: skip
        self._wide = put(network.wide.weight)
        self._comment_hidden, self._piece_hidden = map(
            both, (network.comment_hidden, network.piece_hidden)
        )
        self._comment_heads = both(network.comment_heads, torch.float32)
        self._piece_heads = both(network.piece_heads, torch.float32)
        self._lift = put(network.lift, torch.float32)

    def __call__(self, room: Room, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of windows and of pieces, rows without tokens included."""
        given = room.views(buffer)
        starts, lengths = given["starts"], given["lengths"]
        place = torch.arange(room.tokens, device=buffer.device, dtype=torch.int32)
        owner = torch.searchsorted(starts, place, right=True) - 1
        owner = owner.clamp(0, room.windows - 1)
        position = place - starts[owner]
        inside = position < lengths[owner]
        attend = self._attention(room, starts, torch.where(inside, owner, -1))
        hidden = self._encoded(given["ids"], position, attend)
        grams = _grams(given["ids"].long(), position, self.shape.wide_buckets)
        wide = F.embedding_bag(grams, self._wide, mode="sum")
        return self._answers(given, hidden, wide)

    def _encoded(self, ids: Tensor, position: Tensor, attend: "Attend") -> Tensor:
        epsilon, first = self.shape.layer_norm_eps, self.shape.pad_token_id + 1
        places = (position + first).clamp(max=len(self._positions) - 1)
        x = add_norm(self._words, self._positions, *self._norm, epsilon, rows=(ids, places))
        for layer in self._layers:
            size = (len(x), 3, self.shape.num_attention_heads, -1)
            mixed = attend(F.linear(x, *layer.mix).view(size))
            x = add_norm(F.linear(mixed, *layer.out), x, *layer.out_norm, epsilon)
            x = add_norm(F.linear(_grown(x, *layer.up), *layer.down), x, *layer.norm, epsilon)
        return x

    def _attention(self, room: Room, starts: Tensor, owner: Tensor) -> "Attend":
        """Return attention from [tokens, 3, heads, size] to [tokens, heads · size]."""
        if self.way == "bins":
            bins = owner.view(-1, room.width)
            apart = bins[:, :, None] != bins[:, None, :]
            bias = torch.zeros(apart.shape, device=owner.device, dtype=self._words.dtype)
            bias = bias.masked_fill(apart, float("-inf"))[:, None]
            return lambda qkv: _in_bins(qkv, bias)
        if owner.is_cuda:
            return lambda qkv: _varlen(qkv, starts, room.width)
        return lambda qkv: _one_by_one(qkv, starts)

    def _answers(
        self, given: dict[str, Tensor], hidden: Tensor, wide: Tensor
    ) -> tuple[Tensor, Tensor]:
        starts, lengths, window = given["starts"][:-1], given["lengths"], given["piece_window"]
        spans = (starts + 1, starts + lengths - 1), (given["piece_starts"], given["piece_stops"])
        (comment_mean, comment_max, comment_wide), (piece_mean, piece_max, piece_wide) = (
            self._pooled(hidden, wide, *span) for span in spans
        )
        pieces_of = given["first_piece"], given["last_piece"]
        heard = given["cues"].float()
        _, comment_heard = pool(heard, *pieces_of)
        comment = self._head(
            self._comment_hidden, self._comment_heads, [comment_mean, comment_max], [comment_wide],
            comment_heard,
        )  # fmt: skip
        piece = self._head(
            self._piece_hidden, self._piece_heads, [piece_mean, piece_max, comment_mean[window]],
            [piece_wide, comment_wide[window]], heard,
        )  # fmt: skip
        shared = self.shape.shared_outputs
        _, strongest = pool(piece[:, :shared].contiguous(), *pieces_of)
        own = self.shape.comment_outputs - shared
        lifted = comment[:, own:] + self._lift * strongest
        return torch.cat([comment[:, :own], lifted], 1), piece

    def _pooled(
        self, hidden: Tensor, wide: Tensor, start: Tensor, stop: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = (stop - start).clamp(min=1)[:, None]
        total, largest = pool(hidden, start, stop)
        return total / count, largest, pool(wide, start, stop)[0] / count

    def _head(
        self, inner: "Rows", outer: "Rows", deep: list[Tensor], wide: list[Tensor], heard: Tensor
    ) -> Tensor:
        x = torch.cat(deep, 1).to(inner[0].dtype)
        return F.linear(torch.cat([F.gelu(F.linear(x, *inner)).float(), *wide, heard], 1), *outer)


Attend = Callable[[Tensor], Tensor]
Rows = tuple[Tensor, Tensor]  # a weight and its bias


@dataclass(frozen=True, slots=True)
class _Layer:
    mix: Rows
    out: Rows
    out_norm: Rows
    up: Rows
    down: Rows
    norm: Rows


def varlen_runs(head_size: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a device has attention end to end, which on a GPU is FlashAttention's."""
    if device.type == "cpu":
        return True
    suits = dtype in (torch.bfloat16, torch.float16) and head_size % 8 == 0 and head_size <= 256
    return suits and torch.cuda.get_device_capability(device) >= (8, 0)


def _grams(ids: Tensor, position: Tensor, buckets: int) -> Tensor:
    before = torch.where(position >= 1, ids.roll(1), PAD)
    return hashed(ids, before, torch.where(position >= 2, ids.roll(2), PAD), buckets)


def _grown(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GELU of a linear layer; on a GPU inside the product, where it is the tanh one's nearness."""
    if x.is_cuda:
        return torch._addmm_activation(bias, x, weight.t(), use_gelu=True)
    return F.gelu(F.linear(x, weight, bias))


def _varlen(qkv: Tensor, starts: Tensor, longest: int) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = qkv.unbind(1)
    mixed = varlen_attn(query, key, value, starts, starts, longest, longest)
    return cast(Tensor, mixed).flatten(1)


def _in_bins(qkv: Tensor, bias: Tensor) -> Tensor:
    bins, width = bias.shape[0], bias.shape[-1]
    query, key, value = qkv.view(bins, width, *qkv.shape[1:]).permute(2, 0, 3, 1, 4).unbind(0)
    mask = bias.expand(-1, query.shape[1], -1, -1)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(len(qkv), -1)


def _one_by_one(qkv: Tensor, starts: Tensor) -> Tensor:
    mixed = torch.zeros_like(qkv[:, 0])
    for start, stop in pairwise(starts.tolist()):
        if stop > start:
            query, key, value = qkv[start:stop].permute(1, 2, 0, 3)
            some = F.scaled_dot_product_attention(query[None], key[None], value[None])
            mixed[start:stop] = some[0].transpose(0, 1)
    return mixed.flatten(1)
