"""Backup and restore: every table of the database in one file, the same for SQLite and PostgreSQL, so either can be restored into either.

The file is a ZIP archive: for each table a text file with one JSON array a row, and a manifest with counts, checksums and migrations.
Rows are read in one snapshot while others go on working, and written in constant memory. It knows tables by their names, not by their meaning.
"""

import hashlib
import json
import os
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, column, inspect, literal, select, table, text
from sqlalchemy.exc import DBAPIError

from billing import __name__ as product
from billing import clock, migrations
from billing.changes.failures import explain, is_database_error
from billing.database import Database, open_engine
from billing.errors import Conflict, Invalid, Misconfigured, Refused
from billing.model import Base, TableClass
from billing.registry import Registry
from billing.settings import Settings

FORMAT = f"{product} backup 1"
MANIFEST = "manifest.json"
BATCH = 1000
VERSIONS = "alembic_version_"
"""How the tables begin that say at which migration a lineage stands."""

Progress = Callable[[str, int], None]
"""Called with a table's name and the number of rows that were just written to it or read from it."""


class BackupExists(Conflict):
    """A file of that name stands already. Facts: `path`."""

    code = "backup_exists"


class BackupFailed(Misconfigured):
    """The file can't be written. Facts: `path`, `reason`."""

    code = "backup_failed"


class NoBackup(Invalid):
    """The file can't be read as a backup. Facts: `path`, `reason`."""

    code = "no_backup"


class BackupDamaged(Invalid):
    """A table in the backup is not as it was written, so nothing was restored. Facts: `table`, `reason`."""

    code = "backup_damaged"


class BackupOfOtherVersion(Misconfigured):
    """The backup was made by other versions of the core or of plugins than those installed. Facts: `lineage`, `wanted`, `here`."""

    code = "backup_of_other_version"


class DatabaseNotEmpty(Refused):
    """There are rows where a backup was to be restored. Facts: `table`."""

    code = "database_not_empty"


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table in a backup: its columns in the order of the rows, how many rows, and the SHA-256 of their text."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself. `lineages` are the migrations that its tables stand at, by core or plugin."""

    made_at: str
    dialect: str
    lineages: Mapping[str, str]
    tables: tuple[StoredTable, ...]

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(each.rows for each in self.tables)


def back_up(database: Database, *, actor: str, target: Path, force: bool = False, progress: Progress | None = None) -> Manifest:
    """Write the whole database, all clinics, to a file that only its owner can read; it appears when it is complete and was read back.

    `force` replaces a file that stands there. The actor needs `backups.make` outside of any clinic.
    Raises `BackupExists`, `BackupFailed`.
    """
    database.read(lambda tx: tx.require("backups.make"), actor=actor)
    if target.exists() and not force:
        raise BackupExists(f"{target} stands already: choose another name, or replace it with --force.", path=str(target))
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                manifest = _write(database.engine, file, progress)
                file.flush()
                os.fsync(file.fileno())
            with zipfile.ZipFile(unfinished) as archive:
                _verify(archive, manifest)
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BackupFailed(f"{target} can't be written ({error.strerror}): choose another place.", path=str(target), reason=str(error)) from error
    return manifest


def restore(url: str, *, source: Path, plugins: Registry, settings: Settings | None = None, progress: Progress | None = None) -> Manifest:
    """Bring a backup into an empty database, whose tables are made first: all of it, or nothing.

    The plugins whose tables it holds must be installed, in the versions that it was made with.
    Raises `NoBackup`, `BackupDamaged`, `BackupOfOtherVersion`, `DatabaseNotEmpty`.
    """
    # A table is one statement on PostgreSQL: it may take as long as it takes.
    patient = replace(settings or Settings(), statement_timeout_seconds=86_400, idle_timeout_seconds=3600)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            engine = open_engine(url, patient)
            try:
                _check_target(engine, manifest, plugins)
                migrations.upgrade(url, registry=plugins, settings=patient)
                _load(engine, archive, manifest, progress)
            finally:
                engine.dispose()
    except (OSError, zipfile.BadZipFile) as error:
        raise NoBackup(f"{source} can't be read as a backup ({error}): choose another file.", path=str(source), reason=str(error)) from error
    except DBAPIError as error:
        raise explain(error) from error
    return manifest


# --- the database: the only two transactions here ------------------------------------------------------------------------------------


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one moment of the whole database, all clinics, and writes nothing."""
    options: dict[str, Any] = {"billing_mode": "read"}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection, connection.execution_options(**options).begin():
        yield connection


@contextmanager
def _one_transaction(engine: Engine) -> Iterator[Connection]:
    """Open the transaction in which everything is restored."""
    with engine.begin() as connection:
        yield connection


# --- writing -------------------------------------------------------------------------------------------------------------------------


def _write(engine: Engine, file: IO[bytes], progress: Progress | None) -> Manifest:
    with _snapshot(engine) as connection, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        names = inspect(connection).get_table_names()
        kept = sorted(filter(_is_kept, names))
        manifest = Manifest(
            made_at=clock.now().isoformat(),
            dialect=engine.dialect.name,
            lineages=_lineages(connection, names),
            tables=tuple(_write_table(connection, archive, name, progress) for name in kept),
        )
        archive.writestr(MANIFEST, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1))
    return manifest


def _write_table(connection: Connection, archive: zipfile.ZipFile, name: str, progress: Progress | None) -> StoredTable:
    columns = tuple(each["name"] for each in inspect(connection).get_columns(name))
    digest, count = hashlib.sha256(), 0
    # Columns without a type: values come as the driver has them, whichever tables and plugins there are.
    statement = select(*(column(each) for each in columns)).select_from(table(name))
    rows = connection.execute(statement, execution_options={"stream_results": True})
    with archive.open(_member(name), "w", force_zip64=True) as file:
        for batch in rows.partitions(BATCH):
            lines = b"".join(json.dumps([_portable(value) for value in row], ensure_ascii=True).encode("ascii") + b"\n" for row in batch)
            file.write(lines)
            digest.update(lines)
            count += len(batch)
            if progress:
                progress(name, len(batch))
    return StoredTable(name, columns, count, digest.hexdigest())


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
            for revision in connection.execute(select(column("version_num")).select_from(table(name))).scalars():
                found[name.removeprefix(VERSIONS)] = str(revision)
    return found


def _is_kept(name: str) -> bool:
    """Say whether a table belongs into a backup: not what is one machine's own, nor the versions, which the manifest has."""
    local = {mapper.class_.__tablename__ for mapper in Base.registry.mappers if mapper.class_.table_class is TableClass.LOCAL}
    return not name.startswith(VERSIONS) and name not in local


def _member(name: str) -> str:
    return f"tables/{name}.jsonl"


# --- reading -------------------------------------------------------------------------------------------------------------------------


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    try:
        said = json.loads(archive.read(MANIFEST))
        if said.pop("format") != FORMAT:
            raise ValueError("its format is another one")
        tables = tuple(StoredTable(**{**each, "columns": tuple(each["columns"])}) for each in said.pop("tables"))
        return Manifest(**said, tables=tables)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, zlib.error) as error:
        raise NoBackup(f"{source} is no complete backup: its manifest is missing or damaged.", path=str(source), reason=str(error)) from error


def _batches(archive: zipfile.ZipFile, stored: StoredTable) -> Iterator[list[list[Any]]]:
    """Yield a table's rows; raise `BackupDamaged` behind the last one, or earlier, if they are not as they were written."""
    digest, count = hashlib.sha256(), 0
    try:
        with archive.open(_member(stored.name)) as file:
            while lines := list(islice(file, BATCH)):
                digest.update(b"".join(lines))
                count += len(lines)
                rows = [json.loads(line) for line in lines]
                if not all(isinstance(row, list) and len(row) == len(stored.columns) for row in rows):
                    raise ValueError("a row does not have its columns")
                yield rows
    except (KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(stored.name, str(error)) from error
    if (count, digest.hexdigest()) != (stored.rows, stored.sha256):
        raise _damaged(stored.name, f"it has {count} rows of {stored.rows}, or others than were written")


def _damaged(name: str, reason: str) -> BackupDamaged:
    return BackupDamaged(
        f"The table {name} in this backup is damaged ({reason}): nothing was restored. Take another backup.", table=name, reason=reason
    )


def _verify(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    for stored in manifest.tables:
        for _ in _batches(archive, stored):
            pass


def _check_target(engine: Engine, manifest: Manifest, plugins: Registry) -> None:
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
    with engine.connect() as connection:
        for name in inspect(connection).get_table_names():
            if _is_kept(name) and connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first():
                raise DatabaseNotEmpty(f"The table {name} has rows already: restore into an empty database.", table=name)


def _load(engine: Engine, archive: zipfile.ZipFile, manifest: Manifest, progress: Progress | None) -> None:
    stored = {each.name: each for each in manifest.tables}
    order = [each.name for each in Base.metadata.sorted_tables if each.name in stored]  # rows that others refer to come first
    with _one_transaction(engine) as connection:
        there = inspect(connection)
        if strange := sorted(set(stored) - set(order)):
            raise _damaged(strange[0], "there is no such table")
        copy = _copy_to_sqlite if engine.dialect.name == "sqlite" else _copy_to_postgresql
        for name in order:
            if {each["name"] for each in there.get_columns(name)} != set(stored[name].columns):
                raise _damaged(name, "it has other columns than the table here")
            copy(connection, stored[name], _counted(_batches(archive, stored[name]), name, progress))
        if engine.dialect.name == "sqlite" and (dangling := connection.execute(text("PRAGMA foreign_key_check")).first()):
            raise _damaged(dangling.table, f"a row of it refers to one of {dangling.parent} that is not there")


def _counted(batches: Iterator[list[list[Any]]], name: str, progress: Progress | None) -> Iterator[list[list[Any]]]:
    for batch in batches:
        yield batch
        if progress:
            progress(name, len(batch))


def _copy_to_sqlite(connection: Connection, stored: StoredTable, batches: Iterator[list[list[Any]]]) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA defer_foreign_keys = ON")  # a row may refer to a later one of its own table; checked by COMMIT
    marks = ", ".join("?" for _ in stored.columns)
    statement = f"INSERT INTO {stored.name} ({', '.join(stored.columns)}) VALUES ({marks})"  # noqa: S608 - names that were compared with the table's own
    for batch in batches:
        try:
            driver.executemany(statement, batch)
        except (sqlite3.Error, OverflowError) as error:
            raise _damaged(stored.name, str(error)) from error


def _copy_to_postgresql(connection: Connection, stored: StoredTable, batches: Iterator[list[list[Any]]]) -> None:
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
        raise _damaged(stored.name, str(error).splitlines()[0]) from error
