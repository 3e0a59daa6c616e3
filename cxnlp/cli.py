"""The commands: arguments in, one message and an exit status out.

Comes in: what the user typed. Goes out: a call of the package, its result shown. Heavy imports
happen inside the commands, so that `--help` is quick.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxnlp.cli_annotate import annotate_app
from cxnlp.cli_evaluate import MODEL, TAXONOMY, ModelOption, TaxonomyOption, evaluate
from cxnlp.cli_forget import forget
from cxnlp.cli_models import models_app
from cxnlp.cli_train import train
from cxnlp.errors import CxnlpError, UsageError
from cxnlp.version import __version__

if TYPE_CHECKING:
    from cxnlp.config import Inference


app = typer.Typer(
    help="Text analytics for French customer comments: exports in, Parquet tables out.",
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
)  # fmt: skip
taxonomy_app = typer.Typer(help="Touchpoints, levers and their triggers.", no_args_is_help=True)
app.add_typer(taxonomy_app, name="taxonomy")
app.add_typer(models_app, name="models")
app.add_typer(annotate_app, name="annotate")

DAY: dict[str, Any] = {"formats": ["%Y-%m-%d"], "metavar": "DAY"}
_INTERRUPTED = 130
_WRONG_PATH = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def main() -> None:
    """Run the command line; a mistake of ours or the user's ends in one message."""
    try:
        app(standalone_mode=True)
    except CxnlpError as error:
        sys.stderr.write(f"cxnlp: {error}\n")
        sys.exit(error.exit_status)
    except OSError as error:  # of a path that the user gave, or of a disk
        sys.stderr.write(f"cxnlp: {error}\n")
        sys.exit(UsageError.exit_status if isinstance(error, _WRONG_PATH) else 1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            sys.stderr.write("cxnlp: interrupted; what was published stays, run again to go on\n")
        raise


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"cxnlp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: cxnlp run configs/demo.yaml")
def run(
    config: Annotated[Path, typer.Argument(help="Configuration file (YAML).")],
    first_day: Annotated[
        datetime | None, typer.Option("--from", help="First day to analyse.", **DAY)
    ] = None,
    last_day: Annotated[
        datetime | None, typer.Option("--to", help="Last day to analyse.", **DAY)
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect.")] = False,
) -> None:
    """Run the nightly flow: ingest, analyse, measure, report."""
    from cxnlp import night, show
    from cxnlp.config import load_settings

    settings = load_settings(config)
    days = (first_day.date() if first_day else None, last_day.date() if last_day else None)
    if days[0] and days[1] and days[0] > days[1]:
        raise UsageError(f"--from {days[0]} is after --to {days[1]}")
    with _telling() as tell:
        if direct:
            row = night.run(night.Night.begin(settings, *days, tell))
        else:
            _quieten_prefect()
            tell("starting Prefect")
            from pipelines.nightly import nightly
            from pipelines.runs import listener

            listener.set(tell)
            row = nightly(str(config), *days)
    show.night(settings, row)


@app.command(epilog='Example: cxnlp analyze avis.csv --output out  |  cxnlp analyze --text "…"')
def analyze(
    source: Annotated[Path | None, typer.Argument(metavar="INPUT", help="One file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the three tables.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text; without INPUT: one comment.")
    ] = None,
    model: ModelOption = MODEL,
    taxonomy: TaxonomyOption = TAXONOMY,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0.")] = "auto",
) -> None:
    """Analyse one file (.csv .jsonl .json .parquet .xlsx), or one comment."""
    if source is None and text is None:
        raise UsageError("give a file to analyse, or one comment with --text")
    if source is not None and not source.is_file():
        raise UsageError(f"{source}: no such file")
    if source is not None and output is None:
        raise UsageError("say where the tables go with --output DIR")
    from cxnlp import show
    from cxnlp.analyse import Analyzer
    from cxnlp.model.weights import devices_for
    from cxnlp.onefile import analyse_file, side_by_side

    how = _inference(device)
    if source is None or output is None:
        analyzer = Analyzer.load(model, taxonomy, inference=how)
        show.comment(analyzer.analyze([str(text)]))
        return
    devices = devices_for(device)
    with _telling() as tell:
        counts = analyse_file(
            source, output, lambda: Analyzer.load(model, taxonomy, inference=how),
            text_column=text, id_column=id_column, tell=tell,
            read=side_by_side(devices, model, taxonomy, how) if len(devices) > 1 else None,
        )  # fmt: skip
    show.one_file(output, counts)


app.command(
    epilog="Example: cxnlp evaluate samples/gold_part1.jsonl --json scores.json  |  "
    "cxnlp evaluate GOLD --against OTHER_MODEL --by source --output out"
)(evaluate)


app.command(
    epilog="Example: cxnlp train configs/training/adapt.yaml  |  "
    "cxnlp train configs/training/fr-mini.yaml --data data"
)(train)


@app.command(epilog="Example: cxnlp report output  |  cxnlp report output --output avis.html")
def report(
    warehouse: Annotated[str, typer.Argument(help="Warehouse folder or URL.")],
    output: Annotated[
        Path | None, typer.Option(help="Where to write it; otherwise WAREHOUSE/report.html.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model folder, for its measured scores.")
    ] = None,
    taxonomy: Annotated[Path | None, typer.Option(help="Taxonomy file, for names.")] = None,
) -> None:
    """Write the report of a warehouse: one HTML file, in French, that fetches nothing."""
    from cxnlp.config import bundled
    from cxnlp.model.card import read_card
    from cxnlp.model.registry import current
    from cxnlp.report import write_report
    from cxnlp.taxonomy import load_taxonomy
    from cxnlp.warehouse import Warehouse

    folder, file = bundled(model or MODEL), bundled(taxonomy or TAXONOMY)
    card = read_card(current(folder)) if model or folder.is_dir() else None
    levers = load_taxonomy(file).levers if taxonomy or file.is_file() else ()
    names = {lever.id: lever.label for lever in levers}
    place = Warehouse(warehouse)
    place.settle()
    typer.echo(f"Report: {write_report(place, names, card, output)}")


@app.command(
    epilog='Example: cxnlp query output "SELECT sentiment, count(*) FROM comments GROUP BY 1"'
)
def query(
    warehouse: Annotated[str, typer.Argument(help="Warehouse folder or URL.")],
    sql: Annotated[str, typer.Argument(help="One SELECT over the tables.")],
    output: Annotated[
        Path | None, typer.Option(help="Write .csv, .xlsx or .parquet instead.")
    ] = None,
) -> None:
    """Ask the tables a question in SQL (DuckDB)."""
    from cxnlp import metrics, show
    from cxnlp.warehouse import Warehouse

    Warehouse(warehouse).settle()
    show.answer(metrics.query(warehouse, sql), output)


app.command(
    epilog='Example: cxnlp forget output --author "Léa M." --dry-run  |  '
    "cxnlp forget output --comment 5b0c9e6d41f2a7c3d8e94f10"
)(forget)


@app.command(epilog="Example: cxnlp verify output")
def verify(warehouse: Annotated[Path, typer.Argument(help="Warehouse folder.")]) -> None:
    """Check every file of a warehouse: readable, unaltered, complete."""
    from cxnlp.errors import WarehouseError
    from cxnlp.warehouse import Warehouse

    if not (warehouse / "tables").is_dir():
        raise UsageError(f"{warehouse}: no warehouse there (it has a folder named tables)")
    Warehouse(str(warehouse)).settle()
    problems = Warehouse(str(warehouse)).verify()
    if problems:
        raise WarehouseError("\n".join(problems))
    typer.echo("every file is whole")


@taxonomy_app.command("check", epilog="Example: cxnlp taxonomy check configs/taxonomy.yaml")
def taxonomy_check(file: Annotated[Path, typer.Argument(help="Taxonomy file.")]) -> None:
    """Say what is wrong with a taxonomy, and on which line."""
    from cxnlp import show

    show.taxonomy(file)


def _inference(device: str) -> "Inference":
    from pydantic import ValidationError

    from cxnlp.config import Inference

    try:
        return Inference(device=device)
    except ValidationError as error:
        raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:0") from error


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Show what is going on in one moving line, on a terminal only."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update


def _quieten_prefect() -> None:
    """Set what Prefect reads from the environment before it is imported, unless it is set."""
    defaults: dict[str, Any] = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
