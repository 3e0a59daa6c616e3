"""Texts cut into segments → flat token ids, cut into windows the encoder can read.

Each segment is tokenised by itself (byte-level BPE starts anew at white space anyway), so that
the tokens of a segment are known by counting and no character offsets are needed. A comment
that is longer than a window is read in several windows, cut between segments; a segment that is
longer than a window is read in several pieces. Nothing is left out. Padding is not made here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as _Tokenizer

from cxnlp.errors import ModelError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of all windows end to end, without `<s>` and `</s>`.

    `window_ends[w]` is where window w stops in `ids`, `piece_ends[p]` where piece p does.
    `window_text[w]` and `piece_segment[p]` say to which text and segment they belong, and
    `piece_window[p]` in which window piece p lies. All increase.
    """

    ids: npt.NDArray[np.int32]
    window_ends: Ints
    window_text: Ints
    piece_ends: Ints
    piece_segment: Ints
    piece_window: Ints

    @property
    def window_starts(self) -> Ints:
        return np.concatenate([[0], self.window_ends[:-1]]).astype(np.int64)

    @property
    def window_lengths(self) -> Ints:
        return np.diff(self.window_ends, prepend=0)

    @property
    def piece_lengths(self) -> Ints:
        return np.diff(self.piece_ends, prepend=0)


class Tokenizer:
    """A `tokenizer.json` of the Hugging Face tokenizers library."""

    def __init__(self, tokenizer: _Tokenizer, max_tokens: int):
        self._tokenizer = tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.room = max_tokens - 2  # <s> and </s>

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> "Tokenizer":
        """Return the tokenizer of a `tokenizer.json`; raises `ModelError`."""
        try:
            return cls(_Tokenizer.from_file(str(path)), max_tokens)
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{path}: not a tokenizer.json: {error}") from error

    def encode(self, segments: Sequence[str], segment_text: npt.NDArray[np.integer]) -> Tokens:
        """Return the tokens of segments, in order; `segment_text` rises and names their text.

        A text without segments has no window.
        """
        encoded = self._tokenizer.encode_batch_fast(list(segments), add_special_tokens=False)
        ids = [e.ids for e in encoded]
        lengths = np.fromiter((len(i) for i in ids), np.int64, len(ids))
        flat = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
        return _windows(flat, lengths, np.asarray(segment_text, np.int64), self.room)


def _windows(flat: npt.NDArray[np.int32], lengths: Ints, texts: Ints, room: int) -> Tokens:
    window_ends: list[int] = []
    window_text: list[int] = []
    piece_ends: list[int] = []
    piece_segment: list[int] = []
    piece_window: list[int] = []
    end, filled, text = 0, room, -1
    for segment, (length, owner) in enumerate(zip(lengths.tolist(), texts.tolist(), strict=True)):
        left = length
        while left > 0 or length == 0:
            if owner != text or filled + min(left, room) > room:
                window_text.append(owner)
                window_ends.append(end)
                filled, text = 0, owner
            take = min(left, room)
            end, filled, left = end + take, filled + take, left - take
            window_ends[-1] = end
            piece_ends.append(end)
            piece_segment.append(segment)
            piece_window.append(len(window_ends) - 1)
            if length == 0:
                break
    columns = (window_ends, window_text, piece_ends, piece_segment, piece_window)
    return Tokens(flat, *(np.asarray(c, np.int64) for c in columns))
