"""Network ↔ `config.json` and `model.safetensors`, with Hugging Face's names for the encoder.

`CamembertModel.from_pretrained(folder)` of transformers reads the encoder of our folders, and
our network takes the encoder of theirs. Heads lie in the same file under `heads.`.
"""

import json
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cxnlp.errors import ModelError
from cxnlp.model.card import read_config
from cxnlp.model.hub import foreign, hub_network, hub_state, save_hub_network
from cxnlp.model.network import Network, Shape

_NAMES = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
_LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
_OURS = (
    "wide_buckets", "wide_size", "head_size", "cues", "comment_outputs", "piece_outputs",
    "shared_outputs",
)  # fmt: skip


def save_network(network: Network, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` in half precision."""
    sizes = network.shape.to_dict()
    if not network.own:
        kept = (*_OURS, "pad_token_id", "bos_token_id", "eos_token_id")
        save_hub_network(network, {k: sizes[k] for k in kept}, folder)
        return
    config = {
        "architectures": ["CamembertModel"],
        "model_type": "camembert",
        **{k: v for k, v in sizes.items() if k not in _OURS},
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "cxnlp": {k: sizes[k] for k in _OURS},
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    state = {hub_name(k): v.half().contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def load_network(folder: Path) -> Network:
    """Return the network of a model folder in single precision, ready to predict.

    An encoder that is not CamemBERT-shaped is transformers' own, and this is told. Raises
    `ModelError` when the weights do not fit the shape that `config.json` gives.
    """
    config, file = read_config(folder), folder / "config.json"
    try:
        if why := foreign(config):
            network = hub_network(config, config["cxnlp"], file)
            ours = hub_state(network, load_file(folder / "model.safetensors"))
        else:
            sizes = {**config, **config.get("cxnlp", {})}
            with torch.device("meta"):  # takes no memory; the weights are those of the file
                network = Network(Shape(**{k: sizes[k] for k in Shape.__dataclass_fields__}))
            state = load_file(folder / "model.safetensors")
            ours = {own_name(k): v.float() for k, v in state.items()}
            ours["encoder.types.weight"] = ours["encoder.types.weight"][:1]  # all are of type 0
        network.load_state_dict(ours, assign=not why)
    except KeyError as error:
        raise ModelError(f"{file}: {error} is missing") from error
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{folder}: the weights do not fit config.json: {error}") from error
    if why:
        warnings.warn(f"{folder}: {why}: read by transformers, which is slower", RuntimeWarning,
                      stacklevel=2)  # fmt: skip
    return network.eval()


def hub_name(name: str) -> str:
    """Return the name of one of our weights in the file.

    >>> hub_name("encoder.layers.0.query.weight")
    'roberta.encoder.layer.0.attention.self.query.weight'
    """
    if not name.startswith("encoder."):
        return f"heads.{name}"
    layer = re.match(r"encoder\.layers\.(\d+)\.(\w+)(\.\w+)?$", name)
    if layer:
        return f"roberta.encoder.layer.{layer[1]}.{_LAYER_NAMES[layer[2]]}{layer[3] or ''}"
    part, _, kind = name.removeprefix("encoder.").partition(".")
    return f"roberta.{_NAMES[part]}.{kind}"


def own_name(name: str) -> str:
    """Return our name of a weight in the file; the inverse of `hub_name`."""
    if name.startswith("heads."):
        return name.removeprefix("heads.")
    layer = re.match(r"roberta\.encoder\.layer\.(\d+)\.(.+)\.(\w+)$", name)
    if layer:
        back = {theirs: ours for ours, theirs in _LAYER_NAMES.items()}
        return f"encoder.layers.{layer[1]}.{back[layer[2]]}.{layer[3]}"
    part, _, kind = name.removeprefix("roberta.").rpartition(".")
    return f"encoder.{ {theirs: ours for ours, theirs in _NAMES.items()}[part] }.{kind}"


def device_for(name: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda:N` means here; raises `ModelError`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"inference.device is {name!r}, but torch sees no GPU; use auto or cpu")
    return torch.device(name)


def devices_for(name: str) -> list[str]:
    """Return the devices that work side by side: with `auto`, every GPU there is."""
    count = torch.cuda.device_count() if name == "auto" else 0
    return [f"cuda:{i}" for i in range(count)] if count > 1 else [name]
