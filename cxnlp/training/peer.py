"""The classical peer: TF-IDF of words and characters with logistic regressions.

Comes in: annotated comments, and which triggers of the taxonomy occur in each. Goes out: a
probability for each label of each comment head but the stars; `fit_stars` does those, from rated
reviews. What the network is compared with (`benchmarks/bench_peer.py`), and a teacher for it.
Left out: thresholds, which the caller chooses as for the network (`scores.py`).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_union

from cxnlp.model.card import Labels
from cxnlp.segment import Segmented
from cxnlp.training.corpus import Example
from cxnlp.training.scores import best_threshold, best_weights, f1, micro_f1
from cxnlp.training.targets import targets

Floats = npt.NDArray[np.float32]
HEADS = ("sentiment", "emotions", "intents", "touchpoints", "levers")
HEARD = 0.3  # weight of a trigger hit beside TF-IDF rows of length 1, chosen on train
HALVES = 2  # of the annotations, to choose where triggers help

Model = Callable[[sparse.csr_matrix], Floats]


class Peer:
    """One model per head, each with the triggers as inputs or without, as `triggers` says.

    `triggers` of None lets two-fold cross-validation on the annotations choose for each head.
    `balanced` weighs rare labels up; without it probabilities are those of the annotations.
    """

    def __init__(
        self, labels: Labels, triggers: bool | None = None, seed: int = 7, balanced: bool = True
    ):
        self.labels, self._seed, self._balanced = labels, seed, balanced
        self.triggers = dict.fromkeys(HEADS, triggers)

    def fit(self, examples: Sequence[Example], heard: Floats) -> "Peer":
        """Learn the annotations; `heard` [examples, cues] is 1 where a trigger occurs."""
        wanted = targets(list(examples), self.labels)
        self._features = _features()
        plain = sparse.csr_matrix(self._features.fit_transform([e.text for e in examples]))
        both = _beside(plain, heard)
        half = np.random.default_rng(self._seed).permutation(len(examples)) % HALVES
        for head, chosen in self.triggers.items():
            if chosen is None:
                tried = [self._crossed(head, x, wanted[head], half) for x in (plain, both)]
                self.triggers[head] = tried[1] > tried[0]
        self._models = {
            head: self._fitted(head, both if self.triggers[head] else plain, wanted[head])
            for head in HEADS
        }
        return self

    def predict(self, texts: Sequence[str], heard: Floats) -> dict[str, Floats]:
        """Return probabilities [texts, labels] for each head of `HEADS`."""
        plain = sparse.csr_matrix(self._features.transform(texts))
        both = _beside(plain, heard)
        return {
            head: model(both if self.triggers[head] else plain)
            for head, model in self._models.items()
        }

    def _crossed(
        self, head: str, x: sparse.csr_matrix, wanted: Floats, half: npt.NDArray[np.int64]
    ) -> float:
        """Return how well each half is told by a model of the others: micro-F1 + macro-F1."""
        found = np.zeros_like(wanted)
        for number in range(HALVES):
            held = half == number
            found[held] = self._fitted(head, x[~held], wanted[~held])(x[held])
        if head == "sentiment":
            weighed = found / np.array(best_weights(found, wanted), np.float32)
            given = np.eye(wanted.shape[1], dtype=bool)[weighed.argmax(1)]
        else:
            given = found >= np.array(best_threshold(found, wanted), np.float32)
        return micro_f1(given, wanted > 0.5) + float(f1(given, wanted > 0.5).mean())

    def _fitted(self, head: str, x: sparse.csr_matrix, wanted: Floats) -> Model:
        return _one_of(x, wanted) if head == "sentiment" else _each(x, wanted, self._balanced)


def heard_in(cues: Floats, segmented: Segmented, texts: int) -> Floats:
    """Return [texts, cues]: 1 where a trigger occurs, of `cues` [segments, cues] counted hits."""
    found = np.zeros((texts, cues.shape[1]), np.float32)
    np.maximum.at(found, segmented.segments.text, (cues > 0).astype(np.float32))
    return found


def fit_stars(texts: Sequence[str], ratings: Sequence[float]) -> Callable[[Sequence[str]], Floats]:
    """Return texts → [texts, 5] probabilities of 1 to 5 stars; half stars are rounded up."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, max_features=150_000)
    stars = np.clip(np.floor(np.asarray(ratings) + 0.5), 1, 5).astype(int)
    model = LogisticRegression(C=3.0, max_iter=300, tol=1e-3).fit(words.fit_transform(texts), stars)

    def predict(some: Sequence[str]) -> Floats:
        found = np.zeros((len(some), 5), np.float32)
        found[:, model.classes_ - 1] = model.predict_proba(words.transform(some))
        return found

    return predict


def median_stars(probabilities: Floats) -> npt.NDArray[np.float64]:
    """Return the median of each distribution of stars, which errs less than its mean.

    >>> median_stars(np.array([[0.4, 0.2, 0, 0, 0.4], [0, 0, 0, 0.3, 0.7]], np.float32)).tolist()
    [2.0, 5.0]
    """
    below = (probabilities.cumsum(1)[:, :4] < 0.5).sum(1)
    return np.asarray(1 + below, np.float64)


def _features() -> FeatureUnion:
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True,
            max_features=150_000,
        ),
    )  # fmt: skip


def _beside(plain: sparse.csr_matrix, heard: Floats) -> sparse.csr_matrix:
    return sparse.hstack([plain, sparse.csr_matrix(heard) * HEARD], format="csr")


def _one_of(x: sparse.csr_matrix, wanted: Floats) -> Model:
    """One choice of several. A class that is not among the annotations has probability 0."""
    present = np.flatnonzero(wanted.any(0))
    if len(present) == 1:
        return lambda some: np.repeat(wanted[:1], some.shape[0], axis=0)
    model = LogisticRegression(C=10.0, max_iter=300).fit(x, wanted.argmax(1))

    def predict(some: sparse.csr_matrix) -> Floats:
        found = np.zeros((some.shape[0], wanted.shape[1]), np.float32)
        found[:, present] = model.predict_proba(some)
        return found

    return predict


def _each(x: sparse.csr_matrix, wanted: Floats, balanced: bool) -> Model:
    """One yes or no per label; one that never varies keeps its value."""
    models = {
        column: LogisticRegression(
            C=3.0, solver="liblinear", dual=True, max_iter=1000,
            class_weight="balanced" if balanced else None,
            random_state=0,
        ).fit(x, wanted[:, column] > 0.5)
        for column in range(wanted.shape[1])
        if 0 < wanted[:, column].sum() < len(wanted)
    }  # fmt: skip

    def predict(some: sparse.csr_matrix) -> Floats:
        found = np.repeat(wanted[:1], some.shape[0], axis=0)
        for column, model in models.items():
            found[:, column] = model.predict_proba(some)[:, 1]
        return found

    return predict
