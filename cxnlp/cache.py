"""What was told of a text on earlier nights, found again by the digest of the text.

Comes in: digests of texts and what is told of them (`told.TOLD`). Goes out: the same rows on
another night. Left out: every text: a file holds digests, labels and places, no words.

    state/cache/KEY/NAME.parquet    what one shard of a run was told; KEY is `Analyzer.key`
    state/cache/used.json           of each file, the run that used it last, and its size

A file is there whole or not at all. One that cannot be read is told of once and removed: its
texts are read by the model again. Beyond the limit, the files used longest ago go first.
"""

import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxnlp.storage import LocalFiles, ObjectFiles
from cxnlp.told import TOLD

FOLDER: Final = "state/cache"
GROUP: Final = 4_096  # rows read at once; a text found costs reading those beside it
FEW: Final = 32  # small files that a key may have before they are made one
SMALL: Final = 1 << 18
_USED: Final = f"{FOLDER}/used.json"
_DIGEST: Final = pa.binary(16)
_ROWS: Final = pa.schema([("digest", _DIGEST), *TOLD])
_FAULTS: Final = (OSError, pa.ArrowException, ValueError, KeyError)

Places = npt.NDArray[np.int64]


class Cache:
    """What is known under one key; used by one run, which holds the warehouse."""

    def __init__(
        self, files: LocalFiles | ObjectFiles, key: str, run_id: str, limit_mb: int
    ) -> None:
        self._files, self._run, self._limit = files, run_id, limit_mb << 20
        self._home = f"{FOLDER}/{key}"
        self._used = self._known()
        self._digests: dict[str, pa.Array] = {}
        self._made = 0

    def find(self, digests: pa.Array) -> tuple[Places, pa.Table]:
        """Return the row of each text in the table returned, −1 where nothing is known."""
        wanted = _bytes(digests)
        place, found, count = np.full(len(wanted), -1), [TOLD.empty_table()], 0
        for path in self._own():
            left = np.flatnonzero(place < 0)
            try:
                at = pc.index_in(wanted.take(pa.array(left)), self._digests_of(path))
                hit = at.is_valid().to_numpy(zero_copy_only=False)
                if not hit.any():
                    continue
                found.append(self._rows(path, at.drop_null().to_numpy()))
            except _FAULTS as error:
                self._give_up(path, error)
                continue
            place[left[hit]] = count + np.arange(found[-1].num_rows)
            count += found[-1].num_rows
            self._used[path] = (self._run, self._used[path][1])
        return place, pa.concat_tables(found)

    def add(self, digests: pa.Array, told: pa.Table) -> None:
        """Keep what is told of texts; those used longest ago make room for it."""
        if told.num_rows:
            self._made += 1
            self._put(f"{self._home}/{self._run}-{self._made:06d}.parquet", [
                told.add_column(0, "digest", _bytes(digests)).cast(_ROWS)
            ])  # fmt: skip
            self._make_room()

    def settle(self) -> None:
        """Write down which files were used, at the end of a run; make one of many small ones."""
        small = [path for path in self._own() if self._used[path][1] < SMALL]
        if len(small) > FEW:
            self._make_one(small)
        self._make_room()
        with suppress(OSError):  # then a file counts as used by the run that made it
            text = json.dumps(self._used, indent=0, sort_keys=True)
            self._files.write(f"{_USED}.part", text.encode())
            self._files.replace(f"{_USED}.part", _USED)

    def _known(self) -> dict[str, tuple[str, int]]:
        """Return each file there is, with the run that used it last and its size."""
        try:
            used = json.loads(self._files.read(_USED)) if self._files.exists(_USED) else {}
            used = {str(path): (str(run), int(size)) for path, (run, size) in used.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            used = {}
        found = {}
        for path in self._files.list(FOLDER):
            if path.endswith(".part"):
                self._files.remove(path)
            elif path.endswith(".parquet"):
                run = path.rpartition("/")[2].rpartition("-")[0]
                found[path] = used.get(path) or (run, len(self._files.read(path)))
        return found

    def _own(self) -> list[str]:
        """Return the files of this key, the latest first."""
        return sorted((p for p in self._used if p.startswith(f"{self._home}/")), reverse=True)

    def _digests_of(self, path: str) -> pa.Array:
        if path not in self._digests:
            with self._files.open(path) as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                if not parquet.schema_arrow.equals(_ROWS):
                    raise ValueError("has the columns of another version")
                column = parquet.read(["digest"], use_threads=False)["digest"]
                self._digests[path] = pa.concat_arrays(column.chunks or [pa.array([], _DIGEST)])
        return self._digests[path]

    def _rows(self, path: str, rows: Places) -> pa.Table:
        """Return rows of a file in the order asked for, reading only the groups they lie in."""
        groups = np.unique(rows // GROUP)
        with self._files.open(path) as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            table = parquet.read_row_groups(groups.tolist(), TOLD.names, use_threads=False)
        place = np.searchsorted(groups, rows // GROUP) * GROUP + rows % GROUP
        return table.take(pa.array(place)).cast(TOLD).combine_chunks()

    def _put(self, path: str, tables: Sequence[pa.Table]) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables(tables), sink, row_group_size=GROUP, compression="zstd",
                       write_page_checksum=True, store_schema=True)  # fmt: skip
        data = memoryview(sink.getvalue())
        try:
            self._files.write(f"{path}.part", data)
            self._files.replace(f"{path}.part", path)
        except OSError as error:
            self._give_up(path, error)
            return
        self._used[path] = (self._run, len(data))

    def _make_one(self, small: Sequence[str]) -> None:
        tables = []
        for path in small:
            try:
                with self._files.open(path) as file:
                    parquet = pq.ParquetFile(file, page_checksum_verification=True)
                    tables.append(parquet.read(use_threads=False).cast(_ROWS))
            except _FAULTS as error:
                self._give_up(path, error)
        self._put(f"{self._home}/{self._run}-one.parquet", tables)
        for path in small:
            self._drop(path)

    def _make_room(self) -> None:
        """Remove what was used longest ago until the rest is within the limit."""
        size = sum(size for _, size in self._used.values())
        for path, (_, own) in sorted(self._used.items(), key=lambda item: (item[1][0], item[0])):
            if size <= self._limit:
                return
            self._drop(path)
            size -= own

    def _drop(self, path: str) -> None:
        self._used.pop(path, None)
        self._digests.pop(path, None)
        with suppress(OSError):
            self._files.remove(path)

    def _give_up(self, path: str, error: Exception) -> None:
        warnings.warn(
            f"{self._files.where(path)}: {error}; this part of the cache is removed, its texts "
            "are read by the model again",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip
        self._drop(path)


def _bytes(digests: pa.Array) -> pa.Array:
    """Return digests, written in hexadecimal, as bytes.

    >>> _bytes(pa.array(["00" * 15 + "ff"]))[0].as_py()[-2:]
    b'\\x00\\xff'
    """
    return pa.array([bytes.fromhex(digest) for digest in digests.to_pylist()], _DIGEST)
