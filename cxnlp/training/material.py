"""Texts → token rows with the trigger hits of their clauses, kept in a file.

Comes in: texts, the segmenter, the tokenizer. Goes out: `Material`, saved as safetensors, so that
the training steps need neither spaCy nor the texts. Left out: labels (`targets.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from cxnlp.model.card import Labels
from cxnlp.model.tokens import Tokenizer
from cxnlp.training.corpus import Windows, windows

if TYPE_CHECKING:
    from cxnlp.segment import Segmenter

PART = 4000  # texts that are cut into clauses at a time
Cues = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Material:
    """Rows for training: `windows`, and `cues[i]` [segments, cues], the trigger hits of row i."""

    windows: Windows
    cues: list[Cues]

    def __len__(self) -> int:
        return len(self.cues)

    def __add__(self, other: "Material") -> "Material":
        a, b = self.windows, other.windows
        both = Windows(a.ids + b.ids, a.piece_of + b.piece_of, a.spans + b.spans)
        return Material(both, self.cues + other.cues)

    def save(self, path: Path) -> None:
        """Write all rows to one safetensors file."""
        w = self.windows
        spans = np.array([s for some in w.spans for s in some], np.int32).reshape(-1, 2)
        width = self.cues[0].shape[1] if self.cues else 0
        arrays: dict[str, npt.NDArray[Any]] = {
            "ids": _joined(w.ids), "piece_of": _joined(w.piece_of),
            "tokens": np.array([len(i) for i in w.ids], np.int64), "spans": spans,
            "segments": np.array([len(s) for s in w.spans], np.int64),
            "cues": np.concatenate([*self.cues, np.zeros((0, width), np.uint8)]),
        }  # fmt: skip
        save_arrays(arrays, path)

    @classmethod
    def load(cls, path: Path) -> "Material":
        """Read what `save` wrote."""
        a = load_file(path)
        at, cut = np.cumsum(a["tokens"])[:-1], np.cumsum(a["segments"])[:-1]
        spans = [[(int(b), int(e)) for b, e in some] for some in np.split(a["spans"], cut)]
        rows = Windows(np.split(a["ids"], at), np.split(a["piece_of"], at), spans)
        return cls(rows, np.split(a["cues"], cut))


def save_arrays(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    """Write arrays to a safetensors file, by rows; the library writes memory as it lies."""
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)


def material(
    texts: Sequence[str],
    segmenter: "Segmenter",
    tokenizer: Tokenizer,
    labels: Labels,
    cut: int,
    change: Callable[[str], str] | None = None,
) -> Material:
    """Return the rows of texts as the pipeline would cut them, at most `cut` tokens each.

    `change` rewrites the text of each clause before it is tokenised (augmentation).
    """
    whole: Material | None = None
    for start in range(0, len(texts), PART):
        some = texts[start : start + PART]
        segmented = segmenter.split(list(some))
        spans = spans_of(segmented.segments, len(some))
        heard = cue_columns(segmented, segmenter.labels, labels).clip(0, 255).astype(np.uint8)
        bounds = np.searchsorted(segmented.segments.text, np.arange(1, len(some)))
        rows = windows(some, spans, tokenizer, cut, change)
        part = Material(rows, np.split(heard, bounds))
        whole = part if whole is None else whole + part
    if whole is None:
        raise ValueError("no texts to train on")
    return whole


def spans_of(segments: "object", texts: int) -> list[list[tuple[int, int]]]:
    """Return the characters [start, end) of the clauses of each text."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(texts)]
    columns = (getattr(segments, name).tolist() for name in ("text", "start", "end"))
    for text, start, end in zip(*columns, strict=True):
        found[text].append((start, end))
    return found


def cue_columns(
    segmented: "object", found: tuple[tuple[str, str], ...], labels: Labels
) -> npt.NDArray[np.float32]:
    """Return the hits of each segment in the order of the model's cues."""
    from cxnlp.fuse import hit_matrix

    number = {f"{kind}:{name}": i for i, (kind, name) in enumerate(found)}
    hits = hit_matrix(segmented, found)  # type: ignore[arg-type]
    padded = np.concatenate([hits, np.zeros((len(hits), 1), np.float32)], 1)
    return np.asarray(padded[:, [number.get(cue, -1) for cue in labels.cues]], np.float32)


def _joined(arrays: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate([*arrays, np.zeros(0, np.int32)])
