"""Everything cxnlp raises on purpose: one root, and a message that says what to do.

Each class carries the exit status of the command line (DESIGN: 0 done, 1 the run
failed, 2 wrong usage or configuration, 75 another run holds the warehouse).
"""


class CxnlpError(Exception):
    """Root of the tree: catch this one to catch them all."""

    exit_status = 1


class UsageError(CxnlpError):
    """The call cannot be carried out as written."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration file names an unknown key, a missing file or an impossible value."""


class TaxonomyError(UsageError):
    """A taxonomy file is not valid."""


class ModelError(UsageError):
    """A model folder is incomplete, altered or of an unknown shape."""


class PromotionError(CxnlpError):
    """A candidate model is worse than the current one and was refused."""


class SourceError(CxnlpError):
    """A source as a whole cannot be read: no such file, wrong columns, not this format."""

    exit_status = 2


class WarehouseError(CxnlpError):
    """Tables on disk are not as they should be, or cannot be written."""


class WarehouseBusyError(CxnlpError):
    """Another run holds the warehouse."""

    exit_status = 75
