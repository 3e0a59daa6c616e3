"""Run a query and give its rows as records.

Comes in: a source with `sql`, where to start, the secrets. Goes out: rows as dictionaries, some
thousands at a time. Left out: what they mean (`mapping`), which of them are new (`fetch`).

The transaction is read-only where the database knows such (PostgreSQL, SQLite), and is never
committed. A message holds what the database said, without the address of the database.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from cxnlp.config_sources import Source, Sql
from cxnlp.errors import SourceError
from cxnlp.ingest.known import Start
from cxnlp.ingest.secret import Secrets
from cxnlp.masks import mask

_ROWS: Final = 5_000
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_rows(
    source: Source, sql: Sql, start: Start, secrets: Secrets
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of the query; raises `SourceError` when they do not all come.

    A failure that may pass has an `OSError` as its cause.
    """
    where = f"source {source.name}: the database of {sql.url_env}"
    url = _address(where, secrets.variable(sql.url_env))
    secrets.add(url.password or "") if url.password else None
    problem, passes = "", False
    try:
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            if url.get_backend_name() == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            reader = connection.execution_options(postgresql_readonly=True, yield_per=_ROWS)
            for rows in reader.execute(_statement(sql, start)).mappings().partitions():
                yield [dict(row) for row in rows]
            return
    except (SQLAlchemyError, ImportError, OSError) as error:
        said = getattr(error, "orig", None) or error
        problem = secrets.hide(mask(f"{type(said).__name__}: {said}")).strip()
        passes = isinstance(error, OperationalError)
    raise SourceError(
        f"{where} does not answer the query: {problem}. Nothing of this "
        "fetch was kept; the next run asks for all of it again"
    ) from (OSError("the database did not answer") if passes else None)


def _address(where: str, given: str) -> URL:
    """Return the address of a database; an SQLite file must be there."""
    url, missing = None, ""
    with suppress(ArgumentError, ValueError):  # which would quote it
        url = sa.make_url(given)
    if url is None:
        raise SourceError(
            f"{where}: its address is none; write it as postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        )
    try:
        url.get_dialect()
    except (NoSuchModuleError, ImportError):
        missing = url.drivername
    if missing:
        raise SourceError(f"{where}: no driver for {missing}; install the one SQLAlchemy names")
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SourceError(f"{where}: there is no SQLite file of that name")
    return url


def _statement(sql: Sql, start: Start) -> sa.TextClause:
    """Return the query, with `:since` bound to a moment, or to what `since.format` writes."""
    query = sa.text(sql.query)
    if ":since" not in sql.query:
        return query
    shape = sql.since.format
    if shape:
        return query.bindparams(sa.bindparam("since", start.written(shape) or "", sa.String()))
    moment = sa.DateTime(timezone=True)
    return query.bindparams(sa.bindparam("since", start.moment or _FIRST, moment))
