"""The JSONL of `docs/annotation.md`, out with `done: false` and back in.

Comes in: rows. Goes out: rows. A row that still says `done: false` is one that nobody finished;
a row without `done` is finished, as in the bundled gold files.
"""

from typing import Any

from cxnlp.annotate.rows import Annotated, Place, own_row


def write(some: list[Annotated]) -> list[dict[str, Any]]:
    """Return a row per comment, to be corrected and set to `done: true`."""
    return [{"done": False, **own_row(one)} for one in some]


def read(row: dict[str, Any]) -> list[Annotated]:
    """Return what a row says; raises `KeyError`, `TypeError` or `ValueError` if it is not one."""
    text, places, after = str(row["text"]), [], 0
    for m in row["m"]:
        quote = str(m["q"])
        start = _start(text, quote, m.get("start"), after)
        after = max(after, start + len(quote)) if start >= 0 else after
        places.append(Place(start, quote, m["t"], tuple(m["l"]), m["p"]))
    rating = row.get("rating")
    one = Annotated(
        str(row["id"]), text, row["s"], tuple(row["e"]), tuple(row["i"]), tuple(places),
        bool(row.get("w", 0)), None if rating is None else float(rating),
        str(row.get("source") or ""), str(row.get("why") or ""), str(row.get("annotator") or ""),
        finished=row.get("done", True) is True,
    )  # fmt: skip
    return [one]


def _start(text: str, quote: str, given: int | None, after: int) -> int:
    """Return where a quote begins: where the row says, else after the one before, else first."""
    if given is not None and given >= 0 and text[given : given + len(quote)] == quote:
        return given
    found = text.find(quote, after)
    return found if found >= 0 else text.find(quote)
