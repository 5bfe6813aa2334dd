"""What the application's own role may do on PostgreSQL: to each table what its rows' upkeep takes, and nothing to the tables themselves.

The tables' owner grants it. Who connects as the owner or as a superuser can do more, and is told so.
"""

from sqlalchemy import Connection, text

from billing.errors import Misconfigured
from billing.model import Base, TableClass, Upkeep
from billing.settings import Settings

_MAY = {
    Upkeep.ADDED: "SELECT, INSERT",
    Upkeep.CHANGED: "SELECT, INSERT, UPDATE",
    Upkeep.DELETED: "SELECT, INSERT, UPDATE, DELETE",
}

_TABLES = text(
    """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    ORDER BY relname
    """
)
"""All tables, but not their partitions: a policy holds for who goes through the table, so nobody goes past it."""

_ROLE = text(
    """
    SELECT rolname AS name, rolsuper OR rolbypassrls AS unbound,
        EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
            AND pg_has_role(pg_roles.oid, relowner, 'USAGE')) AS owns,
        EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND pg_has_role(pg_roles.oid, datdba, 'USAGE')) AS owns_database
    FROM pg_roles WHERE rolname = coalesce(:name, current_user)
    """
)


class UnknownDatabaseRole(Misconfigured):
    """The database has no such role. Facts: `role`."""

    code = "unknown_database_role"


class RoleOwnsTables(Misconfigured):
    """The role owns the tables, or is a superuser, so nothing can be kept from it. Facts: `role`."""

    code = "role_owns_tables"


def grant(connection: Connection, role: str, settings: Settings) -> None:
    """Give the role what the application needs, and take from it what else it was given; nothing on SQLite.

    The timeouts become the database's own, for connections through a pooler: it takes none along. Raises `UnknownDatabaseRole`,
    `RoleOwnsTables`.
    """
    if connection.dialect.name != "postgresql":
        return
    _require_apart(connection, role)
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    upkeep = {mapper.class_.__tablename__: mapper.class_.upkeep for mapper in Base.registry.mappers if _is_written(mapper.class_)}
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {quoted}")
    for name in connection.scalars(_TABLES).all():
        may = _MAY[upkeep[name]] if name in upkeep else "SELECT"  # versions; an absent plugin's rows, which go into backups
        connection.exec_driver_sql(f'REVOKE ALL ON "{name}" FROM {quoted}')
        connection.exec_driver_sql(f'GRANT {may} ON "{name}" TO {quoted}')
    _keep_timeouts(connection, settings)


def warning(connection: Connection) -> str | None:
    """Say what the database can't keep from the role that we connect as; None if it is neither the tables' owner nor a superuser."""
    if connection.dialect.name != "postgresql":
        return None
    role = connection.execute(_ROLE, {"name": None}).one()
    if role.unbound:
        return f"we connect as {role.name}, for whom no row level security holds: give the application a role of its own."
    if role.owns:
        return f"we connect as {role.name}, who owns the tables and can change what is append-only: give the application a role of its own."
    return None


def _is_written(table: type[Base]) -> bool:
    return table.table_class is not TableClass.LOCAL


def _require_apart(connection: Connection, role: str) -> None:
    found = connection.execute(_ROLE, {"name": role}).one_or_none()
    if found is None:
        raise UnknownDatabaseRole(f"The database has no role {role!r}: let an administrator make it, CREATE ROLE name LOGIN.", role=role)
    if found.unbound or found.owns:
        raise RoleOwnsTables(f"{role} owns the tables or is a superuser: name the role that the application connects as.", role=role)


def _keep_timeouts(connection: Connection, settings: Settings) -> None:
    if not connection.execute(_ROLE, {"name": None}).one().owns_database:
        return  # only the database's owner can; the doctor says so where they are missing
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    for name, value in settings.session_values().items():
        connection.exec_driver_sql(f"ALTER DATABASE {database} SET {name} = '{value}'")
