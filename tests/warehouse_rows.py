"""Small tables for the tests of the warehouse, of its invariants and of the metrics."""

import datetime as dt
from typing import Any

import pyarrow as pa

from cxnlp import schema
from cxnlp.parts import Part, split

STAGES = {"accueil": "visite", "attente": "achat", "prix": "achat"}
LEVERS = ("emotions", "temps")
TEXT = "Accueil charmant 😀 mais deux heures de queue."


def rows(table: schema.Table, *given: dict[str, Any]) -> pa.Table:
    """Return a table that conforms: what is not given is null, or empty, or zero."""
    columns = {}
    for column in table.columns:
        missing = None if column.nullable else _nothing(column.type)
        values = [row.get(column.name, missing) for row in given]
        columns[column.name] = pa.array(values, column.type)
    return schema.conform(pa.table(columns), table)


def touchpoints(**frames: str) -> pa.Table:
    """Return the touchpoints of `STAGES`, the stages in the order of the alphabet."""
    order = sorted(set(STAGES.values()))
    return rows(
        schema.TOUCHPOINTS,
        *(
            {"touchpoint": name, "label": name, "stage": stage, "stage_label": stage,
             "stage_order": order.index(stage) + 1, **frames}
            for name, stage in sorted(STAGES.items())
        ),
    )  # fmt: skip


def comment(name: str, when: str | None = "2026-09-14", **other: Any) -> dict[str, Any]:
    """Return an analysed comment; `when` is a UTC day."""
    day = dt.date.fromisoformat(when) if when else None
    return {
        "comment_id": name,
        "source": "avis",
        "channel": "avis",
        "published_at": day and dt.datetime(day.year, day.month, day.day, 8, tzinfo=dt.UTC),
        "day": day,
        "text": TEXT,
        "sentiment": "mixte",
        "sentiment_score": 0.0,
        "satisfaction": 3.0,
        "emotion": "neutre",
        "emotions": [],
        **{f"emotion_{emotion}": 0.1 for emotion in schema.EMOTIONS},
        "touchpoints": ["attente"],
        "levers": ["temps"],
        "intents": [],
        "confidence": 0.9,
        "needs_review": False,
        "run_id": "r1",
        "file": "avis.csv",
        **other,
    }


def mention(of: dict[str, Any], touchpoint: str | None = "attente", **other: Any) -> dict[str, Any]:
    """Return the mention of the queue in `TEXT`, as one of a touchpoint."""
    excerpt = "deux heures de queue"
    start = TEXT.index(excerpt)
    shared = {name: of.get(name) for name in ("comment_id", "source", "day", "published_at")}
    return {
        **shared,
        "brand": of.get("brand"),
        "mention_id": f"{of['comment_id']}-{start}-{touchpoint}",
        "start": start,
        "end": start + len(excerpt),
        "excerpt": excerpt,
        "touchpoint": touchpoint,
        "stage": STAGES.get(touchpoint or ""),
        "levers": ["temps"],
        "sentiment": "negatif",
        "sentiment_score": -0.9,
        "emotions": [],
        "method": "lexique",
        "confidence": 0.9,
        "run_id": "r1",
        **other,
    }


def night(
    text: str = TEXT,
    sources: tuple[str, ...] = ("avis", "reseau"),
    days: tuple[str | None, ...] = ("2026-08-30", "2026-09-01", "2026-09-14", None),
) -> list[Part]:
    """Return the parts of a small night: two sources, two months and undated, and the files."""
    made = [
        comment(f"{source}-{i}", when, source=source, file=f"{source}.csv", text=text)
        for source in sources
        for i, when in enumerate(days)
    ]
    files = [
        {
            "source": source,
            "file": f"{source}.csv",
            "sequence": i,
            "rows": len(days),
            "comments": len(days),
        }
        for i, source in enumerate(sources, start=1)
    ]
    comments = rows(schema.COMMENTS, *made)
    mentions = rows(schema.MENTIONS, *(mention(of) for of in made))
    return [
        *split(comments, schema.COMMENTS),
        *split(mentions, schema.MENTIONS),
        Part(schema.FILES, rows(schema.FILES, *files)),
        Part(schema.REJECTS, schema.empty(schema.REJECTS)),
    ]


def _nothing(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_list(kind):
        return []
    return dt.datetime(2026, 9, 15, tzinfo=dt.UTC) if pa.types.is_timestamp(kind) else 0
