"""Thresholds that score best, and F1: small pure functions over matrices."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
GRID = np.round(np.arange(0.1, 0.91, 0.05), 2)
FEW = 15  # positives below which a label takes the head's common threshold


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
    """Return one threshold per label: its own of best F1, the head's where positives are few."""
    positive = wanted > 0.5
    common = max(GRID, key=lambda t: micro_f1(probabilities >= t, positive))
    chosen = []
    for column in range(wanted.shape[1]):
        one, truth = probabilities[:, column : column + 1], positive[:, column : column + 1]
        if truth.sum() < FEW:
            chosen.append(float(common))
            continue
        curve = np.array([f1(one >= t, truth)[0] for t in GRID])
        smooth = np.convolve(np.pad(curve, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
        chosen.append(float(GRID[int(np.argmax(smooth))]))
    return tuple(chosen)


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
