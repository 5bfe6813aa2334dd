"""Reminders of overdue invoices: each level of the clinic's policy once for an invoice, at most one a day, however often and wherever this runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Text, bindparam, column, func, or_, select, text

from billing.model import CLINIC, Invoice, Reminder
from billing.model.types import NIL_ID, DayType, IdType, InstantType, WholeType
from billing.services.clinics import ReminderLevel, check_policy
from billing.services.inputs import check_limit
from billing.services.listing import DUE
from billing.transaction import Transaction
from billing.trips import Query, Row

AT_ONCE = 100
"""Invoices that one unit looks at."""

_OF_INVOICE = Reminder.clinic_id == CLINIC, Reminder.invoice_id == Invoice.id
_LEVEL = select(func.coalesce(func.max(Reminder.level), 0)).where(*_OF_INVOICE).scalar_subquery()
_LATEST = select(func.max(Reminder.business_date)).where(*_OF_INVOICE).scalar_subquery()
_AFTER_DAY, _AFTER_ID = bindparam("after_day", type_=DayType()), bindparam("after_id", type_=IdType())
_OVERDUE = Query(
    select(
        Invoice.id,
        Invoice.number,
        Invoice.client_id,
        Invoice.due_date,
        DUE.label("due_minor"),
        _LEVEL.label("level"),
        _LATEST.label("reminded_on"),
    )
    .where(
        Invoice.clinic_id == CLINIC,
        Invoice.status.in_(["sent", "partial"]),
        Invoice.due_date <= bindparam("due_by", type_=DayType()),
        Invoice.due_date >= _AFTER_DAY,
        or_(Invoice.due_date > _AFTER_DAY, Invoice.id > _AFTER_ID),
    )
    .order_by(Invoice.due_date, Invoice.id)
    .limit(bindparam("limit", type_=WholeType()))
    .offset(0)
)


_INSERT = (
    "INSERT INTO reminder (clinic_id, invoice_id, level, business_date, due_minor, fee_minor, at, done_by) "
    "SELECT :clinic_id, invoice_id, level, :today, due_minor, fee_minor, :at, :actor_id FROM ("
)
# A condition stands before ON CONFLICT: SQLite would take that for a join's.
_ONCE = ") AS asked WHERE level > 0 ON CONFLICT DO NOTHING RETURNING invoice_id, level"
_ASKED = {
    "sqlite": "SELECT json_extract(value, '$.invoice_id') AS invoice_id, json_extract(value, '$.level') AS level, "
    "json_extract(value, '$.due_minor') AS due_minor, json_extract(value, '$.fee_minor') AS fee_minor FROM json_each(:reminders)",
    "postgresql": "SELECT * FROM json_to_recordset(CAST(:reminders AS json)) "
    "AS each (invoice_id uuid, level bigint, due_minor bigint, fee_minor bigint)",
}
"""The rows of the JSON array `reminders`."""


def _remember(asked: str) -> Query:
    return Query(
        text(_INSERT + asked + _ONCE)
        .bindparams(
            bindparam("clinic_id", type_=IdType()),
            bindparam("today", type_=DayType()),
            bindparam("at", type_=InstantType()),
            bindparam("actor_id", type_=IdType()),
            bindparam("reminders", type_=Text()),
        )
        .columns(column("invoice_id", IdType()), column("level", WholeType()))
    )


_REMEMBER = {dialect: _remember(asked) for dialect, asked in _ASKED.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk over overdue invoices has come."""

    due_date: date
    invoice_id: str


@dataclass(frozen=True, slots=True)
class Reminded:
    """A reminder that was told just now: its level, what is due, and the fee that is told with it and not booked; minor units."""

    invoice_id: str
    number: str
    client_id: str
    due_date: date
    level: int
    due_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class ReminderRun:
    """What one unit has told, and where the next one goes on; None at the end."""

    reminders: tuple[Reminded, ...]
    after: Place | None


def remind(tx: Transaction, *, after: Place | None = None, limit: int = AT_ONCE) -> ReminderRun:
    """Tell the next due level of so many overdue invoices, oldest first, behind `after`: one event `invoice.reminded` each.

    A level is due its days after the due date; levels come one after the other, at most one a day and invoice. What another run has told
    is not told again, even if both run at once: the reminder's key decides. A payment that is taken meanwhile may cross the reminder.
    Raises `BadLimit`.
    """
    tx.require("reminders.send")
    levels = sorted(check_policy(tx.clinic.policy).reminders, key=lambda each: each.days)
    if not levels:
        return ReminderRun((), None)
    place = after or Place(date(1, 1, 2), NIL_ID)
    due_by = tx.business_date - timedelta(days=levels[0].days)
    rows = tx.rows(_OVERDUE, due_by=due_by, after_day=place.due_date, after_id=place.invoice_id, limit=check_limit(limit))
    wanted = [each for row in rows if (each := _next(tx, row, levels)) is not None]
    told = _told(tx, wanted) if wanted else ()
    for each in told:
        due, fee = each.due_minor, each.fee_minor
        tx.audit("invoice.reminded", "invoice", each.invoice_id, level=each.level, due_minor=due, fee_minor=fee)
        tx.emit("invoice.reminded", each.invoice_id, level=each.level, due_date=each.due_date.isoformat(), due_minor=due, fee_minor=fee)
    return ReminderRun(told, Place(rows[-1].due_date, rows[-1].id) if len(rows) == limit else None)


def _next(tx: Transaction, row: Row, levels: Sequence[ReminderLevel]) -> Reminded | None:
    if row.due_minor <= 0 or row.reminded_on == tx.business_date or row.level >= len(levels):
        return None
    level = levels[row.level]
    if tx.business_date < row.due_date + timedelta(days=level.days):
        return None
    return Reminded(row.id, row.number, row.client_id, row.due_date, row.level + 1, row.due_minor, level.fee_minor)


def _told(tx: Transaction, wanted: Sequence[Reminded]) -> tuple[Reminded, ...]:
    rows: list[dict[str, Any]] = [
        {"invoice_id": each.invoice_id, "level": each.level, "due_minor": each.due_minor, "fee_minor": each.fee_minor} for each in wanted
    ]
    won = {
        (row.invoice_id, row.level) for row in tx.rows(_REMEMBER[tx.dialect], at=tx.at, actor_id=tx.actor.id, reminders=json.dumps(rows))
    }
    return tuple(each for each in wanted if (each.invoice_id, each.level) in won)
