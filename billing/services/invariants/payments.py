"""What must always hold of payments, their tenders and what they settled. It knows no method by name and no department."""

from sqlalchemy import Text, and_, case, exists, func, literal_column, or_, select

from billing.changes.declare import Invariant
from billing.model import CLINIC, Claim, Effect, Invoice, InvoiceItem, Payment, PaymentItem, Reversal, Tender
from billing.rules.settlement import ScopeKind
from billing.services.invariants.invoices import HAS_PAYMENT, HAS_UNPAID_ITEM, ITEM_SUMS, VOIDED
from billing.services.listing import DUE

_APPLIED = (
    select(Payment.invoice_id, func.sum(Payment.applied_minor).label("applied_minor"))
    .where(Payment.clinic_id == CLINIC, ~VOIDED)
    .group_by(Payment.invoice_id)
    .subquery("applied")
)
_REFUNDED = (
    select(Reversal.invoice_id, func.sum(Reversal.refunded_minor).label("refunded_minor"))
    .where(Reversal.clinic_id == CLINIC, Reversal.kind != "void")
    .group_by(Reversal.invoice_id)
    .subquery("refunded")
)
_PAID = func.coalesce(_APPLIED.c.applied_minor, 0) - func.coalesce(_REFUNDED.c.refunded_minor, 0)
_TENDERED = (
    select(Tender.payment_id, func.sum(Tender.amount_minor).label("amount_minor"))
    .where(Tender.clinic_id == CLINIC)
    .group_by(Tender.payment_id)
    .subquery("tendered")
)
_COMMA = literal_column("','", Text())
_SCOPE = _COMMA + Payment.scope + _COMMA
# A text that loses something when `,code,` is taken out of it contains it. LIKE would take the _ of a code for any character.
_NAMES_DEPARTMENT = or_(
    Payment.scope == ScopeKind.ALL.value,
    func.replace(_SCOPE, _COMMA + InvoiceItem.department + _COMMA, literal_column("''", Text())) != _SCOPE,
)
_ON_ACCOUNT = Payment.scope == ScopeKind.ON_ACCOUNT.value

_INVOICE_OF_PAYMENT = and_(Invoice.clinic_id == Payment.clinic_id, Invoice.id == Payment.invoice_id)
_UNPAID = and_(InvoiceItem.payment_id.is_(None), InvoiceItem.credited_milli < InvoiceItem.quantity_milli)
_VOIDED_ITEM = exists(select(Reversal.id).where(Reversal.clinic_id == CLINIC, Reversal.payment_id == PaymentItem.payment_id))
_SETTLED_BY = exists(
    select(PaymentItem.item_id).where(
        PaymentItem.clinic_id == CLINIC,
        PaymentItem.payment_id == InvoiceItem.payment_id,
        PaymentItem.item_id == InvoiceItem.id,
        PaymentItem.amount_minor >= 0,
        PaymentItem.amount_minor + PaymentItem.payer_minor <= InvoiceItem.total_minor,
        or_(InvoiceItem.credited_minor > 0, PaymentItem.amount_minor + PaymentItem.payer_minor == InvoiceItem.total_minor),
    )
)
_SETTLED_BY_ACTION = exists(
    select(PaymentItem.item_id).where(
        PaymentItem.clinic_id == CLINIC, PaymentItem.payment_id == Effect.action_id, PaymentItem.item_id == Effect.item_id
    )
)

PAYMENTS = (
    Invariant(
        "invoice_paid_is_its_payments",
        "What is paid of an invoice is the sum of its payments that were not voided, less what was refunded.",
        select(Invoice.id, Invoice.number, Invoice.amount_paid_minor, _PAID.label("payments_minor"))
        .outerjoin(_APPLIED, _APPLIED.c.invoice_id == Invoice.id)
        .outerjoin(_REFUNDED, _REFUNDED.c.invoice_id == Invoice.id)
        .where(Invoice.clinic_id == CLINIC, Invoice.amount_paid_minor != _PAID),
    ),
    Invariant(
        "payment_identity",
        "What was handed over, less change and cash rounding, is what a payment counts; none of it is below zero.",
        select(Payment.id, Payment.receipt_number).where(
            Payment.clinic_id == CLINIC,
            or_(
                Payment.tendered_minor - Payment.change_minor - Payment.rounding_minor != Payment.applied_minor,
                Payment.applied_minor < 0,
                Payment.change_minor < 0,
                Payment.tendered_minor < 0,
            ),
        ),
    ),
    Invariant(
        "payment_tenders",
        "A payment's tenders are what was handed over.",
        select(Payment.id, Payment.receipt_number)
        .outerjoin(_TENDERED, _TENDERED.c.payment_id == Payment.id)
        .where(Payment.clinic_id == CLINIC, Payment.tendered_minor != func.coalesce(_TENDERED.c.amount_minor, 0)),
    ),
    Invariant(
        "payment_is_what_was_due",
        "A payment for departments is exactly what was due for them; one on account is above zero and at most what was due.",
        select(Payment.id, Payment.receipt_number, Payment.scope).where(
            Payment.clinic_id == CLINIC,
            case(
                (_ON_ACCOUNT, or_(Payment.applied_minor <= 0, Payment.applied_minor > Payment.due_minor)),
                else_=Payment.applied_minor != Payment.due_minor,
            ),
        ),
    ),
    Invariant(
        "payment_of_issued_invoice",
        "A payment belongs to an invoice that was issued, in the invoice's currency.",
        select(Payment.id, Payment.receipt_number)
        .join(Invoice, _INVOICE_OF_PAYMENT)
        .where(Payment.clinic_id == CLINIC, or_(Invoice.issued_at.is_(None), Payment.currency != Invoice.currency)),
    ),
    Invariant(
        "scope_settled_whole",
        "After a payment of a department, or of ALL, nothing of it is unpaid.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, Payment.id.label("payment_id"))
        .join(Payment, and_(Payment.clinic_id == InvoiceItem.clinic_id, Payment.invoice_id == InvoiceItem.invoice_id))
        .where(InvoiceItem.clinic_id == CLINIC, _UNPAID, ~_ON_ACCOUNT, _NAMES_DEPARTMENT, ~VOIDED),
    ),
    Invariant(
        "department_settled_whole",
        "Of a department on an invoice all items are paid, or none.",
        select(InvoiceItem.invoice_id, InvoiceItem.department)
        .where(InvoiceItem.clinic_id == CLINIC, or_(InvoiceItem.payment_id.is_not(None), _UNPAID))
        .group_by(InvoiceItem.invoice_id, InvoiceItem.department)
        .having(and_(func.count(InvoiceItem.payment_id) > 0, func.count(InvoiceItem.payment_id) < func.count())),
    ),
    Invariant(
        "money_covers_settled_items",
        "The items that are paid cost their client no more than was paid of the invoice, but for what a payer has rejected since.",
        select(Invoice.id, Invoice.number)
        .join(ITEM_SUMS, ITEM_SUMS.c.invoice_id == Invoice.id)
        .outerjoin(Claim, and_(Claim.clinic_id == Invoice.clinic_id, Claim.invoice_id == Invoice.id))
        .where(
            Invoice.clinic_id == CLINIC,
            ITEM_SUMS.c.settled_minor > Invoice.amount_paid_minor + func.coalesce(Claim.rejected_minor, 0),
        ),
    ),
    Invariant(
        "nothing_due_is_settled",
        "Once nothing is due of an invoice that was paid for, none of its items is unpaid.",
        select(Invoice.id, Invoice.number)
        .join(ITEM_SUMS, ITEM_SUMS.c.invoice_id == Invoice.id)
        .where(
            Invoice.clinic_id == CLINIC,
            Invoice.cancelled_at.is_(None),
            Invoice.written_off_minor == 0,
            Invoice.credited_minor == 0,
            DUE == 0,
            HAS_UNPAID_ITEM,
            HAS_PAYMENT,
        ),
    ),
    Invariant(
        "item_paid_once",
        "An item is paid by one payment at most.",
        select(PaymentItem.item_id, func.count().label("payments"))
        .where(PaymentItem.clinic_id == CLINIC, ~_VOIDED_ITEM)
        .group_by(PaymentItem.item_id)
        .having(func.count() > 1),
    ),
    Invariant(
        "item_paid_as_recorded",
        "An item is paid exactly if a payment lists it, with at most the item's total for client and payer together.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, InvoiceItem.payment_id).where(
            InvoiceItem.clinic_id == CLINIC,
            or_(
                and_(InvoiceItem.payment_id.is_not(None), ~_SETTLED_BY),
                InvoiceItem.payment_id.is_(None) != InvoiceItem.paid_at.is_(None),
            ),
        ),
    ),
    Invariant(
        "payment_item_of_its_invoice",
        "What a payment lists as paid are items of its own invoice that name it as their payment.",
        select(PaymentItem.payment_id, PaymentItem.item_id)
        .join(Payment, and_(Payment.clinic_id == PaymentItem.clinic_id, Payment.id == PaymentItem.payment_id))
        .join(InvoiceItem, and_(InvoiceItem.clinic_id == PaymentItem.clinic_id, InvoiceItem.id == PaymentItem.item_id))
        .where(
            PaymentItem.clinic_id == CLINIC,
            or_(
                InvoiceItem.invoice_id != Payment.invoice_id,
                and_(~VOIDED, or_(InvoiceItem.payment_id.is_(None), InvoiceItem.payment_id != PaymentItem.payment_id)),
                and_(VOIDED, InvoiceItem.payment_id == PaymentItem.payment_id),
            ),
        ),
    ),
    Invariant(
        "effect_of_its_payment",
        "What a department did because of a payment, it did for an item that the payment settled.",
        select(Effect.id, Effect.item_id, Effect.kind).where(Effect.clinic_id == CLINIC, Effect.action == "payment", ~_SETTLED_BY_ACTION),
    ),
)
"""The payments' invariants."""
