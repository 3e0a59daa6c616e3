"""Erase a person: raw, tables, rejects, caches, report; then work out the metrics anew.

Comes in: a warehouse, names or comment ids, the keys of pseudonyms. Goes out: counts of what was
erased. All is gone in one publication, together with the entry of `forgotten.py` that keeps a
later export from bringing it back. Left out: writing the report anew (the command does), and
what lies outside the warehouse (docs/privacy.md).
"""

import json
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import config, metrics, schema
from cxnlp.clean import duplicates
from cxnlp.errors import UsageError
from cxnlp.forgotten import ERASED, FILE, blanked, read_forgotten, recounted
from cxnlp.ingest.records import WITHHELD, as_json
from cxnlp.masks import mask
from cxnlp.parts import Part
from cxnlp.pseudonyms import pseudonym
from cxnlp.report import NAME as REPORT
from cxnlp.warehouse import Warehouse

_WORDS: Final = ("title", "text", "reply_text")
_KEYS: Final = ("comment_id", "published_at", "author_key", "duplicate_key", "duplicate_of")
_TELLING: Final = 20  # characters of a text by which a damaged row is known to hold it
_COMPARED: Final = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows erased from each table, and what a person has to know beside.

    `waiting` comments repeated one that was erased: the next run analyses them. `named_in` are
    comments of others that hold the name; they are not erased. Without `measured` the metrics
    are those of before: an older version made them, the next run makes them anew.
    """

    comments: int
    mentions: int
    raw: int
    rejects: int
    waiting: int
    named_in: tuple[str, ...]
    measured: bool = True


def forget(
    warehouse: Warehouse, names: Sequence[str], comment_ids: Sequence[str], keys: Sequence[bytes],
    *, dry_run: bool = False,
) -> Erased:  # fmt: skip
    """Erase all comments of authors of these names, and those of these ids; `dry_run` only counts.

    Raises `UsageError` when nobody of that name was ever there, and `WarehouseBusyError`.
    """
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    with warehouse.hold(f"{run_id} (forget)"):
        authors = sorted({p for n in names for key in keys if (p := pseudonym(n, key))})
        before = read_forgotten(warehouse)
        known = [a for a in authors if before.knows("author", a)]
        known += [c for c in comment_ids if before.knows("comment", c)]
        gone = _comments_of(warehouse, pa.array(authors, pa.string()), comment_ids)
        plan = _Plan(warehouse, gone, pa.array(authors, pa.string()), names)
        erased = plan.erased()
        if not (known or len(gone) or erased.rejects):
            raise UsageError(
                f"{warehouse.root}: holds no comment of that author or id; write the name as the "
                "export does (case does not matter), with the key that made the pseudonyms"
            )
        if dry_run:
            return erased
        marked = before.also("author", authors).also("comment", [*comment_ids, *gone.to_pylist()])
        marked = marked.also("reject", plan.struck)
        beside: dict[str, str | None] = dict.fromkeys([*warehouse.remade(), REPORT])
        beside[FILE] = marked.text()
        warehouse.publish(plan.parts, run_id=run_id, metadata={}, beside=beside)
        return replace(erased, measured=_measure(warehouse, run_id))


def _measure(warehouse: Warehouse, run_id: str) -> bool:
    """Work out the metrics anew, with the constants of the last run and its touchpoints.

    False when there are metrics but not those touchpoints.
    """
    if not warehouse.parts(schema.TOUCHPOINTS):
        return not any(warehouse.parts(table) for table in schema.METRICS)
    runs = warehouse.read(schema.RUNS).sort_by("started_at")["metrics"].drop_null()
    constants = json.loads(runs[-1].as_py()) if len(runs) else {}
    touchpoints = warehouse.read(schema.TOUCHPOINTS)
    tables = metrics.measure(warehouse.root, touchpoints, config.Metrics(**constants))
    parts = [Part(table, data) for table, data in tables.items()]
    warehouse.publish(parts, run_id=run_id, metadata={})
    return True


class _Plan:
    """What has to be written so that `gone` is nowhere; nothing is written here."""

    def __init__(
        self, warehouse: Warehouse, gone: pa.Array, authors: pa.Array, names: Sequence[str]
    ) -> None:
        self._warehouse, self._gone = warehouse, gone
        self._pattern = _pattern(names)
        self._words: set[str] = set()
        self._named_in: list[str] = []
        self._count = dict.fromkeys(("comments", "mentions", "raw", "rejects"), 0)
        self.parts: list[Part] = []
        self.struck: list[str] = []
        self._of_raw()
        self._orphans = self._orphaned()
        self._of_tables()
        self._of_rejects(authors)
        self._of_runs()
        self._of_metrics()

    def erased(self) -> Erased:
        """Return the counts."""
        waiting = self._orphans["duplicate_of"].null_count
        names, n = tuple(self._named_in), self._count
        return Erased(n["comments"], n["mentions"], n["raw"], n["rejects"], waiting, names)

    def _of_raw(self) -> None:
        """Raw rows go, and the files they came from count them as forgotten."""
        lost: dict[int, int] = {}
        for source, sequence in self._warehouse.parts(schema.RAW):
            found = self._part(schema.RAW, source, sequence)
            if found is not None:
                lost[int(sequence or 0)] = found
        if lost:
            files = self._warehouse.read(schema.FILES)
            gone = pa.array([lost.get(n, 0) for n in files["sequence"].to_pylist()], schema.INT)
            self.parts.append(Part(schema.FILES, recounted(files, gone)))

    def _of_tables(self) -> None:
        for table in (schema.COMMENTS, schema.MENTIONS):
            for source, period in self._warehouse.parts(table):
                self._part(table, source, period)

    def _part(self, table: schema.Table, source: str | None, period: str | None) -> int | None:
        """Plan one file anew; return how many rows go, None if it stays as it is."""
        names = ("comment_id", *_WORDS) if table is schema.COMMENTS else ("comment_id",)
        some = self._warehouse.read_part(table, source, period, names)
        lost = pc.is_in(some["comment_id"], self._gone)
        if table is schema.COMMENTS:
            self._note_names(some.filter(pc.invert(lost)))
            changed = pc.or_(lost, pc.is_in(some["comment_id"], self._orphans["comment_id"]))
        else:
            changed = lost
        if not pc.any(changed).as_py():
            return None
        data = self._warehouse.read_part(table, source, period)
        if table is not schema.MENTIONS:
            for name in _WORDS:
                self._words |= {*data[name].filter(lost).drop_null().to_pylist()}
        data = data.filter(pc.invert(lost))
        data = self._released(data) if table is schema.COMMENTS else data
        self.parts.append(Part(table, data, source, period))
        count = int(pc.sum(lost).as_py())
        self._count[table.name] += count
        return count

    def _note_names(self, comments: pa.Table) -> None:
        if self._pattern:
            holds = pa.array([False] * comments.num_rows, pa.bool_())
            for name in _WORDS:
                found = pc.match_substring_regex(comments[name], self._pattern, ignore_case=True)
                holds = pc.or_(holds, pc.fill_null(found, False))
            self._named_in += comments["comment_id"].filter(holds).to_pylist()

    def _orphaned(self) -> pa.Table:
        """Return the comments that repeated an erased one, and which they repeat now, if any."""
        seen = self._warehouse.read(schema.COMMENTS, _KEYS)
        left = seen.filter(pc.invert(pc.is_in(seen["comment_id"], self._gone)))
        orphans = pc.is_in(left["duplicate_of"], self._gone)
        if not pc.any(orphans).as_py():
            return left.slice(0, 0)
        place = left.column_names.index("duplicate_of")
        left = left.set_column(place, "duplicate_of", pa.chunked_array([duplicates(left)]))
        return left.filter(orphans)

    def _released(self, comments: pa.Table) -> pa.Table:
        """Return comments whose repeats point to one that stays.

        One that repeats none any more has labels of no analysis: the next run makes them.
        """
        where = pc.index_in(comments["comment_id"], self._orphans["comment_id"].combine_chunks())
        orphan = where.is_valid()
        repeats = self._orphans["duplicate_of"].combine_chunks().take(where.combine_chunks())
        first = pc.and_(orphan, repeats.is_null())
        for name, values in (
            ("duplicate_of", pc.if_else(orphan, repeats, comments["duplicate_of"])),
            ("analysis_key", pc.if_else(first, "", comments["analysis_key"])),
        ):
            place = comments.column_names.index(name)
            comments = comments.set_column(place, comments.schema.field(name), values)
        return comments

    def _of_rejects(self, authors: pa.Array) -> None:
        """Rejects keep their place and reason, so that every row of a file stays counted."""
        rejects = self._warehouse.read(schema.REJECTS)
        shown = pc.binary_join_element_wise(rejects["raw"], rejects["detail"], "\n")
        gone = pc.or_(pc.is_in(rejects["author_key"], authors),
                      pc.is_in(rejects["comment_id"], self._gone))  # fmt: skip
        if self._pattern:
            named = pc.match_substring_regex(shown, self._pattern, ignore_case=True)
            gone = pc.or_(gone, named)
        words = [*_as_in_rejects(self._words)]
        quotes = [any(word in text for word in words) for text in shown.to_pylist()]
        gone = pc.or_(gone, pa.array(quotes, pa.bool_()))
        gone = pc.and_(gone, pc.not_equal(rejects["detail"], ERASED))
        self._count["rejects"] = pc.sum(gone).as_py() or 0
        if self._count["rejects"]:
            raws = pc.unique(rejects["raw"].filter(gone)).to_pylist()
            self.struck = [raw for raw in raws if raw not in ("", WITHHELD)]
            self.parts.append(Part(schema.REJECTS, blanked(rejects, gone)))

    def _of_runs(self) -> None:
        """An error told of a run may quote a name."""
        runs = self._warehouse.read(schema.RUNS)
        if self._pattern and len(runs):
            named = pc.match_substring_regex(runs["error"], self._pattern, ignore_case=True)
            told = pc.if_else(pc.fill_null(named, False), ERASED, runs["error"])
            place = runs.column_names.index("error")
            runs = runs.set_column(place, runs.schema.field("error"), told)
            self.parts.append(Part(schema.RUNS, runs))

    def _of_metrics(self) -> None:
        """Until they are worked out anew, the metrics name no comment that has gone."""
        gone = {*self._gone.to_pylist()}
        for table in schema.METRICS:
            if not {"comment_id", "comment_ids"} & {*table.names} or not self._warehouse.parts(
                table
            ):
                continue
            data = self._warehouse.read(table)
            if "comment_id" in table.names:
                data = data.filter(pc.invert(pc.is_in(data["comment_id"], self._gone)))
            if "comment_ids" in table.names:
                kept = [
                    [c for c in ids if c not in gone] for ids in data["comment_ids"].to_pylist()
                ]
                place = data.column_names.index("comment_ids")
                field = data.schema.field(place)
                data = data.set_column(place, field, pa.array(kept, field.type))
            self.parts.append(Part(table, data))


def _comments_of(warehouse: Warehouse, authors: pa.Array, ids: Sequence[str]) -> pa.Array:
    """Return the ids, among those there, of the comments of these authors and of `ids`."""
    given, found = pa.array(ids, pa.string()), [pa.array([], pa.string())]
    for table in (schema.RAW, schema.COMMENTS):
        rows = warehouse.read(table, ("comment_id", "author_key"))
        theirs = pc.or_(pc.is_in(rows["author_key"], authors),
                        pc.is_in(rows["comment_id"], given))  # fmt: skip
        found.append(rows["comment_id"].filter(theirs).combine_chunks())
    return pc.unique(pa.concat_arrays(found))


def _pattern(names: Sequence[str]) -> str:
    """Return the regular expression of these names as whole words, in any case; empty for none.

    >>> _pattern(["Léa M."])
    '(?:^|[^\\\\pL\\\\pN])(?:Léa M\\\\.)(?:$|[^\\\\pL\\\\pN])'
    """
    plain = [unicodedata.normalize("NFKC", name).strip() for name in names]
    either = "|".join(re.escape(name).replace("\\ ", " ") for name in plain if len(name) > 1)
    return rf"(?:^|[^\pL\pN])(?:{either})(?:$|[^\pL\pN])" if either else ""


def _as_in_rejects(words: set[str]) -> set[str]:
    """Return how texts begin in the raw of a reject: as written, masked, inside JSON."""
    long = {word for word in words if len(word) >= _TELLING}
    forms = long | {mask(word) for word in long}
    forms |= {as_json(form)[1:-1] for form in forms}
    return {form[:_COMPARED] for form in forms}
