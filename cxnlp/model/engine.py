"""Load a model once; answer for columns of texts cut into segments.

Comes in: segments with the text each belongs to, and the trigger hits of each. Goes out: one
`Scores` of probabilities, rows in the order given. Windows are sorted by length and
batched by tokens; the answers are written to the rows they belong to, so that order and
neighbours never matter. Left out: texts that repeat (`analyse.py` asks about each once).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxnlp.model.card import Card, Labels, read_card
from cxnlp.model.network import PAD, Network
from cxnlp.model.packing import pack
from cxnlp.model.tokens import Tokenizer, Tokens
from cxnlp.model.weights import device_for, load_network

Floats = npt.NDArray[np.float32]
CPU_TOKENS = 2048  # what stays in the caches; more is slower there (benchmarks/RESULTS.md)
_PRESENT = ("intents", "touchpoints", "levers")  # true of a comment if true of one window


@dataclass(frozen=True, slots=True)
class Scores:
    """Calibrated probabilities: `comment[head]` and `segment[head]`, [rows, labels].

    Softmax over labels for sentiment, stars and polarity; one probability each elsewhere. A text
    without segments has zeros.
    """

    comment: dict[str, Floats]
    segment: dict[str, Floats]


class Engine:
    """A model in memory. `predict` has no side effects and may be called from one thread."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, card: Card, device: torch.device,
        precision: torch.dtype, max_batch_tokens: int,
    ):  # fmt: skip
        self.card, self._tokenizer, self._device = card, tokenizer, device
        self._network = network.to(device=device, dtype=precision)
        on_cpu = device.type == "cpu"
        self._budget = min(max_batch_tokens, CPU_TOKENS) if on_cpu else max_batch_tokens

    @classmethod
    def load(
        cls, folder: str | Path, device: str = "auto", precision: str = "auto",
        max_batch_tokens: int = 16384,
    ) -> "Engine":  # fmt: skip
        """Return the engine of a model folder; `auto` is bfloat16 on a GPU, float32 elsewhere.

        Raises `ModelError` for a folder that is incomplete, altered or of another shape.
        """
        folder = Path(folder)
        card = read_card(folder)
        where = device_for(device)
        network = load_network(folder)
        tokenizer = Tokenizer.load(folder / "tokenizer.json", network.shape.max_tokens)
        if precision == "auto":
            precision = "bfloat16" if where.type == "cuda" else "float32"
        kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        return cls(network, tokenizer, card, where, kind, max_batch_tokens)

    def predict(
        self, segments: Sequence[str], segment_text: npt.NDArray[np.integer], texts: int,
        cues: Floats,
    ) -> Scores:  # fmt: skip
        """Return the scores of `texts` texts.

        `segment_text` [segments] rises and names the text of each segment; `cues`
        [segments, len(card.labels.cues)] counts the trigger hits in each.
        """
        tokens = self._tokenizer.encode(segments, segment_text)
        comment, piece = self._logits(tokens, cues)
        windows = (tokens.window_text, tokens.window_lengths, texts)
        pieces = (tokens.piece_segment, tokens.piece_lengths, len(segments))
        heat, labels = self.card.temperatures, self.card.labels
        return Scores(
            {
                head: _gather(head, comment[:, where] / heat.get(head, 1.0), *windows)
                for head, where in labels.slices(Labels.COMMENT).items()
            },
            {
                head: _gather(head, piece[:, where] / heat.get(f"segment_{head}", 1.0), *pieces)
                for head, where in labels.slices(Labels.PIECE).items()
            },
        )

    def _logits(self, tokens: Tokens, cues: Floats) -> tuple[Floats, Floats]:
        shape = self._network.shape
        comment = np.zeros((len(tokens.window_ends), shape.comment_outputs), np.float32)
        piece = np.zeros((len(tokens.piece_ends), shape.piece_outputs), np.float32)
        piece_bounds = np.searchsorted(tokens.piece_window, np.arange(len(comment) + 1))
        with torch.inference_mode():
            for rows in pack(tokens.window_lengths + 2, self._budget):
                pieces = np.concatenate(
                    [np.arange(piece_bounds[r], piece_bounds[r + 1]) for r in rows]
                )
                batch = _batch(tokens, rows, pieces)
                heard = torch.from_numpy(cues[tokens.piece_segment[pieces]])
                some, parts, _ = self._network(
                    *(t.to(self._device) for t in batch),
                    heard.to(self._device, self._network.lift.dtype),
                )
                comment[rows] = some.float().cpu().numpy()
                piece[pieces] = parts.float().cpu().numpy()
        return comment, piece


def _gather(
    head: str, logits: Floats, owner: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64],
    rows: int,
) -> Floats:  # fmt: skip
    """Windows → texts (or pieces → segments): what is present anywhere, else the mean."""
    one_of = head in ("sentiment", "stars", "polarity")
    probabilities = _softmax(logits) if one_of else 1 / (1 + np.exp(-logits))
    found = np.zeros((rows, logits.shape[1]), np.float32)
    if head in _PRESENT:
        np.maximum.at(found, owner, probabilities)
        return found
    weights = np.maximum(lengths, 1).astype(np.float32)
    total = np.bincount(owner, weights, rows).astype(np.float32)
    np.add.at(found, owner, probabilities * (weights / total[owner])[:, None])
    return found


def _batch(
    tokens: Tokens, rows: npt.NDArray[np.int64], pieces: npt.NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pad windows into ids [rows, length], token_piece [rows, length] and piece_window [pieces]."""
    lengths = tokens.window_lengths[rows]
    starts = tokens.window_starts[rows]
    width = int(lengths.max(initial=0)) + 2
    place = np.arange(width - 2)
    inside = place < lengths[:, None]
    ids = np.full((len(rows), width), PAD, np.int64)
    owner = np.full((len(rows), width), -1, np.int64)
    ids[:, 0] = 0
    ids[:, 1:-1][inside] = tokens.ids[(starts[:, None] + place)[inside]]
    ids[np.arange(len(rows)), lengths + 1] = 2
    owner[:, 1:-1][inside] = np.repeat(np.arange(len(pieces)), tokens.piece_lengths[pieces])
    row_of = np.empty(int(tokens.piece_window.max(initial=0)) + 1, np.int64)
    row_of[rows] = np.arange(len(rows))
    window = row_of[tokens.piece_window[pieces]]
    return torch.from_numpy(ids), torch.from_numpy(owner), torch.from_numpy(window)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
