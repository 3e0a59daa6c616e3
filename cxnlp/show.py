"""What a person at a terminal sees: tables and short summaries.

Comes in: results. Goes out: text on standard output. Nothing is worked out here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cxnlp import schema, show_scores
from cxnlp.analyse import Analysis
from cxnlp.config import Settings
from cxnlp.errors import TaxonomyError, UsageError

_WIDE = 10_000
_COLOURS = {"negatif": "red", "positif": "green", "mixte": "yellow", "neutre": "dim"}


def night(settings: Settings, row: pa.Table) -> None:
    """Show what a run did, the tables with their rows, three mentions, and where all lies."""
    from cxnlp.report import NAME
    from cxnlp.warehouse import Warehouse

    console, run = _console(), row.to_pylist()[0]
    warehouse = Warehouse(settings.warehouse)
    console.print(
        f"Run {run['run_id']}: {run['files_read']} files, {run['rows_read']:,} rows read, "
        f"{run['rows_rejected']:,} rejected; {run['analysed']:,} comments analysed in "
        f"{run['seconds_analyse']:.1f} s ({run['comments_per_second']:.0f}/s); "
        f"{run['comments_written']:,} rows of comments written."
    )
    table = Table("table", "rows", "one row is", box=None, pad_edge=False)
    for one in schema.TABLES:
        rows = len(warehouse.read(one, one.key[:1]))
        table.add_row(one.name, f"{rows:,}", one.row)
    console.print(table)
    _reasons(console, warehouse.read(schema.COMMENTS, ("set_aside",))["set_aside"])
    mentions = warehouse.read(schema.MENTIONS)
    both = mentions.filter(pc.equal(mentions["method"], "les_deux"))
    some = [both.slice(len(both) * k // 4, 1) for k in (1, 2, 3)] if len(both) > 3 else [mentions]
    for mention in pa.concat_tables(some).slice(0, 3).to_pylist():
        console.print(_mention(mention))
    console.print(f"Report: {warehouse.root}/{NAME}")
    console.print(
        f"Tables: {warehouse.root}/tables  (SQL: duckdb -init {warehouse.root}/views.sql)"
    )


def one_file(output: Path, tables: dict[str, pa.Table]) -> None:
    """Show how many rows each table got and why comments were set aside."""
    console = _console()
    for name, table in tables.items():
        console.print(f"{output / name}.parquet: {table.num_rows:,} rows")
    _reasons(console, tables["comments"]["set_aside"])


def comment(result: Analysis) -> None:
    """Show one comment with its labels and mentions."""
    console, one = _console(), result.comments.to_pylist()[0]
    if one["set_aside"]:
        console.print(f"set aside: {one['set_aside']} (language: {one['language']})")
        return
    console.print(Text(one["text"]))
    console.print(
        Text.assemble(
            (one["sentiment"], _COLOURS[one["sentiment"]]),
            f" {one['sentiment_score']:+.2f}, {one['satisfaction']:.1f} stars expected, "
            f"confidence {one['confidence']:.2f}",
        )
    )
    console.print(f"emotions: {', '.join(one['emotions']) or 'neutre'}")
    console.print(f"intents: {', '.join(one['intents']) or '–'}")
    for mention in result.mentions.to_pylist():
        console.print(_mention(mention))


def answer(table: pa.Table, output: Path | None) -> None:
    """Show an answer of SQL, or write it as .csv, .xlsx or .parquet."""
    if output is None:
        shown = Table(*table.column_names, box=None, pad_edge=False)
        for row in table.slice(0, 200).to_pylist():
            shown.add_row(*(Text("" if v is None else str(v)) for v in row.values()))
        console = _console()
        console.print(shown)
        if table.num_rows > 200:
            console.print(f"… {table.num_rows - 200:,} more rows; --output FILE writes them all")
    elif not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder; make it first")
    elif output.suffix == ".csv":
        _escaped(table).to_csv(output, index=False)
    elif output.suffix == ".xlsx":
        from cxnlp.sheet import write_sheet

        write_sheet(table, output)
    elif output.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, output)
    else:
        raise UsageError(f"{output}: write to .csv, .xlsx or .parquet")


def scores(found: dict[str, Any]) -> None:
    """Show what an evaluation found."""
    parts(show_scores.parts(found))


def behaviour(found: dict[str, Any]) -> None:
    """Show which cases of behaviour pass."""
    parts(show_scores.behaviour(found))


def parts(some: Iterable[show_scores.Shown]) -> None:
    """Show lines and tables in the order given."""
    console = _console()
    for part in some:
        console.print(part)


def taxonomy(file: Path) -> None:
    """Say that a taxonomy is valid and how large, or raise `TaxonomyError` with its problems."""
    from cxnlp.taxonomy import check_taxonomy, load_taxonomy

    problems = check_taxonomy(file)
    told = [f"{file}:{p.line}: {p.message}" for p in problems]
    if any(p.blocks for p in problems):
        raise TaxonomyError("\n".join(told))
    found, console = load_taxonomy(file), _console()
    for line in told:
        console.print(f"notice: {line}")
    console.print(
        f"{file}: valid; version {found.name}, {len(found.stages)} stages, "
        f"{len(found.touchpoints)} touchpoints, {len(found.levers)} levers"
    )


def _console() -> Console:
    """Return a console that takes nothing for markup and, away from a terminal, cuts no line."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def _mention(mention: dict[str, Any]) -> Text:
    levers = ", ".join(mention["levers"]) or "–"
    return Text.assemble(
        f"  « {mention['excerpt']} » → ", (mention["touchpoint"] or "(lever alone)", "bold"), " ",
        (mention["sentiment"], _COLOURS[mention["sentiment"]]),
        f"  levers: {levers}  ({mention['method']}, {mention['confidence']:.2f})",
    )  # fmt: skip


def _reasons(console: Console, column: pa.ChunkedArray) -> None:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    if counted:
        told = ", ".join(f"{c['values']} {c['counts']:,}" for c in counted)
        console.print(f"Set aside: {told}")


def _escaped(table: pa.Table) -> Any:
    """A data frame whose texts cannot be taken for formulas by a spreadsheet."""
    frame = table.to_pandas().rename(columns=_unformulated)
    for name in frame.select_dtypes(include=["object", "string"]):
        frame[name] = frame[name].map(_unformulated)
    return frame


def _unformulated(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell
