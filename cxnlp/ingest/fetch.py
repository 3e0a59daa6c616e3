"""Ask a service or a database, and read what is new of its answers as files are read.

Comes in: a source with `rest` or `sql`, the warehouse. Goes out: `FileRead`s, as of files: some
thousands of records each, JSON lines named after the source and the run. Left out: publishing
them, which the caller does at once for all, so that a fetch counts whole or not at all.

Of records with one id, as on pages that overlap, the last one counts. What is known already,
word for word, is left out and not counted: a second fetch of the same gives nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from cxnlp.config_sources import Source
from cxnlp.ingest.files import FoundFile
from cxnlp.ingest.known import Known
from cxnlp.ingest.mapping import FileRead, read_file
from cxnlp.ingest.records import ABSENT, reach
from cxnlp.ingest.secret import Secrets
from cxnlp.warehouse import Warehouse

AT_ONCE: Final = 5_000  # records of a file


def fetch(
    source: Source, warehouse: Warehouse, strike: Callable[[FileRead], FileRead], *,
    author_key: bytes | None, mask: tuple[str, ...], run_id: str, sequence: int, now: datetime,
    tell: Callable[[str], None] = lambda _: None,
) -> list[FileRead]:  # fmt: skip
    """Return what is new of a source; `strike` takes out who was forgotten.

    The first fetch under these settings gives a row of `files` even if there is no record.
    Raises `SourceError` when an answer does not come, and `ConfigError` when a token is missing.
    """
    secrets, known = Secrets(source.name), Known(warehouse, source)
    reads: list[FileRead] = []
    asked = 0
    for records in _at_once(_answers(source, known, secrets, now), source):
        asked += len(records)
        if known.mapping:
            _fill_gaps(records, source)
        data = _lines(records, secrets)
        name = f"{_name(source)}#{run_id}-{len(reads) + 1}.jsonl"
        found = FoundFile("", name, len(data), hashlib.sha256(data).hexdigest())
        read = read_file(
            found, source, author_key=author_key, mask=mask, run_id=run_id,
            sequence=sequence + len(reads), data=data,
        )  # fmt: skip
        read = known.new(strike(read))
        first = not known.mapping and not reads
        if read.comments.num_rows or read.rejects.num_rows or first:
            reads.append(read)
        tell(f"{source.name}: {asked:,} records")
    return reads


def _answers(source: Source, known: Known, secrets: Secrets, now: datetime) -> Iterator[list[Any]]:
    if source.rest:
        from cxnlp.ingest.rest import read_pages

        return read_pages(source, source.rest, known.start(source.rest.since, now), secrets)
    if source.sql:
        from cxnlp.ingest.sql import read_rows

        return read_rows(source, source.sql, known.start(source.sql.since, now), secrets)
    raise ValueError(f"source {source.name} has neither rest nor sql")


def _at_once(pages: Iterable[list[Any]], source: Source) -> Iterator[list[Any]]:
    """Yield records, each id once, as many as a file has; at least one list, which may be empty."""
    waiting: dict[str, Any] = {}
    given = False
    for record in (record for page in pages for record in page):
        key = _key(record, source.fields["native_id"])
        waiting.pop(key, None)
        waiting[key] = record
        if len(waiting) == AT_ONCE:
            yield list(waiting.values())
            waiting, given = {}, True
    if waiting or not given:
        yield list(waiting.values())


def _key(record: Any, name: str) -> str:
    """Return the id of a record, or all of it when it has none."""
    found = record[name] if isinstance(record, dict) and name in record else reach(record, name)
    return _line(record if found is ABSENT or found is None else [found])


def _fill_gaps(records: list[Any], source: Source) -> None:
    """Give the first record the columns that none of these has.

    A wrong name in `fields:` shows at the first fetch; later, a few records may lack a column
    that a service leaves out where it is empty.
    """
    objects = [record for record in records if isinstance(record, dict)]
    for name in source.fields.values() if objects else ():
        if all(name not in record and reach(record, name) is ABSENT for record in objects):
            objects[0][name] = None


def _lines(records: list[Any], secrets: Secrets) -> bytes:
    """Return JSON lines, in which no token stands, should a service repeat it."""
    return secrets.hide("".join(f"{_line(record)}\n" for record in records)).encode()


def _line(value: Any) -> str:
    return json.dumps(value, default=str)


def _name(source: Source) -> str:
    """Return how tables name what was asked."""
    return source.rest.url if source.rest else f"sql:{source.sql.url_env if source.sql else ''}"
