"""Warehouses at the edge: every table is right, and the report is made all the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_report import NAMES, Page, made
from warehouse_rows import comment, mention

from cxnlp import night, schema
from cxnlp.analyse import Analyzer
from cxnlp.config import load_settings
from cxnlp.metrics import query
from cxnlp.report import write_report
from cxnlp.report.data import gather
from cxnlp.report.page import render
from cxnlp.warehouse import Warehouse

Rows = list[dict[str, Any]]
ALWAYS = {"touchpoints"}  # of the taxonomy, however few comments there are


def reported(folder: Path, comments: Rows, mentions: Rows) -> tuple[Warehouse, str]:
    """Return a warehouse of these rows with its metrics, and the words of its report."""
    warehouse = made(folder / "w", comments, mentions, n_min=1)
    page = Page(render(gather(warehouse.root), NAMES))
    assert page.errors == []
    return warehouse, page.text


def filled(warehouse: Warehouse) -> set[str]:
    return {table.name for table in schema.METRICS if len(warehouse.read(table))} - ALWAYS


def test_no_comments_give_empty_tables_and_a_report_that_says_so(tmp_path: Path) -> None:
    warehouse, words = reported(tmp_path, [], [])
    assert filled(warehouse) <= {"drift"}
    assert "Aucun commentaire analysé pour l’instant" in words


def test_an_export_without_a_record_ends_with_a_report(
    demo: Path, analyzer: Analyzer, tmp_path: Path
) -> None:
    (tmp_path / "avis.csv").write_text("Date;Avis\n", encoding="utf-8")
    settings = yaml.safe_load(demo.read_text(encoding="utf-8"))
    fields = {"published_at": "Date", "text": "Avis"}
    source = {"name": "avis", "files": str(tmp_path / "avis.csv"), "fields": fields}
    demo.write_text(yaml.safe_dump(settings | {"sources": [source]}), encoding="utf-8")
    begun = night.Night.begin(load_settings(demo))
    assert night.run(begun)["comments"].to_pylist() == [0]
    assert (Path(begun.warehouse.root) / "report.html").stat().st_size > 1_000


def test_one_comment_has_wide_intervals_and_no_alert(tmp_path: Path) -> None:
    one = comment("c1", brand="Orso", rating=1.0)
    warehouse, words = reported(tmp_path, [one], [mention(one)])
    (score,) = query(warehouse.root, "FROM touchpoint_scores WHERE period = 'tout' AND "
                     "brand = 'Orso'").to_pylist()  # fmt: skip
    assert (score["n"], score["low"]) == (1, -1)
    assert {"alerts", "emerging_terms", "replies"}.isdisjoint(filled(warehouse))
    assert "1 commentaire" in words


def test_one_source_and_no_brand_are_all_there_is(tmp_path: Path) -> None:
    comments = [comment(f"c{i}") for i in range(3)]
    warehouse, _ = reported(tmp_path, comments, [mention(of) for of in comments])
    brands = query(warehouse.root, "SELECT DISTINCT brand FROM touchpoint_scores")
    sources = query(warehouse.root, "SELECT DISTINCT source FROM sentiment_trend")
    assert brands["brand"].to_pylist() == ["toutes"]
    assert sources["source"].to_pylist() == ["avis"]


def test_levers_need_no_ratings(tmp_path: Path) -> None:
    comments = [comment(f"c{i}", rating=None, satisfaction=1.0 + i) for i in range(4)]
    warehouse, _ = reported(tmp_path, comments, [mention(comments[0])])
    found = query(warehouse.root, "SELECT difference FROM lever_impact WHERE period = 'tout'")
    assert found["difference"].to_pylist() == [1 - 3]


def test_without_replies_everyone_waits(tmp_path: Path) -> None:
    comments = [comment(f"c{i}", reply_text=None) for i in range(3)]
    warehouse, words = reported(tmp_path, comments, [mention(of) for of in comments])
    (row,) = query(warehouse.root, "FROM reply_summary WHERE period = 'tout' AND source = 'toutes' "
                   "AND sentiment = 'tous'").to_pylist()  # fmt: skip
    assert (row["answered"], row["unanswered"], row["within_72h"]) == (0, 3, None)
    assert "n’a de réponse" in words


@pytest.mark.parametrize("brand", ["L'Été d'Ondéa", 'Chez "Lou" & fils', "100 % <b>"])
def test_a_brand_has_any_name(brand: str, tmp_path: Path) -> None:
    comments = [comment(f"c{i}", brand=brand, reply_text="Merci.") for i in range(3)]
    warehouse, _ = reported(tmp_path, comments, [mention(of) for of in comments])
    named = f"brand = '{brand.replace(chr(39), chr(39) * 2)}'"
    sql = f"SELECT n FROM touchpoint_scores WHERE period = 'tout' AND {named}"  # noqa: S608
    assert query(warehouse.root, sql)["n"].to_pylist() == [3]
    assert write_report(warehouse, NAMES, None, tmp_path / "avis.html") is not None
