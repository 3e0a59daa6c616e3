"""A run that fails says so in `runs`, without a word of anybody's comment."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.cli import main
from cxnlp.config import Settings, load_settings
from cxnlp.errors import SourceError, WarehouseBusyError, WarehouseError
from cxnlp.underway import sentence, underway
from cxnlp.warehouse import Warehouse

STARTED = datetime(2026, 9, 15, 2, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, tiny_model: Path) -> Settings:
    source = {"name": "avis", "files": str(tmp_path / "avis.csv"), "fields": {"text": "texte"}}
    data = {"warehouse": str(tmp_path / "out"), "model": str(tiny_model), "sources": [source]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_settings(tmp_path / "config.yaml")


def runs(settings: Settings) -> list[dict[str, Any]]:
    return list(Warehouse(settings.warehouse).read(schema.RUNS).to_pylist())


def fail(settings: Settings, error: BaseException) -> None:
    with underway(Warehouse(settings.warehouse), settings, "r1", STARTED):
        raise error


def test_a_run_without_its_file_leaves_a_row(settings: Settings, analyzer: Analyzer) -> None:
    with pytest.raises(SourceError):
        night.run(night.Night.begin(settings), analyzer)
    (row,) = runs(settings)
    assert row["status"] == "failed"
    assert row["error"].startswith("SourceError: source avis: no file matches")
    assert row["config_digest"] == settings.digest


def test_the_message_is_masked(settings: Settings) -> None:
    with pytest.raises(SourceError):
        fail(settings, SourceError("row of ana@exemple.fr"))
    assert runs(settings)[0]["error"] == "SourceError: row of [email]"


def test_the_message_of_an_error_that_is_not_ours_is_not_kept(settings: Settings) -> None:
    with pytest.raises(KeyError):
        fail(settings, KeyError("Léa Martin"))
    assert runs(settings)[0]["error"].startswith("KeyError at underway.py:")


def test_an_error_of_the_system_is_told_without_its_path() -> None:
    error = OSError(28, "No space left on device", "/srv/léa.csv")
    assert sentence(error) == "OSError: No space left on device"


def test_an_interrupted_run_leaves_a_row(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(settings, KeyboardInterrupt())
    assert [(r["status"], r["started_at"]) for r in runs(settings)] == [("failed", STARTED)]


def test_a_run_that_fails_at_its_end_keeps_its_counts(
    settings: Settings, analyzer: Analyzer
) -> None:
    Path(settings.sources[0].patterns[0]).write_text("texte\nAccueil charmant.\n", "utf-8")
    (Path(settings.warehouse) / "report.html").mkdir(parents=True)
    with pytest.raises(WarehouseError, match=r"report\.html could not be made"):
        night.run(night.Night.begin(settings), analyzer)
    (row,) = runs(settings)
    assert (row["status"], row["comments"]) == ("failed", 1)


def test_a_run_that_finds_the_warehouse_held_leaves_no_row(settings: Settings) -> None:
    with Warehouse(settings.warehouse).hold("first"), pytest.raises(WarehouseBusyError):
        fail(settings, KeyError())
    assert runs(settings) == []


def test_a_failure_that_cannot_be_noted_is_told_all_the_same(settings: Settings) -> None:
    staging = Path(settings.warehouse) / "state" / "staging"

    def fail_on_a_broken_disk() -> None:
        with underway(Warehouse(settings.warehouse), settings, "r1", STARTED):
            staging.write_text("no folder")
            raise KeyError

    with pytest.raises(KeyError) as caught:
        fail_on_a_broken_disk()
    assert "could not be noted in runs" in caught.value.__notes__[0]


@pytest.mark.parametrize(("broken", "status"), [("source", 2), ("report", 1)])
def test_the_command_ends_as_its_failure_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, status: int
) -> None:
    if broken == "report":
        Path(settings.sources[0].patterns[0]).write_text("texte\nAccueil charmant.\n", "utf-8")
        (Path(settings.warehouse) / "report.html").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["cxnlp", "run", "--direct", str(tmp_path / "config.yaml")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    assert [r["status"] for r in runs(settings)] == ["failed"]
