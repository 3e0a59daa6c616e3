"""The commands of the annotation round trip: comments out, annotations in.

Comes in: what the user typed. Goes out: calls of `cxnlp.annotate`, shown. Heavy imports happen
inside the commands, so that `--help` is quick.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cxnlp.cli_evaluate import TAXONOMY, TaxonomyOption

annotate_app = typer.Typer(help="Comments out to be annotated, and back.", no_args_is_help=True)


class Tool(StrEnum):
    """The formats of `cxnlp annotate export`."""

    labelstudio = "labelstudio"
    doccano = "doccano"
    jsonl = "jsonl"


@annotate_app.command(
    "export",
    epilog="Example: cxnlp annotate export output --count 50 --format labelstudio --output todo",
)
def annotate_export(
    warehouse: Annotated[str, typer.Argument(help="Warehouse folder or URL.")],
    output: Annotated[Path, typer.Option(help="Folder for the files.")],
    count: Annotated[int, typer.Option(min=1, help="How many comments.")] = 50,
    to: Annotated[Tool, typer.Option("--format", help="For which tool.")] = Tool.labelstudio,
    share: Annotated[
        float, typer.Option("--random", min=0, max=1, help="Share drawn at random.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same choice.")] = 7,
    without: Annotated[
        list[Path] | None, typer.Option(help="Leave out what this set has; repeat.")
    ] = None,
    taxonomy: TaxonomyOption = TAXONOMY,
) -> None:
    """Choose comments that are worth a person's time, pre-annotated, for an annotation tool."""
    from cxnlp.annotate.export import Format, export
    from cxnlp.config import bundled
    from cxnlp.taxonomy import load_taxonomy
    from cxnlp.warehouse import Warehouse

    place = Warehouse(warehouse)
    place.settle()
    done = export(place, output, Format(to.value), load_taxonomy(bundled(taxonomy)), count=count,
                  share=share, seed=seed, without=without)  # fmt: skip
    chosen = ", ".join(f"{why} {n}" for why, n in done.why.items())
    typer.echo(f"{sum(done.why.values())} of {done.eligible:,} comments: {chosen}")
    for path in done.files:
        typer.echo(str(path))


@annotate_app.command(
    "import", epilog="Example: cxnlp annotate import export.json --output annotations/ours"
)
def annotate_import(
    files: Annotated[list[Path], typer.Argument(help="Label Studio JSON, doccano or own JSONL.")],
    output: Annotated[Path, typer.Option(help="The set they are added to.")],
    taxonomy: TaxonomyOption = TAXONOMY,
) -> None:
    """Check annotations row by row, and add the good ones to a set as its next version."""
    from cxnlp import show
    from cxnlp.annotate.check import read_files
    from cxnlp.annotate.sets import add
    from cxnlp.config import bundled
    from cxnlp.show_models import added
    from cxnlp.taxonomy import load_taxonomy

    known = load_taxonomy(bundled(taxonomy))
    checked = read_files(files, known)
    show.parts(added(add(output, checked, files, known.name), checked.rejects))


@annotate_app.command(
    "suspects",
    epilog="Example: cxnlp annotate suspects annotations/ours --output suspects.csv",
)
def annotate_suspects(
    files: Annotated[list[Path], typer.Argument(help="Annotated comments, or sets of them.")],
    output: Annotated[Path, typer.Option(help="Where all are written: .csv or .json.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the reviews that annotations refer to.")
    ] = None,
    show_most: Annotated[int, typer.Option("--show", min=0, help="How many are shown.")] = 20,
    taxonomy: TaxonomyOption = TAXONOMY,
) -> None:
    """Find annotations whose labels disagree with what the others teach (docs/evaluation.md)."""
    from cxnlp import show
    from cxnlp.annotate.sets import annotations_file
    from cxnlp.config import bundled
    from cxnlp.show_models import suspected
    from cxnlp.taxonomy import load_taxonomy
    from cxnlp.training.corpus import read_annotated
    from cxnlp.training.suspects import suspects, write

    examples = [e for file in files for e in read_annotated(annotations_file(file), data)]
    found = suspects(examples, load_taxonomy(bundled(taxonomy)), typer.echo)
    write(found, output)
    show.parts(suspected(found.slice(0, show_most).to_pylist(), len(found), len(examples), output))
