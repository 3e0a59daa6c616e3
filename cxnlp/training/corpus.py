"""Training data → texts, labels and token arrays.

Comes in: a folder with `reviews.jsonl.gz` (text, rating) and `annotated_train.jsonl`,
`annotated_dev.jsonl` (the format of `docs/annotation.md`). Goes out: lists of `Example`, and
windows ready for the network. No spaCy here: what needs clauses gets them as an argument.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cxnlp import schema
from cxnlp.clean import clean_text
from cxnlp.errors import ConfigError
from cxnlp.model.network import Shape
from cxnlp.model.tokens import Tokenizer

_CLAUSE = re.compile(r"(?<=[.!?;…])\s+|\n+|\s+(?=mais\s|par contre\s|cependant\s|malgré\s)")


_KNOWN = {
    "s": schema.SENTIMENTS, "e": schema.EMOTIONS, "i": schema.INTENTS, "p": schema.POLARITIES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in a text: offsets (−1 if the quote is not in it), touchpoint, levers, polarity."""

    start: int
    end: int
    touchpoint: str
    levers: tuple[str, ...]
    polarity: str


@dataclass(frozen=True, slots=True)
class Example:
    """A comment with what is known of it; `rating` is 1–5 or None."""

    id: str
    text: str
    rating: float | None = None
    sentiment: str | None = None
    emotions: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Windows:
    """Comments as arrays: one window each (long ones are cut, for training only).

    `ids[i]` are the token ids of comment i, `piece_of[i]` the number of the segment of each
    token within the comment, `spans[i]` the characters [start, end) of each segment.
    """

    ids: list[npt.NDArray[np.int32]]
    piece_of: list[npt.NDArray[np.int32]]
    spans: list[list[tuple[int, int]]]


@lru_cache(maxsize=1)
def read_reviews(folder: Path) -> list[Example]:
    """Return the rated reviews of a folder, cleaned, without those that say nothing."""
    rows = _rows(folder / "reviews.jsonl.gz")
    examples = []
    for number, row in enumerate(rows):
        text = clean_text(row.get("text") or "")
        if len(text) > 2:
            rating = row.get("rating")
            rated = float(rating) if rating is not None else None
            examples.append(Example(str(number), text, rated, domain=row.get("domain", "")))
    return examples


def read_plain(folder: Path, most: dict[str, int]) -> list[str]:
    """Return texts of `plain_text.jsonl.gz`, at most so many of each set that `most` names."""
    left, texts = dict(most), []
    for row in _rows(folder / "plain_text.jsonl.gz"):
        if left.get(row["set"], 0) > 0 and len(row["text"]) > 15:
            left[row["set"]] -= 1
            texts.append(clean_text(row["text"][:2000]))
    return texts


def read_annotated(path: Path, data: Path | None = None) -> list[Example]:
    """Return annotated comments. Text is taken as it stands, so that mentions stay in place.

    A row without a text names a `review`, the line number (from 0) in `reviews.jsonl.gz` of the
    folder `data`: its cleaned text must have the `digest` of the row. Raises `ConfigError` naming
    the line that is not as `docs/annotation.md` has it.
    """
    examples: list[Example] = []
    reviews: dict[str, Example] = {}
    for number, row in enumerate(_rows(path), 1):
        try:
            if "text" not in row:
                reviews = reviews or {e.id: e for e in read_reviews(data or path.parent)}
                row = _with_text(row, reviews)
            examples.append(_annotated(row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"{path}:{number}: not an annotation as docs/annotation.md has it: {error!r}"
            ) from error
    return examples


def _with_text(row: dict[str, Any], reviews: dict[str, Example]) -> dict[str, Any]:
    review = reviews[str(row["review"])]
    if text_digest(review.text) != row["digest"]:
        raise ValueError(f"the text of review {row['review']} is not the one that was annotated")
    mentions = [{**m, "q": review.text[m["start"] : m["end"]]} for m in row["m"]]
    return {**row, "id": f"review-{row['review']}", "text": review.text, "m": mentions,
            "rating": review.rating, "domain": review.domain}  # fmt: skip


def text_digest(text: str) -> str:
    """Return the first 16 digits of the SHA-256 of a text.

    >>> text_digest("Rien à redire.")
    'e0d608dabe2c92e3'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _annotated(row: dict[str, Any]) -> Example:
    given = {"s": [row["s"]], "e": row["e"], "i": row["i"], "p": [m["p"] for m in row["m"]]}
    for key, known in _KNOWN.items():
        if unknown := set(given[key]) - set(known):
            raise ValueError(f"{key}: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    text, mentions, after = row["text"], [], 0
    for m in row["m"]:
        start = m["start"] if "start" in m else text.find(m["q"], after)
        start = start if start >= 0 else text.find(m["q"])
        end = start + len(m["q"]) if start >= 0 else -1
        after = max(after, end)
        mentions.append(Mention(start, end, m["t"], tuple(m["l"]), m["p"]))
    rating = row.get("rating")
    return Example(
        row["id"], text, float(rating) if rating is not None else None, row["s"],
        tuple(row["e"]), tuple(row["i"]), tuple(mentions), row.get("domain", ""),
    )  # fmt: skip


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; see docs/training.md for what the folder holds")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{path}:{number}: not a line of JSON: {error}") from error


def rough_clauses(text: str) -> list[tuple[int, int]]:
    """Return clauses by punctuation alone, good enough where no annotation looks at them.

    >>> rough_clauses("Bel accueil. Plat froid mais bon vin")
    [(0, 12), (13, 23), (24, 36)]
    """
    spans, start = [], 0
    for cut in _CLAUSE.finditer(text):
        if text[start : cut.start()].strip():
            spans.append((start, cut.start()))
            start = cut.end()
    if text[start:].strip():
        spans.append((start, len(text)))
    return spans


def windows(
    texts: Iterable[str], spans: list[list[tuple[int, int]]], tokenizer: Tokenizer, cut: int,
    change: Callable[[str], str] | None = None,
) -> Windows:  # fmt: skip
    """Return token arrays of at most `cut` tokens a comment; `change` rewrites each segment."""
    segments, owner = [], []
    for number, (text, some) in enumerate(zip(texts, spans, strict=True)):
        segments += [change(text[a:b]) if change else text[a:b] for a, b in some]
        owner += [number] * len(some)
    tokens = tokenizer.encode(segments, np.asarray(owner, np.int64))
    piece_numbers = np.repeat(np.arange(len(tokens.piece_ends)), tokens.piece_lengths)
    segment = tokens.piece_segment[piece_numbers]
    text_of = np.asarray(owner, np.int64)[segment]
    first = np.searchsorted(np.asarray(owner), np.arange(len(spans)))
    bounds = np.searchsorted(text_of, np.arange(len(spans) + 1))
    ids, pieces = [], []
    for number in range(len(spans)):
        kept = slice(int(bounds[number]), min(int(bounds[number + 1]), int(bounds[number]) + cut))
        ids.append(tokens.ids[kept])
        pieces.append((segment[kept] - first[number]).astype(np.int32))
    return Windows(ids, pieces, spans)


def collate(
    data: Windows, rows: npt.NDArray[np.int64], cues: npt.NDArray[np.float32] | None, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, token_piece, piece_window, cues and the segment number of each piece."""
    length = max(len(data.ids[r]) for r in rows) + 2
    ids = np.full((len(rows), length), shape.pad_token_id, np.int64)
    piece = np.full((len(rows), length), -1, np.int64)
    window, segment, base = [], [], 0
    for k, r in enumerate(rows):
        some = data.ids[r]
        ids[k, 0], ids[k, len(some) + 1] = shape.bos_token_id, shape.eos_token_id
        ids[k, 1 : len(some) + 1] = some
        count = int(data.piece_of[r].max()) + 1 if len(some) else 0
        piece[k, 1 : len(some) + 1] = data.piece_of[r] + base
        window += [k] * count
        segment += list(range(count))
        base += count
    heard = np.zeros((base, shape.cues), np.float32) if cues is None else cues
    return (
        torch.from_numpy(ids), torch.from_numpy(piece), torch.tensor(window, dtype=torch.int64),
        torch.from_numpy(heard), torch.tensor(segment, dtype=torch.int64),
    )  # fmt: skip
