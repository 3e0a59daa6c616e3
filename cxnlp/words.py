"""French words: how they are compared, which there are, and their lemmas.

Comes in: words as customers write them. Goes out: the form or the lemma they are compared by.
Left out: context; without a statistical model, a form has one lemma wherever it stands.
"""

import gzip
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any, Final


def plain(text: str) -> str:
    """Return text as it is compared: no case, accents, ligatures; hyphen and slash are spaces.

    >>> plain("Hors-d’Œuvre à l'ÉTÉ")
    "hors d'oeuvre a l'ete"
    """
    return " ".join(_bare(_lower(text).translate(_SPACES)).split())


class French:
    """What is known of French words: which there are, and their lemmas. Slow to make.

    >>> french = French()
    >>> [french.known(word) for word in ("DEGOUTANT", "Cœurs", "casse", "cassé", "suuuper")]
    ['dégoûtant', 'coeurs', 'casse', 'cassé', 'super']
    >>> [french.lemma(word) for word in ("Vendeuses", "livrée", "livree", "n’", "l", "xyz")]
    ['vendeur', 'livrer', 'livrer', 'ne', 'le', 'xyz']
    """

    def __init__(self) -> None:
        self._lemmas, self._words, self._accented, self._verbs = _tables()

    def known(self, word: str) -> str:
        """Return the word in lower case, with the accents that make it a French word."""
        word = _STRETCHED.sub(r"\1", _lower(word))
        if word in self._words:
            return word
        bare = _bare(word)
        return bare if bare in self._words else self._accented.get(bare, bare)

    def lemma(self, word: str) -> str:
        """Return the lemma, by preference a verb; the word itself if there is none."""
        word = self.known(word)
        lemma = self._lemmas.get(word, word)
        if lemma == word and (participle := _PARTICIPLE.search(word)):
            verb = word[: participle.start()] + "er"
            lemma = verb if verb in self._verbs else lemma
        return lemma


@cache
def _tables() -> tuple[dict[str, str], set[str], dict[str, str], set[str]]:
    """Return form → lemma, all words, form without accents → word, verbs."""
    table, index = _shipped("fr_lemma_lookup"), _shipped("fr_lemma_index")
    forms, found = _each(_lower, table), _each(_lower, (lemmas[0] for lemmas in table.values()))
    lemmas = dict(zip(forms, map(sys.intern, found), strict=True)) | _SMALL_WORDS
    words = {*lemmas, *lemmas.values(), *_each(_lower, chain(*index.values()))}
    words = (words | {"de", "dans", "par", "pour", "sur", "sans", "votre"}) - {"à"}
    # of « équipe » and « équipé », who writes « equipe » means the one with fewer accents
    accented = sorted((w for w in words if not w.isascii()), key=lambda w: (-len(w.encode()), w))
    bare = dict(zip(_each(_bare, accented), accented, strict=True))
    return lemmas, words, bare, set(_each(_lower, index["verb"]))


def _shipped(name: str) -> Any:
    data = (files("spacy_lookups_data") / "data" / f"{name}.json.gz").read_bytes()
    return json.loads(gzip.decompress(data))


def _each(change: Callable[[str], str], words: Iterable[str]) -> list[str]:
    return change("\n".join(words)).split("\n")  # one call for 200,000 words: ten times faster


def _lower(text: str) -> str:
    return text.lower().translate(_SAME)


def _bare(text: str) -> str:
    return text if text.isascii() else _MARKS.sub("", unicodedata.normalize("NFD", text))


_SAME: Final = str.maketrans({"œ": "oe", "æ": "ae"} | dict.fromkeys("’‘ʼ`", "'"))
_SPACES: Final = str.maketrans(dict.fromkeys("-‐‑–/", " "))
_MARKS: Final = re.compile("[\u0300-\u036f]")
_STRETCHED: Final = re.compile(r"([^\W\d_])\1{2,}")  # suuuper
_PARTICIPLE: Final = re.compile(r"ée?s?$")
_PLURALS: Final = ("les", "des", "aux", "mes", "tes", "ses", "nos", "vos", "leurs", "ces")
_SMALL_WORDS: Final = {
    "l": "le", "d": "de", "d'": "de", "du": "de", "au": "a", "a": "a", "qu": "que", "qu'": "que",
    "n": "ne", "j": "je", "s": "se", "m": "me", "t": "te", "c": "ce", "c'": "ce",
    "est": "être", "suis": "être", "sommes": "être", "es": "être",
    **{word: word for word in _PLURALS},  # « les services » are not « le service »
}  # fmt: skip
