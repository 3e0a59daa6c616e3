"""What all flow runs have in common: a name with the day, a voice, and how they give way.

Comes in: parameters of a flow. Goes out: a `Night`, a name, a state. Left out: the stages.
"""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import date
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from prefect import get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled

from cxnlp.config import Settings
from cxnlp.errors import WarehouseBusyError
from cxnlp.night import Night, Tell

# Set by who calls a flow in this process. No parameter, since those are data that a schedule gives.
listener: ContextVar[Tell | None] = ContextVar("listener", default=None)
_PARIS = ZoneInfo("Europe/Paris")
Given = ParamSpec("Given")
Result = TypeVar("Result")


def begin(settings: Settings, first: date | None = None, last: date | None = None) -> Night:
    """Return a run that tells what it does to who listens, otherwise to the log of the flow run."""
    return Night.begin(settings, first, last, listener.get() or get_run_logger().info)


def name(kind: str) -> Callable[[], str]:
    """Return what names a run of this kind: by its day in Paris, and the days it is limited to."""

    def named() -> str:
        limits = (flow_run.parameters.get(key) for key in ("first_day", "last_day"))
        days = [str(limit) for limit in limits if limit]
        at = flow_run.scheduled_start_time.astimezone(_PARIS)
        return " ".join([f"{kind}-{at:%Y-%m-%d}", *days])

    return named


def scheduled(flow: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a flow whose deployed runs end as cancelled when another run holds the warehouse.

    Nothing failed then: the next run does what this one would have done. A run that a person
    started raises `WarehouseBusyError`.
    """

    @wraps(flow)
    def giving_way(*args: Given.args, **kwargs: Given.kwargs) -> Any:
        try:
            return flow(*args, **kwargs)
        except WarehouseBusyError as busy:
            if deployment.id is None:
                raise
            return Cancelled(message=str(busy))

    return giving_way
