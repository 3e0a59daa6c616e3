"""What reading a file gives, whatever its format: records, and rows that are none.

Comes in: nothing. Goes out: `Records`, whose columns can be asked for by name, and `Refused`.
Left out: reading (`formats`, `objects`) and what the columns mean (`mapping`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

WITHHELD: Final = "(not shown: it may name the author)"
ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no record: its number, why, and the row without its author."""

    row: int
    reason: str
    detail: str
    raw: str


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a file: lists of cells in the order of `names`, or JSON objects."""

    format: str
    names: list[str]
    rows: list[Any]
    numbers: list[int]
    refused: list[Refused]
    encoding: str | None = None
    separator: str | None = None

    def column(self, name: str) -> list[Any] | None:
        """Return the cells of a column; `a.b` reaches into `a`; None if there is none."""
        if name in self.names:
            return self._cells(name)
        head, _, tail = name.partition(".")
        while tail:
            if head in self.names:
                cells = [reach(cell, tail) for cell in self._cells(head)]
                if any(cell is not ABSENT for cell in cells) or not cells:
                    return [None if cell is ABSENT else cell for cell in cells]
            more, _, tail = tail.partition(".")
            head = f"{head}.{more}"
        return None

    def raw(self, index: int, author: str | None) -> str:
        """Return a record as it was read, without the cell of the author."""
        row = self.rows[index]
        hidden = _head(author, self.names)
        if self.format == "csv":
            shown = [c for name, c in zip(self.names, row, strict=True) if name != hidden]
            return (self.separator or ";").join(shown)
        pairs = row.items() if isinstance(row, dict) else zip(self.names, row, strict=True)
        return as_json({name: cell for name, cell in pairs if name != hidden})

    def _cells(self, name: str) -> list[Any]:
        if self.rows and isinstance(self.rows[0], dict):
            return [row.get(name) for row in self.rows]
        place = self.names.index(name)
        return [row[place] for row in self.rows]


def reach(value: Any, path: str) -> Any:
    """Return what lies at a dotted path in nested objects, or `ABSENT`."""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def _head(name: str | None, names: Sequence[str]) -> str | None:
    """Return the column in which a dotted name lies."""
    if name is None or name in names:
        return name
    heads = [other for other in names if name.startswith(f"{other}.")]
    return max(heads, key=len, default=None)


def as_json(value: Any) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)
