"""What an adaptation goes on from, and the model folder that it ends in.

Comes in: the fitted network and the start's card. Goes out: a folder by the contract, with the
start's thresholds and temperatures, or new ones where there are annotations to choose them on.
Left out: the fitting (`adapt.py`).
"""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxnlp import clean
from cxnlp.model.card import Card, Labels, write_card
from cxnlp.model.engine import Engine
from cxnlp.model.network import Network
from cxnlp.model.weights import save_network
from cxnlp.taxonomy import Taxonomy
from cxnlp.training.adaptation import Adaptation
from cxnlp.training.corpus import Example
from cxnlp.training.finetune import calibrate
from cxnlp.training.only import places
from cxnlp.training.scores import best_threshold
from cxnlp.training.targets import targets

if TYPE_CHECKING:
    from cxnlp.segment import Segmenter


@dataclass(frozen=True, slots=True)
class Begun:
    """What an adaptation goes on from, and what it has to learn."""

    folder: Path
    card: Card
    taxonomy: Taxonomy
    labels: Labels
    annotated: list[Example]
    plain: list[str]
    digest: str

    @property
    def new(self) -> list[str]:
        """Touchpoints that the start does not know."""
        return [n for n in self.labels.touchpoints if n not in self.card.labels.touchpoints]


def export(
    network: Network, begun: Begun, plan: Adaptation, folder: Path, segmenter: "Segmenter",
    dev: list[Example],
) -> None:  # fmt: skip
    """Write the model folder: thresholds of the start, or chosen on `dev`.

    With `only`, those of its labels alone are chosen.
    """
    save_network(network, folder)
    shutil.copyfile(begun.folder / "tokenizer.json", folder / "tokenizer.json")
    old, labels = begun.card, begun.labels
    thresholds = {head: _carried(old, labels, head, plan) for head in old.thresholds}
    lexicon = {
        head: tuple(n for n in names if n in getattr(labels, head))
        for head, names in old.lexicon.items()
    }
    lexicon["touchpoints"] = (*lexicon.get("touchpoints", ()), *begun.new)
    kept = {k: v for k, v in old.about.items() if k not in ("scores", "behaviour")}
    about = {
        **kept, "trained": f"{datetime.now(UTC):%Y-%m-%d}", "recipe": plan.name,
        **({"start": old.version} if plan.start else {}), "taxonomy": begun.taxonomy.name,
        "annotations": {"files": [str(p) for p in plan.annotations],
                        "comments": len(begun.annotated), "rehearsed": len(begun.plain)},
    }  # fmt: skip
    card = Card(plan.name, labels, thresholds, old.temperatures, clean.VERSION, lexicon=lexicon,
                about=about)  # fmt: skip
    write_card(folder, card)
    if dev and plan.only:
        write_card(folder, replace(card, thresholds=_of_these(folder, begun, plan, dev)))
    elif dev:
        chosen = calibrate(folder, dev, segmenter)
        write_card(folder, replace(card, thresholds=chosen[0], temperatures=chosen[1],
                                   lexicon=chosen[2]))  # fmt: skip


def _of_these(
    folder: Path, begun: Begun, plan: Adaptation, dev: list[Example]
) -> dict[str, tuple[float, ...]]:
    """Return the thresholds with those of the `only` labels chosen anew on `dev`."""
    from cxnlp.analyse import Analyzer

    engine = Engine.load(folder, device="cpu")
    thresholds = {head: list(values) for head, values in engine.card.thresholds.items()}
    _, scores = Analyzer(engine, begun.taxonomy).scores([e.text for e in dev])
    wanted = targets(dev, begun.labels)
    for head, number in places(plan.only, begun.labels):
        one = slice(number, number + 1)
        if wanted[head][:, one].any():
            thresholds[head][number] = best_threshold(
                scores.comment[head][:, one], wanted[head][:, one]
            )[0]
    return {head: tuple(values) for head, values in thresholds.items()}


def _carried(old: Card, labels: Labels, head: str, plan: Adaptation) -> tuple[float, ...]:
    """Return the start's threshold of each label; a new one has the median of its head."""
    part = head.removeprefix("segment_")
    known: dict[str, float] = dict(
        zip(getattr(old.labels, part), old.thresholds[head], strict=True)
    )
    usual = float(np.median(old.thresholds[head]))
    return tuple(
        known.get(name, known.get(plan.renamed.get(name, ""), usual))
        for name in getattr(labels, part)
    )
