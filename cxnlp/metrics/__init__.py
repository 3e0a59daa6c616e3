"""Tables that say how customers feel: one documented `.sql` per table, run by DuckDB.

Comes in: a warehouse, the stage of each touchpoint, constants. Goes out: the metrics tables,
and the answer to an analyst's question. Left out: writing anything.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final

import duckdb
import pyarrow as pa

from cxnlp import config, schema, views
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.warehouse import Warehouse

METRICS: Final = (schema.TOUCHPOINT_SCORES, schema.SENTIMENT_TREND, schema.EMOTION_TREND)
_LIMITS: Final = {
    "autoinstall_known_extensions": "false",  # nothing is fetched from anywhere
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name is a table, never a variable of ours
    "threads": str(min(4, os.cpu_count() or 1)),
    "memory_limit": "2GB",  # beyond it DuckDB uses the temporary folder
}


def measure(
    root: str, stages: Mapping[str, str], settings: config.Metrics
) -> dict[schema.Table, pa.Table]:
    """Return each of `METRICS`, worked out from the comments and mentions of a warehouse.

    `stages` gives the stage of each touchpoint of the taxonomy.
    """
    given = {
        "shrink": settings.shrink,
        "sentiments": list(schema.SENTIMENTS),
        "emotions": [*schema.EMOTIONS, "neutre"],
    }
    known = pa.table(
        {
            "touchpoint": pa.array(stages.keys(), pa.string()),
            "stage": pa.array(stages.values(), pa.string()),
        }
    )
    with _open(Warehouse(root)) as connection:
        connection.register("stages", known)
        connection.execute(_sql("intervals"))
        return {table: _measured(connection, table, given) for table in METRICS}


def query(root: str, sql: str) -> pa.Table:
    """Return the answer to one SELECT over the tables of a warehouse.

    Nothing can be changed, and no file read but its tables. Raises `UsageError` with DuckDB's
    own words when the SELECT is wrong.
    """
    warehouse = Warehouse(root)
    if not any(warehouse.parts(table) for table in schema.TABLES):
        raise UsageError(f"{root}: has no tables; expected a folder that `cxnlp run` has written")
    return warehouse.steady(lambda: _answer(warehouse, sql))


def _answer(warehouse: Warehouse, sql: str) -> pa.Table:
    with _open(warehouse) as connection:
        try:
            statements = connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise UsageError("query: expected one SELECT; a query reads, it changes nothing")
            return connection.sql(sql).to_arrow_table()
        except duckdb.IOException as error:
            raise _unreadable(warehouse, error) from error
        except duckdb.Error as error:
            raise UsageError(f"query: {_sentence(error)}") from error


@contextmanager
def _open(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection that has every table as a view, and can reach nothing else."""
    with (
        tempfile.TemporaryDirectory(prefix="cxnlp-") as scratch,
        duckdb.connect(":memory:", config={**_LIMITS, "temp_directory": scratch}) as connection,
    ):
        if "://" in warehouse.root:  # an object store: read through fsspec, whole
            for table in schema.TABLES:
                connection.register(table.name, warehouse.read(table))
        else:
            try:
                connection.execute(warehouse.views())
            except duckdb.Error as error:
                raise _unreadable(warehouse, error) from error
        _shut(connection, f"{warehouse.root}/tables")
        yield connection


def _shut(connection: duckdb.DuckDBPyConnection, folder: str) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    names = (folder, views.globbed(folder))  # files are named both ways: found, and as a pattern
    folders = ", ".join(f"'{views.quoted(name)}'" for name in names)
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _measured(
    connection: duckdb.DuckDBPyConnection, table: schema.Table, given: Mapping[str, Any]
) -> pa.Table:
    """Return a metrics table, worked out by the `.sql` file of its name."""
    sql = _sql(table.name)
    used = {name: value for name, value in given.items() if f"${name}" in sql}
    return schema.conform(connection.sql(sql, params=used).to_arrow_table(), table)


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def _unreadable(warehouse: Warehouse, error: duckdb.Error) -> WarehouseError:
    return WarehouseError(
        f"{warehouse.root}: cannot be read: {_sentence(error)}; `cxnlp verify` says more"
    )


def _sentence(error: Exception) -> str:
    """Return the words of a DuckDB error without the drawing of where it is."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
