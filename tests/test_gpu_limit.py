"""One task at a time on each GPU: the limit is made, and it holds.

Run as a program, this file runs a flow of two tasks that want one GPU, with a server of its own.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from cxnlp.config import Settings

NAME = "gpu-essai-0"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    own = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    done = subprocess.run(
        [sys.executable, __file__], env=os.environ | own, check=False, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_two_tasks_on_one_gpu_do_not_overlap(ran: dict[str, Any]) -> None:
    first, second = sorted(ran["held"])
    assert first[1] <= second[0]


def test_the_limit_is_there_after_the_run(ran: dict[str, Any]) -> None:
    assert ran["limits"] == {NAME: 1}


@pytest.mark.parametrize("execution", [{"engine": "local"}, {"engine": "ray"}])
def test_a_task_without_a_gpu_asks_for_none(execution: dict[str, str]) -> None:
    """There is no server to ask here, and none is started."""
    from pipelines.gpus import one_at_a_time

    source = {"name": "avis", "files": "x.csv", "fields": {"text": "texte"}}
    device = "cpu" if execution["engine"] == "local" else "cuda"
    settings = Settings.model_validate({
        "warehouse": "out", "sources": [source], "inference": {"device": device},
        "execution": execution,
    })  # fmt: skip
    with one_at_a_time(settings):
        pass


def _two_tasks() -> dict[str, Any]:
    from prefect import flow, task
    from prefect.client.orchestration import get_client

    from pipelines.gpus import slot

    @task
    def hold() -> tuple[float, float]:
        with slot(NAME):
            began = time.monotonic()
            time.sleep(1)
            return began, time.monotonic()

    @flow
    def both() -> list[tuple[float, float]]:
        return [future.result() for future in [hold.submit(), hold.submit()]]

    held = both()
    with get_client(sync_client=True) as client:
        limits = {one.name: one.limit for one in client.read_global_concurrency_limits()}
    return {"held": held, "limits": limits}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_two_tasks()))
