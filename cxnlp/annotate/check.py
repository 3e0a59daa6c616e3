"""Annotations as they came back → the good ones, and the refused ones with their reasons.

Comes in: files of Label Studio, doccano or our own format, told apart by what is in them. Goes
out: `Annotated` rows that are valid under a taxonomy, and a `Reject` for each fault of the others.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cxnlp import schema
from cxnlp.annotate import doccano, labelstudio, own
from cxnlp.annotate.rows import Annotated, Reject
from cxnlp.errors import UsageError
from cxnlp.taxonomy import Taxonomy

Reader = Callable[[dict[str, Any]], list[Annotated]]
_ANYONE = ("all", "admin", "unknown")  # doccano's names of files that are of nobody alone


@dataclass(frozen=True, slots=True)
class Checked:
    """What is good, what is not, and how many rows were read."""

    good: list[Annotated] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    rows: int = 0


def read_files(files: list[Path], taxonomy: Taxonomy) -> Checked:
    """Return all annotations of the files, checked one by one; raises `UsageError`."""
    good: list[Annotated] = []
    rejects: list[Reject] = []
    seen: dict[tuple[str, str], str] = {}
    texts: dict[str, str] = {}
    rows = 0
    for path in files:
        for number, row in _rows(path):
            rows += 1
            where = (path.name, number)
            if isinstance(row, str):
                rejects.append(Reject(*where, "", "unreadable", row, None))
                continue
            try:
                some = _reader(row, path)(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
                rejects.append(Reject(*where, _id(row), "unreadable", str(said), row))
                continue
            for one in some:
                faults = list(_faults(one, taxonomy))
                if not faults:
                    faults = list(_against(one, path.name, seen, texts))
                rejects += [Reject(*where, one.id, *fault, row) for fault in faults]
                if not faults:
                    good.append(one)
    return Checked(good, rejects, rows)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number of each row, from 1, and the row, or why it cannot be read as a string."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{path}: not valid JSON: {error}") from error
        yield from enumerate((r if isinstance(r, dict) else "not an object" for r in rows), 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
                yield number, row if isinstance(row, dict) else "not an object"
            except ValueError as error:
                yield number, f"not a line of JSON: {error}"


def _reader(row: dict[str, Any], path: Path) -> Reader:
    if "data" in row or "annotations" in row:
        return labelstudio.read
    if "entities" in row or "cats" in row:
        who = "" if path.stem in _ANYONE else path.stem
        return partial(doccano.read, annotator=who)
    return own.read


def _faults(one: Annotated, taxonomy: Taxonomy) -> Iterator[tuple[str, str]]:
    """Yield (reason, detail) of what is wrong with one annotation by itself."""
    if not one.finished:
        yield "half_finished", "nobody has finished it"
    elif one.sentiment is None:
        yield "half_finished", "it has no sentiment"
    for p in one.places:
        if p.touchpoint is None:
            yield "half_finished", f"{p.quote!r} has no touchpoint"
        if p.polarity is None:
            yield "half_finished", f"{p.quote!r} has no polarity"
    levers = {lever for p in one.places for lever in p.levers}
    for head, given, known in (
        ("sentiment", {one.sentiment}, schema.SENTIMENTS),
        ("emotion", set(one.emotions), schema.EMOTIONS),
        ("intent", set(one.intents), schema.INTENTS),
        ("touchpoint", {p.touchpoint for p in one.places}, [t.id for t in taxonomy.touchpoints]),
        ("lever", levers, [lever.id for lever in taxonomy.levers]),
        ("polarity", {p.polarity for p in one.places}, schema.POLARITIES),
    ):
        for label in sorted(str(g) for g in given if g is not None and g not in known):
            yield "unknown_label", f"{head} {label!r} is not in the taxonomy {taxonomy.name}"
    for p in one.places:
        if not p.quote or p.start < 0 or one.text[p.start : p.end] != p.quote:
            yield "not_in_text", f"the words {p.quote!r} ({p.touchpoint}) are not in the text"
    if not one.text.strip():
        yield "unreadable", "the text is empty"


def _against(
    one: Annotated, file: str, seen: dict[tuple[str, str], str], texts: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one annotation beside those before it, and note it."""
    key = (one.id, one.annotator)
    if key in seen:
        who = f"by {one.annotator}" if one.annotator else "without a name of the annotator"
        yield "duplicate_id", f"{one.id} was annotated {who} in {seen[key]} already"
    elif texts.setdefault(one.id, one.text) != one.text:
        yield "duplicate_id", f"{one.id} has another text elsewhere"
    else:
        seen[key] = file


def _id(row: dict[str, Any]) -> str:
    data = row.get("data")
    inner = data if isinstance(data, dict) else {}
    return str(row.get("comment_id") or inner.get("comment_id") or row.get("id") or "")
