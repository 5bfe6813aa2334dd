"""What invoices and receipts are printed from: stored rows, locked for the print. Knows no language and no layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from billing.model import Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, Payment, PaymentItem, Tender
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
    """A payment with what it settled, item by item with the amounts. Both amounts at the end are the invoice's as of this payment."""

    payment: Payment
    invoice: Invoice
    printed: Mapping[str, Any]
    settled: tuple[tuple[InvoiceItem, int], ...]
    tenders: tuple[Tender, ...]
    on_account_minor: int
    amount_due_minor: int


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
    )


def _fresh(statement: Any) -> Any:
    # The verbs write past the session, so what it has read earlier in the same unit may be out of date.
    return statement.execution_options(populate_existing=True)


def _printed(tx: Transaction, invoice: Invoice) -> Mapping[str, Any]:
    if invoice.printed is not None:
        return invoice.printed  # type: ignore[no-any-return]
    return parties(tx, tx.row(SEE_INVOICE, invoice_id=invoice.id))
