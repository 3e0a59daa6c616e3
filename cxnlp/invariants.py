"""What is true of the tables after every run, whoever made them.

Comes in: a warehouse and the ids of its taxonomy. Goes out: one sentence for each thing that
is not so, none when all is well. Left out: the files themselves (`Warehouse.verify`).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import schema
from cxnlp.warehouse import Warehouse

_RANGES: Final = {
    "rating": (1, 5),
    "satisfaction": (1, 5),
    "sentiment_score": (-1, 1),
    "promise_gap": (-1, 1),
    "confidence": (0, 1),
    **{f"emotion_{emotion}": (0, 1) for emotion in schema.EMOTIONS},
    "share": (0, 1),
    "mean_score": (-1, 1),
    "mean": (-1, 1),
    "score": (-1, 1),
    "low": (-1, 1),
    "high": (-1, 1),
    "gap": (-1, 1),
    "coverage": (0, 1),
}
_NAMES: Final = schema.COMMENTS.names
_LABELS: Final = _NAMES[_NAMES.index("sentiment") : _NAMES.index("needs_review") + 1]
_MAY_BE_NULL: Final = ("promise_gap", "rating_conflict")


def check(warehouse: Warehouse, stages: Mapping[str, str], levers: Collection[str]) -> list[str]:
    """Return what does not hold; `stages` gives the stage of each known touchpoint.

    Comments and mentions are read part by part, so that memory holds one part and all ids.
    """
    known = {
        "channel": schema.CHANNELS,
        "emotion": (*schema.EMOTIONS, "neutre"),
        "emotions": schema.EMOTIONS,
        "intents": schema.INTENTS,
        "method": schema.METHODS,
        "touchpoints": stages,
        "touchpoint": stages,
        "levers": levers,
    }
    problems = [*_counts(warehouse)]
    for table in (schema.COMMENTS, schema.MENTIONS):
        ids = warehouse.read(table, table.key)[table.key[0]]
        problems += [f"{table.name}: {twice}" for twice in _twice(ids)]
    keys = {*warehouse.parts(schema.COMMENTS), *warehouse.parts(schema.MENTIONS)}
    for source, period in sorted(keys, key=str):
        comments = warehouse.read_part(schema.COMMENTS, source, period)
        mentions = warehouse.read_part(schema.MENTIONS, source, period)
        here = f"{source} {period}"
        found = [*_of_rows(comments, schema.COMMENTS, known), *_of_comments(comments)]
        problems += [f"comments of {here}: {problem}" for problem in found]
        found = [*_of_rows(mentions, schema.MENTIONS, known), *_of_mentions(mentions, comments)]
        problems += [f"mentions of {here}: {problem}" for problem in found]
    for table in schema.METRICS:
        found = [*_of_rows(warehouse.read(table), table, known)]
        problems += [f"{table.name}: {problem}" for problem in found]
    return problems


def _counts(warehouse: Warehouse) -> Iterator[str]:
    """Say where rows went missing: a file's rows are its comments, its rejects and the forgotten.

    A comment that a later file repeats is counted there, so a file may have fewer rows left
    in `comments` than it brought, never more.
    """
    files = warehouse.read(schema.FILES)
    kept = pc.add(files["comments"], files["rejects"])
    lost = pc.not_equal(files["rows"], pc.add(kept, pc.fill_null(files["forgotten"], 0)))
    what = "rows are not comments + rejects + forgotten"
    yield from _rows_where(lost, files["file"], what, "files: ")
    last: dict[tuple[str, str], int] = {}
    brought: dict[tuple[str, str], int] = {}
    for row in files.sort_by("sequence").to_pylist():
        name = (row["source"], row["file"])
        last[name] = row["rejects"]
        brought[name] = brought.get(name, 0) + row["comments"]
    rejects = _per_file(warehouse.read(schema.REJECTS, ("source", "file")))
    for name in sorted({*last, *rejects}):
        if last.get(name, 0) != rejects.get(name, 0):
            yield (
                f"rejects: {rejects.get(name, 0)} rows of {name[1]} ({name[0]}), "
                f"files says {last.get(name, 0)}"
            )
    comments = warehouse.read(schema.COMMENTS, ("source", "file"))
    for name, count in sorted(_per_file(comments.filter(comments["file"].is_valid())).items()):
        if count > brought.get(name, 0):
            yield (
                f"comments: {count} rows of {name[1]} ({name[0]}), files says "
                f"{brought.get(name, 0)} at most"
            )


def _per_file(rows: pa.Table) -> dict[tuple[str, str], int]:
    counted = rows.group_by(["source", "file"]).aggregate([([], "count_all")])
    names = zip(counted["source"].to_pylist(), counted["file"].to_pylist(), strict=True)
    return dict(zip(names, counted["count_all"].to_pylist(), strict=True))


def _twice(ids: pa.ChunkedArray) -> Iterator[str]:
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        often = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        yield f"{len(often)} ids are there more than once, as {often[0].as_py()}"


def _of_rows(
    data: pa.Table, table: schema.Table, known: Mapping[str, Collection[str]]
) -> Iterator[str]:
    key = data[table.key[-1]]
    sentiments = {
        schema.MENTIONS: schema.POLARITIES,
        schema.REPLY_SUMMARY: (*schema.SENTIMENTS, "tous"),
    }.get(table, schema.SENTIMENTS)
    for name, labels in {**known, "sentiment": sentiments}.items():
        if name in table.names and not pa.types.is_integer(data[name].type):  # a count
            values = data[name]
            if pa.types.is_list(values.type):
                values = pc.list_flatten(values)
            strange = sorted({*pc.unique(values.drop_null()).to_pylist()} - {*labels})
            if strange:
                yield f"{name}: unknown labels: {', '.join(strange[:5])}"
    for name, (low, high) in _RANGES.items():
        if name in table.names:
            within = pc.and_(pc.greater_equal(data[name], low), pc.less_equal(data[name], high))
            yield from _rows_where(pc.invert(within), key, f"{name} is not within {low} … {high}")


def _of_comments(comments: pa.Table) -> Iterator[str]:
    key, aside = comments["comment_id"], comments["set_aside"].is_valid()
    for name in _LABELS:
        wrong = pc.and_(aside, comments[name].is_valid())
        yield from _rows_where(wrong, key, f"{name} is there, though the comment is set aside")
        if name not in _MAY_BE_NULL:
            wrong = pc.and_(pc.invert(aside), comments[name].is_null())
            yield from _rows_where(wrong, key, f"{name} is null, though the comment is analysed")


def _of_mentions(mentions: pa.Table, comments: pa.Table) -> Iterator[str]:
    key = mentions["mention_id"]
    rows = pc.index_in(mentions["comment_id"], value_set=comments["comment_id"].combine_chunks())
    yield from _rows_where(rows.is_null(), key, "have no comment in the part of that name")
    wrong = pc.and_(mentions["touchpoint"].is_valid(), mentions["stage"].is_null())
    yield from _rows_where(wrong, key, "have a touchpoint and no stage")
    places = zip(
        comments["text"].take(rows.combine_chunks()).to_pylist(),
        mentions["start"].to_pylist(),
        mentions["end"].to_pylist(),
        mentions["excerpt"].to_pylist(),
        strict=True,
    )
    wrong = [
        text is not None and not (0 <= start < end and text[start:end] == excerpt)
        for text, start, end, excerpt in places
    ]
    yield from _rows_where(pa.array(wrong, pa.bool_()), key, "text[start:end] is not the excerpt")


def _rows_where(
    wrong: pa.ChunkedArray | pa.Array, key: pa.ChunkedArray, what: str, before: str = ""
) -> Iterator[str]:
    count = pc.sum(wrong).as_py() or 0
    if count:
        first = key.filter(pc.fill_null(wrong, False))[0].as_py()
        yield f"{before}{count} rows, as {first}: {what}"
