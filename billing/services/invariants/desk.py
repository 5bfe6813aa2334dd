"""What must always hold of money after the payment: what was credited, given back, voided and written off, and who consented."""

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from billing.changes.declare import Invariant
from billing.model import (
    CLINIC,
    Approval,
    Invoice,
    InvoiceItem,
    Payment,
    Reversal,
    ReversalItem,
    ReversalTender,
    Tender,
)
from billing.rules import posting

_VOID = Reversal.kind == "void"


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(column, 0)


_OF_INVOICE = (
    select(
        Reversal.invoice_id,
        func.sum(Reversal.credited_minor).label("credited_minor"),
        func.sum(Reversal.written_off_minor).label("written_off_minor"),
        func.sum(Reversal.refunded_minor).label("refunded_minor"),
    )
    .where(Reversal.clinic_id == CLINIC)
    .group_by(Reversal.invoice_id)
    .subquery("of_invoice")
)
_OF_ITEM = (
    select(
        ReversalItem.item_id,
        func.sum(ReversalItem.quantity_milli).label("quantity_milli"),
        func.sum(ReversalItem.total_minor).label("total_minor"),
    )
    .join(Reversal, and_(Reversal.clinic_id == ReversalItem.clinic_id, Reversal.id == ReversalItem.reversal_id))
    .where(ReversalItem.clinic_id == CLINIC, ~_VOID)
    .group_by(ReversalItem.item_id)
    .subquery("of_item")
)
_OF_REVERSAL = (
    select(
        ReversalItem.reversal_id,
        func.sum(ReversalItem.total_minor).label("total_minor"),
        func.sum(ReversalItem.payer_minor).label("payer_minor"),
    )
    .where(ReversalItem.clinic_id == CLINIC)
    .group_by(ReversalItem.reversal_id)
    .subquery("of_reversal")
)
_TAX_OF_ITEM = ReversalItem.taxable_minor + ReversalItem.tax_minor
_WRONG_ITEM = exists(
    select(ReversalItem.item_id)
    .join(InvoiceItem, and_(InvoiceItem.clinic_id == ReversalItem.clinic_id, InvoiceItem.id == ReversalItem.item_id))
    .where(
        ReversalItem.clinic_id == CLINIC,
        ReversalItem.reversal_id == Reversal.id,
        or_(
            ReversalItem.total_minor != _TAX_OF_ITEM,
            InvoiceItem.invoice_id != Reversal.invoice_id,
            ReversalItem.total_minor > InvoiceItem.total_minor,
            ReversalItem.tax_minor > func.abs(InvoiceItem.tax_minor),
        ),
    )
)
_HANDED = (
    select(ReversalTender.reversal_id, func.sum(ReversalTender.amount_minor).label("amount_minor"))
    .where(ReversalTender.clinic_id == CLINIC)
    .group_by(ReversalTender.reversal_id)
    .subquery("handed")
)
_APPLIED = (
    select(Payment.invoice_id, func.sum(Payment.applied_minor).label("applied_minor"))
    .where(Payment.clinic_id == CLINIC)
    .group_by(Payment.invoice_id)
    .subquery("applied")
)
# Cash is rounded when it comes and when it goes, and only cash: what one rounding gave up, another may hand out.
_BACK_BY_METHOD = (
    select(
        Reversal.invoice_id,
        ReversalTender.method,
        func.sum(ReversalTender.amount_minor - case((Reversal.rounding_minor > 0, Reversal.rounding_minor), else_=0)).label("amount_minor"),
    )
    .join(Reversal, and_(Reversal.clinic_id == ReversalTender.clinic_id, Reversal.id == ReversalTender.reversal_id))
    .where(ReversalTender.clinic_id == CLINIC, ReversalTender.method != posting.WALLET)
    .group_by(Reversal.invoice_id, ReversalTender.method)
    .subquery("back_by_method")
)
_CAME_BY_METHOD = (
    select(
        Payment.invoice_id,
        Tender.method,
        func.sum(Tender.amount_minor + case((Payment.rounding_minor < 0, -Payment.rounding_minor), else_=0)).label("amount_minor"),
    )
    .join(Payment, and_(Payment.clinic_id == Tender.clinic_id, Payment.id == Tender.payment_id))
    .where(Tender.clinic_id == CLINIC)
    .group_by(Payment.invoice_id, Tender.method)
    .subquery("came_by_method")
)
_CONSENTED = exists(
    select(Approval.id).where(
        Approval.clinic_id == CLINIC,
        Approval.used_for == Reversal.id,
        Approval.given_by == Reversal.approved_by,
        Approval.used_by == Reversal.done_by,
        Approval.given_by != Approval.used_by,
    )
)
_ITEM_OF_VOIDED = exists(
    select(InvoiceItem.id).where(
        InvoiceItem.clinic_id == CLINIC, InvoiceItem.invoice_id == Reversal.invoice_id, InvoiceItem.payment_id == Reversal.payment_id
    )
)

DESK = (
    Invariant(
        "invoice_credited_is_its_credit_notes",
        "What is credited and what is written off of an invoice are the sums of its reversals.",
        select(Invoice.id, Invoice.number, Invoice.credited_minor, _sum(_OF_INVOICE.c.credited_minor).label("credit_notes_minor"))
        .outerjoin(_OF_INVOICE, _OF_INVOICE.c.invoice_id == Invoice.id)
        .where(
            Invoice.clinic_id == CLINIC,
            or_(
                Invoice.credited_minor != _sum(_OF_INVOICE.c.credited_minor),
                Invoice.written_off_minor != _sum(_OF_INVOICE.c.written_off_minor),
            ),
        ),
    ),
    Invariant(
        "item_credited_is_its_credit_notes",
        "What is credited of an item, quantity and total, is the sum of its credit notes, and no more than the item.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, InvoiceItem.credited_milli, InvoiceItem.credited_minor)
        .outerjoin(_OF_ITEM, _OF_ITEM.c.item_id == InvoiceItem.id)
        .where(
            InvoiceItem.clinic_id == CLINIC,
            or_(
                InvoiceItem.credited_milli != _sum(_OF_ITEM.c.quantity_milli),
                InvoiceItem.credited_minor != _sum(_OF_ITEM.c.total_minor),
                InvoiceItem.credited_milli > InvoiceItem.quantity_milli,
                InvoiceItem.credited_minor > InvoiceItem.total_minor,
            ),
        ),
    ),
    Invariant(
        "credit_note_sums",
        "A credit note is the sum of its items, each of its own invoice with taxable amount and tax; a void credits nothing.",
        select(Reversal.id, Reversal.number, Reversal.credited_minor, _sum(_OF_REVERSAL.c.total_minor).label("items_minor"))
        .outerjoin(_OF_REVERSAL, _OF_REVERSAL.c.reversal_id == Reversal.id)
        .where(
            Reversal.clinic_id == CLINIC,
            or_(
                Reversal.credited_minor != _sum(_OF_REVERSAL.c.total_minor),
                Reversal.credited_payer_minor != _sum(_OF_REVERSAL.c.payer_minor),
                and_(_VOID, Reversal.credited_minor != 0),
                and_(Reversal.credited_minor != 0, Reversal.number.is_(None)),
                _WRONG_ITEM,
            ),
        ),
    ),
    Invariant(
        "refunds_within_payments",
        "No more of an invoice was given back and voided than was paid of it.",
        select(Invoice.id, Invoice.number, _OF_INVOICE.c.refunded_minor)
        .join(_OF_INVOICE, _OF_INVOICE.c.invoice_id == Invoice.id)
        .outerjoin(_APPLIED, _APPLIED.c.invoice_id == Invoice.id)
        .where(Invoice.clinic_id == CLINIC, _OF_INVOICE.c.refunded_minor > _sum(_APPLIED.c.applied_minor)),
    ),
    Invariant(
        "refunds_by_their_method",
        "By no method but to the wallet went more of an invoice back than came by it.",
        select(_BACK_BY_METHOD.c.invoice_id, _BACK_BY_METHOD.c.method, _BACK_BY_METHOD.c.amount_minor)
        .outerjoin(
            _CAME_BY_METHOD,
            and_(_CAME_BY_METHOD.c.invoice_id == _BACK_BY_METHOD.c.invoice_id, _CAME_BY_METHOD.c.method == _BACK_BY_METHOD.c.method),
        )
        .where(_BACK_BY_METHOD.c.amount_minor > _sum(_CAME_BY_METHOD.c.amount_minor)),
    ),
    Invariant(
        "reversal_tenders",
        "What a reversal handed back by all methods is what it refunded, with its cash rounding.",
        select(Reversal.id, Reversal.number, Reversal.refunded_minor, Reversal.rounding_minor)
        .outerjoin(_HANDED, _HANDED.c.reversal_id == Reversal.id)
        .where(Reversal.clinic_id == CLINIC, Reversal.refunded_minor + Reversal.rounding_minor != _sum(_HANDED.c.amount_minor)),
    ),
    Invariant(
        "void_undoes_its_payment",
        "A void gives back all of its payment, of its invoice, in its shift, and leaves no item paid by it.",
        select(Reversal.id, Reversal.payment_id)
        .join(Payment, and_(Payment.clinic_id == Reversal.clinic_id, Payment.id == Reversal.payment_id))
        .where(
            Reversal.clinic_id == CLINIC,
            or_(
                ~_VOID,
                Reversal.refunded_minor != Payment.applied_minor,
                Reversal.rounding_minor != Payment.rounding_minor,
                Reversal.invoice_id != Payment.invoice_id,
                Reversal.shift_id != Payment.shift_id,
                _ITEM_OF_VOIDED,
            ),
        ),
    ),
    Invariant(
        "reversals_have_two_people",
        "Who approved a reversal is somebody else than who did it, and their approval was used for it.",
        select(Reversal.id, Reversal.number, Reversal.done_by, Reversal.approved_by).where(
            Reversal.clinic_id == CLINIC,
            Reversal.approved_by.is_not(None),
            or_(Reversal.approved_by == Reversal.done_by, ~_CONSENTED),
        ),
    ),
)
"""The desk's invariants."""
