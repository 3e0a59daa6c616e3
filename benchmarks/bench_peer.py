"""Our model against the classical peer, both as good as the dev annotations can make them.

    .venv/bin/python benchmarks/bench_peer.py --data data --output peer.json

The peer (`cxnlp/training/peer.py`) learns the recipe's annotations twice, with the taxonomy's
trigger hits as inputs and without; of the two the better on dev stands in the table, head by
head. Its stars come from all rated reviews whose text is not in dev. Its thresholds are chosen on
dev by the functions that chose ours. The second table chooses the thresholds of both on the other
four fifths of dev, so that no comment has a say in its own labels. Differences are paired: ours
minus the peer's over the same resamples of the comments, with a star where 0 is outside.
"""

import argparse
import json
import platform
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cxnlp.analyse import Analyzer
from cxnlp.clean import clean_text
from cxnlp.model.card import Labels, read_card, write_card
from cxnlp.model.engine import Engine
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.training.corpus import Example, read_annotated, read_reviews
from cxnlp.training.evaluate import difference, measure
from cxnlp.training.finetune import calibrate
from cxnlp.training.judged import SETS, Judged, judged, resamples
from cxnlp.training.material import cue_columns
from cxnlp.training.peer import HEADS, Floats, Peer, fit_stars, heard_in, median_stars
from cxnlp.training.recipe import annotations, labels_for, load_recipe
from cxnlp.training.scores import best_threshold, best_weights
from cxnlp.training.targets import targets

FOLDS = 5
VARIANTS = {"without triggers": False, "with triggers": True}


def main() -> None:
    torch.set_num_threads(1)
    given = _arguments()
    recipe = load_recipe(given.recipe)
    taxonomy, dev = load_taxonomy(recipe.taxonomy), read_annotated(given.data / given.dev)
    train = (
        read_annotated(given.data / "annotated_train.jsonl") if given.train_only
        else annotations(recipe, given.data)
    )  # fmt: skip
    labels = labels_for(taxonomy, train, recipe.min_mentions)
    segmenter = Segmenter(taxonomy)
    heard, heard_dev = (_heard(some, segmenter, labels) for some in (train, dev))
    texts, seconds, probabilities = [e.text for e in dev], {}, {}
    for name, triggers in VARIANTS.items():
        began = time.process_time()
        peer = Peer(labels, triggers).fit(train, heard)
        probabilities[name] = peer.predict(texts, heard_dev)
        seconds[name] = round(time.process_time() - began, 1)
    began = time.process_time()
    stars = median_stars(_stars(given.data, dev, texts))
    seconds["stars"] = round(time.process_time() - began, 1)
    ours = Analyzer.load(given.model, recipe.taxonomy)
    result = ours.analyze(texts)
    answers = judged(dev, result.comments, result.mentions, taxonomy)
    fold = np.random.default_rng(recipe.seed).permutation(len(dev)) % FOLDS
    whole = np.zeros(len(dev), np.int64)
    found = {
        "date": time.strftime("%Y-%m-%d"), "machine": platform.machine(), "dev": len(dev),
        "train": len(train), "also_in_dev": len({e.text for e in train} & set(texts)),
        "model": ours.model_version, "seconds_cpu": seconds,
        "thresholds_on_dev": _compared(
            answers, {n: _decided(answers, p, dev, labels, whole, stars)
                      for n, p in probabilities.items()},
        ),
        "thresholds_on_other_folds": _compared(
            _ours_in_folds(given.model, dev, taxonomy, segmenter, fold),
            {n: _decided(answers, p, dev, labels, fold, stars) for n, p in probabilities.items()},
        ),
    }  # fmt: skip
    _show(found)
    if given.output:
        given.output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/training.md")
    parser.add_argument("--model", type=Path, default=Path("models/cxnlp-fr-mini"))
    parser.add_argument("--recipe", type=Path, default=Path("configs/training/fr-mini.yaml"))
    parser.add_argument("--dev", default="annotated_dev.jsonl", help="a file in the data folder")
    parser.add_argument(
        "--train-only", action="store_true", help="learn without the recipe's own annotations"
    )
    parser.add_argument("--output", type=Path, help="also write JSON")
    return parser.parse_args()


def _heard(examples: list[Example], segmenter: Segmenter, labels: Labels) -> Floats:
    segmented = segmenter.split([e.text for e in examples])
    return heard_in(cue_columns(segmented, segmenter.labels, labels), segmented, len(examples))


def _stars(data: Path, dev: list[Example], texts: list[str]) -> Floats:
    held = {clean_text(e.text) for e in dev}
    rated = [
        (e.text, e.rating) for e in read_reviews(data)
        if e.rating is not None and 0.5 <= e.rating <= 5 and e.text not in held
    ]  # fmt: skip
    return fit_stars([t for t, _ in rated], [r for _, r in rated])([clean_text(t) for t in texts])


def _decided(
    answers: Judged, probabilities: dict[str, Floats], dev: list[Example], labels: Labels,
    fold: np.ndarray, stars: np.ndarray,
) -> Judged:  # fmt: skip
    """Return the peer's labels, thresholds of each fold chosen on the others (or on all of one)."""
    wanted, rows = targets(dev, labels), len(dev)
    found = np.zeros(rows, np.int64)
    given = {head: np.zeros_like(flags) for head, flags in answers.given.items()}
    for number in np.unique(fold):
        held = fold == number
        seen = ~held if (~held).any() else held
        for head in HEADS:
            p, y = probabilities[head], wanted[head]
            if head == "sentiment":
                weights = np.array(best_weights(p[seen], y[seen]), np.float32)
                found[held] = (p[held] / weights).argmax(1)
                continue
            above = p[held] >= np.array(best_threshold(p[seen], y[seen]), np.float32)
            places = [answers.names[head].index(n) for n in getattr(labels, head)]
            given[head][np.ix_(held, places)] = above
    nothing = np.zeros_like(answers.sides)
    return replace(answers, found=found, given=given, sides=nothing, stars=stars)


def _ours_in_folds(
    model: Path, dev: list[Example], taxonomy: Taxonomy, segmenter: Segmenter, fold: np.ndarray
) -> Judged:
    """Return our labels, thresholds, temperatures and trusted triggers chosen on other folds."""
    parts, order = [], []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        shutil.copytree(model, folder)
        card = write_card(folder, replace(read_card(folder), temperatures={}, lexicon={}))
        for number in range(FOLDS):
            rows = np.flatnonzero(fold == number)
            others = [dev[i] for i in np.flatnonzero(fold != number)]
            thresholds, temperatures, lexicon = calibrate(folder, others, segmenter)
            engine = Engine.load(folder, device="cpu")
            engine.card = replace(
                card, thresholds=thresholds, temperatures=temperatures, lexicon=lexicon
            )
            some = [dev[i] for i in rows]
            result = Analyzer(engine, taxonomy).analyze([e.text for e in some])
            parts.append(judged(some, result.comments, result.mentions, taxonomy))
            order.append(rows)
    return _joined(parts).take(np.argsort(np.concatenate(order)))


def _joined(parts: list[Judged]) -> Judged:
    first = parts[0]
    columns = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("truth", "found", "sides", "rated", "stars")
    }
    sets = {
        name: {h: np.concatenate([getattr(p, name)[h] for p in parts]) for h in SETS}
        for name in ("wanted", "given")
    }
    return Judged([i for p in parts for i in p.ids], first.names, **columns, **sets)


def _compared(ours: Judged, peers: dict[str, Judged]) -> dict[str, Any]:
    """Return the peer at its best, head by head, ours, and the differences."""
    weights = resamples(len(ours.ids))
    measured = {name: measure(peer, weights) for name, peer in peers.items()}
    best = {head: max(peers, key=lambda n, h=head: _worth(measured[n]["scores"], h))
            for head in HEADS}  # fmt: skip
    peer = replace(
        peers[best["sentiment"]], given={head: peers[best[head]].given[head] for head in SETS}
    )
    return {
        "best": best, "peer": measure(peer, weights), "variants": measured,
        "ours": measure(ours, weights), "difference": difference(ours, peer, weights),
    }  # fmt: skip


def _worth(scores: dict[str, float], head: str) -> float:
    if head == "sentiment":
        return scores["sentiment_accuracy"] + scores["sentiment_macro_f1"]
    return scores[f"{head}_micro_f1"] + scores[f"{head}_macro_f1"]


def _show(found: dict[str, Any]) -> None:
    console = Console(markup=False, highlight=False, width=120)
    console.print(
        f"{found['model']} and the peer, {found['train']:,} annotations to learn, "
        f"{found['dev']:,} to judge, {found['also_in_dev']} texts in both; "
        f"the peer took {found['seconds_cpu']} s of one core"
    )
    for name in ("thresholds_on_dev", "thresholds_on_other_folds"):
        some = found[name]
        table = Table("measure", "peer", "95 %", "ours", "95 %", "ours − peer", "95 %", "",
                      box=None, pad_edge=False)  # fmt: skip
        for figure, value in some["ours"]["scores"].items():
            theirs = some["peer"]["scores"].get(figure)
            one = some["difference"]["differences"].get(figure)
            low, high = one["interval"] if one else (0, 0)
            table.add_row(
                figure, "–" if theirs is None else f"{theirs:.3f}",
                _between(some["peer"]["intervals"].get(figure)), f"{value:.3f}",
                _between(some["ours"]["intervals"][figure]),
                f"{one['difference']:+.3f}" if one else "–",
                f"{low:+.3f} – {high:+.3f}" if one else "–",
                "*" if one and one["beyond_noise"] else "",
            )  # fmt: skip
        console.print(f"\n{name.replace('_', ' ')}; the peer's best: {some['best']}")
        console.print(table)


def _between(some: list[float] | None) -> str:
    return f"{some[0]:.3f} – {some[1]:.3f}" if some else "–"


if __name__ == "__main__":
    main()
