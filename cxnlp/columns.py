"""What a table is made of: types, labels, `Column`, `Table`, and `conform`.

Nothing is read here. The tables themselves are in `schema.py` and `schema_metrics.py`.
"""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

STRING: Final = pa.string()
STRINGS: Final = pa.list_(pa.string())
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
FLOAT: Final = pa.float32()
INT: Final = pa.int64()

CHANNELS: Final = ("avis", "reseau_social", "enquete", "email", "autre")
SENTIMENTS: Final = ("negatif", "neutre", "positif", "mixte")
POLARITIES: Final = ("negatif", "neutre", "positif")
EMOTIONS: Final = ("joie", "tristesse", "peur", "colere", "degout", "surprise", "mepris")
INTENTS: Final = ("recommander", "deconseiller", "revenir", "partir")
METHODS: Final = ("lexique", "modele", "les_deux")
FRAMES: Final = {  # how the field sorts touchpoints: column of the tables → its values
    "control": ("propre", "partenaire", "tiers"),
    "p": ("points_de_contact", "promesse", "personnes", "perceptions"),
    "experience": ("anticipation", "achat", "livraison", "utilisation", "sav"),
    "level": ("besoins_de_base", "facilite", "plaisir"),
}
TONES: Final = ("defensif", "excuse", "remerciement", "neutre")
ALERTS_OF: Final = ("volume", "baisse", "hausse")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, what it means, and an example as a person would write it."""

    name: str
    type: pa.DataType
    meaning: str
    example: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is, which columns identify it and in which order rows lie."""

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    private: bool = False

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, with nullability."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def conform(table: pa.Table, to: Table) -> pa.Table:
    """Return `table` with exactly the columns of `to`, in its order and types.

    A missing nullable column is added as nulls. Raises `ValueError` naming the column that
    is missing, of a type that cannot be cast, or null where it must not be.
    """
    rows, arrays = table.num_rows, []
    for column in to.columns:
        if column.name in table.column_names:
            values = table.column(column.name)
        elif column.nullable:
            values = pa.nulls(rows, column.type)
        else:
            raise ValueError(f"table {to.name}: column {column.name!r} is missing")
        try:
            values = values.cast(column.type) if values.type != column.type else values
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"table {to.name}: column {column.name!r}: {error}") from error
        if values.null_count and not column.nullable:
            raise ValueError(f"table {to.name}: column {column.name!r} has nulls")
        arrays.append(values)
    return pa.table(arrays, schema=to.arrow)


def empty(of: Table) -> pa.Table:
    """Return a table of no rows with the columns of `of`."""
    return of.arrow.empty_table()
