"""Values of the environment that nobody may read: tokens, passwords.

Comes in: texts with `${NAME}`, names of variables. Goes out: the texts with the values, for the
one place that needs them, and any other text without them. Left out: what is done with them.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, quote_plus

from cxnlp.config_sources import VARIABLE
from cxnlp.errors import ConfigError

_SHORTEST: Final = 8  # a shorter value would be found in texts where it is not meant

_LOGS: Final = ("urllib3.connectionpool", "urllib3.util.retry")  # they write whole addresses


class Secrets:
    """The values that one source was given; `hide` takes them out of a text."""

    def __init__(self, source: str) -> None:
        self._source, self._values = source, set[str]()

    def fill(self, text: str) -> str:
        """Return a text with the value of each variable in the place of `${NAME}`."""
        return VARIABLE.sub(lambda found: self.variable(found[1]), text)

    def variable(self, name: str) -> str:
        """Return the value of a variable; raises `ConfigError` if there is none."""
        value = os.environ.get(name, "").strip()
        if len(value) < _SHORTEST:
            state = f"has fewer than {_SHORTEST} characters" if value else "is not set"
            raise ConfigError(
                f"source {self._source}: the variable {name} {state}; put the token or address "
                "that the configuration reads from it into the environment of the run"
            )
        self.add(value)
        return value

    def add(self, value: str) -> None:
        """Hide one more value."""
        self._values.add(value)

    def hide(self, text: str) -> str:
        """Return a text in which `***` stands for each value, however it is written there."""
        for value in sorted(self._values, key=len, reverse=True):
            for written in (
                value,
                quote(value, safe=""),
                quote_plus(value),
                json.dumps(value)[1:-1],
            ):
                text = text.replace(written, "***")
        return text

    @contextmanager
    def out_of_logs(self) -> Iterator[None]:
        """Hide the values in what the HTTP library logs meanwhile."""
        loggers = [logging.getLogger(name) for name in _LOGS]
        for logger in loggers:
            logger.addFilter(self._hidden)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(self._hidden)

    def _hidden(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.hide(record.getMessage()), ()
        return True
