"""The nightly flow is a real Prefect flow run, and ends as the command line says.

Run as a program, this file runs the flow with a server of its own: see `_run_thrice`.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxnlp import schema
from cxnlp.cli import main
from cxnlp.errors import SourceError
from cxnlp.warehouse import Warehouse

TEXTS = (
    "Accueil charmant, mais deux heures de queue au guichet.",
    "Le prix est trop élevé. Service client injoignable !",
    "La livraison est arrivée avec trois jours de retard.",
)


@dataclass
class Flows:
    """Three runs of the flow, the third without its file.

    `ended` has the exit status and the message of each, `noise` what else came on stderr.
    """

    ended: list[list[Any]]
    artifacts: dict[str, str]
    states: list[str]
    noise: str
    runs: list[dict[str, Any]]
    texts: list[str]


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Flows:
    folder = tmp_path_factory.mktemp("flow")
    export, config = folder / "avis.csv", folder / "config.yaml"
    rows = [f"{i};2026-09-14;{text}" for i, text in enumerate(TEXTS)]
    export.write_text("\n".join(["id;date;texte", *rows]), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "text": "texte"}
    source = {"name": "avis", "files": str(export), "fields": fields}
    settings = {"warehouse": str(folder / "out"), "model": str(tiny_model), "sources": [source]}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, __file__, str(config), str(export)],
        env=os.environ | {"PREFECT_HOME": str(folder / "prefect")},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    tables = Warehouse(str(folder / "out"))
    return Flows(
        **json.loads(done.stdout),
        noise=done.stderr,
        runs=tables.read(schema.RUNS).to_pylist(),
        texts=tables.read(schema.COMMENTS)["text"].to_pylist(),
    )


def test_a_flow_that_is_done_ends_in_0(flows: Flows) -> None:
    assert flows.ended[:2] == [[0, ""], [0, ""]]


def test_a_flow_makes_the_tables(flows: Flows) -> None:
    assert sorted(flows.texts) == sorted(TEXTS)
    assert flows.runs[0]["comments_written"] == len(TEXTS)


def test_a_second_run_of_the_flow_writes_nothing(flows: Flows) -> None:
    counted = ("files_read", "rows_read", "analysed", "comments_written")
    assert [flows.runs[1][name] for name in counted] == [0, 0, 0, 0]


def test_a_flow_leaves_its_report_as_artifacts(flows: Flows) -> None:
    assert flows.runs[1]["run_id"] in flows.artifacts["nuit"]
    assert "avis" in flows.artifacts["sources"]


def test_a_flow_without_its_file_ends_in_2_and_one_message(flows: Flows) -> None:
    status, message = flows.ended[2]
    assert status == 2
    assert message.startswith("cxnlp: source avis: no file matches")
    assert message.count("\n") == 1


def test_each_run_has_a_row_that_says_how_it_ended(flows: Flows) -> None:
    assert [row["status"] for row in flows.runs] == ["done", "done", "failed"]


def test_prefect_knows_how_each_run_ended(flows: Flows) -> None:
    assert flows.states == ["COMPLETED", "COMPLETED", "FAILED"]


def test_prefect_itself_says_nothing_on_the_terminal(flows: Flows) -> None:
    assert flows.noise == ""


@pytest.mark.parametrize(
    ("cause", "again"),
    [(OSError("the network is gone"), True), (FileNotFoundError("x"), False), (None, False)],
)
def test_reading_is_tried_again_only_after_a_failure_of_disk_or_network(
    cause: OSError | None, again: bool
) -> None:
    from prefect.states import Failed

    from pipelines.tasks import _waits

    error = SourceError("avis.csv: cannot be read")
    error.__cause__ = cause
    assert _waits(None, None, Failed(data=error)) == again


def _cxnlp(*arguments: str) -> tuple[int, str]:
    """Call the command in this process; return its exit status and what it says of mistakes."""
    sys.argv, told = ["cxnlp", *arguments], io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), told.getvalue()
    return 0, told.getvalue()


def _run_thrice(config: str, export: Path) -> dict[str, Any]:
    """Run the flow twice, and once without the file it reads; return all that Prefect knows."""
    ended = [_cxnlp("run", config) for _ in range(2)]
    export.unlink()
    ended.append(_cxnlp("run", config))
    from prefect.artifacts import Artifact
    from prefect.client.orchestration import get_client

    artifacts = {key: Artifact.get(key) for key in ("nuit", "sources")}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    return {
        "ended": ended,
        "artifacts": {key: one and str(one.data) for key, one in artifacts.items()},
        "states": sorted(str(run.state_type.value) for run in runs if run.state_type),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run_thrice(sys.argv[1], Path(sys.argv[2]))))
