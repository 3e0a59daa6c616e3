"""Tables on disk: plain Parquet, replaced whole or not at all.

Comes in: parts of tables that conform to `schema.py`. Goes out: the same tables, for anyone
who reads Parquet, and `views.sql` beside them. Left out: what a column means; which rows lie
in which file (`parts.py`); how files appear together (`journal.py`); where (`storage.py`).

Every file is whole at all times, and `read` opens it once, so it sees right rows while a
publication goes on. DuckDB, Arrow's datasets and Polars open a file more than once: a read of
theirs that overlaps the replacement of that very file may fail, or join the old list of row
groups to new rows. `steady` is for those: it runs a reading again when a file has changed.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from cxnlp import journal, schema, views
from cxnlp.errors import WarehouseBusyError, WarehouseError
from cxnlp.parts import PARTITIONED, Part, decode, digest, encode, part_at, path_of, pick, split
from cxnlp.storage import HOLDER, LOCK, LocalFiles, ObjectFiles, open_files
from cxnlp.version import __version__

__all__ = ["Part", "Warehouse", "split"]

Answer = TypeVar("Answer")
_MANIFEST: Final = "state/manifest.json"
_SHARDS: Final = "state/shards"
_VIEWS: Final = "views.sql"
_KEPT: Final = {  # of state/: what cannot be made again, or is of the moment
    _MANIFEST, LOCK, HOLDER, journal.JOURNAL, "state/author.key", "state/forgotten.json",
    "state/alerted.json",
}  # fmt: skip


class Warehouse:
    """The tables of one folder or fsspec URL; making one creates nothing."""

    def __init__(self, root: str) -> None:
        self._files = open_files(root)
        self._held = False

    @property
    def root(self) -> str:
        """The full name of its folder or URL."""
        return self._files.where()

    @property
    def files(self) -> LocalFiles | ObjectFiles:
        """Where its bytes lie, for what is kept in `state/`."""
        return self._files

    @contextmanager
    def hold(self, run_id: str = "") -> Iterator[None]:
        """Be the only writer; an interrupted publication is finished first.

        Raises `WarehouseBusyError` at once when another holds it, naming that one.
        """
        with self._files.lock(run_id):
            journal.recover(self._files)
            for path in self._files.list(_SHARDS):
                if path.endswith(".part"):
                    self._files.remove(path)
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def settle(self) -> None:
        """Finish an interrupted publication, unless its run is still at it: for readers.

        Those who may read the tables but not `state/` leave it to the next run.
        """
        with suppress(WarehouseBusyError, PermissionError):
            if self._files.exists(journal.JOURNAL):
                with self.hold():
                    pass

    def publish(
        self, parts: Iterable[Part], *, run_id: str, metadata: Mapping[str, str],
        beside: Mapping[str, str | None] | None = None,
    ) -> list[str]:  # fmt: skip
        """Put all parts in place as if at once, and return the paths that changed.

        Parts are written as they come, so that one at a time need be in memory.
        `beside` has texts of other files, by path; None removes one. A part that differs from
        what is there in nothing but `run_id` and `analysed_at` is left untouched. Raises
        `WarehouseError` when the disk is full or fails.
        """
        if not self._held:
            raise RuntimeError("publish() is called within hold()")
        marks = {"run_id": run_id, "cxnlp": __version__, **metadata}
        with journal.publication(self._files) as new:
            manifest, changed, paths = self._manifest(), [], set()
            for part in parts:
                if part.path in paths:
                    raise ValueError("two parts of a publication have the same path")
                paths.add(part.path)
                if self._put(new, part, marks, manifest):
                    changed.append(part.path)
            for path, text in (beside or {}).items():
                if text is None:
                    new.remove(path)
                else:
                    self._put_text(new, path, text)
            self._put_text(new, _MANIFEST, json.dumps(manifest, indent=0, sort_keys=True))
            self._put_text(new, _VIEWS, self.views(manifest))
        return changed

    def read(self, table: schema.Table, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows of a table, or some of its columns; no rows when it is not there."""
        return self.steady(
            lambda: self._read(table, [path_of(table, *key) for key in self.parts(table)], columns)
        )

    def steady(self, reading: Callable[[], Answer]) -> Answer:
        """Return what `reading` gives, run again if a file was replaced while it ran."""
        for pause in (0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2):
            time.sleep(pause)
            before = self._files.stamps("tables")
            try:
                answer = reading()
            except Exception:
                if self._files.stamps("tables") == before:
                    raise
            else:
                if self._files.stamps("tables") == before:
                    return answer
        raise WarehouseError(f"{self.root}: changes faster than it can be read; try again later")

    def read_part(
        self,
        table: schema.Table,
        source: str | None = None,
        period: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of one file; none when it is not there."""
        path = path_of(table, source, period)
        return self._read(table, [path] if self._files.exists(path) else [], columns)

    def pick(
        self, table: schema.Table, source: str | None, period: str | None, places: np.ndarray
    ) -> pa.Table:
        """Return the rows of one file at these places, which rise."""
        path = path_of(table, source, period)
        try:
            with self._files.open(path) as file:
                return schema.conform(pick(file, places), table)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise WarehouseError(
                f"{self._files.where(path)}: cannot be read: {error}; put it back from a copy"
            ) from error

    def parts(self, table: schema.Table) -> list[tuple[str | None, str | None]]:
        """Return (source, period) of each file there is; (None, None) for a table of one file."""
        if table not in PARTITIONED:
            return [(None, None)] if self._files.exists(path_of(table)) else []
        folder = "raw" if table is schema.RAW else f"tables/{table.name}"
        found = [part_at(path) for path in self._files.list(folder)]
        return sorted(key[1:] for key in found if key and key[0] is table)

    def views(self, paths: Collection[str] | None = None) -> str:
        """Return the text of `views.sql`, for the files there are or will be."""
        found = self._files.list("tables") if paths is None else paths
        present = {path.removeprefix("tables/") for path in found}
        return views.statements(self._files.where("tables"), present)

    def put_beside(self, name: str, data: bytes) -> str:
        """Put a file beside the tables, whole or not at all, and return where it is."""
        try:
            self._files.write(f"{name}.part", data)
            self._files.replace(f"{name}.part", name)
        except OSError as error:
            raise WarehouseError(
                f"{self._files.where(name)}: cannot be written: {error}; the tables are whole; "
                "make room or mend the disk and make it again"
            ) from error
        return self._files.where(name)

    def read_text(self, path: str) -> str | None:
        """Return the text of a file beside the tables, None when it is not there."""
        return self._files.read(path).decode() if self._files.exists(path) else None

    def remade(self) -> list[str]:
        """Return the files of `state/` that hold words of comments and are made again: caches."""
        return [path for path in self._files.list("state") if path not in _KEPT]

    def stage_shard(self, name: str, comments: pa.Table, mentions: pa.Table) -> None:
        """Keep what was made of one shard, exactly as given, until `drop_shards`."""
        for kind, data in (("mentions", mentions), ("comments", comments)):
            path = _shard(name, kind)
            try:
                self._files.write(f"{path}.part", encode(data, {}))
                self._files.replace(f"{path}.part", path)
                self._files.sync([path])
            except OSError as error:
                raise WarehouseError(
                    f"{self._files.where(path)}: cannot be written: {error}; make room or mend "
                    "the disk and run again, the shards finished so far are kept"
                ) from error

    def read_shard(self, name: str) -> tuple[pa.Table, pa.Table] | None:
        """Return (comments, mentions) as staged; None when there is none that can be read."""
        if not self._files.exists(_shard(name, "comments")):
            return None
        try:
            return self._load(_shard(name, "comments")), self._load(_shard(name, "mentions"))
        except WarehouseError:  # it is made again from the comments
            return None

    def drop_shards(self) -> None:
        """Remove every staged shard."""
        for path in self._files.list(_SHARDS):
            self._files.remove(path)

    def verify(self) -> list[str]:
        """Return what is wrong with the files themselves, one sentence each."""
        manifest = self._manifest()
        found = [*self._files.list("tables"), *self._files.list("raw")]
        problems = [f"{path}: is missing; put it back from a copy" for path in manifest
                    if path not in found]  # fmt: skip
        if self._files.exists(journal.JOURNAL):
            problems.append(f"{journal.JOURNAL}: a publication waits for the next run to finish it")
        for path in found:
            problems += [f"{path}: {fault}" for fault in self._faults(path, manifest.get(path))]
        return problems

    def _manifest(self) -> dict[str, str]:
        """Return the sha256 of each file, by path."""
        if not self._files.exists(_MANIFEST):
            return {}
        try:
            manifest: dict[str, str] = json.loads(self._files.read(_MANIFEST))
        except ValueError as error:
            raise WarehouseError(
                f"{self._files.where(_MANIFEST)}: cannot be read: {error}; delete it and run "
                "again, the tables are then written anew"
            ) from error
        return manifest

    def _put(
        self,
        new: journal.Publication,
        part: Part,
        marks: Mapping[str, str],
        manifest: dict[str, str],
    ) -> bool:
        """Stage a part and note it in `manifest`; False when there is nothing to do."""
        data = part.rows()
        if not data.num_rows and part.table in PARTITIONED:
            manifest.pop(part.path, None)
            if self._files.exists(part.path):
                new.remove(part.path)
                return True
            return False
        if part.path in manifest and self._has(part, data):
            return False
        manifest[part.path] = new.put(
            part.path, encode(data, {**marks, "schema": digest(part.table)})
        )
        return True

    def _has(self, part: Part, data: pa.Table) -> bool:
        """Say whether the file of `part` is there and holds `data`, whoever wrote it when."""
        if not self._files.exists(part.path):
            return False
        try:
            old = self._load(part.path)
        except WarehouseError:  # damaged: the new content mends it
            return False
        lineage = {"run_id", "analysed_at"} - set(part.table.key)
        kept = [name for name in part.table.names if name not in lineage]
        return bool(old.schema.equals(data.schema) and old.select(kept).equals(data.select(kept)))

    def _put_text(self, new: journal.Publication, path: str, text: str) -> None:
        data = text.encode()
        if not self._files.exists(path) or self._files.read(path) != data:
            new.put(path, data)

    def _read(
        self, table: schema.Table, paths: Sequence[str], columns: Sequence[str] | None
    ) -> pa.Table:
        if columns is not None:
            named = {column.name: column for column in table.columns}
            table = replace(table, columns=tuple(named[name] for name in columns))
        pieces = []
        for path in paths:
            try:
                pieces.append(schema.conform(self._load(path, table.names), table))
            except ValueError as error:
                raise WarehouseError(
                    f"{self._files.where(path)}: {error}; it was written by another version of "
                    "cxnlp or by another program"
                ) from error
        return pa.concat_tables(pieces) if pieces else schema.empty(table)

    def _load(self, path: str, columns: Collection[str] | None = None) -> pa.Table:
        try:
            with self._files.open(path) as file:
                return decode(file, columns)
        except (OSError, pa.ArrowException) as error:
            raise WarehouseError(
                f"{self._files.where(path)}: cannot be read: {error}; put it back from a copy"
            ) from error

    def _faults(self, path: str, sha256: str | None) -> Iterator[str]:
        part = part_at(path)
        if part is None or sha256 is None:
            yield "was not put there by cxnlp, but readers of the folder take it for rows"
            return
        try:
            if hashlib.sha256(self._files.read(path)).hexdigest() != sha256:
                yield "is not as it was written (sha256); put it back from a copy"
            data = self._load(path)
        except (OSError, WarehouseError) as error:
            yield str(error)
            return
        for column in part[0].columns:
            if column.name not in data.column_names:
                yield f"column {column.name!r} is missing, another version of cxnlp wrote it"
            elif data.schema.field(column.name).type != column.type:
                yield f"column {column.name!r} is {data.schema.field(column.name).type}, " \
                      f"expected {column.type}"  # fmt: skip


def _shard(name: str, kind: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"a shard is named by letters, digits, - and _, not {name!r}")
    return f"{_SHARDS}/{name}.{kind}.parquet"
