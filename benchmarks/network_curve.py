"""How much more annotations would help the network: fine-tuned on parts of them, scored on dev.

    OMP_NUM_THREADS=1 .venv/bin/torchrun --nproc-per-node 2 benchmarks/network_curve.py --data data

Each part starts from the first generation's pretrained checkpoint and reads as many tokens of
annotated comments, without the teacher's reviews. Parts are those of `learning_curve.py`, and so
are the scores. Needs what `cxnlp train` leaves of the recipe (`prepare`) and of the first
generation (`pretrain`). Prints one line for each part; a part that is done is not done again.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from learning_curve import FOLDS, crossed

from cxnlp.clean import VERSION
from cxnlp.model.card import Card, Labels, write_card
from cxnlp.model.weights import save_network
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training import workers
from cxnlp.training.corpus import Windows, read_annotated, text_digest
from cxnlp.training.finetune import (
    COMMENT_HEADS,
    begin,
    segment_targets,
    trust_cues,
    undecided,
)
from cxnlp.training.losses import Targets, rarity_of
from cxnlp.training.material import Material, material
from cxnlp.training.optimise import Schedule, optimise
from cxnlp.training.peer import HEADS
from cxnlp.training.recipe import (
    Recipe,
    annotations,
    labels_of,
    load_recipe,
    new_network,
    stars,
    tokenizer_of,
)
from cxnlp.training.targets import targets
from cxnlp.training.teachers import network_labels

SHARES = (0.25, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/training.md")
    parser.add_argument("--recipe", type=Path, default=Path("configs/training/fr-mini.yaml"))
    parser.add_argument("--tokens", type=int, default=1_500_000, help="that each part reads")
    given = parser.parse_args()
    workers.join()
    recipe = load_recipe(given.recipe)
    labels, every = labels_of(recipe, given.data), annotations(recipe, given.data)
    for share in SHARES:
        places = [i for i, e in enumerate(every) if int(text_digest(e.text), 16) < share * 16**16]
        folder = recipe.folder / f"curve-{share:g}"
        _fit(recipe, labels, every, places, given.tokens, folder)
        workers.first(partial(_tell, recipe, labels, given.data, folder, len(places)))


def _fit(
    recipe: Recipe, labels: Labels, every: list, places: list[int], tokens: int, folder: Path
) -> None:
    network = new_network(recipe, labels)
    begin(network, labels, recipe.start.parent / "pretrain")
    trust_cues(network, labels)
    rows = [_taken(Material.load(recipe.folder / f"{n}.safetensors"), places)
            for n in ("annotated", "hasty")]  # fmt: skip
    some = [every[i] for i in places]
    known = {**targets(some, labels), "stars": stars(some)}
    of = [segment_targets(e, spans, labels)
          for e, spans in zip(some, rows[0].windows.spans, strict=True)]  # fmt: skip
    both = rows[0] + rows[1]
    wanted = Targets(
        {head: np.concatenate([values, values]) for head, values in known.items()},
        of * 2, both.cues, rarity={head: rarity_of(known[head]) for head in COMMENT_HEADS},
    )  # fmt: skip
    rates = {k: v for k, v in recipe.finetune.items() if k not in ("tokens", "most")}
    rates["batch_tokens"] = int(rates["batch_tokens"])
    optimise(network, both.windows, wanted, labels, Schedule(tokens, **rates, seed=recipe.seed),
             folder, print)  # fmt: skip
    if workers.number() == 0:
        save_network(network.eval(), folder / "model")


def _taken(rows: Material, places: list[int]) -> Material:
    w = rows.windows
    return Material(
        Windows(*([column[i] for i in places] for column in (w.ids, w.piece_of, w.spans))),
        [rows.cues[i] for i in places],
    )


def _tell(recipe: Recipe, labels: Labels, data: Path, folder: Path, count: int) -> None:
    tokenizer = recipe.folder / "tokenizer.json"
    (folder / "model" / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    write_card(folder / "model", Card(recipe.name, labels, undecided(labels), {}, VERSION))
    dev = read_annotated(data / "annotated_dev.jsonl")
    segmenter = Segmenter(load_taxonomy(recipe.taxonomy))
    rows = material([e.text for e in dev], segmenter, tokenizer_of(recipe), labels, recipe.cut)
    found, wanted = network_labels(folder / "model", tokenizer, rows), targets(dev, labels)
    fold = np.random.default_rng(recipe.seed).permutation(len(dev)) % FOLDS
    scores = []
    for head in HEADS:
        p = np.stack([found[head][name] for name in getattr(labels, head)], 1)
        scores.append("{} {:.3f} / {:.3f}".format(head, *crossed(head, p, wanted[head], fold)))
    print(time.strftime("%Y-%m-%d"), f"{count:,} annotations:", ", ".join(scores), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
