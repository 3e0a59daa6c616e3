"""The recipe of a model: tokenizer → teacher → pretraining → fine-tuning → calibration → folder.

Comes in: a training configuration and a folder of data. Goes out: a model folder by the contract
of `docs/architecture.md`. Each step keeps its result in the run's folder and is not done twice.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer as _Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from cxnlp import schema
from cxnlp.clean import clean_text
from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels
from cxnlp.model.network import Network, Shape
from cxnlp.model.tokens import Tokenizer
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.training.corpus import (
    Example,
    Windows,
    read_annotated,
    read_reviews,
    rough_clauses,
    windows,
)
from cxnlp.training.optimise import Schedule, Targets, optimise

STARS = ("1", "2", "3", "4", "5")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


class Recipe(BaseModel):
    """A training configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path
    taxonomy: Path
    seed: int = 7
    tokenizer: dict[str, int]
    network: dict[str, int]
    min_mentions: int = 5
    cut: int = 128
    pretrain: dict[str, float]
    finetune: dict[str, float]
    about: dict[str, Any] = {}

    def schedule(self, stage: str) -> Schedule:
        keys = getattr(self, stage)
        whole = {k: int(v) if k.endswith("tokens") else v for k, v in keys.items()}
        return Schedule(**whole, seed=self.seed)


def load_recipe(path: Path) -> Recipe:
    """Return the recipe of a YAML file; raises `ConfigError` naming file and key."""
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such training configuration") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from error


def prepare(recipe: Recipe, data: Path, tell: Callable[[str], None]) -> None:
    """Train the tokenizer and the teacher, and keep the teacher's labels of all reviews."""
    from cxnlp.training.teacher import Teacher

    recipe.folder.mkdir(parents=True, exist_ok=True)
    reviews = read_reviews(data)
    tell(f"{len(reviews):,} reviews")
    if not (recipe.folder / "tokenizer.json").is_file():
        train_tokenizer([e.text for e in reviews], recipe.tokenizer["pieces"]).save(
            str(recipe.folder / "tokenizer.json")
        )
        tell("tokenizer trained")
    if not (recipe.folder / "teacher.safetensors").is_file():
        annotated = read_annotated(data / "annotated_train.jsonl")
        labels = labels_for(load_taxonomy(recipe.taxonomy), annotated, recipe.min_mentions)
        started = time.monotonic()
        teacher = Teacher(labels).fit(annotated)
        tell(f"teacher fitted in {time.monotonic() - started:.0f} s")
        texts = [e.text for e in reviews]
        parts = [teacher.predict(texts[i : i + 4000]) for i in range(0, len(texts), 4000)]
        soft = {h: np.concatenate([p[h] for p in parts]).astype(np.float16) for h in parts[0]}
        save_file(soft, recipe.folder / "teacher.safetensors")
        tell(f"teacher's labels in {time.monotonic() - started:.0f} s")


def pretrain(recipe: Recipe, data: Path, tell: Callable[[str], None]) -> None:
    """Fit a new network on the reviews: stars, and the teacher's labels."""
    reviews = read_reviews(data)
    annotated = read_annotated(data / "annotated_train.jsonl")
    labels = labels_for(load_taxonomy(recipe.taxonomy), annotated, recipe.min_mentions)
    soft = load_file(recipe.folder / "teacher.safetensors")
    comment = {head: values.astype(np.float32) for head, values in soft.items()}
    comment["stars"] = stars(reviews)
    network = new_network(recipe, labels)
    held = {clean_text(e.text) for e in read_annotated(data / "annotated_dev.jsonl")}
    comment["stars"][[i for i, e in enumerate(reviews) if e.text in held]] = np.nan
    texts = [e.text for e in reviews]
    rows = windows(texts, [rough_clauses(t) for t in texts], tokenizer_of(recipe), recipe.cut)
    optimise(
        network, rows, Targets(comment), labels, recipe.schedule("pretrain"),
        recipe.folder / "pretrain", tell,
    )  # fmt: skip


def labels_for(taxonomy: Taxonomy, annotated: list[Example], least: int) -> Labels:
    """Return the labels of each head; touchpoints with `least` annotated mentions or more."""
    seen = Counter(m.touchpoint for e in annotated for m in e.mentions)
    levers = tuple(lever.id for lever in taxonomy.levers)
    touchpoints = tuple(t.id for t in taxonomy.touchpoints if seen[t.id] >= least)
    cues = (
        *(f"touchpoint:{t.id}" for t in taxonomy.touchpoints),
        *(f"lever:{lever}" for lever in levers),
        *(f"emotion:{e}" for e in schema.EMOTIONS),
        *(f"intent:{i}" for i in schema.INTENTS),
    )
    return Labels(
        schema.SENTIMENTS, STARS, schema.EMOTIONS, schema.INTENTS, touchpoints, levers,
        schema.POLARITIES, cues,
    )  # fmt: skip


def stars(examples: list[Example]) -> npt.NDArray[np.float32]:
    """Return [examples, 5] distributions; half stars lie between two, unrated rows are NaN."""
    found = np.full((len(examples), 5), np.nan, np.float32)
    for row, example in zip(found, examples, strict=True):
        if example.rating is not None and 0.5 <= example.rating <= 5:
            place = max(example.rating, 1.0) - 1
            row[:] = 0
            row[int(place)] += 1 - place % 1
            if place % 1:
                row[int(place) + 1] += place % 1
    return found


def train_tokenizer(texts: list[str], pieces: int) -> _Tokenizer:
    """Return a tokenizer: byte-level BPE, case folded (Sennrich et al. 2016, arXiv:1508.07909)."""
    tokenizer = _Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=SPECIAL, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_of(recipe: Recipe) -> Tokenizer:
    size = recipe.network["max_position_embeddings"] - 2
    return Tokenizer.load(recipe.folder / "tokenizer.json", size)


def new_network(recipe: Recipe, labels: Labels) -> Network:
    """Return a network with random weights that has an output for every label."""
    torch.manual_seed(recipe.seed)
    slices, pieces = labels.slices(Labels.COMMENT), labels.slices(Labels.PIECE)
    shape = Shape(
        vocab_size=vocabulary_size(recipe), **recipe.network, cues=len(labels.cues),
        comment_outputs=slices["levers"].stop, piece_outputs=pieces["polarity"].stop,
        shared_outputs=pieces["levers"].stop,
    )  # fmt: skip
    return Network(shape)


def vocabulary_size(recipe: Recipe) -> int:
    """Number of pieces of the trained tokenizer, rounded up to a multiple of 64."""
    data: dict[str, Any] = json.loads((recipe.folder / "tokenizer.json").read_text("utf-8"))
    return -(-len(data["model"]["vocab"]) // 64) * 64


__all__ = ["Recipe", "Windows", "load_recipe", "prepare", "pretrain"]
