"""Backup and restore of a whole database, all clinics: one file, the same for SQLite and PostgreSQL, so either goes into either.

Rows are read in one snapshot while others go on working. It knows tables by their names, those of absent plugins too, not by their meaning.
"""

import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Connection, Engine, column, inspect, literal, select, table, text
from sqlalchemy.exc import DBAPIError

from billing import clock, migrations
from billing.changes.failures import explain, is_database_error
from billing.database import Database, over_all_clinics
from billing.engine import open_engine
from billing.errors import Conflict, Misconfigured, Refused
from billing.migrations import row_security
from billing.model import Base, TableClass
from billing.model.types import IdType
from billing.registry import Registry
from billing.services import backup_file
from billing.services.backup_file import BATCH, Batch, Manifest, NoBackup, Progress, StoredTable, damaged, silent
from billing.settings import Settings
from billing.transaction.scope import each_clinic

VERSIONS = "alembic_version_"
"""How the tables begin that say at which migration a lineage stands."""


class BackupExists(Conflict):
    """A file of that name stands already. Facts: `path`."""

    code = "backup_exists"


class BackupFailed(Misconfigured):
    """The file can't be written. Facts: `path`, `reason`."""

    code = "backup_failed"


class BackupOfOtherVersion(Misconfigured):
    """The backup was made by other versions of the core or of plugins than those installed. Facts: `lineage`, `wanted`, `here`."""

    code = "backup_of_other_version"


class DatabaseNotEmpty(Refused):
    """There are rows where a backup was to be restored. Facts: `table`."""

    code = "database_not_empty"


def back_up(database: Database, *, actor: str, target: Path, force: bool = False, progress: Progress = silent) -> Manifest:
    """Write the whole database to a file that only its owner can read; it appears when it is complete and was read back.

    `force` replaces a file that stands there. The actor needs `backups.make` outside of any clinic.
    Raises `BackupExists`, `BackupFailed`.
    """
    database.read(lambda tx: tx.require("backups.make"), actor=actor)
    if target.exists() and not force:
        raise BackupExists(f"{target} stands already: choose another name, or replace it with --force.", path=str(target))
    try:
        return _write_file(database.engine, target, progress)
    except OSError as error:
        raise BackupFailed(
            f"{target} can't be written ({error.strerror}): choose another place.", path=str(target), reason=str(error)
        ) from error
    except DBAPIError as error:
        raise explain(error) from error


def restore(
    url: str,
    *,
    source: Path,
    plugins: Registry,
    settings: Settings | None = None,
    grant_to: str | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Bring a backup into an empty database, whose tables are made first: all of it, or nothing. `url` and `grant_to` as for an upgrade.

    The plugins whose tables it holds must be installed, in the versions that it was made with.
    Raises `NoBackup`, `BackupDamaged`, `BackupOfOtherVersion`, `DatabaseNotEmpty`.
    """
    # A table is one statement on PostgreSQL: it may take as long as it takes.
    patient = replace(settings or Settings(), statement_timeout_seconds=86_400, idle_timeout_seconds=3600)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = backup_file.read_manifest(archive, source)
            engine = open_engine(url, patient)
            try:
                _check_versions(engine, manifest, plugins)
                _check_empty(engine)
                migrations.upgrade(url, registry=plugins, settings=settings, grant_to=grant_to)
                with over_all_clinics(engine, writing=True) as connection:
                    row_security.lift(connection)  # rows of all clinics arrive, a table at a time
                    _load(connection, archive, manifest, progress)
                    row_security.protect(connection)
            finally:
                engine.dispose()
    except (OSError, zipfile.BadZipFile) as error:
        raise NoBackup(
            f"{source} can't be read as a backup ({error}): choose another file.", path=str(source), reason=str(error)
        ) from error
    except DBAPIError as error:
        raise explain(error) from error
    return manifest


# --- backing up ----------------------------------------------------------------------------------------------------------------------


def _write_file(engine: Engine, target: Path, progress: Progress) -> Manifest:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # readable by its owner only
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            manifest = _write(engine, file, progress)
            file.flush()
            os.fsync(file.fileno())
        with zipfile.ZipFile(unfinished) as archive:
            backup_file.verify(archive, manifest)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return manifest


def _write(engine: Engine, file: BinaryIO, progress: Progress) -> Manifest:
    with over_all_clinics(engine, writing=False) as connection, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        names = sorted(_tables(connection))
        manifest = Manifest(
            made_at=clock.now().isoformat(),
            dialect=engine.dialect.name,
            lineages=_lineages(connection, names),
            tables=tuple(_write_table(connection, archive, name, progress) for name in names if _is_kept(name)),
        )
        backup_file.write_manifest(archive, manifest)
    return manifest


def _tables(connection: Connection) -> set[str]:
    """Return the names of all tables. The parts of a partitioned one are none: their rows are the whole's."""
    names = set(inspect(connection).get_table_names())
    if connection.dialect.name == "postgresql":
        names -= set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))
    return names


def _write_table(connection: Connection, archive: zipfile.ZipFile, name: str, progress: Progress) -> StoredTable:
    columns = [each["name"] for each in inspect(connection).get_columns(name)]
    # Columns without a type: values come as the driver has them, whichever tables and plugins there are.
    statement: Any = select(*(column(each) for each in columns)).select_from(table(name))
    return backup_file.write_table(archive, name, columns, _batches(connection, name, statement), progress)


def _batches(connection: Connection, name: str, statement: Any) -> Iterator[Batch]:
    statements: Iterable[Any] = [statement]
    if inspect(connection).get_pk_constraint(name)["constrained_columns"][:1] == ["clinic_id"]:
        # On PostgreSQL a table of clinics shows the rows of one at a time, whoever asks.
        statements = (statement.where(column("clinic_id", IdType()) == clinic_id) for clinic_id in each_clinic(connection))
    for each in statements:
        rows = connection.execute(each, execution_options={"stream_results": True})
        yield from ([[_portable(value) for value in row] for row in batch] for batch in rows.partitions(BATCH))


def _portable(value: Any) -> Any:
    """Return a driver's value as both databases read it: instants, days and ids as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _lineages(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        if name.startswith(VERSIONS):
            version: Any = select(column("version_num")).select_from(table(name))
            found[name.removeprefix(VERSIONS)] = str(connection.execute(version).scalar_one())
    return found


def _is_kept(name: str) -> bool:
    """Say whether a table belongs into a backup: not what is one machine's own, nor the versions, which the manifest has."""
    local = {mapper.class_.__tablename__ for mapper in Base.registry.mappers if mapper.class_.table_class is TableClass.LOCAL}
    return not name.startswith(VERSIONS) and name not in local


# --- restoring -----------------------------------------------------------------------------------------------------------------------


def _check_versions(engine: Engine, manifest: Manifest, plugins: Registry) -> None:
    here = {each.name: each.head for each in migrations.status(engine, registry=plugins)}
    for lineage, revision in manifest.lineages.items():
        if here.get(lineage) != revision:
            have = f"and here it is {here[lineage]}" if lineage in here else "which is not installed here, or quarantined"
            raise BackupOfOtherVersion(
                f"The backup has tables of {lineage} at {revision}, {have}: install the version that it was made with, restore, then upgrade.",
                lineage=lineage,
                wanted=revision,
                here=here.get(lineage),
            )


def _check_empty(engine: Engine) -> None:
    # Behind row level security a clinic's rows are not seen here; the code of their clinic is.
    with over_all_clinics(engine, writing=False) as connection:
        for name in _tables(connection):
            if _is_kept(name) and connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first():
                raise DatabaseNotEmpty(f"The table {name} has rows already: restore into an empty database.", table=name)


def _load(connection: Connection, archive: zipfile.ZipFile, manifest: Manifest, progress: Progress) -> None:
    stored = {each.name: each for each in manifest.tables}
    there, on_sqlite = inspect(connection), connection.dialect.name == "sqlite"
    here = _tables(connection)
    known = [each.name for each in Base.metadata.sorted_tables if each.name in here]  # rows that others refer to come first
    if strange := [each.name for each in manifest.tables if each.rows and each.name not in known]:
        raise damaged(strange[0], "there is no such table here")
    copy = _copy_to_sqlite if on_sqlite else _copy_to_postgresql
    for name in (name for name in known if name in stored):
        if {each["name"] for each in there.get_columns(name)} != set(stored[name].columns):
            raise damaged(name, "it has other columns than the table here")
        with closing(backup_file.read_table(archive, stored[name], progress)) as batches:
            copy(connection, stored[name], batches)
    if on_sqlite and (dangling := connection.execute(text("PRAGMA foreign_key_check")).first()):
        raise damaged(dangling.table, f"a row of it refers to one of {dangling.parent} that is not there")


def _copy_to_sqlite(connection: Connection, stored: StoredTable, batches: Iterable[Batch]) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA defer_foreign_keys = ON")  # a row may refer to a later one; all are checked at the end
    marks = ", ".join("?" for _ in stored.columns)
    statement = f"INSERT INTO {stored.name} ({', '.join(stored.columns)}) VALUES ({marks})"  # noqa: S608 - names of tables that stand here
    for batch in batches:
        try:
            driver.executemany(statement, batch)
        except (sqlite3.Error, OverflowError) as error:
            raise damaged(stored.name, str(error)) from error


def _copy_to_postgresql(connection: Connection, stored: StoredTable, batches: Iterable[Batch]) -> None:
    driver: Any = connection.connection.driver_connection
    # One statement for a table: its foreign keys are checked behind it, so its rows may refer to one another in any order.
    statement = f"COPY {stored.name} ({', '.join(stored.columns)}) FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for batch in batches:
                for row in batch:
                    copy.write_row(row)
    except Exception as error:
        if not is_database_error(error):
            raise
        raise damaged(stored.name, str(error).splitlines()[0]) from error
