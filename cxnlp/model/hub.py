"""Encoders that are not CamemBERT-shaped, as transformers has them: right, not fast.

Comes in: a `config.json` whose architecture `network.py` does not hold, and weights under the
names that transformers gives them. Goes out: a `Network` with that encoder and our heads. Position
and segment ids are the architecture's own business. Left out: code of a checkpoint, which is
never run, and training.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cxnlp.errors import ModelError
from cxnlp.model.card import FAMILY
from cxnlp.model.network import Encoder, Network, Shape

_ONLY = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
          "max_position_embeddings", "pad_token_id")  # fmt: skip
_ENDS = ("bos_token_id", "eos_token_id")
_UNUSED = "encoder.model.pooler."


class HubEncoder(nn.Module):
    """An encoder of transformers with the interface of our own."""

    def __init__(self, config: dict[str, Any], pad: int):
        super().__init__()
        from transformers import AutoConfig, AutoModel

        kind = {k: v for k, v in config.items() if k not in ("model_type", "cxnlp")}
        self.config = AutoConfig.for_model(config["model_type"], **kind)
        self.model, self.pad = AutoModel.from_config(self.config, dtype=torch.float32), pad

    def forward(self, ids: Tensor, shift: int = 0) -> Tensor:
        if shift:
            raise ValueError("only our own encoder shifts positions")
        keep = (ids != self.pad).long()
        return cast(Tensor, self.model(input_ids=ids, attention_mask=keep)[0])


def foreign(config: dict[str, Any]) -> str:
    """Return why a configuration is not one that our encoder holds; empty if it is.

    >>> foreign({"model_type": "roberta", "hidden_act": "relu"})
    "hidden_act 'relu'"
    >>> foreign({"model_type": "camembert", "hidden_act": "gelu"})
    ''
    """
    if config.get("model_type") not in FAMILY:
        return f"model_type {config.get('model_type')!r}"
    other = (k for k, known in _ONLY.items() if config.get(k, known) != known)
    return ", ".join(f"{key} {config[key]!r}" for key in other)


def hub_network(config: dict[str, Any], ours: dict[str, Any], file: Path) -> Network:
    """Return a network with the encoder of `config`, its weights not loaded yet.

    `ours` is the section `cxnlp` of the file: it also has ids of `<s>` and `</s>` that `config`
    lacks. Raises `ModelError`.
    """
    try:
        encoder = HubEncoder(config, ours.get("pad_token_id", config.get("pad_token_id", 0)))
        known = {k: getattr(encoder.config, k, None) for k in (*_SIZES, *_ENDS)}
        sizes = {k: v for k, v in (known | ours).items() if v is not None}
        for key in (*_SIZES, *_ENDS):
            if sizes.get(key, -1) < 0:
                raise ModelError(f"{file}: {key} is missing; give it in the section cxnlp")
        return Network(Shape(**sizes), encoder=cast(Encoder, encoder))
    except (KeyError, ValueError, TypeError, ImportError) as error:
        raise ModelError(
            f"{file}: {foreign(config)}: transformers makes no encoder of it: {error}"
        ) from error


def hub_state(network: Network, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by our names; those under the prefix of the architecture are the encoder's."""
    prefix = _prefix(network)
    own = {
        k.removeprefix("heads.") if k.startswith("heads.") else
        f"encoder.model.{k.removeprefix(prefix)}": v.float()
        for k, v in state.items()
    }  # fmt: skip
    pooler = {k: v for k, v in network.state_dict().items() if k.startswith(_UNUSED)}
    return pooler | own


def save_hub_network(network: Network, ours: dict[str, Any], folder: Path) -> None:
    """Write `config.json` and `model.safetensors` in half precision, names as transformers has."""
    encoder, prefix = cast(HubEncoder, network.encoder), _prefix(network)
    config = {**encoder.config.to_dict(), "architectures": [type(encoder.model).__name__],
              "cxnlp": ours}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    inside = "encoder.model."
    state = {
        prefix + k.removeprefix(inside) if k.startswith(inside) else f"heads.{k}": v
        for k, v in network.state_dict().items() if not k.startswith(_UNUSED)
    }  # fmt: skip
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})


def _prefix(network: Network) -> str:
    prefix = cast(Any, network.encoder).model.base_model_prefix
    return f"{prefix}." if prefix else ""
