"""Reads of one invoice or payment with all that belongs to it, by id or printed number. Writes nothing."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, or_, select

from billing.errors import NotFound
from billing.model import CLINIC, Effect, Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, Payment, PaymentItem, Reversal, Tender
from billing.model.types import NIL_ID, IdType, is_id
from billing.services.credit_notes import ReversalRow, reversal_select
from billing.services.listing import INVOICE_COLUMNS, InvoiceRow, PaymentRow, payment_select, seen
from billing.services.open_invoice import UnknownInvoice
from billing.transaction import Transaction
from billing.trips import Query


class UnknownPayment(NotFound):
    """There is no such payment in this clinic. Facts: `payment`."""

    code = "unknown_payment"


@dataclass(frozen=True, slots=True)
class ItemSeen:
    """An item with the receipt that paid it. Amounts are minor units, quantities thousandths."""

    id: str
    position: int
    department: str
    code: str
    description: str
    unit: str
    quantity_milli: int
    unit_price_e4: int
    price_reason: str
    allowance_minor: int
    charge_minor: int
    taxable_minor: int
    tax_category: str
    tax_rate_bp: int
    tax_minor: int
    total_minor: int
    source: str | None
    payment_id: str | None
    receipt_number: str | None


@dataclass(frozen=True, slots=True)
class ReductionSeen:
    """An allowance or charge with its reason; without an item it is the document's."""

    item_id: str | None
    charge: bool
    amount_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaxSeen:
    """A tax group of an invoice."""

    tax_category: str
    tax_rate_bp: int
    taxable_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceSeen:
    """An invoice with all that belongs to it."""

    invoice: InvoiceRow
    items: tuple[ItemSeen, ...]
    reductions: tuple[ReductionSeen, ...]
    taxes: tuple[TaxSeen, ...]
    payments: tuple[PaymentRow, ...]
    reversals: tuple[ReversalRow, ...]
    note: str
    cancel_reason: str | None


@dataclass(frozen=True, slots=True)
class TenderSeen:
    """A tender of a payment."""

    method: str
    amount_minor: int
    reference: str | None


@dataclass(frozen=True, slots=True)
class EffectSeen:
    """What a department did for an item."""

    plugin: str
    item_id: str
    kind: str
    row: str
    quantity_milli: int
    data: Any


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A payment with its tenders, the items it settled, and what departments did for them."""

    payment: PaymentRow
    tenders: tuple[TenderSeen, ...]
    items: tuple[ItemSeen, ...]
    effects: tuple[EffectSeen, ...]


_ITEM_COLUMNS = (
    InvoiceItem.id,
    InvoiceItem.position,
    InvoiceItem.department,
    InvoiceItem.code,
    InvoiceItem.description,
    InvoiceItem.unit,
    InvoiceItem.quantity_milli,
    InvoiceItem.unit_price_e4,
    InvoiceItem.price_reason,
    InvoiceItem.allowance_minor,
    InvoiceItem.charge_minor,
    InvoiceItem.taxable_minor,
    InvoiceItem.tax_category,
    InvoiceItem.tax_rate_bp,
    InvoiceItem.tax_minor,
    InvoiceItem.total_minor,
    InvoiceItem.source,
    InvoiceItem.payment_id,
    Payment.receipt_number,
)
_INVOICE_ID = bindparam("invoice_id", type_=IdType())
_PAYMENT_ID = bindparam("payment_id", type_=IdType())


def _items() -> Select[*tuple[Any, ...]]:
    return (
        select(*_ITEM_COLUMNS)
        .outerjoin(Payment, (Payment.clinic_id == InvoiceItem.clinic_id) & (Payment.id == InvoiceItem.payment_id))
        .where(InvoiceItem.clinic_id == CLINIC)
        .order_by(InvoiceItem.position)
    )


_FIND_INVOICE = Query(
    select(*INVOICE_COLUMNS, Invoice.note, Invoice.cancel_reason)
    .where(Invoice.clinic_id == CLINIC, or_(Invoice.id == _INVOICE_ID, Invoice.number == bindparam("number")))
    .order_by(Invoice.created_at)
)
_ITEMS_OF_INVOICE = Query(_items().where(InvoiceItem.invoice_id == _INVOICE_ID))
_REDUCTIONS = Query(
    select(InvoiceAdjustment.item_id, InvoiceAdjustment.charge, InvoiceAdjustment.amount_minor, InvoiceAdjustment.reason)
    .where(InvoiceAdjustment.clinic_id == CLINIC, InvoiceAdjustment.invoice_id == _INVOICE_ID)
    .order_by(InvoiceAdjustment.id)
)
_TAXES = Query(
    select(InvoiceTax.tax_category, InvoiceTax.tax_rate_bp, InvoiceTax.taxable_minor, InvoiceTax.tax_minor)
    .where(InvoiceTax.clinic_id == CLINIC, InvoiceTax.invoice_id == _INVOICE_ID)
    .order_by(InvoiceTax.tax_category, InvoiceTax.tax_rate_bp)
)
_PAYMENTS_OF_INVOICE = Query(payment_select().where(Payment.invoice_id == _INVOICE_ID).order_by(Payment.taken_at, Payment.id))
_REVERSALS_OF_INVOICE = Query(reversal_select().where(Reversal.invoice_id == _INVOICE_ID).order_by(Reversal.at, Reversal.id))
_FIND_PAYMENT = Query(payment_select().where(or_(Payment.id == _PAYMENT_ID, Payment.receipt_number == bindparam("number"))))
_TENDERS = Query(
    select(Tender.method, Tender.amount_minor, Tender.reference)
    .where(Tender.clinic_id == CLINIC, Tender.payment_id == _PAYMENT_ID)
    .order_by(Tender.position)
)
_ITEMS_OF_PAYMENT = Query(
    _items()
    .join(PaymentItem, (PaymentItem.clinic_id == InvoiceItem.clinic_id) & (PaymentItem.item_id == InvoiceItem.id))
    .where(PaymentItem.payment_id == _PAYMENT_ID)
)
_EFFECTS = Query(
    select(Effect.plugin, Effect.item_id, Effect.kind, Effect.row_key, Effect.quantity_milli, Effect.data)
    .where(Effect.clinic_id == CLINIC, Effect.action_id == _PAYMENT_ID)
    .order_by(Effect.plugin, Effect.id)
)


def find_invoice_id(tx: Transaction, invoice: str) -> str:
    """Return the id of an invoice named by id or printed number. Raises `UnknownInvoice`; of two series with equal numbers, the id is needed."""
    tx.require("invoices.read")
    rows = tx.rows(_FIND_INVOICE, invoice_id=_as_id(invoice), number=invoice)
    if len(rows) != 1:
        why = "is on several invoices: name the id" if rows else "is no invoice of this clinic: `billing invoice list` shows them"
        raise UnknownInvoice(f"{invoice[:60]!r} {why}.", invoice=invoice)
    return str(rows[0].id)


def read_invoice(tx: Transaction, *, invoice: str) -> InvoiceSeen:
    """Return an invoice, by id or number, with items, taxes, payments and reversals. Raises `UnknownInvoice`."""
    tx.require("invoices.read")
    here = {"invoice_id": find_invoice_id(tx, invoice)}
    found, items, reductions, taxes, payments, reversals = tx.trip(
        (_FIND_INVOICE, {**here, "number": None}),
        (_ITEMS_OF_INVOICE, here),
        (_REDUCTIONS, here),
        (_TAXES, here),
        (_PAYMENTS_OF_INVOICE, here),
        (_REVERSALS_OF_INVOICE, here),
    )
    *row, note, reason = found[0]
    return InvoiceSeen(
        invoice=seen(tx, row),
        items=tuple(ItemSeen(*each) for each in items),
        reductions=tuple(ReductionSeen(*each) for each in reductions),
        taxes=tuple(TaxSeen(*each) for each in taxes),
        payments=tuple(PaymentRow(*each) for each in payments),
        reversals=tuple(ReversalRow(*each) for each in reversals),
        note=note,
        cancel_reason=reason,
    )


def read_payment(tx: Transaction, *, payment: str) -> PaymentSeen:
    """Return a payment, by id or receipt number. Raises `UnknownPayment`."""
    tx.require("invoices.read")
    rows = tx.rows(_FIND_PAYMENT, payment_id=_as_id(payment), number=payment)
    if len(rows) != 1:
        why = "is on several payments: name the id" if rows else "is no receipt of this clinic: `billing receipt list` shows them"
        raise UnknownPayment(f"{payment[:60]!r} {why}.", payment=payment)
    here = {"payment_id": rows[0].id}
    tenders, items, effects = tx.trip((_TENDERS, here), (_ITEMS_OF_PAYMENT, here), (_EFFECTS, here))
    return PaymentSeen(
        payment=PaymentRow(*rows[0]),
        tenders=tuple(TenderSeen(*each) for each in tenders),
        items=tuple(ItemSeen(*each) for each in items),
        effects=tuple(EffectSeen(*each) for each in effects),
    )


def _as_id(text: str) -> str:
    # What does not look like an id can only be a number, and no row has the nil id.
    return text if is_id(text) else NIL_ID
