"""Fit some labels and leave every other answer of the network as it is.

Comes in: a network and the labels that may change, as `head:label`. Their rows of the heads learn,
nothing else does: encoder, wide part and the rows of other labels end as they began, so no other
label can get worse. It is logistic regression on what the network knows of a comment and a clause.
Left out: the threshold of such a label (`adapt.py`).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels
from cxnlp.model.network import Network

HEADS = ("emotions", "intents", "touchpoints", "levers")
HEAD_WEIGHTS = ("comment_heads.weight", "comment_heads.bias",
                "piece_heads.weight", "piece_heads.bias", "lift")  # fmt: skip


def places(only: Sequence[str], labels: Labels) -> list[tuple[str, int]]:
    """Return head and number of each label of `only`.

    Raises `ConfigError` for one that the model has not.

    >>> labels = Labels((), (), ("joie", "peur"), (), (), (), (), ())
    >>> places(["emotions:peur"], labels)
    [('emotions', 1)]
    """
    found = []
    for one in only:
        head, _, name = one.partition(":")
        if head not in HEADS or name not in getattr(labels, head):
            raise ConfigError(
                f"only: {one!r} is no label of the model; write head:label, as emotions:peur, "
                f"with one of the heads {', '.join(HEADS)}"
            )
        found.append((head, getattr(labels, head).index(name)))
    return found


def hold_others(network: Network, labels: Labels, only: Sequence[str]) -> Callable[[], None]:
    """Let training change `only` these labels; call what is returned when it is done."""
    comment, piece = labels.slices(Labels.COMMENT), labels.slices(Labels.PIECE)
    of_comments, of_pieces = [], []
    for head, number in places(only, labels):
        of_comments.append(comment[head].start + number)
        if head in piece:
            of_pieces.append(piece[head].start + number)
    own = network.shape.comment_outputs - network.shape.shared_outputs
    learnt = {
        "comment_heads": of_comments, "piece_heads": of_pieces,
        "lift": [row - own for row in of_comments if row >= own],
    }  # fmt: skip
    kept = {}
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in HEAD_WEIGHTS)
        if name in HEAD_WEIGHTS:
            held = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
            held[learnt[name.split(".")[0]]] = False
            kept[name] = held, weight.detach().clone()
            weight.register_hook(partial(_without, held))  # type: ignore[no-untyped-call]

    def restore() -> None:
        with torch.no_grad():
            for name, (held, former) in kept.items():
                network.get_parameter(name)[held] = former[held]

    return restore


def _without(held: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return slope.masked_fill(held.view(-1, *[1] * (slope.dim() - 1)), 0)
