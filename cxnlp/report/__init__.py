"""report.html: what customers say, on one page that fetches nothing.

Comes in: a warehouse, names of levers, the model's card. Goes out: one HTML file, beside the
tables or where the caller says. Left out: any figure that the tables do not have.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cxnlp.errors import UsageError, WarehouseError
from cxnlp.model.card import Card
from cxnlp.report.data import gather
from cxnlp.report.page import render
from cxnlp.warehouse import Warehouse

__all__ = ["NAME", "write_report"]

NAME: Final = "report.html"


def write_report(
    warehouse: Warehouse, names: Mapping[str, str], card: Card | None, output: Path | None = None
) -> str:
    """Write the report of a warehouse, whole or not at all, and return where it is.

    Without `output` it lies in the warehouse. `names` are the labels of levers, by id; `card` is
    shown when it is that of the model that made the labels.
    """
    page = render(gather(warehouse.root), names, card).encode()
    if output is None:
        return warehouse.put_beside(NAME, page)
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder; make it first")
    staged = output.with_name(f"{output.name}.part")
    try:
        staged.write_bytes(page)
        staged.replace(output)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise WarehouseError(
            f"{output}: cannot be written: {error}; choose another place with --output"
        ) from error
    return str(output)
