"""A warehouse → files for an annotation tool, pre-annotated with what the model found.

Comes in: the tables. Goes out: a folder with the comments chosen (`choose.py`) in one of the
formats of `FORMATS`. A mention of a lever alone is not pre-annotated: an annotation has a
touchpoint.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.annotate import doccano, labelstudio, own
from cxnlp.annotate.choose import COLUMNS, choose, eligible
from cxnlp.annotate.rows import Annotated, place_at
from cxnlp.annotate.sets import ids_and_texts
from cxnlp.errors import UsageError
from cxnlp.taxonomy import Taxonomy
from cxnlp.warehouse import Warehouse


class Format(StrEnum):
    """The tools that are written for."""

    labelstudio = "labelstudio"
    doccano = "doccano"
    jsonl = "jsonl"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: files, how many comments for each reason, of how many."""

    files: list[Path]
    why: dict[str, int]
    eligible: int


def export(
    warehouse: Warehouse, output: Path, to: Format, taxonomy: Taxonomy, *, count: int,
    share: float = 0.2, seed: int = 7, without: list[Path] | None = None,
) -> Exported:  # fmt: skip
    """Write `count` comments to annotate into `output`; raises `UsageError`.

    `share` of them are drawn at random; comments of the sets `without` are left out.
    """
    comments = eligible(warehouse.read(schema.COMMENTS, COLUMNS))
    for path in without or ():
        ids, texts = ids_and_texts(path)
        known = pc.or_(
            pc.is_in(comments["comment_id"], pa.array(sorted(ids), pa.string())),
            pc.is_in(comments["text"], pa.array(sorted(texts), pa.string())),
        )
        comments = comments.filter(pc.invert(known)).combine_chunks()
    if not comments.num_rows:
        raise UsageError(f"{warehouse.root}: no analysed comments in it that are not annotated yet")
    chosen = choose(comments, count, share, seed)
    rows = comments.take(pa.array(sorted(chosen)))
    some = _annotated(rows, [chosen[row] for row in sorted(chosen)], warehouse)
    model = str(rows["model_version"][0].as_py())
    files = _write(output, _contents(some, to, taxonomy, model))
    return Exported(files, dict(Counter(chosen.values())), comments.num_rows)


def _annotated(rows: pa.Table, why: list[str], warehouse: Warehouse) -> list[Annotated]:
    mentions = warehouse.read(
        schema.MENTIONS, ("comment_id", "start", "end", "touchpoint", "levers", "sentiment")
    )
    mentions = mentions.filter(pc.is_in(mentions["comment_id"], rows["comment_id"]))
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for m in mentions.sort_by("start").to_pylist():
        if m["touchpoint"]:
            of[m["comment_id"]].append(m)
    return [
        Annotated(
            row["comment_id"], row["text"], row["sentiment"], tuple(row["emotions"] or ()),
            tuple(row["intents"] or ()),
            tuple(
                place_at(row["text"], m["start"], m["end"], m["touchpoint"], tuple(m["levers"]),
                         m["sentiment"])
                for m in of[row["comment_id"]]
            ),
            rating=None if row["rating"] is None else round(row["rating"], 2),
            source=row["source"], why=reason,
        )
        for row, reason in zip(rows.to_pylist(), why, strict=True)
    ]  # fmt: skip


def _contents(some: list[Annotated], to: Format, taxonomy: Taxonomy, model: str) -> dict[str, str]:
    if to is Format.labelstudio:
        return {
            "tasks.json": _json(labelstudio.write(some, model)),
            "label_config.xml": labelstudio.config(taxonomy),
        }
    if to is Format.doccano:
        return {
            "comments.jsonl": _lines(doccano.write(some)),
            "span_labels.json": _json(doccano.span_labels(taxonomy)),
            "category_labels.json": _json(doccano.category_labels()),
        }
    return {"comments.jsonl": _lines(own.write(some))}


def _write(output: Path, contents: dict[str, str]) -> list[Path]:
    paths = [output / name for name in contents]
    there = [path for path in paths if path.exists()]
    if there:
        raise UsageError(f"{there[0]}: is there already; give another folder, so that no "
                         "annotation is written over")  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, contents.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
