"""One file in, three tables out: `cxnlp analyze`, without warehouse or Prefect.

Comes in: a file whose columns are recognised or named. Goes out: `comments.parquet`,
`mentions.parquet`, `rejects.parquet` in a folder, all replaced at once or not at all. An id the
file gives is also the `comment_id`, so that the tables join with it. Authors get a pseudonym
only when CXNLP_AUTHOR_KEY is set; without a key they are left out.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxnlp import schema
from cxnlp.analyse import Analyzer
from cxnlp.clean import KINDS, duplicates
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.ingest import find_files, read_file, recognise
from cxnlp.told import set_aside_duplicates

SHARD = 20_000
KEY = "CXNLP_AUTHOR_KEY"


def analyse_file(
    source: Path, output: Path, load: Callable[[], Analyzer], *, text_column: str | None = None,
    id_column: str | None = None, tell: Callable[[str], None] = lambda _: None,
) -> dict[str, pa.Table]:  # fmt: skip
    """Write the three tables into `output` and return them by name.

    `load` is called once the file has been read, so that a wrong path costs no time.
    """
    if not source.is_file():
        raise UsageError(f"{source}: no such file")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is not a folder")
    settings = recognise(str(source), text_column=text_column, id_column=id_column)
    (found,) = find_files(settings)
    key = os.environ.get(KEY, "").encode() or None
    tell(f"reading {source}")
    read = read_file(found, settings, author_key=key, mask=KINDS, run_id="", sequence=1)
    raw = _with_own_ids(read.comments)
    tell("loading the model")
    analyzer = load()
    batches = []
    for start in range(0, max(raw.num_rows, 1), SHARD):
        batches.append(analyzer.analyse(raw.slice(start, SHARD), run_id=""))
        tell(f"{min(start + SHARD, raw.num_rows):,} of {raw.num_rows:,} comments analysed")
    comments = pa.concat_tables([b.comments for b in batches])
    mentions = pa.concat_tables([b.mentions for b in batches])
    comments, mentions = set_aside_duplicates(comments, mentions, duplicates(comments))
    tables = {"comments": comments, "mentions": mentions, "rejects": read.rejects}
    _write(output, tables)
    return tables


def _with_own_ids(raw: pa.Table) -> pa.Table:
    """Take the file's ids for ours, where every row has one and no two sources share one."""
    ids = raw["native_id"]
    if ids.null_count or pc.count_distinct(ids).as_py() < len(ids):
        return raw
    return raw.set_column(
        raw.column_names.index("comment_id"), schema.RAW.arrow.field("comment_id"), ids
    )


def _write(output: Path, tables: dict[str, pa.Table]) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            pq.write_table(
                table, output / f".{name}.part", compression="zstd", write_page_checksum=True
            )
        for name in tables:
            (output / f".{name}.part").replace(output / f"{name}.parquet")
    except OSError as error:
        raise WarehouseError(f"{output}: cannot be written: {error}") from error
