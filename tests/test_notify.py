"""A webhook is told of failures and new alerts, when it is configured and only then."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from warehouse_rows import rows

from cxnlp import schema
from cxnlp.config import Notify, Settings
from cxnlp.errors import ConfigError, SourceError
from cxnlp.notify import tell_alerts, tell_failure
from cxnlp.parts import Part
from cxnlp.underway import underway
from cxnlp.warehouse import Warehouse

NOW = datetime(2026, 9, 15, 2, tzinfo=UTC)
ON = Notify(webhook_env="CROCHET")
SOURCE = {"name": "avis", "files": "avis.csv", "fields": {"text": "texte"}}


class Hook:
    """A webhook on this machine: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answer = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                hook.sent.append(json.loads(self.rfile.read(size)))
                self.send_response(hook.answer)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/secret"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("CROCHET", made.address)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """One with an alert of the day before, and one of a month before."""
    made = Warehouse(str(tmp_path / "out"))
    alert(made, date(2026, 9, 14), date(2026, 8, 14))
    return made


def alert(warehouse: Warehouse, *days: date) -> None:
    of = {"touchpoint": "attente", "stage": "achat", "kinds": ["volume"], "n": 38, "usual_n": 11}
    data = rows(schema.ALERTS, *({"day": day, **of} for day in days))
    with warehouse.hold():
        warehouse.publish([Part(schema.ALERTS, data)], run_id="r", metadata={})


def tell(warehouse: Warehouse, settings: Notify = ON) -> int:
    with warehouse.hold():
        return tell_alerts(settings, warehouse, "r1", NOW)


def test_a_run_that_fails_is_told_with_its_masked_error(hook: Hook, tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path), sources=[SOURCE], notify=ON)
    with (
        pytest.raises(SourceError),
        underway(Warehouse(str(tmp_path)), settings, "r1", NOW),
    ):
        raise SourceError("row of ana@exemple.fr")
    error = "SourceError: row of [email]"
    text = f"cxnlp : la nuit r1 a échoué. {error}"
    assert hook.sent == [{"event": "failure", "text": text, "run_id": "r1", "error": error}]


def test_a_new_alert_is_told_in_words_and_figures(hook: Hook, warehouse: Warehouse) -> None:
    assert tell(warehouse) == 1
    assert hook.sent[0]["text"] == (
        "cxnlp : nouvelles alertes (1)\n"
        "2026-09-14 attente : volume (38 commentaires, d'habitude 11)"
    )
    assert [a["day"] for a in hook.sent[0]["alerts"]] == ["2026-09-14"]


def test_an_alert_is_told_once(hook: Hook, warehouse: Warehouse) -> None:
    tell(warehouse)
    assert tell(warehouse) == 0
    alert(warehouse, date(2026, 9, 14), date(2026, 9, 15))
    tell(warehouse)
    assert [[a["day"] for a in m["alerts"]] for m in hook.sent] == [["2026-09-14"], ["2026-09-15"]]


def test_an_alert_that_did_not_arrive_is_told_again(hook: Hook, warehouse: Warehouse) -> None:
    hook.answer = 503
    with pytest.warns(RuntimeWarning, match="CROCHET: the webhook answered 503"):
        tell(warehouse)
    hook.answer = 200
    assert tell(warehouse) == 1


def test_a_webhook_that_is_not_there_is_warned_of_without_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CROCHET", "http://127.0.0.1:9/secret")
    with pytest.warns(RuntimeWarning, match="cannot be reached") as told:
        tell_failure(ON, "r1", "KeyError")
    assert "secret" not in str(told[0].message)


@pytest.mark.parametrize("settings", [Notify(), Notify(webhook_env="CROCHET", events=())])
def test_nothing_is_sent_unless_it_is_configured(
    hook: Hook, warehouse: Warehouse, settings: Notify
) -> None:
    tell(warehouse, settings)
    tell_failure(settings, "r1", "KeyError")
    assert hook.sent == []


@pytest.mark.parametrize(("value", "said"), [("", "is not set"), ("file:///etc", "no http")])
def test_a_missing_address_fails_the_run_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("CROCHET", value)
    settings = Settings(warehouse=str(tmp_path), sources=[SOURCE], notify=ON)
    with (
        pytest.raises(ConfigError, match=said),
        underway(Warehouse(str(tmp_path)), settings, "r1", NOW),
    ):
        pass
