"""One file in, three tables out: `cxnlp analyze`, without warehouse or Prefect.

Comes in: a file whose columns are recognised or named. Goes out: `comments.parquet`,
`mentions.parquet`, `rejects.parquet` in a folder, all replaced at once or not at all. An id the
file gives is also the `comment_id`, so that the tables join with it. Authors get a pseudonym
only when CXNLP_AUTHOR_KEY is set; without a key they are left out. What is made of the rows is
written shard by shard, so that memory holds the file as read and one shard.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxnlp import schema
from cxnlp.analyse import Analysis, Analyzer
from cxnlp.clean import KINDS, duplicates
from cxnlp.config import Inference
from cxnlp.devices import over
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.freed import give_back
from cxnlp.ingest import find_files, read_file, recognise
from cxnlp.told import set_aside_duplicates

SHARD = 4_096
KEY = "CXNLP_AUTHOR_KEY"
_TABLES = (schema.COMMENTS, schema.MENTIONS, schema.REJECTS)
_KEYS = ["comment_id", "published_at", "author_key", "duplicate_key"]
_SHOWN = {"comments": ["comment_id", "set_aside"], "mentions": ["mention_id", "comment_id"]}


def analyse_file(
    source: Path, output: Path, load: Callable[[], Analyzer], *, text_column: str | None = None,
    id_column: str | None = None, tell: Callable[[str], None] = lambda _: None,
    read: Callable[[Iterable[pa.Table]], Iterator[Analysis]] | None = None,
) -> dict[str, pa.Table]:  # fmt: skip
    """Write the three tables into `output`; return by name the rejects, of the others the ids.

    Beside the ids of comments stands why they were set aside. `load` is called once the file has
    been read, so that a wrong path costs no time; with `read`, which makes something of each
    shard in turn, it is not called.
    """
    if not source.is_file():
        raise UsageError(f"{source}: no such file")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is not a folder")
    settings = recognise(str(source), text_column=text_column, id_column=id_column)
    (found,) = find_files(settings)
    key = os.environ.get(KEY, "").encode() or None
    tell(f"reading {source}")
    file = read_file(found, settings, author_key=key, mask=KINDS, run_id="", sequence=1)
    raw = _with_own_ids(file.comments)
    tell("loading the model")
    if read is None:
        analyzer = load()
        read = partial(map, partial(analyzer.analyse, run_id=""))
    try:
        output.mkdir(parents=True, exist_ok=True)
        keys = _label(raw, read, output, tell)
        shown = _finish(output, duplicates(keys))
        with _writer(output / ".rejects.part", schema.REJECTS) as writer:
            writer.write_table(file.rejects)
        for table in _TABLES:
            (output / f".{table.name}.part").replace(output / f"{table.name}.parquet")
    except OSError as error:
        raise WarehouseError(f"{output}: cannot be written: {error}") from error
    finally:
        for path in (output / f".{t.name}.{kind}" for t in _TABLES for kind in ("shards", "part")):
            path.unlink(missing_ok=True)
    return shown | {"rejects": file.rejects}


def side_by_side(
    devices: Sequence[str], model: str | Path, taxonomy: str | Path, how: Inference
) -> Callable[[Iterable[pa.Table]], Iterator[Analysis]]:
    """Return a `read` for `analyse_file` that has a process for each device."""
    return partial(over, devices, partial(_on_device, model, taxonomy, how))


def _on_device(
    model: str | Path, taxonomy: str | Path, how: Inference, device: str
) -> Callable[[pa.Table], Analysis]:
    here = how.model_copy(update={"device": device})
    analyzer = Analyzer.load(model, taxonomy, inference=here)
    return partial(analyzer.analyse, run_id="")


def _label(
    raw: pa.Table, read: Callable[[Iterable[pa.Table]], Iterator[Analysis]], output: Path,
    tell: Callable[[str], None],
) -> pa.Table:  # fmt: skip
    """Write what is made of each shard, a row group each, and return the keys of all comments."""
    keys = []
    with ExitStack() as stack:
        comments, mentions = (
            stack.enter_context(_writer(output / f".{table.name}.shards", table))
            for table in _TABLES[:2]
        )
        starts = range(0, max(raw.num_rows, 1), SHARD)
        for start, made in zip(starts, read(raw.slice(s, SHARD) for s in starts), strict=True):
            comments.write_table(made.comments, row_group_size=SHARD)
            mentions.write_table(made.mentions, row_group_size=max(made.mentions.num_rows, 1))
            keys.append(made.comments.select(_KEYS))
            del made
            give_back()
            tell(f"{min(start + SHARD, raw.num_rows):,} of {raw.num_rows:,} comments analysed")
    return pa.concat_tables(keys)


def _finish(output: Path, repeats: pa.Array) -> dict[str, pa.Table]:
    """Write the tables with their duplicates set aside, and return the columns that are shown."""
    shown: dict[str, list[pa.Table]] = {name: [] for name in _SHOWN}
    start = 0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_writer(output / f".{table.name}.part", table))
            for table in _TABLES[:2]
        ]
        for comments, mentions in _shards(output):
            stop = start + comments.num_rows
            tables = set_aside_duplicates(comments, mentions, repeats[start:stop])
            for writer, table, name in zip(writers, tables, _SHOWN, strict=True):
                writer.write_table(table)
                shown[name].append(table.select(_SHOWN[name]))
            start = stop
            del comments, mentions, tables
            give_back()
    return {name: pa.concat_tables(some) for name, some in shown.items()}


def _shards(output: Path) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the comments and the mentions of each shard; one empty pair where there is none."""
    files = [pq.ParquetFile(output / f".{table.name}.shards") for table in _TABLES[:2]]
    with files[0], files[1]:
        for group in range(files[0].num_row_groups):
            comments, mentions = (file.read_row_group(group) for file in files)
            yield comments, mentions


def _with_own_ids(raw: pa.Table) -> pa.Table:
    """Take the file's ids for ours, where every row has one and no two sources share one."""
    ids = raw["native_id"]
    if ids.null_count or pc.count_distinct(ids).as_py() < len(ids):
        return raw
    return raw.set_column(
        raw.column_names.index("comment_id"), schema.RAW.arrow.field("comment_id"), ids
    )


def _writer(path: Path, table: schema.Table) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, table.arrow, compression="zstd", write_page_checksum=True)
