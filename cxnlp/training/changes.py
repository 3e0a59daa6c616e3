"""Where a model's answers leave the annotations or another model's answers, label by label.

Comes in: `Judged` columns. Goes out: Arrow tables, a row per comment and label that differs; a
sentiment that changed is two rows, of the label that went and the one that came.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.training.judged import SETS, Judged

Bools = npt.NDArray[np.bool_]


def mistakes(some: Judged) -> pa.Table:
    """Return the labels that annotations and model do not share: comment_id, head, label, gold,
    found."""
    parts = [
        _part(some, head, labels, wanted != given, {"gold": wanted, "found": given})
        for head, labels, wanted, given in _flags(some)
    ]
    return pa.concat_tables(parts)


def flips(old: Judged, new: Judged) -> pa.Table:
    """Return the labels that two models do not share: comment_id, head, label, gold, old, new."""
    parts = [
        _part(new, head, labels, before != after, {"gold": wanted, "old": before, "new": after})
        for (head, labels, wanted, before), (*_, after) in zip(
            _flags(old), _flags(new), strict=True
        )
    ]
    return pa.concat_tables(parts)


def counted(changes: pa.Table) -> dict[str, dict[str, int]]:
    """Return how many labels of each head became right and became wrong."""
    found: dict[str, dict[str, int]] = {}
    for head in ("sentiment", *SETS):
        rows = changes.filter(pc.equal(changes["head"], head))
        better = pc.equal(rows["gold"], rows["new"])
        right = int(pc.sum(better).as_py() or 0)
        found[head] = {"became_right": right, "became_wrong": len(rows) - right}
    return found


def _flags(some: Judged) -> list[tuple[str, list[str], Bools, Bools]]:
    classes = np.arange(len(schema.SENTIMENTS))
    first = (
        "sentiment", list(schema.SENTIMENTS),
        some.truth[:, None] == classes, some.found[:, None] == classes,
    )  # fmt: skip
    return [first, *((h, some.names[h], some.wanted[h], some.given[h]) for h in SETS)]


def _part(
    some: Judged, head: str, labels: list[str], differ: Bools, flags: dict[str, Bools]
) -> pa.Table:
    rows, columns = np.nonzero(differ)
    return pa.table({
        "comment_id": pa.array([some.ids[r] for r in rows], pa.string()),
        "head": pa.array([head] * len(rows), pa.string()),
        "label": pa.array([labels[c] for c in columns], pa.string()),
        **{name: pa.array(values[rows, columns]) for name, values in flags.items()},
    })  # fmt: skip
