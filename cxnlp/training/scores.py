"""Thresholds that score best, and F1: small pure functions over matrices."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
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
    return (float(GRID[int(np.argmax(smooth))]),) * wanted.shape[1]


def best_weights(probabilities: Floats, wanted: Floats) -> tuple[float, ...]:
    """Return divisors of the classes whose argmax scores best: accuracy + macro-F1.

    A divisor below 1 makes a class easier to choose. Searched one class at a time, twice.
    """
    truth = wanted.argmax(1)
    weights = np.ones(wanted.shape[1], np.float32)
    for _ in range(2):
        for column in range(len(weights)):
            weights[column] = max(
                np.geomspace(0.4, 2.5, 19),
                key=lambda w, c=column: _score(probabilities, truth, weights, c, w),  # type: ignore[misc]
            )
    return tuple(float(w) for w in weights)


def _score(
    probabilities: Floats, truth: npt.NDArray[np.int64], weights: Floats, column: int, weight: float
) -> float:
    tried = weights.copy()
    tried[column] = weight
    chosen = (probabilities / tried).argmax(1)
    classes = np.arange(len(weights))
    each = f1(chosen[:, None] == classes, truth[:, None] == classes)
    return float((chosen == truth).mean() + each.mean())
