"""A classical teacher: TF-IDF and logistic regression, fitted on the annotations.

Its probabilities over all reviews are soft labels from which the network learns set phrases
that a few thousand annotations alone would not teach it (distillation: Hinton et al. 2015,
arXiv:1503.02531). Also the peer that the network is compared with.
"""

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_union

from cxnlp.model.card import Labels
from cxnlp.training.corpus import Example
from cxnlp.training.targets import targets

Floats = npt.NDArray[np.float32]


class Teacher:
    """Fit on annotated comments, then give a probability for each label of each head."""

    def __init__(self, labels: Labels):
        self.labels = labels
        self.features = make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(
                analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True,
                max_features=150_000,
            ),
        )  # fmt: skip

    def fit(self, examples: list[Example]) -> "Teacher":
        x = self.features.fit_transform([e.text for e in examples])
        order = {s: i for i, s in enumerate(self.labels.sentiment)}
        self.sentiment = LogisticRegression(C=3.0, max_iter=300).fit(
            x, [order[str(e.sentiment)] for e in examples]
        )
        self.rest = {}
        for head, y in targets(examples, self.labels).items():
            if head != "sentiment":
                one = LogisticRegression(C=10.0, solver="liblinear")
                self.rest[head] = OneVsRestClassifier(one).fit(x, y.astype(int))
        return self

    def predict(self, texts: list[str]) -> dict[str, Floats]:
        """Return probabilities [texts, labels] for sentiment, emotions, intents, …"""
        x = self.features.transform(texts)
        found = {"sentiment": self.sentiment.predict_proba(x).astype(np.float32)}
        for head, model in self.rest.items():
            found[head] = model.predict_proba(x).astype(np.float32)
        return found
