"""The command that trains: arguments in, a model folder out.

Comes in: what the user typed. Goes out: a call of `cxnlp.training`. Heavy imports happen inside,
so that `--help` is quick.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cxnlp.errors import UsageError


class TrainingStep(StrEnum):
    """The steps of a training, in order."""

    prepare = "prepare"
    pretrain = "pretrain"
    finetune = "finetune"
    export = "export"


def train(
    config: Annotated[Path, typer.Argument(help="Training configuration (YAML).")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of training data (docs/training.md).")
    ] = None,
    step: Annotated[
        TrainingStep | None, typer.Option(help="Only this step; otherwise all in order.")
    ] = None,
) -> None:
    """Train a model by a recipe, or go on from one or from a CamemBERT checkpoint.

    Nothing is done twice.

    Started by `torchrun --nproc-per-node N -m cxnlp`, N processes train a recipe together.
    """
    from cxnlp.training.adaptation import read_adaptation

    plan = read_adaptation(config)
    if plan:
        from cxnlp.training.adapt import adapt

        if step:
            raise UsageError(
                f"{config} starts from a model or a checkpoint: it has no steps, leave out --step"
            )
        adapt(plan, data, typer.echo)
        return
    from cxnlp.training import recipe
    from cxnlp.training.steps import run

    loaded = recipe.load_recipe(config)
    if data is None:
        raise UsageError(f"{config} starts from nothing: say where the data are with --data DIR")
    run(loaded, data, step, typer.echo)
