"""Sums of the journal by account: what moved on some days, and what stood before a day. Asks no permission; knows no names of accounts."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, case, func, select

from billing.model import CLINIC, JournalLine, Period
from billing.model.types import DayType
from billing.transaction import Transaction
from billing.trips import Query

FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)

_FROM, _UNTIL = bindparam("from_date", type_=DayType()), bindparam("until_date", type_=DayType())
_AMOUNT = JournalLine.amount_minor
_MOVED = Query(
    select(
        JournalLine.account,
        func.sum(case((_AMOUNT > 0, _AMOUNT), else_=0)).label("debit_minor"),
        func.sum(case((_AMOUNT < 0, -_AMOUNT), else_=0)).label("credit_minor"),
    )
    .where(JournalLine.clinic_id == CLINIC, JournalLine.business_date >= _FROM, JournalLine.business_date < _UNTIL)
    .group_by(JournalLine.account)
)
_CLOSED_BEFORE = Query(
    select(Period.until_date, Period.balances)
    .where(Period.clinic_id == CLINIC, Period.until_date < _UNTIL)
    .order_by(Period.until_date.desc())
    .limit(1)
    .offset(0)
)
_EARLIEST = Query(
    select(JournalLine.business_date)
    .where(JournalLine.clinic_id == CLINIC, JournalLine.business_date >= _FROM)
    .order_by(JournalLine.business_date)
    .limit(1)
    .offset(0)
)


class Moved(NamedTuple):
    """What was debited and credited to an account, both above zero, in minor units."""

    debit_minor: int
    credit_minor: int


def moved(tx: Transaction, *, from_date: date, until_date: date) -> dict[str, Moved]:
    """Return what moved on the days [from, until), by account."""
    rows = tx.rows(_MOVED, from_date=from_date, until_date=until_date)
    return {row.account: Moved(int(row.debit_minor), int(row.credit_minor)) for row in rows}


def balances_before(tx: Transaction, day: date) -> dict[str, int]:
    """Return what stood on each account when the day began: what the latest closed month before it ended with, and what moved since."""
    closed = tx.row(_CLOSED_BEFORE, until_date=day)
    found: dict[str, int] = dict(closed.balances) if closed else {}
    since = closed.until_date + timedelta(days=1) if closed else FIRST_DAY
    return added(found, moved(tx, from_date=since, until_date=day)) if since < day else found


def added(balances: Mapping[str, int], moves: Mapping[str, Moved]) -> dict[str, int]:
    """Return the balances after the moves, of every account that was ever booked on."""
    found = dict(balances)
    for account, move in moves.items():
        found[account] = found.get(account, 0) + move.debit_minor - move.credit_minor
    return dict(sorted(found.items()))


def earliest_day(tx: Transaction, *, from_date: date = FIRST_DAY) -> date | None:
    """Return the first day from this one on that has an entry."""
    row = tx.row(_EARLIEST, from_date=from_date)
    return row.business_date if row else None
