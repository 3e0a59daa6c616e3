"""The taxonomy: touchpoints, levers, emotions and intents, and the words that point to them.

Comes in: a YAML file in the layout of `configs/taxonomy.yaml`. Goes out: a frozen `Taxonomy`,
or every problem of the file with its line. Left out: matching words in texts (`segment.py`).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked

from cxnlp.errors import TaxonomyError
from cxnlp.schema import EMOTIONS, FRAMES, INTENTS, TOUCHPOINTS
from cxnlp.words import plain


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a taxonomy file, and on which line (from 1).

    One that does not block is a word that can never count: worth mending, harmless.
    """

    line: int
    message: str
    blocks: bool = True


_AS_IN_FILE: Final = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)
_Words: TypeAlias = tuple[str, ...]
_Slug: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
_Name: TypeAlias = Annotated[str, Field(min_length=1, alias="libelle")]


@checked(frozen=True, slots=True, config=_AS_IN_FILE)
class Stage:
    """A stage of the customer's journey."""

    id: _Slug
    label: _Name
    order: Annotated[int, Field(alias="ordre")]
    definition: str = ""
    synonyms: Annotated[_Words, Field(alias="equivalents")] = ()


@checked(frozen=True, slots=True, config=_AS_IN_FILE)
class Touchpoint:
    """Where in the journey; `fallback`: only when a clause has no other touchpoint.

    `control`, `p`, `experience` and `level` are the frames of `schema.FRAMES`, or are not said.
    """

    id: _Slug
    label: _Name
    stage: Annotated[str, Field(alias="etape")]
    definition: str
    triggers: Annotated[_Words, Field(alias="declencheurs")]
    excludes: Annotated[_Words, Field(alias="exclure")] = ()
    fallback: Annotated[bool, Field(alias="secours")] = False
    other_stages: Annotated[_Words, Field(alias="etapes_possibles")] = ()
    sectors: Annotated[_Words, Field(alias="secteurs")] = ()
    source: str = ""
    control: Annotated[str | None, Field(alias="controle")] = None
    p: str | None = None
    experience: str | None = None
    level: Annotated[str | None, Field(alias="niveau")] = None


@checked(frozen=True, slots=True, config=_AS_IN_FILE)
class Label:
    """A lever, an emotion or an intent, and the words that point to it."""

    id: _Slug
    label: _Name
    cues: Annotated[_Words, Field(alias="indices")]
    definition: str = ""
    parts: Annotated[_Words, Field(alias="sous_leviers")] = ()
    valence: int = 0


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """All that can be said of a comment; stages in the order of the journey."""

    version: str
    digest: str
    stages: tuple[Stage, ...]
    touchpoints: tuple[Touchpoint, ...]
    levers: tuple[Label, ...]
    emotions: tuple[Label, ...]
    intents: tuple[Label, ...]
    promise_cues: tuple[str, ...]
    typical_levers: Mapping[str, tuple[str, ...]] = field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.version}-{self.digest}"

    def table(self) -> pa.Table:
        """Return the touchpoints with stage and frames, by `schema.TOUCHPOINTS`."""
        stages = {stage.id: stage for stage in self.stages}
        rows = [
            {
                "touchpoint": t.id, "label": t.label, "stage": t.stage,
                "stage_label": stages[t.stage].label, "stage_order": stages[t.stage].order,
                **{frame: getattr(t, frame) for frame in FRAMES},
            }
            for t in sorted(self.touchpoints, key=lambda t: t.id)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=TOUCHPOINTS.arrow)

    def stage_of(self, touchpoint_id: str) -> str:
        """Return the id of the stage that a touchpoint belongs to."""
        return {t.id: t.stage for t in self.touchpoints}[touchpoint_id]


def load_taxonomy(path: str | Path) -> Taxonomy:
    """Return the taxonomy of a YAML file.

    Raises `TaxonomyError` with every problem that blocks, one a line, as file:line: problem.
    """
    data, problems = _read(Path(path))
    blocking = [f"{path}:{p.line}: {p.message}" for p in problems if p.blocks]
    if data is None or blocking:
        raise TaxonomyError("\n".join(blocking))
    text = json.dumps(data.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return Taxonomy(
        version=str(data.version),
        digest=hashlib.sha256(text.encode()).hexdigest()[:8],
        stages=tuple(sorted(data.etapes, key=lambda stage: stage.order)),
        touchpoints=data.points_de_contact,
        levers=data.leviers,
        emotions=data.emotions,
        intents=data.intentions,
        promise_cues=data.promesse_vecu.indices_reference,
        typical_levers=data.leviers_typiques,
    )


def check_taxonomy(path: str | Path) -> list[Problem]:
    """Return every problem of a taxonomy file in line order; an empty list if it is valid."""
    return _read(Path(path))[1]


_Loc: TypeAlias = tuple[int | str, ...]  # keys and ranks from the top of the file


class _Promise(BaseModel, extra="forbid", frozen=True):
    indices_reference: tuple[str, ...]
    ecart: Any = None


class _File(BaseModel, extra="forbid", frozen=True):
    version: int | str
    etapes: tuple[Stage, ...]
    points_de_contact: tuple[Touchpoint, ...]
    leviers: tuple[Label, ...]
    emotions: tuple[Label, ...]
    intentions: tuple[Label, ...]
    promesse_vecu: _Promise
    leviers_typiques: dict[str, tuple[str, ...]] = {}
    secteurs: tuple[str, ...] = ()


_IN_FILE: Final = {"control": "controle", "level": "niveau"}  # frames named otherwise there
# Sections that people read and that decide nothing.
_NOTES: Final = (
    "langue", "sentiment", "demande", "reponse_marque_grille", "indicateurs", "ambiguites",
)  # fmt: skip


def _read(path: Path) -> tuple[_File | None, list[Problem]]:
    """Return the data of a file, and its problems in line order."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise TaxonomyError(f"{path}: expected a taxonomy in UTF-8 text: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        return None, [Problem(mark.line + 1 if mark else 1, f"not valid YAML: {problem or error}")]
    if not isinstance(data, dict):
        return None, [Problem(1, "expected keys such as points_de_contact at top level")]
    problems, file = list(_keys_twice(root)), None
    try:
        file = _File.model_validate({k: v for k, v in data.items() if k not in _NOTES})
    except ValidationError as error:
        problems += [Problem(_line(root, e["loc"]), _sentence(data, e)) for e in error.errors()]
    else:
        problems += [Problem(_line(root, loc), said) for loc, said in _names(file, root)]
        problems += [Problem(_line(root, loc), said, False) for loc, said in _words(file, root)]
    return file, sorted(problems, key=lambda p: p.line)


def _line(node: Any, loc: _Loc) -> int:
    """Return the line of the key or list item that `loc` leads to, or of the last one there is."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == part), None)
        else:
            inside = isinstance(node, yaml.SequenceNode) and isinstance(part, int)
            found = (node.value[part],) * 2 if inside else None
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _keys_twice(root: Any) -> Iterator[Problem]:
    """Yield what YAML itself would let pass: the later value would win without a word."""
    waiting, visited = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in visited or not isinstance(node.value, list):
            continue
        visited.add(id(node))
        lines: dict[str, int] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if key.value in lines:
                message = f"key {key.value!r} already stands on line {lines[key.value]}; keep one"
                yield Problem(line, message)
            lines[key.value] = line
            waiting.append(value)
        waiting += node.value if isinstance(node, yaml.SequenceNode) else ()


_SAID: Final = {
    "extra_forbidden": "unknown key; remove it, or check its spelling",
    "unexpected_keyword_argument": "unknown key; remove it, or check its spelling",
    "missing": "this key is missing",
    "string_type": "expected text, got {got!r}; put it in quotes",
    "string_pattern_mismatch": "{got!r} must be lower-case letters, digits and _, without accents",
}


def _sentence(data: dict[str, Any], error: Any) -> str:
    loc, section = error["loc"], data.get(error["loc"][0])
    where = ".".join(str(part) for part in loc)
    if isinstance(section, list) and isinstance(loc[1], int):  # an id says more than a rank
        item = section[loc[1]]
        name = item.get("id", loc[1] + 1) if isinstance(item, dict) else loc[1] + 1
        where = f"{loc[0]}, {name}" + "".join(f", {part}" for part in loc[2:3])
    said = _SAID.get(error["type"], "{msg}")
    return f"{where}: " + said.format(got=error["input"], msg=error["msg"])


def _names(file: _File, root: Any) -> Iterator[tuple[_Loc, str]]:
    """Yield ids that are not unique, and names of things that do not exist."""
    ids: dict[str, dict[str, _Loc]] = {}
    for section in ("etapes", "points_de_contact", "leviers", "emotions", "intentions"):
        seen = ids[section] = {}
        for i, item in enumerate(getattr(file, section)):
            if item.id in seen:
                first = _line(root, seen[item.id])
                yield (
                    (section, i, "id"),
                    f"{section}: id {item.id!r} already stands on line {first}",
                )
            seen[item.id] = (section, i, "id")
    for section, known in (("emotions", (*EMOTIONS, "neutre")), ("intentions", INTENTS)):
        for name in sorted(ids[section].keys() ^ set(known)):
            wrong = "has no column in the tables" if name in ids[section] else "is missing"
            yield ids[section].get(name, (section,)), f"{section}: {name!r} {wrong}; known: {known}"
    stages, touchpoints, levers = ids["etapes"], ids["points_de_contact"], ids["leviers"]
    for i, t in enumerate(file.points_de_contact):
        wanted = [("etape", t.stage, [*stages])]
        wanted += [("etapes_possibles", stage, [*stages]) for stage in t.other_stages]
        wanted += [("secteurs", sector, [*file.secteurs]) for sector in t.sectors]
        wanted += [
            (_IN_FILE.get(frame, frame), getattr(t, frame), [*values])
            for frame, values in FRAMES.items()
            if getattr(t, frame) is not None
        ]
        for key, name, names in wanted:
            if name not in names:
                where = ("points_de_contact", i, key)
                yield where, f"{t.id}: unknown {key} {name!r}; known: {', '.join(names)}"
    for touchpoint, typical in file.leviers_typiques.items():
        for name in sorted({touchpoint} - touchpoints.keys() | set(typical) - levers.keys()):
            yield ("leviers_typiques", touchpoint), f"leviers_typiques: unknown name {name!r}"


def _words(file: _File, root: Any) -> Iterator[tuple[_Loc, str]]:
    """Yield triggers and cues that can never count."""
    owners: dict[str, _Loc] = {}
    for i, t in enumerate(file.points_de_contact):
        loc = ("points_de_contact", i)
        if not t.triggers:
            yield (*loc, "declencheurs"), f"{t.id}: no trigger; no word could point to it"
        yield from _idle((*loc, "declencheurs"), t.triggers, root, owners)
        yield from _idle((*loc, "exclure"), t.excludes, root, {})
        stems = [_stems(trigger) for trigger in t.triggers]
        for j, exclusion in enumerate(t.excludes):
            if not any(stem <= _stems(exclusion) for stem in stems):
                message = f"{t.id}: {exclusion!r} holds no trigger of {t.id}, so it cancels nothing"
                yield (*loc, "exclure", j), message
    for section in ("leviers", "emotions", "intentions"):
        for i, label in enumerate(getattr(file, section)):
            yield from _idle((section, i, "indices"), label.cues, root, {})
    cues = file.promesse_vecu.indices_reference
    yield from _idle(("promesse_vecu", "indices_reference"), cues, root, {})


def _idle(loc: _Loc, words: _Words, root: Any, seen: dict[str, _Loc]) -> Iterator[tuple[_Loc, str]]:
    for i, word in enumerate(words):
        key, here = plain(word), (*loc, i)
        if not any(c.isalnum() for c in key):
            yield here, f"{word!r} holds no letter, so it matches nothing; remove it"
        elif (first := seen.setdefault(key, here)) is not here:
            line = _line(root, first)
            yield here, f"{word!r} already stands on line {line}, and only that one would count"


def _stems(text: str) -> set[str]:
    """Return how its words begin: a loose test of whether one expression holds another."""
    return {word[:3] for word in re.findall(r"\w+", plain(text))}
