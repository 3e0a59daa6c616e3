"""The borders inside the code: who may import what, what is cheap, what documents say."""

import ast
import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

import cxnlp
from cxnlp import schema
from cxnlp.analyse import Analyzer

DOORS = {
    "torch": ("cxnlp/model/", "cxnlp/training/"),
    "transformers": ("cxnlp/model/", "cxnlp/training/"),
    "tokenizers": ("cxnlp/model/", "cxnlp/training/"),
    "safetensors": ("cxnlp/model/", "cxnlp/training/"),
    "spacy": ("cxnlp/segment.py", "cxnlp/names.py"),
    "prefect": ("pipelines/",),
    "duckdb": ("cxnlp/metrics/",),
    "jinja2": ("cxnlp/report/",),
    "openpyxl": ("cxnlp/sheet.py",),
    "requests": ("cxnlp/ingest/rest.py",),
    "sqlalchemy": ("cxnlp/ingest/sql.py",),
    "ray": ("cxnlp/on_ray.py",),
    "sklearn": ("cxnlp/training/", "cxnlp/annotate/agreement.py"),
}
HEAVY = ("torch", "transformers", "spacy", "prefect", "duckdb", "pandas", "sklearn", "pyarrow",
         "jinja2", "openpyxl", "ray")  # fmt: skip
# Each row may import from its own and from those above it.
LAYERS = (
    {"errors", "version", "freed", "devices"},
    {"schema", "config", "config_sources", "taxonomy", "words"},
    {"repair", "masks", "language", "clean", "names", "clauses", "segment", "model"},
    {"excerpts", "told", "fuse", "analyse"},
    {"ingest", "storage", "journal", "parts", "views", "warehouse", "cache", "invariants",
     "metrics", "report", "annotate", "training"},
    {"sheet"},
    {"show_scores", "show_models"},
    {"forgotten", "notify", "retention", "underway"},
    {"tonight", "backlog", "analysing", "on_ray"},
    {"night", "forget", "onefile", "show"},
    {"cli_evaluate", "cli_forget"},
    {"cli_models", "cli_annotate", "cli_train"},
    {"cli", "pipelines"},
)  # fmt: skip
FILES = sorted([*ROOT.glob("cxnlp/**/*.py"), *ROOT.glob("pipelines/**/*.py")])
MODULES = [
    "cxnlp", *(m.name for m in pkgutil.walk_packages(cxnlp.__path__, "cxnlp."))
]  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _ours(path: Path) -> set[str]:
    """Return which of our modules a file imports."""
    known = {_name(p) for p in FILES} - {"cxnlp"}
    found = (name if name in known else name.rpartition(".")[0] for name in _imports(path))
    return {name for name in found if name in known}


def _layer(module: str) -> int | None:
    first, _, rest = module.partition(".")
    part = rest.partition(".")[0] if first == "cxnlp" else first
    return next((i for i, names in enumerate(LAYERS) if part in names), None)


# --- imports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_comes_in_by_its_door_alone(library: str) -> None:
    elsewhere = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if library in {name.partition(".")[0] for name in _imports(path)}
        and not path.relative_to(ROOT).as_posix().startswith(DOORS[library])
    ]
    assert elsewhere == []


def test_no_layer_imports_from_one_above_it() -> None:
    upward = [
        f"{_name(path)} imports {other}"
        for path in FILES
        for other in sorted(_ours(path))
        if None not in (own := _layer(_name(path)), its := _layer(other)) and its > own
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    waiting = {_name(path): _ours(path) - {_name(path)} for path in FILES}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert waiting == {}


def test_nothing_in_the_library_prints() -> None:
    printing = [
        f"{path.name}:{node.lineno}"
        for path in ROOT.glob("cxnlp/**/*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert printing == []


# --- cost ---------------------------------------------------------------------------------------


def _loaded_by(code: str) -> list[str]:
    """Return which heavy libraries a fresh interpreter has loaded after `code`."""
    code = f"import sys, json\n{code}\nsys.stderr.write(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return [name for name in json.loads(done.stderr) if name in HEAVY]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded_by("import cxnlp; cxnlp.__version__") == []


def test_help_loads_nothing_heavy() -> None:
    code = "from cxnlp.cli import app\napp(['--help'], standalone_mode=False)"
    assert _loaded_by(code) == []


def test_the_analyzer_is_at_the_top_of_the_package() -> None:
    assert cxnlp.Analyzer is Analyzer


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cxnlp' has no attribute 'Analyser'"):
        cxnlp.Analyser  # noqa: B018


# --- documents ----------------------------------------------------------------------------------


def test_the_document_of_tables_is_what_the_schema_says() -> None:
    """`python -m cxnlp.schema > docs/tables.md` writes it anew."""
    assert (ROOT / "docs" / "tables.md").read_text("utf-8") == schema.markdown()


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert importlib.import_module(module).__doc__
