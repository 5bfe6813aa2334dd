"""The boundary: units of work, each in a transaction of its own (billing/unit.py), and when one is run again. Knows no service and no plugin.

A unit of work is a function of `tx`. `run` calls it, commits, and on a serialization failure or deadlock runs it again from the start: that is
why it is a function and not a `with` block. The connection is the boundary and the session joins it, so that a unit which swallows a database
error, or commits on its own, is found out before the commit.

BEGIN travels with the unit's first statements and COMMIT with its write, so a payment is two round trips (docs/map.md). The clinic's facts are
kept between units; each unit's first trip asks whether they still hold, and a unit that began with old ones is undone and run again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine

from billing.changes.failures import DatabaseUnavailable
from billing.engine import open_engine
from billing.errors import BillingError, Forbidden
from billing.failpoints import failpoint
from billing.settings import Settings
from billing.transaction import Transaction
from billing.transaction.context import Permissions
from billing.unit import FLUSHED, Again, Ground, Mode, OutcomeUnknown, Stale, Unit

T = TypeVar("T")

ATTEMPTS = 4
"""Once, and three more times after a serialization failure, a deadlock, a connection lost before COMMIT, or a commit of unknown outcome under an
idempotency key."""


class Database:
    """A database of clinics, and the units of work that run on it. `plugins` is handed to each unit as it is."""

    def __init__(
        self, url: str, *, plugins: object, permissions: Permissions, names: Sequence[str] = (), settings: Settings | None = None
    ) -> None:
        chosen = settings or Settings()
        self.engine = open_engine(url, chosen)
        self._ground = Ground(self.engine, chosen, plugins, permissions, frozenset(names))

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._ground.dialect

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
        except Again as again:
            raise again.error from again.__cause__

    def wait_until_durable(self) -> None:
        """Return when everything that can be read by now is on disk: before the outside world is told of it (docs/decisions/0018)."""
        if self.dialect == "postgresql":
            with self.engine.connect().execution_options(billing_mode="alone") as connection:  # a transaction by itself
                connection.exec_driver_sql(FLUSHED[0].text)

    def dispose(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def _repeated(self, unit: Callable[[Transaction], T], clinic: str | None, actor: str, at: datetime | None, mode: Mode) -> T:
        doubt: OutcomeUnknown | None = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(unit, clinic, actor, at, mode=mode)
            except Again as again:
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
        failpoint("unit.begin")
        try:
            with Unit(self._ground, mode) as work:
                return work.carry(unit, clinic, actor, at)
        except Stale:
            self._ground.contexts.pop((str(clinic), str(actor)), None)
        with Unit(self._ground, mode) as work:  # what has been read by the unit itself can't be old
            return work.carry(unit, clinic, actor, at)

    def _record_refusal(self, clinic: str | None, actor: str, refusal: Forbidden) -> None:
        if clinic is None:
            return
        permission = str(refusal.facts.get("permission", refusal.code))
        with suppress(BillingError, Again):  # the refusal itself is what the caller must hear
            self._once(
                lambda tx: tx.audit("permission.refused", "permission", permission, code=refusal.code), clinic, actor, None, mode="write"
            )


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
