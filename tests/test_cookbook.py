"""Every question of docs/cookbook.md has an answer in the bundled samples, in any language."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cxnlp import night
from cxnlp.cli import app
from cxnlp.config import load_settings

ROOT = Path(__file__).parents[1]
QUESTIONS = re.split(r"^## ", (ROOT / "docs" / "cookbook.md").read_text("utf-8"), flags=re.M)[1:]
THRICE = [question for question in QUESTIONS if "```python" in question]
NAMED = pytest.mark.parametrize("question", QUESTIONS, ids=lambda text: text.splitlines()[0])


@pytest.fixture(scope="module")
def demo_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of `make demo`: the bundled samples, read by the bundled model."""
    folder = tmp_path_factory.mktemp("demo") / "warehouse"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        settings = load_settings("configs/demo.yaml")
        settings = settings.model_copy(update={"warehouse": str(folder)})
        night.run(night.Night.begin(settings))
    return folder


@NAMED
def test_a_question_has_an_answer(question: str, demo_warehouse: Path, tmp_path: Path) -> None:
    assert answered_by_sql(question, demo_warehouse, tmp_path) != []


@pytest.mark.parametrize("question", THRICE, ids=lambda text: text.splitlines()[0])
def test_sql_pandas_and_polars_give_the_same_answer(
    question: str, demo_warehouse: Path, tmp_path: Path
) -> None:
    answers = [answered_by_python(code, demo_warehouse) for code in blocks(question, "python")]
    assert answers == [answered_by_sql(question, demo_warehouse, tmp_path)] * 2


def test_there_are_twelve_questions_and_three_of_them_in_three_languages() -> None:
    assert [len(blocks(question, "sql")) for question in QUESTIONS] == [1] * 12
    assert len(THRICE) == 3


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def answered_by_sql(question: str, warehouse: Path, folder: Path) -> list[dict[str, Any]]:
    (sql,), output = blocks(question, "sql"), folder / "answer.parquet"
    ended = CliRunner().invoke(app, ["query", str(warehouse), sql, "--output", str(output)])
    assert ended.exit_code == 0, ended.output
    return [rounded(row) for row in pq.read_table(output).to_pylist()]


def answered_by_python(code: str, warehouse: Path) -> list[dict[str, Any]]:
    """Run a block of the page; its last variable is `answer`, a frame of pandas or of Polars."""
    names: dict[str, Any] = {"WAREHOUSE": str(warehouse)}
    exec(code, names)  # noqa: S102  the page's own code
    answer = names["answer"]
    frame = isinstance(answer, pd.DataFrame)
    return [rounded(row) for row in (answer.to_dict("records") if frame else answer.to_dicts())]


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}
