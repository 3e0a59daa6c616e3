"""Groups of a gold file's comments whose figures are looked at apart.

Comes in: the gold file and its comments. Goes out: row numbers per value of each column asked
for: a key of the gold file's lines (`domain`, `source`, …), or what a text shows (`length`,
`accents`, `emoji`).
"""

import gzip
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxnlp.errors import UsageError
from cxnlp.training.corpus import Example

Ints = npt.NDArray[np.int64]
LEAST = 10  # comments; figures of fewer say nothing
_SHORT, _LONG = 100, 400  # characters
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_LABELS = ("id", "text", "s", "e", "m", "i")


def slices(
    gold: Path, examples: list[Example], columns: Iterable[str]
) -> dict[str, dict[str, Ints]]:
    """Return {column: {value: row numbers}}, values by name; raises `UsageError` for a column
    that neither the texts nor the lines of the file have.

    Values of fewer than `LEAST` comments are joined as « (rare) », absent ones are « (none) ».
    """
    return {column: _grouped(_values(gold, examples, column)) for column in columns}


def accented(text: str) -> str:
    """Return whether a text has a letter with an accent.

    >>> accented("Très bien"), accented("Tres bien")
    ('with', 'without')
    """
    marks = any(unicodedata.combining(c) for c in unicodedata.normalize("NFD", text))
    return "with" if marks else "without"


def _length(text: str) -> str:
    if len(text) < _SHORT:
        return f"below {_SHORT}"
    return f"{_SHORT} to {_LONG}" if len(text) <= _LONG else f"over {_LONG}"


def _emoji(text: str) -> str:
    return "with" if _EMOJI.search(text) else "without"


_OF_TEXT: dict[str, Callable[[str], str]] = {
    "length": _length, "accents": accented, "emoji": _emoji,
}  # fmt: skip


def _values(gold: Path, examples: list[Example], column: str) -> list[str]:
    if column in _OF_TEXT:
        return [_OF_TEXT[column](e.text) for e in examples]
    with gzip.open(gold) if gold.suffix == ".gz" else gold.open("rb") as lines:
        rows = [json.loads(line) for line in lines]
    known = sorted({key for row in rows for key in row} - {*_LABELS, *_OF_TEXT})
    if column not in known:
        raise UsageError(
            f"--by {column}: {gold} has no such column; expected one of "
            f"{', '.join([*_OF_TEXT, *known])}"
        )
    values = [row.get(column) for row in rows]
    return ["(none)" if v in (None, "") else str(v) for v in values]


def _grouped(values: list[str]) -> dict[str, Ints]:
    groups: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        groups.setdefault(value, []).append(row)
    rare = sorted(row for rows in groups.values() if len(rows) < LEAST for row in rows)
    found = {v: np.array(rows) for v, rows in sorted(groups.items()) if len(rows) >= LEAST}
    return {**found, **({"(rare)": np.array(rare)} if rare else {})}
