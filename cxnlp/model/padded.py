"""Batches of windows padded to one length: the path of a CPU, and of any encoder.

Comes in: tokens and trigger hits of a column of texts. Goes out: logits of windows and pieces, by
their numbers. Windows are sorted by length, so that hardly any of a batch is padding. Left out:
batches without any (`runner.py`), and what logits mean.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from cxnlp.freed import give_back
from cxnlp.model.layout import ranges
from cxnlp.model.network import Network, Shape
from cxnlp.model.packing import in_batches
from cxnlp.model.tokens import Tokens

Floats = npt.NDArray[np.float32]
TIDY = 4  # batches on a CPU, whose shapes differ, between two times that memory is given back
CPU_TOKENS = 1024  # what stays in the caches; more is slower there (benchmarks/RESULTS.md)


class Padded:
    """A network on a device; `budget` is in tokens of a batch, padding included.

    What the device has no room for is tried again in batches of half the tokens.
    """

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype, budget: int):
        self._network, self._device = network.to(device=device, dtype=dtype), device
        self._on_cpu, self._steps = device.type == "cpu", 0
        self.budget = min(budget, CPU_TOKENS) if self._on_cpu else budget

    def begin(self, tokens: Tokens, cues: Floats) -> Callable[[], tuple[Floats, Floats]]:
        """Return what has the logits of windows and of pieces; they are made at once."""
        shape = self._network.shape
        comment = np.zeros((len(tokens.window_ends), shape.comment_outputs), np.float32)
        piece = np.zeros((len(tokens.piece_ends), shape.piece_outputs), np.float32)
        piece_bounds = np.searchsorted(tokens.piece_window, np.arange(len(comment) + 1))

        def step(rows: npt.NDArray[np.int64]) -> None:
            pieces = ranges(piece_bounds[rows], np.diff(piece_bounds)[rows])
            batch = _batch(tokens, rows, pieces, shape)
            heard = torch.from_numpy(cues[tokens.piece_segment[pieces]])
            some, parts, _ = self._network(
                *(t.to(self._device) for t in batch),
                heard.to(self._device, self._network.lift.dtype),
            )
            comment[rows] = some.float().cpu().numpy()
            piece[pieces] = parts.float().cpu().numpy()
            self._steps += 1
            if self._on_cpu and self._steps % TIDY == 0:
                give_back()

        lengths = tokens.window_lengths + 2
        with torch.inference_mode():
            self.budget = in_batches(lengths, self.budget, step, torch.OutOfMemoryError)
        return lambda: (comment, piece)


def _batch(
    tokens: Tokens, rows: npt.NDArray[np.int64], pieces: npt.NDArray[np.int64], shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pad windows into ids [rows, length], token_piece [rows, length] and piece_window [pieces]."""
    lengths = tokens.window_lengths[rows]
    starts = tokens.window_starts[rows]
    width = int(lengths.max(initial=0)) + 2
    place = np.arange(width - 2)
    inside = place < lengths[:, None]
    ids = np.full((len(rows), width), shape.pad_token_id, np.int64)
    owner = np.full((len(rows), width), -1, np.int64)
    ids[:, 0] = shape.bos_token_id
    ids[:, 1:-1][inside] = tokens.ids[(starts[:, None] + place)[inside]]
    ids[np.arange(len(rows)), lengths + 1] = shape.eos_token_id
    owner[:, 1:-1][inside] = np.repeat(np.arange(len(pieces)), tokens.piece_lengths[pieces])
    row_of = np.empty(int(tokens.piece_window.max(initial=0)) + 1, np.int64)
    row_of[rows] = np.arange(len(rows))
    window = row_of[tokens.piece_window[pieces]]
    return torch.from_numpy(ids), torch.from_numpy(owner), torch.from_numpy(window)
