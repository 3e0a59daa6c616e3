"""The examples of configs/sources work against services of the documented shape."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from conftest import ROOT
from rest_service import Answer, Answering, Asked, Service, serving

from cxnlp import night, schema
from cxnlp.config import load_settings

EXAMPLES = ROOT / "configs" / "sources"
TEXTS = ["Accueil charmant.", "Deux heures de queue au guichet.", "Rien à redire."]
DATES = [f"2026-09-1{n}T08:00:00Z" for n in (3, 2, 1)]


def google(asked: Asked) -> Answer:
    if asked.path == "/token":
        return Answer({"access_token": "ephemere-1234", "expires_in": 3599})
    assert asked.headers["Authorization"] == "Bearer ephemere-1234"
    rows = [
        {"name": f"accounts/1/locations/2/reviews/{n}", "reviewId": f"r{n}",
         "reviewer": {"displayName": f"Zoé {n}"}, "starRating": "FOUR",
         "createTime": DATES[n], "updateTime": DATES[n]}
        for n in range(3)
    ]  # fmt: skip
    for row, text in zip(rows[:2], TEXTS, strict=False):
        row["comment"] = text  # the third one is a mark alone
    rows[0]["reviewReply"] = {"comment": "Merci !", "updateTime": DATES[0]}
    if asked.params.get("pageToken") == "suite":
        return Answer({"reviews": rows[2:], "totalReviewCount": 3})
    return Answer({"reviews": rows[:2], "totalReviewCount": 3, "nextPageToken": "suite"})


def trustpilot(asked: Asked) -> Answer:
    assert asked.headers["apikey"]
    reply = {"text": "Merci !", "createdAt": DATES[0], "updatedAt": None}
    rows = [
        {"id": f"65a{n}", "consumer": {"id": f"c{n}", "displayName": f"Zoé {n}"}, "stars": 4,
         "title": "Un avis", "text": TEXTS[n], "language": "fr", "createdAt": DATES[n],
         "updatedAt": None, "companyReply": None if n else reply}
        for n in range(3)
    ]  # fmt: skip
    return Answer({"links": [], "reviews": rows if asked.params["page"] == "1" else []})


def mastodon(asked: Asked) -> Answer:
    rows = [
        {"id": f"11{3 - n}", "created_at": DATES[n], "content": f"<p>{TEXTS[n]}</p>",
         "url": f"https://mastodon.example/@zoe/11{3 - n}", "account": {"acct": "zoe"}}
        for n in range(3)
    ]  # fmt: skip
    if "max_id" in asked.params:
        return Answer(rows[2:])
    return Answer(rows[:2], headers={"Link": f'<{asked.path}?limit=40&max_id=112>; rel="next"'})


def kobo(asked: Asked) -> Answer:
    assert asked.headers["Authorization"].startswith("Token ")
    rows = [
        {"_id": 40 + n, "_submission_time": DATES[n][:-1], "recommandation": "8",
         "commentaire": TEXTS[n], "magasin": "Lyon"}
        for n in range(3)
    ]  # fmt: skip
    if "start" in asked.params:
        return Answer({"count": 3, "next": None, "previous": None, "results": rows[2:]})
    onward = f"https://{asked.headers['Host']}{asked.path}?limit=1000&start=2"
    return Answer({"count": 3, "next": onward, "previous": None, "results": rows[:2]})


SERVICES: dict[str, Answering] = {
    "google": google, "trustpilot": trustpilot, "mastodon": mastodon, "kobo": kobo,
}  # fmt: skip


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


def ingest(data: dict[str, Any], folder: Path) -> tuple[night.Ingested, list[dict[str, Any]]]:
    """Read the source of an example into a warehouse of this test."""
    path = folder / "config.yaml"
    data["warehouse"] = str(folder / "warehouse")
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    tonight = night.Night.begin(load_settings(path))
    with tonight.warehouse.hold():
        done = night.ingest(tonight, tonight.settings.sources[0])
    return done, tonight.warehouse.read(schema.RAW).to_pylist()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_configuration(path: Path) -> None:
    (source,) = load_settings(path).sources
    assert source.rest or source.sql


@pytest.mark.parametrize("name", SERVICES)
def test_an_example_reads_its_service(
    name: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answer = SERVICES[name]
    text = (EXAMPLES / f"{name}.yaml").read_text("utf-8")
    data = yaml.safe_load(text)
    (source,) = data["sources"]
    for part in (source["rest"], source["rest"].get("oauth")):
        if part:
            part["url"] = service.url + urlsplit(part["url"]).path
    source["rest"]["pause"] = 0
    for variable in ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_REFRESH_TOKEN",
                     "TRUSTPILOT_API_KEY", "MASTODON_TOKEN", "KOBO_TOKEN"):  # fmt: skip
        monkeypatch.setenv(variable, "un-jeton-12345")
    first, rows = ingest(data, tmp_path)
    assert (first.comments, first.rejects) == (3, 0)
    assert [row["brand"] for row in rows] == ["Maison Véga"] * 3
    assert all(row["published_at"] and row["text"] is not None for row in rows)
    assert ingest(data, tmp_path)[0].rows == 0
    assert json.dumps(rows, default=str).count("Zoé") == 0


def test_the_example_of_a_database_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as base, base:
        base.execute("CREATE TABLE answers (id, answered_at, updated_at, customer, score, comment,"
                     " shop)")  # fmt: skip
        rows = [(n, DATES[n], DATES[n], "Zoé", 8, TEXTS[n], "Lyon") for n in range(3)]
        base.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    monkeypatch.setenv("CXNLP_SURVEY_URL", f"sqlite:///{tmp_path / 'a.db'}")
    data = yaml.safe_load((EXAMPLES / "database.yaml").read_text("utf-8"))
    assert ingest(data, tmp_path)[0].comments == 3
    assert ingest(data, tmp_path)[0].rows == 0
