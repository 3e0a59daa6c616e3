"""Text analytics for French customer comments.

Importing this package is cheap: torch, spaCy, Prefect and DuckDB are loaded by the parts
that need them, and so is `Analyzer`, on its first use.
"""

from typing import TYPE_CHECKING, Any

from cxnlp.version import __version__

if TYPE_CHECKING:
    from cxnlp.analyse import Analyzer

__all__ = ["Analyzer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Analyzer":
        from cxnlp.analyse import Analyzer

        return Analyzer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
