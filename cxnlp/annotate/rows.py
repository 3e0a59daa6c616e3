"""What one person said of one comment, whichever tool wrote it down.

Comes in: nothing. Goes out: `Annotated` and `Reject`, and the row of `docs/annotation.md` of an
`Annotated`. Left out: the formats of the tools (`labelstudio.py`, `doccano.py`, `own.py`), and
whether what was said is valid (`check.py`).
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Words of a text and what is said of them; `start` is −1 when they are not in the text."""

    start: int
    quote: str
    touchpoint: str | None
    levers: tuple[str, ...] = ()
    polarity: str | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.quote)


@dataclass(frozen=True, slots=True)
class Annotated:
    """A comment with labels, of a person or of the model before one.

    `finished` is false where the tool says that the person did not end; `settled` is true where
    it was marked as the one to keep. `why` tells why the comment was chosen.
    """

    id: str
    text: str
    sentiment: str | None
    emotions: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    hesitant: bool = False
    rating: float | None = None
    source: str = ""
    why: str = ""
    annotator: str = ""
    finished: bool = True
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was refused: where it is, why, and the row as it came."""

    file: str
    row: int
    id: str
    reason: str
    detail: str
    raw: Any


def place_at(
    text: str, start: int, end: int, touchpoint: str | None, levers: tuple[str, ...] = (),
    polarity: str | None = None,
) -> Place:  # fmt: skip
    """Return the place of characters [start, end) without the spaces at its ends.

    >>> place_at("Bel accueil ici", 3, 12, "personnel_accueil").quote
    'accueil'
    """
    inside = 0 <= start < end <= len(text)
    quote = text[start:end] if inside else ""
    shift = len(quote) - len(quote.lstrip())
    return Place(start + shift if inside else -1, quote.strip(), touchpoint, levers, polarity)


def own_row(one: Annotated) -> dict[str, Any]:
    """Return the row of `docs/annotation.md`; empty extras are left out."""
    extras = {
        "rating": one.rating, "source": one.source, "why": one.why, "annotator": one.annotator,
    }  # fmt: skip
    return {
        "id": one.id, "text": one.text, "s": one.sentiment, "e": list(one.emotions),
        "m": [
            {"q": p.quote, "start": p.start, "t": p.touchpoint, "l": list(p.levers),
             "p": p.polarity}
            for p in one.places
        ],
        "i": list(one.intents), "w": int(one.hesitant),
        **{key: value for key, value in extras.items() if value not in (None, "")},
    }  # fmt: skip
