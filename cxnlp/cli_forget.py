"""The command that erases a person: arguments in, what was erased shown.

Comes in: what the user typed, and names from standard input. Goes out: calls of `forget` and
`report`. Heavy imports happen inside, so that `--help` is quick.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxnlp.cli_evaluate import MODEL, TAXONOMY
from cxnlp.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from cxnlp.config import Settings
    from cxnlp.warehouse import Warehouse

KEY = "CXNLP_AUTHOR_KEY"
_SHOWN = 20


def forget(
    warehouse: Annotated[str, typer.Argument(help="Warehouse folder or URL.")],
    author: Annotated[
        list[str] | None,
        typer.Option(help="Name as in the export; repeat it, or - for one a line from stdin."),
    ] = None,
    comment: Annotated[
        list[str] | None, typer.Option(help="comment_id of one comment; repeat it.")
    ] = None,
    key_env: Annotated[
        list[str] | None,
        typer.Option(help="Variable that holds a key of pseudonyms; repeat it for older keys."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration of the runs: its key, taxonomy and model.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be erased, erase nothing.")
    ] = False,
) -> None:
    """Erase one person everywhere in a warehouse, for good, and keep them out of it.

    Keys of pseudonyms: CXNLP_AUTHOR_KEY unless --key-env says another, that of --config, and the
    warehouse's own.
    """
    from cxnlp.config import load_settings
    from cxnlp.forget import forget as erase
    from cxnlp.pseudonyms import known_keys
    from cxnlp.warehouse import Warehouse

    names, ids = _names(author or []), comment or []
    if not names and not ids:
        raise UsageError("say whom to erase: --author NAME, or --comment ID for one comment")
    if "://" not in warehouse and not Path(warehouse, "tables").is_dir():
        raise UsageError(f"{warehouse}: no warehouse there (it has a folder named tables)")
    place = Warehouse(warehouse)
    settings = load_settings(config) if config else None
    named = settings.privacy.author_key_env if settings else None
    keys = known_keys(place, [*(key_env or [KEY]), *([named] if named else [])])
    if names and not keys:
        raise ConfigError(
            f"{warehouse}: keeps no key of pseudonyms, and no variable holds one; set the one "
            "that privacy.author_key_env names and give it with --key-env, or use --comment"
        )
    done = erase(place, names, ids, keys, dry_run=dry_run)
    verb = "Would erase" if dry_run else "Erased"
    typer.echo(
        f"{verb}: {done.comments} comments, {done.mentions} mentions, {done.raw} raw rows, "
        f"{done.rejects} rejects."
    )
    if not dry_run:
        typer.echo(f"Report: {_report(place, settings)}")
    if not done.measured:
        typer.echo("The metrics, made by an older version, still count them: run a night.")
    if done.waiting:
        typer.echo(f"{done.waiting} comments that repeated theirs are analysed by the next run.")
    if done.named_in:
        shown = ", ".join(done.named_in[:_SHOWN]) + (" …" if len(done.named_in) > _SHOWN else "")
        typer.echo(
            f"{len(done.named_in)} comments of others hold the name and stay: {shown}\n"
            "Read them; --comment ID erases one."
        )


def _names(given: list[str]) -> list[str]:
    names = [name for name in given if name != "-"]
    if "-" in given:
        names += sys.stdin.read().splitlines()
    return [name for name in names if name.strip()]


def _report(place: "Warehouse", settings: "Settings | None") -> str:
    """Write the report anew; the names of levers and the card are those of the configuration."""
    from cxnlp.config import bundled
    from cxnlp.model.card import read_card
    from cxnlp.report import write_report
    from cxnlp.taxonomy import load_taxonomy

    folder = bundled(settings.model if settings else MODEL)
    file = bundled(settings.taxonomy if settings else TAXONOMY)
    levers = load_taxonomy(file).levers if file.is_file() else ()
    card = read_card(folder) if folder.is_dir() else None
    return write_report(place, {lever.id: lever.label for lever in levers}, card)
