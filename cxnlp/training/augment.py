"""Clauses as people type them in a hurry: without accents, with slips of the finger.

So that a model reads « deçu », « DECU » and « décu » alike. Case is folded by the tokenizer.
"""

import unicodedata
from collections.abc import Callable

import numpy as np

_NEAR = {
    "a": "zq", "e": "rz", "i": "uo", "o": "ip", "u": "yi", "s": "dq", "t": "ry", "n": "b",
    "r": "te", "l": "km", "m": "l", "p": "o", "d": "sf", "c": "xv",
}  # fmt: skip  # neighbours on an AZERTY keyboard


def hasty(seed: int, slips: float = 0.012) -> Callable[[str], str]:
    """Return a function that retypes a text; `slips` is the chance of one per letter.

    >>> hasty(0, slips=0)("Très déçue")
    'Tres decue'
    """
    random = np.random.default_rng(seed)

    def change(text: str) -> str:
        if slips == 0 or random.random() < 0.6:
            text = without_accents(text)
        letters = []
        for letter, chance, kind in zip(text, random.random(len(text)),
                                        random.integers(0, 4, len(text)), strict=True):  # fmt: skip
            if chance >= slips or not letter.isalpha():
                letters.append(letter)
            elif kind == 1:
                letters.append(letter * 2)
            elif kind == 2 and letter in _NEAR:
                letters.append(_NEAR[letter][int(random.integers(0, len(_NEAR[letter])))])
            elif kind == 3 and letters:
                letters.insert(len(letters) - 1, letter)
        return "".join(letters)

    return change


def without_accents(text: str) -> str:
    """Return the text without accents and cedillas.

    >>> without_accents("Ça a coûté cher")
    'Ca a coute cher'
    """
    parts = unicodedata.normalize("NFD", text)
    return "".join(c for c in parts if not unicodedata.combining(c))
