"""Invoices, receipts and credit notes on paper: as a page to print and as text, reprinted from what is stored. It must not know how anything is charged.

A document says what it said when it was issued, whatever was renamed since; of a reprint only the mark "COPY n" is new.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from sqlalchemy import func, select

from billing.errors import Invalid
from billing.model import DocumentPrint
from billing.services.documents.content import (
    CreditNoteContent,
    InvoiceContent,
    ReceiptContent,
    read_credit_note_content,
    read_invoice_content,
    read_receipt_content,
)
from billing.transaction import Transaction

if TYPE_CHECKING:
    from billing.services.documents.pages import InvoicePage, ReceiptPage

__all__ = ["BadForm", "Document", "InvoiceForm", "ReceiptForm", "print_credit_note", "print_invoice", "print_receipt"]

InvoiceForm = Literal["a4", "text"]
ReceiptForm = Literal["80mm", "a4", "text"]

INVOICE_COLUMNS, RECEIPT_COLUMNS = 78, 42
"""Characters in a line of the text form: a page, and the roll of a receipt printer."""


class BadForm(Invalid):
    """A document can't be printed in this form. Facts: `form`."""

    code = "bad_form"


@dataclass(frozen=True, slots=True)
class Document:
    """A printed document. `copy` is 0 for the original (and for drafts, which have none), then 1, 2, ..."""

    content: str
    media_type: str
    file_name: str
    copy: int


def print_invoice(tx: Transaction, *, invoice_id: str, form: InvoiceForm = "a4") -> Document:
    """Print an invoice, as a page of HTML or as text; every print of an issued one after the first is a copy.

    A draft is printed from what stands there now and marked as one. Payments are not on an invoice: their receipts show them.
    The unit writes: the print is counted and audited. Raises `UnknownInvoice`, `BadForm`.
    """
    tx.require("documents.read")
    _check_form(form, get_args(InvoiceForm))
    content = read_invoice_content(tx, invoice_id)
    invoice, issued = content.invoice, content.invoice.issued_at is not None
    copy = _count_print(tx, "invoice" if issued else "draft", invoice.id, form)
    named = invoice.number or invoice.id
    return _document(content, form=form, name=f"{'invoice' if issued else 'draft'}-{named}", copy=copy if issued else 0)


def print_receipt(tx: Transaction, *, payment_id: str, form: ReceiptForm = "80mm") -> Document:
    """Print the receipt of a payment, for a roll of 80 mm, as a page of A4, or as text; every print after the first is a copy.

    A voided payment's receipt keeps its number and says when and why it was voided.
    The unit writes: the print is counted and audited. Raises `UnknownPayment`, `BadForm`.
    """
    tx.require("receipts.print")
    _check_form(form, get_args(ReceiptForm))
    content = read_receipt_content(tx, payment_id)
    copy = _count_print(tx, "receipt", content.payment.id, form)
    return _document(content, form=form, name=f"receipt-{content.payment.receipt_number}", copy=copy)


def print_credit_note(tx: Transaction, *, reversal_id: str, form: InvoiceForm = "a4") -> Document:
    """Print a credit note, as a page of HTML or as text; every print after the first is a copy.

    The unit writes: the print is counted and audited. Raises `UnknownCreditNote`, `BadForm`.
    """
    tx.require("documents.read")
    _check_form(form, get_args(InvoiceForm))
    content = read_credit_note_content(tx, reversal_id)
    copy = _count_print(tx, "credit_note", content.reversal.id, form)
    return _document(content, form=form, name=f"credit-note-{content.reversal.number}", copy=copy)


def _check_form(form: str, known: tuple[str, ...]) -> None:
    if form not in known:
        raise BadForm(f"{form[:40]!r} is no form of this document: choose from {', '.join(known)}.", form=form)


def _count_print(tx: Transaction, document: str, document_id: str, form: str) -> int:
    """Record a print and return how many there were before. The document is locked, so two printers can't both make the original."""
    before = tx.session.scalar(
        select(func.count(DocumentPrint.id)).where(DocumentPrint.document == document, DocumentPrint.document_id == document_id)
    )
    assert before is not None, "a count is never null"
    tx.session.add(DocumentPrint(document=document, document_id=document_id, at=tx.at, actor_id=tx.actor.id))
    tx.audit("document.printed", document, document_id, form=form, copy=before)
    return before


def _document(content: InvoiceContent | ReceiptContent | CreditNoteContent, *, form: str, name: str, copy: int) -> Document:
    # Here, because Babel and Jinja take longer to import than most commands to run.
    from billing.services.documents import text, web

    page, columns = _page(content)
    mark = f"{page.labels.copy} {copy}" if copy else None
    file_name = (f"{name}-copy-{copy}" if copy else name).replace("/", "-")
    if form == "text":
        return Document(text.render(page, columns=columns, mark=mark), "text/plain", f"{file_name}.txt", copy)
    return Document(web.render(page, paper=form, mark=mark), "text/html", f"{file_name}.html", copy)


def _page(content: InvoiceContent | ReceiptContent | CreditNoteContent) -> "tuple[InvoicePage | ReceiptPage, int]":
    """Return what stands on the document, and the columns of its text form."""
    from billing.services.documents import pages

    match content:
        case InvoiceContent():
            return pages.invoice_page(content), INVOICE_COLUMNS
        case CreditNoteContent():
            return pages.credit_note_page(content), INVOICE_COLUMNS
        case ReceiptContent():
            return pages.receipt_page(content), RECEIPT_COLUMNS
