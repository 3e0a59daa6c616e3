"""Cut cleaned texts into clauses and find the words of the taxonomy in them.

Comes in: cleaned texts and a `Taxonomy`. Goes out: `Segments` (where each clause lies) and
`Hits` (which words point to which label), as columns. Left out: any judgement; a hit is
evidence, the network decides. No statistical model: spaCy gives the vocabulary and the phrase
matcher, a lookup table the lemmas.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from spacy.attrs import LOWER, NORM
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc
from spacy.vocab import Vocab

from cxnlp.clauses import Hit, clauses
from cxnlp.taxonomy import Taxonomy
from cxnlp.words import French

CUE_KINDS: Final = ("touchpoint", "lever", "emotion", "intent", "promise")


@dataclass(frozen=True, slots=True)
class Segments:
    """A clause a row: which text of the batch, its first character and one past the last."""

    text: np.ndarray
    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True, slots=True)
class Hits:
    """A trigger or cue a row: text, row of its clause in `Segments`, place, label."""

    text: np.ndarray
    segment: np.ndarray
    start: np.ndarray
    end: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, slots=True)
class Segmented:
    """The clauses of a batch and the hits in them, both in reading order."""

    segments: Segments
    hits: Hits


class Segmenter:
    """Costly to make (lemmas are read from disk), cheap to call; one per thread.

    >>> from cxnlp.taxonomy import load_taxonomy
    >>> segmenter = Segmenter(load_taxonomy("configs/taxonomy.yaml"))
    >>> text = "Chambre propre, mais deux heures de queue au guichet."
    >>> result = segmenter.split([text])
    >>> segments, hits = result.segments, result.hits
    >>> [text[a:b] for a, b in zip(segments.start, segments.end)]
    ['Chambre propre,', 'mais deux heures de queue au guichet.']
    >>> [text[a:b] for a, b in zip(hits.start, hits.end)][-3:]
    ['propre', 'heures de queue', 'guichet']
    >>> [segmenter.labels[label] for label in hits.label[:2]]
    [('touchpoint', 'chambre_hebergement'), ('touchpoint', 'proprete_hygiene')]
    """

    labels: tuple[tuple[str, str], ...]

    def __init__(self, taxonomy: Taxonomy) -> None:
        cues = [(("touchpoint", t.id), t.triggers) for t in taxonomy.touchpoints]
        cues += [(("lever", x.id), x.cues) for x in taxonomy.levers]
        cues += [(("emotion", x.id), x.cues) for x in taxonomy.emotions if x.cues]
        cues += [(("intent", x.id), x.cues) for x in taxonomy.intents]
        cues += [(("promise", "promesse"), taxonomy.promise_cues)]
        self.labels = tuple(label for label, _ in cues)
        self._fallback = {i for i, t in enumerate(taxonomy.touchpoints) if t.fallback}
        self._precise = {i for i, t in enumerate(taxonomy.touchpoints) if not t.fallback}
        self._matcher = _Matcher()
        for i, ((kind, _), words) in enumerate(cues):
            self._matcher.add(i, words, inflected=kind != "intent")
        for i, touchpoint in enumerate(taxonomy.touchpoints):
            self._matcher.add(~i, touchpoint.excludes, inflected=True)

    def split(self, texts: Sequence[str]) -> Segmented:
        """Return the clauses and hits of `texts`; offsets are indices of each Python string."""
        segments: list[tuple[int, int, int]] = []
        hits: list[tuple[int, int, int, int, int]] = []
        with self._matcher.vocab.memory_zone():  # the words of one batch are forgotten after it
            for row, text in enumerate(texts):
                words = [m.span() for m in _WORD.finditer(text)]
                found = self._strongest(self._matcher.find(text, words))
                named = [hit for hit in found if hit.label in self._precise]
                pieces = clauses(text, words, found, named)
                first = len(segments)
                segments += [(row, start, end) for start, end in pieces]
                hits += [(row, first + at, *hit) for at, hit in self._placed(found, named, pieces)]
        return Segmented(Segments(*_columns(segments, 3)), Hits(*_columns(hits, 5)))

    def _strongest(self, found: list[tuple[int, Hit]]) -> list[Hit]:
        """Return the hits no exclusion covers; of two that overlap in one kind, the longer.

        The same words may carry several labels of one kind, except of touchpoints.
        """
        barred: dict[int, list[Hit]] = {}
        for _, hit in found:
            if hit.label < 0:
                barred.setdefault(~hit.label, []).append(hit)
        kept = []
        owner: dict[tuple[str, int], tuple[int, int]] = {}  # whose is a character, by kind
        for _, (start, end, label) in sorted((x for x in found if x[1].label >= 0), key=_rank):
            if any(x.start <= start and end <= x.end for x in barred.get(label, ())):
                continue
            kind = self.labels[label][0]
            words = None if kind == "touchpoint" else (start, end)
            if all(owner.get((kind, at), words) == words for at in (start, end - 1)):
                kept.append(Hit(start, end, label))
                owner |= dict.fromkeys(((kind, at) for at in range(start, end)), (start, end))
        return sorted(kept)

    def _placed(
        self, found: list[Hit], named: list[Hit], pieces: list[tuple[int, int]]
    ) -> Iterator[tuple[int, Hit]]:
        """Yield each hit with its clause, without fallbacks beside a precise touchpoint."""
        ends = [end for _, end in pieces]
        busy = {bisect_left(ends, hit.end) for hit in named}
        for hit in found:
            at = bisect_left(ends, hit.end)
            if hit.label not in self._fallback or at not in busy:
                yield at, hit


def _rank(found: tuple[int, Hit]) -> tuple[int, int, int, int]:
    on_lemma, (start, end, label) = found
    return start - end, on_lemma, start, label


def _columns(rows: list[Any], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.int32).reshape(-1, width).T


_WORD: Final = re.compile(
    r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)['’ʼ`](?=\w)"  # l'accueil is two words
    r"|aujourd['’]hui|[^\W_]+|\n|[^\w\s/\-‐‑–\ud800-\udfff]",
    re.IGNORECASE,
)


class _Matcher:
    """Phrases found on words as written or on lemmas, whatever the case and missing accents."""

    def __init__(self) -> None:
        french = French()
        known, lemma = lru_cache(1 << 16)(french.known), lru_cache(1 << 16)(french.lemma)
        self.vocab = Vocab(lex_attr_getters={LOWER: known, NORM: lemma})
        self._written = PhraseMatcher(self.vocab, attr="LOWER")
        self._lemmas = PhraseMatcher(self.vocab, attr="NORM")

    def add(self, label: int, phrases: Iterable[str], inflected: bool) -> None:
        """Learn phrases of a label: as written and, if `inflected`, in their other forms."""
        for phrase in phrases:
            words = [m.group() for m in _WORD.finditer(phrase)]
            doc = Doc(self.vocab, words)
            self._written.add(str(label), [doc])
            if inflected and len(words) == 1:
                doc[0].norm_ = doc[0].lower_  # a single word is a lemma already
                forms = [Doc(self.vocab, [words[0] + ending]) for ending in _endings(words[0])]
                self._written.add(str(label), forms)
            if inflected:
                self._lemmas.add(str(label), [doc])

    def find(self, text: str, words: list[tuple[int, int]]) -> list[tuple[int, Hit]]:
        """Return each hit in `text`, with 1 if only its lemmas match."""
        doc = Doc(self.vocab, [text[start:end] for start, end in words])
        strings = self.vocab.strings
        found: dict[Hit, int] = {}
        for on_lemma, matcher in enumerate((self._written, self._lemmas)):
            for key, first, stop in matcher(doc):
                hit = Hit(words[first][0], words[stop - 1][1], int(strings[key]))
                found.setdefault(hit, on_lemma)
        return [(on_lemma, hit) for hit, on_lemma in found.items()]


def _endings(word: str) -> tuple[str, ...]:
    """Return what makes the other written forms of a single trigger that the lemmas may miss."""
    if word[-1] in "éiu":
        return "s", "e", "es"
    return () if word[-1] in "sxz" else ("s",)
