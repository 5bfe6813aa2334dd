"""Connections with what money needs set on each of them: addresses, timeouts, pragmas. Begins and ends nothing.

Every connection is in the driver's autocommit mode: a transaction begins where the boundary says BEGIN, and nowhere by itself.
"""

import re
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from billing.errors import Misconfigured, PluginViolation
from billing.settings import Settings
from billing.trips.sqlite import BEGIN_WRITING, begin_writing

BEGIN = {
    ("sqlite", "read"): "BEGIN",
    # A deferred transaction that reads and then writes fails at once when another writes in between; IMMEDIATE waits its turn.
    ("sqlite", "write"): BEGIN_WRITING,
    # A reading transaction sees one moment in all of its statements, and can't write by mistake.
    ("postgresql", "read"): "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    ("postgresql", "write"): "BEGIN",
}
"""How a transaction begins, by dialect and by what it is for."""

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_END = re.compile(r"\A\s*(BEGIN|START|END)\b|(?:\A|;)[\s;]*(COMMIT|ROLLBACK(?!\s+TO\b)|ABORT)\b", re.IGNORECASE)
"""What begins or ends a transaction, an end also as a later one of several statements; going back to a savepoint doesn't."""


class BadDatabaseUrl(Misconfigured):
    """The database's address can't be used. Facts: `reason`."""

    code = "bad_database_url"


def open_engine(url: str, settings: Settings) -> Engine:
    """Return an engine with what money needs set on every connection. Raises `BadDatabaseUrl`."""
    address = _parse_url(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, connect_args={"timeout": settings.lock_timeout_seconds, "isolation_level": None})
        event.listen(engine, "connect", _prepare_sqlite)
    else:
        options = " ".join(f"-c {name}={value}" for name, value in settings.session_values().items())
        arguments = {"options": options, "prepare_threshold": None, "autocommit": True}
        # Who used a connection has ended its transaction: the boundary by its own hand, a connection of SQLAlchemy when it is closed.
        engine = create_engine(address, connect_args=arguments, pool_reset_on_return=None)
        event.listen(engine, "connect", _prepare_postgresql)
        if settings.carrier == "direct":
            event.listen(engine, "connect", _keep_plans)
    event.listen(engine, "begin", lambda connection: _begin(connection, settings.lock_timeout_seconds))
    event.listen(engine, "before_cursor_execute", _refuse_ends)
    return engine


def _parse_url(url: str) -> URL:
    example = "sqlite:////var/lib/clinic/billing.sqlite3 or postgresql://user@host/billing"
    try:
        address = make_url(url)
        backend = address.get_backend_name()
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError, ImportError) as error:
        raise BadDatabaseUrl(
            f"The database's address can't be read ({type(error).__name__}): write it like {example}.", reason=str(error)
        ) from None
    if backend not in {"sqlite", "postgresql"}:
        raise BadDatabaseUrl(f"{backend} is not supported: use {example}.", reason=backend)
    if backend == "sqlite":
        if not address.database or address.database == ":memory:":
            raise BadDatabaseUrl(f"A database in memory forgets all when the command ends: use {example}.", reason="memory")
        _make_folder(Path(address.database))
    return address


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadDatabaseUrl(
            f"The folder of the database file can't be made ({error.strerror}): choose another one.", reason=str(error)
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgresql(connection: Any, _: object) -> None:
    from psycopg.types.string import TextLoader

    connection.adapters.register_loader("uuid", TextLoader)  # ids are text in Python


def _keep_plans(connection: Any, _: object) -> None:
    # What the direct carrier prepares looks rows up by key, so one plan fits all values; left alone, PostgreSQL plans the write each time.
    # A cluster plans by the clinic, so it must see the values.
    try:
        connection.execute(
            "SELECT set_config('plan_cache_mode', 'force_generic_plan', false) "
            "WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
        )
    except BaseException:
        connection.close()  # the pool has not taken it over yet
        raise


def _begin(connection: Connection, patience_seconds: float) -> None:
    # A unit's session joins a transaction that stands already; what begins here is a connection of its own (`over_all_clinics`).
    mode = connection.get_execution_options().get("billing_mode", "write")
    driver: Any = connection.connection.driver_connection
    if mode == "alone":
        return
    if mode == "unit":
        _require_open(driver)
        return
    if (text := BEGIN[connection.dialect.name, mode]) == BEGIN_WRITING:
        begin_writing(driver, patience_seconds)
    else:
        driver.execute(text)


def _require_open(driver: Any) -> None:
    # A session that goes on behind the end of its unit's transaction would write rows that are durable one by one.
    open_ = driver.in_transaction if isinstance(driver, sqlite3.Connection) else driver.pgconn.transaction_status != 0
    if not open_:
        raise own_end("begin")


def _refuse_ends(connection: Connection, cursor: Any, statement: str, *rest_of_event: object) -> None:
    del connection, cursor, rest_of_event
    if found := _END.search(_COMMENT.sub(" ", statement)):
        raise own_end(str(found.group(1) or found.group(2)).upper())


def own_end(what: str) -> PluginViolation:
    """Return the error for a unit that ends, or begins, a transaction itself."""
    return PluginViolation(f"A unit of work called {what}: only the boundary begins, commits and rolls back.", reason=what)
