"""The words of a text that show a mention: its clause, or in a long one what is around the trigger.

Comes in: texts, their segments and hits, and the segment and touchpoint of each mention. Goes
out: where each excerpt begins and ends in its text. Left out: what the mention says (`fuse.py`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxnlp.segment import Segmented

Ints = npt.NDArray[np.int64]
LONG_CLAUSE = 12  # words; in a longer one the excerpt is the trigger and the words around it


def places(
    texts: Sequence[str], segmented: Segmented, labels: Sequence[tuple[str, str]], segment: Ints,
    touchpoint: Ints, ids: Sequence[str],
) -> tuple[Ints, Ints]:  # fmt: skip
    """Return first and past-the-end character of each mention's excerpt.

    `segment` and `touchpoint` (a place in `ids`, −1 for none) have a row for each mention.
    """
    segments, hits = segmented.segments, segmented.hits
    number = {name: i for i, name in enumerate(ids)}
    of = np.array([number[n] if kind == "touchpoint" else -1 for kind, n in labels] or [-1])
    some = np.flatnonzero(of[hits.label] >= 0)
    columns = (hits.segment[some], of[hits.label[some]], hits.start[some], hits.end[some])
    trigger = {
        (s, t): (a, b) for s, t, a, b in zip(*(c.tolist() for c in columns), strict=True)
    }  # of several the last
    spans = zip(
        segments.text[segment].tolist(), segments.start[segment].tolist(),
        segments.end[segment].tolist(), segment.tolist(), touchpoint.tolist(), strict=True,
    )  # fmt: skip
    found = np.empty((len(segment), 2), np.int64)
    for k, (text, start, end, *key) in enumerate(spans):
        span, words = (start, end), trigger.get((key[0], key[1]))
        if words:
            span = _excerpt(texts[text], span, words)
        found[k] = _trimmed(texts[text], span)
    return found[:, 0], found[:, 1]


def _excerpt(text: str, clause: tuple[int, int], trigger: tuple[int, int]) -> tuple[int, int]:
    """The clause, or in a long one the trigger with some five words on each side.

    >>> _excerpt("un mot " * 10 + "la file d'attente " + "un mot " * 10, (0, 156), (73, 87))
    (56, 101)
    """
    if len(text[clause[0] : clause[1]].split()) <= LONG_CLAUSE:
        return clause
    before = text[clause[0] : trigger[0]].split()[-5:]
    start = trigger[0]
    for word in reversed(before):
        start = text.rindex(word, clause[0], start)
    end = trigger[1]
    for word in text[trigger[1] : clause[1]].split()[:4]:
        end = text.index(word, end, clause[1]) + len(word)
    return start, end


def _trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Leave out a comma or dash at either end.

    >>> _trimmed("Accueil charmant, mais", (0, 17))
    (0, 16)
    """
    words = text[span[0] : span[1]]
    inner = words.strip(" ,;:-–—(") or words
    start = span[0] + words.index(inner)
    return start, start + len(inner)
