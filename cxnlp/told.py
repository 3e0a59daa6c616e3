"""What is told of a text: its labels and its mentions, one row a text.

Comes in: the two tables of `fuse.py`. Goes out: one table in which each text has its mentions
beside its labels, so that rows can be picked, repeated and kept as wholes (`cache.py`); and the
mentions again, one a row; and tables in which duplicates have neither. Left out: the text itself; a
mention has its place in it, no words.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema

_LABELS: Final = (
    "sentiment", "sentiment_score", "satisfaction", "emotion", "emotions",
    *(f"emotion_{e}" for e in schema.EMOTIONS), "touchpoints", "levers", "intents",
    "promise_gap", "confidence", "needs_review",
)  # fmt: skip
_MENTION: Final = (
    "segment", "start", "end", "touchpoint", "stage", "levers", "sentiment", "sentiment_score",
    "emotions", "promise_gap", "method", "confidence",
)  # fmt: skip
_ONE: Final = pa.struct([(name, schema.MENTIONS.arrow.field(name).type) for name in _MENTION])
TOLD: Final = pa.schema([
    *((name, schema.COMMENTS.arrow.field(name).type) for name in _LABELS),
    ("mentions", pa.list_(_ONE)),
])  # fmt: skip
LABELS: Final = (*_LABELS, "rating_conflict")


def together(labels: pa.Table, mentions: pa.Table) -> pa.Table:
    """Return `TOLD`: labels, one row a text, with its rows of `mentions`, sorted by `text`."""
    counts = np.bincount(mentions["text"].to_numpy(), minlength=labels.num_rows)
    ends = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    columns = [mentions[f.name].cast(f.type).combine_chunks() for f in _ONE]
    lists = pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(columns, fields=list(_ONE)))
    return labels.append_column("mentions", lists).cast(TOLD)


def apart(told: pa.Table) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """Return the row that each mention belongs to, and the mentions, one a row."""
    lists = told["mentions"].combine_chunks()
    owner = np.asarray(pc.list_parent_indices(lists), np.int64)
    return owner, pa.Table.from_struct_array(pc.list_flatten(lists))


def set_aside_duplicates(
    comments: pa.Table, mentions: pa.Table, duplicate_of: pa.Array
) -> tuple[pa.Table, pa.Table]:
    """Return the tables with the labels of duplicates emptied and their mentions left out.

    `duplicate_of` [comments] names the comment that each repeats, or is null.
    """
    repeated = duplicate_of.is_valid()
    if not pc.any(repeated).as_py():
        return comments, mentions
    for name in LABELS:
        place = comments.column_names.index(name)
        values = comments[name]
        emptied = pc.if_else(repeated, pa.scalar(None, values.type), values)
        comments = comments.set_column(place, comments.schema.field(name), emptied)
    for name, values in (
        ("set_aside", pc.if_else(repeated, "doublon", comments["set_aside"])),
        ("duplicate_of", duplicate_of),
    ):
        place = comments.column_names.index(name)
        comments = comments.set_column(place, comments.schema.field(name), values)
    gone = comments["comment_id"].filter(repeated)
    return comments, mentions.filter(pc.invert(pc.is_in(mentions["comment_id"], gone)))
