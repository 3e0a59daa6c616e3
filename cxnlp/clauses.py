"""Where a text is cut into clauses: about one opinion on one touchpoint each.

Comes in: a text, the places of its words and the hits found in it. Goes out: the place of
each clause. Left out: finding words and hits (`segment.py`). Sentence ends always cut; words
of contrast, commas and links cut where both sides carry enough of their own.
"""

import re
from bisect import bisect_left
from itertools import pairwise
from typing import Final, NamedTuple


class Hit(NamedTuple):
    """Words of a text that point to a label, as a number."""

    start: int
    end: int
    label: int


def clauses(
    text: str, words: list[tuple[int, int]], found: list[Hit], named: list[Hit]
) -> list[tuple[int, int]]:
    r"""Return where each clause begins and ends, in order; no break falls inside a hit.

    `words`: first and past-the-end character of each word and mark; `named`: the hits of
    touchpoints. All letters are in a clause, and no clause has outer white space.

    >>> text = "Chambre propre, M. Roux charmant, mais hors de prix. Dommage !"
    >>> words = [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)]
    >>> [text[a:b] for a, b in clauses(text, words, [], [Hit(0, 7, 1), Hit(16, 23, 2)])]
    ['Chambre propre,', 'M. Roux charmant,', 'mais hors de prix.', 'Dommage !']
    """
    inner = {at for hit in found for at in range(hit.start + 1, hit.end)}
    breaks = []
    for m in _BREAK.finditer(text):
        kind = m.lastgroup or ""
        at = m.end() if kind in ("end", "comma") else m.start()
        if kind != "none" and at not in inner:
            breaks.append((at, kind))
    starts = [a for a, b in words if text[a].isalnum() and text[a:b].lower() not in _LIGHT]
    cuts = [0]
    for (at, kind), (after, _) in pairwise([*breaks, (len(text), "")]):
        if kind == "end" or _apart(text, starts, named, kind, cuts[-1], at, after):
            cuts.append(at)
    cuts.append(len(text))
    if len(words) > _LONGEST:
        cuts = _shorter(text, [start for start, _ in words], inner, breaks, cuts)
    return _trimmed(text, cuts)


_BREAK: Final = re.compile(
    r"(?P<none>\b(?:M|MM|Mme|Mr|Mlle|Dr|Pr|St|Ste|[A-Z])\.(?=\s)"
    r"|\b(?i:etc|env|ex|cf|tel|tél|min|max|p|av|bd|\d{1,12}h?\d{0,12})\.(?=\s+[^\sA-ZÀ-Ý]))"
    r"|(?P<end>(?:[!…;]|\?(?![a-z\d])|\.{2,}|\.(?=[\s»”\")]|$)|(?<=[a-zà-ÿ]{2})\.(?=[A-ZÀ-Ý])"
    r"|(?<=[a-zà-ÿ]{3})(?<!www)\.(?!(?:com|net|org|info|gouv|html?|php)\b)(?=[a-zà-ÿ]{3}))"
    r"(?:\s?[.!?…;])*(?:\s?[»”]|[\")](?=\s|$))?"
    r"(?:[ \u00a0]?[\u2600-\u27bf\ufe0f\u200d\U0001f000-\U0001faff])*|\n)"  # emoji
    r"|(?P<comma>,(?!\d)|\s[-–—•*+]+\s|:(?=\s)|\),?(?=\s))"
    r"|\b(?i:(?P<turn>mais|malgr[ée]|sauf|hormis|[àa] part|except[ée]|bien que|m[êe]me si|alors que"
    r"|tandis que|(?:(?:seul|petit|gros) )?b[ée]mol|(?:c['’]est |quel )?dommage)"
    r"|(?P<adverb>par contre|en revanche|cependant|toutefois|n[ée]anmoins|pourtant|malheureusement)"
    r"|(?P<link>et|ainsi que|puis|car|parce qu))\b|(?P<bracket>\((?=\w))"
)
_FINITE: Final = re.compile(  # a verb with its subject, as far as single words can tell
    r"\b(?:est|sont|[ée]tai(?:s|t|ent)|ai|as|a|ont|av(?:ait|ais|aient)|sera|seront|fut|suis|peut"
    r"|faut|fait|va|vont|je|on|nous|ils?|elles?|vous|tu|j['’]|c['’])\b|\w(?:ons|ez|aient|ait)\b",
    re.IGNORECASE,
)
_LIGHT: Final = frozenset(
    (
        "un", "une", "le", "la", "les", "l'", "l’", "de", "du", "des", "d'", "d’", "et", "au",
        "aux", "en", "à", "ce", "cette", "ces", "mon", "ma", "mes", "nos", "notre",
    )
)  # fmt: skip
_LETTER: Final = re.compile(r"[^\W\d_]")
_LONGEST: Final = 60  # words and marks of a clause


def _apart(
    text: str, starts: list[int], named: list[Hit], kind: str, begin: int, at: int, after: int
) -> bool:
    """Tell whether text[begin:at] and text[at:after] each carry enough to stand alone."""
    middle = bisect_left(starts, at)
    left, right = middle - bisect_left(starts, begin), bisect_left(starts, after) - middle
    if left < 2 or right < 2:
        return False
    if (
        kind == "turn"
        or (kind == "adverb" and left > 3)
        or (kind == "comma" and min(left, right) > 2)
    ):
        return True
    here, there, last = (bisect_left(named, (place,)) for place in (begin, at, after))
    before = {hit.label for hit in named[here:there]}
    behind = {hit.label for hit in named[there:last]}
    if before and behind and before.isdisjoint(behind):
        return True
    finite = _FINITE.search(text, begin, at) and _FINITE.search(text, at, after)
    return min(left, right) > 3 and finite is not None


def _shorter(
    text: str, starts: list[int], inner: set[int], breaks: list[tuple[int, str]], cuts: list[int]
) -> list[int]:
    """Return `cuts` with more of them, until no clause is too long or it cannot be helped."""
    result, waiting = cuts[:1], cuts[:0:-1]
    while waiting:
        first, stop = bisect_left(starts, result[-1]), bisect_left(starts, waiting[-1])
        quarter, at = (stop - first) // 4, None
        if stop - first > _LONGEST:
            at = _near_middle(text, starts[first + quarter : stop - quarter], inner, breaks)
        if at is None:
            result.append(waiting.pop())
        else:
            waiting.append(at)
    return result


def _near_middle(
    text: str, starts: list[int], inner: set[int], breaks: list[tuple[int, str]]
) -> int | None:
    """Return the weak break, or else the space, nearest the middle of these words."""
    middle = starts[len(starts) // 2]
    first, last = (bisect_left(breaks, (at, "")) for at in (starts[0], starts[-1] + 1))
    weak = [at for at, _ in breaks[first:last]]
    spaces = [at for at in starts if text[at - 1].isspace()]
    for choices in (weak, spaces):
        if free := [at for at in choices if at not in inner]:
            return min(free, key=lambda at: abs(at - middle))
    return None


def _trimmed(text: str, cuts: list[int]) -> list[tuple[int, int]]:
    """Return the pieces without outer white space; one without letters joins a neighbour."""
    pieces: list[tuple[int, int]] = []
    for begin, end in pairwise(cuts):
        piece = text[begin:end]
        if not (bare := piece.strip()):
            continue
        start = begin + len(piece) - len(piece.lstrip())
        if pieces and not (_LETTER.search(bare) and _LETTER.search(text, *pieces[-1])):
            start = pieces.pop()[0]
        pieces.append((start, begin + len(piece.rstrip())))
    return pieces
