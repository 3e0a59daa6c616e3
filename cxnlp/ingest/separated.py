"""Read separated values (CSV), keeping good rows whatever stands beside them.

Comes in: the lines of a file. Goes out: the header, the records that have as many cells as it,
and the spans of lines that could not be read. Left out: what the cells mean.

A record that breaks the rules of quoting is read a second time line by line: with quotes that
were not doubled, if that gives the right number of cells; else its lines are given up until one
that begins a good record. A quote that is never closed may by chance meet a later one and leave
the right number of cells: a record of several lines is therefore looked into for lines that are
records themselves, told by the columns that hold only numbers and dates.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cxnlp.errors import SourceError

SEPARATORS: Final = (";", ",", "\t", "|")
_NONE: Final = "\x1f"  # stands for the separator where the file has one column
_SAMPLE: Final = 500
_FAR: Final = 100  # lines that one record may take when it has to be mended
_FORMAL: Final = re.compile(r"[\d\s.,:/+TZ★☆-]*[\d★][\d\s.,:/+TZ★☆-]*")
_STATES: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_OPENING: Final = re.compile(r' *"')
_QUOTES: Final = re.compile(r'("+) *')
_CELL_LIMIT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """A record, or lines that are none: first line, the one past the last, the cells."""

    first: int
    end: int
    cells: list[str] | None


@dataclass(frozen=True, slots=True)
class Separated:
    """A header and its spans in the order of the file, blank lines left out."""

    names: list[str]
    separator: str | None
    spans: list[Span]


def read_separated(lines: list[str], stated: str | None, wanted: Iterable[str]) -> Separated:
    """Return the records of a file whose first line that is not blank is the header.

    Of the separators, the one under which the header has most of the `wanted` names is taken,
    then the one on which most rows agree.

    >>> file = ["Note;Avis\\n", '5;"Très ""bien"" !"\\n', "3;Bof;non\\n"]
    >>> [span.cells for span in read_separated(file, None, ["Avis"]).spans]
    [['5', 'Très "bien" !'], ['3', 'Bof', 'non']]
    """
    limit = csv.field_size_limit(_CELL_LIMIT)
    try:
        return _read(lines, stated, frozenset(name.casefold() for name in wanted))
    finally:
        csv.field_size_limit(limit)


def _read(lines: list[str], stated: str | None, wanted: frozenset[str]) -> Separated:
    first = next((n for n, line in enumerate(lines) if line.strip("\ufeff \r\n")), None)
    if first is None:
        raise SourceError("there is no header, only blank lines; export again")
    if says := _STATES.fullmatch(lines[first].lstrip("\ufeff")):
        stated, first = stated or says[1], first + 1
    lines = [line.lstrip("\ufeff") if n == first else line for n, line in enumerate(lines)]
    separator = stated or _find_separator(lines, first, wanted)
    names, start = _header(lines, first, separator)
    reader = _Reader(lines, separator, len(names), start)
    spans = [_fitted(span, names) for span in reader.spans(start)]
    return Separated(names, None if separator == _NONE else separator, spans)


def _find_separator(lines: list[str], first: int, wanted: frozenset[str]) -> str:
    def score(separator: str) -> tuple[int, float, int]:
        try:
            names, start = _header(lines, first, separator)
        except SourceError:
            return (0, 0.0, 0)
        if len(names) < 2:
            return (0, 0.0, 0)
        named = sum(name.casefold() in wanted for name in names)
        widths = [len(cells) for cells in _parse(lines, start, separator, start + _SAMPLE)]
        share = sum(width == len(names) for width in widths) / len(widths) if widths else 1.0
        return (named, share, len(names))

    best = max(SEPARATORS, key=score)
    return best if score(best)[2] > 1 else _NONE


def _header(lines: list[str], first: int, separator: str) -> tuple[list[str], int]:
    reader = csv.reader(islice(lines, first, first + _FAR), delimiter=separator, strict=True)
    try:
        cells = next(reader)
    except (csv.Error, StopIteration) as error:
        raise SourceError(
            f"the header (line {first + 1}) cannot be read: {error}; correct its quotes"
        ) from error
    return [cell.strip("\ufeff\xa0 \t\r\n") for cell in cells], first + reader.line_num


def _parse(lines: list[str], first: int, separator: str, end: int) -> Iterator[list[str]]:
    """Yield records until one breaks the rules."""
    try:
        yield from filter(None, csv.reader(lines[first:end], delimiter=separator, strict=True))
    except csv.Error:
        return


def _fitted(span: Span, names: Sequence[str]) -> Span:
    """Return the span without surplus cells that are empty, or with those of nameless columns."""
    cells, width = span.cells, len(names)
    if cells is None or len(cells) == width:
        return span
    if len(cells) > width and not any(cells[width:]):
        return Span(span.first, span.end, cells[:width])
    if len(cells) < width and not any(names[len(cells) :]):
        return Span(span.first, span.end, cells + [""] * (width - len(cells)))
    return span


class _Reader:
    """The lines of one file, and which columns hold only numbers and dates."""

    def __init__(self, lines: list[str], separator: str, width: int, start: int) -> None:
        self.lines, self.separator, self.width = lines, separator, width
        self.formal = self._formal_columns(start)

    def spans(self, first: int) -> Iterator[Span]:
        """Yield every span from line `first` on."""
        lines, total = self.lines, len(self.lines)
        while first < total:
            start = first
            following = map(lines.__getitem__, range(start, total))
            reader = csv.reader(following, delimiter=self.separator, strict=True)
            try:
                for cells in reader:
                    end = start + reader.line_num
                    if end - first > 1 and self._swallows(first, end):
                        break
                    if cells and (end - first > 1 or lines[first].strip(" \xa0\r\n\x1a")):
                        yield Span(first, end, cells)
                    first = end
                else:
                    return
            except csv.Error:
                pass
            span = self._mended(first)
            yield span
            first = span.end

    def _formal_columns(self, start: int) -> list[int]:
        """Return the columns in which nine of ten cells of a sample are numbers or dates."""
        filled: Counter[int] = Counter()
        formal: Counter[int] = Counter()
        for line in islice(self.lines, start, start + _SAMPLE):
            cells = next(_parse([line], 0, self.separator, 1), [])
            if len(cells) == self.width > 1:
                filled.update(n for n, cell in enumerate(cells) if cell)
                formal.update(n for n, cell in enumerate(cells) if _FORMAL.fullmatch(cell))
        return [n for n in filled if formal[n] >= 0.9 * filled[n]]

    def _swallows(self, first: int, end: int) -> bool:
        """Whether a later line of the record is itself the beginning of one."""
        return bool(self.formal) and any(self._begins(n) for n in range(first + 1, end))

    def _begins(self, line: int) -> bool:
        """Whether a good record begins at this line."""
        if self.width > 1 and self.separator not in self.lines[line]:
            return False
        cells = next(_parse(self.lines, line, self.separator, line + _FAR), None)
        if cells is None:
            cells = self._lenient(self.lines[line])
        return cells is not None and self._looks_right(cells)

    def _looks_right(self, cells: list[str]) -> bool:
        if len(cells) != self.width:
            return False
        matching = sum(bool(_FORMAL.fullmatch(cells[n])) for n in self.formal)
        return 2 * matching >= len(self.formal)

    def _mended(self, first: int) -> Span:
        """Return the record at a line that breaks the rules, or the lines to give up."""
        lines, total = self.lines, len(self.lines)
        for end in range(first + 1, min(first + _FAR, total) + 1):
            if end - first > 1 and self._begins(end - 1):
                break
            cells = self._lenient("".join(lines[first:end]))
            if cells is not None and self._looks_right(cells):
                return Span(first, end, cells)
        end = first + 1
        while end < total and not self._begins(end):
            end += 1
        return Span(first, end, None)

    def _lenient(self, text: str) -> list[str] | None:
        """Return the cells of a record whose quotes were not doubled, if they fit."""
        text = text.rstrip("\r\n")
        for shut in (False, True):
            cells = _scan(text, self.separator, shut)
            if cells is not None and len(cells) == self.width:
                return cells
        cells = text.split(self.separator)  # nothing is quoted: "Super" film
        if "\n" in text or text.count('"') % 2 or len(cells) != self.width:
            return None
        return [c[1:-1] if re.fullmatch('"[^"]*"', c) else c for c in cells]


def _scan(text: str, separator: str, shut: bool) -> list[str] | None:
    """Return cells where a quote closes only before a separator or the end.

    An even run of quotes there is doubled quotes, or closes too if `shut`. None if a quote
    stays open.

    >>> _scan('5;"dit "bonjour" et part";', ";", False)
    ['5', 'dit "bonjour" et part', '']
    """
    cells, at = [], 0
    while at <= len(text):
        if opening := _OPENING.match(text, at):
            found = _scan_quoted(text, opening.end(), separator, shut)
            if found is None:
                return None
            cell, at = found
        else:
            end = text.find(separator, at)
            end = len(text) if end < 0 else end
            cell, at = text[at:end], end + 1
        cells.append(cell)
    return cells


def _scan_quoted(text: str, at: int, separator: str, shut: bool) -> tuple[str, int] | None:
    """Return a cell that was opened by a quote, and where the next begins."""
    parts = []
    while run := _QUOTES.search(text, at):
        parts.append(text[at : run.start()])
        count, at = len(run[1]), run.end(1)
        if (count % 2 or shut) and (run.end() == len(text) or text[run.end()] == separator):
            parts.append('"' * (count // 2))
            return "".join(parts), run.end() + 1
        parts.append('"' * ((count + 1) // 2))
    return None
