"""Read the cells of a column: texts, marks and dates as people and platforms write them.

Comes in: a column of cells of any type. Goes out: the column in the type of `schema.RAW`
(dates as microseconds since 1970 in UTC), and for each row that cannot be read, why.
Left out: guessing. A day and a month in doubt, or a mark without its scale, are refused.

Dates without an offset are in the source's time zone. An hour that occurs twice (end of
summer time) is the first of the two; an hour that does not exist (its start) is read with
the offset before the change. A date without a time, or at midnight exactly and without an
offset, is a day and not an instant: it is kept as midnight UTC, so that its UTC day is the
day that was written.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

FIRST_YEAR: Final = 1990
AHEAD: Final = timedelta(days=2)

_NOTHING: Final = frozenset({"", "-", "—", "n/a", "na", "nan", "nat", "none", "null"})
_WORDS: Final = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0}
_UNSTATED: Final = "star_rating_unspecified"
_MARK: Final = re.compile(
    r"([+-]?\d+(?:[.,]\d+)?)\s*(?:(?:/|sur|out of)\s*(\d+(?:[.,]\d+)?))?\s*(?:étoiles?|stars?)?",
    re.IGNORECASE,
)
_STARS: Final = re.compile(r"([★⭐]*)([☆✩]*)")
_MONTH_NAMES: Final = {
    name: number
    for number, names in enumerate(
        (
            "janvier janv jan", "février fevrier févr fevr fév fev", "mars", "avril avr", "mai",
            "juin", "juillet juil", "août aout", "septembre sept sep", "octobre oct",
            "novembre nov", "décembre decembre déc dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_ENGLISH: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_TIME: Final = (
    r"(?:(?:\s*,)?(?:\s+à)?[\sT]+(?P<h>\d{1,2})\s*[:hH]\s*(?P<mi>\d{2})?"
    r"(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
)
_WRITTEN: Final = tuple(
    re.compile(shape + _TIME, re.IGNORECASE)
    for shape in (
        r"(?P<d>\d{1,2})([/.-])(?P<m>\d{1,2})\2(?P<y>\d{4})",
        r"(?P<y>\d{4})([/.-])(?P<m>\d{1,2})\2(?P<d>\d{1,2})",
        r"(?:le\s+)?(?:(?:lun|mar|mercre|jeu|vendre|same)di,?\s+|dimanche,?\s+)?"
        r"(?:(?P<d>\d{1,2})(?:er)?\s+)?(?P<month>[a-zéûà]{3,9})\.?\s+(?P<y>\d{4})",
    )
)
_TWITTER: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d{1,2}) (\d\d):(\d\d):(\d\d) ([+-]\d{4}) (\d{4})"
)
_MAIL: Final = re.compile(r"(?:[A-Za-z]{3}, )?\d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d(?::\d\d)? .+")
_ISO: Final = re.compile(r"\d{4}-?\d\d-?\d\d(?:[T ].*)?")
_NUMBER: Final = re.compile(r"-?\d{9,16}(?:\.\d+)?")
_EXCEL_DAY_0: Final = datetime(1899, 12, 30)  # Excel has no zones
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def texts(cells: Sequence[Any], *, strip: bool = True) -> list[str | None]:
    """Return each cell as a string, None where it is blank.

    >>> texts([" Lyon ", 17.0, None, ""])
    ['Lyon', '17', None, None]
    >>> texts([" Très bien ! "], strip=False)
    [' Très bien ! ']
    """
    found = [cell if type(cell) is str else as_text(cell) for cell in cells]
    if strip:
        return [(text.strip() or None) if text is not None else None for text in found]
    return [text if text is not None and text.strip() else None for text in found]


def as_text(cell: Any) -> str | None:
    """Return one cell as a person would write it: 17 and not 17.0, a date as ISO 8601."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        return str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, dict | list):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def ratings(
    cells: Sequence[Any], scale: tuple[float, float] | None
) -> tuple[list[float | None], dict[int, str]]:
    """Return marks mapped to 1–5, and for each row that has none that can be read, why.

    Without a scale a mark is taken as it is, `8/10` is read on 0–10, and `4/5` is 4.

    >>> ratings(["4,5", "8/10", "★★★★☆", "FOUR", "", "12"], None)
    ([4.5, 4.2, 4.0, 4.0, None, None], {5: "'12' is not a mark from 1 to 5"})
    >>> ratings([10, "0", "7,5"], (0, 10))
    ([5.0, 1.0, 4.0], {})
    """
    return _each(cells, lambda cell: _rating(cell, scale))


def dates(
    cells: Sequence[Any],
    zone: str,
    stated: str | None = None,
    *,
    excel: bool = False,
    now: datetime | None = None,
) -> tuple[list[int | None], dict[int, str]]:
    """Return microseconds since 1970 in UTC, and for each row that is no date, why.

    `stated` is a strptime format tried first; `excel` also reads Excel's day numbers.

    >>> dates(["14/09/2026 à 10h05", "31/02/2026"], "Europe/Paris")
    ([1789373100000000, None], {1: "'31/02/2026' is not a date"})
    """
    home, latest = ZoneInfo(zone), (now or datetime.now(UTC)) + AHEAD

    def read(cell: Any) -> int | None:
        moment = _moment(cell, stated, excel)
        if moment is None:
            return None
        moment = _in_utc(moment, home)
        if moment.year < FIRST_YEAR:
            raise ValueError(f"is before {FIRST_YEAR}")
        if moment > latest:
            raise ValueError("is in the future")
        return (moment - _EPOCH) // _MICROSECOND

    return _each(cells, read)


def _each(cells: Sequence[Any], read: Callable[[Any], Any]) -> tuple[list[Any], dict[int, str]]:
    """Read each distinct cell once."""
    known: dict[tuple[type, Any], tuple[Any, str | None]] = {}
    values, problems = [], {}
    for row, cell in enumerate(cells):
        key = (type(cell), cell if cell.__hash__ else str(cell))
        if key not in known:
            try:
                known[key] = (read(cell), None)
            except (ValueError, OverflowError) as error:
                shown = (as_text(cell) or "")[:80]
                known[key] = (None, f"{shown!r} {error}")
        value, problem = known[key]
        values.append(value)
        if problem:
            problems[row] = problem
    return values, problems


def _rating(cell: Any, scale: tuple[float, float] | None) -> float | None:
    low, high = scale or (1.0, 5.0)
    refusal = ValueError(f"is not a mark from {low:g} to {high:g}")
    if isinstance(cell, bool | dict | list):
        raise refusal
    text = (as_text(cell) or "").strip().replace("\ufe0f", "")
    if text.casefold() in _NOTHING or text.casefold() == _UNSTATED:
        return None
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    out_of: float | None
    if stars := _STARS.fullmatch(text):
        mark, out_of = float(len(stars[1])), max(float(len(text)), 5.0)
    elif number := _MARK.fullmatch(text):
        mark = float(number[1].replace(",", "."))
        out_of = float(number[2].replace(",", ".")) if number[2] else None
    else:
        raise refusal
    if out_of is not None and out_of != high:
        if scale or not out_of:
            raise refusal
        low, high = 0.0, out_of
    if not low <= mark <= high:
        raise ValueError(f"is not a mark from {low:g} to {high:g}")
    return round(1 + 4 * (mark - low) / (high - low), 6)


def _moment(cell: Any, stated: str | None, excel: bool) -> datetime | None:
    """Return what the cell says, with or without an offset; None if it is blank."""
    if isinstance(cell, datetime):
        return None if cell != cell else cell  # pandas' NaT is not equal to itself
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)  # see _in_utc
    if isinstance(cell, float | int) and not isinstance(cell, bool):
        if cell != cell:
            return None
        if excel and 1 <= cell < 200_000:
            return _EXCEL_DAY_0 + timedelta(seconds=round(cell * 86_400))
    text = " ".join((as_text(cell) or "").split())
    if text.casefold() in _NOTHING:
        return None
    if stated:
        try:
            return datetime.strptime(text, stated)  # see _in_utc
        except ValueError:
            pass
    try:
        moment = _iso(text) or _number(text) or _written(text) or _mailed(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError("is not a date" + (f" such as {stated!r}" if stated else ""))
    return moment


def _iso(text: str) -> datetime | None:
    if not _ISO.fullmatch(text):
        return None
    for name in (" UTC", " GMT", "Z"):
        text = text.removesuffix(name) + "+00:00" if text.endswith(name) else text
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _number(text: str) -> datetime | None:
    """Seconds, milliseconds or microseconds since 1970, told apart by their size."""
    if not _NUMBER.fullmatch(text):
        return None
    since = float(text)
    unit = 1 if abs(since) < 1e11 else 1_000 if abs(since) < 1e14 else 1_000_000
    return _EPOCH + timedelta(seconds=since / unit)


def _written(text: str) -> datetime | None:
    for shape in _WRITTEN:
        if found := shape.fullmatch(text):
            part = found.groupdict()
            month = part.get("m") or _MONTH_NAMES.get((part.get("month") or "").casefold(), 0)
            fraction = int(((part["f"] or "") + "000000")[:6])
            hour, minute, second = (int(part[name] or 0) for name in ("h", "mi", "s"))
            day = (int(part["y"]), int(month), int(part["d"] or 1))
            return datetime(*day, hour, minute, second, fraction)  # see _in_utc
    return None


def _mailed(text: str) -> datetime | None:
    """Dates of Twitter and of e-mail, whose months are English in every locale."""
    if found := _TWITTER.fullmatch(text):
        month, day, hour, minute, second, offset, year = found.groups()
        number = _ENGLISH.index(month.lower()) + 1
        return datetime.fromisoformat(
            f"{year}-{number:02}-{int(day):02}T{hour}:{minute}:{second}{offset}"
        )
    return parsedate_to_datetime(text) if _MAIL.fullmatch(text) else None


def _in_utc(moment: datetime, home: ZoneInfo) -> datetime:
    if moment.tzinfo is None:
        whole_day = not (moment.hour or moment.minute or moment.second or moment.microsecond)
        moment = moment.replace(tzinfo=UTC if whole_day else home)
    return moment.astimezone(UTC)
