"""Read JSON: a list of objects, or one object a line.

Comes in: the lines of a file. Goes out: `Records` whose rows are objects; a line that is not
JSON, or a value that is not an object, is refused. Left out: reaching into objects, which
`Records.column` does. JSON lines under the name `.json` are found to be so, and a list under
the name `.jsonl` too, unless the format is stated.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from cxnlp.config import Source
from cxnlp.errors import SourceError
from cxnlp.ingest.files import Decoded, readable
from cxnlp.ingest.records import WITHHELD, Records, Refused, as_json, reach

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_objects(text: Decoded, kind: str, source: Source) -> Records:
    """Return the objects of a file whose format is `kind`, json or jsonl."""
    starts = next((line.lstrip()[:1] for line in text.lines if line.strip("\ufeff \r\n")), "")
    if kind == "jsonl" and (source.format or starts != "["):
        return _json_lines(text, source)
    try:
        data = json.loads("".join(text.lines))
    except json.JSONDecodeError as error:
        if source.format is None and (kind == "jsonl" or error.msg == "Extra data"):
            return _json_lines(text, source)
        raise SourceError(
            f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}; export again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"is JSON that cannot be read: {error}") from error
    items = reach(data, source.records) if source.records else data
    if items is data and isinstance(data, dict) and not (source.format or any(_lists(data))):
        items = [data]  # the one record of a day without others
    if not isinstance(items, list):
        at = f"`records: {source.records}`" if source.records else "the top level"
        raise SourceError(
            f"there is no list of records at {at}; say where it is with `records:` "
            f"(lists found: {', '.join(_lists(data)) or 'none'})"
        )
    if any("\\ud" in line.lower() for line in text.lines):
        items = _whole_characters(items)
    return _objects("json", text, ((item, None) for item in items), source)


def _json_lines(text: Decoded, source: Source) -> Records:
    def items() -> Iterator[tuple[Any, str]]:
        for line in text.lines:
            line = line.strip("\ufeff \t\r\n")
            try:
                if line:
                    item = json.loads(line)
                    yield _whole_characters(item) if "\\ud" in line.lower() else item, line
            except (ValueError, RecursionError) as error:
                yield error, line

    return _objects("jsonl", text, items(), source)


def _objects(
    kind: str, text: Decoded, items: Iterable[tuple[Any, str | None]], source: Source
) -> Records:
    """Sort values, each with its line if it has one, into records and refusals."""
    author = source.fields.get("author")
    rows, numbers, refused, names = [], [], [], dict[str, None]()
    for number, (item, line) in enumerate(items, start=1):
        bad = text.undecoded and text.undecoded.search(as_json(item) if line is None else line)
        if isinstance(item, dict) and not bad:
            rows.append(item)
            numbers.append(number)
            names.update(dict.fromkeys(item))
            continue
        reason, detail = "json", f"expected an object {{…}}, found {type(item).__name__}"
        if bad:
            reason, detail = "encodage", f"{readable(bad[0])} means nothing in {text.encoding}"
        elif isinstance(item, Exception):
            detail = f"is not JSON: {item}"
        raw = _redacted(as_json(item) if line is None else line, author)
        refused.append(Refused(number, reason, detail, _SURROGATE.sub("\ufffd", readable(raw))))
    return Records(kind, list(names), rows, numbers, refused, text.encoding)


def _redacted(line: str, author: str | None) -> str:
    """Return a line of JSON, whole or broken, without the author's value.

    In a broken line a value is all that stands before the next key.

    >>> _redacted('{"author": "Anne "la reine" B.", "text": "Oui', "author")
    '{"author": …, "text": "Oui'
    """
    if author is None:
        return line
    key = rf"""(["']?\b{re.escape(author.split(".")[-1])}\b["']?\s*:)"""
    value = r"""(?:\s*[\[{].*|.*?(?=,\s*["'][\w .-]+["']\s*:|$))"""
    shown, count = re.subn(key + value, r"\1 …", line, flags=re.DOTALL)
    return shown if count else WITHHELD


def _lists(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths of lists in nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path


def _whole_characters(value: Any) -> Any:
    r"""Return JSON data with halves of characters (`"\ud83d"` alone) replaced by U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(k): _whole_characters(v) for k, v in value.items()}
    return value
