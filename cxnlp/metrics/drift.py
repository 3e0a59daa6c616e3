"""What comments are like, counted; and how far those of each month are from a reference.

Comes in: a connection that has `comments`, the `reference` of a model's card. Goes out: the table
`drift`; or, of comments that a model was trained on, the counts that become such a reference.
How they are compared stands in `drift.sql`, what is counted in `tallies.sql`.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import duckdb
import pyarrow as pa

from cxnlp import schema

WORDS: Final = 256  # groups of words
_TALLIES: Final = pa.schema([("aspect", pa.string()), ("label", pa.string()), ("n", pa.float64())])


def drift(
    connection: duckdb.DuckDBPyConnection, reference: Mapping[str, Any], sample: int
) -> pa.Table:
    """Return the table; without a reference nothing is compared."""
    connection.register("tallies", _tallied(connection, sample))
    connection.register("reference", _table(reference.get("counts", {})))
    labels = {"sentiments": list(schema.SENTIMENTS), "emotions": [*schema.EMOTIONS, "neutre"]}
    found = connection.sql(_sql("drift"), params=labels).to_arrow_table()
    return schema.conform(found, schema.DRIFT)


def counts(comments: pa.Table) -> dict[str, Any]:
    """Return the counts of analysed comments by aspect; words as one string of numbers."""
    with duckdb.connect(":memory:") as connection:
        connection.register("comments", comments)
        rows = _tallied(connection, len(comments) or 1).to_pylist()
    every = [r for r in rows if (r["period"], r["source"]) == ("tout", "toutes")]
    found: dict[str, dict[str, float]] = {}
    for row in every:
        found.setdefault(row["aspect"], {})[row["label"]] = row["n"]
    words = found.pop("mots", {})
    told: dict[str, Any] = {
        aspect: {label: _plain(n) for label, n in sorted(some.items())}
        for aspect, some in found.items()
    }
    return told | {"mots": " ".join(str(int(words.get(str(i), 0))) for i in range(WORDS))}


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of two `counts`.

    >>> added({"mots": "1 2"}, {"mots": "3 0", "emotion": {"joie": 4}})
    {'mots': '4 2', 'emotion': {'joie': 4}}
    """
    found: dict[str, Any] = {}
    for aspect in {**one, **other}:
        mine, theirs = one.get(aspect), other.get(aspect)
        if mine is None or theirs is None:
            found[aspect] = mine if theirs is None else theirs
        elif isinstance(mine, str):
            pairs = zip(mine.split(), str(theirs).split(), strict=True)
            found[aspect] = " ".join(str(int(a) + int(b)) for a, b in pairs)
        else:
            labels = sorted({**mine, **theirs})
            found[aspect] = {n: _plain(mine.get(n, 0) + theirs.get(n, 0)) for n in labels}
    return found


def _tallied(connection: duckdb.DuckDBPyConnection, sample: int) -> pa.Table:
    return connection.sql(_sql("tallies"), params={"sample": sample}).to_arrow_table()


def _table(counted: Mapping[str, Any]) -> pa.Table:
    rows = [
        {"aspect": aspect, "label": label, "n": float(n)}
        for aspect, some in counted.items()
        for label, n in (
            enumerate(some.split()) if isinstance(some, str) else some.items()
        )
    ]  # fmt: skip
    for row in rows:
        row["label"] = str(row["label"])
    return pa.Table.from_pylist(rows, schema=_TALLIES)


def _plain(n: float) -> float:
    return int(n) if n == int(n) else round(n, 3)


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
