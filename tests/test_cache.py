"""What was told of a text is found again: the same rows, within a limit, whatever breaks."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TEXTS

from cxnlp import night, schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.cache import FEW, Cache
from cxnlp.config import Settings
from cxnlp.storage import LocalFiles, ObjectFiles, open_files
from cxnlp.told import TOLD
from cxnlp.warehouse import Warehouse

OTHERS = ["Trop cher.", "Le guichet est fermé le lundi, quelle déception."]
LINEAGE = ["run_id", "analysed_at", "row_digest"]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles | ObjectFiles:
    return open_files(str(tmp_path))


def _raw(texts: list[str], **columns: list[Any]) -> pa.Table:
    rows = len(texts)
    some: dict[str, list[Any]] = {
        "comment_id": [f"c{i}" for i in range(rows)], "source": ["avis"] * rows,
        "channel": ["avis"] * rows, "text": texts, "file": ["a.csv"] * rows,
        "row": list(range(1, rows + 1)), "row_digest": [""] * rows,
    }  # fmt: skip
    return schema.conform(pa.table(some | columns), schema.RAW)


def _analyse(
    analyzer: Analyzer, files: LocalFiles | ObjectFiles, texts: list[str], run: str = "r1",
    limit: int = 64,
) -> Analysis:  # fmt: skip
    """Analyse texts in a run of their own, with what earlier runs left."""
    cache = Cache(files, "k", run, limit)
    result = analyzer.analyse(_raw(texts), "", cache)
    cache.settle()
    return result


def _paths(files: LocalFiles | ObjectFiles) -> list[str]:
    return [path for path in files.list("state/cache") if path.endswith(".parquet")]


def _same(one: Analysis, other: Analysis) -> bool:
    comments = [r.comments.drop_columns("analysed_at") for r in (one, other)]
    return bool(comments[0].equals(comments[1]) and one.mentions.equals(other.mentions))


def test_a_text_of_an_earlier_night_is_not_read_again(analyzer: Analyzer, files: Any) -> None:
    assert _analyse(analyzer, files, TEXTS).read == len(TEXTS)
    assert _analyse(analyzer, files, [*TEXTS, *OTHERS], "r2").read == len(OTHERS)


def test_answers_are_the_same_with_and_without(analyzer: Analyzer, files: Any) -> None:
    first = _analyse(analyzer, files, TEXTS)
    again = _analyse(analyzer, files, TEXTS, "r2")
    assert again.read == 0
    assert _same(first, again)
    assert _same(first, analyzer.analyse(_raw(TEXTS), ""))


def test_rows_come_in_the_order_asked_for(analyzer: Analyzer, files: Any) -> None:
    _analyse(analyzer, files, TEXTS)
    _analyse(analyzer, files, OTHERS, "r2")
    mixed = [OTHERS[1], *TEXTS[::-1], OTHERS[0]]
    found, plain = _analyse(analyzer, files, mixed, "r3"), analyzer.analyse(_raw(mixed), "")
    assert found.read == 0
    assert found.mentions["mention_id"].equals(plain.mentions["mention_id"])
    for name in ("text", "sentiment", "emotions", "touchpoints", "levers", "intents"):
        assert found.comments[name].equals(plain.comments[name]), name


def test_another_key_finds_nothing(analyzer: Analyzer, files: Any) -> None:
    digests = _analyse(analyzer, files, TEXTS).comments["text_digest"].combine_chunks()
    place, found = Cache(files, "other", "r2", 64).find(digests)
    assert (set(place.tolist()), found.num_rows) == ({-1}, 0)


def test_what_one_shard_was_told_the_next_one_knows(analyzer: Analyzer, files: Any) -> None:
    cache = Cache(files, "k", "r1", 64)
    analyzer.analyse(_raw(TEXTS), "", cache)
    assert analyzer.analyse(_raw([*OTHERS, *TEXTS]), "", cache).read == len(OTHERS)


def test_no_file_holds_a_word_of_a_text(analyzer: Analyzer, files: Any) -> None:
    _analyse(analyzer, files, ["Zygomatique bouilloire, mais deux heures de queue au guichet."])
    (path,) = _paths(files)
    table = pq.read_table(files.where(path))
    assert "excerpt" not in str(table.schema)
    assert "bouilloire" not in str(table.to_pylist())


@pytest.mark.parametrize("spoil", ["cut", "emptied", "changed", "other columns"])
def test_a_broken_file_is_told_of_and_its_texts_are_read_again(
    analyzer: Analyzer, files: Any, spoil: str
) -> None:
    first = _analyse(analyzer, files, TEXTS)
    (path,) = (Path(files.where(p)) for p in _paths(files))
    data = path.read_bytes()
    if spoil == "other columns":
        pq.write_table(pa.table({"digest": [b"x" * 16]}), path)
    else:
        middle = bytes(b ^ 0xFF for b in data[len(data) // 4 : len(data) // 2])
        changed = data[: len(data) // 4] + middle + data[len(data) // 2 :]
        path.write_bytes({"cut": data[:-9], "emptied": b"", "changed": changed}[spoil])
    with pytest.warns(RuntimeWarning, match="this part of the cache is removed") as told:
        again = _analyse(analyzer, files, TEXTS, "r2")
    assert (len(told), again.read) == (1, len(TEXTS))
    assert _same(first, again)
    assert _analyse(analyzer, files, TEXTS, "r3").read == 0


def test_a_file_half_written_is_swept(analyzer: Analyzer, files: Any) -> None:
    _analyse(analyzer, files, TEXTS)
    files.write("state/cache/k/r2-000001.parquet.part", b"PAR1")
    _analyse(analyzer, files, TEXTS, "r3")
    assert [path for path in files.list("state/cache") if path.endswith(".part")] == []


def test_a_list_of_uses_that_is_broken_costs_nothing_else(analyzer: Analyzer, files: Any) -> None:
    _analyse(analyzer, files, TEXTS)
    files.write("state/cache/used.json", b"[3")
    assert _analyse(analyzer, files, TEXTS, "r2").read == 0


def _told(digests: list[str], weight: int) -> tuple[pa.Array, pa.Table]:
    """Rows that weigh about `weight` bytes each, on a disk."""
    random = np.random.default_rng(weight)
    rows = [
        dict.fromkeys(TOLD.names) | {"sentiment": random.bytes(weight).hex(), "mentions": []}
        for _ in digests
    ]
    return pa.array(digests), pa.Table.from_pylist(rows, schema=TOLD)


def _fill(files: Any, runs: range, weight: int, limit: int) -> None:
    for run in runs:
        cache = Cache(files, "k", f"r{run:03d}", limit)
        cache.add(*_told([f"{run:032x}"], weight))
        cache.settle()


def _knows(files: Any, runs: range, run: str = "r999", limit: int = 1) -> list[int]:
    cache = Cache(files, "k", run, limit)
    place, _ = cache.find(pa.array([f"{r:032x}" for r in runs]))
    cache.settle()
    return [r for r, at in zip(runs, place.tolist(), strict=True) if at >= 0]


def test_beyond_the_limit_the_oldest_go_first(files: Any) -> None:
    _fill(files, range(5), 300_000, limit=1)
    assert _knows(files, range(5)) == [2, 3, 4]


def test_what_was_used_last_night_stays(files: Any) -> None:
    _fill(files, range(3), 300_000, limit=1)
    assert _knows(files, range(1), "r003") == [0]
    _fill(files, range(4, 6), 300_000, limit=1)
    assert _knows(files, range(6)) == [0, 4, 5]


def test_files_stay_within_the_limit(files: Any) -> None:
    _fill(files, range(5), 300_000, limit=1)
    assert sum(Path(files.where(path)).stat().st_size for path in _paths(files)) <= 1 << 20


def test_many_small_files_become_one(files: Any) -> None:
    _fill(files, range(FEW + 1), 10, limit=1)
    assert len(_paths(files)) == 1
    assert _knows(files, range(FEW + 1)) == list(range(FEW + 1))


# --- in a night ---------------------------------------------------------------------------------


def _night(
    folder: Path, analyzer: Analyzer, reply: str, cache_mb: int, warehouse: str = "w"
) -> night.Analysed:
    """Ingest and analyse `TEXTS`, each with this answer."""
    lines = ["id;date;texte;reponse", *(f"{i};2026-09-14;{t};{reply}" for i, t in enumerate(TEXTS))]
    (folder / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    fields = {"native_id": "id", "published_at": "date", "text": "texte", "reply_text": "reponse"}
    source = {"name": "avis", "files": str(folder / "a.csv"), "fields": fields}
    settings = Settings.model_validate({
        "warehouse": str(folder / warehouse), "sources": [source],
        "inference": {"cache_mb": cache_mb, "device": "cpu"},
    })  # fmt: skip
    tonight = night.Night.begin(settings)
    with tonight.warehouse.hold(tonight.run_id):
        night.ingest(tonight, settings.sources[0])
        return night.analyse(tonight, analyzer)


def _tables(warehouse: Path) -> list[pa.Table]:
    found = [Warehouse(str(warehouse)).read(t) for t in (schema.COMMENTS, schema.MENTIONS)]
    return [t.drop_columns([n for n in LINEAGE if n in t.column_names]) for t in found]


def test_a_comment_that_got_an_answer_is_not_read_again(tmp_path: Path, analyzer: Analyzer) -> None:
    _night(tmp_path, analyzer, "", 64)
    ran = _night(tmp_path, analyzer, "Merci.", 64)
    assert (ran.written, ran.texts) == (len(TEXTS), 0)


def test_tables_of_nights_are_the_same_with_and_without(tmp_path: Path, analyzer: Analyzer) -> None:
    for name, cache_mb in (("with", 64), ("without", 0)):
        for reply in ("", "Merci."):
            _night(tmp_path, analyzer, reply, cache_mb, name)
    for one, other in zip(_tables(tmp_path / "with"), _tables(tmp_path / "without"), strict=True):
        assert one.equals(other)


def test_without_a_cache_nothing_is_kept(tmp_path: Path, analyzer: Analyzer) -> None:
    _night(tmp_path, analyzer, "", 0)
    assert not (tmp_path / "w" / "state" / "cache").exists()


def test_a_second_run_on_the_same_input_leaves_the_cache_as_it_was(
    tmp_path: Path, analyzer: Analyzer
) -> None:
    _night(tmp_path, analyzer, "", 64)
    folder = tmp_path / "w" / "state" / "cache"
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    _night(tmp_path, analyzer, "", 64)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
