"""`views.sql`: every public table as a DuckDB view.

Comes in: where the tables lie and which of them have files. Goes out: SQL text that
`duckdb -init views.sql` runs from any folder, since it names files absolutely. Left out:
running it (`metrics`).
"""

from collections.abc import Collection
from typing import Final

from cxnlp import schema

_DUCKDB: Final = {
    "string": "VARCHAR",
    "float": "FLOAT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
    str(schema.STRINGS): "VARCHAR[]",
}


def statements(folder: str, present: Collection[str]) -> str:
    """Return one `CREATE OR REPLACE VIEW` per table; a table without files has no rows.

    `folder` is the full name of `tables/`; `present` are the paths below it that exist.

    >>> views = statements("/srv/l'avis/tables", ["rejects.parquet"]).splitlines()
    >>> view = next(view for view in views if " rejects " in view)
    >>> print(view.split(" UNION ")[0])
    CREATE OR REPLACE VIEW rejects AS FROM read_parquet('/srv/l''avis/tables/rejects.parquet')
    """
    lines = ["-- Written by cxnlp at each publication: duckdb -init views.sql"]
    for table in schema.TABLES:
        if any(path.startswith(f"{table.name}/") for path in present):
            glob = f"{quoted(globbed(folder))}/{table.name}/**/*.parquet"
            query = f"FROM read_parquet('{glob}', hive_partitioning=true, union_by_name=true)"
        elif f"{table.name}.parquet" in present:
            query = f"FROM read_parquet('{quoted(globbed(folder))}/{table.name}.parquet')"
        else:
            query = ""
        # A column that no file has yet is null.
        query += f"{' UNION ALL BY NAME ' if query else ''}{_no_rows(table)}"
        lines.append(f"CREATE OR REPLACE VIEW {table.name} AS {query};")
    return "\n".join(lines) + "\n"


def globbed(path: str) -> str:
    """Return `path` as a glob for itself: `*`, `?` and `[` lose their meaning.

    >>> globbed("/srv/avis [1]")
    '/srv/avis [[]1]'
    """
    return "".join(f"[{mark}]" if mark in "*?[" else mark for mark in path)


def quoted(text: str) -> str:
    """Return `text` for the inside of an SQL string.

    >>> quoted("l'avis")
    "l''avis"
    """
    return text.replace("'", "''")


def _no_rows(table: schema.Table) -> str:
    columns = [f'NULL::{_DUCKDB[str(c.type)]} AS "{c.name}"' for c in table.columns]
    if table in (schema.COMMENTS, schema.MENTIONS):
        columns.append("NULL::VARCHAR AS month")
    return f"SELECT {', '.join(columns)} WHERE false"
