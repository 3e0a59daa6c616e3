"""The method on one page: clean → segment → predict → fuse.

Comes in: raw comments (`schema.RAW`) and loaded things. Goes out: `comments` and `mentions`
batches by their schemas. Left out: duplicates across batches (`clean.duplicates`), files.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxnlp import clean, schema
from cxnlp.config import Inference, bundled
from cxnlp.errors import ModelError
from cxnlp.fuse import fuse, hit_matrix
from cxnlp.model.card import Card
from cxnlp.model.engine import Engine, Scores
from cxnlp.segment import Segmented, Segmenter
from cxnlp.taxonomy import Taxonomy, load_taxonomy

METHOD = "2"  # of this file and fuse.py: a new number analyses every comment again
MODEL = "models/cxnlp-fr-mini"
TAXONOMY = "configs/taxonomy.yaml"
CONFLICT = 2.0  # stars between mark and text from which they disagree
LABELS = (
    "sentiment", "sentiment_score", "satisfaction", "emotion", "emotions",
    *(f"emotion_{e}" for e in schema.EMOTIONS), "touchpoints", "levers", "intents",
    "promise_gap", "rating_conflict", "confidence", "needs_review",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was made of a batch: `comments` and `mentions` by their schemas."""

    comments: pa.Table
    mentions: pa.Table


class Analyzer:
    """A model, a taxonomy and a segmenter in memory: load once, analyse many batches.

    >>> from cxnlp import Analyzer                                          # doctest: +SKIP
    >>> analyzer = Analyzer.load("models/cxnlp-fr-mini")                    # doctest: +SKIP
    >>> result = analyzer.analyze(["Exposition sublime, mais deux heures de queue."])
    ... # doctest: +SKIP
    """

    def __init__(
        self, engine: Engine, taxonomy: Taxonomy, keep: tuple[str, ...] = ("fr",),
        mask: tuple[str, ...] = clean.KINDS,
    ):  # fmt: skip
        if engine.card.cleaning != clean.VERSION:
            raise ModelError(
                f"model {engine.card.version} was trained on texts of cleaning "
                f"{engine.card.cleaning}, this is cleaning {clean.VERSION}: use a newer model"
            )
        self.taxonomy, self._engine, self._keep, self._mask = taxonomy, engine, keep, mask
        self._segmenter = Segmenter(taxonomy)
        number = {f"{kind}:{name}": i for i, (kind, name) in enumerate(self._segmenter.labels)}
        self._cues = [number.get(cue, -1) for cue in engine.card.labels.cues]

    @classmethod
    def load(
        cls, model: str | Path = MODEL, taxonomy: str | Path = TAXONOMY, *,
        inference: Inference | None = None, keep: tuple[str, ...] = ("fr",),
        mask: tuple[str, ...] = clean.KINDS,
    ) -> "Analyzer":  # fmt: skip
        """Return an analyzer of a model folder; raises `ModelError` or `TaxonomyError`."""
        how = inference or Inference()
        engine = Engine.load(bundled(model), how.device, how.precision, how.max_batch_tokens)
        return cls(engine, load_taxonomy(bundled(taxonomy)), keep, mask)

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
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def analyze(self, texts: Sequence[str]) -> Analysis:
        """Return the analysis of texts that nothing else is known of, in the order given."""
        count = len(texts)
        raw = pa.table({
            "comment_id": [f"{i:08d}" for i in range(count)],
            "source": ["texts"] * count, "channel": ["autre"] * count, "text": list(texts),
            "file": [""] * count, "row": list(range(1, count + 1)), "row_digest": [""] * count,
        })  # fmt: skip
        return self.analyse(schema.conform(raw, schema.RAW), run_id="")

    def analyse(self, raw: pa.Table, run_id: str) -> Analysis:
        """Return comments (same rows, same order as `raw`) and their mentions."""
        cleaned = clean.clean(raw["text"], self._keep, self._mask)
        kept = np.flatnonzero(cleaned.set_aside.is_null().to_numpy(zero_copy_only=False))
        codes = cleaned.digests.take(pa.array(kept)).dictionary_encode()
        distinct = np.asarray(codes.indices)
        _, first = np.unique(distinct, return_index=True)
        texts = cleaned.texts.take(pa.array(kept[first])).to_pylist()
        labels, found = self._labels(texts)
        place = pa.array(_scatter(len(raw), kept, distinct), mask=~_flags(len(raw), kept))
        comments = self._comments(raw, cleaned, labels.take(place), run_id)
        return Analysis(comments, self._mentions(comments, found, kept, distinct))

    def scores(self, texts: Sequence[str]) -> tuple[Segmented, Scores]:
        """Return the clauses of cleaned texts and the network's probabilities, undecided."""
        segmented = self._segmenter.split(texts)
        spans = segmented.segments
        hits = hit_matrix(segmented, self._segmenter.labels)
        heard = np.concatenate([hits, np.zeros((len(hits), 1), np.float32)], 1)[:, self._cues]
        pieces = [
            texts[t][a:b]
            for t, a, b in zip(
                spans.text.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True
            )
        ]
        return segmented, self._engine.predict(pieces, spans.text, len(texts), heard)

    def _labels(self, texts: list[str]) -> tuple[pa.Table, pa.Table]:
        segmented, scores = self.scores(texts)
        return fuse(
            texts, segmented, self._segmenter.labels, scores, self._engine.card, self.taxonomy
        )

    def _comments(
        self, raw: pa.Table, cleaned: clean.Cleaned, labels: pa.Table, run_id: str
    ) -> pa.Table:
        gap = pc.abs(pc.subtract(labels["satisfaction"], raw["rating"]))
        conflict = pc.greater_equal(gap, CONFLICT)
        review = pc.or_kleene(labels["needs_review"], pc.fill_null(conflict, False))
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

    def _mentions(
        self, comments: pa.Table, found: pa.Table, kept: np.ndarray, distinct: np.ndarray
    ) -> pa.Table:
        """Give each comment its own copy of the mentions of its text."""
        bounds = np.searchsorted(found["text"].to_numpy(), np.arange(distinct.max(initial=-1) + 2))
        counts = np.diff(bounds)[distinct] if len(distinct) else np.zeros(0, np.int64)
        owner = np.repeat(kept, counts)
        rows = _ranges(bounds[:-1][distinct] if len(distinct) else counts, counts)
        mentions = found.take(pa.array(rows)).drop_columns("text")
        whose = comments.take(pa.array(owner))
        ids = [
            f"{c}-{a}-{b}-{t or lever}"
            for c, a, b, t, lever in zip(
                whose["comment_id"].to_pylist(), mentions["start"].to_pylist(),
                mentions["end"].to_pylist(), mentions["touchpoint"].to_pylist(),
                ("levier",) * len(owner), strict=True,
            )
        ]  # fmt: skip
        lineage = ("comment_id", "source", "brand", "day", "published_at", "model_version",
                   "taxonomy_version", "run_id")  # fmt: skip
        columns = {name: mentions[name] for name in mentions.column_names}
        columns |= {name: whose[name] for name in lineage}
        return schema.conform(pa.table({**columns, "mention_id": ids}), schema.MENTIONS)


def set_aside_duplicates(
    comments: pa.Table, mentions: pa.Table, duplicate_of: pa.Array
) -> tuple[pa.Table, pa.Table]:
    """Return the tables with the labels of duplicates emptied and their mentions left out.

    `duplicate_of` [comments] names the comment that each repeats, or is null.
    """
    repeated = duplicate_of.is_valid()
    if not pc.any(repeated).as_py():
        return comments, mentions
    for name in LABELS:
        place = comments.column_names.index(name)
        values = comments[name]
        emptied = pc.if_else(repeated, pa.scalar(None, values.type), values)
        comments = comments.set_column(place, comments.schema.field(name), emptied)
    for name, values in (
        ("set_aside", pc.if_else(repeated, "doublon", comments["set_aside"])),
        ("duplicate_of", duplicate_of),
    ):
        place = comments.column_names.index(name)
        comments = comments.set_column(place, comments.schema.field(name), values)
    gone = comments["comment_id"].filter(repeated)
    return comments, mentions.filter(pc.invert(pc.is_in(mentions["comment_id"], gone)))


def _scatter(rows: int, kept: np.ndarray, values: np.ndarray) -> np.ndarray:
    found = np.zeros(rows, np.int64)
    found[kept] = values
    return found


def _flags(rows: int, kept: np.ndarray) -> np.ndarray:
    found = np.zeros(rows, bool)
    found[kept] = True
    return found


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the numbers starts[i] … starts[i] + counts[i] − 1, end to end.

    >>> _ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    steps = np.arange(int(counts.sum()))
    return np.asarray(steps + np.repeat(starts - before, counts))
