"""The model folder: `config.json`, `model.safetensors`, `tokenizer.json`, `card.yaml`.

Comes in: a folder. Goes out: a `Card` (labels in order, thresholds, calibration, lineage) whose
digest of the weights has been verified. Left out: the weights themselves (`engine.py`). Files
that could run code when loaded (pickles) are refused by their presence.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cxnlp.errors import ModelError

_REFUSED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".npy", ".npz"}
_WEIGHED = ("model.safetensors", "config.json", "tokenizer.json")
FAMILY = ("camembert", "roberta", "xlm-roberta")  # what our own encoder may be a checkpoint of
_NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "card.yaml")


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of each head, in the order of the network's outputs.

    Comment outputs: sentiment, stars, emotions, intents, touchpoints, levers. Piece outputs:
    touchpoints, levers, polarity. `cues` are the inputs, written `kind:id`.
    """

    sentiment: tuple[str, ...]
    stars: tuple[str, ...]
    emotions: tuple[str, ...]
    intents: tuple[str, ...]
    touchpoints: tuple[str, ...]
    levers: tuple[str, ...]
    polarity: tuple[str, ...]
    cues: tuple[str, ...]

    COMMENT = ("sentiment", "stars", "emotions", "intents", "touchpoints", "levers")
    PIECE = ("touchpoints", "levers", "polarity")

    def slices(self, heads: tuple[str, ...]) -> dict[str, slice]:
        """Return where each head lies among the outputs of `COMMENT` or `PIECE`."""
        found, start = {}, 0
        for head in heads:
            stop = start + len(getattr(self, head))
            found[head] = slice(start, stop)
            start = stop
        return found


@dataclass(frozen=True, slots=True)
class Card:
    """What a model folder says of itself.

    `thresholds[head]` has one probability per label, `temperatures[head]` one number per head by
    which logits are divided; heads of segments are written `segment_touchpoints`. `scores` in
    `about` were measured by the command and on the day they name. `reference` counts what comments
    that the model was trained on are like (`cxnlp.metrics.drift`).
    """

    name: str
    labels: Labels
    thresholds: dict[str, tuple[float, ...]]
    temperatures: dict[str, float]
    cleaning: str
    sha256: str = ""
    lexicon: dict[str, tuple[str, ...]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name and the first digits of the weights' digest."""
        return f"{self.name}-{self.sha256[:8]}"

    @property
    def decisions(self) -> str:
        """Digest of what turns probabilities into labels: the weights may be the same."""
        parts = [sorted(p.items()) for p in (self.thresholds, self.temperatures, self.lexicon)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def read_card(folder: Path) -> Card:
    """Return the card of a model folder whose files are complete and unaltered.

    Raises `ModelError` saying which file is missing, refused or altered.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder")
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing; a model folder has {_list(_NEEDED)}")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _REFUSED:
            raise ModelError(f"{path}: refused: only safetensors weights are loaded; remove it")
    try:
        data = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
        labels = Labels(**{head: tuple(names) for head, names in data.pop("labels").items()})
        thresholds = {head: tuple(v) for head, v in data.pop("thresholds").items()}
        card = Card(labels=labels, thresholds=thresholds, **data)
    except (yaml.YAMLError, TypeError, KeyError, AttributeError, ValueError) as error:
        raise ModelError(f"{folder / 'card.yaml'}: not a model card: {error}") from error
    found = weights_digest(folder)
    if found != card.sha256:
        raise ModelError(
            f"{folder}: {_list(_WEIGHED)} are not the files the card describes "
            f"(sha256 {found[:12]}… instead of {card.sha256[:12]}…); fetch the model again, or "
            "train it anew"
        )
    return card


def write_card(folder: Path, card: Card) -> Card:
    """Write `card.yaml` for the files that lie in `folder`; return it with their digest."""
    data = {
        "name": card.name,
        "sha256": weights_digest(folder),
        "cleaning": card.cleaning,
        "labels": {
            head: list(getattr(card.labels, head)) for head in ("cues", *Labels.COMMENT, "polarity")
        },
        "thresholds": {h: [round(float(t), 4) for t in v] for h, v in card.thresholds.items()},
        "temperatures": {h: round(float(t), 4) for h, t in card.temperatures.items()},
        "lexicon": {head: list(names) for head, names in card.lexicon.items()},
        "about": card.about,
        **({"reference": card.reference} if card.reference else {}),
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return read_card(folder)


def weights_digest(folder: Path) -> str:
    """Return the sha256 over weights, shape and tokenizer, which together make the answers."""
    digest = hashlib.sha256()
    for name in _WEIGHED:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json`; raises `ModelError`."""
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError, TypeError) as error:
        raise ModelError(f"{path}: not a JSON object: {error}") from error


def read_shape(folder: Path) -> dict[str, Any]:
    """Return `config.json`; raises `ModelError` for a family that our encoder cannot hold."""
    config = read_config(folder)
    if config.get("model_type") not in FAMILY:
        kind = config.get("model_type")
        raise ModelError(f"{folder / 'config.json'}: model_type {kind!r} is not CamemBERT-shaped")
    return config


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
