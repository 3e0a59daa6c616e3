"""Annotated comments → 0/1 matrices, one per comment head."""

import numpy as np
import numpy.typing as npt

from cxnlp.model.card import Labels
from cxnlp.training.corpus import Example


def targets(examples: list[Example], labels: Labels) -> dict[str, npt.NDArray[np.float32]]:
    """Return [examples, labels] for each comment head that annotations know."""
    sets = {
        "sentiment": [{str(e.sentiment)} for e in examples],
        "emotions": [set(e.emotions) for e in examples],
        "intents": [set(e.intents) for e in examples],
        "touchpoints": [{m.touchpoint for m in e.mentions} for e in examples],
        "levers": [{lever for m in e.mentions for lever in m.levers} for e in examples],
    }
    return {
        head: np.array([[n in some for n in getattr(labels, head)] for some in rows], np.float32)
        for head, rows in sets.items()
    }
