"""Whether 300 annotations that concern one weak label mend it, and what they do to the others.

    .venv/bin/python benchmarks/weak_label.py --label emotions:mepris --judge DEV.jsonl \\
        --learn models/annotations/contrasts.jsonl --work /tmp/weak

Files of `--judge` and `--learn` must be annotations that the start has not learnt. Those of
`--judge` are cut in two halves by the digest of the text: what is fine-tuned
(configs/training/adapt.yaml) on comments of one half and of `--learn` is judged on the other half,
and the other way round. The 300 are every comment with the label, then those to which the start
gives it with the highest probability: what a person would be sent. `--only` lets no other label
change. Prints every label that differs
from the start by more than its interval, and one line of JSON. `--half N` only trains that half, so
that both may run at once; what is trained is not trained again.
"""

import argparse
import json
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cxnlp.analyse import Analyzer
from cxnlp.model.card import read_card
from cxnlp.training.adapt import adapt
from cxnlp.training.adaptation import Adaptation, read_adaptation
from cxnlp.training.corpus import Example, read_annotated, text_digest
from cxnlp.training.evaluate import difference, measure
from cxnlp.training.judged import SETS, Judged, judged, resamples

Row = tuple[Example, dict[str, Any]]


def main() -> None:
    given = _given()
    plan = read_adaptation(given.config)
    if plan is None:
        raise SystemExit(f"{given.config}: expected a configuration with start")
    only = [given.label] if given.only else []
    changed = {"start": given.start, "rehearse": given.rehearse, "only": only}
    plan = plan.model_copy(update=changed)
    head, label = given.label.split(":")
    start = Analyzer.load(given.start, plan.taxonomy)
    pool, more = (_read(paths, given.data) for paths in (given.judge, given.learn))
    halves = [[row for row in pool if int(text_digest(row[0].text), 16) % 2 == n] for n in (0, 1)]
    trained = {}
    for number in (0, 1) if given.half is None else (given.half,):
        chosen = _chosen(start, halves[number] + more, head, label, given.count)
        trained[number] = _trained(
            plan, given.work / f"half{number}", chosen, halves[1 - number], given.data
        )
        with_it = sum(_has(row[0], head, label) for row in chosen)
        print(f"half {number}: {len(chosen)} comments learnt, {with_it} with the label", flush=True)
    if given.half is not None:
        return
    others = [[row[0] for row in halves[1 - number]] for number in (0, 1)]
    before = _joined([_answers(start, some) for some in others])
    after = _joined([
        _answers(Analyzer.load(trained[n], plan.taxonomy), some) for n, some in enumerate(others)
    ])  # fmt: skip
    _print(before, after, given.label, read_card(given.start).version)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--label", default="emotions:mepris", help="head:label")
    parser.add_argument("--judge", type=Path, nargs="+", required=True)
    parser.add_argument("--learn", type=Path, nargs="*", default=[])
    parser.add_argument("--data", type=Path, help="folder of docs/training.md, for references")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--start", type=Path, default=Path("models/cxnlp-fr-mini"))
    parser.add_argument("--rehearse", default="output", help="warehouse")
    parser.add_argument("--config", type=Path, default=Path("configs/training/adapt.yaml"))
    parser.add_argument("--work", type=Path, required=True, help="folder for what is trained")
    parser.add_argument("--only", action="store_true", help="let no other label change")
    parser.add_argument("--half", type=int, choices=(0, 1), help="train this one and stop")
    return parser.parse_args()


def _read(paths: list[Path], data: Path | None) -> list[Row]:
    """Return annotated comments with the line that each was read from."""
    found: dict[str, Row] = {}
    for path in paths:
        with path.open("rb") as file:
            lines = [json.loads(line) for line in file]
        pairs = zip(read_annotated(path, data), lines, strict=True)
        found |= {example.text: (example, line) for example, line in pairs}
    return list(found.values())


def _has(example: Example, head: str, label: str) -> bool:
    if head == "levers":
        return any(label in m.levers for m in example.mentions)
    if head == "touchpoints":
        return any(m.touchpoint == label for m in example.mentions)
    return label == example.sentiment if head == "sentiment" else label in getattr(example, head)


def _chosen(start: Analyzer, rows: list[Row], head: str, label: str, count: int) -> list[Row]:
    _, scores = start.scores([example.text for example, _ in rows])
    column = getattr(start.card.labels, head).index(label)
    near = scores.comment[head][:, column]
    has = np.array([_has(example, head, label) for example, _ in rows])
    return [rows[i] for i in np.argsort(-(near + has), kind="stable")[:count]]


def _trained(
    plan: Adaptation, work: Path, chosen: list[Row], held: list[Row], data: Path | None
) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    for name, rows in (("learn", chosen), ("test", held)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for _, line in rows)
        (work / f"{name}.jsonl").write_text(text, encoding="utf-8")
    own = [path for path in plan.annotations if path.suffix == ".jsonl"]
    changed = {"annotations": [*own, work / "learn.jsonl"], "test": work / "test.jsonl",
               "folder": work / "run"}  # fmt: skip
    return adapt(plan.model_copy(update=changed), data, lambda line: print(line, flush=True))


def _answers(analyzer: Analyzer, examples: list[Example]) -> Judged:
    result = analyzer.analyze([e.text for e in examples])
    return judged(examples, result.comments, result.mentions, analyzer.taxonomy)


def _joined(parts: list[Judged]) -> Judged:
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(Judged)):
        some = [getattr(part, name) for part in parts]
        if name == "names":
            values[name] = some[0]
        elif name == "ids":
            values[name] = [i for ids in some for i in ids]
        elif name in ("wanted", "given"):
            values[name] = {head: np.concatenate([s[head] for s in some]) for head in SETS}
        else:
            values[name] = np.concatenate(some)
    return Judged(**values)


def _print(before: Judged, after: Judged, label: str, start: str) -> None:
    weights = resamples(len(before.ids))
    old, new = (measure(some, weights)["per_label"] for some in (before, after))
    found = difference(after, before, weights)
    table = Table("label", "gold", "F1 before", "after", "difference", "95 % interval", "")
    moved = {}
    for head, labels in found["per_label"].items():
        for name, one in labels.items():
            if f"{head}:{name}" == label or one["beyond_noise"]:
                moved[f"{head}:{name}"] = {
                    "gold": old[head][name]["gold"], "before": old[head][name]["f1"],
                    "after": new[head][name]["f1"], **one,
                }  # fmt: skip
    for name, one in moved.items():
        low, high = one["interval"]
        table.add_row(
            name, str(one["gold"]), f"{one['before']:.3f}", f"{one['after']:.3f}",
            f"{one['difference']:+.3f}", f"{low:+.3f} – {high:+.3f}",
            "*" if one["beyond_noise"] else "",
        )  # fmt: skip
    console = Console()
    console.print(table)
    figures = Table("figure", "before", "difference", "95 % interval", "")
    for name, one in found["differences"].items():
        low, high = one["interval"]
        figures.add_row(
            name, f"{found['scores'][name]:.3f}", f"{one['difference']:+.3f}",
            f"{low:+.3f} – {high:+.3f}", "*" if one["beyond_noise"] else "",
        )  # fmt: skip
    console.print(figures)
    print(json.dumps({
        "date": time.strftime("%Y-%m-%d"), "start": start, "label": label,
        "comments": len(before.ids), "moved": moved, "figures": found["differences"],
    }, ensure_ascii=False))  # fmt: skip


if __name__ == "__main__":
    main()
