"""What a person sees of model versions and of annotations that came in.

Comes in: versions, promotions, the dictionaries of `cxnlp.training`, imports. Goes out: lines and
tables in reading order, which `show.py` prints. Nothing is worked out here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cxnlp.annotate.rows import Reject
from cxnlp.annotate.sets import Added
from cxnlp.model.registry import Version
from cxnlp.show_scores import Shown

_SHOWN = ("sentiment_accuracy", "emotions_micro_f1", "touchpoints_micro_f1")


def versions(
    models: dict[Path, tuple[list[Version], list[dict[str, Any]]]],
) -> Iterator[Shown]:
    """Yield every version of every name: the current one, who promoted it, when and why."""
    table = Table("", "version", "model", "trained", "promoted", "by", "why", *_SHOWN,
                  box=None, pad_edge=False)  # fmt: skip
    faults = []
    for folder, (some, done) in models.items():
        table.add_row("", f"{folder}")
        last = {str(p["version"]): p for p in done}
        for one in some:
            p = last.get(one.name, {})
            scores = p.get("scores", {})
            card = one.card
            table.add_row(
                "*" if one.current else "", f"  {one.name}", card.version if card else "unusable",
                str(card.about.get("trained", "")) if card else "", str(p.get("at", ""))[:10],
                p.get("by", ""), p.get("why", "") + (" (forced)" if p.get("forced") else ""),
                *(f"{scores[n]:.3f}" if n in scores else "" for n in _SHOWN),
            )  # fmt: skip
            if one.fault:
                faults.append(one.fault)
    yield table
    yield "* the current version; scores are those of its promotion, on that day's test set"
    yield from faults


def promotion(folder: Path, told: dict[str, Any]) -> Iterator[Shown]:
    """Yield what was decided, on what grounds, and what follows from it."""
    before = f" instead of {told['instead_of']}" if told["instead_of"] else ""
    forced = ", forced" if told["forced"] else ""
    yield (
        f"{told['model']} is the current model of {folder}{before} "
        f"(version {told['version']}, by {told['by']}{forced})"
    )
    test = told["test"]
    yield f"On the {test['comments']} comments of {test['file']}:"
    yield _figures(told)
    for key, word in (("better_labels", "better"), ("worse_labels", "worse")):
        if told.get(key):
            yield f"Labels {word} beyond their interval: {', '.join(told[key])}"
    yield (
        "Reanalyse is due: the next `cxnlp run` without --from and --to labels all comments again "
        "with this version, or the deployment `reanalyse` before it (docs/operations.md)"
    )


def difference(found: dict[str, Any]) -> Iterator[Shown]:
    """Yield what differs between two models: labels, thresholds, scores of the cards."""
    yield f"{found['old']} → {found['new']}"
    if found["same_weights"]:
        yield "the weights are the same"
    if found["cleaning"]:
        yield "cleaning: {} → {}".format(*found["cleaning"])
    for title, part in (("labels", found["labels"]), ("decided by triggers", found["lexicon"])):
        for head, two in part.items():
            words = [f"{sign}{n}" for sign, key in (("+", "added"), ("−", "gone"))
                     for n in two[key]]  # fmt: skip
            yield f"{title}, {head}: {' '.join(words)}"
    rows = [
        (head, label, *values)
        for head, labels in found["thresholds"].items()
        for label, values in labels.items()
    ]
    rows += [("temperature", head, *values) for head, values in found["temperatures"].items()]
    if rows:
        yield _numbers(rows, "threshold of", "label")
    if found["scores"]:
        rows = [("score", name, *values) for name, values in found["scores"].items()]
        yield _numbers(rows, "", "of the cards")
    else:
        yield "the cards have no scores on the same annotations; --gold FILE compares on one"


def _figures(told: dict[str, Any]) -> Table:
    table = Table("measure", "score", "difference", "95 % interval", "", box=None, pad_edge=False)
    for name, score in told["scores"].items():
        one = told.get("differences", {}).get(name)
        if one:
            low, high = one["interval"]
            star = "*" if one["beyond_noise"] else ""
            cells = (f"{one['difference']:+.3f}", f"{low:+.3f} – {high:+.3f}", star)
        else:
            cells = ("", "", "")
        table.add_row(name, f"{score:.3f}", *cells)
    return table


def _numbers(rows: list[tuple[Any, ...]], first: str, second: str) -> Table:
    table = Table(first, second, "old", "new", box=None, pad_edge=False)
    for head, label, old, new in rows:
        table.add_row(head, label, *("–" if v is None else f"{v:g}" for v in (old, new)))
    return table


def suspected(
    rows: list[dict[str, Any]], found: int, comments: int, place: Path
) -> Iterator[Shown]:
    """Yield the annotations that are most probably wrong, and how many there are in all."""
    table = Table("comment", "head", "given", "suggested", "score", "text", box=None,
                  pad_edge=False)  # fmt: skip
    for row in rows:
        given, suggested = (", ".join(row[name]) or "–" for name in ("given", "suggested"))
        text = " ".join(row["text"][:60].split())
        table.add_row(row["comment_id"], row["head"], given, suggested, f"{row['score']:.2f}",
                      Text(text))  # fmt: skip
    yield f"{found:,} labellings of {comments:,} annotated comments are worth a look: {place}"
    if rows:
        yield table


def added(done: Added, rejects: list[Reject]) -> Iterator[Shown]:
    """Yield what an import of annotations did, what it refused, and how far people agree."""
    word = "" if done.new else " (these files made it before; nothing was written)"
    yield (
        f"{done.folder}: {done.total} comments, {done.added} new, {done.replaced} replaced, "
        f"of {done.rows} rows read{word}"
    )
    if done.doubles:
        yield f"{done.doubles} further annotations of a comment are kept in doubles.jsonl"
    if done.rejects:
        yield f"{done.rejects} faults, each with its row in {done.folder / 'rejects.jsonl'}:"
        table = Table("file", "row", "comment", "reason", "", box=None, pad_edge=False)
        for one in rejects[:20]:
            table.add_row(one.file, str(one.row), one.id, one.reason, one.detail)
        yield table
        if len(rejects) > 20:
            yield f"… {len(rejects) - 20} more"
    if done.agreement:
        yield f"Agreement on the {done.agreement[0].comments} comments that two annotated:"
        table = Table("head", "label", "alike", "Cohen's kappa", box=None, pad_edge=False)
        for row in done.agreement:
            kappa = "–" if row.kappa is None else f"{row.kappa:.2f}"
            table.add_row(row.head, row.label, f"{row.share:.0%}", kappa)
        yield table
