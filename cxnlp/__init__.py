"""Text analytics for French customer comments.

Importing this package is cheap: torch, spaCy, Prefect and DuckDB are loaded by the parts
that need them.
"""

from cxnlp.version import __version__

__all__ = ["__version__"]
