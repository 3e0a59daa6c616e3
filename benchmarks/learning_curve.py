"""How much more annotations would help: the classical peer on parts of them, scored on dev.

    .venv/bin/python benchmarks/learning_curve.py --data data

Parts are nested and chosen by the digest of the text (`share` of a recipe). Thresholds are chosen
on four fifths of dev and scored on the other fifth, in turn. Prints a table and one line of JSON.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from bench_peer import _heard
from rich.console import Console
from rich.table import Table

from cxnlp.segment import Segmenter
from cxnlp.taxonomy import load_taxonomy
from cxnlp.training.corpus import read_annotated
from cxnlp.training.peer import HEADS, Peer
from cxnlp.training.recipe import annotations, labels_for, load_recipe
from cxnlp.training.scores import best_threshold, best_weights, f1, micro_f1
from cxnlp.training.targets import targets

SHARES = (0.125, 0.25, 0.5, 1.0)
FOLDS = 5
TRIGGERS = ("emotions", "touchpoints", "levers")  # heads that they help


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/training.md")
    parser.add_argument("--recipe", type=Path, default=Path("configs/training/fr-mini.yaml"))
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    taxonomy = load_taxonomy(recipe.taxonomy)
    segmenter, dev = Segmenter(taxonomy), read_annotated(given.data / "annotated_dev.jsonl")
    labels = labels_for(taxonomy, annotations(recipe, given.data), recipe.min_mentions)
    wanted, heard_dev = targets(dev, labels), _heard(dev, segmenter, labels)
    fold = np.random.default_rng(recipe.seed).permutation(len(dev)) % FOLDS
    rows = []
    for share in SHARES:
        some = annotations(recipe.model_copy(update={"share": share}), given.data)
        peer = Peer(labels)
        peer.triggers = {head: head in TRIGGERS for head in HEADS}
        peer.fit(some, _heard(some, segmenter, labels))
        found = peer.predict([e.text for e in dev], heard_dev)
        rows.append({"annotations": len(some), **{
            head: crossed(head, found[head], wanted[head], fold) for head in HEADS
        }})  # fmt: skip
    table = Table("annotations", *(f"{head} micro / macro" for head in HEADS))
    for row in rows:
        table.add_row(str(row["annotations"]), *(f"{a:.3f} / {b:.3f}" for a, b in
                                                 (row[h] for h in HEADS)))  # fmt: skip
    Console().print(table)
    print(json.dumps({"date": time.strftime("%Y-%m-%d"), "dev": len(dev), "curve": rows}))


def crossed(
    head: str, found: np.ndarray, wanted: np.ndarray, fold: np.ndarray
) -> tuple[float, float]:
    """Return micro-F1 (accuracy for sentiment) and macro-F1 over the labels that dev has."""
    given = np.zeros(wanted.shape, bool)
    for number in range(FOLDS):
        held, seen = fold == number, fold != number
        if head == "sentiment":
            chosen = (found[held] / np.array(best_weights(found[seen], wanted[seen]))).argmax(1)
            given[held] = np.eye(wanted.shape[1], dtype=bool)[chosen]
        else:
            given[held] = found[held] >= np.array(best_threshold(found[seen], wanted[seen]))
    truth = wanted > 0.5
    some = truth.any(0)
    return round(micro_f1(given, truth), 4), round(float(f1(given, truth)[some].mean()), 4)


if __name__ == "__main__":
    main()
