"""What a person sees of an evaluation: tables of rich.

Comes in: the dictionaries of `cxnlp.training.evaluate` and `behaviour`. Goes out: lines and
tables in reading order, which `show.py` prints. Nothing is worked out here.
"""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

Shown = str | Table


def parts(found: dict[str, Any]) -> Iterator[Shown]:
    """Yield what is known of a model: figures, labels, confusion, reliability, and the rest."""
    yield (
        f"{found['model']}, {found['comments']} comments of {found['gold']}, "
        f"{found['set_aside']} set aside"
    )
    yield _figures(found)
    yield from _titled("\nEach label", _labels(found["per_label"]))
    yield from _titled("\nSentiment, wanted in rows and given in columns", _confusion(found))
    if found["reliability"]:
        yield from _titled("\nReliability of the probabilities", _reliability(found))
        yield from _titled("\nReliability of the sentiment", _bins(found["reliability"]))
    for column, some in found.get("slices", {}).items():
        yield from _titled(f"\nBy {column}", _slices(some))
    if "against" in found:
        yield f"\nAgainst {found['against']['model']}: * where the interval leaves 0 outside"
        yield _differences(found["against"])
        moved = _moved(found["against"])
        yield moved if moved.row_count else "No label's F1 differs beyond noise"
        yield _flips(found["against"]["flips"])


def behaviour(found: dict[str, Any]) -> Iterator[Shown]:
    """Yield how many cases of each capability pass, and the cases that fail."""
    table = _table("capability", "passed", "of", "rate")
    for name, (passed, of) in found["capabilities"].items():
        table.add_row(name, str(passed), str(of), f"{passed / of:.0%}")
    yield f"{found['model']}, {found['passed']} of {found['cases']} cases of behaviour pass"
    yield table
    if found["failures"]:
        failed = _table("fails", "found")
        for name, reason in found["failures"].items():
            failed.add_row(name, reason)
        yield failed


def _figures(found: dict[str, Any]) -> Table:
    table = _table("measure", "score", "95 % interval")
    for name, value in found["scores"].items():
        table.add_row(name, f"{value:.3f}", _between(found["intervals"][name]))
    return table


def _labels(heads: dict[str, Any]) -> Table:
    table = _table("head", "label", "gold", "found", "precision", "recall", "F1", "95 % interval")
    for head, labels in heads.items():
        for name, one in labels.items():
            if one["gold"] or one["found"]:
                numbers = (f"{one[k]:.2f}" for k in ("precision", "recall", "f1"))
                counts = (str(one[k]) for k in ("gold", "found"))
                table.add_row(head, name, *counts, *numbers, _between(one["interval"], 2))
    return table


def _confusion(found: dict[str, Any]) -> Table:
    names = list(found["confusion"])
    table = _table("", *names)
    for name, row in found["confusion"].items():
        table.add_row(name, *(str(row[n]) for n in names))
    return table


def _reliability(found: dict[str, Any]) -> Table:
    table = _table("answers", "cells", "probability", "right", "ECE", "95 %", "adaptive", "95 %")
    for head, one in found["reliability"].items():
        table.add_row(
            head, f"{one['cells']:,}", f"{one['probability']:.3f}", f"{one['right']:.3f}",
            f"{one['ece']:.3f}", _between(one["ece_interval"]),
            f"{one['ece_adaptive']:.3f}", _between(one["ece_adaptive_interval"]),
        )  # fmt: skip
    return table


def _bins(heads: dict[str, Any]) -> Table:
    table = _table("probability from", "to", "cells", "mean", "right")
    for one in heads["sentiment"]["bins"]:
        edges, means = (one["from"], one["to"]), (one["probability"], one["right"])
        table.add_row(
            *(f"{v:.2f}" for v in edges), f"{one['cells']:,}", *(f"{v:.3f}" for v in means)
        )
    return table


def _slices(some: dict[str, Any]) -> Table:
    names = {
        "sentiment_accuracy": "sentiment", "sentiment_macro_f1": "macro-F1",
        "emotions_micro_f1": "emotions", "touchpoints_micro_f1": "touchpoints",
        "levers_micro_f1": "levers", "intents_micro_f1": "intents",
    }  # fmt: skip
    table = _table("value", "comments", *names.values())
    for value, one in some.items():
        cells = (
            f"{one['scores'][n]:.2f} ({_between(one['intervals'][n], 2)})" if n in one["scores"]
            else "–"
            for n in names
        )  # fmt: skip
        table.add_row(value, str(one["comments"]), *cells)
    return table


def _differences(found: dict[str, Any]) -> Table:
    table = _table("measure", "other", "difference", "95 % interval", "")
    for name, one in found["differences"].items():
        table.add_row(name, f"{found['scores'][name]:.3f}", *_differing(one))
    return table


def _moved(found: dict[str, Any]) -> Table:
    table = _table("head", "label whose F1 differs", "difference", "95 % interval", "")
    for head, labels in found["per_label"].items():
        for name, one in labels.items():
            if one["beyond_noise"]:
                table.add_row(head, name, *_differing(one))
    return table


def _flips(heads: dict[str, Any]) -> Table:
    table = _table("head", "labels that became right", "became wrong")
    for head, one in heads.items():
        table.add_row(head, str(one["became_right"]), str(one["became_wrong"]))
    return table


def _differing(one: dict[str, Any]) -> tuple[str, str, str]:
    low, high = one["interval"]
    star = "*" if one["beyond_noise"] else ""
    return f"{one['difference']:+.3f}", f"{low:+.3f} – {high:+.3f}", star


def _titled(title: str, table: Table) -> Iterator[Shown]:
    yield title
    yield table


def _between(values: list[float], digits: int = 3) -> str:
    return f"{values[0]:.{digits}f} – {values[1]:.{digits}f}" if values else "–"


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False)
