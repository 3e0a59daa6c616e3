"""The metrics of a dozen comments are those that a person worked out."""

import datetime as dt
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warehouse_rows import comment, mention, rows, touchpoints

from cxnlp import config, schema
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.metrics import measure, query
from cxnlp.parts import Part, split
from cxnlp.views import quoted
from cxnlp.warehouse import Warehouse

AUGUST, FIRST, LATER = "2026-08-30", "2026-09-01", "2026-09-14"
COMMENTS = [
    comment("c1", AUGUST, brand="Véga", emotions=["colere", "tristesse"]),
    comment("c2", AUGUST, brand="Véga", sentiment="positif", sentiment_score=0.8),
    comment("c3", FIRST, brand="Véga", sentiment="negatif", sentiment_score=-0.9),
    comment("c4", FIRST, brand="Orso", sentiment="negatif", sentiment_score=-0.3),
    comment("c5", FIRST, brand=None, sentiment="negatif", sentiment_score=-0.6),
    comment("c6", None, brand="Véga", sentiment="positif", sentiment_score=0.9),
    comment("c7", FIRST, brand="Véga", set_aside="doublon", sentiment=None, sentiment_score=None),
    comment("c8", LATER, brand="Orso", emotions=["joie"]),
    comment("c9", LATER, brand="Orso", emotions=["joie", "surprise"]),
    comment("c10", LATER, brand="Orso", emotions=["joie"]),
    comment("c11", LATER, brand="Orso", sentiment="neutre", sentiment_score=0.4),
    comment("c12", LATER, brand="Orso", source="reseau"),
]
SAID = [  # (comment, touchpoint, score); c1 speaks of the queue twice: −0.6 on average
    ("c1", "attente", -0.8), ("c1", "attente", -0.4), ("c1", "accueil", 0.5),
    ("c2", "accueil", 0.7), ("c3", "attente", -0.9), ("c4", "prix", -0.2),
    ("c5", "attente", -0.5), ("c6", "accueil", 0.9), ("c7", "attente", -1.0), ("c8", None, 1.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    at = str(tmp_path_factory.mktemp("l'été [1]"))
    named = {of["comment_id"]: of for of in COMMENTS}
    mentions = [
        mention(named[name], touchpoint, sentiment_score=score, mention_id=str(i))
        for i, (name, touchpoint, score) in enumerate(SAID)
    ]
    publish(at, COMMENTS, mentions)
    return at


def publish(root: str, comments: list[dict[str, Any]], mentions: list[dict[str, Any]]) -> None:
    parts = [
        *split(rows(schema.COMMENTS, *comments), schema.COMMENTS),
        *split(rows(schema.MENTIONS, *mentions), schema.MENTIONS),
    ]
    warehouse = Warehouse(root)
    with warehouse.hold():
        warehouse.publish(parts, run_id="r1", metadata={})


@functools.cache
def measured(root: str, shrink: float = 20) -> dict[schema.Table, pa.Table]:
    return measure(root, touchpoints(level="facilite"), config.Metrics(shrink=shrink))


def scores(root: str, shrink: float = 20, **where: str) -> dict[str, dict[str, Any]]:
    table = measured(root, shrink)[schema.TOUCHPOINT_SCORES]
    return {
        row["touchpoint"]: row
        for row in table.to_pylist()
        if all(row[name] == value for name, value in where.items())
    }


def trend(root: str, table: schema.Table, day: str, source: str = "avis") -> list[dict[str, Any]]:
    found = measured(root)[table].to_pylist()
    when = dt.date.fromisoformat(day)
    return [row for row in found if (row["day"], row["source"]) == (when, source)]


def test_a_comment_counts_once_for_a_touchpoint_it_speaks_of_twice(root: str) -> None:
    queue = scores(root, period="2026-08", brand="Véga")["attente"]
    assert (queue["n"], queue["mentions"], queue["share"]) == (1, 2, 0.5)
    assert queue["mean"] == pytest.approx(-0.6)


def test_a_score_is_shrunk_to_the_mean_of_its_period_and_brand(root: str) -> None:
    # m = (0.5 + 0.7 − 0.6) / 3 = 0.2; accueil (1.2 + 20·0.2) / 22; attente (−0.6 + 20·0.2) / 21
    found = scores(root, period="2026-08", brand="Véga")
    assert found["accueil"]["score"] == pytest.approx(5.2 / 22)
    assert found["attente"]["score"] == pytest.approx(3.4 / 21)


def test_an_interval_pools_the_spread_within_touchpoints(root: str) -> None:
    # s² = (0.1² + 0.1² + 0 + 1) / (3 − 2 + 1) = 0.51; 1.645·√(0.51 / 22) = 0.25044
    found = scores(root, period="2026-08", brand="Véga")["accueil"]
    assert found["low"] == pytest.approx(0.236364 - 0.250440, abs=1e-5)
    assert found["high"] == pytest.approx(0.236364 + 0.250440, abs=1e-5)


def test_a_single_comment_has_a_wide_interval(root: str) -> None:
    # s² = (0 + 1) / (1 − 1 + 1) = 1; score = m = −0.2; 1.645·√(1 / 21) = 0.35894
    found = scores(root, period="tout", brand="Orso")["prix"]
    assert found["score"] == pytest.approx(-0.2)
    assert found["low"] == pytest.approx(-0.2 - 0.35894, abs=1e-5)
    assert found["high"] == pytest.approx(-0.2 + 0.35894, abs=1e-5)


def test_without_shrinking_the_score_is_the_mean_and_the_interval_stays_in_range(root: str) -> None:
    found = scores(root, shrink=0, period="tout", brand="Orso")["prix"]
    assert found["score"] == pytest.approx(-0.2)
    assert (found["low"], found["high"]) == (-1, 1)


def test_all_periods_and_brands_together_count_every_analysed_comment(root: str) -> None:
    # N = 7; m = (−2.0 + 2.1 − 0.2) / 7; attente (−2.0 + 20·m) / 23; 11 comments analysed
    found = scores(root, period="tout", brand="toutes")
    assert {name: row["n"] for name, row in found.items()} == {
        "accueil": 3, "attente": 3, "prix": 1,
    }  # fmt: skip
    assert found["attente"]["score"] == pytest.approx((-2.0 + 20 * -0.1 / 7) / 23)
    assert found["attente"]["share"] == pytest.approx(3 / 11)


def test_a_comment_without_a_day_counts_in_tout_only(root: str) -> None:
    assert scores(root, period="tout", brand="Véga")["accueil"]["n"] == 3
    assert "accueil" not in scores(root, period="2026-09", brand="Véga")


def test_a_comment_without_a_brand_counts_in_toutes_only(root: str) -> None:
    assert scores(root, period="2026-09", brand="toutes")["attente"]["n"] == 2
    assert scores(root, period="2026-09", brand="Véga")["attente"]["n"] == 1


def test_a_comment_set_aside_counts_nowhere(root: str) -> None:
    assert scores(root, period="2026-09", brand="Véga")["attente"]["mean"] == pytest.approx(-0.9)


def test_a_touchpoint_carries_the_stage_of_the_taxonomy(root: str) -> None:
    assert scores(root)["prix"]["stage"] == "achat"


def test_a_touchpoint_carries_the_frames_of_the_taxonomy(root: str) -> None:
    assert {row["level"] for row in scores(root).values()} == {"facilite"}


def test_a_share_of_a_day_has_the_interval_of_wilson(root: str) -> None:
    # 1 of 2: (1 + 1.3528 ± 1.6449·√(1·1/2 + 0.6764)) / (2 + 2.7055) = 0.5 ± 0.37914
    found = [row for row in trend(root, schema.SENTIMENT_TREND, AUGUST) if row["n"]]
    assert [(row["low"], row["high"]) for row in found] == [
        (pytest.approx(0.12086, abs=1e-5), pytest.approx(0.87914, abs=1e-5))
    ] * 2


def test_a_mean_of_a_day_has_an_interval(root: str) -> None:
    # c1 0.0, c2 0.8: s² = (0.64 − 0.64 / 2 + 1) / 2 = 0.66; 1.645·√(0.66 / 2) = 0.94490
    found = trend(root, schema.SENTIMENT_TREND, AUGUST)[0]
    assert found["mean_low"] == pytest.approx(0.4 - 0.94490, abs=1e-5)
    assert found["mean_high"] == 1


def test_sentiments_of_a_day_are_counted_also_at_zero(root: str) -> None:
    found = trend(root, schema.SENTIMENT_TREND, AUGUST)
    assert {row["sentiment"]: (row["n"], row["share"]) for row in found} == {
        "mixte": (1, 0.5), "negatif": (0, 0.0), "neutre": (0, 0.0), "positif": (1, 0.5),
    }  # fmt: skip


def test_a_day_has_the_mean_score_of_all_its_comments(root: str) -> None:
    # c3, c4 and c5: (−0.9 − 0.3 − 0.6) / 3; c7 is set aside
    found = trend(root, schema.SENTIMENT_TREND, FIRST)
    assert [row["mean_score"] for row in found] == pytest.approx([-0.6] * 4)


def test_a_comment_counts_in_each_of_its_emotions_or_in_neutre(root: str) -> None:
    found = trend(root, schema.EMOTION_TREND, LATER)
    assert {row["emotion"]: (row["n"], row["share"]) for row in found if row["n"]} == {
        "joie": (3, 0.75), "surprise": (1, 0.25), "neutre": (1, 0.25),
    }  # fmt: skip
    assert len(found) == len(schema.EMOTIONS) + 1


def test_sources_of_a_day_are_apart(root: str) -> None:
    found = trend(root, schema.EMOTION_TREND, LATER, "reseau")
    assert [row["emotion"] for row in found if row["n"]] == ["neutre"]


def test_rows_come_in_the_order_of_their_table(root: str) -> None:
    for table, data in measured(root).items():
        order = [(name, "ascending") for name in table.order]
        assert data.equals(data.sort_by(order))


def test_no_comments_give_empty_tables_of_the_right_types(tmp_path: Path) -> None:
    found = measure(str(tmp_path), touchpoints(), config.Metrics())
    touched = found.pop(schema.TOUCHPOINTS)
    assert touched == touchpoints()
    assert found == {table: schema.empty(table) for table in schema.METRICS[1:]}


def test_the_order_of_the_comments_changes_nothing(root: str, tmp_path: Path) -> None:
    mentions = Warehouse(root).read(schema.MENTIONS).to_pylist()
    for at, step in ((tmp_path / "a", 1), (tmp_path / "b", -1)):
        publish(str(at), COMMENTS[::step], mentions[::step])
    one, other = (measure(str(tmp_path / at), touchpoints(), config.Metrics()) for at in "ab")
    assert one == other


def test_an_object_store_is_measured_the_same(root: str) -> None:
    publish("memory://metrics", COMMENTS, Warehouse(root).read(schema.MENTIONS).to_pylist())
    assert measured("memory://metrics") == measured(root)


def test_a_query_sees_every_table_and_gives_utc(root: str) -> None:
    found = query(root, "SELECT c.published_at FROM comments c JOIN mentions m USING (comment_id)")
    assert found.num_rows == len(SAID)
    assert found.schema.field(0).type == pa.timestamp("us", "UTC")
    assert query(root, "SELECT count(*) AS n FROM runs").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT nope FROM comments", 'query: Binder Error: .*"nope" not found'),
        ("SELEC 1", 'query: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "expected one SELECT"),
        ("", "expected one SELECT"),
        ("DROP VIEW comments", "expected one SELECT"),
        ("COPY (SELECT 1) TO 'x.csv'", "expected one SELECT"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "expected one SELECT"),
        ("INSTALL httpfs", "expected one SELECT"),
        ("SET threads = 1", "expected one SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "Permission Error"),
        ("SELECT * FROM read_csv('https://example.org/a.csv')", "Permission Error"),
    ],
)
def test_a_query_can_only_read_the_tables(root: str, sql: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        query(root, sql)


def test_a_query_does_not_reach_the_private_folders(root: str) -> None:
    manifest = quoted(f"{root}/state/manifest.json")
    with pytest.raises(UsageError, match="Permission Error"):
        query(root, f"FROM read_text('{manifest}')")


def test_a_query_names_a_folder_that_is_no_warehouse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no tables"):
        query(str(tmp_path), "SELECT 1")


def test_a_query_over_a_damaged_file_says_so(tmp_path: Path) -> None:
    publish(str(tmp_path), COMMENTS[:1], [])
    (tmp_path / "tables/comments/avis/month=2026-08/part-0.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(WarehouseError, match=r"part-0\.parquet"):
        query(str(tmp_path), "SELECT * FROM comments")


def test_a_file_older_than_a_column_has_nulls_in_it(root: str, tmp_path: Path) -> None:
    publish(str(tmp_path), COMMENTS, Warehouse(root).read(schema.MENTIONS).to_pylist())
    for path in tmp_path.glob("tables/comments/**/*.parquet"):
        pq.write_table(pq.read_table(path, partitioning=None).drop("reply_touchpoints"), path)
    found = query(str(tmp_path), "SELECT DISTINCT reply_touchpoints FROM comments")
    assert found["reply_touchpoints"].to_pylist() == [None]


def test_a_metrics_file_older_than_a_column_has_nulls_in_it(root: str, tmp_path: Path) -> None:
    publish(str(tmp_path), COMMENTS, Warehouse(root).read(schema.MENTIONS).to_pylist())
    warehouse = Warehouse(str(tmp_path))
    alert = rows(schema.ALERTS, {"touchpoint": "attente", "day": dt.date(2026, 9, 14)})
    with warehouse.hold():
        warehouse.publish([Part(schema.ALERTS, alert)], run_id="r1", metadata={})
    path = tmp_path / "tables/alerts.parquet"
    pq.write_table(pq.read_table(path).drop("days"), path)
    assert query(str(tmp_path), "SELECT days FROM alerts")["days"].to_pylist() == [None]


def test_every_table_can_be_asked(root: str) -> None:
    for table in schema.TABLES:
        assert query(root, f"FROM {table.name} LIMIT 0").column_names[0] == table.names[0]


def test_the_command_line_of_duckdb_sees_every_table_from_any_folder(
    root: str, tmp_path: Path
) -> None:
    duckdb = Path(sys.executable).with_name("duckdb")
    asked = ["-init", f"{root}/views.sql", "-csv", "-noheader", "-c"]
    sql = "SELECT c.source, count(*) FROM mentions JOIN comments AS c USING (comment_id) GROUP BY 1"
    every = "; ".join(f"FROM {table.name} SELECT count(*)" for table in schema.TABLES)
    ended = subprocess.run(
        [duckdb, *asked, f"{sql}; {every}"], cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    said, comments, mentions, *empty = ended.stdout.split()
    assert (said, comments, mentions) == ("avis,10", "12", "10")
    assert empty == ["0"] * (len(schema.TABLES) - 2)
