"""The stand-in for a cluster: on databases named so, clinic tables are partitioned by the hash of the clinic.

It refuses what a cluster refuses (a key, a unique constraint or a reference without the clinic), and its plans show how many parts a statement
touches. It knows no tables: it changes how they are created, the core's and the plugins', whoever creates them.
"""

import re
from typing import Any

from sqlalchemy import Connection, Table, event, text

PREFIX = "partitioned"
"""A PostgreSQL database whose name begins so is a stand-in."""

PARTS = 4

PART = re.compile(r"(.+)_\d+")
"""The name of a part: its table's and a number, as a cluster names its shards."""

_BADLY_NAMED = text(
    """
    SELECT part.relname AS name, whole.relname || '_' || substring(owner.relname from '[0-9]+$') AS wanted
    FROM pg_inherits
    JOIN pg_class AS part ON part.oid = inhrelid AND part.relkind = 'i'
    JOIN pg_class AS whole ON whole.oid = inhparent
    JOIN pg_index ON indexrelid = part.oid
    JOIN pg_class AS owner ON owner.oid = indrelid
    WHERE part.relname <> whole.relname || '_' || substring(owner.relname from '[0-9]+$')
    """
)


def is_stand_in(connection: Connection) -> bool:
    """Say whether a connection leads to a stand-in."""
    return (connection.engine.url.database or "").startswith(PREFIX)


def name_like_shards(connection: Connection) -> None:
    """Give each part's indexes the name of the whole's and the part's number, as a cluster does: errors are read by these names."""
    quote = connection.dialect.identifier_preparer.quote
    for row in connection.execute(_BADLY_NAMED).all():
        connection.execute(text(f"ALTER INDEX {quote(row.name)} RENAME TO {quote(row.wanted)}"))


@event.listens_for(Table, "before_create")
def _partition(table: Table, connection: Connection, **_: Any) -> None:
    if is_stand_in(connection) and _is_clinics(table):
        table.dialect_options["postgresql"]["partition_by"] = "HASH (clinic_id)"


@event.listens_for(Table, "after_create")
def _make_parts(table: Table, connection: Connection, **_: Any) -> None:
    if not (is_stand_in(connection) and _is_clinics(table)):
        return
    table.dialect_options["postgresql"]["partition_by"] = None  # the same table may be created elsewhere
    for part in range(PARTS):
        connection.execute(
            text(f'CREATE TABLE "{table.name}_{part + 1}" PARTITION OF "{table.name}" FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})')
        )
    name_like_shards(connection)


def _is_clinics(table: Table) -> bool:
    # A migration's tables are made for the moment and belong to no class, so their class is told by their key.
    return "clinic_id" in table.primary_key.columns
