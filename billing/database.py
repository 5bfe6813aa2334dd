"""The boundary: the only place that begins, commits and rolls back. It knows the two databases; it knows no service and no plugin.

A unit of work is a function of `tx`. `run` calls it, commits, and on a serialization failure or deadlock runs it again from the start: that is
why it is a function and not a `with` block. The connection is the boundary and the session joins it, so that a unit which swallows a database
error, or commits on its own, is found out before the commit.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError

from billing import clock
from billing.changes import postgresql, sqlite
from billing.changes.failures import RETRYABLE, explain, is_database_error, outcome_unknown, sqlstate
from billing.errors import BillingError, Conflict, Forbidden, Misconfigured, PluginViolation
from billing.failpoints import failpoint
from billing.model.writes import AuditRow, Write
from billing.settings import Settings
from billing.transaction import NOBODY, SEAL, Transaction
from billing.transaction.context import Permissions, read_actor, read_clinic_id, read_context
from billing.transaction.session import UnitSession, own_end
from billing.trips import PostgresTrips, SQLiteTrips, Trips

T = TypeVar("T")

ATTEMPTS = 4
"""Once, and three more times after a serialization failure, a deadlock, or a commit of unknown outcome under an idempotency key."""

_ENDS = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START"})


class BadDatabaseUrl(Misconfigured):
    """The database's address can't be used. Facts: `reason`."""

    code = "bad_database_url"


class OutcomeUnknown(Conflict):
    """The connection broke while the commit was under way: the act may have happened. Look before you repeat it."""

    code = "outcome_unknown"


class Database:
    """A database of clinics, and the units of work that run on it. `plugins` is handed to each unit as it is."""

    def __init__(
        self, url: str, *, plugins: object, permissions: Permissions, names: Sequence[str] = (), settings: Settings | None = None
    ) -> None:
        self._settings = settings or Settings()
        self.engine = open_engine(url, self._settings)
        self._plugins = plugins
        self._permissions = permissions
        self._names = frozenset(names)
        self._clinic_ids: dict[str, str] = {}

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def run(self, unit: Callable[[Transaction], T], *, actor: str, clinic: str | None = None, at: datetime | None = None) -> T:
        """Run a unit of work and commit it; return what it returned, its numbers filled in.

        `clinic` is a clinic's code, `actor` a login, `at` an instant of the past (needs the permission `dates.backdate`).
        Raises what the unit raises, or a `BillingError` that explains what the database said; nothing is stored then.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(unit, clinic, actor, at, mode="write")
            except _Again as again:
                if attempt == ATTEMPTS:
                    raise again.error from again.__cause__
            except Forbidden as refusal:
                self._record_refusal(clinic, actor, refusal)
                raise
        raise AssertionError("unreachable")

    def read(self, unit: Callable[[Transaction], T], *, actor: str, clinic: str | None = None, at: datetime | None = None) -> T:
        """Run a unit that only reads: it sees one moment, takes no lock, and nothing of it is stored."""
        try:
            return self._once(unit, clinic, actor, at, mode="read")
        except Forbidden as refusal:
            self._record_refusal(clinic, actor, refusal)
            raise
        except _Again as again:
            raise again.error from again.__cause__

    def set_up(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit that makes the first person who can act: nobody acts yet, and no clinic exists."""
        return self._once(unit, None, None, None, mode="write")

    def dispose(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def _once(
        self,
        unit: Callable[[Transaction], T],
        clinic: str | None,
        actor: str | None,
        at: datetime | None,
        *,
        mode: Literal["read", "write"],
    ) -> T:
        failpoint("unit.begin")
        with self._connect(mode) as connection:
            transaction = self._begin(connection)
            try:
                tx = self._open(connection, clinic, actor, at)
                failpoint("unit.opened")
                result = unit(tx)
                if mode == "read":
                    transaction.rollback()
                    return result
                tx.flush()
                self._check_boundary(connection, transaction, tx)
            except BaseException as error:
                _roll_back(transaction)
                raise self._explained(error) from error
            self._commit(transaction, tx)
            failpoint("commit.after")
            return result

    def _connect(self, mode: str) -> Connection:
        try:
            return self.engine.connect().execution_options(**_options(self.engine, mode))
        except Exception as error:
            raise explain(error) from error

    def _begin(self, connection: Connection) -> RootTransaction:
        try:
            return connection.begin()
        except Exception as error:  # on SQLite a writer waits here for another one
            raise self._explained(error) from error

    def _open(self, connection: Connection, clinic: str | None, actor: str | None, at: datetime | None) -> Transaction:
        driver = connection.connection.driver_connection
        trips: Trips = PostgresTrips(driver) if self.dialect == "postgresql" else SQLiteTrips(driver)
        session = UnitSession(bind=connection, join_transaction_mode="rollback_only", expire_on_commit=False, autoflush=True)
        facts, who = None, NOBODY
        if actor is None:
            pass
        elif clinic is None:
            who = read_actor(trips, actor, self._permissions)
        else:
            if clinic not in self._clinic_ids:
                self._clinic_ids[clinic] = read_clinic_id(trips, clinic)
            facts, who = read_context(trips, clinic_id=self._clinic_ids[clinic], code=clinic, login=actor, permissions=self._permissions)
            session.info["clinic_id"] = facts.id

        def carry_out(writes: Sequence[Write], audit: Sequence[AuditRow]) -> None:
            if self.dialect == "sqlite":
                sqlite.carry_out(driver, tx.clinic_id, writes, audit, self._names)
            else:
                postgresql.carry_out(trips, tx.clinic_id, writes, audit)

        now = clock.now()
        tx = Transaction(session=session, trips=trips, carry_out=carry_out, clinic=facts, actor=who, at=at or now, plugins=self._plugins)
        if at is not None and at != now:
            tx.require("dates.backdate")
        return tx

    def _check_boundary(self, connection: Connection, transaction: Any, tx: Transaction) -> None:
        driver: Any = connection.connection.driver_connection
        on_sqlite = isinstance(driver, sqlite3.Connection)
        alive = driver.in_transaction if on_sqlite else driver.info.transaction_status.name == "INTRANS"
        alive = alive and transaction.is_active and connection.get_transaction() is transaction
        if alive and tx.sealed:  # ended and begun again, behind the back of all that was asked so far
            with suppress(Exception):
                connection.exec_driver_sql(f"RELEASE SAVEPOINT {SEAL}")
                tx.sealed = False
        if not alive or tx.sealed:
            raise PluginViolation(
                "A unit of work has ended its own transaction: nothing more was booked. Only the boundary commits.", reason="commit"
            )

    def _commit(self, transaction: Any, tx: Transaction) -> None:
        try:
            failpoint("commit.before")
            transaction.commit()
            failpoint("commit.sent")
        except BaseException as error:
            _roll_back(transaction)
            if not is_database_error(error):
                raise
            if not outcome_unknown(error):
                raise self._explained(error) from error
            unknown = OutcomeUnknown("The connection broke while this was being booked: look whether it is there before you repeat it.")
            # Under an idempotency key the unit may run again: if the first try has landed, it finds its own answer.
            raise (_Again(unknown) if tx.repeatable else unknown) from error

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, StatementError) and isinstance(error.orig, BillingError):
            return error.orig  # raised while a value was prepared; SQLAlchemy has wrapped it
        if isinstance(error, BillingError) or not is_database_error(error):
            return error
        if sqlstate(error) in RETRYABLE:
            return _Again(explain(error, plugins=self._names))
        return explain(error, plugins=self._names)

    def _record_refusal(self, clinic: str | None, actor: str, refusal: Forbidden) -> None:
        if clinic is None:
            return
        permission = str(refusal.facts.get("permission", refusal.code))
        with suppress(BillingError, _Again):  # the refusal itself is what the caller must hear
            self._once(
                lambda tx: tx.audit("permission.refused", "permission", permission, code=refusal.code), clinic, actor, None, mode="write"
            )


@contextmanager
def over_all_clinics(engine: Engine, *, writing: bool) -> Iterator[Connection]:
    """Open the one kind of transaction that is no unit of a clinic: migrations, backup and restore. Committed at the end of the block.

    One that only reads sees one moment and takes no write lock. Database errors come as the driver raised them.
    """
    with engine.connect().execution_options(**_options(engine, "write" if writing else "read")) as connection, connection.begin():
        yield connection


class _Again(Exception):
    """The unit may be run again; `error` is what to say when it can't."""

    def __init__(self, error: BillingError) -> None:
        super().__init__(error.sentence)
        self.error = error


def _options(engine: Engine, mode: str) -> dict[str, Any]:
    # A reading transaction sees one moment in all of its statements, and can't write by mistake.
    if mode == "read" and engine.dialect.name == "postgresql":
        return {"billing_mode": mode, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return {"billing_mode": mode}


def _roll_back(transaction: Any) -> None:
    # A failed flush has rolled back already; on a broken connection there is nothing left to roll back, and the first error is the one to tell.
    if transaction.is_active:
        with suppress(Exception):
            transaction.rollback()


def open_engine(url: str, settings: Settings) -> Engine:
    """Return an engine with what money needs set on every connection. Raises `BadDatabaseUrl`."""
    address = _parse_url(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, connect_args={"timeout": settings.lock_timeout_seconds, "isolation_level": None})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = create_engine(address, pool_pre_ping=True, connect_args={"options": _timeouts(settings), "prepare_threshold": None})
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


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another writes in between; IMMEDIATE waits its turn.
    writes = connection.get_execution_options().get("billing_mode", "write") == "write"
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")


def _timeouts(settings: Settings) -> str:
    limits = {
        "lock_timeout": settings.lock_timeout_seconds,
        "statement_timeout": settings.statement_timeout_seconds,
        "idle_in_transaction_session_timeout": settings.idle_timeout_seconds,
    }
    return " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in limits.items()) + " -c timezone=UTC"


def _refuse_ends(connection: Connection, cursor: Any, statement: str, *rest_of_event: object) -> None:
    del connection, cursor, rest_of_event
    word, _, rest = statement.lstrip().partition(" ")
    if word.rstrip(";").upper() in _ENDS and not rest.lstrip().upper().startswith("TO"):
        raise own_end(word.upper())
