"""Shards over several devices: the same tables, in the same order."""

import operator
import os
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import TAXONOMY, TEXTS

from cxnlp.analyse import Analyzer
from cxnlp.config import Inference
from cxnlp.devices import over
from cxnlp.errors import CxnlpError
from cxnlp.model.weights import devices_for
from cxnlp.onefile import SHARD, analyse_file, side_by_side


def test_shards_come_back_in_order() -> None:
    shards = [f":{i}" for i in range(20)]
    made = list(over(["cpu", "cpu"], partial(partial, operator.add), shards))
    assert made == [f"cpu{shard}" for shard in shards]


def test_a_process_that_dies_is_told_of() -> None:
    with pytest.raises(CxnlpError, match="a process of the devices cpu died"):
        list(over(["cpu"], {"cpu": os._exit}.__getitem__, [1, 2]))


def test_without_several_gpus_there_is_one_device() -> None:
    assert devices_for("cpu") == ["cpu"]
    assert devices_for("cuda:1") == ["cuda:1"]


@pytest.mark.slow
def test_two_devices_write_the_tables_that_one_writes(
    tmp_path: Path, tiny_model: Path, analyzer: Analyzer
) -> None:
    source = tmp_path / "avis.csv"
    rows = [f"{i},{TEXTS[i % 8]} {i}" for i in range(SHARD + 40)]
    source.write_text("\n".join(["id;text", *(r.replace(",", ";", 1) for r in rows)]), "utf-8")
    both = side_by_side(["cpu", "cpu"], tiny_model, TAXONOMY, Inference())
    analyse_file(source, tmp_path / "one", lambda: analyzer)
    analyse_file(source, tmp_path / "two", lambda: analyzer, read=both)
    for name in ("comments", "mentions", "rejects"):
        one, two = (pq.read_table(tmp_path / out / f"{name}.parquet") for out in ("one", "two"))
        kept = [c for c in one.column_names if c != "analysed_at"]
        assert one.select(kept).equals(two.select(kept)), name
