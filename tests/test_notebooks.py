"""Every notebook runs from its first cell to its last, as in a fresh clone, without a warning."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


def test_a_notebook_names_no_folder_of_its_author(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [place for place in ("/home/", "/root/", "/Users/") if place in text] == []


@pytest.mark.slow
def test_a_notebook_runs_to_its_end(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that has what a clone has; what the notebook writes stays there."""
    for name in ("configs", "samples", "models", "tests", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    programs = str(Path(sys.executable).parent)  # `!cxnlp` is found as in an activated folder
    monkeypatch.setenv("PATH", os.pathsep.join((programs, os.environ["PATH"])))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    streams = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    told = "".join(out.text for out in streams if out.get("name") == "stderr")
    assert "Warning" not in told, told
