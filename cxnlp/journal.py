"""Put many files in place as if at once, whatever happens in between.

Comes in: bytes with the path they are meant for, and paths to remove. Goes out: all of them
done, or, after a kill, a journal that `recover` finishes. Left out: what the files hold.

1. every new file is written to `state/staging` and synced: a kill here leaves litter;
2. `state/journal.json`, which names them, appears by one rename: from here on it is settled;
3. each file is renamed into place, removals are made, the journal goes. Every step may be
   repeated, so a kill here is finished by the next `recover`, and so is a kill in `recover`.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

from cxnlp.errors import WarehouseError
from cxnlp.storage import LocalFiles, ObjectFiles

JOURNAL: Final = "state/journal.json"
STAGING: Final = "state/staging"
Files = LocalFiles | ObjectFiles


@dataclass(frozen=True, slots=True)
class Staged:
    """A new file that waits in `staged` to become `final`."""

    staged: str
    final: str
    sha256: str


class Publication:
    """The files staged so far, and those to remove."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.staged: list[Staged] = []
        self.removed: list[str] = []

    def put(self, path: str, data: bytes | memoryview) -> str:
        """Stage the new content of `path` and return its sha256."""
        staged = f"{STAGING}/{len(self.staged):06d}"
        self._files.write(staged, data)
        self.staged.append(Staged(staged, path, hashlib.sha256(data).hexdigest()))
        return self.staged[-1].sha256

    def remove(self, path: str) -> None:
        """Note that `path` goes away."""
        self.removed.append(path)


@contextmanager
def publication(files: Files) -> Iterator[Publication]:
    """Collect files, then put all in place at the end of the `with`; none if it fails.

    Raises `WarehouseError` when the disk is full or fails.
    """
    recover(files)
    new = Publication(files)
    try:
        yield new
        if new.staged or new.removed:
            _settle(files, new.staged, new.removed)
    except OSError as error:
        raise _failed(files, error) from error
    except BaseException:
        _sweep(files)
        raise
    recover(files)


def recover(files: Files) -> None:
    """Finish the publication whose journal is found, and clear what is left of staging.

    Raises `WarehouseError` when a file that the journal names is nowhere.
    """
    try:
        if files.exists(JOURNAL):
            _finish(files)
        _sweep(files)
    except OSError as error:
        raise WarehouseError(
            f"{files.where()}: a publication is settled but not finished: {error}; mend the "
            "disk and run again, it is then finished first"
        ) from error


def _settle(files: Files, staged: Sequence[Staged], removed: Sequence[str]) -> None:
    files.sync(entry.staged for entry in staged)
    plan = {"put": [asdict(entry) for entry in staged], "remove": list(removed)}
    files.write(f"{STAGING}/journal.json", json.dumps(plan, indent=1).encode())
    files.replace(f"{STAGING}/journal.json", JOURNAL)
    files.sync([JOURNAL])


def _finish(files: Files) -> None:
    plan = json.loads(files.read(JOURNAL))
    entries = [Staged(**entry) for entry in plan["put"]]
    for entry in entries:
        if files.exists(entry.staged):
            files.replace(entry.staged, entry.final)
        elif not _in_place(files, entry):
            raise WarehouseError(
                f"{files.where(entry.final)}: was to be replaced, but its new content is neither "
                f"there nor in {files.where(entry.staged)}; put the warehouse back from a copy"
            )
    for path in plan["remove"]:
        files.remove(path)
    files.sync([entry.final for entry in entries] + plan["remove"])
    files.remove(JOURNAL)
    files.sync([JOURNAL])


def _in_place(files: Files, entry: Staged) -> bool:
    return (
        files.exists(entry.final)
        and hashlib.sha256(files.read(entry.final)).hexdigest() == entry.sha256
    )


def _sweep(files: Files) -> None:
    if not files.exists(JOURNAL):
        for path in files.list(STAGING):
            files.remove(path)


def _failed(files: Files, error: OSError) -> WarehouseError:
    with suppress(OSError):  # the next `recover` sweeps; the first error is the one to tell
        _sweep(files)
    if files.exists(JOURNAL):
        return WarehouseError(
            f"{files.where()}: the disk failed as a publication was settled: {error}; mend it and "
            "run again, the publication is then finished first"
        )
    return WarehouseError(
        f"{files.where()}: cannot be written: {error}; the tables are as before, nothing of this "
        "publication is kept; make room or mend the disk and run again"
    )
