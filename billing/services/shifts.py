"""Shifts: a cashier opens one at a drawer with a float, counts blind, and closes it once. What it should hold is read from the journal alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing.changes.failures import explains
from billing.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from billing.model import CLINIC, Shift, ShiftCount, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.money import MAX_AMOUNT_MINOR
from billing.rules import posting
from billing.services.cash_moves import OFFERED
from billing.services.inputs import canonical_id, check_limit, check_line
from billing.services.journal import post
from billing.services.shift_report import ShiftReport, read_figures
from billing.transaction import Transaction
from billing.trips import Query, Row

SHIFT: Any = Shift.__table__
COUNT: Any = ShiftCount.__table__


@explains("ux_shift_cashier", "You have an open shift already: close it before you open another one.")
class CashierHasShift(Conflict):
    """A cashier has one open shift at a time. Facts: `shift`, where it was known beforehand."""

    code = "cashier_has_shift"


@explains("ux_shift_drawer", "Somebody has an open shift at this drawer: take another drawer, or let them close it.")
class DrawerTaken(Conflict):
    """A drawer has one open shift at a time."""

    code = "drawer_taken"


class UnknownShift(NotFound):
    """There is no such shift in this clinic, or the actor has none open. Facts: `shift`."""

    code = "unknown_shift"


class ShiftIsClosed(Refused):
    """A closed shift is never reopened and never counted again. Facts: `shift`."""

    code = "shift_is_closed"


class HandOverOpen(Refused):
    """Cash is on its way between this shift and another: it must be accepted or refused first. Facts: `moves`."""

    code = "hand_over_open"


class NotYourShift(Forbidden):
    """Somebody else's shift; who may void payments and read all shifts may close it. Facts: `shift`, `cashier`."""

    code = "not_your_shift"


class BadCount(Invalid):
    """A count or a float that can't be: below zero, beyond all bounds, or of a method that has no money. Facts: `text`."""

    code = "bad_count"


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """A shift as lists show it. Minor units of the clinic's currency; differences are None while it is open."""

    id: str
    kind: str
    cashier: str
    drawer: str
    float_minor: int
    opened_at: datetime
    opened_date: date
    closed_at: datetime | None
    difference_minor: int | None


def open_shift(tx: Transaction, *, drawer: str, float_minor: int, kind: str = "till") -> ShiftRow:
    """Open the actor's shift at a drawer, with the float that is taken from the safe; `kind` is till or import.

    Raises `BadText`, `BadCount`, `CashierHasShift`, `DrawerTaken`.
    """
    tx.require("shifts.work")
    named = check_line(drawer, "The drawer", longest=60)
    _check_amount(float_minor, "The float")
    if tx.actor.shift is not None:
        raise CashierHasShift("You have an open shift already: close it before you open another one.", shift=tx.actor.shift.id)
    row_id = new_id()
    row = {
        "id": row_id,
        "kind": kind,
        "cashier_id": tx.actor.id,
        "cashier": tx.actor.name,
        "drawer": named,
        "float_minor": float_minor,
        "opened_at": tx.at,
        "opened_date": tx.business_date,
        "latest_at": tx.at,
        "closed_at": None,
        "closed_date": None,
        "closed_by": None,
        "denominations": None,
        "report": None,
    }
    tx.write(InsertRows(SHIFT, [row]))
    lines = posting.cash_moved(float_minor, to=posting.CASH, out_of=posting.SAFE, to_shift=row_id)
    post(tx, "shift_opened", row_id, lines)
    tx.audit("shift.opened", "shift", row_id, drawer=named, float_minor=float_minor, kind=kind)
    tx.emit("shift.opened", row_id, drawer=named)
    return ShiftRow(row_id, kind, tx.actor.name, named, float_minor, tx.at, tx.business_date, None, None)


_LOCK = Query(select(*SHIFT.columns).where(Shift.clinic_id == CLINIC, Shift.id == bindparam("shift_id", type_=IdType())).with_for_update())


def close_shift(
    tx: Transaction, *, counted: Mapping[int, int] | None, other: Mapping[str, int] | None = None, shift_id: str | None = None
) -> ShiftReport:
    """Close a shift (default: one's own) by its count: `counted` says how many of which value (minor units) lie in the drawer.

    Only an import's shift is closed without a count (None): what it should hold is what it holds.

    `other` is what was counted of other methods; one that is not counted is taken as it should be. Differences are booked, the cash goes
    back to the safe, the Z-report is kept as it is now. It is never reopened.
    Raises `UnknownShift`, `ShiftIsClosed`, `NotYourShift`, `HandOverOpen`, `BadCount`.
    """
    tx.require("shifts.work")
    wanted = _own_or_named(tx, shift_id)
    locked, offered = tx.trip((_LOCK, {"shift_id": wanted}), (OFFERED, {"shift_id": wanted}))
    row = _closable(tx, locked, offered, wanted)
    figures = read_figures(tx, row)
    expected = figures.expected
    if counted is None and row.kind != "import":
        raise BadCount("A drawer is counted before it is closed: write what lies there.", text="")
    pieces = ({expected[posting.CASH]: 1} if expected[posting.CASH] > 0 else {}) if counted is None else counted
    cash = expected[posting.CASH] if counted is None else _cash_of(pieces)
    for method, amount in (other or {}).items():
        _check_amount(amount, f"The count of {method}")
        if method == posting.CASH or method not in expected:
            raise BadCount(f"This shift has taken nothing by {method[:40]!r}: count what it has.", text=method)
    counts = {method: cash if method == posting.CASH else (other or {}).get(method, amount) for method, amount in expected.items()}
    report = figures.closed(tx, counts=counts, denominations=pieces)
    _write_closing(tx, row, report, expected, counts, pieces)
    return report


def list_shifts(tx: Transaction, *, limit: int = 50, after: ShiftRow | None = None) -> list[ShiftRow]:
    """Return a page of shifts, latest first: everybody's with `shifts.read`, else one's own. Raises `BadLimit`."""
    tx.require("invoices.read")
    difference = (
        select(ShiftCount.difference_minor)
        .where(ShiftCount.clinic_id == CLINIC, ShiftCount.shift_id == Shift.id, ShiftCount.method == posting.CASH)
        .scalar_subquery()
    )
    columns = (Shift.id, Shift.kind, Shift.cashier, Shift.drawer, Shift.float_minor, Shift.opened_at, Shift.opened_date, Shift.closed_at)
    statement = select(*columns, difference).where(Shift.clinic_id == CLINIC)
    if "shifts.read" not in tx.actor.permissions:
        statement = statement.where(Shift.cashier_id == tx.actor.id)
    if after is not None:
        statement = statement.where((Shift.opened_at < after.opened_at) | ((Shift.opened_at == after.opened_at) & (Shift.id < after.id)))
    page = statement.order_by(Shift.opened_at.desc(), Shift.id.desc()).limit(check_limit(limit))
    return [ShiftRow(*row) for row in tx.session.execute(page, {"clinic_id": tx.clinic_id})]


def _own_or_named(tx: Transaction, shift_id: str | None) -> str:
    if shift_id is not None:
        known = canonical_id(shift_id)
        if known is None:
            raise UnknownShift(
                f"There is no shift {shift_id[:60]!r} in this clinic: `billing shift list` shows what there is.", shift=shift_id
            )
        return known
    if tx.actor.shift is None:
        raise UnknownShift("You have no open shift: `billing shift list` shows what there is.", shift=None)
    return tx.actor.shift.id


def _closable(tx: Transaction, locked: list[Row], offered: list[Row], wanted: str) -> Row:
    if not locked:
        raise UnknownShift(f"There is no shift {wanted[:60]!r} in this clinic: `billing shift list` shows what there is.", shift=wanted)
    row = locked[0]
    if row.closed_at is not None:
        raise ShiftIsClosed("This shift is closed: its report stands, and a new shift can be opened.", shift=row.id)
    if row.cashier_id != tx.actor.id and not {"shifts.read", "payments.void"} <= tx.actor.permissions:
        raise NotYourShift(f"This is the shift of {row.cashier}: they close it, or a manager.", shift=row.id, cashier=row.cashier_id)
    if offered:
        raise HandOverOpen(
            "Cash is on its way to or from this shift: accept or refuse it first (`billing shift accept` or `refuse`).",
            moves=[each.id for each in offered],
        )
    return row


def _write_closing(
    tx: Transaction,
    row: Row,
    report: ShiftReport,
    expected: Mapping[str, int],
    counts: Mapping[str, int],
    denominations: Mapping[int, int],
) -> None:
    closed = {
        "closed_at": tx.at,
        "closed_date": tx.business_date,
        "closed_by": tx.actor.id,
        "latest_at": tx.at,
        "denominations": {str(value): number for value, number in sorted(denominations.items())},
        "report": report.stored(),
    }
    tx.write(ChangeRows(SHIFT, [ChangedRow({"id": row.id}, {"closed_at": None}, closed)]))
    tx.write(
        InsertRows(
            COUNT,
            [
                {
                    "shift_id": row.id,
                    "method": method,
                    "expected_minor": amount,
                    "counted_minor": counts[method],
                    "difference_minor": counts[method] - amount,
                }
                for method, amount in expected.items()
            ],
        )
    )
    differences = {method: counts[method] - amount for method, amount in expected.items()}
    for method, difference in differences.items():
        account = posting.CASH if method == posting.CASH else f"method:{method}"
        lines = posting.cash_moved(difference, to=account, out_of=posting.SHIFT_DIFFERENCE, to_shift=row.id)
        post(tx, f"shift_difference:{method}", row.id, lines)
    cash = counts.get(posting.CASH, 0)
    post(tx, "shift_closed", row.id, posting.cash_moved(cash, to=posting.SAFE, out_of=posting.CASH, from_shift=row.id))
    tx.audit("shift.closed", "shift", row.id, counted=dict(counts), differences=differences)
    tx.emit("shift.closed", row.id, differences=differences)


def _cash_of(counted: Mapping[int, int]) -> int:
    for value, number in counted.items():
        if value <= 0 or not 0 <= number <= 10**6:
            raise BadCount(
                f"{number} pieces of {value} can't be counted: write values above zero and how many lie there.", text=f"{value}x{number}"
            )
    total = sum(value * number for value, number in counted.items())
    return _check_amount(total, "The count")


def _check_amount(amount_minor: int, what: str) -> int:
    if not 0 <= amount_minor <= MAX_AMOUNT_MINOR:
        raise BadCount(f"{what} is from zero to {MAX_AMOUNT_MINOR} minor units.", text=str(amount_minor))
    return amount_minor
