"""Checks that a select can't make: chains, totals and hashes are computed again from the rows as they stand, in constant memory.

They know the rules by which documents are made, not the services that make them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Text, bindparam, select, type_coerce

from billing.errors import Invalid
from billing.model import (
    CLINIC,
    IdempotencyKey,
    Invoice,
    InvoiceAdjustment,
    InvoiceItem,
    InvoiceTax,
    Payment,
    WalletMove,
    canonical_json,
)
from billing.model.lists import ids
from billing.model.types import DayType, IdType, InstantType, WholeType
from billing.rules.content import INVOICE_FIELDS, ITEM_FIELDS, invoice_content_hash
from billing.rules.totals import Adjustment, Line, Rounding, TaxGroup, Totals, compute_totals
from billing.services import audit
from billing.services.invariants.acts import FOREVER, check_acts
from billing.services.invariants.shifts import check_periods, check_reports
from billing.transaction import Transaction
from billing.trips import Query, Row

BATCH = 500
FIRST_ID = "00000000-0000-0000-0000-000000000000"

Violation = Mapping[str, Any]
"""What identifies a row that breaks an invariant, by column."""


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """An invariant that is checked in code. `violations(tx, since)` reads the rows anew and yields those that break it."""

    name: str
    sentence: str
    violations: Callable[[Transaction, datetime | None], Iterator[Violation]]


def check_chain(tx: Transaction, since: datetime | None = None) -> Iterator[Violation]:
    """Recompute the audit chain, always the whole of it: what is old holds what is new."""
    del since
    if breach := audit.recompute(tx).breach:
        yield {"position": breach.position, "reason": breach.reason}


# Days are read as they are stored, so that one that was written over with rubbish is a finding and not an error of a decoder.
_DOCUMENT_COLUMNS = [
    *(
        type_coerce(column, Text).label(column.name) if isinstance(column.type, DayType) else column
        for column in Invoice.__table__.columns
        if column.name in INVOICE_FIELDS
    ),
    Invoice.number,
    Invoice.content_hash,
    Invoice.issued_at.is_not(None).label("issued"),
]
_LIMIT = bindparam("limit", type_=WholeType())
_AFTER = bindparam("after", type_=IdType())
_LATEST = bindparam("latest", type_=IdType())
_INVOICES = Query(
    select(*_DOCUMENT_COLUMNS)
    .where(Invoice.clinic_id == CLINIC, Invoice.id > _AFTER, Invoice.created_at >= bindparam("since", type_=InstantType()))
    .order_by(Invoice.id)
    .limit(_LIMIT)
    .offset(0)
)


def _parts(table: Any, *columns: Any, order: Sequence[Any]) -> Query:
    between = (table.clinic_id == CLINIC, table.invoice_id > _AFTER, table.invoice_id <= _LATEST)
    return Query(select(table.invoice_id, *columns).where(*between).order_by(table.invoice_id, *order))


_ITEMS = _parts(
    InvoiceItem, *(column for column in InvoiceItem.__table__.columns if column.name in ITEM_FIELDS), order=[InvoiceItem.position]
)
_ADJUSTMENTS = _parts(
    InvoiceAdjustment,
    InvoiceAdjustment.item_id,
    InvoiceAdjustment.charge,
    InvoiceAdjustment.amount_minor,
    InvoiceAdjustment.tax_category,
    InvoiceAdjustment.tax_rate_bp,
    order=[InvoiceAdjustment.id],
)
_TAXES = _parts(
    InvoiceTax,
    InvoiceTax.tax_category,
    InvoiceTax.tax_rate_bp,
    InvoiceTax.taxable_minor,
    InvoiceTax.tax_minor,
    order=[InvoiceTax.tax_category, InvoiceTax.tax_rate_bp],
)


def check_documents(tx: Transaction, since: datetime | None = None) -> Iterator[Violation]:
    """Compute every invoice made since then again: its totals by the rules it was made by, and the hash of what it said when issued."""
    after = FIRST_ID
    while invoices := tx.rows(_INVOICES, after=after, since=since or FOREVER, limit=BATCH):
        between = {"after": after, "latest": invoices[-1].id}
        items, adjustments, taxes = (_by_invoice(rows) for rows in tx.trip((_ITEMS, between), (_ADJUSTMENTS, between), (_TAXES, between)))
        for invoice in invoices:
            of_invoice = (items.get(invoice.id, []), adjustments.get(invoice.id, []), taxes.get(invoice.id, []))
            if reason := _wrong_totals(invoice, *of_invoice) or _wrong_hash(invoice, of_invoice[0]):
                yield {"id": invoice.id, "number": invoice.number, "reason": reason}
        after = invoices[-1].id


def _by_invoice(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {invoice_id: list(found) for invoice_id, found in groupby(rows, key=lambda row: row.invoice_id)}


def _wrong_totals(invoice: Row, items: Sequence[Row], adjustments: Sequence[Row], taxes: Sequence[Row]) -> str | None:
    try:
        totals = _recomputed(invoice, items, [each for each in adjustments if each.item_id is None])
    except (Invalid, ValueError) as error:
        return f"its totals can't be computed: {error}"
    for item, line in zip(items, totals.lines, strict=True):
        for name in ("net_minor", "adjustment_minor", "taxable_minor", "tax_minor", "total_minor"):
            if getattr(item, name) != getattr(line, name):
                return f"{name} of item {item.position} is {getattr(item, name)}, computed anew {getattr(line, name)}"
    stored = [(row.tax_category, row.tax_rate_bp, row.taxable_minor, row.tax_minor) for row in taxes]
    computed = [(row.tax.category, row.tax.rate_bp, row.taxable_minor, row.tax_minor) for row in totals.taxes]
    if sorted(stored) != sorted(computed):
        return f"its tax rows are {stored}, computed anew {computed}"
    amounts = {
        "line_total_minor": totals.line_total_minor,
        "allowance_minor": totals.allowance_total_minor,
        "charge_minor": totals.charge_total_minor,
        "net_minor": totals.net_total_minor,
        "tax_minor": totals.tax_total_minor,
        "total_minor": totals.gross_total_minor,
    }
    different = [name for name, amount in amounts.items() if getattr(invoice, name) != amount]
    return f"{different[0]} is {getattr(invoice, different[0])}, computed anew {amounts[different[0]]}" if different else None


def _recomputed(invoice: Row, items: Sequence[Row], adjustments: Sequence[Row]) -> Totals:
    lines = [
        Line(
            quantity_milli=item.quantity_milli,
            unit_price_e4=item.unit_price_e4,
            tax=TaxGroup(item.tax_category, item.tax_rate_bp),
            allowance_minor=item.allowance_minor,
            charge_minor=item.charge_minor,
        )
        for item in items
    ]
    document = [Adjustment(each.charge, each.amount_minor, TaxGroup(each.tax_category, each.tax_rate_bp)) for each in adjustments]
    return compute_totals(lines, document, rounding=Rounding(invoice.rounding), prices_include_tax=invoice.prices_include_tax)


def _wrong_hash(invoice: Row, items: Sequence[Row]) -> str | None:
    if not invoice.issued or invoice.content_hash == invoice_content_hash(invoice._asdict(), [item._asdict() for item in items]):
        return None
    return "what it says was changed after it was issued: its content has another hash"


_KEYS = Query(
    select(IdempotencyKey.actor_id, IdempotencyKey.key, IdempotencyKey.action, type_coerce(IdempotencyKey.answer, Text).label("answer"))
    .where(
        IdempotencyKey.clinic_id == CLINIC,
        (IdempotencyKey.actor_id > bindparam("actor_id", type_=IdType()))
        | ((IdempotencyKey.actor_id == bindparam("actor_id", type_=IdType())) & (IdempotencyKey.key > bindparam("key", type_=Text()))),
        IdempotencyKey.at >= bindparam("since", type_=InstantType()),
    )
    .order_by(IdempotencyKey.actor_id, IdempotencyKey.key)
    .limit(_LIMIT)
    .offset(0)
)
_NAMED = {
    "invoice": Query(select(Invoice.id).where(Invoice.clinic_id == CLINIC, Invoice.id.op("IN")(ids("ids")))),
    "payment": Query(select(Payment.id).where(Payment.clinic_id == CLINIC, Payment.id.op("IN")(ids("ids")))),
    "wallet": Query(select(WalletMove.id).where(WalletMove.clinic_id == CLINIC, WalletMove.id.op("IN")(ids("ids")))),
}
"""The rows that answers name by `id`, by the noun of the action (`invoice.create`)."""


def check_answers(tx: Transaction, since: datetime | None = None) -> Iterator[Violation]:
    """Look for what idempotency keys have answered: an act without an answer, or an answer about a row that is not there."""
    actor_id, key = FIRST_ID, ""
    while rows := tx.rows(_KEYS, actor_id=actor_id, key=key, since=since or FOREVER, limit=BATCH):
        wanted: dict[str, list[tuple[Row, str]]] = {noun: [] for noun in _NAMED}
        for row in rows:
            noun = row.action.partition(".")[0]
            answered = _answered_id(row.answer)
            if answered is None:
                yield _of_key(row, "it has no answer")
            elif noun in wanted:
                wanted[noun].append((row, answered))
        for noun, named in wanted.items():
            there = {each.id for each in tx.rows(_NAMED[noun], ids=canonical_json([each for _, each in named]))} if named else set()
            for row in [row for row, answered in named if answered not in there]:
                yield _of_key(row, f"the {noun} that it answers with is not there")
        actor_id, key = rows[-1].actor_id, rows[-1].key


def _answered_id(text: str) -> str | None:
    """Return the `id` of an answer, '' for an answer without one, None where there is no answer."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return None if answer is None else str(answer.get("id", "")) if isinstance(answer, dict) else ""


def _of_key(row: Row, reason: str) -> Violation:
    return {"actor_id": row.actor_id, "key": row.key, "action": row.action, "reason": reason}


CODE_CHECKS = (
    CodeCheck("audit_chain", "The audit trail's chain holds from its first entry to its recorded end.", check_chain),
    CodeCheck(
        "invoice_recomputed",
        "Every invoice computes to the same totals again, and an issued one says what it said when it was issued.",
        check_documents,
    ),
    CodeCheck(
        "document_is_what_its_act_says",
        "Every invoice and payment has the amounts, the time, the person and the printed number that its audit entry names.",
        check_acts,
    ),
    CodeCheck(
        "z_report_is_its_count", "Every Z-report says what was counted then, and the notes and coins are the cash of it.", check_reports
    ),
    CodeCheck(
        "closed_months_unchanged",
        "Closed months follow each other, and the journal says of them what it said when they were closed.",
        check_periods,
    ),
    CodeCheck("key_answered", "Every idempotency key has its answer, about a row that is there.", check_answers),
)
"""The checks in code."""
