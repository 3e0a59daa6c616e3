"""A checkpoint of Hugging Face's layout → a model folder whose heads know nothing yet.

Comes in: a folder, or an id on the hub, with `config.json`, `model.safetensors` and
`tokenizer.json` of the CamemBERT family. Goes out: a model folder that `adapt.py` goes on from;
ids of `<s>` and `</s>` are those that the tokenizer itself adds, the pad's is that of the config.
Left out: the checkpoint's own heads. Weights are read from safetensors alone, code never.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer as _Tokenizer
from tokenizers import pre_tokenizers

from cxnlp import clean
from cxnlp.errors import ConfigError, ModelError
from cxnlp.model.card import Card, Labels, read_shape, weights_digest, write_card
from cxnlp.model.network import Network, Shape
from cxnlp.model.weights import own_name, save_network
from cxnlp.training.adaptation import Adaptation
from cxnlp.training.finetune import trust_cues, undecided

FILES = ("config.json", "model.safetensors", "tokenizer.json")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ENCODER = re.compile(r"(?:roberta\.)?((?:embeddings|encoder)\..+)")
_NOT_WEIGHTS = ("embeddings.position_ids", "embeddings.token_type_ids")  # of older checkpoints
_ONLY = {"hidden_act": "gelu", "position_embedding_type": "absolute"}


def begin_from(plan: Adaptation, labels: Labels, tell: Callable[[str], None]) -> Path:
    """Return a model folder with the encoder of the plan's `base` and new heads for `labels`.

    Raises `ConfigError` where there is no such base, `ModelError` where the network cannot hold it.
    """
    base, folder = fetch(str(plan.base), plan.revision), plan.folder / "start"
    for file in FILES:
        if not (base / file).is_file():
            raise ModelError(
                f"{base}: {file} is missing; save the checkpoint with transformers' "
                "save_pretrained, weights in one safetensors file, fast tokenizer beside them"
            )
    tokenizer = _tokenizer(base)
    torch.manual_seed(plan.seed)
    network = Network(_shape(base, tokenizer, labels))
    left = _take_encoder(network, base)
    tell(f"{base}: encoder taken, {len(left)} other weights left out: {', '.join(left) or '–'}")
    trust_cues(network, labels)
    shutil.rmtree(folder, ignore_errors=True)
    save_network(network.eval(), folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"base": plan.base, "revision": plan.revision, "base_sha256": weights_digest(base)}
    known = {key: value for key, value in about.items() if value}
    write_card(folder, Card(plan.name, labels, undecided(labels), {}, clean.VERSION, about=known))
    return folder


def fetch(base: str, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint, fetched if `base` is an id on the hub.

    An id has one slash and its first part is no folder here; nothing else is ever fetched.
    Raises `ConfigError`.
    """
    place = Path(base)
    if place.is_dir():
        return place
    if not _HUB_ID.fullmatch(base) or place.parent.exists():
        raise ConfigError(f"base: {base}: no such folder, nor an id such as owner/name on the hub")
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=list(FILES)))
    except (OSError, ValueError, HfHubHTTPError, httpx.HTTPError) as error:
        raise ConfigError(
            f"base: {base} cannot be fetched from the hub ({error}); copy {', '.join(FILES)} of "
            "it into a folder and name that"
        ) from error


def _tokenizer(base: Path) -> _Tokenizer:
    """Return the tokenizer; a clause begins with a space for it, as inside a text."""
    try:
        tokenizer = _Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"{base / 'tokenizer.json'}: not a tokenizer.json: {error}") from error
    if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def _shape(base: Path, tokenizer: _Tokenizer, labels: Labels) -> Shape:
    config = read_shape(base)
    for key, known in _ONLY.items():
        if (found := config.get(key, known)) != known:
            raise ModelError(f"{base / 'config.json'}: {key} is {found!r}, expected {known!r}")
    ends = tokenizer.encode("").ids
    if len(ends) != 2:
        raise ModelError(
            f"{base / 'tokenizer.json'}: puts {len(ends)} ids around a text, expected <s> and </s>"
        )
    comment, piece = labels.slices(Labels.COMMENT), labels.slices(Labels.PIECE)
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
             "intermediate_size", "max_position_embeddings", "layer_norm_eps",
             "pad_token_id")  # fmt: skip
    if missing := [key for key in names if config.get(key) is None]:
        raise ModelError(f"{base / 'config.json'}: {', '.join(missing)} missing")
    if tokenizer.get_vocab_size() > config["vocab_size"]:
        raise ModelError(
            f"{base}: the tokenizer has {tokenizer.get_vocab_size():,} pieces, config.json "
            f"{config['vocab_size']:,}: they are of two checkpoints"
        )
    return Shape(
        **{key: config[key] for key in names}, bos_token_id=ends[0], eos_token_id=ends[1],
        cues=len(labels.cues), comment_outputs=comment["levers"].stop,
        piece_outputs=piece["polarity"].stop, shared_outputs=piece["levers"].stop,
    )  # fmt: skip


def _take_encoder(network: Network, base: Path) -> list[str]:
    """Put the encoder's weights into `network`; return the names of those that are of no use."""
    wanted = {k for k in network.state_dict() if k.startswith("encoder.")}
    found, left = {}, []
    try:
        for name, value in load_file(base / "model.safetensors").items():
            inside = _ENCODER.fullmatch(name)
            own = _own(inside[1]) if inside else ""
            if own in wanted:
                found[own] = value.float()
            elif not name.endswith(_NOT_WEIGHTS):
                left.append(name)
        if missing := sorted(wanted - found.keys()):
            raise ModelError(f"{base}: weights are missing, the first {missing[0]}")
        found["encoder.types.weight"] = found["encoder.types.weight"][:1]  # all tokens are type 0
        network.load_state_dict(network.state_dict() | found)
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{base}: the weights do not fit config.json: {error}") from error
    return left


def _own(name: str) -> str:
    try:
        return own_name(f"roberta.{name}")
    except KeyError:
        return ""
