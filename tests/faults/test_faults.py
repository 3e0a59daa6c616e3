"""A few faults of each kind leave nothing wrong; `make faults` makes them in number."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

FACTS = {
    "kill at an instant": "a_run_killed_at_any_instant_is_completed_by_the_next",
    "kill at a step": "a_run_killed_at_a_step_leaves_old_tables_or_new",
    "pair of runs": "of_two_runs_that_start_together_one_works_and_one_leaves_with_75",
    "full disk": "a_full_disk_is_told_clearly_and_leaves_old_tables_or_new",
    "damaged file": "verify_names_a_damaged_file",
    "forget while read": "a_reader_sees_whole_files_while_a_person_is_forgotten",
    "readers": "pandas_sees_right_rows_while_files_are_replaced",
    "garbage": "every_row_of_an_export_is_a_comment_or_a_reject",
}


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> list[dict[str, Any]]:
    """The trials of the short run."""
    path = tmp_path_factory.mktemp("faults") / "figures.jsonl"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "faults", path, "--short", "--model", tiny_model],
        check=False, timeout=1800, capture_output=True, text=True, cwd=ROOT / "tests",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", FACTS, ids=FACTS.get)
def test_faults(figures: list[dict[str, Any]], kind: str) -> None:
    trials = [one for one in figures if one["kind"] == kind]
    assert trials
    assert [one for one in trials if one["wrong"]] == []
