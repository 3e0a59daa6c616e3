"""The method on one page: clean → segment → predict → fuse.

Comes in: raw comments (`schema.RAW`) and loaded things. Goes out: `comments` and `mentions`
batches by their schemas. Left out: duplicates across batches (`clean.duplicates`), files.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import clean, schema
from cxnlp.config import Inference, bundled
from cxnlp.errors import ModelError
from cxnlp.freed import give_back
from cxnlp.fuse import fuse, hit_matrix
from cxnlp.model import registry
from cxnlp.model.card import Card
from cxnlp.model.engine import Engine, Floats, Scores
from cxnlp.model.tokens import Tokens
from cxnlp.names import Names, load_names
from cxnlp.segment import Segmented, Segmenter
from cxnlp.taxonomy import Taxonomy, load_taxonomy
from cxnlp.told import TOLD, apart, together

METHOD = "2"  # of this file and fuse.py: a new number analyses every comment again
MODEL = "models/cxnlp-fr-mini"
TAXONOMY = "configs/taxonomy.yaml"
CONFLICT = 2.0  # stars between mark and text from which they disagree
LONGEST = 50_000  # characters of a text that are analysed; a longer one needs review
BLOCK = 1_024  # texts in memory between segmenting and fusing; more are sorted little better

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was made of a batch: `comments` and `mentions` by their schemas.

    `read` counts the comments whose text the model read; of the others it was known.
    """

    comments: pa.Table
    mentions: pa.Table
    read: int = 0


class Memory(Protocol):
    """What was told of texts before under the same `Analyzer.key` (`cxnlp.cache`)."""

    def find(self, digests: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Table]:
        """Return the row of each text in the table returned, −1 where nothing is known."""

    def add(self, digests: pa.Array, told: pa.Table) -> None:
        """Keep what is told of texts."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A block of texts, ready for the network."""

    texts: list[str]
    segmented: Segmented
    tokens: Tokens
    cues: Floats


class Analyzer:
    """A model, a taxonomy and a segmenter in memory: load once, analyse many batches.

    >>> from cxnlp import Analyzer                                          # doctest: +SKIP
    >>> analyzer = Analyzer.load("models/cxnlp-fr-mini")                    # doctest: +SKIP
    >>> result = analyzer.analyze(["Exposition sublime, mais deux heures de queue."])
    ... # doctest: +SKIP
    """

    def __init__(
        self, engine: Engine, taxonomy: Taxonomy, keep: tuple[str, ...] = ("fr",),
        mask: tuple[str, ...] = clean.KINDS, names: Names | None = None,
    ):  # fmt: skip
        if engine.card.cleaning != clean.VERSION:
            raise ModelError(
                f"model {engine.card.version} was trained on texts of cleaning "
                f"{engine.card.cleaning}, this is cleaning {clean.VERSION}: use a newer model"
            )
        self.taxonomy, self._engine, self._keep, self._mask = taxonomy, engine, keep, mask
        self._segmenter, self._names = Segmenter(taxonomy), names
        number = {f"{kind}:{name}": i for i, (kind, name) in enumerate(self._segmenter.labels)}
        self._cues = [number.get(cue, -1) for cue in engine.card.labels.cues]

    @classmethod
    def load(
        cls, model: str | Path = MODEL, taxonomy: str | Path = TAXONOMY, *,
        inference: Inference | None = None, keep: tuple[str, ...] = ("fr",),
        mask: tuple[str, ...] = clean.KINDS, names: str | None = None,
    ) -> "Analyzer":  # fmt: skip
        """Return an analyzer of a model folder; raises `ModelError` or `TaxonomyError`."""
        how = inference or Inference()
        place = registry.current(bundled(model))
        engine = Engine.load(place, how.device, how.precision, how.max_batch_tokens)
        hiding = load_names(names) if names else None
        analyzer = cls(engine, load_taxonomy(bundled(taxonomy)), keep, mask, hiding)
        give_back()  # what loading left
        return analyzer

    @property
    def model_version(self) -> str:
        return self._engine.card.version

    @property
    def card(self) -> Card:
        return self._engine.card

    @property
    def key(self) -> str:
        """Digest of all that decides the labels of a text."""
        parts = [
            METHOD, clean.VERSION, self.model_version, self._engine.card.decisions,
            self.taxonomy.name, self._keep, self._mask,
        ]  # fmt: skip
        parts += [self._names.version] if self._names else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def analyze(self, texts: Sequence[str]) -> Analysis:
        """Return the analysis of texts that nothing else is known of, in the order given."""
        count = len(texts)
        raw = pa.table({
            "comment_id": [f"{i:08d}" for i in range(count)],
            "source": ["texts"] * count, "channel": ["autre"] * count,
            "text": [_whole(text) for text in texts],
            "file": [""] * count, "row": list(range(1, count + 1)), "row_digest": [""] * count,
        })  # fmt: skip
        return self.analyse(schema.conform(raw, schema.RAW), run_id="")

    def analyse(self, raw: pa.Table, run_id: str, memory: Memory | None = None) -> Analysis:
        """Return comments (same rows, same order as `raw`) and their mentions.

        A text of which `memory` knows the labels is not read again; the answers are the same.
        """
        raw = self._names.hide(raw, self._mask) if self._names else raw
        cleaned = clean.clean(raw["text"], self._keep, self._mask)
        kept = np.flatnonzero(cleaned.set_aside.is_null().to_numpy(zero_copy_only=False))
        codes = cleaned.digests.take(pa.array(kept)).dictionary_encode()
        distinct = np.asarray(codes.indices)
        _, first = np.unique(distinct, return_index=True)
        texts = cleaned.texts.take(pa.array(kept[first]))
        told, new = self._told(texts, codes.dictionary, memory)
        place, aside = np.zeros(len(raw), np.int64), np.ones(len(raw), bool)
        place[kept], aside[kept] = distinct, False
        told = told.take(pa.array(place, mask=aside))
        comments = self._comments(raw, cleaned, told.drop_columns("mentions"), run_id)
        return Analysis(comments, self._mentions(comments, told), int(new[distinct].sum()))

    def scores(self, texts: Sequence[str]) -> tuple[Segmented, Scores]:
        """Return the clauses of cleaned texts and the network's probabilities, undecided."""
        ready = self._prepared(list(texts))
        return ready.segmented, self._engine.scores(ready.tokens, len(texts), ready.cues)

    def _told(
        self, texts: pa.Array, digests: pa.Array, memory: Memory | None
    ) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
        """Return what is told of distinct texts, and of which nothing was known before."""
        if memory is None:
            return self._read(texts), np.ones(len(texts), bool)
        place, known = memory.find(digests)
        new = place < 0
        fresh = self._read(texts.filter(pa.array(new)))
        memory.add(digests.filter(pa.array(new)), fresh)
        place[new] = known.num_rows + np.arange(fresh.num_rows)
        return pa.concat_tables([known, fresh]).take(pa.array(place)), new

    def _read(self, texts: pa.Array) -> pa.Table:
        """Segment, predict and fuse texts block by block, the next one prepared meanwhile."""
        blocks = (
            pc.utf8_slice_codeunits(texts.slice(start, BLOCK), 0, LONGEST).to_pylist()
            for start in range(0, len(texts), BLOCK)
        )
        found = [TOLD.empty_table()]
        for ready in _ahead(self._prepared, blocks):
            scores = self._engine.scores(ready.tokens, len(ready.texts), ready.cues)
            found.append(together(*fuse(
                ready.texts, ready.segmented, self._segmenter.labels, scores, self._engine.card,
                self.taxonomy,
            )))  # fmt: skip
        return pa.concat_tables(found).combine_chunks()

    def _prepared(self, texts: list[str]) -> _Prepared:
        segmented = self._segmenter.split(texts)
        spans = segmented.segments
        hits = hit_matrix(segmented, self._segmenter.labels)
        cues = np.concatenate([hits, np.zeros((len(hits), 1), np.float32)], 1)[:, self._cues]
        places = zip(spans.text.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True)
        pieces = [texts[t][a:b] for t, a, b in places]
        return _Prepared(texts, segmented, self._engine.tokens(pieces, spans.text), cues)

    def _comments(
        self, raw: pa.Table, cleaned: clean.Cleaned, labels: pa.Table, run_id: str
    ) -> pa.Table:
        gap = pc.abs(pc.subtract(labels["satisfaction"], raw["rating"]))
        conflict = pc.greater_equal(gap, CONFLICT)
        doubtful = pc.or_(
            pc.fill_null(conflict, False),
            pc.fill_null(pc.greater(pc.utf8_length(cleaned.texts), LONGEST), False),
        )
        review = pc.or_kleene(labels["needs_review"], doubtful)
        rows = len(raw)
        replies = clean.clean_column(raw["reply_text"], self._mask)
        columns = {
            **{name: raw[name] for name in raw.column_names},
            **{name: labels[name] for name in labels.column_names},
            "day": raw["published_at"].cast(pa.date32()),
            "title": clean.clean_column(raw["title"], self._mask),
            "text": cleaned.texts,
            "reply_text": replies,
            "reply_touchpoints": self._named(replies),
            "language": cleaned.languages,
            "set_aside": cleaned.set_aside,
            "rating_conflict": conflict,
            "needs_review": review,
            "model_version": pa.array([self.model_version] * rows),
            "taxonomy_version": pa.array([self.taxonomy.name] * rows),
            "run_id": pa.array([run_id] * rows, schema.STRING),
            "analysed_at": pa.array([datetime.now(UTC)] * rows, schema.TIMESTAMP),
            "text_digest": cleaned.digests,
            "duplicate_key": cleaned.duplicate_keys,
            "analysis_key": pa.array([self.key] * rows, schema.STRING),
        }
        return schema.conform(pa.table(columns), schema.COMMENTS)

    def _named(self, replies: pa.Array) -> pa.Array:
        """Return the touchpoints whose triggers each reply holds; null where there is none."""
        codes = replies.dictionary_encode()
        codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
        texts = codes.dictionary.to_pylist()
        hits = self._segmenter.split(texts).hits
        found: list[set[str]] = [set() for _ in texts]
        for text, label in zip(hits.text.tolist(), hits.label.tolist(), strict=True):
            kind, name = self._segmenter.labels[label]
            if kind == "touchpoint":
                found[text].add(name)
        return pa.array([sorted(names) for names in found], schema.STRINGS).take(codes.indices)

    def _mentions(self, comments: pa.Table, told: pa.Table) -> pa.Table:
        """Give each comment its own copy of the mentions of its text."""
        owner, mentions = apart(told)
        texts = comments["text"].to_pylist()
        start, end = (mentions[name].to_numpy().tolist() for name in ("start", "end"))
        lineage = ("comment_id", "source", "brand", "day", "published_at", "model_version",
                   "taxonomy_version", "run_id")  # fmt: skip
        whose = comments.select(lineage).take(pa.array(owner))
        columns = {name: mentions[name] for name in mentions.column_names}
        columns |= {name: whose[name] for name in lineage}
        columns["excerpt"] = pa.array(
            [texts[t][a:b] for t, a, b in zip(owner.tolist(), start, end, strict=True)],
            schema.STRING,
        )
        columns["mention_id"] = pc.binary_join_element_wise(
            whose["comment_id"], mentions["start"].cast(pa.string()),
            mentions["end"].cast(pa.string()), pc.fill_null(mentions["touchpoint"], "levier"), "-",
        )  # fmt: skip
        return schema.conform(pa.table(columns), schema.MENTIONS)


def _whole(text: str) -> str:
    """Return a string that can be written: halves of a character are joined, or go.

    >>> _whole("Parfait \\ud83d\\udc4d \\udc4d !")
    'Parfait 👍  !'
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _ahead(prepare: Callable[[_Given], _Made], given: Iterable[_Given]) -> Iterator[_Made]:
    """Yield what `prepare` makes of each, the next being made in a thread meanwhile.

    >>> list(_ahead(str.upper, ["a", "b", "c"]))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for one in given:
            after = thread.submit(prepare, one)
            if waiting:
                yield waiting.result()
            waiting = after
        if waiting:
            yield waiting.result()
