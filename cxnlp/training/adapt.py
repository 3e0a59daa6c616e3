"""Annotations → a model that goes on from another one, or from a checkpoint.

Comes in: a configuration with `start`, a model folder, or `base`, a checkpoint (`checkpoint.py`).
Goes out: a model folder by the contract. The network keeps its weights; a touchpoint that the
taxonomy has gained gets a place in the heads (`transfer.py`), one that it has lost goes. So that
the rest is not forgotten, comments of a warehouse are read beside the annotations with the labels
that the start gives them (learning without forgetting: Li & Hoiem 2016, arXiv:1606.09282).
Thresholds are those of the start unless `dev` names annotations to choose them on. Left out:
tokenizer and pretraining (`recipe.py`).
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cxnlp import schema
from cxnlp.annotate.sets import annotations_file
from cxnlp.config import bundled
from cxnlp.errors import ConfigError
from cxnlp.model import registry
from cxnlp.model.card import Card, Labels, read_card
from cxnlp.model.engine import Engine
from cxnlp.model.network import Network, Shape
from cxnlp.model.tokens import Tokenizer
from cxnlp.model.weights import load_network
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.training.adaptation import Adaptation
from cxnlp.training.adapted import Begun, export
from cxnlp.training.augment import hasty
from cxnlp.training.checkpoint import begin_from
from cxnlp.training.corpus import Example, read_annotated, text_digest
from cxnlp.training.describe import describe
from cxnlp.training.finetune import COMMENT_HEADS, segment_targets, trust_cues
from cxnlp.training.losses import Targets, rarity_of
from cxnlp.training.material import Material, material
from cxnlp.training.only import hold_others
from cxnlp.training.optimise import optimise
from cxnlp.training.recipe import device, labels_for, stars, start_at_frequency
from cxnlp.training.reference import refer
from cxnlp.training.targets import targets
from cxnlp.training.transfer import carry_over
from cxnlp.warehouse import Warehouse

if TYPE_CHECKING:
    from cxnlp.segment import Segmenter

Floats = npt.NDArray[np.float32]
Tell = Callable[[str], None]


def adapt(plan: Adaptation, data: Path | None, tell: Tell) -> Path:
    """Fit the start to the annotations and return the model folder; done once per material.

    Files of annotations may lie in `data`; those of reviews by reference need it for the texts
    (`docs/training.md`).
    """
    begun = _begin(plan, data, tell)
    work, folder = plan.folder / begun.digest, plan.folder / "model"
    if not (work / "model" / "README.md").is_file():  # what is written last
        _learn(plan, data, begun, work, tell)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work / "model", folder)
    tell(f"{read_card(folder).version} is in {folder}")
    return folder


def _learn(plan: Adaptation, data: Path | None, begun: Begun, work: Path, tell: Tell) -> None:
    from cxnlp.segment import Segmenter

    segmenter = Segmenter(begun.taxonomy)
    network = _network(begun, plan).to(device())
    rows, wanted = _material(begun, plan, segmenter, network.shape.max_tokens)
    _open(network, begun, plan, wanted)
    hold = hold_others(network, begun.labels, plan.only) if plan.only else None
    optimise(network, rows.windows, wanted, begun.labels, plan.schedule(), work, tell)
    if hold:
        hold()
    dev = read_annotated(_file(plan.dev, data), data) if plan.dev else []
    export(network.cpu().eval(), begun, plan, work / "model", segmenter, dev)
    texts = [e.text for e in begun.annotated] + begun.plain
    refer(work / "model", texts, plan.taxonomy, plan.name, before=begun.card.reference)
    test = _file(plan.test, data)
    command = f"cxnlp evaluate {test} --model {plan.folder / 'model'}"
    describe(plan, work / "model", test, command, chosen=False)


def _begin(plan: Adaptation, data: Path | None, tell: Tell) -> Begun:
    taxonomy = load_taxonomy(bundled(plan.taxonomy))
    held = {
        e.text for path in (plan.test, plan.dev) if path
        for e in read_annotated(_file(path, data), data)
    }  # fmt: skip
    former = {old: new for new, old in plan.renamed.items()}
    found: dict[str, Example] = {}
    for path in plan.annotations:
        some = read_annotated(_file(path, data), data)
        kept = [_renamed(e, former) for e in some if e.text not in held]
        found |= {text_digest(e.text): e for e in kept}
        tell(f"{path}: {len(some):,} comments, {len(some) - len(kept):,} held out for tests")
    annotated = list(found.values())
    if not annotated:
        raise ConfigError(f"{', '.join(map(str, plan.annotations))}: no annotations to learn from")
    plain = _texts(plan, held | {e.text for e in annotated})
    tell(f"{len(annotated):,} to learn from, {len(plain):,} of {plan.rehearse} to rehearse")
    if plan.start:
        folder = registry.current(bundled(plan.start))
    else:
        folder = begin_from(plan, labels_for(taxonomy, annotated, plan.min_mentions), tell)
    card = read_card(folder)
    labels = _labels(plan, card, taxonomy, annotated)
    parts = [plan.model_dump(mode="json"), card.sha256, card.decisions, taxonomy.name, plain,
             [asdict(e) for e in annotated]]  # fmt: skip
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return Begun(folder, card, taxonomy, labels, annotated, plain, digest)


def _file(path: Path, data: Path | None) -> Path:
    """Return a set or file of annotations, as named from here or else from the folder `data`."""
    place = bundled(path)
    return annotations_file(data / path if data and not place.exists() else place)


def _renamed(example: Example, former: dict[str, str]) -> Example:
    mentions = tuple(
        replace(m, touchpoint=former.get(m.touchpoint, m.touchpoint)) for m in example.mentions
    )
    return replace(example, mentions=mentions)


def _texts(plan: Adaptation, known: set[str]) -> list[str]:
    """Return distinct analysed texts of the warehouse to rehearse, at most `most`."""
    if plan.rehearse is None:
        return []
    table = Warehouse(plan.rehearse).read(schema.COMMENTS, ("comment_id", "text", "set_aside"))
    table = table.sort_by("comment_id")
    pairs = zip(table["text"].to_pylist(), table["set_aside"].to_pylist(), strict=True)
    texts = list(dict.fromkeys(t for t, aside in pairs if t and aside is None and t not in known))
    if len(texts) > plan.most:
        chosen = np.random.default_rng(plan.seed).choice(len(texts), plan.most, replace=False)
        texts = [texts[i] for i in np.sort(chosen)]
    return texts


def _labels(plan: Adaptation, card: Card, taxonomy: Taxonomy, annotated: list[Example]) -> Labels:
    """Return the labels of the start that the taxonomy still has, and new ones often annotated."""
    every = labels_for(taxonomy, annotated, least=0)
    seen = Counter(m.touchpoint for e in annotated for m in e.mentions)
    old = set(card.labels.touchpoints)
    touchpoints = tuple(
        name for name in every.touchpoints
        if name in old or plan.renamed.get(name) in old or seen[name] >= plan.min_mentions
    )  # fmt: skip
    return replace(every, touchpoints=touchpoints)


def _network(begun: Begun, plan: Adaptation) -> Network:
    """Return the network of the start with an output for every label, old ones as they were."""
    old = load_network(begun.folder)
    if not old.own:
        raise ConfigError(f"start: {begun.folder} has an encoder that only predicts; name another")
    comment, piece = (begun.labels.slices(h) for h in (Labels.COMMENT, Labels.PIECE))
    torch.manual_seed(plan.seed)
    network = Network(Shape(**{
        **asdict(old.shape), "cues": len(begun.labels.cues),
        "comment_outputs": comment["levers"].stop, "piece_outputs": piece["polarity"].stop,
        "shared_outputs": piece["levers"].stop,
    }))  # fmt: skip
    trust_cues(network, begun.labels)
    state = carry_over(
        old.state_dict(), begun.card.labels, network.state_dict(), begun.labels, plan.renamed
    )
    network.load_state_dict(state)
    return network


def _open(network: Network, begun: Begun, plan: Adaptation, wanted: Targets) -> None:
    """Start a new label at the log odds of how frequent it is, so that it is found rarely."""
    if plan.base:  # every label is new
        even = {"stars": np.full((1, len(begun.labels.stars)), 1 / len(begun.labels.stars))}
        rated = not np.isnan(wanted.comment["stars"]).all()
        start_at_frequency(network, begun.labels, wanted.comment | ({} if rated else even))
    comment, piece = (begun.labels.slices(h) for h in (Labels.COMMENT, Labels.PIECE))
    share = np.clip(np.nanmean(wanted.comment["touchpoints"], 0), 1e-3, 0.5)
    with torch.no_grad():
        for number, name in enumerate(begun.labels.touchpoints):
            if name in begun.new:
                odds = float(np.log(share[number] / (1 - share[number])))
                network.comment_heads.bias[comment["touchpoints"].start + number] = odds
                network.piece_heads.bias[piece["touchpoints"].start + number] = odds


def _material(
    begun: Begun, plan: Adaptation, segmenter: "Segmenter", longest: int
) -> tuple[Material, Targets]:
    """Return the rows to read, annotated ones twice (as written, and as typed in haste)."""
    tokenizer = Tokenizer.load(begun.folder / "tokenizer.json", longest)
    cut = min(plan.cut, longest - 2)
    annotated, labels = begun.annotated, begun.labels
    own = [e.text for e in annotated]
    rows = material(own, segmenter, tokenizer, labels, cut)
    known = {**targets(annotated, labels), "stars": stars(annotated)}
    of_segments: list[Any] = [
        segment_targets(e, some, labels)
        for e, some in zip(annotated, rows.windows.spans, strict=True)
    ]
    every = rows + material(own, segmenter, tokenizer, labels, cut, hasty(plan.seed))
    comment = {head: np.concatenate([v, v]) for head, v in known.items()}
    copies = 2 * len(annotated)
    if begun.plain:
        others = material(begun.plain, segmenter, tokenizer, labels, cut)
        soft = _soft(begun, segmenter, others)
        every = every + others
        comment = {head: np.concatenate([v, soft[head]]) for head, v in comment.items()}
    weight = np.r_[np.ones(copies), np.full(len(begun.plain), plan.soft)].astype(np.float32)
    return every, Targets(
        comment, of_segments * 2 + [None] * len(begun.plain), every.cues, annotated=copies,
        weight=weight, rarity={head: rarity_of(known[head]) for head in COMMENT_HEADS},
    )  # fmt: skip


def _soft(begun: Begun, segmenter: "Segmenter", others: Material) -> dict[str, Floats]:
    """Return what the start says of the texts to rehearse; of a new touchpoint, its triggers."""
    from cxnlp.analyse import Analyzer

    engine = Engine.load(begun.folder, device="auto")
    engine.card = replace(engine.card, temperatures={})
    _, scores = Analyzer(engine, begun.taxonomy).scores(begun.plain)
    found = {head: scores.comment[head] for head in (*COMMENT_HEADS, "sentiment", "stars")}
    heard = np.stack([cues.max(0, initial=0) > 0 for cues in others.cues]).astype(np.float32)
    old, columns = begun.card.labels.touchpoints, []
    for name in begun.labels.touchpoints:
        known = name in old
        cue = begun.labels.cues.index(f"touchpoint:{name}")
        columns.append(found["touchpoints"][:, old.index(name)] if known else heard[:, cue])
    found["touchpoints"] = np.stack(columns, 1).astype(np.float32)
    levers = [begun.card.labels.levers.index(lever) for lever in begun.labels.levers]
    found["levers"] = found["levers"][:, levers]
    return found
