"""Load a model once; answer for columns of texts cut into segments.

Comes in: segments with the text each belongs to, and the trigger hits of each. Goes out: one
`Scores` of probabilities, rows in the order given. Windows are sorted by length and
batched by tokens; the answers are written to the rows they belong to, so that order and
neighbours never matter. Left out: texts that repeat (`analyse.py` asks about each once).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxnlp.freed import give_back
from cxnlp.model.card import Card, Labels, read_card
from cxnlp.model.network import Network, Shape
from cxnlp.model.packing import in_batches
from cxnlp.model.tokens import Tokenizer, Tokens
from cxnlp.model.weights import device_for, load_network

Floats = npt.NDArray[np.float32]
TIDY = 4  # batches on a CPU, whose shapes differ, between two times that memory is given back
CPU_TOKENS = 1024  # what stays in the caches; more is slower there (benchmarks/RESULTS.md)
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
    """A model in memory. `predict` may be called from one thread, `tokens` from another.

    What a GPU has no room for is tried again in batches of half the tokens, and told once.
    """

    def __init__(
        self, network: Network, tokenizer: Tokenizer, card: Card, device: torch.device,
        precision: torch.dtype, max_batch_tokens: int,
    ):  # fmt: skip
        self.card, self._tokenizer, self._device = card, tokenizer, device
        self._network = network.to(device=device, dtype=precision)
        self._steps = 0
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
        return self.scores(self.tokens(segments, segment_text), texts, cues)

    def tokens(self, segments: Sequence[str], segment_text: npt.NDArray[np.integer]) -> Tokens:
        """Return the tokens of segments: the part of `predict` that may be done ahead."""
        return self._tokenizer.encode(segments, segment_text)

    def scores(self, tokens: Tokens, texts: int, cues: Floats) -> Scores:
        """Return the scores of tokens: the part of `predict` that the device does."""
        comment, piece = self._logits(tokens, cues)
        windows = (tokens.window_text, tokens.window_lengths, texts)
        pieces = (tokens.piece_segment, tokens.piece_lengths, len(cues))
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

        def step(rows: npt.NDArray[np.int64]) -> None:
            pieces = _ranges(piece_bounds[rows], np.diff(piece_bounds)[rows])
            batch = _batch(tokens, rows, pieces, shape)
            heard = torch.from_numpy(cues[tokens.piece_segment[pieces]])
            some, parts, _ = self._network(
                *(t.to(self._device) for t in batch),
                heard.to(self._device, self._network.lift.dtype),
            )
            comment[rows] = some.float().cpu().numpy()
            piece[pieces] = parts.float().cpu().numpy()
            self._steps += 1
            if self._device.type == "cpu" and self._steps % TIDY == 0:
                give_back()

        with torch.inference_mode():
            self._keep_to(
                in_batches(tokens.window_lengths + 2, self._budget, step, torch.OutOfMemoryError)
            )
        return comment, piece

    def _keep_to(self, budget: int) -> None:
        if budget < self._budget:
            warnings.warn(
                f"{self._device} has no room for batches of {self._budget} tokens; {budget} from "
                f"here on: set inference.max_batch_tokens to {budget}",
                RuntimeWarning, stacklevel=4,
            )  # fmt: skip
            self._budget = budget


def _gather(
    head: str, logits: Floats, owner: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64],
    rows: int,
) -> Floats:  # fmt: skip
    """Windows → texts (or pieces → segments): what is present anywhere, else the mean."""
    one_of = head in ("sentiment", "stars", "polarity")
    probabilities = _softmax(logits) if one_of else 1 / (1 + np.exp(-logits))
    found = np.zeros((rows, logits.shape[1]), np.float32)
    first = np.flatnonzero(np.diff(owner, prepend=-1))  # `owner` rises
    if not len(first):
        return found
    if head in _PRESENT:
        found[owner[first]] = np.maximum.reduceat(probabilities, first)
        return found
    weights = np.maximum(lengths, 1).astype(np.float32)
    total = np.bincount(owner, weights, rows).astype(np.float32)
    found[owner[first]] = np.add.reduceat(probabilities * (weights / total[owner])[:, None], first)
    return found


def _ranges(starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the numbers starts[i] … starts[i] + counts[i] − 1, end to end.

    >>> _ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) + np.repeat(starts - before, counts))


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


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
