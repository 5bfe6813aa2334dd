"""Lists of invoices and payments by keyset, latest first: quick at any size, in constant memory. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select, tuple_

from billing.errors import Invalid
from billing.model import CLINIC, Invoice, Payment, Reversal
from billing.model.types import IdType, InstantType
from billing.rules.statuses import InvoiceStatus, amount_due, shown_status
from billing.transaction import Transaction

MOST_ROWS = 500
"""The largest page."""


class BadStatus(Invalid):
    """There is no such status. Facts: `status`."""

    code = "bad_status"


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice as lists show it. `status` is the one people see, *overdue* included."""

    id: str
    number: str | None
    status: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    amount_paid_minor: int
    amount_due_minor: int
    patient_id: str
    client_id: str
    consultation_id: str | None
    source: str | None
    created_at: datetime
    issue_date: date | None
    due_date: date | None
    version: int


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment as lists show it, and when and why it was voided."""

    id: str
    receipt_number: str
    invoice_id: str
    invoice_number: str | None
    scope: str
    currency: str
    due_minor: int
    tendered_minor: int
    change_minor: int
    rounding_minor: int
    applied_minor: int
    taken_at: datetime
    business_date: date
    cashier: str
    voided_at: datetime | None
    void_reason: str | None


INVOICE_COLUMNS = (
    Invoice.id,
    Invoice.number,
    Invoice.status,
    Invoice.currency,
    Invoice.net_minor,
    Invoice.tax_minor,
    Invoice.total_minor,
    Invoice.amount_paid_minor,
    Invoice.written_off_minor,
    Invoice.credited_minor,
    Invoice.payer_minor,
    Invoice.patient_id,
    Invoice.client_id,
    Invoice.consultation_id,
    Invoice.source,
    Invoice.created_at,
    Invoice.issue_date,
    Invoice.due_date,
    Invoice.version,
)
DUE: ColumnElement[int] = (
    Invoice.total_minor - Invoice.payer_minor - Invoice.amount_paid_minor - Invoice.written_off_minor - Invoice.credited_minor
)
"""What the client still owes of an invoice (`amount_due` of rules/statuses.py), where it is not cancelled."""

_PAYMENT_COLUMNS = (
    Payment.id,
    Payment.receipt_number,
    Payment.invoice_id,
    Invoice.number.label("invoice_number"),
    Payment.scope,
    Payment.currency,
    Payment.due_minor,
    Payment.tendered_minor,
    Payment.change_minor,
    Payment.rounding_minor,
    Payment.applied_minor,
    Payment.taken_at,
    Payment.business_date,
    Payment.cashier,
    Reversal.at.label("voided_at"),
    Reversal.reason.label("void_reason"),
)


def list_invoices(
    tx: Transaction,
    *,
    status: str | None = None,
    patient_id: str | None = None,
    limit: int = 50,
    after: InvoiceRow | None = None,
) -> list[InvoiceRow]:
    """Return a page of invoices, latest first; `after` is the last one of the page before. `status` is a shown one, `overdue` included."""
    tx.require("invoices.read")
    statement = select(*INVOICE_COLUMNS).where(Invoice.clinic_id == CLINIC)
    if status == "overdue":
        statement = statement.where(Invoice.status.in_(["sent", "partial"]), Invoice.due_date < tx.business_date, DUE > 0)
    elif status is not None:
        if status not in set(InvoiceStatus):
            raise BadStatus(f"{status[:40]!r} is no status: choose from {', '.join(InvoiceStatus)} or overdue.", status=status)
        statement = statement.where(Invoice.status == status)
    if patient_id is not None:
        statement = statement.where(Invoice.patient_id == patient_id)
    if after is not None:
        statement = statement.where(tuple_(Invoice.created_at, Invoice.id) < tuple_(*_place(after.created_at, after.id)))
    page = statement.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(min(limit, MOST_ROWS))
    return [seen(tx, row) for row in tx.session.execute(page, {"clinic_id": tx.clinic_id})]


def every_invoice(tx: Transaction, *, status: str | None = None, patient_id: str | None = None) -> Iterator[InvoiceRow]:
    """Yield all invoices, latest first, a page at a time: a million of them take no more memory than one page."""
    page = list_invoices(tx, status=status, patient_id=patient_id, limit=MOST_ROWS)
    while page:
        yield from page
        page = list_invoices(tx, status=status, patient_id=patient_id, limit=MOST_ROWS, after=page[-1])


def list_payments(tx: Transaction, *, invoice_id: str | None = None, limit: int = 50, after: PaymentRow | None = None) -> list[PaymentRow]:
    """Return a page of payments, latest first; `after` is the last one of the page before."""
    tx.require("invoices.read")
    statement = payment_select()
    if invoice_id is not None:
        statement = statement.where(Payment.invoice_id == invoice_id)
    if after is not None:
        statement = statement.where(tuple_(Payment.taken_at, Payment.id) < tuple_(*_place(after.taken_at, after.id)))
    page = statement.order_by(Payment.taken_at.desc(), Payment.id.desc()).limit(min(limit, MOST_ROWS))
    return [PaymentRow(*row) for row in tx.session.execute(page, {"clinic_id": tx.clinic_id})]


def _place(at: datetime, row_id: str) -> tuple[Any, Any]:
    return bindparam("place_at", at, type_=InstantType()), bindparam("place_id", row_id, type_=IdType())


def payment_select() -> Select[*tuple[Any, ...]]:
    """Return the select of payments with their invoices' numbers and what has voided them."""
    return (
        select(*_PAYMENT_COLUMNS)
        .join(Invoice, (Invoice.clinic_id == Payment.clinic_id) & (Invoice.id == Payment.invoice_id))
        .outerjoin(Reversal, (Reversal.clinic_id == Payment.clinic_id) & (Reversal.payment_id == Payment.id))
        .where(Payment.clinic_id == CLINIC)
    )


def seen(tx: Transaction, row: Any) -> InvoiceRow:
    """Return an invoice's columns as people see them: what is due, and the shown status."""
    (row_id, number, status, currency, net, tax, total, paid, written_off, credited, payer, *rest) = row
    due = 0 if status == "cancelled" else amount_due(total, paid, written_off, credited, payer)
    shown = shown_status(InvoiceStatus(status), due_date=rest[6], amount_due_minor=due, today=tx.business_date)
    return InvoiceRow(row_id, number, shown, currency, net, tax, total, paid, due, *rest)
