"""What is written can be read by everyone, and is left alone when nothing changed."""

import datetime as dt
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from warehouse_rows import comment, mention, night, rows

from cxnlp import schema
from cxnlp.errors import ConfigError, WarehouseBusyError, WarehouseError
from cxnlp.parts import Part, part_at, path_of, split
from cxnlp.warehouse import Warehouse

METADATA = {"model": "m-1", "taxonomy": "t-1"}
READERS = {
    "pandas": lambda at: pa.Table.from_pandas(pd.read_parquet(at), preserve_index=False),
    "pandas, some columns": lambda at: pa.Table.from_pandas(
        pd.read_parquet(at, columns=["comment_id", "source"]), preserve_index=False
    ),
    "pyarrow table": pq.read_table,
    "pyarrow dataset": lambda at: ds.dataset(at).to_table(),
    "pyarrow hive dataset": lambda at: ds.dataset(at, partitioning="hive").to_table(),
    "duckdb": lambda at: duckdb.sql(f"FROM '{at}/**/*.parquet'").to_arrow_table(),
    "duckdb hive": lambda at: duckdb.sql(
        f"FROM read_parquet('{at}/**/*.parquet', hive_partitioning=true)"
    ).to_arrow_table(),
    "duckdb plain": lambda at: duckdb.sql(
        f"FROM read_parquet('{at}/**/*.parquet', hive_partitioning=false)"
    ).to_arrow_table(),
    "polars": lambda at: pl.read_parquet(at).to_arrow(),
    "polars glob": lambda at: pl.read_parquet(f"{at}/**/*.parquet").to_arrow(),
    "polars scan": lambda at: pl.scan_parquet(at).collect().to_arrow(),
    "polars hive scan": lambda at: pl.scan_parquet(at, hive_partitioning=True).collect().to_arrow(),
}


def publish(root: Path | str, parts: list[Part], run_id: str = "r1") -> list[str]:
    warehouse = Warehouse(str(root))
    with warehouse.hold(run_id):
        return warehouse.publish(parts, run_id=run_id, metadata=METADATA)


def by_day(parts: list[Part]) -> list[Part]:
    days = []
    for part in parts:
        if part.source:
            days += split(part.data, part.table, "day")
    return days


@pytest.mark.parametrize("grain", ["month", "day"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_sees_all_rows_with_their_source(
    tmp_path: Path, reader: str, grain: str
) -> None:
    publish(tmp_path, night() if grain == "month" else by_day(night()))
    read = READERS[reader](str(tmp_path / "tables" / "comments"))
    assert read.num_rows == 8
    assert sorted(read["source"].cast(pa.string()).to_pylist()) == ["avis"] * 4 + ["reseau"] * 4
    assert "string" in str(read.schema.field("source").type)
    assert "dictionary" not in str(read.schema.field("source").type)


def test_a_single_file_has_its_source(tmp_path: Path) -> None:
    publish(tmp_path, night())
    file = tmp_path / "tables/comments/avis/month=2026-09/part-0.parquet"
    assert pq.read_table(file, partitioning=None)["source"].to_pylist() == ["avis", "avis"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    publish(tmp_path, night())
    written = pa.concat_tables([p.rows() for p in night() if p.table is schema.COMMENTS])
    assert Warehouse(str(tmp_path)).read(schema.COMMENTS).equals(written)


def test_one_part_and_some_columns_can_be_read(tmp_path: Path) -> None:
    publish(tmp_path, night())
    warehouse = Warehouse(str(tmp_path))
    part = warehouse.read_part(schema.MENTIONS, "avis", "2026-08", ["excerpt", "comment_id"])
    assert part.to_pylist() == [{"excerpt": "deux heures de queue", "comment_id": "avis-0"}]


def test_parts_are_listed_by_source_and_period(tmp_path: Path) -> None:
    publish(tmp_path, night(sources=("avis",)))
    keys = [("avis", "2026-08"), ("avis", "2026-09"), ("avis", "sans-date")]
    assert Warehouse(str(tmp_path)).parts(schema.COMMENTS) == keys


def test_an_absent_table_has_no_rows_and_is_not_created(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "new"))
    assert warehouse.read(schema.RUNS).schema.equals(schema.RUNS.arrow)
    assert warehouse.read(schema.COMMENTS).num_rows == 0
    assert not (tmp_path / "new").exists()


def test_a_path_names_its_part() -> None:
    keys = [
        (schema.COMMENTS, "avis", "2026-09"),
        (schema.MENTIONS, "avis_2", "2026-09-14"),
        (schema.COMMENTS, "avis", "sans-date"),
        (schema.RAW, "avis", "000012"),
        (schema.RUNS, None, None),
    ]
    assert [part_at(path_of(*key)) for key in keys] == keys


@pytest.mark.parametrize("source", ["../x", "a/b", "", None])
def test_a_source_cannot_leave_its_folder(source: str | None) -> None:
    with pytest.raises(ValueError, match="no part is named"):
        path_of(schema.COMMENTS, source, "2026-09")


def test_a_row_of_another_month_is_refused(tmp_path: Path) -> None:
    part = Part(schema.COMMENTS, rows(schema.COMMENTS, comment("a")), "avis", "2026-08")
    with pytest.raises(ValueError, match=r"month=2026-08/part-0.parquet: has rows of '2026-09'"):
        publish(tmp_path, [part])


def test_rows_lie_in_the_order_of_their_table_however_they_come(tmp_path: Path) -> None:
    made = [comment("b"), comment("a"), comment("c", "2026-09-02")]
    publish(tmp_path, split(rows(schema.COMMENTS, *made), schema.COMMENTS))
    read = Warehouse(str(tmp_path)).read(schema.COMMENTS, ["comment_id"])
    assert read["comment_id"].to_pylist() == ["c", "a", "b"]


def test_the_same_content_is_left_untouched(tmp_path: Path) -> None:
    publish(tmp_path, night())
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*") if p.is_file()}
    again = [Part(p.table, _of_run(p.data, "r2"), p.source, p.period) for p in reversed(night())]
    assert publish(tmp_path, again, "r2") == []
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*") if p.is_file()} == before


def test_a_run_of_another_id_is_another_row_of_runs(tmp_path: Path) -> None:
    publish(tmp_path, [Part(schema.RUNS, rows(schema.RUNS, {"run_id": "r1"}))])
    part = Part(schema.RUNS, rows(schema.RUNS, {"run_id": "r2"}))
    assert publish(tmp_path, [part]) == ["tables/runs.parquet"]


def test_only_the_part_that_changed_is_written(tmp_path: Path) -> None:
    publish(tmp_path, night())
    changed = comment("avis-0", "2026-08-30", reply_text="Merci !")
    part = Part(schema.COMMENTS, rows(schema.COMMENTS, changed), "avis", "2026-08")
    path = "tables/comments/avis/month=2026-08/part-0.parquet"
    assert publish(tmp_path, [part, *night()[1:]]) == [path]


def test_a_part_without_rows_goes_away_with_its_folders(tmp_path: Path) -> None:
    publish(tmp_path, night())
    gone = [Part(p.table, p.data[:0], p.source, p.period) for p in night() if p.source == "reseau"]
    assert len(publish(tmp_path, gone)) == 6
    assert [p.name for p in (tmp_path / "tables" / "comments").iterdir()] == ["avis"]


def test_a_table_of_one_file_stays_when_it_has_no_rows(tmp_path: Path) -> None:
    publish(tmp_path, night())
    assert pq.read_table(tmp_path / "tables/rejects.parquet").column_names == schema.REJECTS.names


def test_files_are_written_for_fast_and_safe_reading(tmp_path: Path) -> None:
    publish(tmp_path, night())
    file = pq.ParquetFile(tmp_path / "tables/comments/avis/month=2026-09/part-0.parquet")
    ids = file.metadata.row_group(0).column(0)
    assert (ids.compression, ids.is_stats_set) == ("ZSTD", True)
    assert ids.has_column_index
    assert ids.has_offset_index
    assert ids.bloom_filter_length > 0
    assert file.schema_arrow.field("published_at").type == pa.timestamp("us", "UTC")


def test_a_file_says_which_run_and_model_made_it(tmp_path: Path) -> None:
    publish(tmp_path, night())
    found = pq.read_metadata(tmp_path / "tables/files.parquet").metadata
    assert (found[b"run_id"], found[b"model"], found[b"taxonomy"]) == (b"r1", b"m-1", b"t-1")
    assert {b"cxnlp", b"schema"} <= found.keys()


def test_raw_and_state_are_closed_to_others(tmp_path: Path) -> None:
    raw = rows(schema.RAW, {"comment_id": "a", "source": "avis"})
    publish(tmp_path, [Part(schema.RAW, raw, "avis", "000001")])
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("raw", "state")]
    assert modes == [0o700, 0o700]
    assert Warehouse(str(tmp_path)).read(schema.RAW).num_rows == 1


def test_shards_come_back_as_they_were_staged(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    first, second = pa.table({"a": [2, 1]}), pa.table({"b": ["é"]})
    warehouse.stage_shard("0f-3", first, second)
    read = warehouse.read_shard("0f-3")
    assert read is not None
    assert read[0].equals(first)
    assert read[1].equals(second)


def test_dropped_shards_are_gone(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.stage_shard("x", pa.table({"a": [1]}), pa.table({"b": [1]}))
    warehouse.drop_shards()
    assert warehouse.read_shard("x") is None


@pytest.mark.parametrize("name", ["plain", "l'été [1] *?"])
def test_views_work_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    publish(tmp_path / name, night())
    monkeypatch.chdir("/")
    with duckdb.connect() as connection:
        connection.execute((tmp_path / name / "views.sql").read_text(encoding="utf-8"))
        counts = [
            connection.sql(f"FROM {table.name}").to_arrow_table().num_rows
            for table in schema.TABLES[:5]
        ]
    assert counts == [8, 8, 0, 2, 0]


@pytest.mark.parametrize("full", [True, False])
def test_a_view_has_the_columns_and_types_of_its_table(tmp_path: Path, full: bool) -> None:
    publish(tmp_path, night() if full else [])
    with duckdb.connect() as connection:
        connection.execute((tmp_path / "views.sql").read_text(encoding="utf-8"))
        connection.execute("SET TimeZone = 'UTC'")
        for table in schema.TABLES:
            seen = connection.sql(f"FROM {table.name} LIMIT 0").to_arrow_table()
            assert [_kind(seen[c.name].type) for c in table.columns] == [
                _kind(c.type) for c in table.columns
            ]


def test_a_sound_warehouse_verifies(tmp_path: Path) -> None:
    publish(tmp_path, night())
    assert Warehouse(str(tmp_path)).verify() == []


def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    publish(tmp_path, night())
    file = tmp_path / "tables/files.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(WarehouseError, match=r"files\.parquet: cannot be read: .*copy"):
        Warehouse(str(tmp_path)).read(schema.FILES)


def test_verify_names_missing_and_foreign_files(tmp_path: Path) -> None:
    publish(tmp_path, night())
    (tmp_path / "tables/files.parquet").rename(tmp_path / "tables/other.parquet")
    problems = Warehouse(str(tmp_path)).verify()
    assert [problem.split(": ")[0] for problem in problems] == [
        "tables/files.parquet",
        "tables/other.parquet",
    ]


def test_a_damaged_part_is_mended_by_the_next_publication(tmp_path: Path) -> None:
    publish(tmp_path, night())
    (tmp_path / "tables/files.parquet").write_bytes(b"PAR1")
    assert publish(tmp_path, night()) == ["tables/files.parquet"]
    assert Warehouse(str(tmp_path)).verify() == []


def test_publishing_without_holding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="within hold"):
        Warehouse(str(tmp_path)).publish(night(), run_id="r", metadata={})


def test_an_unknown_url_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"nowhere://x.*expected a folder, or an fsspec URL"):
        Warehouse("nowhere://x")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WarehouseError, match=r"file/w.*cannot be held"):
        publish(tmp_path / "file" / "w", night())


def test_an_object_store_holds_the_same_tables(tmp_path: Path) -> None:
    publish(tmp_path, night())
    publish("memory://same-tables", night())
    there, here = Warehouse("memory://same-tables"), Warehouse(str(tmp_path))
    assert there.verify() == []
    for table in (schema.COMMENTS, schema.MENTIONS, schema.FILES):
        assert there.read(table).equals(here.read(table))


def test_an_object_store_is_left_untouched_too() -> None:
    publish("memory://untouched", night())
    assert publish("memory://untouched", night()) == []


def test_an_object_store_is_held_by_one() -> None:
    with (
        Warehouse("memory://held").hold("r7"),
        pytest.raises(WarehouseBusyError, match=r"run r7.*delete memory://held/state/lock"),
        Warehouse("memory://held").hold(),
    ):
        pass


def test_a_mention_keeps_its_place_among_mentions_of_its_time(tmp_path: Path) -> None:
    of = comment("a")
    made = rows(schema.MENTIONS, mention(of, "prix"), mention(of, "attente", start=3))
    publish(tmp_path, split(made, schema.MENTIONS))
    read = Warehouse(str(tmp_path)).read(schema.MENTIONS, ["start", "day"]).to_pylist()
    assert [row["start"] for row in read] == sorted(row["start"] for row in read)
    assert read[0]["day"] == dt.date(2026, 9, 14)


def _of_run(data: pa.Table, run_id: str) -> pa.Table:
    at = data.schema.get_field_index("run_id")
    return data.set_column(at, "run_id", pa.array([run_id] * data.num_rows, pa.string()))


def _kind(of: pa.DataType) -> str:
    """Return a type by name; programs differ in what they call the inside of a list."""
    return f"list of {of.value_type}" if pa.types.is_list(of) else str(of)
