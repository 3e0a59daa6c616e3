"""Annotations beside a model's answers → every figure, for any weighing of the comments.

Comes in: annotated comments and the tables that the pipeline made of them. Goes out: `Judged`
columns, and figures over them. A weight per comment and resample makes the bootstrap a few
matrix products: a resample is how often each comment was drawn. Left out: reading files
(`evaluate.py`) and probabilities (`reliability.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp import schema
from cxnlp.taxonomy import Taxonomy
from cxnlp.training.corpus import Example

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SETS = ("emotions", "touchpoints", "levers", "intents")
RESAMPLES = 1000
_CLEAR = [schema.SENTIMENTS.index(s) for s in ("negatif", "positif")]


@dataclass(frozen=True, slots=True)
class Judged:
    """A row per comment: what annotations want, what the model gave.

    `truth` and `found` number `schema.SENTIMENTS` (−1: set aside). `wanted[head]` and
    `given[head]` are [rows, labels], in the order of `names[head]`. `sides` [rows, 3, 3] counts
    the mentions whose touchpoint is right, by polarity wanted and given. `rated` and `stars` are
    NaN where unknown.
    """

    ids: list[str]
    names: dict[str, list[str]]
    truth: Ints
    found: Ints
    wanted: dict[str, Bools]
    given: dict[str, Bools]
    sides: Ints
    rated: Doubles
    stars: Doubles

    def take(self, rows: Ints) -> "Judged":
        """Return the same of some rows."""
        return Judged(
            [self.ids[r] for r in rows], self.names, self.truth[rows], self.found[rows],
            {head: v[rows] for head, v in self.wanted.items()},
            {head: v[rows] for head, v in self.given.items()},
            self.sides[rows], self.rated[rows], self.stars[rows],
        )  # fmt: skip


def judged(
    examples: list[Example], comments: pa.Table, mentions: pa.Table, taxonomy: Taxonomy
) -> Judged:
    """Return annotations and answers side by side; row i of `comments` answers example i."""
    names = {
        "emotions": list(schema.EMOTIONS), "intents": list(schema.INTENTS),
        "touchpoints": [t.id for t in taxonomy.touchpoints],
        "levers": [lever.id for lever in taxonomy.levers],
    }  # fmt: skip
    said = comments["sentiment"].to_pylist()
    return Judged(
        [e.id for e in examples], names, truth_of(examples),
        np.array([schema.SENTIMENTS.index(s) if s else -1 for s in said], np.int64),
        wanted_of(examples, names),
        {
            head: np.array([
                [n in (row or ()) for n in names[head]] for row in comments[head].to_pylist()
            ])
            for head in SETS
        },
        _sides(examples, mentions), ratings_of(examples),
        comments["satisfaction"].to_numpy(zero_copy_only=False).astype(np.float64),
    )  # fmt: skip


def truth_of(examples: list[Example]) -> Ints:
    """Return the number of each annotated sentiment."""
    return np.array([schema.SENTIMENTS.index(str(e.sentiment)) for e in examples], np.int64)


def ratings_of(examples: list[Example]) -> Doubles:
    """Return the marks, NaN where there is none."""
    return np.array([np.nan if e.rating is None else e.rating for e in examples], np.float64)


def wanted_of(examples: list[Example], names: dict[str, list[str]]) -> dict[str, Bools]:
    """Return [examples, labels] of each head: whether the annotation has the label."""
    choose: dict[str, Callable[[Example], set[str]]] = {
        "emotions": lambda e: set(e.emotions),
        "intents": lambda e: set(e.intents),
        "touchpoints": lambda e: {m.touchpoint for m in e.mentions},
        "levers": lambda e: {lever for m in e.mentions for lever in m.levers},
    }
    return {
        head: np.array([[n in some for n in names[head]] for some in map(choose[head], examples)])
        for head in SETS
    }


def resamples(rows: int, seed: int = 7) -> Doubles:
    """Return weights [1 + RESAMPLES, rows]: once all comments, then how often each is drawn."""
    drawn = np.random.default_rng(seed).multinomial(rows, [1 / rows] * rows, RESAMPLES)
    return np.concatenate([np.ones((1, rows)), drawn]).astype(np.float64)


def figures(some: Judged, weights: Doubles) -> dict[str, Doubles]:
    """Return each figure for each row of `weights`; NaN where nothing in it could change it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        confused = _confusion(some, weights)
        right = confused[:, range(4), range(4)]
        clear = confused[:, _CLEAR].sum((1, 2))
        sides = weights @ some.sides.reshape(len(some.ids), -1)
        found = {
            "sentiment_accuracy": right.sum(1) / confused.sum((1, 2)),
            "sentiment_macro_f1": _f1(right, *_sums(confused)).mean(1),
            "polarity_accuracy": right[:, _CLEAR].sum(1) / clear,
        }
        for head in SETS:
            counts = _counts(some, head, weights)
            found[f"{head}_micro_f1"] = _f1(*(c.sum(1) for c in counts))
            here = counts[1] > 0
            macro = np.where(here, _f1(*counts), 0).sum(1) / np.maximum(here.sum(1), 1)
            found[f"{head}_macro_f1"] = macro
        found["mention_polarity_accuracy"] = sides[:, ::4].sum(1) / sides.sum(1)
        known = ~np.isnan(some.rated) & ~np.isnan(some.stars)
        w, r, s = weights[:, known], some.rated[known], some.stars[known]
        found["stars_exact"] = w @ (np.round(s) == np.round(r)) / w.sum(1)
        found["stars_mae"] = w @ np.abs(s - r) / w.sum(1)
        found["stars_spearman"] = _spearman(r, s, w)
    return found


def label_figures(some: Judged, weights: Doubles) -> dict[str, dict[str, dict[str, Doubles]]]:
    """Return precision, recall, f1, gold and found of each label of each head.

    `polarity` is of the mentions whose touchpoint is right.
    """
    heads: dict[str, tuple[list[str], tuple[Doubles, Doubles, Doubles]]] = {}
    confused = _confusion(some, weights)
    heads["sentiment"] = (
        list(schema.SENTIMENTS),
        (confused[:, range(4), range(4)], *_sums(confused)),
    )
    for head in SETS:
        heads[head] = (some.names[head], _counts(some, head, weights))
    sides = (weights @ some.sides.reshape(len(some.ids), -1)).reshape(-1, 3, 3)
    heads["polarity"] = (
        list(schema.POLARITIES),
        (sides[:, range(3), range(3)], sides.sum(2), sides.sum(1)),
    )
    return {
        head: {
            name: {
                "precision": right[:, i] / np.maximum(found[:, i], 1),
                "recall": right[:, i] / np.maximum(gold[:, i], 1),
                "f1": _f1(right[:, i], gold[:, i], found[:, i]),
                "gold": gold[:, i], "found": found[:, i],
            }
            for i, name in enumerate(names)
        }
        for head, (names, (right, gold, found)) in heads.items()
    }  # fmt: skip


def interval(values: Doubles) -> list[float]:
    """Return the middle 95 % of what the resamples gave; all of them NaN gives an empty list."""
    known = values[~np.isnan(values)]
    return [float(v) for v in np.percentile(known, (2.5, 97.5))] if len(known) else []


def _confusion(some: Judged, weights: Doubles) -> Doubles:
    """[resamples, 4, 5]: sentiments wanted and given; the last column is comments set aside."""
    cells = np.zeros((len(some.ids), 20))
    place = some.truth * 5 + np.where(some.found < 0, 4, some.found)
    cells[np.arange(len(place)), place] = 1
    return np.asarray((weights @ cells).reshape(-1, 4, 5), np.float64)


def _sums(confused: Doubles) -> tuple[Doubles, Doubles]:
    return confused.sum(2), confused[:, :, :4].sum(1)


def _counts(some: Judged, head: str, weights: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """[resamples, labels]: labels that are right, wanted, given."""
    wanted, given = some.wanted[head], some.given[head]
    right, gold, found = (weights @ c.astype(float) for c in (wanted & given, wanted, given))
    return right, gold, found


def _f1(right: Doubles, gold: Doubles, found: Doubles) -> Doubles:
    return np.asarray(2 * right / np.maximum(gold + found, 1), np.float64)


def _spearman(rated: Doubles, stars: Doubles, weights: Doubles) -> Doubles:
    """Correlation of ranks in each resample; NaN where one side does not vary."""
    return np.array([
        _correlation(_ranks(rated, w), _ranks(stars, w), w) for w in weights
    ])  # fmt: skip


def _ranks(values: Doubles, weights: Doubles) -> Doubles:
    """Ranks of values that occur so often, ties at their mean.

    >>> _ranks(np.array([5.0, 1.0, 5.0]), np.array([1, 2, 1])).tolist()
    [2.5, 0.5, 2.5]
    """
    _, inverse = np.unique(values, return_inverse=True)
    counts = np.bincount(inverse, weights)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts + ends - 1) / 2)[inverse], np.float64)


def _correlation(one: Doubles, other: Doubles, weights: Doubles) -> float:
    if not weights.sum():
        return float("nan")
    a, b = (x - np.average(x, weights=weights) for x in (one, other))
    spread = np.sqrt((weights @ a**2) * (weights @ b**2))
    return float((weights @ (a * b)) / spread) if spread > 1e-9 else float("nan")


def _sides(examples: list[Example], mentions: pa.Table) -> Ints:
    """Compare a gold mention with the mention of its touchpoint that lies nearest."""
    found: dict[tuple[int, str], list[tuple[int, str]]] = {}
    for m in mentions.select(["comment_id", "touchpoint", "start", "end", "sentiment"]).to_pylist():
        place = (m["start"] + m["end"]) // 2
        key = (int(m["comment_id"]), m["touchpoint"])
        found.setdefault(key, []).append((place, m["sentiment"]))
    number = {name: i for i, name in enumerate(schema.POLARITIES)}
    sides = np.zeros((len(examples), 3, 3), np.int64)
    for row, example in enumerate(examples):
        for m in example.mentions:
            near = found.get((row, m.touchpoint))
            if near:
                middle = (m.start + m.end) // 2
                gaps = [abs(place - middle) for place, _ in near]
                given = near[gaps.index(min(gaps))][1]
                sides[row, number[m.polarity], number[given]] += 1
    return sides
