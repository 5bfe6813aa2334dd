"""Lists as tables for spreadsheets and accountants: invoices, items, payments, tenders and the audit trail, row by row in constant memory.

Days and instants are ISO (instants in UTC), amounts plain decimals with the currency in a column of its own. What people have typed is
written so that no spreadsheet takes it for a formula; `rules.spreadsheet.plain_cell` gives it back. It knows no file and no interface.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain, islice
from typing import Any, TextIO

from sqlalchemy import Text, bindparam, func, select, tuple_, type_coerce

from billing.model import CLINIC, AuditEntry, Client, Invoice, InvoiceItem, Patient, Payment, Staff, Tender
from billing.model.types import IdType, InstantType, WholeType
from billing.money import currency, format_amount, format_quantity, format_rate, format_unit_price
from billing.rules.spreadsheet import safe_cell
from billing.services.listing import DUE
from billing.transaction import Transaction
from billing.trips import Query, Row

BATCH = 1000
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Before the first cell it tells spreadsheets that the file is UTF-8."""


@dataclass(frozen=True, slots=True)
class Export:
    """A table: its columns, and its rows as texts. The rows are read while they are taken, so take them inside the unit."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[tuple[str, ...]]


def write_csv(export: Export, file: TextIO, *, byte_order_mark: bool = False) -> int:
    """Write the table as CSV (RFC 4180) to a text file that was opened with `newline=""`; return how many rows it has."""
    # The first row is read before anything is written: its trip may find that the unit has to begin again.
    head = list(islice(export.rows, 1))
    if byte_order_mark:
        file.write(BYTE_ORDER_MARK)
    writer = csv.writer(file)
    writer.writerow(export.columns)
    count = 0
    for row in chain(head, export.rows):
        writer.writerow(row)
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Table:
    """How a table is read: a query from a place on, what fills its columns, the place of the beginning, and the place behind a row."""

    name: str
    query: Query
    columns: str
    first: Mapping[str, Any]
    place: Callable[[Row], Mapping[str, Any]]

    def export(self, tx: Transaction) -> Export:
        tx.require("exports.read")
        cells = [_cell(word) for word in self.columns.split()]
        return Export(self.name, tuple(name for name, _ in cells), self._rows(tx, [fill for _, fill in cells]))

    def _rows(self, tx: Transaction, fills: Sequence[Callable[[Row], str]]) -> Iterator[tuple[str, ...]]:
        after = self.first
        while rows := tx.rows(self.query, limit=BATCH, **after):
            for row in rows:
                yield tuple(fill(row) for fill in fills)
            after = self.place(rows[-1])


def export_invoices(tx: Transaction) -> Export:
    """Return all invoices, oldest first. Needs `exports.read`."""
    return _INVOICES.export(tx)


def export_items(tx: Transaction) -> Export:
    """Return the items of all invoices, in the invoices' order. Needs `exports.read`."""
    return _ITEMS.export(tx)


def export_payments(tx: Transaction) -> Export:
    """Return all payments, oldest first. Needs `exports.read`."""
    return _PAYMENTS.export(tx)


def export_tenders(tx: Transaction) -> Export:
    """Return what was handed over for all payments, in the payments' order: a row for each method and amount. Needs `exports.read`."""
    return _TENDERS.export(tx)


def export_audit(tx: Transaction) -> Export:
    """Return the audit trail, oldest first. Needs `exports.read` and `audit.read`."""
    tx.require("audit.read")
    return _AUDIT.export(tx)


_FILL: Mapping[str, Callable[[Row, str], str]] = {
    "text": lambda row, name: safe_cell(getattr(row, name) or ""),
    "plain": lambda row, name: _plain(getattr(row, name)),
    "amount": lambda row, name: format_amount(getattr(row, f"{name}_minor"), currency(row.currency)),
    "price": lambda row, name: format_unit_price(getattr(row, f"{name}_e4"), currency(row.currency)),
    "quantity": lambda row, name: format_quantity(getattr(row, f"{name}_milli")),
    "percent": lambda row, name: format_rate(getattr(row, f"{name}_bp")),
}
"""Kinds of cells. Text is what people or programs have written, and is guarded; plain are ids, whole numbers, days, instants and hashes."""


def _cell(word: str) -> tuple[str, Callable[[Row], str]]:
    """Read `title=column:kind`: without a title it is the column, without a kind it is text."""
    name, _, kind = word.partition(":")
    title, _, source = name.rpartition("=")
    fill = _FILL[kind or "text"]
    return title or source, lambda row: fill(row, source)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else "" if value is None else str(value)


_AT, _ID, _POSITION = bindparam("at", type_=InstantType()), bindparam("id", type_=IdType()), bindparam("position", type_=WholeType())
_LIMIT = bindparam("limit", type_=WholeType())
_FIRST = {"at": datetime(1, 1, 2, tzinfo=UTC), "id": "00000000-0000-0000-0000-000000000000"}
_FIRST_OF_PARTS = {**_FIRST, "position": -(2**62)}


def _batch(statement: Any, *key: Any, after: Sequence[Any]) -> Query:
    # The first condition follows from the second; an index can follow it where the key is made of two tables.
    # OFFSET 0 is written out, since SQLite's LIMIT would otherwise come with a parameter of its own.
    return Query(statement.where(key[0] >= after[0], tuple_(*key) > tuple_(*after)).order_by(*key).limit(_LIMIT).offset(0))


def _place(*names: str) -> Callable[[Row], Mapping[str, Any]]:
    """Return what gives the place behind a row: the columns by which it is ordered, as the query's binds."""
    return lambda row: dict(zip(("at", "id", "position"), (getattr(row, name) for name in names), strict=False))


_INVOICES = _Table(
    "invoices",
    _batch(
        select(
            *Invoice.__table__.columns,
            DUE.label("amount_due_minor"),
            Patient.name.label("patient"),
            Client.name.label("client"),
        )
        .join(Patient, (Patient.clinic_id == Invoice.clinic_id) & (Patient.id == Invoice.patient_id))
        .join(Client, (Client.clinic_id == Invoice.clinic_id) & (Client.id == Invoice.client_id))
        .where(Invoice.clinic_id == CLINIC),
        Invoice.created_at,
        Invoice.id,
        after=(_AT, _ID),
    ),
    """number status issue_date:plain due_date:plain client patient
    currency net:amount tax:amount total:amount payer:amount amount_paid:amount written_off:amount credited:amount amount_due:amount
    source note cancel_reason created_at:plain issued_at:plain cancelled_at:plain id:plain patient_id:plain client_id:plain consultation_id:plain""",
    _FIRST,
    _place("created_at", "id"),
)
_ITEMS = _Table(
    "items",
    _batch(
        select(
            *InvoiceItem.__table__.columns,
            Invoice.created_at,
            Invoice.number,
            Invoice.status,
            Invoice.issue_date,
            Invoice.currency,
            Payment.receipt_number,
        )
        .join(Invoice, (Invoice.clinic_id == InvoiceItem.clinic_id) & (Invoice.id == InvoiceItem.invoice_id))
        .outerjoin(Payment, (Payment.clinic_id == InvoiceItem.clinic_id) & (Payment.id == InvoiceItem.payment_id))
        .where(InvoiceItem.clinic_id == CLINIC),
        Invoice.created_at,
        Invoice.id,
        InvoiceItem.position,
        after=(_AT, _ID, _POSITION),
    ),
    """invoice=number invoice_status=status issue_date:plain position:plain department code description quantity:quantity unit
    currency unit_price:price allowance:amount charge:amount net:amount document_adjustment=adjustment:amount taxable:amount
    tax_category tax_percent=tax_rate:percent tax:amount total:amount receipt=receipt_number paid_at:plain
    source id:plain invoice_id:plain provider_id:plain""",
    _FIRST_OF_PARTS,
    _place("created_at", "invoice_id", "position"),
)
_PAYMENTS = _Table(
    "payments",
    _batch(
        select(*Payment.__table__.columns, Invoice.number)
        .join(Invoice, (Invoice.clinic_id == Payment.clinic_id) & (Invoice.id == Payment.invoice_id))
        .where(Payment.clinic_id == CLINIC),
        Payment.taken_at,
        Payment.id,
        after=(_AT, _ID),
    ),
    """receipt=receipt_number business_date:plain taken_at:plain invoice=number scope
    currency due:amount tendered:amount change:amount rounding:amount applied:amount cashier id:plain invoice_id:plain""",
    _FIRST,
    _place("taken_at", "id"),
)
_TENDERS = _Table(
    "tenders",
    _batch(
        select(
            Tender.position,
            Tender.method,
            Tender.amount_minor,
            Tender.reference,
            Payment.id,
            Payment.receipt_number,
            Payment.business_date,
            Payment.taken_at,
            Payment.currency,
        )
        .join(Payment, (Payment.clinic_id == Tender.clinic_id) & (Payment.id == Tender.payment_id))
        .where(Tender.clinic_id == CLINIC),
        Payment.taken_at,
        Payment.id,
        Tender.position,
        after=(_AT, _ID, _POSITION),
    ),
    "receipt=receipt_number business_date:plain taken_at:plain position:plain method currency amount:amount reference payment_id=id:plain",
    _FIRST_OF_PARTS,
    _place("taken_at", "id", "position"),
)
_AUDIT = _Table(
    "audit",
    _batch(
        select(
            *(column for column in AuditEntry.__table__.columns if column.name != "data"),
            type_coerce(AuditEntry.data, Text).label("data"),
            func.coalesce(Staff.login, "").label("actor"),
        )
        .outerjoin(Staff, Staff.id == AuditEntry.actor_id)
        .where(AuditEntry.clinic_id == CLINIC),
        AuditEntry.position,
        after=(_POSITION,),
    ),
    """position:plain at:plain actor action subject subject_id number=number_value:plain data
    previous_hash:plain hash:plain actor_id:plain""",
    {"position": _FIRST_OF_PARTS["position"]},
    lambda row: {"position": row.position},
)
