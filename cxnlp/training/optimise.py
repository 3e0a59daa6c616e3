"""Fit the network: first on reviews with stars and a teacher's labels, then on annotations.

Comes in: rows of tokens, targets, a network. Goes out: the fitted network, with checkpoints on the
way so that a stop loses little. Same loop for both stages; a head without targets costs nothing.
Runs on the device the network is on, alone or in several processes (`workers.py`).
"""

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
from cxnlp.model.network import LanguageHead, Network
from cxnlp.training import workers
from cxnlp.training.corpus import Windows, collate
from cxnlp.training.losses import Targets, comment_loss, segment_loss

MASK, FIRST_WORD = 4, 5  # ids of <mask> and of the first piece that is not special
MASKED_ROWS = 0.7  # share of the rows of which words are hidden, where any are
AVERAGE_FROM = 0.5  # share of a training after which weights are averaged
TOGETHER = 8  # steps between means of the processes' weights
EVERY = 304  # steps between checkpoints
QUIET = 20  # seconds between lines about how far it is


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: `tokens` in all, per batch and process, learning rates, seed.

    `mask` is the share of tokens hidden from the encoder in a row that is masked; `language` the
    weight of guessing them. `average` is the decay per step of the averaged weights that are kept
    (Polyak & Juditsky 1992); 0 keeps the last. `most` rows of each epoch are drawn afresh from
    those that are not annotated.
    """

    tokens: int
    batch_tokens: int = 3072
    encoder_rate: float = 4e-4
    head_rate: float = 2e-3
    wide_rate: float = 6e-3
    warmup: float = 0.05
    mask: float = 0.0
    language: float = 0.0
    average: float = 0.0
    most: int = 0
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
    torch.manual_seed(schedule.seed + workers.number())
    device = next(network.parameters()).device
    language = LanguageHead(network.shape).to(device)
    done, start = resume(network, folder, language), time.monotonic()
    told = start
    average = _Average(network, schedule.average)
    groups = _groups(network, language, schedule)
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    every = [p for group in optimiser.param_groups for p in group["params"]]
    losses: list[float] = []
    network.train()
    for step, (rows, seen) in enumerate(_batches(data, targets, schedule, done)):
        rate = _rate(done / schedule.tokens, schedule.warmup)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rate
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = _loss(network, language, data, targets, labels, schedule, rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(every, 1.0)
        optimiser.step()
        if step % TOGETHER == TOGETHER - 1:
            workers.average(every)
        losses.append(float(loss.detach()))
        done = seen
        if done > AVERAGE_FROM * schedule.tokens:
            average.add(network)
        if time.monotonic() - told > QUIET:
            told = time.monotonic()
            loss_now = np.mean(losses[-100:])
            tell(f"{done:>11,} of {schedule.tokens:,} tokens  loss {loss_now:.4f}"
                 f"  {told - start:.0f} s")  # fmt: skip
        if step % EVERY == EVERY - 1:
            _keep(network, language, folder, done)
    workers.average(every)
    average.put(network)
    workers.average(network.parameters())
    _keep(network, language, folder, done)
    network.eval()


class _Average:
    """The running mean of weights; without a decay it does nothing."""

    def __init__(self, network: Network, decay: float):
        self.decay, self.steps = decay, 0
        self.weights = {k: v.clone() for k, v in network.state_dict().items()} if decay else {}

    def add(self, network: Network) -> None:
        if not self.decay:
            return
        keep = min(self.decay, self.steps / (self.steps + 1))
        for name, value in network.state_dict().items():
            self.weights[name].lerp_(value, 1 - keep)
        self.steps += 1

    def put(self, network: Network) -> None:
        if self.steps:
            network.load_state_dict(self.weights)


def _loss(
    network: Network, language: LanguageHead, data: Windows, targets: Targets, labels: Labels,
    schedule: Schedule, rows: npt.NDArray[np.int64],
) -> torch.Tensor:  # fmt: skip
    device = next(network.parameters()).device
    heard = None
    if targets.cues is not None:
        heard = np.concatenate([targets.cues[r][: _pieces(data, r)] for r in rows])
        heard = heard.astype(np.float32)
    batch = (x.to(device) for x in collate(data, rows, heard, network.shape))
    ids, token_piece, piece_window, cues, segment = batch
    room = network.shape.max_tokens - ids.shape[1]
    shift = int(torch.randint(0, room + 1, ())) if room > 0 and torch.rand(()) < 0.5 else 0
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    if schedule.mask:
        chance = schedule.mask * (torch.rand(len(rows), 1, device=device) < MASKED_ROWS)
        hidden = (torch.rand(ids.shape, device=device) < chance) & (ids >= FIRST_WORD)
    shown = ids.masked_fill(hidden, MASK)
    comment, piece, states = network(ids, token_piece, piece_window, cues, shift, shown)
    total = comment_loss(comment, targets, labels, rows)
    if targets.segments is not None:
        total = total + segment_loss(piece, targets, labels, rows, piece_window, segment)
    if schedule.language and bool(hidden.any()):
        guess = language(states[hidden], network.encoder.words.weight)
        total = total + schedule.language * F.cross_entropy(guess, ids[hidden])
    return total


def _pieces(data: Windows, row: int) -> int:
    return int(data.piece_of[row].max()) + 1 if len(data.ids[row]) else 0


def _batches(
    data: Windows, targets: Targets, schedule: Schedule, done: int
) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Yield this process's batches, of similar length in random order, and the tokens all have
    seen with it, until the schedule's tokens are used."""
    random = np.random.default_rng(schedule.seed + done)
    lengths = np.array([len(i) for i in data.ids])
    while True:
        usable = targets.epoch(random, schedule.most)
        usable = usable[lengths[usable] > 0]
        batches = _cut(usable, lengths, schedule.batch_tokens, random)
        for at in range(0, len(batches) - workers.count() + 1, workers.count()):
            together = batches[at : at + workers.count()]
            if done >= schedule.tokens:
                return
            done += sum(int(lengths[rows].sum()) for rows in together)
            yield together[workers.number()], done


def _cut(
    rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], budget: int,
    random: np.random.Generator,
) -> list[npt.NDArray[np.int64]]:  # fmt: skip
    """Return batches of at most `budget` padded tokens; neighbours have similar lengths."""
    noisy = lengths[rows] * random.uniform(0.85, 1.15, len(rows))
    order = rows[np.argsort(noisy)]
    batches, start, longest = [], 0, 0
    for at, row in enumerate(order):
        longest = max(longest, int(lengths[row]))
        if at > start and (at + 1 - start) * longest > budget:
            batches.append(order[start:at])
            start, longest = at, int(lengths[row])
    batches.append(order[start:])
    if workers.count() == 1:
        random.shuffle(batches)
        return batches
    size = workers.count()  # processes that wait for each other get batches of one length
    groups = [batches[i : i + size] for i in range(0, len(batches) - size + 1, size)]
    random.shuffle(groups)
    return [batch for group in groups for batch in group] or [order] * size


def _groups(
    network: Network, language: LanguageHead, schedule: Schedule
) -> list[dict[str, object]]:
    rates = {"encoder": schedule.encoder_rate, "wide": schedule.wide_rate}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault(rates.get(name.split(".")[0], schedule.head_rate), []).append(parameter)
    if schedule.language:
        groups.setdefault(schedule.encoder_rate, []).extend(language.parameters())
    return [{"params": some, "lr": rate, "base": rate} for rate, some in groups.items()]


def _rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return max(0.5 * (1 + float(np.cos(np.pi * (progress - warmup) / (1 - warmup)))), 0.02)


def _keep(network: Network, language: LanguageHead, folder: Path, done: int) -> None:
    if workers.number():
        return
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    state |= {f"_language.{k}": v for k, v in language.state_dict().items()}
    save_file({**state, "_done": torch.tensor([done])}, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / "checkpoint.safetensors")


def resume(network: Network, folder: Path, language: LanguageHead | None = None) -> int:
    """Take up the checkpoint of a folder, if there is one; return the tokens it has seen."""
    path = folder / "checkpoint.safetensors"
    if not path.is_file():
        return 0
    state = load_file(path)
    done = int(state.pop("_done")[0])
    head = {k: state.pop(k) for k in list(state) if k.startswith("_language.")}
    network.load_state_dict(state)
    if language is not None and head:
        language.load_state_dict({k.removeprefix("_language."): v for k, v in head.items()})
    return done
