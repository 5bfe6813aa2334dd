"""What must hold of shifts and closed months: money in the shift of who took it, counts that are the journal's, and months that stay as they were closed."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, case, cast, func, literal_column, or_, select, type_coerce, union_all

from billing.changes.declare import Invariant
from billing.model import CLINIC, AuditEntry, AuditHead, JournalLine, Payment, Period, Shift, ShiftCount, canonical_json
from billing.rules import posting
from billing.services import ledger
from billing.transaction import Transaction
from billing.trips import Query

_CLOSED = Shift.closed_at.is_not(None)
_SETTLING = or_(JournalLine.kind == "shift_closed", JournalLine.kind.startswith("shift_difference"))
"""Entries that closing books: what should have been there is what stood before them."""

_IN_SHIFT = (
    select(JournalLine.shift_id.label("shift_id"), JournalLine.account.label("account"), JournalLine.amount_minor.label("amount_minor"))
    .join(Shift, (Shift.clinic_id == JournalLine.clinic_id) & (Shift.id == JournalLine.shift_id))
    .where(JournalLine.clinic_id == CLINIC, _CLOSED)
)
_ACCOUNT = case((ShiftCount.method == posting.CASH, literal_column(f"'{posting.CASH}'", Text())), else_="method:" + ShiftCount.method)
_EXPECTED = union_all(
    _IN_SHIFT.where(~_SETTLING),
    select(ShiftCount.shift_id, cast(_ACCOUNT, Text), -ShiftCount.expected_minor).where(ShiftCount.clinic_id == CLINIC),
).subquery("expected")
_LEFT = union_all(
    _IN_SHIFT,
    select(ShiftCount.shift_id, cast(_ACCOUNT, Text), -ShiftCount.counted_minor).where(
        ShiftCount.clinic_id == CLINIC, ShiftCount.method != posting.CASH
    ),
).subquery("left_in_shift")


def _nothing_left(name: str, sentence: str, both: Any) -> Invariant:
    difference = func.sum(both.c.amount_minor)
    columns = (both.c.shift_id, both.c.account)
    return Invariant(name, sentence, select(*columns, difference.label("difference_minor")).group_by(*columns).having(difference != 0))


def _once(name: str, sentence: str, column: Any) -> Invariant:
    counted = select(column, func.count().label("open_shifts")).where(Shift.clinic_id == CLINIC, Shift.closed_at.is_(None))
    return Invariant(name, sentence, counted.group_by(column).having(func.count() > 1))


SHIFTS = (
    Invariant(
        "payment_in_its_shift",
        "A payment that joined a shift was taken by its cashier, and not before it was opened or after it was closed.",
        select(Payment.id, Payment.shift_id, Payment.taken_by, Payment.business_date)
        .outerjoin(Shift, (Shift.clinic_id == Payment.clinic_id) & (Shift.id == Payment.shift_id))
        .where(
            Payment.clinic_id == CLINIC,
            Payment.shift_id.is_not(None),
            or_(
                Shift.id.is_(None),
                Shift.cashier_id != Payment.taken_by,
                # What is imported was taken long before; a payment may wait a moment for the shift's row, so days are compared.
                (Shift.kind == "till") & (Shift.opened_date > Payment.business_date),
                (Shift.kind == "till") & _CLOSED & (Shift.closed_date < Payment.business_date),
            ),
        ),
    ),
    _nothing_left(
        "shift_expected",
        "What a closed shift should have had of each method is what the journal says that came into it and left it.",
        _EXPECTED,
    ),
    _nothing_left(
        "closed_drawer_is_empty", "A closed shift's cash is back in the safe, and its other methods hold what was counted.", _LEFT
    ),
    _once("cashier_has_one_open_shift", "Nobody has two open shifts.", Shift.cashier_id),
    _once("drawer_has_one_open_shift", "No drawer has two open shifts.", Shift.drawer),
)
"""The invariants of shifts."""

_REPORTS = Query(
    select(Shift.id, Shift.kind, Shift.report, Shift.denominations).where(Shift.clinic_id == CLINIC, _CLOSED).order_by(Shift.id)
)
_COUNTS = Query(
    select(ShiftCount.shift_id, ShiftCount.method, ShiftCount.expected_minor, ShiftCount.counted_minor).where(
        ShiftCount.clinic_id == CLINIC
    )
)
_PERIODS = Query(select(*Period.__table__.columns).where(Period.clinic_id == CLINIC).order_by(Period.until_date))
_HEAD = Query(select(AuditHead.closed_through).where(AuditHead.clinic_id == CLINIC))
_SAID = Query(
    select(AuditEntry.subject_id, type_coerce(AuditEntry.data, Text).label("data")).where(
        AuditEntry.clinic_id == CLINIC, AuditEntry.action == "period.closed"
    )
)


def check_reports(tx: Transaction, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """Hold every kept Z-report against its counts, and the cash that was counted against its notes and coins."""
    del since
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for row in tx.rows(_COUNTS):
        counts.setdefault(row.shift_id, {})[row.method] = row.expected_minor, row.counted_minor
    for shift in tx.rows(_REPORTS):
        own = counts.get(shift.id, {})
        expected, counted = ({method: pair[side] for method, pair in own.items()} for side in (0, 1))
        if (shift.report.get("expected"), shift.report.get("counted")) != (expected, counted):
            yield {"id": shift.id, "reason": "the report says something else than the count"}
        pieces = sum(int(value) * number for value, number in (shift.denominations or {}).items())
        if shift.kind == "till" and counted.get(posting.CASH) != pieces:  # an import has no drawer
            yield {"id": shift.id, "reason": "the notes and coins are another sum than the cash that was counted"}


def check_periods(tx: Transaction, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """Compute every closed month's balances again, from the first line on, and hold them against what was kept and what the audit trail says."""
    del since
    said = {row.subject_id: row.data for row in tx.rows(_SAID)}
    balances: dict[str, int] = {}
    start = ledger.FIRST_DAY
    latest = None
    for period in tx.rows(_PERIODS):
        named = f"{period.from_date:%Y-%m}"
        if latest is not None and period.from_date != start:
            yield {"id": named, "reason": "the month before it is not closed"}
        latest, end = period.until_date, period.until_date + timedelta(days=1)
        balances = ledger.added(balances, ledger.moved(tx, from_date=start, until_date=end))
        if balances != period.balances:
            yield {"id": named, "reason": "the journal says something else than when the month was closed"}
        if f'"balances":{canonical_json(period.balances)}' not in said.get(named, ""):
            yield {"id": named, "reason": "the audit trail says something else than what was kept"}
        start = end
    head = tx.row(_HEAD)  # one that was deleted is the chain's finding too
    if head is None or head.closed_through != latest:
        yield {"id": str(latest), "reason": "the end of the audit chain knows another last day"}
