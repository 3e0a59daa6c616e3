"""The steps of a training in order, alone or by name; see `docs/training.md`.

`prepare` and `export` need spaCy and run in one process; `pretrain` and `finetune` need neither
and may run in several (`workers.py`), on CPU or GPU.
"""

from collections.abc import Callable
from pathlib import Path

from cxnlp.training import finetune, recipe, workers
from cxnlp.training.recipe import Recipe


def run(plan: Recipe, data: Path, step: str | None, tell: Callable[[str], None]) -> None:
    """Do one step, or all; raises `ConfigError` where one lacks what an earlier one makes."""
    workers.join()
    say = tell if workers.number() == 0 else _quiet
    if step in (None, "prepare"):
        workers.first(lambda: recipe.prepare(plan, data, say))
    if step == "pretrain" or (step is None and plan.start is None):
        recipe.pretrain(plan, data, say)
    if step in (None, "finetune"):
        finetune.finetune(plan, data, say)
    if step in (None, "export"):
        workers.first(lambda: _export(plan, data, say))


def _export(plan: Recipe, data: Path, tell: Callable[[str], None]) -> None:
    from cxnlp.training.corpus import read_reviews
    from cxnlp.training.describe import describe
    from cxnlp.training.reference import refer

    folder = finetune.export(plan, data, tell)
    gold = data / "annotated_dev.jsonl"
    command = f"cxnlp evaluate {gold.name} --model {folder}"
    refer(folder, [e.text for e in read_reviews(data)], plan.taxonomy, "reviews.jsonl.gz")
    tell(f"{describe(plan, folder, gold, command).version} is described in {folder}")


def _quiet(_: str) -> None:
    pass
