"""Thresholds that score best, and F1: small pure functions over matrices."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
RARE = 0.5  # of the even share: a class below it is rare
BOOSTS = np.round(np.arange(1, 2.55, 0.1), 1)
GRID = np.round(np.arange(0.06, 0.95, 0.02), 2)


def f1(found: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return F1 per column; 0 where there is nothing right.

    >>> f1(np.array([[True], [True]]), np.array([[True], [False]])).round(2).tolist()
    [0.67]
    """
    right = (found & wanted).sum(0)
    return np.asarray(2 * right / np.maximum(found.sum(0) + wanted.sum(0), 1), np.float64)


def micro_f1(found: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> float:
    """Return F1 over all cells together."""
    return 2 * float((found & wanted).sum()) / max(float(found.sum() + wanted.sum()), 1.0)


def best_threshold(probabilities: Floats, wanted: Floats) -> tuple[float, ...]:
    """Return one threshold for all labels of a head, that of best micro-F1, once per label.

    One per label fits the annotations it is chosen on better and new ones worse: chosen on one
    half of dev and scored on the other, touchpoints had .728 against .738, levers .787 against
    .795, emotions and intents the same (docs/training.md).
    """
    positive = wanted > 0.5
    curve = np.array([micro_f1(probabilities >= t, positive) for t in GRID])
    smooth = np.convolve(np.pad(curve, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    best = float(GRID[int(np.argmax(smooth))])
    return tuple(best for _ in range(wanted.shape[1]))


def best_weights(probabilities: Floats, wanted: Floats) -> tuple[float, ...]:
    """Return divisors of the classes whose argmax scores best; below 1, a class is chosen sooner.

    All rare classes share one divisor and the others have 1: the score is accuracy + macro-F1 +
    accuracy on the others. With a divisor for each, sentiment chosen on one half of dev scored
    .873 / .716 / .921 on the other, with one for all .886 / .719 / .944 (docs/training.md).
    """
    truth = wanted.argmax(1)
    rare = wanted.mean(0) < RARE / wanted.shape[1]
    tried = [np.where(rare, 1 / boost, 1.0).astype(np.float32) for boost in BOOSTS]
    best = max(tried, key=lambda weights: _score(probabilities / weights, truth, rare))
    return tuple(float(w) for w in best)


def _score(weighed: Floats, truth: npt.NDArray[np.int64], rare: npt.NDArray[np.bool_]) -> float:
    chosen, classes = weighed.argmax(1), np.arange(len(rare))
    each = f1(chosen[:, None] == classes, truth[:, None] == classes)
    right, common = chosen == truth, ~rare[truth]
    clear = right[common].mean() if common.any() else 0.0
    return float(right.mean() + each.mean() + clear)
