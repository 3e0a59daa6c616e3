"""Load a model once; answer for columns of texts cut into segments.

Comes in: segments with the text each belongs to, and the trigger hits of each. Goes out: one
`Scores` of probabilities, rows in the order given. Windows are sorted by length and
batched by tokens; the answers are written to the rows they belong to, so that order and
neighbours never matter. Left out: texts that repeat (`analyse.py` asks about each once).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from cxnlp.errors import ModelError
from cxnlp.model.card import Card, Labels, read_card
from cxnlp.model.layout import ranges
from cxnlp.model.network import Network
from cxnlp.model.on_cpu import OnCpu, native_bfloat16
from cxnlp.model.packed import varlen_runs
from cxnlp.model.padded import Padded
from cxnlp.model.runner import Runner
from cxnlp.model.tokens import Tokenizer, Tokens
from cxnlp.model.weights import device_for, load_network

Floats = npt.NDArray[np.float32]
Layout = Literal["auto", "padded", "alike", "varlen", "bins"]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
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
        precision: torch.dtype, max_batch_tokens: int, way: Layout = "auto",
    ):  # fmt: skip
        self.card, self._tokenizer, self._device = card, tokenizer, device
        self.way = way = _laid_out(way, network, precision, device)
        given = (network, device, precision, max_batch_tokens)
        self._runner = (
            Padded(*given) if way == "padded"
            else OnCpu(network, precision, max_batch_tokens) if way == "alike"
            else Runner(*given, way)
        )  # fmt: skip

    @classmethod
    def load(
        cls, folder: str | Path, device: str = "auto", precision: str = "auto",
        max_batch_tokens: int = 16384, way: Layout = "auto",
    ) -> "Engine":  # fmt: skip
        """Return the engine of a model folder; `auto` is bfloat16 where the device has it.

        `way` is how batches are laid out (`docs/engine.md`); `auto` has no padding. Raises
        `ModelError` for a folder that is incomplete, altered or of another shape.
        """
        folder = Path(folder)
        card = read_card(folder)
        where = device_for(device)
        network = load_network(folder)
        tokenizer = Tokenizer.load(folder / "tokenizer.json", network.shape.max_tokens)
        if precision == "auto":
            fast = (
                torch.cuda.get_device_capability(where) >= (8, 0) if where.type == "cuda"
                else network.own and way in ("auto", "alike") and native_bfloat16()
            )  # fmt: skip
            precision = "bfloat16" if fast else "float32"
        if precision not in PRECISIONS:
            raise ModelError(
                f"inference.precision is {precision!r}; expected auto, {' or '.join(PRECISIONS)}"
            )
        kind = PRECISIONS[precision]
        return cls(network, tokenizer, card, where, kind, max_batch_tokens, way)

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
        return self.begin(tokens, texts, cues)()

    def begin(self, tokens: Tokens, texts: int, cues: Floats) -> Callable[[], Scores]:
        """Start on tokens; return what waits for their scores, which another thread may call.

        A GPU works meanwhile.
        """
        budget = self._runner.budget
        finish = self._runner.begin(tokens, cues)
        if self._runner.budget < budget:
            warnings.warn(
                f"{self._device} has no room for batches of {budget} tokens; "
                f"{self._runner.budget} from here on: set inference.max_batch_tokens to "
                f"{self._runner.budget}",
                RuntimeWarning, stacklevel=2,
            )  # fmt: skip
        return lambda: self._scores(tokens, texts, len(cues), *finish())

    def _scores(
        self, tokens: Tokens, texts: int, segments: int, comment: Floats, piece: Floats
    ) -> Scores:
        windows = (tokens.window_text, tokens.window_lengths, texts)
        pieces = (tokens.piece_segment, tokens.piece_lengths, segments)
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


def _laid_out(
    way: Layout, network: Network, precision: torch.dtype, device: torch.device
) -> Literal["padded", "alike", "varlen", "bins"]:
    """Return how batches are laid out: without padding, if the encoder is our own."""
    if not network.own or way == "padded":
        return "padded"
    if device.type == "cpu" and way in ("auto", "alike"):
        return "alike"
    head = network.shape.hidden_size // network.shape.num_attention_heads
    return "varlen" if way != "bins" and varlen_runs(head, precision, device) else "bins"


def _gather(
    head: str, logits: Floats, owner: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64],
    rows: int,
) -> Floats:  # fmt: skip
    """Windows → texts (or pieces → segments): what is present anywhere, else the mean."""
    one_of = head in ("sentiment", "stars", "polarity")
    probabilities = _softmax(logits) if one_of else 1 / (1 + np.exp(-logits))
    found = np.zeros((rows, logits.shape[1]), np.float32)
    first = np.flatnonzero(np.diff(owner, prepend=-1))  # `owner` rises
    found[owner[first]] = probabilities[first]
    counts = np.diff(first, append=len(owner))
    several = counts > 1
    if not several.any():
        return found
    many = ranges(first[several], counts[several])  # few: most texts have one window
    starts = np.cumsum(counts[several]) - counts[several]
    rows_of, some = owner[many], probabilities[many]
    if head in _PRESENT:
        found[rows_of[starts]] = np.maximum.reduceat(some, starts)
        return found
    weights = np.maximum(lengths, 1).astype(np.float32)
    total = np.bincount(owner, weights, rows).astype(np.float32)
    shares = (weights[many] / total[rows_of])[:, None]
    found[rows_of[starts]] = np.add.reduceat(some * shares, starts)
    return found


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)
