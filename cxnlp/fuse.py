"""Probabilities and trigger hits → labels of comments and rows of mentions.

Comes in: the segments and hits of a column of texts, the network's scores, the card's
thresholds. Goes out: two Arrow tables without lineage, one row per text and one per mention.
The network decides; a trigger adds evidence, and decides beside it for a touchpoint or intent
that the network has not learnt well (`card.lexicon`) or not at all. What a comment is said to
speak of and what its mentions say always agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cxnlp import schema
from cxnlp.model.card import Card
from cxnlp.model.engine import Scores
from cxnlp.segment import Segmented
from cxnlp.taxonomy import Taxonomy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LONG_CLAUSE = 12  # words; in a longer one the excerpt is the trigger and the words around it
REVIEW_BELOW = 0.55
LEXICON_CONFIDENCE = 0.5
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
    emotions, probabilities = _emotions(scores, card)
    comments = _comment_columns(
        scores, card, emotions, probabilities, _lists(owner, mentions, ids, len(texts)),
        _names(_any(levers, owner, len(texts)), lever_ids),
        _intents(hits, labels, owner, scores, card), _comment_gap(gap, owner, len(texts)),
    )  # fmt: skip
    rows = _mention_columns(
        texts, segmented, labels, mentions, ids, levers, lever_ids, side, polarity, gap, emotions,
        taxonomy,
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
    strongest = _maximum(segment, owner, len(comment))
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
    return _Mentions(
        rows, columns, certain[rows, columns], decided[rows, columns], heard[rows, columns]
    )


def _levers(owner: Ints, scores: Scores, card: Card, taxonomy: Taxonomy) -> tuple[Bools, list[str]]:
    comment, segment = scores.comment["levers"], scores.segment["levers"]
    present = comment >= np.array(card.thresholds["levers"], np.float32)
    present &= np.isin(card.labels.levers, [lever.id for lever in taxonomy.levers])
    own = np.array(card.thresholds["segment_levers"], np.float32)
    strongest = _maximum(segment, owner, len(comment))
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


def _emotions(scores: Scores, card: Card) -> tuple[list[list[str]], Floats]:
    probabilities = scores.comment["emotions"]
    above = probabilities >= np.array(card.thresholds["emotions"], np.float32)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    names = card.labels.emotions
    return [
        [names[i] for i in row if up[i]] for row, up in zip(order, above, strict=True)
    ], probabilities


def _intents(
    hits: Floats, labels: Sequence[tuple[str, str]], owner: Ints, scores: Scores, card: Card
) -> list[list[str]]:
    found = scores.comment["intents"] >= np.array(card.thresholds["intents"], np.float32)
    for column, name in enumerate(card.labels.intents):
        if name in card.lexicon.get("intents", ()) and ("intent", name) in labels:
            found[owner[hits[:, labels.index(("intent", name))] > 0], column] = True
    return _names(found, list(card.labels.intents))


def _promise(
    texts: Sequence[str], segmented: Segmented, labels: Sequence[tuple[str, str]], side: Ints
) -> list[int | None]:
    """−1 where an expectation is spoken of in a bad clause, +1 beyond it, 0 as promised."""
    gap: list[int | None] = [None] * len(side)
    hits, negative, positive = segmented.hits, 0, 2
    promise = [i for i, (kind, _) in enumerate(labels) if kind == "promise"]
    for k in np.flatnonzero(np.isin(hits.label, promise)):
        segment = int(hits.segment[k])
        words = texts[hits.text[k]][hits.start[k] : hits.end[k]].lower()
        if side[segment] == negative:
            gap[segment] = -1
        elif side[segment] == positive and any(cue in words for cue in _BEYOND):
            gap[segment] = 1
        elif gap[segment] is None:
            gap[segment] = 0
    return gap


def _comment_gap(gap: list[int | None], owner: Ints, texts: int) -> list[int | None]:
    found: list[int | None] = [None] * texts
    for text, one in zip(owner.tolist(), gap, strict=True):
        before = found[text]
        if one is not None and (before is None or one < 0 or before == 0):
            found[text] = one if before is None or before >= 0 else before
    return found


def _comment_columns(
    scores: Scores, card: Card, emotions: list[list[str]], probabilities: Floats,
    touchpoints: list[list[str]], levers: list[list[str]], intents: list[list[str]],
    gap: list[int | None],
) -> pa.Table:  # fmt: skip
    sentiment = scores.comment["sentiment"]
    place = np.argmax(sentiment / np.array(card.thresholds["sentiment"], np.float32), 1)
    names = list(card.labels.sentiment)
    low, high = names.index("negatif"), names.index("positif")
    confidence = sentiment[np.arange(len(place)), place]
    return pa.table({
        "sentiment": pa.array([names[i] for i in place], schema.STRING),
        "sentiment_score": sentiment[:, high] - sentiment[:, low],
        "satisfaction": scores.comment["stars"] @ np.arange(1, 6, dtype=np.float32),
        "emotion": pa.array([e[0] if e else "neutre" for e in emotions], schema.STRING),
        "emotions": pa.array(emotions, schema.STRINGS),
        **{
            f"emotion_{name}": probabilities[:, card.labels.emotions.index(name)]
            for name in schema.EMOTIONS
        },
        "touchpoints": pa.array(touchpoints, schema.STRINGS),
        "levers": pa.array(levers, schema.STRINGS),
        "intents": pa.array(intents, schema.STRINGS),
        "promise_gap": pa.array(gap, pa.int8()),
        "confidence": confidence,
        "needs_review": confidence < REVIEW_BELOW,
    })  # fmt: skip


def _mention_columns(
    texts: Sequence[str], segmented: Segmented, labels: Sequence[tuple[str, str]],
    mentions: _Mentions, ids: list[str], levers: Bools, lever_ids: list[str], side: Ints,
    polarity: Floats, gap: list[int | None], emotions: list[list[str]], taxonomy: Taxonomy,
) -> pa.Table:  # fmt: skip
    segments, owner = segmented.segments, segmented.segments.text
    first = np.searchsorted(owner, owner, side="left")
    trigger = {
        (int(s), labels[int(n)][1]): (int(a), int(b))
        for s, n, a, b in zip(
            segmented.hits.segment, segmented.hits.label, segmented.hits.start,
            segmented.hits.end, strict=True,
        )
        if labels[int(n)][0] == "touchpoint"
    }  # fmt: skip
    rows: dict[str, list[object]] = {
        name: [] for name in (
            "text", "segment", "start", "end", "excerpt", "touchpoint", "stage", "levers",
            "sentiment", "sentiment_score", "emotions", "promise_gap", "method", "confidence",
        )
    }  # fmt: skip
    for k, s in enumerate(mentions.segment.tolist()):
        text = int(owner[s])
        name = ids[mentions.touchpoint[k]] if mentions.touchpoint[k] >= 0 else None
        span = (int(segments.start[s]), int(segments.end[s]))
        if name is not None and (s, name) in trigger:
            span = _excerpt(texts[text], span, trigger[s, name])
        span = _trimmed(texts[text], span)
        sentiment = schema.POLARITIES[side[s]]
        method = "les_deux" if mentions.hit[k] else "modele"
        values = (
            text, s - int(first[s]), *span, texts[text][span[0] : span[1]], name,
            taxonomy.stage_of(name) if name else None,
            [lever for lever, here in zip(lever_ids, levers[s], strict=True) if here],
            sentiment, float(polarity[s, 2] - polarity[s, 0]),
            [e for e in emotions[text] if _VALENCE.get(e, "negatif") in (None, sentiment)],
            gap[s], method if mentions.by_model[k] else "lexique", float(mentions.confidence[k]),
        )  # fmt: skip
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    types = {f.name: f.type for f in schema.MENTIONS.arrow} | {"text": pa.int64()}
    return pa.table({name: pa.array(column, types[name]) for name, column in rows.items()})


def _excerpt(text: str, clause: tuple[int, int], trigger: tuple[int, int]) -> tuple[int, int]:
    """The clause, or in a long one the trigger with some five words on each side.

    >>> _excerpt("un mot " * 10 + "la file d'attente " + "un mot " * 10, (0, 156), (73, 87))
    (56, 101)
    """
    if len(text[clause[0] : clause[1]].split()) <= LONG_CLAUSE:
        return clause
    before = text[clause[0] : trigger[0]].split()[-5:]
    start = trigger[0]
    for word in reversed(before):
        start = text.rindex(word, clause[0], start)
    end = trigger[1]
    for word in text[trigger[1] : clause[1]].split()[:4]:
        end = text.index(word, end, clause[1]) + len(word)
    return start, end


def _trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Leave out a comma or dash at either end.

    >>> _trimmed("Accueil charmant, mais", (0, 17))
    (0, 16)
    """
    words = text[span[0] : span[1]]
    inner = words.strip(" ,;:-–—(") or words
    start = span[0] + words.index(inner)
    return start, start + len(inner)


def _lists(owner: Ints, mentions: _Mentions, ids: list[str], texts: int) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(texts)]
    for segment, place in zip(mentions.segment.tolist(), mentions.touchpoint.tolist(), strict=True):
        some = found[int(owner[segment])]
        if place >= 0 and ids[place] not in some:
            some.append(ids[place])
    return found


def _any(flags: Bools, owner: Ints, texts: int) -> Bools:
    found = np.zeros((texts, flags.shape[1]), bool)
    np.logical_or.at(found, owner, flags)
    return found


def _maximum(values: Floats, owner: Ints, texts: int) -> Floats:
    found = np.zeros((texts, values.shape[1]), np.float32)
    np.maximum.at(found, owner, values)
    return found


def _names(flags: Bools, names: list[str]) -> list[list[str]]:
    return [[n for n, up in zip(names, row, strict=True) if up] for row in flags]
