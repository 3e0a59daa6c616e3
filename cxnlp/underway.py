"""A run from its start to its end: it holds the warehouse, and its failure leaves a row in `runs`.

Comes in: a warehouse, settings, the run's id and start. Goes out: at most one row of `runs`.
Left out: the row of a run that ends well (`night.finish`). A row says what failed, never whose
comment it was: our own messages are masked, of others only the class and the place are kept.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.config import Settings
from cxnlp.errors import CxnlpError
from cxnlp.masks import mask
from cxnlp.notify import tell_failure, webhook
from cxnlp.parts import Part
from cxnlp.version import __version__
from cxnlp.warehouse import Warehouse

_LIMIT: Final = 500  # characters of a message
_HERE: Final = Path(__file__).parent


@contextmanager
def underway(
    warehouse: Warehouse, settings: Settings, run_id: str, started: datetime
) -> Iterator[None]:
    """Hold the warehouse; whatever is raised inside is noted in `runs`, told and raised again.

    Raises `WarehouseBusyError` when another run holds it; such a run leaves no row.
    """
    webhook(settings.notify)  # one that is missing shows now, not when it is needed
    with warehouse.hold(run_id):
        try:
            yield
        except BaseException as error:
            try:
                _note(warehouse, settings, run_id, started, error)
            except (
                CxnlpError,
                OSError,
            ) as second:  # as on a full disk: the first is the one to tell
                error.add_note(f"the failure could not be noted in runs: {second}")
            if isinstance(error, Exception):  # whoever interrupts a run knows it
                tell_failure(settings.notify, run_id, sentence(error))
            raise


def sentence(error: BaseException) -> str:
    """Return what is told of an error: its class, and its message or, of others', its place.

    >>> from cxnlp.errors import SourceError
    >>> sentence(SourceError("avis.csv: line of ana@exemple.fr"))
    'SourceError: avis.csv: line of [email]'
    """
    name = type(error).__name__
    if isinstance(error, CxnlpError):
        return f"{name}: {mask(str(error))[:_LIMIT]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(_HERE)] or frames
    return f"{name} at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else name


def _note(
    warehouse: Warehouse, settings: Settings, run_id: str, started: datetime, error: BaseException
) -> None:
    runs = warehouse.read(schema.RUNS)
    own = pc.equal(runs["run_id"], run_id)
    row = (runs.filter(own).to_pylist() or [_blank(settings, run_id, started)])[0]
    row |= {"status": "failed", "error": sentence(error), "finished_at": datetime.now(UTC)}
    new = pa.Table.from_pylist([row], schema=schema.RUNS.arrow)
    parts = [Part(schema.RUNS, pa.concat_tables([runs.filter(pc.invert(own)), new]))]
    warehouse.publish(parts, run_id=run_id, metadata={"config": settings.digest})


def _blank(settings: Settings, run_id: str, started: datetime) -> dict[str, Any]:
    """Return the row of a run that got nowhere: zeros, and no version of what was not loaded."""
    kinds = {c.name: "" if c.type == schema.STRING else 0 for c in schema.RUNS.columns
             if not c.nullable}  # fmt: skip
    return kinds | {
        "run_id": run_id, "started_at": started, "config_digest": settings.digest,
        "cxnlp_version": __version__,
    }  # fmt: skip
