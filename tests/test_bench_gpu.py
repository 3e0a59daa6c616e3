"""The benchmark of a GPU runs as a whole where there is none, on a machine without spaCy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

ABSENT = ("spacy", "prefect", "pydantic", "duckdb", "ftfy", "typer", "sklearn", "py3langid")
CODE = f"""
import runpy, sys
for name in {ABSENT}:
    sys.modules[name] = None
sys.path.insert(0, "benchmarks")
runpy.run_path("benchmarks/bench_gpu.py", run_name="__main__")
"""


@pytest.mark.slow
def test_every_figure_of_a_gpu_is_measured_on_a_small_scale(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    command = [sys.executable, "-c", CODE, "--small", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text("utf-8"))
    assert found["equal"]["passed"]
    assert all(run["comments"] > 0 for part in ("base", "embedded")
               for run in found[part]["runs"].values())  # fmt: skip
    assert found["parquet"]["comments"] > 0
    assert "against length-sorted Hugging Face" in done.stdout
