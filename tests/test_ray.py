"""Shards analysed by workers of a real Ray cluster give the tables of a run without one."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.errors import ConfigError
from cxnlp.warehouse import Warehouse

pytestmark = pytest.mark.slow
OPENINGS = ("Accueil charmant", "Deux heures de queue", "Prix trop élevé", "Chambre très propre")
ENDINGS = ("au guichet numéro {}.", "et service client injoignable, commande {}.", "au salon {} !")
ROWS = 240
DROPPED = ("run_id", "analysed_at", "author_key")


class Place:
    """A warehouse of 240 comments, eight shards, and what its runs told."""

    def __init__(self, folder: Path, model: Path, analyzer: Analyzer) -> None:
        self._folder, self._analyzer, self.told = folder, analyzer, list[str]()
        texts = [
            f"{OPENINGS[i % 4]} {ENDINGS[i % 3].format(i // 2)}" for i in range(ROWS)
        ]  # fmt: skip
        lines = ["id;texte", *(f"{i};{text}" for i, text in enumerate(texts))]
        (folder / "avis.csv").write_text("\n".join(lines), encoding="utf-8")
        fields = {"native_id": "id", "text": "texte"}
        source = {"name": "avis", "files": str(folder / "avis.csv"), "fields": fields}
        self.data: dict[str, Any] = {"model": str(model), "sources": [source]}

    def config(self, name: str, **execution: Any) -> Path:
        """Write the configuration of a warehouse of that name."""
        execution["shard_size"] = ROWS // 8
        path = self._folder / "config.yaml"
        data = self.data | {"warehouse": str(self._folder / name), "execution": execution}
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    def run(self, name: str, tell: Any = lambda _: None, **execution: Any) -> night.Analysed:
        """Ingest and analyse into the warehouse of that name."""

        def telling(said: str) -> None:
            self.told.append(said)
            tell(said)

        settings = load_settings(self.config(name, **execution))
        tonight = night.Night.begin(settings, tell=telling)
        with tonight.underway():
            night.ingest(tonight, tonight.settings.sources[0])
            return night.analyse(tonight, self._analyzer)

    def tables(self, name: str) -> list[pa.Table]:
        """Return comments and mentions without what names the run."""
        found = Warehouse(str(self._folder / name))
        return [
            found.read(table).drop_columns([n for n in DROPPED if n in table.names])
            for table in (schema.COMMENTS, schema.MENTIONS)
        ]

    def workers(self) -> list[int]:
        """Return the processes that the last run told of."""
        said = next(s for s in reversed(self.told) if "workers of Ray" in s)
        return [int(word.split()[0]) for word in said.split("process ")[1:]]


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, analyzer: Analyzer) -> Place:
    return Place(tmp_path, tiny_model, analyzer)


@dataclass
class Cluster:
    """The addresses of a cluster, for drivers on its machines and for those elsewhere."""

    inside: str
    outside: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of two cores, and of a GPU that it only believes to have."""
    inside, outside = _free_ports(2)
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder,  # sockets: a short path
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("RAY_AUTH_MODE", "disabled")
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        head = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", "--head", "--block",
             f"--port={inside}", "--num-cpus=2", "--num-gpus=1",
             f"--ray-client-server-port={outside}", "--include-dashboard=false",
             "--disable-usage-stats", f"--temp-dir={folder}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            import ray  # which reads the environment

            here = ray.util.get_node_ip_address()
            _wait(here, outside, head)
            yield Cluster(f"{here}:{inside}", f"ray://{here}:{outside}")
        finally:
            head.terminate()
            head.wait(60)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(host: str, port: int, head: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end and head.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"the cluster does not answer, its status is {head.poll()}")


def test_workers_give_the_tables_of_a_run_without_them(place: Place) -> None:
    """On a cluster that the run itself starts."""
    command = [sys.executable, "-m", "cxnlp", "run", "--direct"]
    path = place.config("ray", engine="ray", workers=2)
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place.run("local")
    assert place.tables("ray") == place.tables("local")


def test_a_worker_killed_mid_shard_costs_that_shard_alone(place: Place, cluster: Cluster) -> None:
    def kill(said: str) -> None:
        if said.startswith("30 of"):
            os.kill(place.workers()[0], signal.SIGKILL)

    place.data["inference"] = {"device": "cpu"}
    done = place.run("killed", kill, engine="ray", address=cluster.inside)
    place.run("whole")
    assert (done.written, done.texts) == (ROWS, ROWS)
    assert place.tables("killed") == place.tables("whole")


def test_a_network_on_a_gpu_answers_all_workers(place: Place, cluster: Cluster) -> None:
    """Ray is told of a GPU that is not there, so that the network there computes on the CPU."""
    place.run("asked", engine="ray", address=cluster.outside)
    place.run("local")
    assert any("2 workers of Ray and 1 GPUs" in said for said in place.told)
    assert place.tables("asked") == place.tables("local")


def test_a_text_that_an_earlier_night_read_is_not_read_again(
    place: Place, cluster: Cluster
) -> None:
    place.run("twice")
    path = Path(place.data["sources"][0]["files"])
    lines = [f"{line};Merci !" for line in path.read_text("utf-8").splitlines()[1:]]
    path.write_text("\n".join(["id;texte;reponse", *lines]), encoding="utf-8")
    place.data["sources"][0]["fields"]["reply_text"] = "reponse"
    done = place.run("twice", engine="ray", address=cluster.inside)
    assert (done.written, done.texts) == (ROWS, 0)


def test_more_workers_than_cores_are_refused(place: Place, cluster: Cluster) -> None:
    with pytest.raises(ConfigError, match=r"execution\.workers: 9 workers .* Ray cluster has 2"):
        place.run("many", engine="ray", address=cluster.inside, workers=9)


def test_ray_that_is_not_installed_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'cxnlp\[ray\]'"):
        place.run("absent", engine="ray")
