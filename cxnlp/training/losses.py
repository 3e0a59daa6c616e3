"""Targets of training rows, and the loss of each head.

Annotated rows are certain: rare labels weigh more, and their clauses have targets too. Other rows
carry the probabilities of a teacher, or stars alone, and weigh less.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

from cxnlp.model.card import Labels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
POLARITY_WEIGHTS = (1.0, 2.0, 1.0)
MOST = 8.0  # weight of a positive of the rarest labels
STARS = 0.3  # weight of the squared error of the expected stars


@dataclass(frozen=True)
class Targets:
    """Targets of each comment head [rows, labels] and of each segment.

    Probabilities or 0/1. A row of NaN says that nothing is known. `segments[i]` are arrays
    [segments, touchpoints + levers] and polarity classes (−1 unknown), or None. `cues[i]` are the
    trigger hits [segments, cues]. The first `annotated` rows are annotated (all, if None);
    `weight` [rows] says how much each counts.
    """

    comment: dict[str, Floats]
    segments: Sequence[tuple[Floats, Ints] | None] | None = None
    cues: Sequence[npt.NDArray[Any]] | None = None
    annotated: int | None = None
    weight: Floats | None = None
    rarity: dict[str, Floats] = field(default_factory=dict)

    @cached_property
    def rows(self) -> int:
        return len(next(iter(self.comment.values())))

    def epoch(self, random: np.random.Generator, most: int) -> Ints:
        """Return the rows of an epoch: the annotated, and at most `most` others (0: all)."""
        own = self.rows if self.annotated is None else self.annotated
        others = np.arange(own, self.rows)
        if most and len(others) > most:
            others = random.choice(others, most, replace=False)
        return np.concatenate([np.arange(own), others])

    def certain(self, rows: Ints) -> npt.NDArray[np.bool_]:
        return rows < (self.rows if self.annotated is None else self.annotated)


def rarity_of(wanted: Floats) -> Floats:
    """Return the weight of a positive of each label, √(negatives / positives) within 1 and 8.

    >>> weights = rarity_of(np.array([[1, 0], [1, 0], [0, 0], [0, 1]], np.float32))
    >>> weights.astype(float).round(2).tolist()
    [1.0, 1.73]
    """
    share = np.clip(wanted.mean(0), 1e-3, 0.5)
    return np.asarray(np.clip(np.sqrt((1 - share) / share), 1, MOST), np.float32)


def comment_loss(
    logits: torch.Tensor, targets: Targets, labels: Labels, rows: Ints
) -> torch.Tensor:
    """Return the sum of the losses of the comment heads that have targets."""
    device, total = logits.device, logits.new_zeros(())
    weight = np.ones(len(rows), np.float32) if targets.weight is None else targets.weight[rows]
    certain = targets.certain(rows)
    for head, where in labels.slices(Labels.COMMENT).items():
        if head not in targets.comment:
            continue
        wanted = targets.comment[head][rows]
        known = ~np.isnan(wanted[:, 0])
        if not known.any():
            continue
        w = torch.from_numpy(weight[known]).to(device)
        y = torch.from_numpy(np.asarray(wanted[known], np.float32)).to(device)
        x = logits[torch.from_numpy(known).to(device), where].float()
        if head in ("sentiment", "stars"):
            each = F.cross_entropy(x, y, reduction="none")
            if head == "stars":
                steps = torch.arange(1.0, y.shape[1] + 1, device=device)
                each = each + STARS * (x.softmax(1) @ steps - y @ steps) ** 2
        else:
            rare = np.where(certain[known][:, None], targets.rarity.get(head, 1.0), 1.0)
            more = torch.from_numpy(np.broadcast_to(rare, y.shape).astype(np.float32)).to(device)
            plain = F.binary_cross_entropy_with_logits(x, y, reduction="none")
            each = (plain * (1 + (more - 1) * y)).mean(1) * math.sqrt(y.shape[1])
        total = total + (each * w).sum() / len(rows)
    return total


def segment_loss(
    piece: torch.Tensor, targets: Targets, labels: Labels, rows: Ints,
    piece_window: torch.Tensor, segment: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Return the loss of touchpoints, levers and polarity of the segments that have targets."""
    of = targets.segments or []
    where, device = labels.slices(Labels.PIECE), piece.device
    pairs = zip(piece_window.tolist(), segment.tolist(), strict=True)
    found = [(at, of[rows[w]], s) for at, (w, s) in enumerate(pairs)]
    kept = [(at, one[0][s], int(one[1][s])) for at, one, s in found if one is not None]
    if not kept:
        return piece.sum() * 0
    x = piece[torch.tensor([at for at, _, _ in kept], device=device)].float()
    present = torch.from_numpy(np.stack([p for _, p, _ in kept])).to(device)
    classes = torch.tensor([c for _, _, c in kept], device=device)
    shared = where["levers"].stop
    share = len(kept) / len(found)
    loss = torch.zeros((), device=device)
    asked = ~present[:, 0].isnan()
    if bool(asked.any()):
        x_, y_ = x[asked, :shared], present[asked]
        loss = F.binary_cross_entropy_with_logits(x_, y_) * math.sqrt(shared)
    if bool((classes >= 0).any()):
        weights = torch.tensor(POLARITY_WEIGHTS, device=device)
        loss = loss + F.cross_entropy(x[:, where["polarity"]], classes, weights, ignore_index=-1)
    return loss * share
