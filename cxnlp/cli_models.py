"""The commands about model folders: list, verify, promote, diff, reference.

Comes in: what the user typed. Goes out: calls of `cxnlp.model.registry` and `cxnlp.training`,
shown. Heavy imports happen inside the commands, so that `--help` is quick.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from cxnlp.cli_evaluate import MODEL, TAXONOMY, TaxonomyOption
from cxnlp.errors import ModelError, UsageError

models_app = typer.Typer(help="Model folders and their versions.", no_args_is_help=True)
MODELS = Path("models")


@models_app.command("list", epilog="Example: cxnlp models list  |  cxnlp models list models")
def models_list(
    folder: Annotated[Path, typer.Argument(help="Folder of models, or one of them.")] = MODELS,
) -> None:
    """List every version of every model: which is current, who promoted it, when and why."""
    from cxnlp import show, show_models
    from cxnlp.config import bundled
    from cxnlp.model import registry

    top = bundled(folder)
    if not top.is_dir():
        raise UsageError(f"{folder}: no such folder")
    one = any((top / file).is_file() for file in ("card.yaml", registry.PROMOTIONS))
    places = [top] if one else sorted(top.iterdir())
    found = {
        place: (some, registry.promotions(place))
        for place in places
        if place.is_dir() and (some := registry.versions(place))
    }
    if not found:
        raise ModelError(f"{folder}: no model folders in it")
    show.parts(show_models.versions(found))


@models_app.command("verify", epilog="Example: cxnlp models verify models/cxnlp-fr-mini")
def models_verify(folder: Annotated[Path, typer.Argument(help="Model folder.")]) -> None:
    """Check a model folder and all its versions: complete, unaltered, nothing that runs code."""
    from cxnlp.config import bundled
    from cxnlp.model import registry
    from cxnlp.model.card import read_card

    place = bundled(folder)
    some = registry.versions(place)
    if not some:
        read_card(place)
    faults = [one.fault for one in some if one.fault]
    if faults:
        raise ModelError("\n".join(faults))
    for one in some:
        if one.card:
            typer.echo(f"{one.card.version}: the files are those the card describes")


@models_app.command(
    "promote",
    epilog='Example: cxnlp models promote runs/adapt/model --test samples/gold_part1.jsonl '
    '--reason "200 comments more"  |  cxnlp models promote bundled --reason "back"',
)  # fmt: skip
def models_promote(
    candidate: Annotated[str, typer.Argument(help="Model folder, or a version of the model.")],
    reason: Annotated[str, typer.Option(help="Why; it is written down.")],
    model: Annotated[
        Path, typer.Option("--model", help="The model that gets this version.")
    ] = MODEL,
    test: Annotated[
        Path | None, typer.Option(help="Annotated comments; left out: those of last time.")
    ] = None,
    taxonomy: TaxonomyOption = TAXONOMY,
    by: Annotated[str | None, typer.Option(help="Who; left out: the user's name.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also if it is worse beyond its interval.")
    ] = False,
    new_test: Annotated[
        bool, typer.Option("--new-test", help="Another test set than last time.")
    ] = False,
) -> None:
    """Make a model the current version, unless it is worse than the present one on a test set."""
    from cxnlp import show, show_models
    from cxnlp.config import bundled
    from cxnlp.training.promotion import promote

    place = bundled(model)
    done = promote(candidate, place, test, taxonomy, reason=reason, by=by, force=force,
                   new_test=new_test)  # fmt: skip
    show.parts(show_models.promotion(place, done))


@models_app.command(
    "diff",
    epilog="Example: cxnlp models diff models/cxnlp-fr-mini runs/adapt/model "
    "--gold samples/gold_part1.jsonl",
)
def models_diff(
    old: Annotated[Path, typer.Argument(help="Model folder.")],
    new: Annotated[Path, typer.Argument(help="Another.")],
    gold: Annotated[
        Path | None, typer.Option(help="Annotated comments, to compare the answers on.")
    ] = None,
    taxonomy: TaxonomyOption = TAXONOMY,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the scores, mistakes and flips.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON.")] = None,
) -> None:
    """Show what differs between two models: labels, thresholds, scores, and answers on GOLD."""
    if output and not gold:
        raise UsageError("--output takes what a comparison on --gold FILE finds: give both")
    from cxnlp import show, show_models
    from cxnlp.config import bundled
    from cxnlp.model.card import read_card
    from cxnlp.model.registry import current
    from cxnlp.training.contrast import contrast

    places = [current(bundled(folder)) for folder in (old, new)]
    found = contrast(*(read_card(place) for place in places))
    show.parts(show_models.difference(found))
    if gold:
        from cxnlp.analyse import Analyzer
        from cxnlp.annotate.sets import annotations_file
        from cxnlp.training.evaluate import evaluate

        one, other = (Analyzer.load(place, taxonomy) for place in places)
        found["on_gold"] = evaluate(annotations_file(gold), other, against=one, output=output)
        show.scores(found["on_gold"])
    if json_file:
        json_file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")


@models_app.command(
    "reference",
    epilog="Example: cxnlp models reference models/cxnlp-fr-mini data  |  "
    "cxnlp models reference runs/adapt/model annotations/ours",
)
def models_reference(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    texts: Annotated[
        Path, typer.Argument(help="Folder of training data (docs/training.md), or annotations.")
    ],
    most: Annotated[int, typer.Option(min=1, help="How many of them, at most.")] = 5_000,
    taxonomy: TaxonomyOption = TAXONOMY,
) -> None:
    """Write into a model's card what comments that it was trained on are like, for `drift`."""
    from cxnlp.config import bundled
    from cxnlp.model.registry import current
    from cxnlp.training.reference import refer, texts_of

    card = refer(current(bundled(folder)), texts_of(texts), taxonomy, texts.name, most)
    typer.echo(f"{card.version}: reference from {card.reference['from']}")
