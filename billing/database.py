"""The boundary: the only place that begins, commits and rolls back. It knows the two databases; it knows no service and no plugin.

A unit of work is a function of `tx`. `run` calls it, commits, and on a serialization failure or deadlock runs it again from the start: that is
why it is a function and not a `with` block. The connection is the boundary and the session joins it, so that a unit which swallows a database
error, or commits on its own, is found out before the commit.

BEGIN travels with the unit's first statements and COMMIT with its write, so a payment is two round trips (docs/map.md). The clinic's facts are
kept between units; each unit's first trip asks whether they still hold, and a unit that began with old ones is undone and run again.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import StatementError

from billing import clock
from billing.changes import postgresql, sqlite
from billing.changes.failures import DatabaseUnavailable, explain, is_database_error, outcome_unknown, retryable
from billing.engine import BEGIN, open_engine
from billing.errors import BillingError, Conflict, Forbidden, PluginViolation
from billing.model.writes import AuditRow, Write
from billing.settings import Settings
from billing.transaction import NOBODY, Transaction
from billing.transaction import context as contexts
from billing.transaction.context import Context, Permissions
from billing.transaction.session import UnitSession
from billing.trips import Call, OpeningTrips, Prepared, Row, SQLiteTrips, Trips

T = TypeVar("T")

ATTEMPTS = 4
"""Once, and three more times after a serialization failure, a deadlock, a connection lost before COMMIT, or a commit of unknown outcome under an
idempotency key."""

_ACTIVE, _SOUND, _IN_ERROR = 1, 2, 3
"""What libpq says of a connection's transaction; its enumeration comes with the driver, which SQLite's users need not have."""

_COMMIT: Call = (Prepared("COMMIT"), ())
_RELEASE_EARLY: Call = (Prepared("SET LOCAL synchronous_commit TO off"), ())
_FLUSHED: Call = (Prepared("SELECT pg_logical_emit_message(true, 'billing', '')"), ())
"""A transaction of its own, behind the COMMIT and in the same trip: it is answered when the disk has it, and with it all that came before."""

Mode = Literal["read", "write"]


class OutcomeUnknown(Conflict):
    """The connection broke while the commit was under way: the act may have happened. Look before you repeat it."""

    code = "outcome_unknown"


class Database:
    """A database of clinics, and the units of work that run on it. `plugins` is handed to each unit as it is."""

    def __init__(
        self, url: str, *, plugins: object, permissions: Permissions, names: Sequence[str] = (), settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.engine = open_engine(url, self.settings)
        self.plugins = plugins
        self.permissions = permissions
        self.names = frozenset(names)
        self.contexts: dict[tuple[str, str], Context] = {}
        self.clinic_ids: dict[str, str] = {}

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def run(self, unit: Callable[[Transaction], T], *, actor: str, clinic: str | None = None, at: datetime | None = None) -> T:
        """Run a unit of work and commit it; return what it returned, its numbers filled in.

        `clinic` is a clinic's code, `actor` a login, `at` an instant of the past (needs the permission `dates.backdate`).
        Raises what the unit raises, or a `BillingError` that explains what the database said; nothing is stored then.
        """
        return self._repeated(unit, clinic, actor, at, "write")

    def read(self, unit: Callable[[Transaction], T], *, actor: str, clinic: str | None = None, at: datetime | None = None) -> T:
        """Run a unit that only reads: it sees one moment, takes no lock, and nothing of it is stored."""
        return self._repeated(unit, clinic, actor, at, "read")

    def set_up(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit that makes the first person who can act: nobody acts yet, and no clinic exists."""
        try:
            return self._once(unit, None, None, None, mode="write")
        except _Again as again:
            raise again.error from again.__cause__

    def wait_until_durable(self) -> None:
        """Return when everything that can be read by now is on disk: before the outside world is told of it (docs/decisions/0018)."""
        if self.dialect == "postgresql":
            with self.engine.connect() as connection:
                connection.exec_driver_sql(_FLUSHED[0].text)
                connection.commit()

    def dispose(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def forget(self, clinic: str | None, actor: str | None) -> None:
        """Read the clinic's facts anew for the next unit of this clinic and actor."""
        self.contexts.pop((str(clinic), str(actor)), None)

    def _repeated(self, unit: Callable[[Transaction], T], clinic: str | None, actor: str, at: datetime | None, mode: Mode) -> T:
        doubt: OutcomeUnknown | None = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(unit, clinic, actor, at, mode=mode)
            except _Again as again:
                doubt = again.error if isinstance(again.error, OutcomeUnknown) else doubt
                if attempt == ATTEMPTS:
                    raise (doubt or again.error) from again.__cause__
            except DatabaseUnavailable as error:
                if doubt is None:
                    raise
                raise doubt from error  # an earlier try may have landed: that is what must be told
            except Forbidden as refusal:
                self._record_refusal(clinic, actor, refusal)
                raise
        raise AssertionError("unreachable")

    def _once(self, unit: Callable[[Transaction], T], clinic: str | None, actor: str | None, at: datetime | None, *, mode: Mode) -> T:
        try:
            with _Unit(self, mode) as work:
                return work.carry(unit, clinic, actor, at)
        except _Stale:
            self.forget(clinic, actor)
        with _Unit(self, mode) as work:  # what has been read by the unit itself can't be old
            return work.carry(unit, clinic, actor, at)

    def _record_refusal(self, clinic: str | None, actor: str, refusal: Forbidden) -> None:
        if clinic is None:
            return
        permission = str(refusal.facts.get("permission", refusal.code))
        with suppress(BillingError, _Again):  # the refusal itself is what the caller must hear
            self._once(
                lambda tx: tx.audit("permission.refused", "permission", permission, code=refusal.code), clinic, actor, None, mode="write"
            )


class _Unit:
    """One unit of work on one connection: from the first trip to the end of its transaction."""

    def __init__(self, database: Database, mode: Mode) -> None:
        self._database = database
        self._mode = mode
        self._trips: OpeningTrips | None = None
        self._joined: Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._pooled = self._database.engine.raw_connection()
        except Exception as error:
            raise explain(error) from error
        self._driver: Any = self._pooled.driver_connection
        return self

    def __exit__(self, *_: object) -> None:
        # On a broken connection there is nothing left to roll back, and the error of the unit is the one to tell.
        with suppress(Exception):
            if self._in_transaction():
                self._driver.rollback()
        if self._pooled.is_valid and (self._lost or self._in_transaction()):
            self._pooled.invalidate()
        if self._joined is not None:
            with suppress(Exception):
                self._joined.close()
        self._pooled.close()

    def carry(self, unit: Callable[[Transaction], T], clinic: str | None, actor: str | None, at: datetime | None) -> T:
        """Run the unit in a transaction and end it."""
        try:
            tx = self._begin(clinic, actor, at)
            result = unit(tx)
            self._open()
            if self._mode == "read":
                return result
            tx.flush_session()
            self._check_boundary()
        except _Stale:
            raise
        except BaseException as error:
            if isinstance(error, BillingError) and self._trips is not None:
                self._open()  # refused by facts that may be old
            raise self._explained(error) from error
        self._commit(tx)
        return result

    def _begin(self, clinic: str | None, actor: str | None, at: datetime | None) -> Transaction:
        carrier = self._carrier()
        begin = (Prepared(BEGIN[carrier.dialect, self._mode]), ())
        facts, who = None, NOBODY
        if actor is None or clinic is None:
            self._trips = OpeningTrips(carrier, [begin], lambda _: None)
            who = NOBODY if actor is None else contexts.read_actor(self._trips, actor, self._database.permissions)
        else:
            context = self._begin_in_clinic(carrier, begin, clinic, actor)
            facts, who = context.clinic, context.actor
        now = clock.now()
        tx = self._tx = Transaction(
            open_session=self._open_session,
            carry_out=self._carry_out,
            dialect=carrier.dialect,
            clinic=facts,
            actor=who,
            at=at or now,
            plugins=self._database.plugins,
        )
        if at is not None and at != now:
            tx.require("dates.backdate")
        return tx

    def _begin_in_clinic(self, carrier: Trips, begin: Call, clinic: str, actor: str) -> Context:
        database = self._database
        if clinic not in database.clinic_ids:
            database.clinic_ids[clinic] = contexts.read_clinic_id(carrier, clinic)
        clinic_id = database.clinic_ids[clinic]
        kept = database.contexts.get((clinic, actor))
        read: list[Context] = []

        def opened(rows: list[list[Row]]) -> None:
            if kept is None:
                read.append(contexts.context_from(calls, rows[1:], clinic, actor, database.permissions))
            elif not contexts.still_holds(kept, rows[-1]):
                raise _Stale

        calls = contexts.context_calls(carrier.dialect, clinic_id, actor) if kept is None else kept.opening
        self._trips = OpeningTrips(carrier, [begin, *calls], opened)
        if kept is not None:
            return kept
        self._open()
        database.contexts[clinic, actor] = read[0]
        return read[0]

    def _carrier(self) -> Trips:
        if self._database.dialect == "sqlite":
            return SQLiteTrips(self._driver, patience_seconds=self._database.settings.lock_timeout_seconds)
        from billing.trips.direct import DirectTrips
        from billing.trips.pipeline import PipelineTrips

        if self._database.settings.carrier == "pipeline":
            return PipelineTrips(self._driver)
        return DirectTrips(self._driver, self._pooled.info.setdefault("prepared", {}))

    def _open(self) -> None:
        """Begin, if nothing has been sent yet: what the unit decided by the kept facts counts only if they still hold."""
        assert self._trips is not None, "a unit opens what it has begun"
        self._trips.trip(())

    def _open_session(self) -> UnitSession:
        self._open()
        self._joined = Connection(self._database.engine, self._pooled).execution_options(billing_mode="unit")
        self._begun = self._joined.begin()
        return UnitSession(bind=self._joined, join_transaction_mode="rollback_only", expire_on_commit=False, autoflush=True)

    def _carry_out(self, writes: Sequence[Write], audit: Sequence[AuditRow], calls: Sequence[Call]) -> list[list[Row]]:
        assert self._trips is not None, "a unit sends after it has begun"
        if not (writes or audit):
            return self._trips.trip(calls)
        self._open()
        self._check_boundary()  # outside of a transaction every row would be durable at once
        if self._database.dialect == "postgresql":
            return postgresql.carry_out(self._trips, self._tx.clinic_id, writes, audit, calls)
        sqlite.carry_out(self._driver, self._tx.clinic_id, writes, audit, self._database.names)
        return self._trips.trip(calls)

    @property
    def _lost(self) -> bool:
        return self._database.dialect == "postgresql" and self._driver.closed

    def _in_transaction(self, *states: int) -> bool:
        if isinstance(self._driver, sqlite3.Connection):
            with suppress(sqlite3.ProgrammingError):  # it is closed
                return self._driver.in_transaction
            return False
        return self._driver.pgconn.transaction_status in (states or (_ACTIVE, _SOUND, _IN_ERROR))

    def _check_boundary(self) -> None:
        alive = self._in_transaction(_SOUND)
        if self._joined is not None:
            kept = not (self._joined.closed or self._joined.invalidated) and self._joined.get_transaction() is self._begun
            alive = alive and kept and self._begun.is_active
        if not alive:
            raise PluginViolation(
                "A unit of work has ended its own transaction: nothing more was booked. Only the boundary commits.", reason="commit"
            )

    def _commit(self, tx: Transaction) -> None:
        try:
            tx.end(self._closing(tx))
        except BaseException as error:
            if not is_database_error(error):
                raise
            # Refused before COMMIT was reached, the transaction stands, in error, and is rolled back.
            known = self._in_transaction() or not (tx.releases_early or outcome_unknown(error))
            if known:
                raise self._explained(error) from error
            unknown = OutcomeUnknown("The connection broke while this was being booked: look whether it is there before you repeat it.")
            # Under an idempotency key the unit may run again: if the first try has landed, it finds its own answer.
            raise (_Again(unknown) if tx.repeatable else unknown) from error

    def _closing(self, tx: Transaction) -> list[Call]:
        """Return what ends the unit. Where the clinic releases early, locks go at the COMMIT and the disk is waited for behind it.

        Sound, since whatever builds on a commit that a crash takes away is later in the log, and goes with it; neither was answered.
        """
        if self._database.dialect == "postgresql" and tx.releases_early:
            return [_RELEASE_EARLY, _COMMIT, _FLUSHED]
        return [_COMMIT]

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, StatementError) and isinstance(error.orig, BillingError):
            return error.orig  # raised while a value was prepared; SQLAlchemy has wrapped it
        if isinstance(error, BillingError) or not is_database_error(error):
            return error
        explained = explain(error, plugins=self._database.names)
        if self._lost:
            self._database.dispose()  # the server may have been restarted: what waits in the pool is as dead as this
        return _Again(explained) if retryable(error) else explained


@contextmanager
def over_all_clinics(engine: Engine, *, writing: bool) -> Iterator[Connection]:
    """Open the one kind of transaction that is no unit of a clinic: migrations, backup and restore. Committed at the end of the block.

    One that only reads sees one moment and takes no write lock. Database errors come as the driver raised them.
    """
    with (
        engine.connect().execution_options(billing_mode="write" if writing else "read", billing_all_clinics=True) as connection,
        connection.begin(),
    ):
        yield connection


class _Again(Exception):
    """The unit may be run again; `error` is what to say when it can't."""

    def __init__(self, error: BillingError) -> None:
        super().__init__(error.sentence)
        self.error = error


class _Stale(Exception):
    """The unit began with facts about its clinic, or about who acts, that do not hold any more."""
