"""doccano: JSONL and its label lists out, its JSONL export in.

For a project of the kind "Intent detection and slot filling", which has spans (`entities`) and
labels of the whole text (`cats`); allow overlapping spans in it. A span has one label only, so
touchpoint, polarity and levers are spans of their own over the same words:
`touchpoint:attente_caisse`, `polarity:negatif`, `lever:temps_praticite`. Reading them back, a
polarity or lever belongs to the touchpoints whose words it shares. Offsets count characters.
"""

from collections.abc import Iterator
from typing import Any

from cxnlp import schema
from cxnlp.annotate.rows import Annotated, Place, place_at
from cxnlp.taxonomy import Taxonomy

DOUBT = "doubt:hesitation"
_COLOURS = {"touchpoint": "#1565c0", "polarity": "#6a1b9a", "lever": "#00695c",
            "sentiment": "#ef6c00", "emotion": "#ad1457", "intent": "#4e342e",
            "doubt": "#616161"}  # fmt: skip
Span = tuple[int, int, str]


def span_labels(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Return the span labels to import into the project."""
    names = [f"touchpoint:{t.id}" for t in taxonomy.touchpoints]
    names += [f"polarity:{p}" for p in schema.POLARITIES]
    names += [f"lever:{lever.id}" for lever in taxonomy.levers]
    return _labels(names)


def category_labels() -> list[dict[str, Any]]:
    """Return the labels of the whole text to import into the project."""
    names = [f"sentiment:{s}" for s in schema.SENTIMENTS]
    names += [f"emotion:{e}" for e in schema.EMOTIONS]
    names += [f"intent:{i}" for i in schema.INTENTS]
    return _labels([*names, DOUBT])


def write(some: list[Annotated]) -> list[dict[str, Any]]:
    """Return a row per comment, with what the model found."""
    return [
        {
            "text": one.text, "comment_id": one.id, "why": one.why, "source": one.source,
            "rating": one.rating, "entities": [list(span) for span in _spans(one)],
            "cats": [
                f"sentiment:{one.sentiment}", *(f"emotion:{e}" for e in one.emotions),
                *(f"intent:{i}" for i in one.intents),
            ],
        }
        for one in some
    ]  # fmt: skip


def read(row: dict[str, Any], annotator: str) -> list[Annotated]:
    """Return what a row of the export says; raises `KeyError`, `TypeError` or `ValueError`."""
    text, meta = str(row["text"]), row.get("meta") or {}
    about = {**meta, **row}
    spans = [_span(one) for one in row["entities"]]
    cats = [str(cat) for cat in row["cats"]]
    sentiments = _named(cats, "sentiment")
    if len(sentiments) > 1:
        raise ValueError(f"two sentiments: {', '.join(sentiments)}")
    others = [c for c in cats if c.partition(":")[0] not in ("sentiment", "emotion", "intent")]
    if unknown := [c for c in others if c != DOUBT]:
        raise ValueError(f"unknown labels of the text: {', '.join(unknown)}")
    rating = about.get("rating")
    one = Annotated(
        str(about["comment_id"]), text, sentiments[0] if sentiments else None,
        tuple(_named(cats, "emotion")), tuple(_named(cats, "intent")),
        tuple(_places(text, spans)), DOUBT in cats,
        None if rating in (None, "") else float(rating), str(about.get("source") or ""),
        str(about.get("why") or ""), annotator,
    )  # fmt: skip
    return [one]


def _spans(one: Annotated) -> Iterator[Span]:
    for p in one.places:
        yield p.start, p.end, f"touchpoint:{p.touchpoint}"
        yield p.start, p.end, f"polarity:{p.polarity}"
        for lever in p.levers:
            yield p.start, p.end, f"lever:{lever}"


def _span(given: Any) -> Span:
    if isinstance(given, dict):  # of a project with relations
        return int(given["start_offset"]), int(given["end_offset"]), str(given["label"])
    start, end, label = given
    return int(start), int(end), str(label)


def _places(text: str, spans: list[Span]) -> Iterator[Place]:
    """Yield the mentions in the order of the text; a span of nothing is a fault of the row."""
    named = [s for s in spans if s[2].startswith("touchpoint:")]
    others = [s for s in spans if not s[2].startswith("touchpoint:")]
    owned: dict[Span, list[str]] = {s: [] for s in named}
    for start, end, label in others:
        if label.partition(":")[0] not in ("polarity", "lever"):
            raise ValueError(f"unknown label of a span: {label}")
        shared = {s: min(end, s[1]) - max(start, s[0]) for s in named}
        most = max(shared.values(), default=0)
        if most <= 0:
            raise ValueError(f"{label} lies on {text[start:end]!r}, where no touchpoint is marked")
        for s, size in shared.items():
            if size == most:
                owned[s].append(label)
    for start, end, label in sorted(named):
        labels = owned[start, end, label]
        sides = sorted(set(_named(labels, "polarity")))
        if len(sides) > 1:
            raise ValueError(f"{text[start:end]!r} has two polarities: {', '.join(sides)}")
        levers = tuple(dict.fromkeys(_named(labels, "lever")))
        name = label.partition(":")[2]
        yield place_at(text, start, end, name, levers, sides[0] if sides else None)


def _named(labels: list[str], kind: str) -> list[str]:
    return [label.partition(":")[2] for label in labels if label.startswith(f"{kind}:")]


def _labels(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"text": name, "background_color": _COLOURS[name.partition(":")[0]],
         "text_color": "#ffffff", "prefix_key": None, "suffix_key": None}
        for name in names
    ]  # fmt: skip
