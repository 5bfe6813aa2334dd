"""Reports of days: what was taken, taxed, given back and discounted, by whom, and what counts differed by. They equal the journal to the minor unit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from sqlalchemy import and_, bindparam, func, or_, select

from billing.errors import Invalid
from billing.model import (
    CLINIC,
    DiscountCode,
    Invoice,
    InvoiceAdjustment,
    InvoiceItem,
    InvoiceTax,
    JournalLine,
    Membership,
    Reversal,
    ReversalItem,
    Shift,
    ShiftCount,
    Staff,
    Takings,
)
from billing.model.types import NIL_ID, DayType
from billing.services.balances import day_range
from billing.transaction import Transaction
from billing.trips import Query

By = Literal["day", "department", "method", "cashier", "provider"]

_FROM, _UNTIL = bindparam("from_date", type_=DayType()), bindparam("until_date", type_=DayType())


class BadGrouping(Invalid):
    """A report can't be grouped by this. Facts: `by`."""

    code = "bad_grouping"


@dataclass(frozen=True, slots=True)
class TakingsRow:
    """What was taken, by one day, department, method, cashier or provider; minor units. `net = received - returned`.

    `received` is payments and what was left in wallets, `returned` voids, refunds and what was paid out of wallets. `key` is empty for
    money on account and in wallets, and where nobody provided.
    """

    key: str
    name: str
    received_minor: int
    returned_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class TaxRow:
    """A tax group on some days, minor units: what was billed less what was cancelled and credited, and the tax that is owed for it."""

    category: str
    rate_bp: int
    taxable_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class ReversalsRow:
    """What one person took back in one way, and who approved it; minor units."""

    kind: str
    person: str
    approver: str
    acts: int
    refunded_minor: int
    rounding_minor: int
    credited_minor: int
    written_off_minor: int


@dataclass(frozen=True, slots=True)
class DiscountsRow:
    """What one person (or a plugin) gave away on invoices issued in these days, by whose approval and by which code; minor units."""

    person: str
    approver: str
    code: str
    plugin: str
    invoices: int
    discount_minor: int


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """What a closed shift should have had of a method, and what was counted; minor units, a difference below zero is missing money."""

    closed_date: date
    cashier: str
    drawer: str
    shift_id: str
    method: str
    expected_minor: int
    counted_minor: int
    difference_minor: int


_AMOUNT = func.sum(Takings.amount_minor)
_COLUMNS = {
    "day": Takings.business_date,
    "department": Takings.department,
    "method": Takings.method,
    "cashier": Takings.cashier_id,
    "provider": Takings.provider_id,
}


def _taken(column: Any) -> Query:
    return Query(
        select(column.label("key"), Takings.kind, _AMOUNT.label("amount_minor"))
        .where(Takings.clinic_id == CLINIC, Takings.business_date >= _FROM, Takings.business_date < _UNTIL)
        .group_by(column, Takings.kind)
    )


_TAKINGS = {by: _taken(column) for by, column in _COLUMNS.items()}


def takings(tx: Transaction, *, by: str = "day", from_date: date | None = None, until_date: date | None = None) -> list[TakingsRow]:
    """Return what was taken on the days [from, until), by day, department, method, cashier or provider. Raises `BadGrouping`, `BadRange`."""
    tx.require("reports.read")
    if by not in get_args(By):
        raise BadGrouping(f"Takings by {by[:40]!r} there are none: choose from {', '.join(get_args(By))}.", by=by)
    first, end = day_range(from_date, until_date)
    sums: dict[str, list[int]] = {}
    for row in tx.rows(_TAKINGS[by], from_date=first, until_date=end):
        key = row.key.isoformat() if by == "day" else row.key
        amount = int(row.amount_minor)
        both = sums.setdefault("" if key == NIL_ID else key, [0, 0])
        if row.kind in {"payment", "top_up"}:
            both[0] += amount
        else:
            both[1] -= amount
    names = _names(tx, by, sums)
    found = [TakingsRow(key, names.get(key, key), received, back, received - back) for key, (received, back) in sums.items()]
    return sorted(found, key=lambda each: (each.key == "", each.key if by == "day" else each.name, each.key))


def _names(tx: Transaction, by: str, keys: Iterable[str]) -> dict[str, str]:
    if by == "department":
        return {each.code: each.name for each in tx.clinic.departments}
    if by == "cashier":
        return _staff_names(tx, keys)
    if by == "provider":
        wanted = [key for key in keys if key]
        return {row.id: row.name for row in tx.session.execute(select(Membership.id, Membership.name).where(Membership.id.in_(wanted)))}
    return {}


def _staff_names(tx: Transaction, ids: Iterable[str | None]) -> dict[str, str]:
    wanted = sorted({each for each in ids if each})
    if not wanted:
        return {}
    return {row.id: row.name for row in tx.session.execute(select(Staff.id, Staff.name).where(Staff.id.in_(wanted)))}


_IN_DAYS = (JournalLine.clinic_id == CLINIC, JournalLine.business_date >= _FROM, JournalLine.business_date < _UNTIL)
_ON_DAYS = (*_IN_DAYS, JournalLine.position == 1)
"""One line of each entry."""

_TAX = Query(
    select(JournalLine.account, func.sum(JournalLine.amount_minor).label("amount_minor"))
    .where(*_IN_DAYS, JournalLine.account.like("tax:%"))
    .group_by(JournalLine.account)
)
_BILLED = Query(
    select(JournalLine.kind, InvoiceTax.tax_category, InvoiceTax.tax_rate_bp, func.sum(InvoiceTax.taxable_minor).label("taxable_minor"))
    .join(InvoiceTax, and_(InvoiceTax.clinic_id == JournalLine.clinic_id, InvoiceTax.invoice_id == JournalLine.action_id))
    .where(*_ON_DAYS, JournalLine.kind.in_(["issue", "cancel"]))
    .group_by(JournalLine.kind, InvoiceTax.tax_category, InvoiceTax.tax_rate_bp)
)
_CREDITED = Query(
    select(InvoiceItem.tax_category, InvoiceItem.tax_rate_bp, func.sum(ReversalItem.taxable_minor).label("taxable_minor"))
    .select_from(JournalLine)
    .join(ReversalItem, and_(ReversalItem.clinic_id == JournalLine.clinic_id, ReversalItem.reversal_id == JournalLine.action_id))
    .join(InvoiceItem, and_(InvoiceItem.clinic_id == ReversalItem.clinic_id, InvoiceItem.id == ReversalItem.item_id))
    .where(*_ON_DAYS, JournalLine.kind == "credit")
    .group_by(InvoiceItem.tax_category, InvoiceItem.tax_rate_bp)
)


def tax(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> list[TaxRow]:
    """Return what was taxed and the tax by group on the days [from, until), as the journal has it. Raises `BadRange`."""
    tx.require("reports.read")
    first, end = day_range(from_date, until_date)
    days = {"from_date": first, "until_date": end}
    owed, billed, credited = tx.trip((_TAX, days), (_BILLED, days), (_CREDITED, days))
    found: dict[tuple[str, int], list[int]] = {}
    for row in owed:
        _, category, rate = row.account.split(":")
        found.setdefault((category, int(rate)), [0, 0])[1] -= int(row.amount_minor)
    for row in billed:
        sign = 1 if row.kind == "issue" else -1
        found.setdefault((row.tax_category, row.tax_rate_bp), [0, 0])[0] += sign * int(row.taxable_minor)
    for row in credited:
        found.setdefault((row.tax_category, row.tax_rate_bp), [0, 0])[0] -= int(row.taxable_minor)
    return [TaxRow(*group, *sums) for group, sums in sorted(found.items())]


_VOIDS = Query(
    select(
        Reversal.kind,
        Reversal.done_by,
        Reversal.approved_by,
        func.count().label("acts"),
        *(func.sum(getattr(Reversal, name)).label(name) for name in ("refunded_minor", "rounding_minor")),
        *(func.sum(getattr(Reversal, name)).label(name) for name in ("credited_minor", "written_off_minor")),
    )
    .where(Reversal.clinic_id == CLINIC, Reversal.business_date >= _FROM, Reversal.business_date < _UNTIL)
    .group_by(Reversal.kind, Reversal.done_by, Reversal.approved_by)
)


def voids(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> list[ReversalsRow]:
    """Return voids, refunds, returns, cancellations and write-offs of the days [from, until), by person and approver. Raises `BadRange`."""
    tx.require("reports.read")
    first, end = day_range(from_date, until_date)
    rows = tx.rows(_VOIDS, from_date=first, until_date=end)
    names = _staff_names(tx, [each for row in rows for each in (row.done_by, row.approved_by)])
    found = [
        ReversalsRow(
            row.kind,
            names.get(row.done_by, row.done_by),
            names.get(row.approved_by, row.approved_by) if row.approved_by else "",
            int(row.acts),
            int(row.refunded_minor),
            int(row.rounding_minor),
            int(row.credited_minor),
            int(row.written_off_minor),
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.kind, each.person, each.approver))


_ADJUSTMENT = (InvoiceAdjustment.given_by, InvoiceAdjustment.approved_by, InvoiceAdjustment.code_id, InvoiceAdjustment.plugin)
_DISCOUNTS = Query(
    select(
        *_ADJUSTMENT,
        func.count(Invoice.id.distinct()).label("invoices"),
        func.sum(InvoiceAdjustment.amount_minor).label("discount_minor"),
    )
    .select_from(Invoice)
    .join(InvoiceAdjustment, and_(InvoiceAdjustment.clinic_id == Invoice.clinic_id, InvoiceAdjustment.invoice_id == Invoice.id))
    .where(Invoice.clinic_id == CLINIC, Invoice.issue_date >= _FROM, Invoice.issue_date < _UNTIL, ~InvoiceAdjustment.charge)
    .group_by(*_ADJUSTMENT)
)


def discounts(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> list[DiscountsRow]:
    """Return what was given away on invoices issued on the days [from, until), by person, approver, code and plugin.

    As the documents say it, whatever was cancelled or credited since: in prices that include tax it includes tax. Raises `BadRange`.
    """
    tx.require("reports.read")
    first, end = day_range(from_date, until_date)
    rows = tx.rows(_DISCOUNTS, from_date=first, until_date=end)
    names = _staff_names(tx, [each for row in rows for each in (row.given_by, row.approved_by)])
    wanted = [row.code_id for row in rows if row.code_id]
    codes = {row.id: row.code for row in tx.session.execute(select(DiscountCode.id, DiscountCode.code).where(DiscountCode.id.in_(wanted)))}
    found = [
        DiscountsRow(
            names.get(row.given_by, row.given_by or ""),
            names.get(row.approved_by, row.approved_by or ""),
            codes.get(row.code_id, row.code_id or ""),
            row.plugin or "",
            int(row.invoices),
            int(row.discount_minor),
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.person, each.approver, each.code, each.plugin))


_CLOSED = (
    select(JournalLine.action_id)
    .where(*_ON_DAYS, or_(JournalLine.kind == "shift_closed", JournalLine.kind.like("shift_difference:%")))
    .distinct()
    .subquery()
)
_DIFFERENCES = Query(
    select(
        Shift.closed_date,
        Shift.cashier,
        Shift.drawer,
        Shift.id.label("shift_id"),
        ShiftCount.method,
        ShiftCount.expected_minor,
        ShiftCount.counted_minor,
        ShiftCount.difference_minor,
    )
    .select_from(_CLOSED)
    .join(Shift, and_(Shift.clinic_id == CLINIC, Shift.id == _CLOSED.c.action_id))
    .join(ShiftCount, and_(ShiftCount.clinic_id == CLINIC, ShiftCount.shift_id == _CLOSED.c.action_id))
)


def shift_differences(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> list[DifferenceRow]:
    """Return the counts of shifts that were closed on the days [from, until), by method; of shifts that had nothing at all there is none.

    Raises `BadRange`.
    """
    tx.require("reports.read")
    first, end = day_range(from_date, until_date)
    rows = [DifferenceRow(*row) for row in tx.rows(_DIFFERENCES, from_date=first, until_date=end)]
    return sorted(rows, key=lambda each: (each.closed_date, each.cashier, each.shift_id, each.method))
