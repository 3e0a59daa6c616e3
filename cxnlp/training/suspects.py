"""Annotations whose labels are probably wrong: a table to read, most doubtful first.

Comes in: annotated comments. Goes out: a row per comment and head whose labels disagree with what
the rest of the annotations teach, with the labels suggested instead. The classical peer learns
four fifths and tells the other fifth, in turn, so that no comment is told by a model that has
learnt it; cleanlab finds where the label given is less believable than a model of such quality
would leave it (confident learning: Northcutt, Jiang and Chuang 2021, arXiv:1911.00068). Left out:
changing anything, and labels with fewer than `LEAST` examples.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from cxnlp.errors import UsageError
from cxnlp.model.card import Labels
from cxnlp.segment import Segmenter
from cxnlp.taxonomy import Taxonomy
from cxnlp.training.corpus import Example, text_digest
from cxnlp.training.material import cue_columns
from cxnlp.training.peer import HEADS, Peer, heard_in
from cxnlp.training.recipe import labels_for
from cxnlp.training.targets import targets

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
FOLDS = 5
LEAST = 10  # examples of a label, two a fold
TRIGGERS = ("emotions", "touchpoints", "levers")  # heads that the taxonomy's triggers help
SUSPECTS = pa.schema([
    ("comment_id", pa.string()), ("head", pa.string()), ("given", pa.list_(pa.string())),
    ("suggested", pa.list_(pa.string())), ("score", pa.float64()), ("text", pa.string()),
])  # fmt: skip


def suspects(
    examples: Sequence[Example], taxonomy: Taxonomy, tell: Callable[[str], None]
) -> pa.Table:
    """Return `SUSPECTS`; `score` is how believable the labels given are, 0 to 1, lowest first.

    Raises `UsageError` where there is too little to learn from.
    """
    if len(examples) < LEAST * FOLDS:
        raise UsageError(
            f"{len(examples)} annotated comments are too few to tell which are wrong: give "
            f"{LEAST * FOLDS} or more"
        )
    labels = labels_for(taxonomy, list(examples), least=LEAST)
    told = _told(examples, labels, taxonomy, tell)
    wanted = targets(list(examples), labels)
    rows: list[dict[str, Any]] = []
    for head in HEADS:
        find = one_of if head == "sentiment" else each
        instead, score = find(wanted[head] > 0.5, told[head])
        names = getattr(labels, head)
        for row in np.flatnonzero((instead != (wanted[head] > 0.5)).any(1)).tolist():
            rows.append({
                "comment_id": examples[row].id, "head": head, "text": examples[row].text,
                "given": _named(wanted[head][row] > 0.5, names),
                "suggested": _named(instead[row], names), "score": round(float(score[row]), 4),
            })  # fmt: skip
    rows.sort(key=lambda row: (row["score"], row["comment_id"], row["head"]))
    return pa.Table.from_pylist(rows, schema=SUSPECTS)


def write(found: pa.Table, path: Path) -> None:
    """Write a table of `SUSPECTS` as `.csv`, labels of a head in one cell, or as `.json`."""
    if path.suffix not in (".csv", ".json"):
        raise UsageError(f"{path}: expected a name that ends with .csv or .json")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        text = json.dumps(found.to_pylist(), indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        return
    for name in ("given", "suggested"):
        place = found.schema.get_field_index(name)
        found = found.set_column(place, name, pc.binary_join(found[name], " "))
    csv.write_csv(found, path)


def one_of(given: Bools, told: Floats) -> tuple[Bools, Floats]:
    """Return the labels instead, and how believable those given are, where one of several is right.

    >>> right, other = [0.9, 0.1], [0.1, 0.9]
    >>> given = np.eye(2, dtype=bool)[[0] * 5 + [1] * 5]
    >>> instead, score = one_of(given, np.array([right] * 4 + [other] * 6, np.float32))
    >>> np.flatnonzero((instead != given).any(1)).tolist(), round(float(score[4]), 2)
    ([4], 0.1)
    """
    from cleanlab.filter import find_label_issues

    known = np.flatnonzero(given.sum(0) >= LEAST // 2)
    rows = np.flatnonzero(given[:, known].any(1))
    instead, score = given.copy(), np.ones(len(given), np.float32)
    if len(known) < 2:
        return instead, score
    share = told[np.ix_(rows, known)].astype(np.float64)
    share = (share + 1e-6) / (share + 1e-6).sum(1, keepdims=True)
    now = given[np.ix_(rows, known)].argmax(1)
    score[rows] = share[np.arange(len(rows)), now]
    wrong = rows[find_label_issues(now, share, filter_by="both", n_jobs=1)]
    instead[wrong] = np.eye(given.shape[1], dtype=bool)[known[told[np.ix_(wrong, known)].argmax(1)]]
    return instead, score


def each(given: Bools, told: Floats) -> tuple[Bools, Floats]:
    """Return the same where each label is right or not by itself; the worst label counts."""
    instead, score = given.copy(), np.ones(len(given), np.float32)
    for column in np.flatnonzero(given.sum(0) >= LEAST // 2):
        yes = told[:, column]
        both, now = np.stack([1 - yes, yes], 1), given[:, column]
        changed, believed = one_of(np.stack([~now, now], 1), both)
        instead[:, column] = changed[:, 1]
        score = np.where(changed[:, 1] != now, np.minimum(score, believed), score)
    return instead, score


def _told(
    examples: Sequence[Example], labels: Labels, taxonomy: Taxonomy, tell: Callable[[str], None]
) -> dict[str, Floats]:
    """Return probabilities of each comment by a peer that has learnt the other folds.

    A text is in one fold however often it was annotated.
    """
    texts, segmenter = [e.text for e in examples], Segmenter(taxonomy)
    segmented = segmenter.split(texts)
    heard = heard_in(cue_columns(segmented, segmenter.labels, labels), segmented, len(texts))
    fold = np.array([int(text_digest(text), 16) % FOLDS for text in texts])
    found = {head: np.zeros((len(texts), len(getattr(labels, head))), np.float32) for head in HEADS}
    for number in range(FOLDS):
        held, learnt = (np.flatnonzero(fold == number), np.flatnonzero(fold != number))
        peer = Peer(labels, balanced=False)
        peer.triggers = {head: head in TRIGGERS for head in HEADS}
        peer.fit([examples[i] for i in learnt.tolist()], heard[learnt])
        for head, values in peer.predict([texts[i] for i in held], heard[held]).items():
            found[head][held] = values
        tell(f"fold {number + 1} of {FOLDS}: {len(held):,} comments told by {len(learnt):,} others")
    return found


def _named(flags: Bools, names: tuple[str, ...]) -> list[str]:
    return [name for name, yes in zip(names, flags.tolist(), strict=True) if yes]
