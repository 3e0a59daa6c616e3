"""The recipe of a model: tokenizer → teacher → pretraining → fine-tuning → calibration → folder.

Comes in: a training configuration and a folder of data. Goes out: a model folder by the contract
of `docs/architecture.md`. Each step keeps its result in the run's folder and is not done twice.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.numpy import load_file
from tokenizers import Tokenizer as _Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from cxnlp import schema
from cxnlp.clean import clean_text
from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels
from cxnlp.model.network import PAD, Network, Shape
from cxnlp.model.tokens import Tokenizer
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.training.augment import hasty
from cxnlp.training.corpus import Example, read_annotated, read_plain, read_reviews, text_digest
from cxnlp.training.losses import Targets
from cxnlp.training.material import Material, material, save_arrays
from cxnlp.training.optimise import Schedule, optimise

Floats = npt.NDArray[np.float32]
STARS = ("1", "2", "3", "4", "5")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


class Recipe(BaseModel):
    """A training configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path
    taxonomy: Path
    seed: int = 7
    tokenizer: dict[str, int] = {}
    network: dict[str, int]
    plain: dict[str, int] = {}
    annotations: list[Path] = []
    teachers: list[Path] = []
    start: Path | None = None
    share: float = 1.0
    min_mentions: int = 5
    cut: int = 128
    soft: float = 0.4
    pretrain: dict[str, float] = {}
    finetune: dict[str, float]
    about: dict[str, Any] = {}

    def schedule(self, stage: str) -> Schedule:
        keys = getattr(self, stage)
        whole = {k: int(v) if k.endswith("tokens") or k == "most" else v for k, v in keys.items()}
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
    """Make what the later steps learn from: tokenizer, rows of tokens, word vectors, teacher.

    The only step of training that needs spaCy.
    """
    recipe.folder.mkdir(parents=True, exist_ok=True)
    reviews = read_reviews(data)
    plain = [] if recipe.start else read_plain(data, recipe.plain)
    tell(f"{len(reviews):,} reviews, {len(plain):,} texts without a mark")
    texts = [e.text for e in reviews]
    tokenizer = recipe.folder / "tokenizer.json"
    if recipe.start:
        shutil.copyfile(recipe.start / "tokenizer.json", tokenizer)
    elif not tokenizer.is_file():
        train_tokenizer(texts + plain, recipe.tokenizer["pieces"]).save(str(tokenizer))
        tell("tokenizer trained")
    labels = labels_of(recipe, data)
    read = {"reviews": texts} if recipe.start else {"reviews": texts, "plain": plain}
    for name, some in read.items():
        _make(recipe, f"{name}.safetensors", lambda path, some=some: _rows(recipe, some, labels)  # type: ignore[misc]
              .save(path), tell)  # fmt: skip
    own = [e.text for e in annotations(recipe, data)]
    for name, change in (("annotated", None), ("hasty", hasty(recipe.seed))):
        _make(recipe, f"{name}.safetensors", lambda path, how=change: _rows(  # type: ignore[misc]
            recipe, own, labels, how).save(path), tell)  # fmt: skip
    if recipe.start is None:
        _make(recipe, "embeddings.safetensors", lambda path: _vectors(recipe, path), tell)
    _make(recipe, "teacher.safetensors", lambda path: _teach(recipe, data, texts, path), tell)


def _make(
    recipe: Recipe, name: str, how: Callable[[Path], None], tell: Callable[[str], None]
) -> None:
    path, started = recipe.folder / name, time.monotonic()
    if not path.is_file():
        how(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
        tell(f"{name} made in {time.monotonic() - started:.0f} s")


def _rows(
    recipe: Recipe, texts: list[str], labels: Labels, change: Callable[[str], str] | None = None
) -> Material:
    from cxnlp.segment import Segmenter

    segmenter = Segmenter(load_taxonomy(recipe.taxonomy))
    return material(texts, segmenter, tokenizer_of(recipe), labels, recipe.cut, change)


def _vectors(recipe: Recipe, path: Path) -> None:
    from cxnlp.training.embeddings import embeddings

    rows = [
        ids
        for name in ("reviews", "plain")
        if (recipe.folder / f"{name}.safetensors").is_file()
        for ids in Material.load(recipe.folder / f"{name}.safetensors").windows.ids
    ]
    size = min(recipe.network["hidden_size"], vocabulary_size(recipe) - 1)
    save_arrays({"words": embeddings(rows, vocabulary_size(recipe), size, recipe.seed)}, path)


def _teach(recipe: Recipe, data: Path, texts: list[str], path: Path) -> None:
    """Keep the labels of all reviews by the peer and the recipe's earlier networks."""
    from cxnlp.training.teachers import network_labels, peer_labels, together

    labels, annotated = labels_of(recipe, data), annotations(recipe, data)
    learnt, rows = (
        Material.load(recipe.folder / f"{name}.safetensors") for name in ("annotated", "reviews")
    )
    peer = peer_labels(labels, annotated, learnt, texts, rows)
    tokenizer = recipe.folder / "tokenizer.json"
    networks = [network_labels(folder, tokenizer, rows) for folder in recipe.teachers]
    soft = together(labels, peer, networks)
    save_arrays({head: values.astype(np.float16) for head, values in soft.items()}, path)


def pretrain(recipe: Recipe, data: Path, tell: Callable[[str], None]) -> None:
    """Fit a new network on all texts: hidden words, and of the reviews stars and the teacher's
    labels."""
    reviews, labels = read_reviews(data), labels_of(recipe, data)
    rows = Material.load(recipe.folder / "reviews.safetensors")
    plain = Material.load(recipe.folder / "plain.safetensors")
    soft = load_file(recipe.folder / "teacher.safetensors")
    comment = {head: values.astype(np.float32) for head, values in soft.items()}
    comment["stars"] = stars(reviews)
    held = {clean_text(e.text) for e in read_annotated(data / "annotated_dev.jsonl")}
    comment["stars"][[i for i, e in enumerate(reviews) if e.text in held]] = np.nan
    network = new_network(recipe, labels).to(device())
    words = torch.from_numpy(load_file(recipe.folder / "embeddings.safetensors")["words"])
    with torch.no_grad():
        network.encoder.words.weight[:, : words.shape[1]] = words.to(device())
        network.encoder.words.weight[PAD] = 0
    (recipe.folder / "pretrain").mkdir(exist_ok=True)
    text = json.dumps(asdict(labels), ensure_ascii=False)
    (recipe.folder / "pretrain" / "labels.json").write_text(text, encoding="utf-8")
    start_at_frequency(network, labels, comment)
    every = rows + plain
    wanted = Targets(
        {h: np.concatenate([v, np.full((len(plain), v.shape[1]), np.nan, np.float32)])
         for h, v in comment.items()},
        cues=every.cues, annotated=0,
    )  # fmt: skip
    optimise(
        network, every.windows, wanted, labels, recipe.schedule("pretrain"),
        recipe.folder / "pretrain", tell,
    )  # fmt: skip


def start_at_frequency(network: Network, labels: Labels, comment: dict[str, Floats]) -> None:
    """Set the biases of the comment heads to the log odds of how frequent each label is."""
    with torch.no_grad():
        for head, where in labels.slices(Labels.COMMENT).items():
            share = np.clip(np.nanmean(comment[head], 0), 1e-3, 1 - 1e-3)
            odds = np.log(share) if head in ("sentiment", "stars") else np.log(share / (1 - share))
            network.comment_heads.bias[where] = torch.from_numpy(odds.astype(np.float32)).to(
                network.comment_heads.bias.device
            )


def device() -> torch.device:
    """The first GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def annotations(recipe: Recipe, data: Path) -> list[Example]:
    """Return what is annotated to learn from: the folder's, and the recipe's own files."""
    own = [e for path in recipe.annotations for e in read_annotated(path, data)]
    every = read_annotated(data / "annotated_train.jsonl") + own
    return [e for e in every if int(text_digest(e.text), 16) < recipe.share * 16**16]


def labels_of(recipe: Recipe, data: Path) -> Labels:
    """Return the labels that a recipe's annotations teach."""
    taxonomy = load_taxonomy(recipe.taxonomy)
    return labels_for(taxonomy, annotations(recipe, data), recipe.min_mentions)


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
    """Return the tokenizer that `prepare` trained."""
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
