"""One task at a time on each GPU, by a concurrency limit in Prefect that is made if missing.

Comes in: what the settings say of the device. Goes out: a slot, held while a task computes. Left
out: workers of Ray, whose GPUs Ray gives out. A limit that does not exist limits nothing, and
Prefect says so in a warning only: so it is made first, and then asked for strictly.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from cxnlp.config import Settings
from cxnlp.model.weights import device_for


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """Hold the GPU of this machine that the settings name, if it is one."""
    device = device_for("cpu" if settings.execution.engine == "ray" else settings.inference.device)
    if device.type == "cpu":
        yield
        return
    with slot(f"gpu-{socket.gethostname()}-{device.index or 0}"):
        yield


@contextmanager
def slot(name: str) -> Iterator[None]:
    """Hold a slot of the limit of that name: one, unless somebody has given it more.

    Of a run that was killed, Prefect takes it back after five minutes. A server that does not
    answer for a while does not end the task.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # by another run, just now
                one = GlobalConcurrencyLimitCreate(name=name, limit=1)
                client.create_global_concurrency_limit(one)
    with concurrency(name, strict=True, raise_on_lease_renewal_failure=False):
        yield
