"""Names of people in texts → [nom], by a spaCy model that the user has.

Comes in: raw comments, or rejects. Goes out: the same rows with each person's name replaced in
titles, texts and answers. Left out: a model, which is not part of cxnlp; names that it does not
find, and places. Without `privacy.names_model` nothing of this is loaded.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import spacy

from cxnlp.clean import KINDS, clean_column
from cxnlp.errors import ConfigError

MARK: Final = "[nom]"
_PEOPLE: Final = ("PER", "PERSON")
_UNUSED: Final = ("tagger", "parser", "lemmatizer", "attribute_ruler", "morphologizer", "senter")
_BATCH: Final = 256
_LONGEST: Final = 100_000  # characters that are looked at at once


class Names:
    """A spaCy pipeline in memory that finds people: load once, hide many times."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    @property
    def version(self) -> str:
        """The name and version that the model gives itself."""
        meta = self._pipeline.meta
        return f"{meta['lang']}_{meta['name']}-{meta['version']}"

    def hide(self, rows: pa.Table, mask: tuple[str, ...] = KINDS) -> pa.Table:
        """Return rows without names in their texts, which are repaired and masked for that."""
        for name in ("title", "text", "reply_text", "detail", "raw"):
            if name in rows.column_names:
                place, field = rows.column_names.index(name), rows.schema.field(name)
                written = rows[name]
                if name not in ("detail", "raw"):
                    written = clean_column(written, mask)
                rows = rows.set_column(place, field, self._hidden(written.to_pylist()))
        return rows

    def text(self, text: str) -> str:
        """Return a text without the names of people."""
        return "".join(
            self._without(doc) for doc in self._pipeline.pipe(_pieces(text), batch_size=_BATCH)
        )

    def _hidden(self, texts: list[str | None]) -> pa.Array:
        """Look at each distinct text once."""
        distinct = list(dict.fromkeys(filter(None, texts)))
        short = [text for text in distinct if len(text) <= _LONGEST]
        docs = self._pipeline.pipe(short, batch_size=_BATCH)
        found = {text: self._without(doc) for text, doc in zip(short, docs, strict=True)}
        found |= {text: self.text(text) for text in distinct if text not in found}
        return pa.array([found[text] if text else text for text in texts], pa.string())

    @staticmethod
    def _without(doc: Any) -> str:
        pieces, done = [], 0
        for found in doc.ents:
            start, end = found.start_char, found.end_char
            marked = doc.text[start - 1 : start] == "[" and doc.text[end : end + 1] == "]"
            if found.label_ in _PEOPLE and not marked:
                pieces += [doc.text[done:start], MARK]
                done = end
        return "".join([*pieces, doc.text[done:]])


@lru_cache(1)
def load_names(model: str) -> Names:
    """Return the names of a spaCy model, a folder or an installed package.

    Raises `ConfigError` when it is not there or finds no people.
    """
    try:
        pipeline = spacy.load(model, exclude=list(_UNUSED))
    except (OSError, ValueError, ImportError) as error:
        kind = "folder" if Path(model).exists() else "folder or installed package"
        raise ConfigError(
            f"privacy.names_model: {model}: no {kind} with a spaCy model that can be loaded "
            f"({type(error).__name__}); `python -m spacy download fr_core_news_md` installs one"
        ) from error
    labels = [label for found in pipeline.pipe_labels.values() for label in found]
    if not {*labels} & {*_PEOPLE}:
        raise ConfigError(
            f"privacy.names_model: {model}: finds no people: its labels are "
            f"{', '.join(labels) or 'none'}, expected PER or PERSON"
        )
    return Names(pipeline)


def _pieces(text: str) -> list[str]:
    return [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)]
