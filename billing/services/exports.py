"""Lists as tables for spreadsheets and accountants: invoices, items, payments, tenders and the audit trail, row by row in constant memory.

Days and instants are ISO (instants in UTC), amounts plain decimals with the currency in a column of its own. What people have typed is
written so that no spreadsheet takes it for a formula; `rules.spreadsheet.plain_cell` gives it back. It knows no file and no interface.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TextIO

from sqlalchemy import Select, Text, bindparam, func, select, tuple_, type_coerce

from billing.model import CLINIC, AuditEntry, Client, Invoice, InvoiceItem, Patient, Payment, Staff, Tender
from billing.model.types import IdType, InstantType, WholeType
from billing.money import currency, format_amount, format_quantity, format_rate, format_unit_price
from billing.rules.spreadsheet import safe_cell
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
    if byte_order_mark:
        file.write(BYTE_ORDER_MARK)
    writer = csv.writer(file)
    writer.writerow(export.columns)
    count = 0
    for row in export.rows:
        writer.writerow(row)
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Table:
    """How a table is read: a query from a place on, the columns with what fills them, and the place behind a row."""

    name: str
    query: Query
    cells: tuple[tuple[str, Callable[[Row], str]], ...]
    first: dict[str, Any]
    place: Callable[[Row], dict[str, Any]]

    def export(self, tx: Transaction) -> Export:
        tx.require("exports.read")
        return Export(self.name, tuple(name for name, _ in self.cells), self._rows(tx))

    def _rows(self, tx: Transaction) -> Iterator[tuple[str, ...]]:
        after = self.first
        while rows := tx.rows(self.query, **after):
            for row in rows:
                yield tuple(fill(row) for _, fill in self.cells)
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


def _text(name: str) -> Callable[[Row], str]:
    """Fill in what people or programs have written, guarded."""
    return lambda row: safe_cell(getattr(row, name) or "")


def _plain(name: str) -> Callable[[Row], str]:
    """Fill in ids, whole numbers, days and instants: nothing that a spreadsheet could run."""
    return lambda row: _shown(getattr(row, name))


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: format_amount(getattr(row, f"{name}_minor"), currency(row.currency))


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else "" if value is None else str(value)


def _cells(*cells: str | tuple[str, Callable[[Row], str]]) -> tuple[tuple[str, Callable[[Row], str]], ...]:
    return tuple((cell, _text(cell)) if isinstance(cell, str) else cell for cell in cells)


_AT, _ID, _POSITION = bindparam("at", type_=InstantType()), bindparam("id", type_=IdType()), bindparam("position", type_=WholeType())
_FIRST = {"at": datetime(1, 1, 2, tzinfo=UTC), "id": "00000000-0000-0000-0000-000000000000", "position": -(2**62)}


def _batch(statement: Select[Any], *key: Any, after: Sequence[Any]) -> Query:
    # The first condition follows from the second; an index can follow it where the key is made of two tables.
    # OFFSET 0 is written out, since SQLite's LIMIT would otherwise come with a parameter of its own.
    return Query(statement.where(key[0] >= after[0], tuple_(*key) > tuple_(*after)).order_by(*key).limit(BATCH).offset(0))


def _place(*names: str) -> Callable[[Row], dict[str, Any]]:
    """Return what gives the place behind a row: the columns by which it is ordered, as the query's binds."""
    return lambda row: dict(zip(("at", "id", "position"), (getattr(row, name) for name in names), strict=False))


_INVOICES = _Table(
    "invoices",
    _batch(
        select(
            *Invoice.__table__.columns,
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
    _cells(
        "number",
        "status",
        ("issue_date", _plain("issue_date")),
        ("due_date", _plain("due_date")),
        "client",
        "patient",
        "currency",
        ("net", _amount("net")),
        ("tax", _amount("tax")),
        ("total", _amount("total")),
        ("amount_paid", _amount("amount_paid")),
        ("written_off", _amount("written_off")),
        ("credited", _amount("credited")),
        (
            "amount_due",
            lambda row: format_amount(
                row.total_minor - row.amount_paid_minor - row.written_off_minor - row.credited_minor, currency(row.currency)
            ),
        ),
        "source",
        "note",
        "cancel_reason",
        ("created_at", _plain("created_at")),
        ("issued_at", _plain("issued_at")),
        ("cancelled_at", _plain("cancelled_at")),
        ("id", _plain("id")),
        ("patient_id", _plain("patient_id")),
        ("client_id", _plain("client_id")),
        ("consultation_id", _plain("consultation_id")),
    ),
    {name: _FIRST[name] for name in ("at", "id")},
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
    _cells(
        ("invoice", _text("number")),
        ("invoice_status", _text("status")),
        ("issue_date", _plain("issue_date")),
        ("position", _plain("position")),
        "department",
        "code",
        "description",
        ("quantity", lambda row: format_quantity(row.quantity_milli)),
        "unit",
        "currency",
        ("unit_price", lambda row: format_unit_price(row.unit_price_e4, currency(row.currency))),
        ("allowance", _amount("allowance")),
        ("charge", _amount("charge")),
        ("net", _amount("net")),
        ("document_adjustment", _amount("adjustment")),
        ("taxable", _amount("taxable")),
        "tax_category",
        ("tax_percent", lambda row: format_rate(row.tax_rate_bp)),
        ("tax", _amount("tax")),
        ("total", _amount("total")),
        ("receipt", _text("receipt_number")),
        ("paid_at", _plain("paid_at")),
        "source",
        ("id", _plain("id")),
        ("invoice_id", _plain("invoice_id")),
        ("provider_id", _plain("provider_id")),
    ),
    _FIRST,
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
    _cells(
        ("receipt", _text("receipt_number")),
        ("business_date", _plain("business_date")),
        ("taken_at", _plain("taken_at")),
        ("invoice", _text("number")),
        "scope",
        "currency",
        ("due", _amount("due")),
        ("tendered", _amount("tendered")),
        ("change", _amount("change")),
        ("rounding", _amount("rounding")),
        ("applied", _amount("applied")),
        "cashier",
        ("id", _plain("id")),
        ("invoice_id", _plain("invoice_id")),
    ),
    {name: _FIRST[name] for name in ("at", "id")},
    _place("taken_at", "id"),
)
_TENDERS = _Table(
    "tenders",
    _batch(
        select(Tender.position, Tender.method, Tender.amount_minor, Tender.reference, *Payment.__table__.columns)
        .join(Payment, (Payment.clinic_id == Tender.clinic_id) & (Payment.id == Tender.payment_id))
        .where(Tender.clinic_id == CLINIC),
        Payment.taken_at,
        Payment.id,
        Tender.position,
        after=(_AT, _ID, _POSITION),
    ),
    _cells(
        ("receipt", _text("receipt_number")),
        ("business_date", _plain("business_date")),
        ("position", _plain("position")),
        "method",
        "currency",
        ("amount", _amount("amount")),
        "reference",
        ("payment_id", _plain("id")),
    ),
    _FIRST,
    _place("taken_at", "id", "position"),
)
_AUDIT = _Table(
    "audit",
    _batch(
        select(
            AuditEntry.position,
            AuditEntry.at,
            func.coalesce(Staff.login, "").label("actor"),
            AuditEntry.action,
            AuditEntry.subject,
            AuditEntry.subject_id,
            AuditEntry.number_value,
            type_coerce(AuditEntry.data, Text).label("data"),
            AuditEntry.previous_hash,
            AuditEntry.hash,
            AuditEntry.actor_id,
        )
        .outerjoin(Staff, Staff.id == AuditEntry.actor_id)
        .where(AuditEntry.clinic_id == CLINIC),
        AuditEntry.position,
        after=(_POSITION,),
    ),
    _cells(
        ("position", _plain("position")),
        ("at", _plain("at")),
        "actor",
        "action",
        "subject",
        "subject_id",
        ("number", _plain("number_value")),
        "data",
        ("previous_hash", _plain("previous_hash")),
        ("hash", _plain("hash")),
        ("actor_id", _plain("actor_id")),
    ),
    {"position": _FIRST["position"]},
    lambda row: {"position": row.position},
)
