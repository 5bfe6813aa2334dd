"""Row level security: on PostgreSQL every table of clinics shows and accepts the rows of one clinic only, the one that the transaction names.

The second line behind the filter that every statement carries. It looks at the tables that stand, so no author of a table can forget it. The
policies are forced: they hold for the tables' owner too. SQLite has none.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from billing.model import Base, TableClass
from billing.transaction.scope import SETTING

POLICY = "own_clinic"
CONDITION = f"clinic_id = nullif(current_setting('{SETTING}', true), '')::uuid"
"""The setting is empty, and not missing, behind a transaction that has named a clinic."""

_STORED = f"(clinic_id = (NULLIF(current_setting('{SETTING}'::text, true), ''::text))::uuid)"
"""The condition as the catalogue tells it."""

_TABLES = text(
    """
    SELECT tables.relname AS name, tables.relforcerowsecurity AS forced,
        tables.relrowsecurity AND tables.relforcerowsecurity AND EXISTS (
            SELECT FROM pg_policy AS own WHERE own.polrelid = tables.oid AND own.polname = :policy AND own.polcmd = '*' AND own.polroles = '{0}'
            AND pg_get_expr(own.polqual, own.polrelid) = :stored AND pg_get_expr(own.polwithcheck, own.polrelid) = :stored
        ) AS closed,
        ARRAY(SELECT opening.polname::text FROM pg_policy AS opening WHERE opening.polrelid = tables.oid AND opening.polpermissive) AS openings
    FROM pg_class AS tables JOIN pg_attribute AS clinic ON clinic.attrelid = tables.oid
    WHERE tables.relnamespace = current_schema()::regnamespace AND tables.relkind IN ('r', 'p') AND NOT tables.relispartition
    AND clinic.attname = 'clinic_id' AND NOT clinic.attisdropped AND tables.relname <> ALL (:shared)
    ORDER BY tables.relname
    """
)


@dataclass(frozen=True, slots=True)
class ClinicTable:
    """A table of clinics as it stands. `openings` are its permissive policies: each shows rows, whatever the others say."""

    name: str
    forced: bool
    closed: bool
    openings: tuple[str, ...]

    @property
    def protected(self) -> bool:
        """Whether the one policy holds, for everybody, and no other opens the table further."""
        return self.closed and self.openings == (POLICY,)


def clinic_tables(connection: Connection) -> list[ClinicTable]:
    """Return every table with a clinic's rows, those of absent plugins too; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    shared = [mapper.class_.__tablename__ for mapper in Base.registry.mappers if mapper.class_.table_class is not TableClass.CLINIC]
    found = connection.execute(_TABLES, {"policy": POLICY, "stored": _STORED, "shared": shared})
    return [ClinicTable(row.name, row.forced, row.closed, tuple(row.openings)) for row in found]


def protect(connection: Connection) -> list[str]:
    """Give every table of clinics its forced policy, where it lacks it; return which did. Only the tables' owner can."""
    bare = [table for table in clinic_tables(connection) if not table.protected]
    for table in bare:
        for policy in {POLICY, *table.openings}:
            connection.exec_driver_sql(f'DROP POLICY IF EXISTS "{policy}" ON "{table.name}"')
        connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
        connection.exec_driver_sql(f'CREATE POLICY {POLICY} ON "{table.name}" USING ({CONDITION}) WITH CHECK ({CONDITION})')
    return [table.name for table in bare]


def lift(connection: Connection) -> None:
    """Let the tables' owner see all clinics' rows for the rest of the transaction, which ends with `protect`: to migrate or restore them.

    Nobody else is shown more: their policies hold on, and the tables are locked until the owner commits.
    """
    for table in clinic_tables(connection):
        if table.forced:
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" NO FORCE ROW LEVEL SECURITY')
