"""One run of the pipeline: what it works on, and what its first stages say they did.

Comes in: settings and, if not all, the days. Goes out: a `Night` that the stages are handed.
Left out: the stages (`night.py`, `analysing.py`).
"""

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple

from cxnlp.config import Settings
from cxnlp.underway import underway
from cxnlp.version import __version__
from cxnlp.warehouse import Warehouse

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What ingest did for one source: files and rows read this time."""

    source: str
    files: int
    rows: int
    comments: int
    rejects: int
    seconds: float


class Analysed(NamedTuple):
    """What analyse did: rows of `comments` written, texts read by the model, seconds."""

    written: int
    texts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Night:
    """One run: what it works on and how it is called."""

    settings: Settings
    warehouse: Warehouse
    run_id: str
    started: datetime
    first_day: date | None = None
    last_day: date | None = None
    tell: Tell = field(default=lambda _: None)

    @classmethod
    def begin(
        cls, settings: Settings, first_day: date | None = None, last_day: date | None = None,
        tell: Tell = lambda _: None,
    ) -> "Night":  # fmt: skip
        """Return a run that starts now."""
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        return cls(settings, Warehouse(settings.warehouse), run_id, now, first_day, last_day, tell)

    def underway(self) -> AbstractContextManager[None]:
        """Hold the warehouse; a failure inside leaves a row in `runs`."""
        return underway(self.warehouse, self.settings, self.run_id, self.started)

    @property
    def metadata(self) -> dict[str, str]:
        return {"config": self.settings.digest, "cxnlp": __version__}
