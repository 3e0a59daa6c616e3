"""Comments of a warehouse → which are worth a person's time, and why each.

Comes in: columns of `comments`. Goes out: row numbers with a reason of `WHY`. A fixed share is
drawn at random, so that scores on it are those of a night; the others are chosen in turn: the
model is unsure, a label it gives is rare, text and stars disagree, or the words are unlike those
of the comments already chosen. The same rows and seed give the same choice.
"""

import re
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
WHY = ("random", "uncertain", "rare", "stars", "diverse")
COLUMNS = (
    "comment_id", "text", "text_digest", "set_aside", "source", "rating", "sentiment", "emotions",
    "intents", "touchpoints", "satisfaction", "confidence", "model_version",
)  # fmt: skip
CONFLICT = 2.0  # stars between mark and text from which they disagree
SAMPLE = 4_000  # comments among which unlike ones are searched
BUCKETS = 512
_WORD = re.compile(r"\w{4,}")


def eligible(comments: pa.Table) -> pa.Table:
    """Return the comments that were analysed, each text once, by id."""
    kept = comments.filter(
        pc.and_(pc.is_null(comments["set_aside"]), pc.is_valid(comments["text"]))
    )
    kept = kept.sort_by("comment_id").combine_chunks()
    digests = kept["text_digest"].combine_chunks().dictionary_encode().indices
    _, first = np.unique(digests.to_numpy(zero_copy_only=False), return_index=True)
    return kept.take(pa.array(np.sort(first)))


def choose(comments: pa.Table, count: int, share: float = 0.2, seed: int = 7) -> dict[int, str]:
    """Return row → why of `count` rows of `eligible` comments, or of all if there are fewer."""
    random = np.random.default_rng(seed)
    rows = comments.num_rows
    order = random.permutation(rows)
    count = min(count, rows)
    chosen = {int(row): "random" for row in order[: round(count * share)]}
    queues = {
        "uncertain": _uncertain(comments), "rare": _rare(comments, order),
        "stars": _stars(comments), "diverse": _diverse(comments, order[:SAMPLE], chosen),
    }  # fmt: skip
    while len(chosen) < count and queues:
        for why, queue in list(queues.items()):
            row = next((r for r in queue if r not in chosen), None)
            if row is None:
                del queues[why]
            elif len(chosen) < count:
                chosen[row] = why
    return chosen


def _uncertain(comments: pa.Table) -> Iterator[int]:
    confidence = pc.fill_null(comments["confidence"], 1.0).to_numpy()
    yield from np.argsort(confidence, kind="stable").tolist()


def _stars(comments: pa.Table) -> Iterator[int]:
    """Yield rows whose mark and text disagree, those that do most first."""
    gap = pc.abs(pc.subtract(comments["rating"], comments["satisfaction"]))
    values = pc.fill_null(gap, 0).to_numpy()
    order = np.argsort(-values, kind="stable")
    yield from order[values[order] >= CONFLICT].tolist()


def _rare(comments: pa.Table, order: Ints) -> Iterator[int]:
    """Yield a row of each label that the model gives, the rarest label first, again and again."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    members: list[Ints] = []
    for head in ("sentiment", "emotions", "intents", "touchpoints"):
        column = comments[head].combine_chunks()
        if pa.types.is_list(column.type):
            owner, names = pc.list_parent_indices(column), pc.list_flatten(column)
        else:
            owner, names = pa.array(np.arange(len(column))), column
        codes = names.dictionary_encode().indices
        label = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
        of = owner.to_numpy(zero_copy_only=False)
        members += [of[label == code] for code in np.unique(label[label >= 0])]
    members = [some[np.argsort(place[some])] for some in members]
    members.sort(key=lambda some: (len(some), int(some[0])))
    for turn in range(max(map(len, members), default=0)):
        yield from (int(some[turn]) for some in members if turn < len(some))


def _diverse(comments: pa.Table, sample: Ints, chosen: dict[int, str]) -> Iterator[int]:
    """Yield the row of the sample whose words are least like those of any chosen row."""
    words = _words(comments["text"].take(pa.array(sample)).to_pylist())
    nearest = np.where(np.linalg.norm(words, axis=1) > 0, 0.0, np.inf)
    seen: set[int] = set()
    while True:
        for at, row in enumerate(sample.tolist()):
            if row in chosen and row not in seen:
                seen.add(row)
                nearest = np.maximum(nearest, words @ words[at])
                nearest[at] = np.inf
        best = int(np.argmin(nearest)) if len(nearest) else 0
        if not len(nearest) or np.isinf(nearest[best]):
            return
        nearest[best] = np.inf if int(sample[best]) in seen else nearest[best]
        yield int(sample[best])


def _words(texts: list[str]) -> npt.NDArray[np.float32]:
    """Return [texts, BUCKETS] of length 1: square roots of how often hashed words occur.

    A text of fewer than three such words is all zeros: it is unlike others because it is short.
    """
    found = np.zeros((len(texts), BUCKETS), np.float32)
    for row, text in zip(found, texts, strict=True):
        codes = [zlib.crc32(word.encode()) % BUCKETS for word in _WORD.findall(text.lower())]
        if len(codes) >= 3:
            np.add.at(row, codes, 1)
    found = np.sqrt(found)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9),
                      np.float32)  # fmt: skip
