"""Cases of behaviour: sentences whose labels are beyond doubt, and pairs that must agree or move.

Comes in: a file of cases (`tests/behaviour/cases.yaml`) and an analyzer. Goes out: which pass, by
capability, and why the others fail (Ribeiro et al. 2020, arXiv:2005.04118). Left out: any tuning;
a case that is too hard stays in the file and is listed as a failure in the model's card.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cxnlp import schema
from cxnlp.analyse import Analyzer
from cxnlp.errors import ConfigError
from cxnlp.taxonomy import Taxonomy

CASES = Path("tests/behaviour/cases.yaml")
NOISE = 0.01  # by which a number may move and still be the same
_SETS = ("emotions", "touchpoints", "levers", "intents")
_EXPECTED = ("sentiment", "promise_gap", "mentions", "touchpoints_any", "same", "change",
             *_SETS, *(f"not_{head}" for head in _SETS))  # fmt: skip

Names = tuple[str, ...]
Row = dict[str, Any]


class Case(BaseModel):
    """One sentence, or two, and what must be found; `docs/evaluation.md` explains each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    text: str
    other: str | None = None
    sentiment: str | Names | None = None
    emotions: Names = ()
    touchpoints: Names = ()
    levers: Names = ()
    intents: Names = ()
    not_emotions: Names = ()
    not_touchpoints: Names = ()
    not_levers: Names = ()
    not_intents: Names = ()
    touchpoints_any: Names = ()
    mentions: dict[str, str | Names] = {}
    promise_gap: int | None = None
    same: tuple[Literal["sentiment", "emotions", "touchpoints", "levers", "intents"], ...] = ()
    change: dict[str, Literal["not_up", "not_down"]] = {}

    @property
    def capability(self) -> str:
        return self.id.rpartition("-")[0]


def load_cases(path: Path) -> list[Case]:
    """Return the cases of a YAML file; raises `ConfigError` naming the case that is not one."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        cases = TypeAdapter(list[Case]).validate_python(raw)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file of cases; they are in a clone's tests/") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        lines = (f"{path}: {_place(raw, e['loc'])}: {e['msg']}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from error
    problems = [f"{path}: {c.id}: {p}" for c in cases for p in _problems(c)]
    ids = [c.id for c in cases]
    problems += [
        f"{path}: {i}: two cases have this id" for i in sorted(set(ids)) if ids.count(i) > 1
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return cases


def unknown_labels(case: Case, taxonomy: Taxonomy) -> set[str]:
    """Return the labels of a case that schema and taxonomy do not have."""
    touchpoints = {t.id for t in taxonomy.touchpoints}
    known: dict[str, set[str]] = {
        "sentiment": set(schema.SENTIMENTS), "emotions": set(schema.EMOTIONS),
        "touchpoints": touchpoints, "intents": set(schema.INTENTS),
        "levers": {lever.id for lever in taxonomy.levers},
    }  # fmt: skip
    used = {head: {*getattr(case, head), *getattr(case, f"not_{head}")} for head in _SETS}
    used["touchpoints"] |= {*case.touchpoints_any, *case.mentions}
    used["sentiment"] = set(_any_of(case.sentiment))
    polarities = {p for some in case.mentions.values() for p in _any_of(some)}
    columns = {f.name for f in schema.COMMENTS.arrow}
    unknown = set().union(*(names - known[head] for head, names in used.items()))
    return unknown | (polarities - set(schema.POLARITIES)) | (set(case.change) - columns)


def behave(cases: Sequence[Case], analyzer: Analyzer) -> dict[str, Any]:
    """Return {model, cases, passed, capabilities: {name: [passed, of]}, failures: {id: why}}."""
    texts = [c.text for c in cases] + [c.other or "" for c in cases]
    result = analyzer.analyze(texts)
    rows: list[Row] = result.comments.to_pylist()
    for row in rows:
        row["mentions"] = {}
    for m in result.mentions.select(["comment_id", "touchpoint", "sentiment"]).to_pylist():
        sides = rows[int(m["comment_id"])]["mentions"].setdefault(m["touchpoint"], set())
        sides.add(m["sentiment"])
    failures: dict[str, str] = {}
    capabilities: dict[str, list[int]] = {}
    for case, row, other in zip(cases, rows, rows[len(cases) :], strict=False):
        why = verdict(case, row, other if case.other else None)
        tally = capabilities.setdefault(case.capability, [0, 0])
        tally[0] += why is None
        tally[1] += 1
        if why:
            failures[case.id] = why
    return {
        "model": analyzer.model_version, "cases": len(cases),
        "passed": len(cases) - len(failures), "capabilities": capabilities, "failures": failures,
    }  # fmt: skip


def verdict(case: Case, row: Row, other: Row | None) -> str | None:
    """Return why a case fails, or None; `row` and `other` are rows of `comments` with their
    `mentions` {touchpoint: polarities}."""
    for one in (row, other):
        if one and one["set_aside"]:
            return f"set aside: {one['set_aside']}"
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: _sentiment(case, row), lambda: _sets(case, row), lambda: _places(case, row),
        lambda: _pair(case, row, other) if other else None,
    )  # fmt: skip
    return next((why for check in checks if (why := check())), None)


def _place(raw: Any, loc: tuple[int | str, ...]) -> str:
    """Name the case, by its id or its number, and the key that an error is about."""
    if not loc:
        return "not a list of cases"
    case = raw[loc[0]]
    name = case.get("id", loc[0]) if isinstance(case, dict) else loc[0]
    return ": ".join([str(name), ".".join(map(str, loc[1:]))]).removesuffix(": ")


def _sentiment(case: Case, row: Row) -> str | None:
    if case.sentiment and row["sentiment"] not in _any_of(case.sentiment):
        return f"sentiment is {row['sentiment']}, not {' or '.join(_any_of(case.sentiment))}"
    if case.promise_gap is not None and row["promise_gap"] != case.promise_gap:
        return f"promise_gap is {row['promise_gap']}, not {case.promise_gap}"
    return None


def _sets(case: Case, row: Row) -> str | None:
    for head in _SETS:
        found = set(row[head])
        if missing := set(getattr(case, head)) - found:
            return f"{head}: {_list(missing)} missing, found {_list(found)}"
        if wrong := set(getattr(case, f"not_{head}")) & found:
            return f"{head}: {_list(wrong)} found"
    if case.touchpoints_any and not set(case.touchpoints_any) & set(row["touchpoints"]):
        return f"touchpoints: none of {_list(set(case.touchpoints_any))}"
    return None


def _places(case: Case, row: Row) -> str | None:
    for touchpoint, polarity in case.mentions.items():
        sides = row["mentions"].get(touchpoint)
        if not sides:
            return f"mentions: {touchpoint} missing"
        if not sides & set(_any_of(polarity)):
            return f"mentions: {touchpoint} is {_list(sides)}, not {' or '.join(_any_of(polarity))}"
    return None


def _pair(case: Case, row: Row, other: Row) -> str | None:
    for column in case.same:
        one, two = (set(_any_of(r[column])) for r in (row, other))
        if one != two:
            return f"{column} is {_list(one)} in text, {_list(two)} in other"
    for number, way in case.change.items():
        moved = other[number] - row[number]
        if (moved if way == "not_up" else -moved) > NOISE:
            return f"{number} moves from {row[number]:.2f} to {other[number]:.2f}"
    return None


def _problems(case: Case) -> list[str]:
    found = []
    if not any(getattr(case, key) not in (None, (), {}) for key in _EXPECTED):
        found.append("says nothing of what must be found")
    if (case.other is None) == bool(case.same or case.change):
        found.append("other needs same or change, and these need other")
    if not case.capability or not case.text.strip():
        found.append("needs a text, and an id as capability-01")
    return found


def _any_of(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
