"""Closing of months: nothing is booked there any more, by any path, since every act ends at the audit head, which knows the last closed day.

A month is never reopened; what was wrong in it is corrected today. It knows nothing of what books.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select

from billing.changes.failures import PeriodClosed
from billing.errors import Invalid, Refused
from billing.model import AuditHead, Clinic, Period, Shift, Staff
from billing.services import ledger
from billing.transaction import Transaction


class BadMonth(Invalid):
    """The text is no month. Facts: `month`."""

    code = "bad_month"


class MonthNotOver(Refused):
    """A month is closed when it is over in the clinic's time zone. Facts: `month`."""

    code = "month_not_over"


class ShiftStillOpen(Refused):
    """A shift that was opened in the month or before it is still open. Facts: `shifts`."""

    code = "shift_still_open"


@dataclass(frozen=True, slots=True)
class PeriodView:
    """A closed month, first to last day."""

    month: str
    from_date: date
    until_date: date
    closed_at: datetime
    closed_by: str


def close_period(tx: Transaction, *, month: str) -> list[PeriodView]:
    """Close a month, written 2026-10, and with it all months before it that are open; return those that were closed, oldest first.

    What is being booked there at this moment is either done before, or refused with `PeriodClosed`.
    Raises `BadMonth`, `MonthNotOver`, `PeriodClosed` (it is closed already), `ShiftStillOpen`.
    """
    tx.require("periods.close")
    first, last = _month(month)
    if last >= tx.business_date:
        raise MonthNotOver(f"{month} is not over: it can be closed from {last + timedelta(days=1)} on.", month=month)
    # The clinic's row before the head, as those take them who change the set-up: a closed month is part of it.
    tx.session.scalars(select(Clinic.clinic_id).with_for_update(key_share=True)).one()
    # Everybody's last step waits here from now on, so what is read next is all that there will ever be.
    head = tx.session.scalars(select(AuditHead).with_for_update().execution_options(populate_existing=True)).one()
    if head.closed_through is not None and last <= head.closed_through:
        raise PeriodClosed(f"{month} is closed already: the books are closed through {head.closed_through}.")
    _refuse_open_shifts(tx, last)
    start = head.closed_through + timedelta(days=1) if head.closed_through else min(first, ledger.earliest_day(tx) or first).replace(day=1)
    found = []
    balances = ledger.balances_before(tx, start)
    while start <= last:
        end = _last_of(start)
        balances = ledger.added(balances, ledger.moved(tx, from_date=start, until_date=end + timedelta(days=1)))
        tx.session.add(Period(from_date=start, until_date=end, closed_at=tx.at, closed_by=tx.actor.id, balances=balances))
        tx.audit("period.closed", "period", f"{start:%Y-%m}", from_date=str(start), until_date=str(end), balances=balances)
        tx.emit("period.closed", f"{start:%Y-%m}", until_date=str(end))
        found.append(PeriodView(f"{start:%Y-%m}", start, end, tx.at, tx.actor.login))
        start = end + timedelta(days=1)
    head.closed_through = last
    return found


def list_periods(tx: Transaction) -> list[PeriodView]:
    """Return the closed months, latest first."""
    tx.require("journal.read")
    columns = (Period.from_date, Period.until_date, Period.closed_at, Staff.login)
    rows = tx.session.execute(select(*columns).join(Staff, Staff.id == Period.closed_by).order_by(Period.until_date.desc()))
    return [PeriodView(f"{row.from_date:%Y-%m}", *row) for row in rows]


def _refuse_open_shifts(tx: Transaction, last: date) -> None:
    still = select(Shift.id, Shift.cashier, Shift.drawer).where(Shift.closed_at.is_(None), Shift.opened_date <= last).order_by(Shift.id)
    rows = tx.session.execute(still).all()
    if rows:
        whose = ", ".join(f"{row.cashier} at {row.drawer}" for row in rows)
        raise ShiftStillOpen(f"A shift of that month is still open ({whose}): close it first.", shifts=[row.id for row in rows])


def _month(text: str) -> tuple[date, date]:
    found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
    if found is None or found.group(1) == "0000":
        raise BadMonth(f"{text[:40]!r} is no month: write it like 2026-10.", month=text)
    first = date(int(found.group(1)), int(found.group(2)), 1)
    return first, _last_of(first)


def _last_of(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])
