"""Is the mean of a network and the classical peers a better teacher than each of them?

    .venv/bin/python benchmarks/ensemble.py --data data --model runs/fr-mini-first/model

All have learnt the recipe's annotations and answer for dev. The threshold of a head is chosen on
four fifths of dev and used on the fifth, in three splits. Printed: micro-F1 / macro-F1 over the
labels that dev has; accuracy / macro-F1 for sentiment.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from learning_curve import FOLDS, crossed

from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.corpus import read_annotated
from cxnlp.training.material import material
from cxnlp.training.peer import HEADS, Floats, Peer
from cxnlp.training.recipe import annotations, labels_for, load_recipe, tokenizer_of
from cxnlp.training.targets import targets
from cxnlp.training.teachers import network_labels, together

SPLITS = 3


def main() -> None:
    given = _arguments()
    recipe = load_recipe(given.recipe)
    taxonomy, dev = load_taxonomy(recipe.taxonomy), read_annotated(given.data / given.dev)
    train = annotations(recipe, given.data)
    labels, segmenter = labels_for(taxonomy, train, recipe.min_mentions), Segmenter(taxonomy)
    tokenizer = tokenizer_of(recipe)
    learnt, asked = (
        material([e.text for e in some], segmenter, tokenizer, labels, recipe.cut)
        for some in (train, dev)
    )
    heard, heard_dev = (
        np.stack([cues.max(0, initial=0) > 0 for cues in rows.cues]).astype(np.float32)
        for rows in (learnt, asked)
    )
    texts = [e.text for e in dev]
    peers = {
        f"peer{', rare labels weighed up' if balanced else ''}": Peer(
            labels, triggers=True, balanced=balanced
        ).fit(train, heard).predict(texts, heard_dev)
        for balanced in (False, True)
    }  # fmt: skip
    network = network_labels(given.model, recipe.folder / "tokenizer.json", asked)
    ours = {h: np.stack([network[h][n] for n in getattr(labels, h)], 1) for h in HEADS}
    two = {h: np.mean([p[h] for p in peers.values()], axis=0) for h in HEADS}
    wanted = targets(dev, labels)
    print(time.strftime("%Y-%m-%d"), f"{len(train):,} annotations", " ".join(HEADS))
    for name, some in {
        given.model.name: ours, **peers, "mean of both peers": two,
        "mean of the peers' mean and the network": together(labels, two, [network]),
    }.items():  # fmt: skip
        print(f"{name:40s}", "  ".join(_score(some[h], wanted[h], h) for h in HEADS))


def _score(p: Floats, wanted: Floats, head: str) -> str:
    folds = [np.random.default_rng(n).permutation(len(p)) % FOLDS for n in range(SPLITS)]
    scores = [crossed(head, p, wanted, fold) for fold in folds]
    return " / ".join(f"{value:.3f}" for value in np.mean(scores, axis=0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/training.md")
    parser.add_argument("--model", type=Path, default=Path("runs/fr-mini-first/model"))
    parser.add_argument("--recipe", type=Path, default=Path("configs/training/fr-mini-first.yaml"))
    parser.add_argument("--dev", default="annotated_dev.jsonl", help="a file in the data folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
