"""One unit of work on one connection, from its first trip to the end of its transaction: begun here, committed or rolled back here.

It knows the two databases and how their errors are told; it does not know when a unit is run again (billing/database.py).
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import StatementError

from billing import clock
from billing.changes import postgresql, sqlite
from billing.changes.failures import PeriodClosed, explain, is_database_error, outcome_unknown, retryable
from billing.engine import BEGIN
from billing.errors import BillingError, Conflict, PluginViolation
from billing.failpoints import failpoint
from billing.model.writes import AuditRow, Write
from billing.settings import Settings
from billing.transaction import NOBODY, Transaction
from billing.transaction import context as contexts
from billing.transaction.context import Context, Permissions
from billing.transaction.session import UnitSession
from billing.trips import Call, OpeningTrips, Prepared, Row, SQLiteTrips, Trips

T = TypeVar("T")

Mode = Literal["read", "write"]

_ACTIVE, _SOUND, _IN_ERROR = 1, 2, 3
"""What libpq says of a connection's transaction; its enumeration comes with the driver, which SQLite's users need not have."""

_COMMIT: Call = (Prepared("COMMIT"), ())
_RELEASE_EARLY: Call = (Prepared("SET LOCAL synchronous_commit TO off"), ())
FLUSHED: Call = (Prepared("SELECT pg_logical_emit_message(true, 'billing', '')"), ())
"""A transaction of its own, behind the COMMIT and in the same trip: it is answered when the disk has it, and with it all that came before."""

_SEAL = "unit_seal"
"""A savepoint that is made when a unit takes a session into its hands: it stands only in the transaction that made it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the units of one database share: where they run, what they act by, and what was read of clinics once."""

    engine: Engine
    settings: Settings
    plugins: object
    permissions: Permissions
    names: frozenset[str]
    contexts: dict[tuple[str, str], Context] = field(default_factory=dict)
    clinic_ids: dict[str, str] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name


class OutcomeUnknown(Conflict):
    """The connection broke while the commit was under way: the act may have happened. Look before you repeat it."""

    code = "outcome_unknown"


class Again(Exception):
    """The unit may be run again; `error` is what to say when it can't."""

    def __init__(self, error: BillingError) -> None:
        super().__init__(error.sentence)
        self.error = error


class Stale(Exception):
    """The unit began with facts about its clinic, or about who acts, that do not hold any more."""


class Unit:
    """One unit of work on one connection: from the first trip to the end of its transaction."""

    def __init__(self, ground: Ground, mode: Mode) -> None:
        self._ground = ground
        self._mode = mode
        self._trips: OpeningTrips | None = None
        self._joined: Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._pooled = self._ground.engine.raw_connection()
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
            failpoint("unit.opened")
            result = unit(tx)
            self._open()
            if self._mode == "read":
                return result
            tx.flush_session()
            self._check_boundary()
            self._break_seal()
        except Stale:
            raise
        except BaseException as error:
            if isinstance(error, BillingError) and self._trips is not None:
                self._open()  # refused by facts that may be old
            raise self._explained(error) from error
        self._commit(tx)
        failpoint("commit.after")
        return result

    def _begin(self, clinic: str | None, actor: str | None, at: datetime | None) -> Transaction:
        carrier = self._carrier()
        begin = (Prepared(BEGIN[carrier.dialect, self._mode]), ())
        facts, who = None, NOBODY
        if actor is None or clinic is None:
            self._trips = OpeningTrips(carrier, [begin], lambda _: None)
            who = NOBODY if actor is None else contexts.read_actor(self._trips, actor, self._ground.permissions)
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
            plugins=self._ground.plugins,
        )
        if at is not None and at != now:
            tx.require("dates.backdate")
        return tx

    def _begin_in_clinic(self, carrier: Trips, begin: Call, clinic: str, actor: str) -> Context:
        ground = self._ground
        if clinic not in ground.clinic_ids:
            ground.clinic_ids[clinic] = contexts.read_clinic_id(carrier, clinic)
        clinic_id = ground.clinic_ids[clinic]
        kept = ground.contexts.get((clinic, actor))
        read: list[Context] = []

        def opened(rows: list[list[Row]]) -> None:
            if kept is None:
                read.append(contexts.context_from(calls, rows[1:], clinic, actor, ground.permissions))
            elif not contexts.still_holds(kept, rows[-1]):
                raise Stale

        calls = contexts.context_calls(carrier.dialect, clinic_id, actor) if kept is None else kept.opening
        self._trips = OpeningTrips(carrier, [begin, *calls], opened)
        if kept is not None:
            return kept
        self._open()
        ground.contexts[clinic, actor] = read[0]
        return read[0]

    def _carrier(self) -> Trips:
        if self._ground.dialect == "sqlite":
            return SQLiteTrips(self._driver, patience_seconds=self._ground.settings.lock_timeout_seconds)
        from billing.trips.direct import DirectTrips
        from billing.trips.pipeline import PipelineTrips

        if self._ground.settings.carrier == "pipeline":
            return PipelineTrips(self._driver)
        return DirectTrips(self._driver, self._pooled.info.setdefault("prepared", {}))

    def _open(self) -> None:
        """Begin, if nothing has been sent yet: what the unit decided by the kept facts counts only if they still hold."""
        assert self._trips is not None, "a unit opens what it has begun"
        self._trips.trip(())

    def _open_session(self) -> UnitSession:
        self._open()
        self._joined = Connection(self._ground.engine, self._pooled).execution_options(billing_mode="unit")
        self._begun = self._joined.begin()
        self._joined.exec_driver_sql(f"SAVEPOINT {_SEAL}")
        return UnitSession(bind=self._joined, join_transaction_mode="rollback_only", expire_on_commit=False, autoflush=True)

    def _carry_out(self, writes: Sequence[Write], audit: Sequence[AuditRow], calls: Sequence[Call]) -> list[list[Row]]:
        assert self._trips is not None, "a unit sends after it has begun"
        if not (writes or audit):
            return self._trips.trip(calls)
        self._open()
        if self._tx.in_closed_month:
            raise PeriodClosed.on(self._tx.business_date)  # said early; the end of the audit chain says it surely
        self._check_boundary()  # outside of a transaction every row would be durable at once
        failpoint("write.before")
        if self._ground.dialect == "postgresql":
            return postgresql.carry_out(self._trips, self._tx.clinic_id, writes, audit, calls)
        sqlite.carry_out(self._driver, self._tx.clinic_id, writes, audit, self._ground.names)
        failpoint("write.after")
        return self._trips.trip(calls)

    @property
    def _lost(self) -> bool:
        return self._ground.dialect == "postgresql" and self._driver.closed

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
            raise _ended_by_itself()

    def _break_seal(self) -> None:
        """Find out a unit that has ended its transaction through the driver and begun another one: our savepoint went with the first."""
        if self._joined is not None:
            try:
                self._joined.exec_driver_sql(f"RELEASE SAVEPOINT {_SEAL}")
            except Exception as error:
                raise _ended_by_itself() from error

    def _commit(self, tx: Transaction) -> None:
        try:
            failpoint("commit.before")
            tx.end(self._closing(tx))
            failpoint("commit.sent")
        except BaseException as error:
            if not is_database_error(error):
                raise
            # Refused before COMMIT was reached, the transaction stands, in error, and is rolled back.
            known = self._in_transaction() or not (tx.releases_early or outcome_unknown(error))
            if known:
                raise self._explained(error) from error
            unknown = OutcomeUnknown("The connection broke while this was being booked: look whether it is there before you repeat it.")
            # Under an idempotency key the unit may run again: if the first try has landed, it finds its own answer.
            raise (Again(unknown) if tx.repeatable else unknown) from error

    def _closing(self, tx: Transaction) -> list[Call]:
        """Return what ends the unit. Where the clinic releases early, locks go at the COMMIT and the disk is waited for behind it.

        Sound, since whatever builds on a commit that a crash takes away is later in the log, and goes with it; neither was answered.
        """
        if self._ground.dialect == "postgresql" and tx.releases_early:
            return [_RELEASE_EARLY, _COMMIT, FLUSHED]
        return [_COMMIT]

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, StatementError) and isinstance(error.orig, BillingError):
            return error.orig  # raised while a value was prepared; SQLAlchemy has wrapped it
        if isinstance(error, BillingError) or not is_database_error(error):
            return error
        explained = explain(error, plugins=self._ground.names)
        if self._lost:
            self._ground.engine.dispose()  # the server may have been restarted: what waits in the pool is as dead as this
        return Again(explained) if retryable(error) else explained


def _ended_by_itself() -> PluginViolation:
    return PluginViolation(
        "A unit of work has ended its own transaction: nothing more was booked. Only the boundary commits.", reason="commit"
    )
