"""Spreads a database over the nodes of a Citus cluster: every clinic's rows together on one node, reference tables on all of them.

`distribute` is for a database whose tables are there. From then on a migration's new tables are spread as they are created. Off a cluster all of
this does nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, event, inspect, text
from sqlalchemy.schema import sort_tables

from billing.errors import Misconfigured
from billing.model import Clinic, MigrationLock, TableClass
from billing.model.lint import table_classes

_CLINIC = Clinic.__tablename__
_VERSIONS = "alembic_version_"

SETTINGS = (
    # Tables are created one after another on every node, since a node can't run DDL beside itself in one transaction.
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
    # Parents go first, while their children are still on this node only.
    "SET LOCAL citus.enable_local_reference_table_foreign_keys = off",
)
"""What a transaction that spreads tables begins with."""

NODES_HEAR = "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET citus.propagate_set_commands = %L', current_database(), 'local'); END$$"
"""Lets every later SET LOCAL of a transaction reach the node that does the work: whose rows it is about, and its time limits."""


class NoCluster(Misconfigured):
    """The database is not on a cluster, so its tables can't be spread over nodes. Facts: `database`."""

    code = "no_cluster"


def statements(tables: Iterable[Table], *, done: Iterable[str] = ()) -> list[str]:
    """Return the SQL that spreads tables, but for those that are spread already.

    Reference tables come first, then the clinics themselves, then their tables, each after what it refers to.
    """
    classes, ready = table_classes(), frozenset(done)
    wanted = [table for table in _in_order(tables) if table.name not in ready]
    shared = [distribute_sql(table.name, TableClass.REFERENCE) for table in wanted if classes[table] is TableClass.REFERENCE]
    own = [distribute_sql(table.name, TableClass.CLINIC) for table in wanted if classes[table] is TableClass.CLINIC]
    return [*SETTINGS, *shared, *own, NODES_HEAR] if shared or own else []


def distribute_sql(name: str, table_class: TableClass) -> str:
    """Return the statement that spreads one table of a class that is not local."""
    if table_class is TableClass.REFERENCE:
        return f"SELECT create_reference_table('{name}')"
    together = "none" if name == _CLINIC else _CLINIC
    return f"SELECT create_distributed_table('{name}', 'clinic_id', colocate_with => '{together}')"


def distribute(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """Spread all tables that are not spread yet; return their names. Raises `NoCluster` where there is none."""
    require_cluster(connection)
    done = distributed(connection)
    for statement in statements(tables, done=done):
        connection.execute(text(statement))
    return sorted(distributed(connection) - done)


def require_cluster(connection: Connection) -> None:
    """Raise `NoCluster`, saying what is missing, unless the connection leads to a cluster's database."""
    if connection.dialect.name != "postgresql":
        raise NoCluster("A SQLite database is one file: there is nothing to spread over nodes.", database=connection.dialect.name)
    if not connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'citus'")):
        raise NoCluster(
            "This PostgreSQL has no extension citus, so it has no other nodes: install Citus 13 or newer on every node, put it into "
            "shared_preload_libraries, run CREATE EXTENSION citus in this database, and add the nodes with citus_add_node().",
            database="postgresql",
        )
    if not connection.scalar(text("SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards")):
        raise NoCluster("This cluster has no node that holds rows: add the nodes with citus_add_node().", database="postgresql")


def distributed(connection: Connection) -> set[str]:
    """Return the names of the tables that are spread, none off a cluster."""
    if connection.dialect.name != "postgresql" or connection.scalar(text("SELECT to_regclass('pg_dist_partition')")) is None:
        return set()
    return set(connection.scalars(text("SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid")))


def left_over(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """Return the tables that stay on one node although nobody has said so: those of plugins that are gone."""
    known = {table.name for table in tables} | {MigrationLock.__tablename__} | distributed(connection)
    return sorted(name for name in inspect(connection).get_table_names() if name not in known and not name.startswith(_VERSIONS))


@contextmanager
def spreading(connection: Connection) -> Iterator[None]:
    """Spread the tables that are created within the block, if the database is spread already: before their indexes, with their references."""
    if _CLINIC not in distributed(connection):
        yield
        return
    for statement in SETTINGS:
        connection.execute(text(statement))

    def spread(table: Table, connection: Connection, **_: Any) -> None:
        if (table_class := _class_of(table)) is not TableClass.LOCAL:
            connection.execute(text(distribute_sql(table.name, table_class)))

    event.listen(Table, "after_create", spread)
    try:
        yield
    finally:
        event.remove(Table, "after_create", spread)


def _class_of(table: Table) -> TableClass:
    # A migration's tables are made for the moment: the registered one of that name says what they are. One that a later migration
    # drops again has none, so its key must say it.
    if table.name.startswith(_VERSIONS):
        return TableClass.LOCAL
    registered = {known.name: table_class for known, table_class in table_classes().items()}.get(table.name)
    if registered is not None:
        return registered
    if "clinic_id" in table.primary_key.columns:
        return TableClass.CLINIC
    raise Misconfigured(f"A migration makes the table {table.name} that no model describes: on a cluster nobody could say where it goes.")


def _in_order(tables: Iterable[Table]) -> list[Table]:
    by_reference = sort_tables(sorted(tables, key=lambda table: table.name))
    return sorted(by_reference, key=lambda table: table.name != _CLINIC)  # the others are placed by it
