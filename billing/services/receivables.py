"""What is still owed, by age: by clients since their invoices were due, by payers since they were billed. It equals the journal's receivables of now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, bindparam, case, func, select

from billing.model import CLINIC, Claim, Client, Invoice, Payer
from billing.model.types import DayType
from billing.services.listing import DUE
from billing.services.reports import BadGrouping
from billing.transaction import Transaction
from billing.trips import Query

Whose = Literal["client", "payer"]


@dataclass(frozen=True, slots=True)
class AgedRow:
    """What one client or payer owes, minor units: of a client what is not due yet and what is overdue by so many days; of a payer by days since issue."""

    id: str
    name: str
    not_due_minor: int
    days_1_30_minor: int
    days_31_60_minor: int
    days_61_90_minor: int
    over_90_minor: int
    total_minor: int


_BOUNDS = ("today", "before_30", "before_60", "before_90")
_NAMES = ("not_due", "days_1_30", "days_31_60", "days_61_90", "over_90")


def _buckets(day: Any, amount: ColumnElement[int]) -> Sequence[ColumnElement[Any]]:
    bounds = [bindparam(name, type_=DayType()) for name in _BOUNDS]
    conditions = [
        day >= bounds[0],
        *(and_(day < later, day >= earlier) for later, earlier in pairwise(bounds)),
        day < bounds[-1],
    ]
    sums = [func.sum(case((condition, amount), else_=0)).label(name) for condition, name in zip(conditions, _NAMES, strict=True)]
    return [*sums, func.sum(amount).label("total")]


_OF_CLIENTS = Query(
    select(Invoice.client_id.label("id"), Client.name, *_buckets(Invoice.due_date, DUE))
    .select_from(Invoice)
    .join(Client, and_(Client.clinic_id == Invoice.clinic_id, Client.id == Invoice.client_id))
    .where(Invoice.clinic_id == CLINIC, Invoice.status.in_(["sent", "partial"]))
    .group_by(Invoice.client_id, Client.name)
)
_OPEN: Any = Claim.amount_minor - Claim.paid_minor - Claim.rejected_minor
_OF_PAYERS = Query(
    select(Claim.payer_id.label("id"), Payer.name, *_buckets(Claim.issue_date, _OPEN))
    .select_from(Payer)
    .join(Claim, and_(Claim.clinic_id == Payer.clinic_id, Claim.payer_id == Payer.id))
    .where(Payer.clinic_id == CLINIC, Claim.status.in_(["open", "submitted", "part_paid"]))
    .group_by(Claim.payer_id, Payer.name)
)


def aged_receivables(tx: Transaction, *, by: str = "client") -> list[AgedRow]:
    """Return what clients, or payers, owe today, by age; who owes most comes first. What clients have in wallets is not taken off.

    Raises `BadGrouping`.
    """
    tx.require("reports.read")
    if by not in get_args(Whose):
        raise BadGrouping(f"Receivables by {by[:40]!r} there are none: choose from {', '.join(get_args(Whose))}.", by=by)
    bounds = {f"before_{days}": tx.business_date - timedelta(days=days) for days in (30, 60, 90)}
    rows = tx.rows(_OF_CLIENTS if by == "client" else _OF_PAYERS, **bounds)
    found = [AgedRow(row.id, row.name, *(int(getattr(row, name)) for name in (*_NAMES, "total"))) for row in rows]
    return sorted((each for each in found if each.total_minor), key=lambda each: (-each.total_minor, each.name, each.id))
