"""The teacher of a recipe: what the classical peer and earlier networks think of every review.

Comes in: prepared rows and annotations. Goes out: a probability of each label of each comment head
but the stars, the mean over the teachers (distillation: Hinton et al. 2015, arXiv:1503.02531; of an
earlier generation of the same network: Furlanello et al. 2018, arXiv:1805.04770).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxnlp.errors import ConfigError
from cxnlp.model.card import Labels, read_card
from cxnlp.model.weights import load_network
from cxnlp.training.corpus import Example, collate
from cxnlp.training.material import Material
from cxnlp.training.peer import HEADS, Peer

Floats = npt.NDArray[np.float32]
PART = 4000  # texts that the peer reads at a time
ROWS = 32  # comments of similar length that a network reads at a time


def peer_labels(
    labels: Labels, annotated: Sequence[Example], learnt: Material, texts: Sequence[str],
    rows: Material,
) -> dict[str, Floats]:  # fmt: skip
    """Return what two peers that learnt `annotated` think of `texts`, [texts, labels] by head: the
    mean of one whose probabilities are calibrated and one that finds rare labels."""
    heard, found = _heard(rows), {}
    for balanced in (False, True):
        peer = Peer(labels, balanced=balanced).fit(annotated, _heard(learnt))
        parts = [
            peer.predict(texts[at : at + PART], heard[at : at + PART])
            for at in range(0, len(texts), PART)
        ]
        found[balanced] = {head: np.concatenate([p[head] for p in parts]) for head in HEADS}
    return {head: (found[False][head] + found[True][head]) / 2 for head in HEADS}


def network_labels(folder: Path, tokenizer: Path, rows: Material) -> dict[str, dict[str, Floats]]:
    """Return what the network of a model folder thinks of `rows`: head → label → [rows].

    Raises `ConfigError` where its tokenizer is not the one that made the rows.
    """
    if (folder / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
        raise ConfigError(f"{folder}: its tokenizer is not {tokenizer}, so it cannot read the rows")
    card, network = read_card(folder), load_network(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    logits = np.zeros((len(rows), network.shape.comment_outputs), np.float32)
    lengths = np.array([len(ids) for ids in rows.windows.ids])
    filled = np.flatnonzero(lengths)
    order = filled[np.argsort(lengths[filled], kind="stable")]
    with torch.inference_mode():
        for at in range(0, len(order), ROWS):
            some = order[at : at + ROWS]
            heard = np.concatenate([rows.cues[r][: _pieces(rows, r)] for r in some])
            batch = collate(rows.windows, some, heard.astype(np.float32), network.shape)
            logits[some] = network(*(x.to(device) for x in batch[:4]))[0].float().cpu().numpy()
    found = {}
    for head, where in card.labels.slices(Labels.COMMENT).items():
        if head in HEADS:
            p = _probabilities(logits[:, where] / card.temperatures.get(head, 1.0), head)
            found[head] = dict(zip(getattr(card.labels, head), p.T, strict=True))
    return found


def together(
    labels: Labels, peer: dict[str, Floats], networks: Sequence[dict[str, dict[str, Floats]]]
) -> dict[str, Floats]:
    """Return the mean over all that know a label; the sentiments of a row still add up to one."""
    found = {}
    for head, theirs in peer.items():
        columns = [
            np.mean([theirs[:, i], *(n[head][name] for n in networks if name in n[head])], axis=0)
            for i, name in enumerate(getattr(labels, head))
        ]
        found[head] = np.stack(columns, 1).astype(np.float32)
    return found


def _heard(rows: Material) -> Floats:
    heard = [cues.max(0, initial=0) > 0 for cues in rows.cues]
    return np.stack(heard).astype(np.float32)


def _pieces(rows: Material, row: int) -> int:
    return int(rows.windows.piece_of[row].max()) + 1


def _probabilities(logits: Floats, head: str) -> Floats:
    x = torch.from_numpy(logits)
    return np.asarray(x.softmax(1) if head == "sentiment" else x.sigmoid())
