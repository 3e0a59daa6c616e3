"""Label Studio: tasks with predictions and a labelling configuration out, its JSON export in.

Formats: labelstud.io/guide/task_format, /guide/predictions, /tags/labels, /tags/choices. Its
offsets count UTF-16 units, as JavaScript does: an emoji counts two (label-studio issue 1347).
They are written so and read so; the words that the export repeats decide where both readings
differ. Marks and reasons travel in `meta`, which annotators do not see.
"""

from typing import Any
from xml.sax.saxutils import quoteattr

from cxnlp import schema
from cxnlp.annotate.rows import Annotated, Place, place_at
from cxnlp.taxonomy import Taxonomy

DOUBT = "hesitation"
_COLOURS = {"positif": "#2e7d32", "negatif": "#c62828", "neutre": "#757575", "mixte": "#ef6c00"}


def config(taxonomy: Taxonomy) -> str:
    """Return the labelling configuration: spans with touchpoint, levers, polarity; the comment."""
    levers = [(one.id, one.label) for one in taxonomy.levers]
    emotions = [(one.id, one.label) for one in taxonomy.emotions if one.id in schema.EMOTIONS]
    touchpoints = [
        f"      <Label value={quoteattr(t.id)} hint={quoteattr(f'{t.label} : {t.definition}')}/>"
        for t in taxonomy.touchpoints
    ]
    region = 'perRegion="true" whenTagName="touchpoint"'
    parts = [
        "<View>",
        "  <Style>.htx-text{ white-space: pre-wrap; }</Style>",
        '  <View style="display: flex; gap: 1em;">',
        '    <View style="flex: 60%;">',
        '      <Text name="text" value="$text" granularity="word"/>',
        '      <Labels name="touchpoint" toName="text" showInline="true">',
        *touchpoints,
        "      </Labels>",
        "    </View>",
        '    <View style="flex: 40%;">',
        *_choices("polarity", "Polarité de ces mots", _plain(schema.POLARITIES),
                  f'choice="single" required="true" {region}'),
        *_choices("levers", "Leviers (0 à 2)", levers, f'choice="multiple" {region}'),
        *_choices("sentiment", "Sentiment du commentaire", _plain(schema.SENTIMENTS),
                  'choice="single" required="true"'),
        *_choices("emotions", "Émotions exprimées (0 à 3)", emotions, 'choice="multiple"'),
        *_choices("intents", "Intentions dites", [(i.id, i.label) for i in taxonomy.intents],
                  'choice="multiple"'),
        *_choices("doubt", "J'hésite", [(DOUBT, "à relire")], 'choice="multiple"'),
        "    </View>",
        "  </View>",
        "</View>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def write(some: list[Annotated], model: str) -> list[dict[str, Any]]:
    """Return a task per comment; what the model found is its prediction."""
    return [
        {
            "data": {"text": one.text, "comment_id": one.id},
            "meta": {"why": one.why, "source": one.source, "rating": one.rating},
            "predictions": [{"model_version": model, "result": _results(one)}],
        }
        for one in some
    ]


def read(task: dict[str, Any]) -> list[Annotated]:
    """Return what each person said of a task; one unfinished row where nobody said anything.

    Raises `KeyError`, `TypeError` or `ValueError` if it is not a task of the JSON export.
    """
    if "annotations" not in task:
        raise ValueError("no annotations in it: export as JSON, not as JSON-MIN or another format")
    data, meta = task["data"], task.get("meta") or {}
    text, rating = str(data["text"]), meta.get("rating")
    common: dict[str, Any] = {
        "id": str(data["comment_id"]), "text": text, "source": str(meta.get("source") or ""),
        "why": str(meta.get("why") or ""), "rating": None if rating is None else float(rating),
    }  # fmt: skip
    if not task["annotations"]:
        return [Annotated(**common, sentiment=None, finished=False)]
    return [_annotation(one, common) for one in task["annotations"]]


def _annotation(given: dict[str, Any], common: dict[str, Any]) -> Annotated:
    text, results = common["text"], given.get("result") or []
    whole: dict[str, list[str]] = {}
    of_region: dict[tuple[str, str], list[str]] = {}
    for one in results:
        if one["type"] != "choices":
            continue
        chosen = [str(c) for c in one["value"]["choices"]]
        if "start" in one["value"]:
            of_region[one["id"], one["from_name"]] = chosen
        else:
            whole[one["from_name"]] = chosen
    places = [
        _place(text, one, label, of_region)
        for one in results
        if one["type"] == "labels"
        for label in one["value"]["labels"]
    ]
    who = given.get("completed_by", "")
    sentiment = whole.get("sentiment", [])
    return Annotated(
        **common, sentiment=sentiment[0] if sentiment else None,
        emotions=tuple(whole.get("emotions", ())), intents=tuple(whole.get("intents", ())),
        places=tuple(sorted(places, key=lambda p: p.start)), hesitant="doubt" in whole,
        annotator=str(who.get("email") or who.get("id") if isinstance(who, dict) else who),
        finished=not given.get("was_cancelled", False), settled=bool(given.get("ground_truth")),
    )  # fmt: skip


def _place(
    text: str, region: dict[str, Any], label: str, chosen: dict[tuple[str, str], list[str]]
) -> Place:
    value = region["value"]
    start, end = int(value["start"]), int(value["end"])
    quote = str(value.get("text", "")).replace("\\n", "\n")
    polarity = chosen.get((region["id"], "polarity"), [])
    levers = tuple(chosen.get((region["id"], "levers"), ()))
    first = polarity[0] if polarity else None
    units = (_characters(text, start), _characters(text, end))
    for a, b in (units, (start, end)):
        if not quote or text[a:b] == quote:
            return place_at(text, a, b, label, levers, first)
    return Place(-1, quote, label, levers, first)


def _results(one: Annotated) -> list[dict[str, Any]]:
    found = []
    for number, p in enumerate(one.places):
        where = {"start": _units(one.text, p.start), "end": _units(one.text, p.end),
                 "text": p.quote}  # fmt: skip
        about = {"id": f"m{number}", "to_name": "text"}
        found.append({**about, "from_name": "touchpoint", "type": "labels",
                      "value": {**where, "labels": [p.touchpoint]}})  # fmt: skip
        for name, chosen in (("polarity", [p.polarity]), ("levers", list(p.levers))):
            if chosen:
                found.append({**about, "from_name": name, "type": "choices",
                              "value": {**where, "choices": chosen}})  # fmt: skip
    whole = {
        "sentiment": [one.sentiment], "emotions": list(one.emotions), "intents": list(one.intents),
    }  # fmt: skip
    found += [
        {"id": name, "from_name": name, "to_name": "text", "type": "choices",
         "value": {"choices": chosen}}
        for name, chosen in whole.items() if chosen
    ]  # fmt: skip
    return found


def _units(text: str, characters: int) -> int:
    """Return how many UTF-16 units the first characters of a text take.

    >>> _units("😀 ravi", 2)
    3
    """
    return len(text[:characters].encode("utf-16-le", "surrogatepass")) // 2


def _characters(text: str, units: int) -> int:
    """Return how many characters the first UTF-16 units of a text are."""
    whole = text.encode("utf-16-le", "surrogatepass")
    return len(whole[: 2 * units].decode("utf-16-le", "replace"))


def _plain(labels: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(label, "") for label in labels]


def _choices(name: str, title: str, labels: list[tuple[str, str]], how: str) -> list[str]:
    lines = [
        f'      <Header value={quoteattr(title)} size="6"/>',
        f'      <Choices name="{name}" toName="text" showInline="true" {how}>',
    ]
    for label, hint in labels:
        more = f" hint={quoteattr(hint)}" if hint else ""
        colour = f' background="{_COLOURS[label]}"' if label in _COLOURS else ""
        lines.append(f"        <Choice value={quoteattr(label)}{more}{colour}/>")
    return [*lines, "      </Choices>"]
