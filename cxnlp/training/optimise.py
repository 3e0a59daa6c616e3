"""Fit the network: first on reviews with stars and a teacher's labels, then on annotations.

Comes in: windows, targets, a network. Goes out: the fitted network, with checkpoints on the way
so that a stop loses little. Same loop for both stages; a head without targets costs nothing.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812 (the name everyone gives it)

from cxnlp.model.card import Labels
from cxnlp.model.network import Network
from cxnlp.training.corpus import Windows, collate

Floats = npt.NDArray[np.float32]
POLARITY_WEIGHTS = (1.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of each comment head [examples, labels] and of each segment.

    Probabilities or 0/1. A row of NaN says that nothing is known. `segments[i]` are arrays
    [segments, touchpoints + levers] and polarity classes (−1 unknown), or None.
    """

    comment: dict[str, Floats]
    segments: list[tuple[Floats, npt.NDArray[np.int64]]] | None = None
    cues: list[Floats] | None = None

    def rarity(self, head: str) -> torch.Tensor | None:
        """Weight of a positive of each label, √(negatives / positives) within 1 and 8."""
        if self.segments is None or head in ("sentiment", "stars"):
            return None
        share = np.clip(self.comment[head].mean(0), 1e-3, 0.5)
        return torch.from_numpy(np.clip(np.sqrt((1 - share) / share), 1, 8).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: `tokens` in all, per batch, learning rates, seed."""

    tokens: int
    batch_tokens: int = 3072
    encoder_rate: float = 4e-4
    head_rate: float = 2e-3
    wide_rate: float = 6e-3
    warmup: float = 0.05
    seed: int = 7


def optimise(
    network: Network,
    data: Windows,
    targets: Targets,
    labels: Labels,
    schedule: Schedule,
    folder: Path,
    tell: Callable[[str], None],
) -> None:
    """Fit `network` in place. A checkpoint in `folder` is taken up where it stopped."""
    torch.manual_seed(schedule.seed)
    optimiser = torch.optim.AdamW(_groups(network, schedule), weight_decay=0.01, betas=(0.9, 0.98))
    done, start = resume(network, folder), time.monotonic()
    losses: list[float] = []
    network.train()
    for step, rows in enumerate(_batches(data, schedule, done)):
        tokens = sum(len(data.ids[r]) for r in rows)
        rate = _rate(done / schedule.tokens, schedule.warmup)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rate
        loss = _loss(network, data, targets, labels, rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        done += tokens
        if step % 50 == 49:
            spent = time.monotonic() - start
            tell(f"{done:>9,} tokens  loss {np.mean(losses[-50:]):.4f}  {spent:.0f} s")
        if step % 300 == 299:
            _keep(network, folder, done)
    _keep(network, folder, done)
    network.eval()


def _loss(
    network: Network, data: Windows, targets: Targets, labels: Labels, rows: npt.NDArray[np.int64]
) -> torch.Tensor:
    width = network.shape.cues
    heard = None
    if targets.cues is not None:
        heard = np.concatenate([targets.cues[r][: _pieces(data, r)] for r in rows])
    ids, token_piece, piece_window, cues, segment = collate(data, rows, heard, width)
    room = network.shape.max_tokens - ids.shape[1]
    shift = int(torch.randint(0, room + 1, ())) if room > 0 and torch.rand(()) < 0.5 else 0
    comment, piece, _ = network(ids, token_piece, piece_window, cues, shift)
    total: torch.Tensor = comment.new_zeros(())
    for head, where in labels.slices(Labels.COMMENT).items():
        if head in targets.comment:
            total = total + _head_loss(
                head, comment[:, where], torch.from_numpy(targets.comment[head][rows]),
                targets.rarity(head),
            )  # fmt: skip
    if targets.segments is not None:
        total = total + _segment_loss(piece, targets.segments, labels, rows, piece_window, segment)
    return total


def _head_loss(
    head: str, logits: torch.Tensor, wanted: torch.Tensor, rarity: torch.Tensor | None
) -> torch.Tensor:
    known = ~wanted[:, 0].isnan()
    if not bool(known.any()):
        return logits.sum() * 0
    logits, wanted = logits[known], wanted[known]
    if head in ("sentiment", "stars"):
        loss = F.cross_entropy(logits, wanted)
        if head == "stars":
            steps = torch.arange(1.0, wanted.shape[1] + 1)
            loss = loss + 0.3 * F.mse_loss(logits.softmax(1) @ steps, wanted @ steps)
        return loss
    loss = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=rarity)
    return loss * math.sqrt(wanted.shape[1])


def _segment_loss(
    piece: torch.Tensor,
    segments: list[tuple[Floats, npt.NDArray[np.int64]]],
    labels: Labels,
    rows: npt.NDArray[np.int64],
    piece_window: torch.Tensor,
    segment: torch.Tensor,
) -> torch.Tensor:
    where = labels.slices(Labels.PIECE)
    pairs = list(zip(piece_window.tolist(), segment.tolist(), strict=True))
    present = torch.from_numpy(np.stack([segments[rows[w]][0][s] for w, s in pairs]))
    classes = torch.tensor([int(segments[rows[w]][1][s]) for w, s in pairs])
    shared = where["levers"].stop
    loss = F.binary_cross_entropy_with_logits(piece[:, :shared], present) * math.sqrt(shared)
    weights = torch.tensor(POLARITY_WEIGHTS)
    if bool((classes >= 0).any()):
        loss = loss + F.cross_entropy(
            piece[:, where["polarity"]], classes, weights, ignore_index=-1
        )
    return loss


def _pieces(data: Windows, row: int) -> int:
    return int(data.piece_of[row].max()) + 1 if len(data.ids[row]) else 0


def _batches(data: Windows, schedule: Schedule, done: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield batches of similar length in random order until the schedule's tokens are used."""
    random = np.random.default_rng(schedule.seed + done)
    lengths = np.array([len(i) for i in data.ids])
    usable = np.flatnonzero(lengths > 0)
    while True:
        noisy = lengths[usable] * random.uniform(0.85, 1.15, len(usable))
        order = usable[np.argsort(noisy)]
        batches, start = [], 0
        while start < len(order):
            stop = start + 1
            while (
                stop < len(order)
                and (stop + 1 - start) * lengths[order[start : stop + 1]].max(initial=1)
                <= schedule.batch_tokens
            ):
                stop += 1
            batches.append(order[start:stop])
            start = stop
        random.shuffle(batches)
        for rows in batches:
            if done >= schedule.tokens:
                return
            done += int(lengths[rows].sum())
            yield rows


def _groups(network: Network, schedule: Schedule) -> list[dict[str, object]]:
    rates = {"encoder": schedule.encoder_rate, "wide": schedule.wide_rate}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault(rates.get(name.split(".")[0], schedule.head_rate), []).append(parameter)
    return [{"params": some, "lr": rate, "base": rate} for rate, some in groups.items()]


def _rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return max(0.5 * (1 + float(np.cos(np.pi * (progress - warmup) / (1 - warmup)))), 0.02)


def _keep(network: Network, folder: Path, done: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    save_file({**state, "_done": torch.tensor([done])}, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / "checkpoint.safetensors")


def resume(network: Network, folder: Path) -> int:
    """Take up the checkpoint of a folder, if there is one; return the tokens it has seen."""
    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        return 0
    state = load_file(path)
    done = int(state.pop("_done")[0])
    network.load_state_dict(state)
    return done
