"""The list of those who were erased, so that no later export brings them back.

Comes in: what a file gave. Goes out: the same without the forgotten, who are counted. The list,
`state/forgotten.json`, holds digests alone: whoever reads it learns no name, no pseudonym and no
id. Left out: erasing what is there (`forget.py`).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.errors import WarehouseError
from cxnlp.ingest import FileRead
from cxnlp.warehouse import Warehouse

FILE: Final = "state/forgotten.json"
ERASED: Final = "erased at the person's request"
Kind = Literal["author", "comment", "reject"]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Digests of pseudonyms, of comment ids, and of rejected rows as read."""

    digests: frozenset[str] = frozenset()

    def knows(self, kind: Kind, value: str) -> bool:
        return _digest(kind, value) in self.digests

    def also(self, kind: Kind, values: Iterable[str]) -> "Forgotten":
        """Return the list with more on it."""
        return replace(self, digests=self.digests | {_digest(kind, value) for value in values})

    def text(self) -> str:
        """Return the list as it is kept."""
        return json.dumps(sorted(self.digests), indent=0)

    def strike(self, read: FileRead) -> FileRead:
        """Return what a file gave without the forgotten; its row of `files` says how many."""
        if not self.digests:
            return read
        gone = self._rows(read.comments)
        comments = read.comments.filter(pc.invert(gone))
        rejects = blanked(read.rejects, self._rows(read.rejects))
        return FileRead(comments, rejects, recounted(read.file, pc.sum(gone).as_py() or 0))

    def _rows(self, data: pa.Table) -> pa.Array:
        """Return which rows are of a forgotten author, comment or reject."""
        columns: dict[str, Kind] = {"author_key": "author", "comment_id": "comment"}
        if "raw" in data.column_names:
            columns["raw"] = "reject"
        found = pa.array([False] * data.num_rows, pa.bool_())
        for name, kind in columns.items():
            values = pc.unique(data[name].drop_null()).to_pylist()
            known = pa.array([v for v in values if self.knows(kind, v)], pa.string())
            found = pc.or_(found, pc.is_in(data[name], known))
        return found


def read_forgotten(warehouse: Warehouse) -> Forgotten:
    """Return the list of a warehouse, empty if nobody was forgotten."""
    text = warehouse.read_text(FILE)
    try:
        return Forgotten(frozenset(json.loads(text)) if text else frozenset())
    except (ValueError, TypeError) as error:
        raise WarehouseError(
            f"{warehouse.root}/{FILE}: cannot be read: {error}; put it back from a copy: "
            "without it people who were erased would come back"
        ) from error


def blanked(rejects: pa.Table, gone: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return rejects with nothing left in the rows of `gone` but where they stood and why."""
    for name, value in (("detail", ERASED), ("raw", ""), ("comment_id", None),
                        ("author_key", None)):  # fmt: skip
        place = rejects.column_names.index(name)
        values = pc.if_else(gone, pa.scalar(value, pa.string()), rejects[name])
        rejects = rejects.set_column(place, rejects.schema.field(name), values)
    return rejects


def recounted(files: pa.Table, gone: pa.Array | int) -> pa.Table:
    """Return rows of `files` in which `gone` comments are counted as forgotten."""
    before = pc.fill_null(files["forgotten"], 0) if "forgotten" in files.column_names else 0
    for name, values in (("comments", pc.subtract(files["comments"], gone)),
                         ("forgotten", pc.add(before, gone))):  # fmt: skip
        values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        place = files.column_names.index(name)
        files = files.set_column(place, schema.FILES.arrow.field(name), values)
    return files


def _digest(kind: Kind, value: str) -> str:
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()
