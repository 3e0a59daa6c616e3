"""Where the bytes of a warehouse lie: a folder, or an object store through fsspec.

Comes in: paths relative to the warehouse (`tables/runs.parquet`) and bytes. Goes out: whole
files, listings, and one lock. Left out: what a file means, and which files belong together
(`journal.py`). Both classes have the same methods; every step of them may be repeated.
"""

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import fsspec
import pyarrow as pa
from filelock import FileLock, Timeout
from fsspec.core import url_to_fs

from cxnlp.errors import ConfigError, WarehouseBusyError, WarehouseError

LOCK: Final = "state/lock"
HOLDER: Final = "state/holder.json"
PRIVATE: Final = ("raw", "state")


def open_files(root: str) -> "LocalFiles | ObjectFiles":
    """Return the files of a folder or of an fsspec URL; creates nothing.

    Raises `ConfigError` when the URL is of no known kind or its driver is not installed.
    """
    if "://" not in root and "::" not in root:
        return LocalFiles(Path(root))
    try:
        system, path = url_to_fs(root)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"warehouse {root!r}: {error}; expected a folder, or an fsspec URL such as s3://… "
            "with its driver installed"
        ) from error
    if isinstance(system, fsspec.get_filesystem_class("file")):
        return LocalFiles(Path(path))
    return ObjectFiles(root.rstrip("/"), system, path.rstrip("/"))


class LocalFiles:
    """Files of a folder: `replace` is `os.replace`, the lock is the kernel's."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def where(self, path: str = "") -> str:
        """Return the full name, for people and for DuckDB."""
        return str(self._root / path)

    def exists(self, path: str) -> bool:
        return (self._root / path).is_file()

    def list(self, folder: str) -> list[str]:
        """Return the files anywhere below `folder`, sorted; none when it is not there."""
        base = self._root / folder
        found = (Path(at) / name for at, _, names in os.walk(base) for name in names)
        return sorted(path.relative_to(self._root).as_posix() for path in found)

    def stamps(self, folder: str) -> dict[str, str]:
        """Return what changes when a file below `folder` is replaced, by path."""
        found = {}
        for path in self.list(folder):
            with suppress(FileNotFoundError):  # removed since it was listed
                state = (self._root / path).stat()
                found[path] = f"{state.st_ino} {state.st_mtime_ns} {state.st_size}"
        return found

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def open(self, path: str) -> Any:
        """Return a file that Arrow can seek in: opened once, so whole whatever replaces it."""
        return pa.OSFile(self.where(path))

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Write a file and wait until the disk has it; not atomic, see `replace`."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, staged: str, final: str) -> None:
        target = self._root / final
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._root / staged).replace(target)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there, and the folders that it leaves empty."""
        target = self._root / path
        target.unlink(missing_ok=True)
        for folder in target.parents:
            if folder.parent in (self._root, self._root.parent):
                return
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return

    def sync(self, paths: Iterable[str]) -> None:
        """Make names durable: waits for the folders of `paths`, up to the warehouse's own."""
        folders = {folder for path in paths for folder in Path(path).parents}
        for folder in sorted(self._root / folder for folder in folders):
            if folder.is_dir():
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        """Hold the warehouse; the kernel lets go when the process ends, however it ends."""
        lock = FileLock(self._root / LOCK, blocking=False)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            for folder in PRIVATE:
                (self._root / folder).mkdir(mode=0o700, exist_ok=True)
            lock.acquire()
            (self._root / HOLDER).write_text(_holder(holder), encoding="utf-8")
        except Timeout:
            raise _busy(self, "try again when it has ended") from None
        except OSError as error:
            lock.release()
            raise WarehouseError(
                f"{self._root}: cannot be held for writing: {error}; choose a folder that can be "
                "written to, with room left"
            ) from error
        try:
            yield
        finally:
            (self._root / HOLDER).unlink(missing_ok=True)
            lock.release()


class ObjectFiles:
    """Objects of an fsspec file system: a put of a whole object is the atomic step.

    The lock is an object too, put only where there is none, as far as the store knows how (S3
    does, with `If-None-Match`); a run that was killed leaves it behind.
    """

    def __init__(self, url: str, system: Any, path: str) -> None:
        self._url, self._system, self._path = url, system, path

    def where(self, path: str = "") -> str:
        """Return the full name, for people and for DuckDB."""
        return f"{self._url}/{path}" if path else self._url

    def exists(self, path: str) -> bool:
        self._system.invalidate_cache()
        return bool(self._system.isfile(self._at(path)))

    def list(self, folder: str) -> list[str]:
        """Return the objects anywhere below `folder`, sorted; none when there are none."""
        self._system.invalidate_cache()
        try:
            found = self._system.find(self._at(folder))
        except FileNotFoundError:
            return []
        return sorted(str(path)[len(self._path) + 1 :] for path in found)

    def stamps(self, folder: str) -> dict[str, str]:
        """Return what changes when an object below `folder` is replaced, by path."""
        self._system.invalidate_cache()
        try:
            found = self._system.find(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {str(path): str(info) for path, info in found.items()}

    def read(self, path: str) -> bytes:
        return bytes(self._system.cat_file(self._at(path)))

    def open(self, path: str) -> Any:
        """Return a file that Arrow can seek in: one get, so whole whatever replaces it."""
        return pa.BufferReader(self.read(path))

    def write(self, path: str, data: bytes | memoryview) -> None:
        self._system.pipe_file(self._at(path), bytes(data))

    def replace(self, staged: str, final: str) -> None:
        self._system.cp_file(self._at(staged), self._at(final))
        self._system.rm_file(self._at(staged))

    def remove(self, path: str) -> None:
        if self.exists(path):
            self._system.rm_file(self._at(path))

    def sync(self, paths: Iterable[str]) -> None:
        """Nothing to wait for: a put that has returned is durable."""

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        """Hold the warehouse as far as an object store can."""
        try:
            if self.exists(LOCK):
                raise FileExistsError
            self._system.pipe_file(self._at(LOCK), b"", mode="create")
        except FileExistsError:
            raise _busy(self, f"if it was killed, delete {self.where(LOCK)}") from None
        self.write(HOLDER, _holder(holder).encode())
        try:
            yield
        finally:
            self.remove(HOLDER)
            self.remove(LOCK)

    def _at(self, path: str) -> str:
        return f"{self._path}/{path}"


def _holder(holder: str) -> str:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "run_id": holder})


def _busy(files: LocalFiles | ObjectFiles, remedy: str) -> WarehouseBusyError:
    try:
        known = json.loads(files.read(HOLDER))
        who = f"run {known['run_id'] or '(unnamed)'}, process {known['pid']} on {known['host']}"
    except (OSError, ValueError, KeyError):
        who = "another run"
    return WarehouseBusyError(f"{files.where()}: held by {who}; {remedy}")
