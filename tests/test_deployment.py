"""The deployments of prefect.yaml on a real server: a scheduled run appears, and runs.

The server (SQLite in a temporary folder) and the worker are processes of their own.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from cxnlp import schema
from cxnlp.warehouse import Warehouse

pytestmark = pytest.mark.slow
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
ROWS = ("id;date;auteur;texte", "1;2026-08-14;Ana;Accueil charmant.", "2;2026-09-15;Bob;Trop cher.")
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Server:
    """A server with everything deployed, and the deployments as they were before any test."""

    api: str
    environment: dict[str, str]
    folder: Path
    deployed: dict[str, Any] = field(default_factory=dict)

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310
            f"{self.api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def prefect(self, *arguments: str) -> None:
        done = subprocess.run(
            [*PREFECT, *arguments], cwd=ROOT, env=self.environment, capture_output=True,
            text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def deployments(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.ask("deployments/filter")}

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        named = {"name": {"any_": [deployment]}}
        return list(self.ask("flow_runs/filter", deployments=named, sort="EXPECTED_START_TIME_ASC"))

    def ended(self, deployment: str) -> list[dict[str, Any]]:
        return [run for run in self.runs(deployment) if run["state_type"] in ENDED]

    def start(self, deployment: str, **parameters: Any) -> None:
        name = self.deployments()[deployment]["id"]
        self.ask(f"deployments/{name}/create_flow_run", parameters=parameters)


def wait(until: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := until():
            return found
        time.sleep(1)
    raise AssertionError(f"not after {seconds} s: {what}")


def is_up(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=10):  # noqa: S310
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """A server with its data in a folder of its own, a work pool, and prefect.yaml deployed."""
    folder = tmp_path_factory.mktemp("deployed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    api = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": api, "CLE": "une-cle",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }  # fmt: skip
    for name in ("night", "past"):
        config(folder, name, tiny_model)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*PREFECT, "server", "start", "--no-ui", "--port", port],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait(lambda: is_up(api), "the server is up")
        made = Server(api, environment, folder)
        made.prefect("work-pool", "create", "cxnlp", "--type", "process")
        made.prefect("deploy", "--all")
        made.deployed = made.deployments()
        yield made
    finally:
        process.terminate()
        process.wait(60)


def config(folder: Path, name: str, model: Path) -> None:
    """Write a configuration with an export and a warehouse of its own."""
    (folder / f"{name}.csv").write_text("\n".join(ROWS), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "author": "auteur", "text": "texte"}
    source = {"name": "avis", "files": str(folder / f"{name}.csv"), "fields": fields}
    data = {
        "warehouse": str(folder / name), "model": str(model), "sources": [source],
        "privacy": {"author_key_env": "CLE"},
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


@pytest.fixture(scope="module")
def worked(server: Server) -> Server:
    """The server after a worker came to three backfills that waited, and a night was due."""
    for _ in range(3):
        server.start("backfill", config=str(server.folder / "past.yaml"),
                     first_day="2026-08-01", last_day="2026-09-30")  # fmt: skip
    text = (ROOT / "prefect.yaml").read_text("utf-8").replace('"0 4 * * *"', '"* * * * *"')
    text = text.replace("configs/nightly.yaml", str(server.folder / "night.yaml"))
    (server.folder / "minutely.yaml").write_text(text, encoding="utf-8")
    server.prefect("deploy", "--name", "nightly", "--prefect-file",
                   str(server.folder / "minutely.yaml"))  # fmt: skip
    with (server.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*PREFECT, "worker", "start", "--pool", "cxnlp"],
            cwd=ROOT, env=server.environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait(lambda: len(server.ended("backfill")) == 3, "three backfills have ended")
        wait(lambda: server.ended("nightly"), "a scheduled night has ended")
    finally:
        worker.terminate()
        worker.wait(120)
    return server


def test_the_night_is_scheduled_at_four_in_paris(server: Server) -> None:
    (schedule,) = server.deployed["nightly"]["schedules"]
    assert schedule["schedule"]["cron"] == "0 4 * * *"
    assert schedule["schedule"]["timezone"] == "Europe/Paris"


def test_a_run_of_the_schedule_appears_by_itself(server: Server) -> None:
    assert wait(lambda: server.runs("nightly"), "a run is scheduled")[0]["auto_scheduled"]


def test_every_deployment_is_there_and_runs_once_at_a_time(server: Server) -> None:
    limits = {
        name: (one["global_concurrency_limit"]["limit"],
               one["concurrency_options"]["collision_strategy"])
        for name, one in server.deployed.items()
    }  # fmt: skip
    assert limits == dict.fromkeys(("nightly", "backfill", "reanalyse"), (1, "CANCEL_NEW"))


def test_a_scheduled_night_runs(worked: Server) -> None:
    first = worked.ended("nightly")[0]
    assert (first["state_type"], first["auto_scheduled"]) == ("COMPLETED", True)
    comments = Warehouse(str(worked.folder / "night")).read(schema.COMMENTS)
    assert sorted(comments["text"].to_pylist()) == ["Accueil charmant.", "Trop cher."]


def test_a_run_is_named_by_its_day(worked: Server) -> None:
    name = worked.ended("nightly")[0]["name"]
    assert name.startswith("nuit-20")
    assert len(name) == len("nuit-2026-09-15")


def test_runs_that_waited_do_not_pile_up(worked: Server) -> None:
    states = sorted(run["state_type"] for run in worked.ended("backfill"))
    assert states == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert Warehouse(str(worked.folder / "past")).read(schema.RUNS).num_rows == 1


def test_a_backfill_analyses_month_by_month(worked: Server) -> None:
    (run,) = (run for run in worked.ended("backfill") if run["state_type"] == "COMPLETED")
    tasks = worked.ask("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert sorted(t["name"] for t in tasks if t["name"].startswith("analyser")) == [
        "analyser 2026-08-01 2026-08-31", "analyser 2026-09-01 2026-09-30"
    ]  # fmt: skip
    assert run["name"].endswith(" 2026-08-01 2026-09-30")


def test_a_night_leaves_its_report_and_alerts_as_artifacts(worked: Server) -> None:
    keys = {artifact["key"] for artifact in worked.ask("artifacts/filter")}
    assert keys - {None} == {"nuit", "sources", "alertes"}
