"""Two people on the same comments → how far they agree, label by label.

Comes in: annotations with the name of their annotator. Goes out: `Agreement` rows: the share of
comments on which they agree, and Cohen's kappa (scikit-learn), which takes off what chance gives
(Cohen 1960). With more than two people, the mean over pairs, weighed by their common comments.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cxnlp.annotate.rows import Annotated
from cxnlp.errors import UsageError

Pair = tuple[Annotated, Annotated]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one label: `comments` judged twice, `share` alike; `kappa` None where both never vary."""

    head: str
    label: str
    comments: int
    share: float
    kappa: float | None


def agreement(some: list[Annotated]) -> list[Agreement]:
    """Return one row per label that anyone gave to a comment that two annotated; [] if none."""
    pairs = _pairs(some)
    if not pairs:
        return []
    both = [one for couple in pairs.values() for pair in couple for one in pair]
    found = [_measured("sentiment", "(which)", pairs, lambda a: str(a.sentiment))]
    for head, labels_of in _SETS.items():
        for label in sorted({label for one in both for label in labels_of(one)}):
            found.append(
                _measured(head, label, pairs, lambda a, f=labels_of, n=label: n in f(a))  # type: ignore[misc]
            )
    return found


_SETS: dict[str, Callable[[Annotated], set[str]]] = {
    "emotions": lambda a: set(a.emotions),
    "intents": lambda a: set(a.intents),
    "touchpoints": lambda a: {str(p.touchpoint) for p in a.places},
    "levers": lambda a: {lever for p in a.places for lever in p.levers},
}


def _pairs(some: list[Annotated]) -> dict[tuple[str, str], list[Pair]]:
    """Return, for each two people, their annotations of the same comments."""
    by_comment: dict[str, dict[str, Annotated]] = defaultdict(dict)
    for one in some:
        by_comment[one.id][one.annotator] = one
    pairs: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for _, told in sorted(by_comment.items()):
        for a, b in combinations(sorted(told), 2):
            pairs[a, b].append((told[a], told[b]))
    return dict(pairs)


def _measured(
    head: str, label: str, pairs: dict[tuple[str, str], list[Pair]],
    said: Callable[[Annotated], str | bool],
) -> Agreement:  # fmt: skip
    alike, total, kappas = 0, 0, []
    for couple in pairs.values():
        one, other = (np.array([said(pair[k]) for pair in couple]) for k in (0, 1))
        alike += int((one == other).sum())
        total += len(couple)
        kappa = _kappa(one, other)
        if kappa is not None:
            kappas.append((kappa, len(couple)))
    weight = sum(n for _, n in kappas)
    mean = sum(k * n for k, n in kappas) / weight if weight else None
    return Agreement(head, label, total, alike / total, mean)


def _kappa(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float | None:
    if len(np.unique(np.concatenate([one, other]))) < 2:
        return None  # both said the same of every comment: chance explains it all
    try:
        from sklearn.metrics import cohen_kappa_score
    except ImportError as error:
        raise UsageError(
            "agreement of two annotators needs scikit-learn: pip install 'cxnlp[train]'"
        ) from error
    return float(cohen_kappa_score(one, other))
