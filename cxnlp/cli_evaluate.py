"""The command that judges a model: arguments in, its scores shown and written.

Comes in: what the user typed. Goes out: calls of `cxnlp.training`, shown by `show.py`. Apart from
`cli.py` for its many options; heavy imports happen inside, so that `--help` is quick.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cxnlp.errors import UsageError

ModelOption = Annotated[Path, typer.Option(help="Model folder.")]
TaxonomyOption = Annotated[Path, typer.Option(help="Taxonomy file.")]
MODEL, TAXONOMY = Path("models/cxnlp-fr-mini"), Path("configs/taxonomy.yaml")


def evaluate(
    gold: Annotated[
        Path | None,
        typer.Argument(help="Annotated comments (docs/annotation.md), or a set of them."),
    ] = None,
    model: ModelOption = MODEL,
    taxonomy: TaxonomyOption = TAXONOMY,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON.")] = None,
    against: Annotated[Path | None, typer.Option(help="Another model, to compare with.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Scores apart by length, accents, emoji or a column of GOLD; repeat."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the scores, mistakes and flips.")
    ] = None,
    behaviour: Annotated[
        bool, typer.Option("--behaviour", help="Also the cases of tests/behaviour.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Write which of them pass into the model's card.")
    ] = False,
) -> None:
    """Score a model against annotations, beside another one, or on cases of behaviour."""
    if gold is None and (not behaviour or against or by or output):
        raise UsageError("say which annotations with GOLD.jsonl (docs/annotation.md)")
    if record and not behaviour:
        raise UsageError("--record writes what --behaviour found: give both")
    from cxnlp import show
    from cxnlp.analyse import Analyzer
    from cxnlp.config import bundled

    analyzer = Analyzer.load(model, taxonomy)
    found: dict[str, Any] = {}
    if gold is not None:
        from cxnlp.annotate.sets import annotations_file
        from cxnlp.training.evaluate import evaluate as judge

        gold = annotations_file(gold)
        other = Analyzer.load(against, taxonomy) if against else None
        found = judge(gold, analyzer, against=other, by=by or (), output=output)
    if behaviour:
        from cxnlp.training.behaviour import CASES, behave, load_cases

        found["behaviour"] = behave(load_cases(bundled(CASES)), analyzer)
    if record:
        from cxnlp.model.registry import current
        from cxnlp.training.describe import record as write_down

        write_down(current(bundled(model)), found["behaviour"])
    if json_file:
        json_file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if gold is not None:
        show.scores(found)
    if behaviour:
        show.behaviour(found["behaviour"])
