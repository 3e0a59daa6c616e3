"""Annotations → the fitted network, its thresholds, and the model folder.

Comes in: a pretrained checkpoint of the recipe's folder and the annotated comments. Goes out: a
model folder. Clauses and trigger hits are those of `cxnlp.segment`, so that training sees what
the pipeline will show the network.
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from cxnlp import clean
from cxnlp.clean import clean_text
from cxnlp.errors import ConfigError
from cxnlp.model.card import Card, Labels, read_card, write_card
from cxnlp.model.engine import Engine
from cxnlp.model.network import Network
from cxnlp.model.weights import load_network, save_network
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.corpus import Example, read_annotated, read_reviews
from cxnlp.training.losses import Targets, rarity_of
from cxnlp.training.material import Material, cue_columns, spans_of
from cxnlp.training.optimise import optimise, resume
from cxnlp.training.recipe import (
    Recipe,
    annotations,
    device,
    labels_of,
    new_network,
    stars,
)
from cxnlp.training.scores import best_threshold, best_weights, f1
from cxnlp.training.targets import targets
from cxnlp.training.transfer import carry_over

if TYPE_CHECKING:
    from cxnlp.segment import Segmenter

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
GAIN = 0.01  # F1 that makes it worth letting triggers decide
LEAST = 0.25  # F1 under which a label that triggers decide is better left out
TRUST = 2.0  # logits that a trigger hit adds before training
COMMENT_HEADS = ("emotions", "intents", "touchpoints", "levers")


def finetune(recipe: Recipe, data: Path, tell: Callable[[str], None]) -> None:
    """Fit all heads on the annotations, among reviews with the teacher's labels."""
    annotated, reviews = annotations(recipe, data), read_reviews(data)
    labels = labels_of(recipe, data)
    network = new_network(recipe, labels).to(device())
    if not (recipe.folder / "finetune" / "checkpoint.safetensors").is_file():
        if recipe.start:
            continue_from(network, labels, recipe.start)
        else:
            begin(network, labels, recipe.folder / "pretrain")
            trust_cues(network, labels)
    plain, hasty, others = (
        Material.load(recipe.folder / f"{name}.safetensors")
        for name in ("annotated", "hasty", "reviews")
    )
    if len(plain) != len(annotated):
        raise ConfigError(
            f"{recipe.folder}: was prepared for {len(plain):,} annotations, there are "
            f"{len(annotated):,}: remove annotated.safetensors, hasty.safetensors and "
            f"teacher.safetensors there and prepare again"
        )
    known = {**targets(annotated, labels), "stars": stars(annotated)}
    soft = load_file(recipe.folder / "teacher.safetensors")
    held = {clean_text(e.text) for e in read_annotated(data / "annotated_dev.jsonl")}
    soft["stars"] = stars(reviews)
    soft["stars"][[i for i, e in enumerate(reviews) if e.text in held]] = np.nan
    of_segments: list[tuple[Floats, Ints] | None] = [
        segment_targets(e, some, labels)
        for e, some in zip(annotated, plain.windows.spans, strict=True)
    ]
    rows, copies = plain + hasty + others, 2 * len(annotated)
    wanted = Targets(
        {h: np.concatenate([v, v, soft[h].astype(np.float32)]) for h, v in known.items()},
        of_segments * 2 + [None] * len(reviews), rows.cues, annotated=copies,
        weight=np.r_[np.ones(copies), np.full(len(reviews), recipe.soft)].astype(np.float32),
        rarity={h: rarity_of(known[h]) for h in COMMENT_HEADS},
    )  # fmt: skip
    optimise(
        network, rows.windows, wanted, labels, recipe.schedule("finetune"),
        recipe.folder / "finetune", tell,
    )  # fmt: skip


def begin(network: Network, labels: Labels, folder: Path) -> None:
    """Start from a pretrained checkpoint, also if it knows other labels."""
    text = (folder / "labels.json").read_text(encoding="utf-8")
    state = load_torch(folder / "checkpoint.safetensors")
    old = Labels(**{k: tuple(v) for k, v in json.loads(text).items()})
    del state["_done"]
    network.load_state_dict(carry_over(state, old, network.state_dict(), labels))


def continue_from(network: Network, labels: Labels, folder: Path) -> None:
    """Start from an earlier model, also if it knows other labels.

    Raises `ConfigError` where its encoder has other sizes.
    """
    state, old = load_network(folder).state_dict(), read_card(folder).labels
    try:
        network.load_state_dict(carry_over(state, old, network.state_dict(), labels))
    except RuntimeError as error:
        raise ConfigError(f"{folder}: not of the sizes that the recipe's network has") from error


def trust_cues(network: Network, labels: Labels) -> None:
    """Start from the belief that a trigger speaks for its own label; training corrects it."""
    where = {**labels.slices(Labels.PIECE), **labels.slices(Labels.COMMENT)}
    of_pieces = labels.slices(Labels.PIECE)
    heads = (("emotion", "emotions"), ("intent", "intents"))
    with torch.no_grad():
        for column, cue in enumerate(labels.cues):
            kind, name = cue.split(":")
            place = column - len(labels.cues)
            for own, head in heads:
                if kind == own:
                    row = where[head].start + getattr(labels, head).index(name)
                    network.comment_heads.weight[row, place] += TRUST
            if kind in ("touchpoint", "lever"):
                head, names = f"{kind}s", getattr(labels, f"{kind}s")
                if name in names:
                    row = of_pieces[head].start + names.index(name)
                    network.piece_heads.weight[row, place] += TRUST


def export(recipe: Recipe, data: Path, tell: Callable[[str], None]) -> Path:
    """Write the model folder with thresholds and temperatures chosen on the dev annotations."""
    from cxnlp.segment import Segmenter

    labels, segmenter = labels_of(recipe, data), Segmenter(load_taxonomy(recipe.taxonomy))
    network = new_network(recipe, labels)
    if not resume(network, recipe.folder / "finetune"):
        raise ConfigError(f"{recipe.folder / 'finetune'}: no checkpoint in it; fine-tune first")
    folder = recipe.folder / "model"
    save_network(network.eval(), folder)
    shutil.copyfile(recipe.folder / "tokenizer.json", folder / "tokenizer.json")
    plain = undecided(labels)
    about: dict[str, Any] = {"trained": f"{datetime.now(UTC):%Y-%m-%d}", "recipe": recipe.name}
    write_card(folder, Card(recipe.name, labels, plain, {}, clean.VERSION, about=about))
    dev = read_annotated(data / "annotated_dev.jsonl")
    thresholds, temperatures, lexicon = calibrate(folder, dev, segmenter)
    card = Card(
        recipe.name, labels, thresholds, temperatures, clean.VERSION, lexicon=lexicon, about=about
    )
    tell(f"{write_card(folder, card).version} in {folder}")
    return folder


def undecided(labels: Labels) -> dict[str, tuple[float, ...]]:
    """Return thresholds that nothing has been chosen for yet."""
    half = {h: (0.5,) * len(getattr(labels, h)) for h in COMMENT_HEADS}
    half |= {"segment_touchpoints": half["touchpoints"], "segment_levers": half["levers"]}
    return half | {"sentiment": (1.0,) * 4, "polarity": (1.0,) * 3}


def calibrate(
    folder: Path, dev: list[Example], segmenter: "Segmenter"
) -> tuple[dict[str, tuple[float, ...]], dict[str, float], dict[str, tuple[str, ...]]]:
    """Return thresholds per label (best F1 on `dev`), temperatures per head (least log loss), and
    the labels of each head that score better when a trigger decides beside the network.

    Temperature scaling: Guo et al. 2017, arXiv:1706.04599.
    """
    engine = Engine.load(folder, device="cpu")
    labels = engine.card.labels
    segmented = segmenter.split([e.text for e in dev])
    spans = spans_of(segmented.segments, len(dev))
    pieces = [e.text[a:b] for e, some in zip(dev, spans, strict=True) for a, b in some]
    heard = cue_columns(segmented, segmenter.labels, labels)
    scores = engine.predict(pieces, segmented.segments.text, len(dev), heard)
    wanted = targets(dev, labels)
    temperatures, thresholds = {}, {}
    for head in ("sentiment", *COMMENT_HEADS):
        temperatures[head], scores.comment[head] = _tempered(
            scores.comment[head], wanted[head], one_of=head == "sentiment"
        )
    thresholds["sentiment"] = best_weights(scores.comment["sentiment"], wanted["sentiment"])
    for head in COMMENT_HEADS:
        thresholds[head] = best_threshold(scores.comment[head], wanted[head])
    of_segments = [segment_targets(e, some, labels) for e, some in zip(dev, spans, strict=True)]
    present = np.concatenate([some for some, _ in of_segments])
    where = labels.slices(Labels.PIECE)
    for head in ("touchpoints", "levers"):
        temperatures[f"segment_{head}"] = 1.0
        thresholds[f"segment_{head}"] = best_threshold(
            scores.segment[head], present[:, where[head]]
        )
    side = np.concatenate([classes for _, classes in of_segments])
    known = side >= 0
    thresholds["polarity"] = best_weights(
        scores.segment["polarity"][known], np.eye(3, dtype=np.float32)[side[known]]
    )
    cues, owner = _any(heard, segmented.segments.text, len(dev)), labels.cues
    lexicon = {
        head: trigger_led(
            scores.comment[head] >= np.array(thresholds[head]),
            np.stack([cues[:, owner.index(f"{kind}:{n}")] for n in getattr(labels, head)], 1),
            wanted[head] > 0.5, getattr(labels, head),
        )
        for head, kind in (("touchpoints", "touchpoint"), ("intents", "intent"))
    }  # fmt: skip
    return thresholds, temperatures, lexicon


def trigger_led(
    found: Bools, heard: Bools, wanted: Bools, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the labels whose F1 gains `GAIN` or more, and reaches `LEAST`, when what is heard
    counts as found.

    >>> one, other = np.array([[False], [False]]), np.array([[True], [False]])
    >>> trigger_led(one, other, other, ("attente_caisse",))
    ('attente_caisse',)
    """
    with_triggers = f1(found | heard, wanted)
    trusted = (with_triggers - f1(found, wanted) >= GAIN) & (with_triggers >= LEAST)
    return tuple(name for name, yes in zip(names, trusted.tolist(), strict=True) if yes)


def _any(hits: Floats, owner: npt.NDArray[np.int32], texts: int) -> Bools:
    found = np.zeros((texts, hits.shape[1]), bool)
    np.logical_or.at(found, owner, hits > 0)
    return found


def segment_targets(
    example: Example, spans: list[tuple[int, int]], labels: Labels
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return what is present in each segment [segments, touchpoints + levers], and its polarity.

    A mention belongs to the segment that shares most characters with it. A segment whose
    mentions disagree, or that has none, has polarity −1.
    """
    where = labels.slices(Labels.PIECE)
    present = np.zeros((len(spans), where["levers"].stop), np.float32)
    sides: list[set[str]] = [set() for _ in spans]
    for m in example.mentions:
        shared = [min(m.end, b) - max(m.start, a) for a, b in spans]
        if not shared or max(shared) <= 0:
            continue
        at = int(np.argmax(shared))
        sides[at].add(m.polarity)
        if m.touchpoint in labels.touchpoints:
            present[at, labels.touchpoints.index(m.touchpoint)] = 1
        for lever in m.levers:
            present[at, where["levers"].start + labels.levers.index(lever)] = 1
    classes = [labels.polarity.index(next(iter(s))) if len(s) == 1 else -1 for s in sides]
    return present, np.array(classes, np.int64)


def _tempered(probabilities: Floats, wanted: Floats, one_of: bool) -> tuple[float, Floats]:
    """Return the temperature of least log loss and the probabilities it gives."""
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    logits = np.log(clipped) if one_of else np.log(clipped / (1 - clipped))
    best = (np.inf, 1.0, probabilities)
    for temperature in np.geomspace(0.4, 4.0, 40):
        scaled = logits / temperature
        if one_of:
            p = np.exp(scaled - scaled.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            loss = -float((wanted * np.log(np.clip(p, 1e-9, 1))).sum(1).mean())
        else:
            p = 1 / (1 + np.exp(-scaled))
            q = np.clip(p, 1e-9, 1 - 1e-9)
            loss = -float((wanted * np.log(q) + (1 - wanted) * np.log(1 - q)).mean())
        if loss < best[0]:
            best = (loss, float(temperature), p.astype(np.float32))
    return best[1], best[2]
