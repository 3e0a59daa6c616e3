"""Probabilities and trigger hits → labels of comments and rows of mentions.

Comes in: the segments and hits of a column of texts, the network's scores, the card's
thresholds. Goes out: two Arrow tables without lineage, one row per text and one per mention.
The network decides; a trigger adds evidence, and decides beside it for a touchpoint or intent
that the network has not learnt well (`card.lexicon`) or not at all. What a comment is said to
speak of and what its mentions say always agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp import schema
from cxnlp.excerpts import places
from cxnlp.model.card import Card
from cxnlp.model.engine import Scores
from cxnlp.segment import Segmented
from cxnlp.taxonomy import Taxonomy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_T = TypeVar("_T", Floats, npt.NDArray[np.int8])

REVIEW_BELOW = 0.55
LEXICON_CONFIDENCE = 0.5
_GAPS = (None, 0, 1, -1)  # promise_gap, each beating those before it
_BEYOND = ("au dela", "au-dela", "au-delà", "mieux que", "attend")
_VALENCE = {"joie": "positif", "surprise": None}


@dataclass(frozen=True, slots=True)
class _Mentions:
    """Column by column: segment, touchpoint (−1: none), confidence, hit."""

    segment: Ints
    touchpoint: Ints
    confidence: Floats
    by_model: Bools
    hit: Bools


@dataclass(frozen=True, slots=True)
class _Emotions:
    """Of each text: the probabilities, which are above their threshold, strongest first."""

    names: tuple[str, ...]
    probabilities: Floats
    above: Bools
    order: Ints

    @classmethod
    def of(cls, scores: Scores, card: Card) -> "_Emotions":
        probabilities = scores.comment["emotions"]
        above = probabilities >= np.array(card.thresholds["emotions"], np.float32)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return cls(card.labels.emotions, probabilities, above, order)

    def lists(self, rows: Ints, flags: Bools) -> pa.Array:
        """Return the names flagged, `flags[i]` being of text `rows[i]`, strongest first."""
        order = self.order[rows]
        ranked = np.take_along_axis(flags, order, 1)
        return _listed(order[ranked], ranked.sum(1), self.names)

    def first(self) -> pa.Array:
        """Return the strongest name of each text, or `neutre`."""
        ranked = np.take_along_axis(self.above, self.order, 1)
        place = self.order[np.arange(len(ranked)), ranked.argmax(1)]
        place[~ranked.any(1)] = len(self.names)
        return pa.array([*self.names, "neutre"], schema.STRING).take(pa.array(place))


def fuse(
    texts: Sequence[str], segmented: Segmented, labels: Sequence[tuple[str, str]],
    scores: Scores, card: Card, taxonomy: Taxonomy,
) -> tuple[pa.Table, pa.Table]:  # fmt: skip
    """Return label columns [texts] and mention columns (with `text`, the row they belong to).

    `labels[i]` is the (kind, id) of hit label i, as the segmenter numbers them.
    """
    owner = segmented.segments.text.astype(np.int64)
    hits = hit_matrix(segmented, labels)
    ids = [t.id for t in taxonomy.touchpoints]
    found = _touchpoints(owner, hits, labels, scores, card, ids)
    levers, lever_ids = _levers(owner, scores, card, taxonomy)
    mentions = _with_lever_alone(found, levers, owner, scores)
    polarity = scores.segment["polarity"]
    side = np.argmax(polarity / np.array(card.thresholds["polarity"], np.float32), 1)
    gap = _promise(texts, segmented, labels, side)
    emotions = _Emotions.of(scores, card)
    comments = _comment_columns(
        scores, card, emotions, _spoken_of(owner, mentions, ids, len(texts)),
        _names(_strongest(levers.view(np.int8), owner, len(texts)) > 0, lever_ids),
        _intents(hits, labels, owner, scores, card),
        _gap(_strongest(gap[:, None], owner, len(texts))[:, 0]),
    )  # fmt: skip
    start, end = places(texts, segmented, labels, mentions.segment, mentions.touchpoint, ids)
    rows = _mention_columns(
        owner, mentions, start, end, ids, _names(levers[mentions.segment], lever_ids), side,
        polarity, gap, emotions, taxonomy,
    )  # fmt: skip
    return comments, rows


def hit_matrix(segmented: Segmented, labels: Sequence[tuple[str, str]]) -> Floats:
    """Return how often each label's triggers occur in each segment, [segments, labels]."""
    found = np.zeros((len(segmented.segments.text), len(labels)), np.float32)
    np.add.at(found, (segmented.hits.segment, segmented.hits.label), 1)
    return found


def _touchpoints(
    owner: Ints, hits: Floats, labels: Sequence[tuple[str, str]], scores: Scores, card: Card,
    ids: list[str],
) -> _Mentions:  # fmt: skip
    known = [ids.index(t) if t in ids else -1 for t in card.labels.touchpoints]
    keep = [i for i, place in enumerate(known) if place >= 0]
    places = [known[i] for i in keep]
    segment = scores.segment["touchpoints"][:, keep]
    comment = scores.comment["touchpoints"][:, keep]
    present = comment >= np.array(card.thresholds["touchpoints"], np.float32)[keep]
    own = np.array(card.thresholds["segment_touchpoints"], np.float32)[keep]
    strongest = _strongest(segment, owner, len(comment))
    chosen = present[owner] & ((segment >= own) | (segment >= strongest[owner]))
    every = np.zeros((len(owner), len(ids)), bool)
    certain = np.full((len(owner), len(ids)), LEXICON_CONFIDENCE, np.float32)
    by_model = np.zeros(len(ids), bool)
    every[:, places], certain[:, places], by_model[places] = chosen, comment[owner], True
    decided = every.copy()
    trusted = np.isin(ids, card.lexicon.get("touchpoints", ()))
    column = {i: labels.index(("touchpoint", i)) for i in ids if ("touchpoint", i) in labels}
    heard = np.zeros_like(every)
    for place, name in enumerate(ids):
        if name in column:
            heard[:, place] = hits[:, column[name]] > 0
    alone = heard & ~decided & (trusted | ~by_model)
    certain[alone] = LEXICON_CONFIDENCE
    rows, columns = np.nonzero(decided | alone)
    at = (rows, columns)
    return _Mentions(*at, certain[at], decided[at], heard[at])


def _levers(owner: Ints, scores: Scores, card: Card, taxonomy: Taxonomy) -> tuple[Bools, list[str]]:
    comment, segment = scores.comment["levers"], scores.segment["levers"]
    present = comment >= np.array(card.thresholds["levers"], np.float32)
    present &= np.isin(card.labels.levers, [lever.id for lever in taxonomy.levers])
    own = np.array(card.thresholds["segment_levers"], np.float32)
    strongest = _strongest(segment, owner, len(comment))
    chosen = present[owner] & ((segment >= own) | (segment >= strongest[owner]))
    return chosen, list(card.labels.levers)


def _with_lever_alone(found: _Mentions, levers: Bools, owner: Ints, scores: Scores) -> _Mentions:
    """Add a mention without touchpoint to each segment that only has levers."""
    alone = np.array(levers.any(1))
    alone[found.segment] = False
    segment = np.flatnonzero(alone)
    certain = np.where(levers, scores.comment["levers"][owner], 0)[segment].max(1, initial=0)
    none = np.zeros(len(segment), bool)
    both = _Mentions(
        np.concatenate([found.segment, segment]),
        np.concatenate([found.touchpoint, np.full(len(segment), -1)]),
        np.concatenate([found.confidence, certain.astype(np.float32)]),
        np.concatenate([found.by_model, ~none]),
        np.concatenate([found.hit, none]),
    )
    order = np.lexsort((-both.confidence, both.segment))
    return _Mentions(
        both.segment[order], both.touchpoint[order], both.confidence[order],
        both.by_model[order], both.hit[order],
    )  # fmt: skip


def _intents(
    hits: Floats, labels: Sequence[tuple[str, str]], owner: Ints, scores: Scores, card: Card
) -> pa.Array:
    found = scores.comment["intents"] >= np.array(card.thresholds["intents"], np.float32)
    for column, name in enumerate(card.labels.intents):
        if name in card.lexicon.get("intents", ()) and ("intent", name) in labels:
            found[owner[hits[:, labels.index(("intent", name))] > 0], column] = True
    return _names(found, list(card.labels.intents))


def _promise(
    texts: Sequence[str], segmented: Segmented, labels: Sequence[tuple[str, str]], side: Ints
) -> npt.NDArray[np.int8]:
    """Place in `_GAPS` of each clause: what was promised or expected against what was lived."""
    gap = np.zeros(len(side), np.int8)
    hits, negative, positive = segmented.hits, 0, 2
    promise = [i for i, (kind, _) in enumerate(labels) if kind == "promise"]
    for k in np.flatnonzero(np.isin(hits.label, promise)):
        segment = int(hits.segment[k])
        words = texts[hits.text[k]][hits.start[k] : hits.end[k]].lower()
        if side[segment] == negative:
            found = -1
        else:
            beyond = side[segment] == positive and any(cue in words for cue in _BEYOND)
            found = 1 if beyond else 0
        gap[segment] = max(gap[segment], _GAPS.index(found))
    return gap


def _gap(place: npt.NDArray[np.int8]) -> pa.Array:
    return pa.array(_GAPS, pa.int8()).take(pa.array(place))


def _comment_columns(
    scores: Scores, card: Card, emotions: _Emotions, touchpoints: pa.Array, levers: pa.Array,
    intents: pa.Array, gap: pa.Array,
) -> pa.Table:  # fmt: skip
    sentiment = scores.comment["sentiment"]
    place = np.argmax(sentiment / np.array(card.thresholds["sentiment"], np.float32), 1)
    names = list(card.labels.sentiment)
    low, high = names.index("negatif"), names.index("positif")
    confidence = sentiment[np.arange(len(place)), place]
    return pa.table({
        "sentiment": pa.array(names, schema.STRING).take(pa.array(place)),
        "sentiment_score": sentiment[:, high] - sentiment[:, low],
        "satisfaction": scores.comment["stars"] @ np.arange(1, 6, dtype=np.float32),
        "emotion": emotions.first(),
        "emotions": emotions.lists(np.arange(len(place)), emotions.above),
        **{
            f"emotion_{name}": emotions.probabilities[:, card.labels.emotions.index(name)]
            for name in schema.EMOTIONS
        },
        "touchpoints": touchpoints,
        "levers": levers,
        "intents": intents,
        "promise_gap": gap,
        "confidence": confidence,
        "needs_review": confidence < REVIEW_BELOW,
    })  # fmt: skip


def _mention_columns(
    owner: Ints, mentions: _Mentions, start: Ints, end: Ints, ids: list[str], levers: pa.Array,
    side: Ints, polarity: Floats, gap: npt.NDArray[np.int8], emotions: _Emotions,
    taxonomy: Taxonomy,
) -> pa.Table:  # fmt: skip
    here, text = mentions.segment, owner[mentions.segment]
    none = mentions.touchpoint < 0
    touchpoint = pa.array(np.maximum(mentions.touchpoint, 0), mask=none)
    stages = pa.array([taxonomy.stage_of(name) for name in ids], schema.STRING)
    fits = np.array([
        [_VALENCE.get(e, "negatif") in (None, polarity) for e in emotions.names]
        for polarity in schema.POLARITIES
    ])  # fmt: skip
    method = np.where(mentions.by_model, np.where(mentions.hit, 2, 1), 0)
    columns = {
        "text": text,
        "segment": here - np.searchsorted(owner, text),
        "start": start,
        "end": end,
        "touchpoint": pa.array(ids, schema.STRING).take(touchpoint),
        "stage": stages.take(touchpoint),
        "levers": levers,
        "sentiment": pa.array(schema.POLARITIES, schema.STRING).take(pa.array(side[here])),
        "sentiment_score": polarity[here, 2] - polarity[here, 0],
        "emotions": emotions.lists(text, emotions.above[text] & fits[side[here]]),
        "promise_gap": _gap(gap[here]),
        "method": pa.array(schema.METHODS, schema.STRING).take(pa.array(method)),
        "confidence": mentions.confidence,
    }
    types = {f.name: f.type for f in schema.MENTIONS.arrow}
    return pa.table({n: pa.array(column, types.get(n)) for n, column in columns.items()})


def _spoken_of(owner: Ints, mentions: _Mentions, ids: list[str], texts: int) -> pa.Array:
    """Return the touchpoints of each text, in the order of its mentions."""
    some = mentions.touchpoint >= 0
    text, place = owner[mentions.segment[some]], mentions.touchpoint[some]
    _, first = np.unique(text * len(ids) + place, return_index=True)
    first.sort()
    return _listed(place[first], np.bincount(text[first], minlength=texts), ids)


def _strongest(values: _T, owner: Ints, texts: int) -> _T:
    """Return the largest value of each column over the rows of each text; `owner` rises."""
    found = np.zeros((texts, values.shape[1]), values.dtype)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    if len(first):
        found[owner[first]] = np.maximum.reduceat(values, first)
    return found


def _names(flags: Bools, names: list[str]) -> pa.Array:
    return _listed(np.nonzero(flags)[1], flags.sum(1), names)


def _listed(places: Ints, counts: Ints, names: Sequence[str]) -> pa.Array:
    """Return lists of names, end to end in `places`, as many to a row as `counts` says."""
    ends = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    values = pa.array(names, schema.STRING).take(pa.array(places, pa.int64()))
    return pa.ListArray.from_arrays(ends, values)
