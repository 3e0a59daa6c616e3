"""Figures, dates and our own sentences as French print sets them.

Comes in: numbers, days, ids, sentences of ours. Goes out: text. Left out: what customers wrote,
which is shown as it is.
"""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final

THIN: Final = "\u202f"  # narrow no-break space
ALL: Final = "tout"
EVERY: Final = "toutes"
_MONTHS: Final = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août",
                  "septembre", "octobre", "novembre", "décembre")  # fmt: skip
_WORDS: Final = {
    "colere": "colère", "degout": "dégoût", "mepris": "mépris", "negatif": "négatif",
    "avis": "avis", "reseau_social": "réseau social", "enquete": "enquête", "email": "e-mail",
    "defensif": "défensif", "vide": "texte vide", "langue": "autre langue",
    "doublon": "doublon d’un autre",
}  # fmt: skip
_SPACES: Final = (
    (re.compile(r" (?=[:;!?»€]|%(?!\}))"), THIN),
    (re.compile(r"(?<=«) "), THIN),
    (re.compile(r"(?<=\d) (?=(?:commentaires?|mentions?|étoiles?|jours|h)\b)"), "\u00a0"),
    (re.compile(r"(?<=\w)'(?=\w)"), "’"),
)


def typeset(text: str) -> str:
    """Return a sentence of ours with the spaces and apostrophes of French print.

    >>> typeset("« Tarif » : 12 % d'avis").replace(THIN, "_")
    '«_Tarif_»_: 12_% d’avis'
    """
    for pattern, mark in _SPACES:
        text = pattern.sub(mark, text)
    return text


def number(value: float) -> str:
    """Return a count with thin spaces between thousands.

    >>> number(1234567).replace(THIN, "_")
    '1_234_567'
    """
    return f"{value:,.0f}".replace(",", THIN)


def decimal(value: float, digits: int = 1) -> str:
    """Return a number with a decimal comma and a true minus sign.

    >>> decimal(-0.84), decimal(3.456, 2), decimal(-0.04)
    ('−0,8', '3,46', '0,0')
    """
    shown = f"{value:.{digits}f}"
    if not float(shown):
        shown = shown.removeprefix("-")
    return shown.replace("-", "−").replace(".", ",")


def short(value: float) -> str:
    """Return a number with a decimal where it has one.

    >>> short(4.0), short(3.5)
    ('4', '3,5')
    """
    return decimal(value).removesuffix(",0")


def change(value: float) -> str:
    """Return a number with its sign, also when it is positive.

    >>> change(0.62), change(-1.4), change(0.01)
    ('+0,6', '−1,4', '0,0')
    """
    shown = decimal(value)
    return f"+{shown}" if value > 0 and shown != "0,0" else shown


def note(score: float) -> str:
    """Return a score of −1 … 1 as a signed note of −100 … +100.

    >>> note(-0.423), note(0.1), note(0.002)
    ('−42', '+10', '0')
    """
    value = round(score * 100)
    return f"+{value}" if value > 0 else str(value).replace("-", "−")


def percent(share: float) -> str:
    """Return a share of 0 … 1 in percent; what is not nothing is not shown as 0.

    >>> percent(0.374).replace(THIN, "_"), percent(0.001).replace(THIN, "_")
    ('37_%', '<_1_%')
    """
    if 0 < share < 0.005:
        return f"<{THIN}1{THIN}%"
    return f"{share * 100:.0f}{THIN}%"


def between(low: str, high: str) -> str:
    """Return an interval in words; one that is too narrow to show is said to be.

    >>> between("4", "7"), between("4", "4")
    ('de 4 à 7', 'intervalle plus étroit que l’arrondi')
    """
    return "intervalle plus étroit que l’arrondi" if low == high else f"de {low} à {high}"


def count(n: float, word: str, plural: str = "") -> str:
    """Return a number and its noun.

    >>> count(1, "commentaire"), count(0, "rejet"), count(12, "avis", "avis")
    ('1\\xa0commentaire', '0\\xa0rejet', '12\\xa0avis')
    """
    return f"{number(n)}\u00a0{word if n < 2 else plural or word + 's'}"


def day(value: dt.date) -> str:
    """Return a day in words.

    >>> day(dt.date(2026, 3, 1))
    '1er\\xa0mars\\xa02026'
    """
    first = "1er" if value.day == 1 else str(value.day)
    return f"{first}\u00a0{_MONTHS[value.month - 1]}\u00a0{value.year}"


def span(first: dt.date | None, last: dt.date | None) -> str:
    """Return a period in words, saying month and year once.

    >>> span(dt.date(2026, 9, 7), dt.date(2026, 11, 15)).replace("\\xa0", " ")
    'du 7 septembre au 15 novembre 2026'
    """
    if first is None or last is None:
        return "sans date"
    if first == last:
        return f"le {day(first)}"
    shown = day(first)
    if first.year == last.year:
        shown = shown.rpartition("\u00a0")[0]
        if first.month == last.month:
            shown = shown.rpartition("\u00a0")[0]
    return f"du {shown} au {day(last)}"


def period(name: str) -> str:
    """Return the name of a period of the tables in words.

    >>> period("2026-09"), period("tout")
    ('septembre 2026', 'Toute la période')
    """
    if name == ALL:
        return "Toute la période"
    year, _, month = name.partition("-")
    return f"{_MONTHS[int(month) - 1]} {year}"


def word(name: str) -> str:
    """Return an id of the tables as a reader would write it.

    >>> word("colere"), word("temps_praticite")
    ('colère', 'temps praticite')
    """
    return _WORDS.get(name, name.replace("_", " "))


def listed(names: Sequence[str]) -> str:
    """Return names as an enumeration.

    >>> listed(["Achat", "Accès", "Debrief"])
    'Achat, Accès et Debrief'
    """
    return " et ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def upper(text: str) -> str:
    """Return a text with a capital first letter and the rest as it is.

    >>> upper("écart SAV")
    'Écart SAV'
    """
    return text[:1].upper() + text[1:]


def within(text: str, start: int, end: int, room: int = 240) -> tuple[str, str, str]:
    """Return what stands before, in and after an excerpt, cut between words to about `room`.

    >>> within("Bel endroit, mais deux heures de queue au guichet.", 18, 38, room=32)
    ('… mais ', 'deux heures de queue', ' au …')
    """
    side = max((room - (end - start)) // 2, 0)
    first, last = max(start - side, 0), min(end + side, len(text))
    before, after = text[first:start], text[end:last]
    if first and not text[first - 1].isspace():
        before = before.partition(" ")[2]
    if last < len(text) and not text[last].isspace():
        after = after.rpartition(" ")[0]
    return (
        f"… {before.lstrip()}" if first else before,
        text[start:end],
        f"{after.rstrip()} …" if last < len(text) else after,
    )
