"""A warehouse on S3: the tables of a folder, held by one, finished by the next run if killed.

The store is a local server of moto's. Run as a program, this file publishes and is killed by the
server as it asks for one thing after another: see `_publish`.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
import yaml
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from warehouse_rows import comment, rows
from werkzeug.serving import WSGIRequestHandler, make_server

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.errors import WarehouseBusyError
from cxnlp.forget import forget
from cxnlp.metrics import query
from cxnlp.parts import split
from cxnlp.storage import LOCK
from cxnlp.warehouse import Warehouse

BUCKET = "s3://avis-clients"
KEY = "une clé de test"
DROPPED = ("run_id", "analysed_at", "sequence")


class Store:
    """The server; `kill` may be told to end the process that asks for a change."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.changes, self.victim, self.at = 0, 0, 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            self.changes += 1
            if self.victim and self.changes == self.at:
                os.kill(self.victim, signal.SIGKILL)
        return self._app(environ, start)


class _Silent(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    made = Store()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT_URL": made.url, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
            "CLE_DES_AUTEURS": KEY,
        }.items():  # fmt: skip
            environment.setenv(name, value)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(scope="module")
def nightly(
    store: Store, tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer, tiny_model: Path
) -> dict[str, Any]:
    """Two nights on S3 and one in a folder: the rows of `runs`, and the roots."""
    folder = tmp_path_factory.mktemp("nuit")
    lines = ["id;date;auteur;texte", "1;2026-09-14;Ana;Accueil charmant.",
             "2;2026-10-02;Bob;Trop cher, deux heures de queue.",
             "3;2026-02-31;Ana;Rejeté."]  # fmt: skip
    (folder / "avis.csv").write_text("\n".join(lines), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "author": "auteur", "text": "texte"}
    data = {
        "model": str(tiny_model), "privacy": {"author_key_env": "CLE_DES_AUTEURS"},
        "sources": [{"name": "avis", "files": str(folder / "avis.csv"), "fields": fields}],
    }  # fmt: skip

    def run(root: str) -> dict[str, Any]:
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(data | {"warehouse": root}), encoding="utf-8")
        return dict(night.run(night.Night.begin(load_settings(path)), analyzer).to_pylist()[0])

    there, here = f"{BUCKET}/warehouse", str(folder / "warehouse")
    return {"first": run(there), "second": run(there), "folder": run(here), "s3": there, "at": here}


def content(root: str, table: schema.Table) -> pa.Table:
    data = Warehouse(root).read(table)
    return data.drop_columns([name for name in DROPPED if name in data.column_names])


def test_a_night_on_s3_makes_the_tables_of_a_folder(nightly: dict[str, Any]) -> None:
    different = [
        table.name for table in schema.TABLES
        if table not in (schema.RUNS, schema.FILES)
        and not content(nightly["s3"], table).equals(content(nightly["at"], table))
    ]  # fmt: skip
    assert different == []


def test_a_second_night_on_s3_writes_nothing(nightly: dict[str, Any]) -> None:
    counted = ("files_read", "rows_read", "analysed", "comments_written")
    assert [nightly["second"][name] for name in counted] == [0, 0, 0, 0]


def test_sql_reads_tables_on_s3(nightly: dict[str, Any]) -> None:
    asked = "SELECT count(*) AS n, count(DISTINCT day) AS days FROM comments"
    assert query(nightly["s3"], asked).to_pylist() == [{"n": 2, "days": 2}]


def test_every_object_is_as_it_was_written(nightly: dict[str, Any]) -> None:
    assert Warehouse(nightly["s3"]).verify() == []


def test_an_object_that_was_altered_is_named(nightly: dict[str, Any], store: Store) -> None:
    system, at = fsspec.filesystem("s3"), f"{BUCKET}/altered"
    system.copy(nightly["s3"], at, recursive=True)
    path = f"{at}/tables/rejects.parquet"
    system.pipe_file(path, system.cat_file(path)[:-9] + bytes(9))
    assert any("tables/rejects.parquet: is not as" in said for said in Warehouse(at).verify())


def test_a_person_is_erased_on_s3(nightly: dict[str, Any], store: Store) -> None:
    system, at = fsspec.filesystem("s3"), f"{BUCKET}/forgetful"
    system.copy(nightly["s3"], at, recursive=True)
    assert forget(Warehouse(at), ["Bob"], [], [KEY.encode()]).comments == 1
    system.invalidate_cache()
    holding = [path for path in system.find(at) if b"deux heures" in system.cat_file(path)]
    assert (Warehouse(at).read(schema.COMMENTS).num_rows, holding) == (1, [])


def test_of_runs_that_start_in_the_same_instant_one_holds_the_store(store: Store) -> None:
    together, held, busy = threading.Barrier(4), [], []

    def hold() -> None:
        warehouse = Warehouse(f"{BUCKET}/contended")
        together.wait()
        with suppress(WarehouseBusyError), warehouse.hold("r"):
            held.append(1)
            together.wait(120)
            return
        busy.append(1)
        together.wait(120)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(busy)) == (1, 3)


@pytest.mark.slow
def test_a_publication_killed_at_any_request_is_whole_or_not_there(store: Store) -> None:
    """The lock of a killed run stays, and is deleted by hand as the message says."""
    publish(f"{BUCKET}/killed-0", "Avant.")
    before = store.changes
    publish(f"{BUCKET}/killed-0", "Après.")
    roots = [f"{BUCKET}/killed-{n}" for n in range(1, store.changes - before + 1)]
    with subprocess.Popen(
        [sys.executable, __file__, *roots], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        ended = [_killed(store, program, number, root) for number, root in enumerate(roots, 1)]
    assert {*ended} == {("Avant.", "Avant."), ("Après.", "Après.")}
    assert ended == sorted(ended, reverse=True), "once settled, it stays settled"


def _killed(store: Store, program: Any, at: int, root: str) -> tuple[str, ...]:
    """Kill a publication at its request of that number; return the texts after the next run."""
    publish(root, "Avant.")
    store.victim, store.changes, store.at = int(program.stdout.readline()), 0, at
    program.stdin.write("go\n")
    program.stdin.flush()
    assert program.stdout.readline() == f"{-signal.SIGKILL}\n"
    store.victim = 0
    with suppress(WarehouseBusyError):
        Warehouse(root).settle()
    fsspec.filesystem("s3").rm(f"{root}/{LOCK}")
    warehouse = Warehouse(root)
    warehouse.settle()
    assert warehouse.verify() == []
    return tuple(warehouse.read(schema.COMMENTS)["text"].to_pylist())


def publish(root: str, text: str) -> None:
    """Publish two months, with one text."""
    given = [{**comment(f"c{month}", f"2026-{month:02d}-14"), "text": text} for month in (9, 10)]
    warehouse = Warehouse(root)
    with warehouse.hold("r1"):
        parts = split(rows(schema.COMMENTS, *given), schema.COMMENTS)
        warehouse.publish(parts, run_id="r1", metadata={})


def _publish(roots: list[str]) -> None:
    """Publish in one child per root, which is told to begin and is killed meanwhile."""
    for root in roots:
        child = os.fork()
        if not child:
            sys.stdout.write(f"{os.getpid()}\n")
            sys.stdout.flush()
            sys.stdin.readline()
            publish(root, "Après.")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _publish(sys.argv[1:])
