"""What invoices, receipts and credit notes are printed from: stored rows, locked for the print. Knows no language and no layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from billing.model import (
    Invoice,
    InvoiceAdjustment,
    InvoiceItem,
    InvoiceTax,
    Payment,
    PaymentItem,
    Reversal,
    ReversalItem,
    ReversalTender,
    Tender,
)
from billing.services.credit_notes import UnknownCreditNote
from billing.services.inputs import find_row
from billing.services.open_invoice import SEE_INVOICE, UnknownInvoice
from billing.services.parties import parties
from billing.services.reading import UnknownPayment
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class InvoiceContent:
    """An invoice with everything on it. `printed` are the names on it, as they were at issue, or for a draft as they are now."""

    invoice: Invoice
    printed: Mapping[str, Any]
    items: tuple[InvoiceItem, ...]
    adjustments: tuple[InvoiceAdjustment, ...]
    taxes: tuple[InvoiceTax, ...]


@dataclass(frozen=True, slots=True)
class ReceiptContent:
    """A payment with what it settled, item by item with the amounts. Both amounts at the end are the invoice's as of this payment.

    `void` is what has undone it since.
    """

    payment: Payment
    invoice: Invoice
    printed: Mapping[str, Any]
    settled: tuple[tuple[InvoiceItem, int], ...]
    tenders: tuple[Tender, ...]
    on_account_minor: int
    amount_due_minor: int
    void: Reversal | None


@dataclass(frozen=True, slots=True)
class CreditNoteContent:
    """A credit note with what it credits of which item, and how money went back. `printed` are the names of the invoice."""

    reversal: Reversal
    invoice: Invoice
    printed: Mapping[str, Any]
    items: tuple[tuple[InvoiceItem, ReversalItem], ...]
    tenders: tuple[ReversalTender, ...]


def read_invoice_content(tx: Transaction, invoice_id: str) -> InvoiceContent:
    """Lock the invoice and read it. Raises `UnknownInvoice`."""
    invoice = find_row(tx, Invoice, invoice_id, lock=True)
    if invoice is None:
        raise UnknownInvoice(
            f"There is no invoice {invoice_id[:60]!r} in this clinic: `billing invoice list` shows what there is.", invoice=invoice_id
        )
    items = select(InvoiceItem).where(InvoiceItem.invoice_id == invoice.id).order_by(InvoiceItem.position)
    adjustments = select(InvoiceAdjustment).where(InvoiceAdjustment.invoice_id == invoice.id).order_by(InvoiceAdjustment.id)
    groups = (InvoiceTax.tax_category, InvoiceTax.tax_rate_bp)
    taxes = select(InvoiceTax).where(InvoiceTax.invoice_id == invoice.id).order_by(*groups)
    return InvoiceContent(
        invoice=invoice,
        printed=_printed(tx, invoice),
        items=tuple(tx.session.scalars(_fresh(items))),
        adjustments=tuple(tx.session.scalars(_fresh(adjustments))),
        taxes=tuple(tx.session.scalars(_fresh(taxes))),
    )


def read_receipt_content(tx: Transaction, payment_id: str) -> ReceiptContent:
    """Lock the invoice of the payment and read both: a payment is never changed, so it can't be locked. Raises `UnknownPayment`."""
    payment = find_row(tx, Payment, payment_id)
    if payment is None:
        raise UnknownPayment(
            f"There is no payment {payment_id[:60]!r} in this clinic: `billing receipt list` shows what there is.", payment=payment_id
        )
    invoice = tx.session.scalars(_fresh(select(Invoice).where(Invoice.id == payment.invoice_id).with_for_update())).one()
    settled = (
        select(InvoiceItem, PaymentItem.amount_minor)
        .join(PaymentItem, (PaymentItem.item_id == InvoiceItem.id) & (PaymentItem.clinic_id == InvoiceItem.clinic_id))
        .where(PaymentItem.payment_id == payment.id)
        .order_by(InvoiceItem.position)
    )
    tenders = select(Tender).where(Tender.payment_id == payment.id).order_by(Tender.position)
    return ReceiptContent(
        payment=payment,
        invoice=invoice,
        printed=_printed(tx, invoice),
        settled=tuple((item, amount_minor) for item, amount_minor in tx.session.execute(_fresh(settled))),
        tenders=tuple(tx.session.scalars(_fresh(tenders))),
        on_account_minor=payment.on_account_minor,
        amount_due_minor=payment.amount_due_minor,
        void=tx.session.scalars(_fresh(select(Reversal).where(Reversal.payment_id == payment.id))).one_or_none(),
    )


def read_credit_note_content(tx: Transaction, reversal_id: str) -> CreditNoteContent:
    """Lock the invoice of the credit note and read both: a reversal is never changed, so it can't be locked. Raises `UnknownCreditNote`."""
    reversal = find_row(tx, Reversal, reversal_id)
    if reversal is None or reversal.number is None:
        raise UnknownCreditNote(
            f"There is no credit note {reversal_id[:60]!r} in this clinic: `billing credit-note list` shows what there is.",
            credit_note=reversal_id,
        )
    invoice = tx.session.scalars(_fresh(select(Invoice).where(Invoice.id == reversal.invoice_id).with_for_update())).one()
    items = (
        select(InvoiceItem, ReversalItem)
        .join(ReversalItem, (ReversalItem.item_id == InvoiceItem.id) & (ReversalItem.clinic_id == InvoiceItem.clinic_id))
        .where(ReversalItem.reversal_id == reversal.id)
        .order_by(InvoiceItem.position)
    )
    tenders = select(ReversalTender).where(ReversalTender.reversal_id == reversal.id).order_by(ReversalTender.position)
    return CreditNoteContent(
        reversal=reversal,
        invoice=invoice,
        printed=_printed(tx, invoice) if reversal.printed is None else reversal.printed,
        items=tuple((item, back) for item, back in tx.session.execute(_fresh(items))),
        tenders=tuple(tx.session.scalars(_fresh(tenders))),
    )


def _fresh(statement: Any) -> Any:
    # The verbs write past the session, so what it has read earlier in the same unit may be out of date.
    return statement.execution_options(populate_existing=True)


def _printed(tx: Transaction, invoice: Invoice) -> Mapping[str, Any]:
    if invoice.printed is not None:
        return invoice.printed  # type: ignore[no-any-return]
    return parties(tx, tx.row(SEE_INVOICE, invoice_id=invoice.id))
