"""Tables that say how customers feel: one documented `.sql` per table, run by DuckDB.

Comes in: a warehouse, the touchpoints of the taxonomy, constants. Goes out: the metrics tables,
and the answer to an analyst's question. Left out: writing anything.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa

from cxnlp import config, schema, views
from cxnlp.errors import UsageError, WarehouseError
from cxnlp.metrics.drift import drift
from cxnlp.metrics.levers import lever_impact
from cxnlp.warehouse import Warehouse

Answer = TypeVar("Answer")
Ask = Callable[[str], pa.Table]
_LIMITS: Final = {
    "autoinstall_known_extensions": "false",  # nothing is fetched from anywhere
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name is a table, never a variable of ours
    "threads": str(min(4, os.cpu_count() or 1)),
    "memory_limit": "2GB",  # beyond it DuckDB uses the temporary folder
}
_LEAST_OF_A_TERM: Final = 10  # comments of a month that use it
_READ_BY_OTHERS: Final = {schema.TOUCHPOINT_SCORES: "scores", schema.REPLIES: "answers"}


def measure(
    root: str, touchpoints: pa.Table, settings: config.Metrics,
    reference: Mapping[str, Any] | None = None,
) -> dict[schema.Table, pa.Table]:  # fmt: skip
    """Return each of `schema.METRICS`, worked out from the comments and mentions of a warehouse.

    `touchpoints` (by `schema.TOUCHPOINTS`) says the stage and the frames of each; `reference`, of
    the model's card, is what `drift` compares with.
    """
    given = {
        "shrink": settings.shrink,
        "n_min": settings.n_min,
        "sample": settings.terms_sample,
        "least": _LEAST_OF_A_TERM,
        "sentiments": list(schema.SENTIMENTS),
        "emotions": [*schema.EMOTIONS, "neutre"],
    }
    with _open(Warehouse(root)) as connection:
        connection.register("known", touchpoints)
        connection.execute(_sql("intervals"))
        connection.execute(_sql("daily"))
        found = {schema.TOUCHPOINTS: schema.conform(touchpoints, schema.TOUCHPOINTS)}
        for table in schema.METRICS:
            if table is schema.LEVER_IMPACT:
                found[table] = _levers(connection)
            elif table is schema.DRIFT:
                found[table] = drift(connection, reference or {}, settings.terms_sample)
            elif table not in found:
                found[table] = _measured(connection, table, given)
            if table in _READ_BY_OTHERS:
                connection.register(_READ_BY_OTHERS[table], found[table])
    return {table: found[table] for table in schema.METRICS}


def query(root: str, sql: str) -> pa.Table:
    """Return the answer to one SELECT over the tables of a warehouse.

    Nothing can be changed, and no file read but its tables. Raises `UsageError` with DuckDB's
    own words when the SELECT is wrong.
    """
    return answers(root, lambda ask: ask(sql))


def answers(root: str, reading: Callable[[Ask], Answer]) -> Answer:
    """Return what `reading` makes of the answers to its SELECTs, all of one publication.

    It is handed the function that answers one, and is called again if a run published meanwhile.
    """
    warehouse = Warehouse(root)
    if not any(warehouse.parts(table) for table in schema.TABLES):
        raise UsageError(f"{root}: has no tables; expected a folder that `cxnlp run` has written")

    def read() -> Answer:
        with _open(warehouse) as connection:
            return reading(lambda sql: _answer(warehouse, connection, sql))

    return warehouse.steady(read)


def _answer(warehouse: Warehouse, connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
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


def _levers(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return `lever_impact`: sums in SQL, regressions in `levers.py`."""
    named = "SELECT DISTINCT unnest(levers) AS lever FROM mentions ORDER BY lever"
    levers = [name for (name,) in connection.sql(named).fetchall()]
    sums = connection.sql(_sql(schema.LEVER_IMPACT.name), params={"levers": levers})
    return schema.conform(lever_impact(sums.to_arrow_table(), levers), schema.LEVER_IMPACT)


def _unreadable(warehouse: Warehouse, error: duckdb.Error) -> WarehouseError:
    return WarehouseError(
        f"{warehouse.root}: cannot be read: {_sentence(error)}; `cxnlp verify` says more"
    )


def _sentence(error: Exception) -> str:
    """Return the words of a DuckDB error without the drawing of where it is."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
