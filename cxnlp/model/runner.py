"""Batches without padding through a device, none of them waited for.

Comes in: tokens and trigger hits of a column of texts. Goes out: logits of windows and pieces, by
their numbers. On a GPU a batch is written into pinned memory, copied on one stream and computed on
another, as a CUDA graph of one of a few sizes; results stay there and come back once. On a CPU
the same network runs batch by batch: that is how it is tested. Left out: what logits mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxnlp.model.layout import Batch, Limits, lay
from cxnlp.model.network import Network, Shape
from cxnlp.model.packed import PackedNetwork, Room, Way
from cxnlp.model.tokens import Tokens

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Logits = tuple[Floats, Floats]
Batches = Iterator[tuple[Batch, npt.NDArray[np.uint8]]]
RING = 3  # batches between being written and being computed
SIZES = (16, 4, 1)  # a batch runs in the smallest of these parts of the budget that holds it


class Runner:
    """A packed network and what it needs to run batch after batch; `budget` is in tokens.

    Where the device has no room for a batch the budget is halved, for good.
    """

    def __init__(
        self, network: Network, device: torch.device, dtype: torch.dtype, budget: int,
        way: Way = "varlen", graphs: bool = True,
    ):  # fmt: skip
        self.budget = budget
        self._network = PackedNetwork(network, device, dtype, way)
        self._gpu = _Gpu(self._network, graphs) if device.type == "cuda" else None

    def begin(self, tokens: Tokens, cues: Floats) -> Callable[[], Logits]:
        """Start on tokens; return what waits for the logits of windows and of pieces."""
        longest, heard = self._network.shape.max_tokens, (cues > 0).astype(np.uint8)
        run = self._gpu.run if self._gpu else self._run
        while True:
            limits = Limits.of(self.budget, longest)
            try:
                with torch.inference_mode():
                    return run(self._batches(tokens, heard, limits), tokens, limits)
            except torch.OutOfMemoryError:
                if limits.tokens == limits.long:
                    raise
            self.budget = limits.tokens // 2
            if self._gpu:
                self._gpu.forget()

    def _batches(
        self, tokens: Tokens, heard: npt.NDArray[np.uint8], limits: Limits
    ) -> Iterator[tuple[Batch, npt.NDArray[np.uint8]]]:
        shape = self._network.shape
        frame = (shape.pad_token_id, shape.bos_token_id, shape.eos_token_id)
        for batch in lay(tokens, limits, frame, bins=self._network.way == "bins"):
            yield batch, heard[tokens.piece_segment[batch.pieces]]

    def _run(self, batches: Batches, tokens: Tokens, limits: Limits) -> Callable[[], Logits]:
        found = _nothing(tokens, self._network.shape)
        for batch, heard in batches:
            room = exactly(batch, heard.shape[1])
            buffer = torch.zeros(room.size, dtype=torch.int32)
            room.fill(buffer, batch, heard)
            some, parts = self._network(room, buffer)
            found[0][batch.windows], found[1][batch.pieces] = some.numpy(), parts.numpy()
        return lambda: found


def exactly(batch: Batch, cues: int) -> Room:
    """Return the room that a batch takes, no more than the rest of its last bin."""
    stop = int(batch.starts[-1] + batch.lengths[-1])
    tokens = -(-stop // batch.width) * batch.width
    return Room(tokens, len(batch.windows), len(batch.pieces), cues, batch.width)


def _nothing(tokens: Tokens, shape: Shape) -> Logits:
    return (
        np.zeros((len(tokens.window_ends), shape.comment_outputs), np.float32),
        np.zeros((len(tokens.piece_ends), shape.piece_outputs), np.float32),
    )


@dataclass(frozen=True, slots=True)
class _Slot:
    """One place of the ring: pinned memory, its copy on the device, and when each is free."""

    pinned: Tensor
    there: Tensor
    copied: torch.cuda.Event
    taken: torch.cuda.Event


@dataclass(frozen=True, slots=True)
class _Graph:
    """A batch of one size, captured: what it reads and what it writes."""

    graph: torch.cuda.CUDAGraph
    given: Tensor
    found: tuple[Tensor, Tensor]


class _Gpu:
    """Streams, buffers and graphs of one GPU, made when first needed."""

    def __init__(self, network: PackedNetwork, graphs: bool):
        self._network, self._with_graphs, self._device = network, graphs, network.device
        self._copy, self._compute = (_stream(network.device) for _ in range(2))
        self._compute.wait_stream(torch.cuda.current_stream(network.device))  # the weights' copies
        self.forget()

    def forget(self) -> None:
        """Let go of buffers and graphs, which are of a budget that did not fit."""
        torch.cuda.synchronize(self._device)
        self._ring: list[_Slot] = []
        self._graphs: dict[Room, _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.empty_cache()

    def run(self, batches: Batches, tokens: Tokens, limits: Limits) -> Callable[[], Logits]:
        """Queue all batches; what is returned waits for the device, the only time."""
        shape, done = self._network.shape, _event()
        order: tuple[list[Ints], list[Ints]] = ([], [])
        with torch.cuda.device(self._device), torch.cuda.stream(self._compute):
            there = [torch.empty(x.shape, device=self._device) for x in _nothing(tokens, shape)]
            filled = [0, 0]
            for number, (batch, heard) in enumerate(batches):
                found = self._queued(number, batch, heard, limits)
                for which, rows in enumerate((batch.windows, batch.pieces)):
                    first, filled[which] = filled[which], filled[which] + len(rows)
                    there[which][first : filled[which]] = found[which][: len(rows)]
                    order[which].append(rows)
            here = [torch.empty(x.shape, pin_memory=True) for x in there]
            for one, other in zip(here, there, strict=True):
                one.copy_(other, non_blocking=True)
            done.record()

        def finish() -> Logits:
            done.synchronize()
            logits = _nothing(tokens, shape)
            for values, rows, some in zip(logits, order, here, strict=True):
                if rows:
                    values[np.concatenate(rows)] = some.numpy()
            return logits

        return finish

    def _queued(
        self, number: int, batch: Batch, heard: npt.NDArray[np.uint8], limits: Limits
    ) -> tuple[Tensor, Tensor]:
        room, fixed = self._room(batch, heard.shape[1], limits)
        slot = self._slot(number % RING, room.size)
        slot.copied.synchronize()  # of the batch that had this place before: some batches ago
        pinned, there = slot.pinned[: room.size], slot.there[: room.size]
        room.fill(pinned, batch, heard)
        with torch.cuda.stream(self._copy):
            self._copy.wait_event(slot.taken)
            there.copy_(pinned, non_blocking=True)
            slot.copied.record(self._copy)
        self._compute.wait_event(slot.copied)
        if not fixed:
            found = self._network(room, there)
            slot.taken.record(self._compute)
            return found
        graph = self._graph(room)
        graph.given.copy_(there)
        slot.taken.record(self._compute)
        graph.graph.replay()
        return graph.found

    def _room(self, batch: Batch, cues: int, limits: Limits) -> tuple[Room, bool]:
        """Return the smallest room of a fixed size that holds a batch, else its own."""
        need = exactly(batch, cues)
        for part in SIZES if self._with_graphs else ():
            size = limits.tokens // part // batch.width * batch.width
            room = Room(size, size // 8, size // 4, cues, batch.width)
            if need.tokens <= size and need.windows <= room.windows and need.pieces <= room.pieces:
                return room, True
        return need, False

    def _slot(self, place: int, size: int) -> _Slot:
        if place == len(self._ring) or len(self._ring[place].pinned) < size:
            torch.cuda.synchronize(self._device)  # a slot that was too small may be in use
            pinned = torch.zeros(size, dtype=torch.int32, pin_memory=True)
            there = torch.zeros(size, dtype=torch.int32, device=self._device)
            self._copy.wait_stream(self._compute)  # which has just written zeros
            self._ring[place : place + 1] = [_Slot(pinned, there, _event(), _event())]
        return self._ring[place]

    def _graph(self, room: Room) -> _Graph:
        if room not in self._graphs:
            given = torch.zeros(room.size, dtype=torch.int32, device=self._device)
            for _ in range(2):  # kernels are compiled, libraries take their working memory
                self._network(room, given)
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
                found = self._network(room, given)
            self._graphs[room] = _Graph(graph, given, found)
        return self._graphs[room]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
