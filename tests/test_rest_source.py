"""A REST service is read page by page, from where the last fetch came to, whole or not at all."""

import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from rest_service import Answer, Answering, Asked, Service, serving
from typer.testing import CliRunner

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.cli import app
from cxnlp.config import Settings, Source, load_settings
from cxnlp.config_sources import Rest
from cxnlp.errors import ConfigError, SourceError
from cxnlp.ingest import fetch as fetch_module
from cxnlp.ingest.known import Start

TOKEN = "jeton-tres-secret/42"  # noqa: S105
MEANINGS = {401: "is refused", 500: "fails at the service"}
FIELDS = {
    "native_id": "id", "published_at": "created", "author": "author.name", "rating": "stars",
    "text": "text", "reply_text": "reply.text",
}  # fmt: skip
Record = dict[str, Any]


def record(number: int, text: str = "", **more: Any) -> Record:
    """A comment of the service, one an hour."""
    return {
        "id": number, "created": f"2026-09-{1 + number // 24:02}T{number % 24:02}:00:00Z",
        "author": {"name": f"Personne {number}"}, "stars": 1 + number % 5,
        "text": text or f"Commentaire numéro {number}, avec un accueil charmant.",
    } | more  # fmt: skip


def records(count: int) -> list[Record]:
    return [record(number) for number in range(count)]


def by_number(rows: list[Record], size: int = 2) -> Answering:
    """Answer `page=N` with that page, from 1."""

    def answer(asked: Asked) -> Answer:
        start = (int(asked.params["page"]) - 1) * size
        return Answer({"reviews": rows[start : start + size]})

    return answer


class Place:
    """A warehouse, and a configuration with one source that asks the service."""

    def __init__(self, folder: Path, service: Service, analyzer: Analyzer) -> None:
        self.folder, self.service, self.analyzer = folder, service, analyzer
        self.source: dict[str, Any] = {
            "name": "avis", "records": "reviews", "fields": FIELDS,
            "rest": {"url": f"{service.url}/v1/reviews", "wait_max": 0.01, "retries": 2,
                     "pages": {"by": "number", "param": "page"}},
        }  # fmt: skip

    @property
    def rest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.source["rest"]
        return found

    def begin(self) -> night.Night:
        data = {"warehouse": str(self.folder / "warehouse"), "sources": [self.source]}
        return night.Night.begin(Settings.model_validate(data))

    def ingest(self) -> night.Ingested:
        tonight = self.begin()
        with tonight.warehouse.hold():
            return night.ingest(tonight, tonight.settings.sources[0])

    def night(self) -> pa.Table:
        """Ingest and analyse, and see that everything is counted."""
        tonight = self.begin()
        with tonight.warehouse.hold():
            ingested = night.ingest(tonight, tonight.settings.sources[0])
            analysed = night.analyse(tonight, self.analyzer)
            return night.finish(tonight, self.analyzer, [ingested], analysed, 0.0)

    def read(self, table: schema.Table = schema.RAW) -> list[Record]:
        """Return rows, of raw each comment as last seen."""
        rows = self.begin().warehouse.read(table)
        if table is not schema.RAW:
            return list(rows.to_pylist())
        return list({row["comment_id"]: row for row in rows.to_pylist()}.values())

    def ids(self) -> list[int]:
        return sorted(int(row["native_id"]) for row in self.read())

    def params(self, name: str) -> list[str | None]:
        return [asked.params.get(name) for asked in self.service.asked]


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, service: Service, analyzer: Analyzer) -> Place:
    return Place(tmp_path, service, analyzer)


def failing(place: Place, words: str) -> SourceError:
    """See that a fetch fails with these words and leaves nothing; return the error."""
    before = place.read(), place.read(schema.FILES)
    with pytest.raises(SourceError, match=words) as caught:
        place.ingest()
    assert (place.read(), place.read(schema.FILES)) == before
    return caught.value


# --- pages --------------------------------------------------------------------------------------


def test_pages_are_counted_until_one_is_empty(place: Place) -> None:
    place.service.answer = by_number(records(5))
    place.ingest()
    assert place.ids() == [0, 1, 2, 3, 4]
    assert place.params("page") == ["1", "2", "3", "4"]


def test_a_page_of_fewer_records_than_its_size_is_the_last(place: Place) -> None:
    place.service.answer = by_number(records(5))
    place.rest["pages"]["size"] = 2
    place.ingest()
    assert place.params("page") == ["1", "2", "3"]


def test_offsets_go_on_by_the_records_that_came(place: Place) -> None:
    rows = records(5)

    def answer(asked: Asked) -> Answer:
        start = int(asked.params["offset"])
        return Answer({"reviews": rows[start : start + 2]})

    place.service.answer = answer
    place.rest["pages"] = {"by": "offset", "param": "offset"}
    place.ingest()
    assert place.ids() == [0, 1, 2, 3, 4]
    assert place.params("offset") == ["0", "2", "4", "5"]


def test_a_cursor_in_the_answer_leads_on_even_over_an_empty_page(place: Place) -> None:
    pages = {None: ([0, 1], "b"), "b": ([], "c"), "c": ([2], "")}

    def answer(asked: Asked) -> Answer:
        numbers, after = pages[asked.params.get("token")]
        rows = [record(number) for number in numbers]
        return Answer({"reviews": rows, "meta": {"next": after}})

    place.service.answer = answer
    place.rest["pages"] = {"by": "cursor", "param": "token", "path": "meta.next"}
    place.ingest()
    assert place.ids() == [0, 1, 2]


@pytest.mark.parametrize("by", ["link", "address"])
def test_an_address_leads_on_and_the_token_goes_with_it(
    place: Place, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESSAI_JETON", TOKEN)
    rows = records(4)

    def answer(asked: Asked) -> Answer:
        start = int(asked.params.get("from", 0))
        more = f"/v1/reviews?from={start + 2}" if start + 2 < len(rows) else None
        data = {"reviews": rows[start : start + 2], "paging": {"next": more}}
        return Answer(data, headers={"Link": f'<{more}>; rel="next"'} if more else {})

    place.service.answer = answer
    place.rest["pages"] = {"by": by, "path": "paging.next"}
    place.rest["params"] = {"access_token": "${ESSAI_JETON}", "lang": "fr"}
    place.ingest()
    assert place.ids() == [0, 1, 2, 3]
    assert place.params("access_token") == [TOKEN, TOKEN]
    assert place.params("lang") == ["fr", None]


def test_a_service_without_pages_is_asked_once(place: Place) -> None:
    place.service.answer = lambda _: Answer({"reviews": records(3)})
    del place.rest["pages"]
    place.ingest()
    assert (place.ids(), len(place.service.asked)) == ([0, 1, 2], 1)


def test_nested_fields_and_absent_answers_are_read(place: Place) -> None:
    rows = [record(1), record(2, reply={"text": "Merci !"})]
    place.service.answer = by_number(rows)
    place.ingest()
    assert {row["native_id"]: row["reply_text"] for row in place.read()} == {
        "1": None, "2": "Merci !",
    }  # fmt: skip
    assert all(len(row["author_key"]) == 32 for row in place.read())


def test_a_service_that_leaves_out_an_empty_list_has_no_records(place: Place) -> None:
    place.service.answer = lambda _: Answer({})
    assert place.ingest().rows == 0


def test_records_at_the_wrong_place_are_an_error_that_names_the_lists(place: Place) -> None:
    place.service.answer = lambda _: Answer({"items": records(1), "total": 1})
    failing(place, r"no list of records at `records: reviews` \(lists: items\)")


def test_a_wrong_field_shows_at_the_first_fetch(place: Place) -> None:
    place.service.answer = by_number([{"id": 1, "texte": "Bien"}])
    failing(place, "no column 'created'")


def test_a_field_that_tonight_nobody_filled_is_no_error(place: Place) -> None:
    place.service.answer = by_number(records(2))
    place.ingest()
    bare = {"id": 9, "created": "2026-09-02T00:00:00Z", "author": {"name": "Zoé"}}
    place.service.answer = by_number([bare])
    place.ingest()
    assert next(row for row in place.read() if row["native_id"] == "9")["text"] == ""


# --- what comes again, what changes -------------------------------------------------------------


def test_a_second_fetch_of_the_same_changes_nothing(place: Place) -> None:
    place.service.answer = by_number([*records(5), record(6, stars=99)])
    first = place.ingest()
    tables = [place.begin().warehouse.read(t) for t in (schema.RAW, schema.FILES, schema.REJECTS)]
    second = place.ingest()
    again = [place.begin().warehouse.read(t) for t in (schema.RAW, schema.FILES, schema.REJECTS)]
    assert (first.files, first.rows, first.comments, first.rejects) == (1, 6, 5, 1)
    assert (second.files, second.rows) == (0, 0)
    assert tables == again


def test_a_page_that_comes_twice_doubles_nothing(place: Place) -> None:
    rows = records(4)
    pages = [rows[:2], rows[:2], rows[2:], []]
    place.service.answer = lambda asked: Answer({"reviews": pages[int(asked.params["page"]) - 1]})
    done = place.ingest()
    assert (place.ids(), done.rows, done.rejects) == ([0, 1, 2, 3], 4, 0)


def test_of_a_comment_that_changes_between_two_pages_the_last_form_counts(place: Place) -> None:
    rows = [record(1, "Avant"), record(2), record(1, "Après")]
    place.service.answer = by_number(rows)
    assert place.ingest().rejects == 0
    assert {row["native_id"]: row["text"] for row in place.read()}["1"] == "Après"


def test_an_edited_comment_and_a_late_answer_update_their_rows(place: Place) -> None:
    rows = records(3)
    place.service.answer = by_number(rows)
    place.night()
    before = {row["native_id"]: row for row in place.read(schema.COMMENTS)}
    rows[1] = record(1, "Finalement très déçu, deux heures de queue.")
    rows[2] = record(2, reply={"text": "Merci de votre visite !"})
    place.night()
    after = {row["native_id"]: row for row in place.read(schema.COMMENTS)}
    assert after["1"]["text"] == "Finalement très déçu, deux heures de queue."
    assert after["2"]["reply_text"] == "Merci de votre visite !"
    assert [after[n]["comment_id"] for n in "012"] == [before[n]["comment_id"] for n in "012"]
    assert after["0"] == before["0"]


def test_what_cannot_be_read_is_rejected_and_counted(place: Place) -> None:
    rows = [record(1), record(2, created="31/02/2026"), "pas un objet"]
    place.service.answer = by_number(rows)
    done = place.ingest()
    assert (done.rows, done.comments, done.rejects) == (3, 1, 2)
    assert sorted(row["reason"] for row in place.read(schema.REJECTS)) == ["date", "json"]


def test_a_record_that_was_mended_becomes_a_comment(place: Place) -> None:
    place.service.answer = by_number([record(1, stars=99)])
    place.ingest()
    place.service.answer = by_number([record(1)])
    assert (place.ingest().comments, place.ids()) == (1, [1])


def test_a_forgotten_person_does_not_come_back(place: Place) -> None:
    place.service.answer = by_number(records(3))
    place.night()
    warehouse = str(place.folder / "warehouse")
    done = CliRunner().invoke(app, ["forget", warehouse, "--author", "Personne 1"])
    assert done.exit_code == 0, done.output
    assert place.ingest().rows == 0
    assert place.ids() == [0, 2]


def test_new_settings_ask_for_everything_again(place: Place) -> None:
    place.service.answer = by_number(records(3))
    place.rest["params"] = {"since": ":since"}
    place.ingest()
    place.source["constants"] = {"brand": "Véga"}
    place.ingest()
    assert place.params("since") == [None] * 6
    assert {row["brand"] for row in place.read()} == {"Véga"}


def test_a_fetch_of_many_records_is_several_files_of_one_publication(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "AT_ONCE", 4)
    place.service.answer = by_number(records(10))
    done = place.ingest()
    assert (done.files, done.comments) == (3, 10)
    assert [row["sequence"] for row in place.read(schema.FILES)] == [1, 2, 3]
    assert place.ingest().files == 0


def test_numbers_and_truths_are_asked_for_as_they_are_written(place: Place) -> None:
    place.rest["params"] = {"limit": 40, "local": True, "lang": "fr"}
    place.service.answer = by_number([])
    place.ingest()
    (asked,) = place.service.asked
    assert asked.params == {"limit": "40", "local": "true", "lang": "fr", "page": "1"}


# --- from where ---------------------------------------------------------------------------------


def test_a_later_fetch_starts_at_the_newest_comment_less_the_look_back(place: Place) -> None:
    place.service.answer = by_number(records(49))
    place.rest["params"] = {"from": ":since"}
    place.rest["since"] = {"look_back": 1, "format": "%Y-%m-%d"}
    place.ingest()
    place.service.asked.clear()
    place.ingest()
    assert place.params("from")[0] == "2026-09-02"


def test_the_first_fetch_starts_where_the_settings_say(place: Place) -> None:
    place.rest["params"] = {"from": "[:since]"}
    place.rest["since"] = {"start": date(2025, 1, 1), "format": "unix"}
    place.service.answer = by_number([])
    place.ingest()
    assert place.params("from") == ["[1735689600]"]


def test_a_service_that_counts_by_ids_is_asked_from_an_id(place: Place) -> None:
    place.service.answer = by_number(records(49))
    place.rest["params"] = {"since_id": ":since"}
    place.rest["since"] = {"look_back": 0.5, "format": "id"}
    place.ingest()
    place.service.asked.clear()
    place.ingest()
    assert place.params("since_id")[0] == "36"


def test_newest_first_stops_at_a_page_that_is_known(place: Place) -> None:
    rows = records(20)[::-1]
    place.service.answer = by_number(rows)
    place.rest["since"] = {"look_back": 0.1, "newest_first": "created"}
    place.ingest()
    place.service.asked.clear()
    rows.insert(0, record(21))
    place.ingest()
    assert place.params("page") == ["1", "2", "3"]
    assert 21 in place.ids()


def test_a_fetch_starts_from_tables_whose_raw_has_expired(place: Place) -> None:
    place.service.answer = by_number(records(30))
    place.rest["params"] = {"from": ":since"}
    place.night()
    (place.folder / "warehouse" / "raw" / "avis" / "000001.parquet").unlink()
    place.service.asked.clear()
    assert place.ingest().rows == 0
    assert place.params("from")[0] == "2026-08-26T05:00:00Z"


@pytest.mark.parametrize(
    ("shape", "written"),
    [("unix", "1789372800"), ("%d/%m/%Y %H:%M", "14/09/2026 08:00"), ("id", "rv-7")],
)
def test_a_start_is_written_as_the_service_wants_it(shape: str, written: str) -> None:
    assert Start(datetime(2026, 9, 14, 8, tzinfo=UTC), "rv-7").written(shape) == written


# --- failures -----------------------------------------------------------------------------------


def test_a_busy_service_is_asked_again(place: Place) -> None:
    place.service.answer = by_number(records(3))
    place.service.first = [Answer({}, 503), Answer({}, 500)]
    place.ingest()
    assert (place.ids(), place.params("page")) == ([0, 1, 2], ["1", "1", "1", "2", "3"])


def test_a_limit_is_kept_for_as_long_as_the_service_says(place: Place) -> None:
    place.rest["wait_max"] = 5
    place.service.answer = by_number([])
    place.service.first = [Answer({}, 429, {"Retry-After": "1"})]
    began = time.monotonic()
    place.ingest()
    assert 1 <= time.monotonic() - began < 4


def test_no_wait_is_longer_than_the_settings_allow(place: Place) -> None:
    place.service.first = [Answer({}, 429, {"Retry-After": "86400"})] * 3
    failing(place, r"refused for asking too often \(429\)")


def test_an_answer_that_breaks_off_is_asked_for_again(place: Place) -> None:
    place.service.answer = by_number(records(1))
    place.service.first = [Answer({"reviews": records(1)}, cut=True)]
    place.rest["timeout"] = 0.5
    place.ingest()
    assert place.ids() == [0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer({}, 401), "check the token"), (Answer({}, 403), "check the token"),
        (Answer({}, 404), "check `url:`"), (Answer({}, 400), "answered by 400"),
        (Answer({}, 302, {"Location": "https://ailleurs.example/"}), "redirect .302., not foll"),
        (Answer(b"<html>"), "is not JSON"), (Answer(b"[" * 90_000), "is not JSON"),
        (Answer(b'{"reviews": [{"id": 1'), "is not JSON"),
    ],
)  # fmt: skip
def test_what_cannot_pass_is_told_at_once(place: Place, answer: Answer, words: str) -> None:
    place.service.answer = lambda _: answer
    error = failing(place, words)
    assert (len(place.service.asked), error.__cause__) == (1, None)


def test_a_page_that_fails_keeps_nothing_and_the_next_run_asks_for_all(place: Place) -> None:
    place.rest["params"] = {"from": ":since"}
    whole = by_number(records(6))

    def answer(asked: Asked) -> Answer:
        return Answer({}, 500) if asked.params["page"] == "3" else whole(asked)

    place.service.answer = answer
    error = failing(place, r"page 3 fails at the service \(500\).*Nothing of this fetch was kept")
    assert isinstance(error.__cause__, OSError)
    place.service.answer = whole
    place.ingest()
    assert place.ids() == [0, 1, 2, 3, 4, 5]
    assert set(place.params("from")) == {None}


def test_a_later_page_that_fails_does_not_move_the_start(place: Place) -> None:
    rows = records(30)
    place.rest["params"] = {"from": ":since"}
    place.service.answer = by_number(rows)
    place.ingest()
    rows += [record(700 - number) for number in range(30)]
    whole = by_number(rows)
    place.service.answer = lambda a: Answer({}, 502) if a.params["page"] == "20" else whole(a)
    place.service.asked.clear()
    failing(place, "page 20")
    start = place.params("from")[0]
    place.service.asked.clear()
    place.service.answer = whole
    place.ingest()
    assert place.params("from")[0] == start
    assert len(place.ids()) == 60


def test_a_service_that_is_not_there_says_so(place: Place) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place.rest["url"] = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    place.rest["retries"] = 1
    assert isinstance(failing(place, "cannot be had").__cause__, OSError)


def test_a_service_that_ignores_the_page_is_not_asked_for_ever(place: Place) -> None:
    place.service.answer = lambda _: Answer({"reviews": records(2)})
    failing(place, "page 3 comes again and again")


def test_a_cursor_that_leads_back_is_not_followed_for_ever(place: Place) -> None:
    place.rest["pages"] = {"by": "cursor", "param": "token", "path": "next"}
    turns = {None: "b", "b": "c", "c": "b"}
    place.service.answer = lambda asked: Answer(
        {"reviews": [record(len(place.service.asked))], "next": turns[asked.params.get("token")]}
    )
    failing(place, "page 3 comes again and again")


def test_there_are_at_most_so_many_pages(place: Place) -> None:
    place.rest["max_pages"] = 3
    place.service.answer = by_number(records(50))
    failing(place, "page 3 is not the last")


def test_an_address_of_another_server_is_not_followed(place: Place) -> None:
    place.rest["pages"] = {"by": "address", "path": "next"}
    data = {"reviews": [], "next": "https://ailleurs.example/?page=2"}
    place.service.answer = lambda _: Answer(data)
    failing(place, "leads to another server, ailleurs.example")


def test_a_page_that_unpacks_to_far_too_much_is_not_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxnlp.ingest.rest.LIMIT", 1 << 20)
    bomb = gzip.compress(b"[" + b" " * (50 << 20) + b"]")
    place.service.answer = lambda _: Answer(bomb, headers={"Content-Encoding": "gzip"})
    failing(place, "is larger than 1 MB")


# --- secrets ------------------------------------------------------------------------------------


def _with_token(place: Place) -> None:
    place.rest["headers"] = {"Authorization": "Bearer ${ESSAI_JETON}"}
    place.rest["params"] = {"api_key": "${ESSAI_JETON}"}


def test_tokens_of_the_environment_go_into_headers_and_parameters(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESSAI_JETON", TOKEN)
    _with_token(place)
    place.service.answer = by_number([])
    place.ingest()
    (asked,) = place.service.asked
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.params["api_key"] == TOKEN


def test_a_password_of_netrc_does_not_take_the_place_of_a_token(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / ".netrc").write_text("machine 127.0.0.1 login moi password autre\n")
    monkeypatch.setenv("NETRC", str(place.folder / ".netrc"))
    monkeypatch.setenv("ESSAI_JETON", TOKEN)
    _with_token(place)
    place.service.answer = by_number([])
    place.ingest()
    assert place.service.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(("value", "words"), [("", "is not set"), ("court", "has fewer than 8")])
def test_a_missing_token_names_its_variable(
    place: Place, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("ESSAI_JETON", value)
    _with_token(place)
    with pytest.raises(ConfigError, match=f"source avis: the variable ESSAI_JETON {words}"):
        place.ingest()
    assert place.service.asked == []


def test_a_short_lived_token_is_asked_for_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESSAI_JETON", TOKEN)
    place.rest["oauth"] = {
        "url": f"{place.service.url}/token",
        "data": {"grant_type": "refresh_token", "refresh_token": "${ESSAI_JETON}"},
    }
    place.service.first = [Answer({"access_token": "ephemere-1234"})]
    place.service.answer = by_number([])
    place.ingest()
    first, second = place.service.asked
    assert (first.path, first.params["refresh_token"]) == ("/token", TOKEN)
    assert second.headers["Authorization"] == "Bearer ephemere-1234"


def _everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_token_is_left_in_messages_or_files(
    place: Place, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, status: int,
) -> None:  # fmt: skip
    """The service repeats the token in what it says: in a comment, a rejected row, an address."""
    monkeypatch.setenv("ESSAI_JETON", TOKEN)
    caplog.set_level("DEBUG")
    _with_token(place)
    path = place.folder / "config.yaml"
    echo = [record(1, f"mon jeton {TOKEN}"), record(2, stars=99, paging=f"?api_key={TOKEN}")]
    whole = by_number(echo)
    place.service.answer = lambda asked: (
        whole(asked) if status == 200 else Answer({"error": f"bad {TOKEN}"}, status)
    )
    settings = {"warehouse": str(place.folder / "warehouse"), "model": str(tiny_model),
                "sources": [place.source]}  # fmt: skip
    path.write_text(json.dumps(settings))
    done = CliRunner().invoke(app, ["run", str(path), "--direct"])
    assert (done.exit_code == 0) == (status == 200), done.output
    quoted = TOKEN.replace("/", "%2F")
    assert "GET /v1/reviews" in caplog.text
    told = done.output + caplog.text
    for secret in (TOKEN, quoted):
        assert secret not in told
        assert secret.encode() not in _everything(place.folder)
    (run,) = place.read(schema.RUNS)
    assert (run["error"] is None) == (status == 200)
    assert status == 200 or f"/v1/reviews: page 1 {MEANINGS[status]} ({status})" in run["error"]
    rows = place.read(schema.RAW) + place.read(schema.REJECTS) + place.read(schema.RUNS)
    assert TOKEN not in json.dumps(rows, default=str)


@pytest.mark.parametrize(
    "rest",
    [
        {"headers": {"Authorization": "Bearer abcdefgh"}}, {"params": {"apikey": "abcdefgh"}},
        {"params": {"access_token": "abcdefgh"}}, {"headers": {"X-Api-Key": "abcdefgh"}},
        {"url": "https://moi:abcdefgh@api.example/v1"}, {"url": "https://api.example/?k=abcdefgh"},
        {"url": "http://api.example/v1", "headers": {"apikey": "${ESSAI_JETON}"}},
        {"oauth": {"url": "https://api.example/t", "data": {"client_secret": "abcdefgh"}}},
        {"headers": {"Authorization": ["abcdefgh"]}},
    ],
)  # fmt: skip
def test_a_token_in_the_configuration_is_refused_and_not_shown(
    tmp_path: Path, rest: dict[str, Any]
) -> None:
    source = {"name": "a", "fields": {"native_id": "i", "text": "t"}}
    source["rest"] = {"url": "https://api.example/v1"} | rest
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"warehouse": "w", "sources": [source]}))
    with pytest.raises(ConfigError, match=r"sources\.0\.rest") as caught:
        load_settings(path)
    assert "abcdefgh" not in str(caught.value)


# --- the configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rest": None}, "must have one of files, rest or sql"),
        ({"files": "a.csv"}, "must have one of files, rest or sql"),
        ({"fields": {"text": "t"}}, "must map 'native_id'"),
        ({"separator": ";"}, "separator is a setting of files"),
    ],
)
def test_a_source_is_of_one_kind(change: dict[str, Any], words: str) -> None:
    good = {"name": "a", "fields": {"native_id": "i", "text": "t"},
            "rest": {"url": "https://api.example/v1"}}  # fmt: skip
    with pytest.raises(ValidationError, match=words):
        Source.model_validate(good | change)


@pytest.mark.parametrize(
    ("pages", "words"),
    [({"by": "number"}, "needs `param`"), ({"by": "cursor", "param": "c"}, "needs `path`")],
)
def test_a_way_of_paging_says_what_it_needs(pages: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Rest.model_validate({"url": "https://api.example/v1", "pages": pages})


def test_an_unknown_key_names_those_of_its_section(tmp_path: Path) -> None:
    source = {"name": "a", "fields": {"native_id": "i", "text": "t"},
              "rest": {"url": "https://api.example/v1", "since": {"lookback": 3}}}  # fmt: skip
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"warehouse": "w", "sources": [source]}))
    with pytest.raises(ConfigError, match=r"known here: look_back, format, start, newest_first"):
        load_settings(path)


def test_how_often_it_is_asked_does_not_decide_how_it_is_read() -> None:
    def source(**rest: Any) -> Source:
        rest = {"url": "https://api.example/v1"} | rest
        fields = {"native_id": "i", "text": "t"}
        return Source.model_validate({"name": "a", "fields": fields, "rest": rest})

    assert source(timeout=5, since={"look_back": 3}).digest == source().digest
    assert source(params={"lang": "fr"}).digest != source().digest


# --- the whole ----------------------------------------------------------------------------------


def test_a_second_night_changes_nothing(place: Place, tiny_model: Path) -> None:
    place.service.answer = by_number(records(7))
    settings = {"warehouse": str(place.folder / "warehouse"), "model": str(tiny_model),
                "sources": [place.source]}  # fmt: skip
    path = place.folder / "config.yaml"
    path.write_text(json.dumps(settings))
    tables = []
    for _ in range(2):
        done = CliRunner().invoke(app, ["run", str(path), "--direct"])
        assert done.exit_code == 0, done.output
        names = [table for table in schema.TABLES if table is not schema.RUNS]
        tables.append([place.begin().warehouse.read(table) for table in (schema.RAW, *names)])
    first, second = place.read(schema.RUNS)
    assert (first["comments_written"], second["comments_written"]) == (7, 0)
    assert tables[0] == tables[1]
    assert [row["rows"] for row in place.read(schema.FILES)] == [7]


@pytest.mark.slow
def test_prefect_keeps_no_token(
    place: Place, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that the service refuses at its second page, all logs of all libraries kept."""
    home = place.folder / "prefect"
    for name, value in (("ESSAI_JETON", TOKEN), ("PREFECT_HOME", str(home)),
                        ("PREFECT_LOGGING_LEVEL", "DEBUG"),
                        ("PREFECT_LOGGING_ROOT_LEVEL", "DEBUG"),
                        ("PREFECT_LOGGING_EXTRA_LOGGERS", "urllib3")):  # fmt: skip
        monkeypatch.setenv(name, value)
    _with_token(place)
    place.service.first = [Answer({"reviews": [record(1, f"mon jeton {TOKEN}")]})]
    place.service.answer = lambda _: Answer({"error": TOKEN}, 401)
    settings = {"warehouse": str(place.folder / "warehouse"), "model": str(tiny_model),
                "sources": [place.source]}  # fmt: skip
    path = place.folder / "config.yaml"
    path.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "cxnlp", "run", str(path)]
    run = subprocess.run(command, capture_output=True, timeout=500, check=False)
    assert run.returncode == 2
    kept = _everything(place.folder) + run.stdout + run.stderr
    assert b"/v1/reviews" in _everything(home)
    for secret in (TOKEN, TOKEN.replace("/", "%2F")):
        assert secret.encode() not in kept
