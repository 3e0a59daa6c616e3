"""Text as written → text as analysed: repair, mask, language, duplicates.

Comes in: a column of texts. Goes out: columns of as many rows in the same order. The text is
repaired (`cxnlp.repair`) and masked (`cxnlp.masks`), its language told (`cxnlp.language`);
what is not to be analysed is named, never removed.
Left out: spelling, case, accents and emoji, which the model reads as they are; near duplicates.
"""

import re
import unicodedata
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp.language import language
from cxnlp.masks import KINDS, mask
from cxnlp.repair import SUSPECT, clean_text

__all__ = [
    "KINDS", "VERSION", "Cleaned", "clean", "clean_column", "clean_text", "duplicates", "language",
    "mask",
]  # fmt: skip

_LONG: Final = 40  # characters from which two people do not write the same by chance
_SHORT: Final = "court:"
_DAY: Final = 86_400_000_000
_ROUNDS: Final = 16
_NO_LETTER: Final = bytes(code for code in range(128) if not chr(code).isalnum())
_LETTER_BEYOND: Final = re.compile(r"[^\W\x00-\x7f]")
_MARK: Final = re.compile(r"\[(?:lien|compte|email|telephone|iban|carte|nir|nom)\]")
_SMILEY: Final = re.compile(r"[:;]['’]?-?[()\[\]/\\@*]|\( ?[:;]|-_-|\*_\*")

VERSION: Final = "1"  # of the cleaning; a model card names the one it was trained with


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Columns, one row per text given, in the same order; all are strings that may be null."""

    texts: pa.Array  # cleaned and masked; null where nothing is left
    languages: pa.Array  # ISO 639-1; null where there are no words
    set_aside: pa.Array  # `vide`: nothing to read; `langue`: not one to keep; null: analyse it
    digests: pa.Array  # of the text (blake2b, 128 bits): same text, same answers
    duplicate_keys: pa.Array  # what `duplicates` compares; null where there are no words


def clean(
    texts: pa.Array | pa.ChunkedArray,
    keep: tuple[str, ...] = ("fr",),
    mask: tuple[str, ...] = KINDS,
) -> Cleaned:
    """Return the cleaned columns of `texts`; `keep` names the languages to analyse.

    A text without words (« 👍👍 », « 5/5 ») has no language and is kept.

    >>> cleaned = clean(pa.array(["Très  bien&nbsp;!", "Very good hotel", " ", None]))
    >>> cleaned.texts.to_pylist(), cleaned.set_aside.to_pylist()
    (['Très bien !', 'Very good hotel', None, None], [None, 'langue', 'vide', 'vide'])
    """
    cleaned = clean_column(texts, mask)
    cleaned = pc.if_else(pc.equal(cleaned, ""), pa.scalar(None, pa.string()), cleaned)
    rows = cleaned.to_pylist()
    languages = [None if text is None else language(text) for text in rows]
    kept = frozenset([None, *keep])
    reasons = [
        "vide" if text is None or (code is None and _is_mute(text))
        else None if code in kept
        else "langue"
        for text, code in zip(rows, languages, strict=True)
    ]  # fmt: skip
    return Cleaned(
        texts=cleaned,
        languages=pa.array(languages, pa.string()),
        set_aside=pa.array(reasons, pa.string()),
        digests=pa.array([None if text is None else _digest(text) for text in rows], pa.string()),
        duplicate_keys=pa.array([_duplicate_key(text) for text in rows], pa.string()),
    )


def clean_column(texts: pa.Array | pa.ChunkedArray, mask: tuple[str, ...] = KINDS) -> pa.Array:
    """Return `texts` repaired and masked, nothing else: for titles and answers; nulls stay null.

    >>> clean_column(pa.array(["Appelez le 06 99 00 12 34", None]), ("telephone",)).to_pylist()
    ['Appelez le [telephone]', None]
    """
    texts = _whole(texts).cast(pa.string())
    suspect = np.flatnonzero(
        pc.fill_null(pc.match_substring_regex(texts, SUSPECT), False).to_numpy(zero_copy_only=False)
    )
    if not len(suspect):
        return texts
    repaired = [_written(text, mask) for text in texts.take(pa.array(suspect)).to_pylist()]
    chosen = np.zeros(len(texts), dtype=bool)
    chosen[suspect] = True
    return pc.replace_with_mask(texts, pa.array(chosen), pa.array(repaired, pa.string()))


def duplicates(comments: pa.Table) -> pa.Array:
    """Return, per comment, the comment_id that it repeats, or null.

    Reads comment_id, published_at, author_key and duplicate_key (`Cleaned.duplicate_keys`).
    Long texts that say the same are duplicates whoever wrote them; short ones (their key begins
    with `court:`) only when one author wrote both on one UTC day. The earliest is kept, a
    comment without a date coming last, then the smallest comment_id.
    """
    code, author, day, at = _compared(comments)
    rows = np.flatnonzero(code >= 0)
    rows = rows[np.bincount(code[rows])[code[rows]] > 1] if len(rows) else rows
    kept_by = np.full(comments.num_rows, -1)
    if len(rows):
        ids = _whole(comments["comment_id"]).take(pa.array(rows))
        place = np.empty(len(rows), dtype=np.int64)
        place[pc.sort_indices(ids).to_numpy()] = np.arange(len(rows))
        rows = rows[np.lexsort((place, at[rows], day[rows], author[rows], code[rows]))]
        same = np.ones(len(rows), dtype=bool)  # as the row before
        same[0] = False
        for values in (code, author, day):
            same[1:] &= values[rows][1:] == values[rows][:-1]
        first = np.maximum.accumulate(np.where(same, 0, np.arange(len(rows))))
        kept_by[rows[same]] = rows[first[same]]
    return _whole(comments["comment_id"]).take(pa.array(kept_by, mask=kept_by < 0))


def _written(text: str, kinds: tuple[str, ...]) -> str:
    """Repaired and masked, until neither finds anything left to do."""
    for _ in range(_ROUNDS):
        repaired = clean_text(text)
        text = mask(repaired, kinds)
        if text == repaired:
            break
    return text


def _is_mute(text: str) -> bool:
    """Whether nothing but punctuation and marks is left: no letter, digit, emoji or « :) »."""
    text = _MARK.sub("", text)
    seen = any(unicodedata.category(char)[0] in "LNS" for char in text)
    return not seen and not _SMILEY.search(text)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _duplicate_key(text: str | None) -> str | None:
    """Digest of the letters and digits alone: no case, accent, punctuation or space."""
    if text is None:
        return None
    plain = unicodedata.normalize("NFKD", text.casefold())
    if _LETTER_BEYOND.search(plain):
        letters = "".join(char for char in plain if char.isalnum()).encode()
    else:
        letters = plain.encode("ascii", "ignore").translate(None, _NO_LETTER)
    if not letters:
        return None
    digest = blake2b(letters, digest_size=16).hexdigest()
    return digest if len(letters) >= _LONG else f"{_SHORT}{digest}"


def _compared(comments: pa.Table) -> tuple[Any, Any, Any, Any]:
    """Per row: numbers of its key (−1: no duplicate of any), author and day, and its time.

    Author and day of a long text are 0, since they do not count.
    """
    key, author = _whole(comments["duplicate_key"]), _whole(comments["author_key"])
    at = _whole(comments["published_at"]).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    short = pc.fill_null(pc.starts_with(key, _SHORT), False)
    unknown = pc.and_(short, pc.or_(pc.is_null(author), pc.is_null(at)))
    at = pc.fill_null(at, np.iinfo(np.int64).max).to_numpy()
    is_short = short.to_numpy(zero_copy_only=False)
    code = np.where(unknown.to_numpy(zero_copy_only=False), -1, _numbered(key))
    return (
        code,
        np.where(is_short, _numbered(author), 0),
        np.where(is_short, at // _DAY, 0),
        at,
    )


def _numbered(values: pa.Array) -> Any:
    """A number for each distinct value, −1 for null."""
    return pc.fill_null(values.dictionary_encode().indices, -1).to_numpy().astype(np.int64)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
