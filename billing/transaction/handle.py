"""`tx`, the open transaction that everything that writes takes first. It collects what is to be written; it can't commit or roll back.

It knows the clinic, who acts and the one instant of the unit. It does not know the database's dialect, the plugins or the services.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from billing import clock
from billing.errors import Forbidden, Misconfigured
from billing.model.record import Event
from billing.model.types import new_id
from billing.model.writes import AuditRow, InsertRows, Number, Write
from billing.transaction.context import Actor, ClinicFacts
from billing.transaction.scope import CLINIC_IDS, scope_calls
from billing.trips import Call, Preparable, Query, Row

CarryOut = Callable[[Sequence[Write], Sequence[AuditRow], Sequence[Call]], list[list[Row]]]
"""Sends what was collected, and behind it, in the same round trip, further calls; returns the rows of those."""


class PermissionMissing(Forbidden):
    """The actor may not do this in this clinic. Facts: `permission`, `login`."""

    code = "permission_missing"


class NoClinic(Misconfigured):
    """The unit of work needs a clinic and was started without one."""

    code = "no_clinic"


class Transaction:
    """The handle of one unit of work. Made by the boundary only; its rows are written, in one go, when the unit ends or reads again."""

    def __init__(
        self,
        *,
        open_session: Callable[[], Session],
        carry_out: CarryOut,
        dialect: str,
        clinic: ClinicFacts | None,
        actor: Actor,
        at: datetime,
        plugins: object,
    ) -> None:
        self._open_session = open_session
        self._opened_session: Session | None = None
        self._carry_out = carry_out
        self.dialect = dialect
        """`sqlite` or `postgresql`."""
        self._clinic = clinic
        self._writes: list[Write] = []
        self._audit: list[AuditRow] = []
        self._events: list[dict[str, Any]] = []
        self._business_date: date | None = None
        self.actor = actor
        self.at = at
        self.plugins = plugins
        self.repeatable = False
        """Whether the unit holds an idempotency key, so that running it again can't do the act twice."""

    @property
    def clinic(self) -> ClinicFacts:
        """The clinic whose rows this unit reads and writes. Raises `NoClinic`."""
        if self._clinic is None:
            raise NoClinic("This needs a clinic: name one with --clinic CODE.")
        return self._clinic

    @property
    def clinic_id(self) -> str:
        """The clinic's id."""
        return self.clinic.id

    @property
    def releases_early(self) -> bool:
        """Whether the clinic's policy lets locks go before the disk has the commit."""
        return self._clinic is not None and self._clinic.policy.get("early_lock_release") is True

    @property
    def in_closed_month(self) -> bool:
        """Whether the clinic has closed the month that this is booked in, as far as the unit knew when it began."""
        through = self._clinic.closed_through if self._clinic else None
        return through is not None and self.business_date <= through

    @property
    def business_date(self) -> date:
        """The clinic's own date at `at`."""
        if self._business_date is None:
            self._business_date = clock.business_date(self.at, self.clinic.time_zone)
        return self._business_date

    def found_clinic(self, clinic: ClinicFacts) -> None:
        """From here on the unit belongs to the clinic that it has just founded."""
        assert self._clinic is None, "a unit of one clinic can't found another"
        self._clinic = clinic
        if self._opened_session is not None:
            self._opened_session.info["clinic_id"] = clinic.id
        self._carry_out([], [], scope_calls(self.dialect, clinic.id))

    def require(self, permission: str) -> None:
        """Raise `PermissionMissing` unless the actor has the permission in this clinic."""
        if permission not in self.actor.permissions:
            raise PermissionMissing(
                f"{self.actor.login} may not do this: the permission {permission} is missing. Ask an admin of the clinic for it.",
                permission=permission,
                login=self.actor.login,
            )

    @property
    def session(self) -> Session:
        """The ORM session, for set-up screens and a plugin's own services. What was collected so far is sent first."""
        self.flush()
        if self._opened_session is None:
            self._opened_session = self._open_session()
            self._opened_session.info["clinic_id"] = self._clinic.id if self._clinic else None
        return self._opened_session

    def rows(self, query: Query, **values: Any) -> list[Row]:
        """Run one query and return its rows; the clinic and the date are bound here."""
        return self.trip((query, values))[0]

    def row(self, query: Query, **values: Any) -> Row | None:
        """Return the first row of a query, or None."""
        found = self.rows(query, **values)
        return found[0] if found else None

    def trip(self, *calls: tuple[Preparable, Mapping[str, Any]]) -> list[list[Row]]:
        """Run several queries in one round trip and return their rows; they see what was collected so far, which travels with them."""
        bound = {"clinic_id": self._clinic.id if self._clinic else None, "today": self.business_date if self._clinic else None}
        prepared = [(query.prepared(self.dialect), values) for query, values in calls]
        return self._send([(each, each.encode({**values, **bound})) for each, values in prepared])

    def rows_of_each_clinic(self, query: Query, **values: Any) -> list[Row]:
        """Run one query in every clinic, in the order of their codes, and return all rows: for units outside of clinics."""
        assert self._clinic is None, "a unit of one clinic does not look into others"
        prepared, calls = query.prepared(self.dialect), list[Call]()
        for clinic in self.rows(CLINIC_IDS):
            calls += [*scope_calls(self.dialect, clinic.clinic_id), (prepared, prepared.encode({**values, "clinic_id": clinic.clinic_id}))]
        return [row for rows in self._send([*calls, *scope_calls(self.dialect, None)]) for row in rows]

    def write(self, *writes: Write) -> None:
        """Add rows to what this unit writes."""
        self._writes.extend(writes)

    def audit(self, action: str, subject: str, subject_id: str, *, number: Number | None = None, **data: Any) -> None:
        """Add an entry to the clinic's audit chain. `data` holds ids, codes and amounts, never a patient's name.

        With a `number` the entry says how that is printed: together with its value, which is chained too, that proves the printed text.
        It is chained when the unit ends: everybody in the clinic waits for the end of the chain, so nobody takes it before all else is done.
        """
        self._audit.append(
            AuditRow(
                at=self.at,
                business_date=self.business_date,
                actor_id=self.actor.id,
                action=action,
                subject=subject,
                subject_id=subject_id,
                data=data if number is None else {**data, "number_format": number.format},
                number=number,
            )
        )

    def emit(self, topic: str, subject_id: str, **data: Any) -> None:
        """Queue an event that the clinic's other systems are told after the commit."""
        row = {"id": new_id(), "topic": topic, "subject_id": subject_id, "data": data, "at": self.at, "sent_at": None}
        self._events.append(row)

    def flush(self) -> None:
        """Send what was collected so far, so that the next statement sees it."""
        self._send(())

    def flush_session(self) -> None:
        """Send the ORM's rows."""
        if self._opened_session is not None:
            self._opened_session.flush()

    def end(self, closing: Sequence[Call]) -> None:
        """Send the rest and the audit entries, with the calls that close the transaction behind them. The boundary's alone."""
        self._send(closing, self._audit)

    def _send(self, calls: Sequence[Call], audit: Sequence[AuditRow] = ()) -> list[list[Row]]:
        # The ORM's rows go first: the collected ones may refer to them.
        self.flush_session()
        return self._carry_out(self._take(), audit, calls)

    def _take(self) -> list[Write]:
        writes = self._writes
        if self._events:
            writes.append(InsertRows(Event.__table__, self._events))  # type: ignore[arg-type]
        self._writes, self._events = [], []
        return writes
