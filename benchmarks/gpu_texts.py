"""Comments as long as real ones, and their tokens, without spaCy or the configuration.

Comes in: how many. Goes out: texts of the annotations' sentences; token ids drawn at random, which
cost a network what real ones do. Lengths are those of `texts.py`. Left out: meaning.
"""

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxnlp.model.tokens import Tokens, _windows

MEDIAN, SPREAD, LONGEST = 29.0, 0.9935, 512
_CLAUSE = re.compile(r"(?<=[.!?;,:…])\s+")
_WORD = 1.45  # tokens of a French word, with its punctuation
_PIECE = 14  # tokens of a clause


def sizes(count: int, seed: int = 5) -> npt.NDArray[np.int64]:
    """Return lengths in tokens of comments."""
    random = np.random.default_rng(seed)
    drawn = random.lognormal(np.log(MEDIAN), SPREAD, count)
    return np.clip(drawn, 1, LONGEST).astype(np.int64)


def texts(count: int, folder: Path) -> list[str]:
    """Return comments of the sentences that `folder/annotations` has."""
    rows = (folder / "annotations" / "written.jsonl").read_text("utf-8").splitlines()
    words = " ".join(json.loads(row)["text"] for row in rows).split()
    starts = np.random.default_rng(6).integers(0, len(words), count).tolist()
    long = (sizes(count) / _WORD).astype(np.int64).clip(1).tolist()
    words += words[:LONGEST]
    return [" ".join(words[a : a + n]) for a, n in zip(starts, long)]


def pieces(column: list[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the clauses of texts, and the text that each is of."""
    cut = [_CLAUSE.split(text) for text in column]
    return [s for some in cut for s in some], np.repeat(np.arange(len(cut)), [len(c) for c in cut])


def token_ids(count: int, vocabulary: int, room: int) -> Tokens:
    """Return the tokens of comments in clauses, as a tokenizer would for windows of `room`."""
    lengths = sizes(count)
    parts = -(-lengths // _PIECE)
    owner = np.repeat(np.arange(count), parts)
    inside = np.full(len(owner), _PIECE, np.int64)
    inside[np.cumsum(parts) - 1] = lengths - _PIECE * (parts - 1)
    ids = np.random.default_rng(7).integers(10, vocabulary, int(lengths.sum()))
    return _windows(ids.astype(np.int32), inside, owner, room)
