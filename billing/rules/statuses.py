"""The states of an invoice: which one it is in, and what may be done in it. It must not know tables, actors or the clock.

An invoice's life: `draft -> sent -> partial -> paid`, or `cancelled`. `overdue` is seen, never stored, so it can't be stale.
Amounts are minor units of the invoice's currency.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from billing.errors import BillingError, Conflict, Refused

OVERDUE = "overdue"


class InvoiceStatus(StrEnum):
    """What is stored. Draft: may change. Sent: issued, no payment. Partial: some payment. Paid: nothing is left. Cancelled: over."""

    DRAFT = "draft"
    SENT = "sent"
    PARTIAL = "partial"
    PAID = "paid"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What may be done to an invoice; `ALLOWED` says in which state."""

    EDIT = "edit"
    ISSUE = "issue"
    PAY = "pay"
    CANCEL = "cancel"
    VOID = "void"
    REFUND = "refund"
    WRITE_OFF = "write_off"


ALLOWED: Mapping[InvoiceStatus, frozenset[Action]] = MappingProxyType(
    {
        InvoiceStatus.DRAFT: frozenset({Action.EDIT, Action.ISSUE, Action.PAY, Action.CANCEL}),
        InvoiceStatus.SENT: frozenset({Action.PAY, Action.CANCEL, Action.WRITE_OFF}),
        InvoiceStatus.PARTIAL: frozenset({Action.PAY, Action.VOID, Action.REFUND, Action.WRITE_OFF}),
        InvoiceStatus.PAID: frozenset({Action.VOID, Action.REFUND}),
        InvoiceStatus.CANCELLED: frozenset(),
    }
)


class InvoiceAlreadyPaid(Conflict):
    """Nothing is left to collect; often another cashier was first. Facts: `number`."""

    code = "already_paid"


class InvoiceCancelled(Refused):
    """Nothing can be done with a cancelled invoice. Facts: `number`."""

    code = "invoice_cancelled"


class InvoiceNotDraft(Refused):
    """An issued invoice never changes. Facts: `number`."""

    code = "invoice_not_draft"


class InvoiceNotIssued(Refused):
    """A draft owes nothing yet. Facts: `number`."""

    code = "invoice_not_issued"


class InvoiceHasPayments(Refused):
    """An invoice that took a payment, even one of 0.00, can't be cancelled. Facts: `number`."""

    code = "invoice_has_payments"


class InvoiceNotPaid(Refused):
    """There is no payment to void or to refund. Facts: `number`."""

    code = "invoice_not_paid"


def amount_due(total: int, paid: int, written_off: int, credited: int, payer: int = 0) -> int:
    """Compute what the client still owes of an invoice: its total, less the payer's part, and what was paid, written off and credited."""
    return total - payer - paid - written_off - credited


def stored_status(
    *,
    issued: bool,
    cancelled: bool,
    total_minor: int,
    credited_minor: int,
    amount_paid_minor: int,
    written_off_minor: int,
    has_unpaid_items: bool,
    has_live_payment: bool,
    payer_minor: int = 0,
) -> InvoiceStatus:
    """Derive the status from these facts, the first that holds: draft, cancelled, paid, partial, sent.

    A draft that was cancelled is cancelled: only a live draft can be edited and issued.
    A live payment is one that was not voided; one of 0.00 counts too.
    """
    due = amount_due(total_minor, amount_paid_minor, written_off_minor, credited_minor, payer_minor)
    if not issued:
        return InvoiceStatus.CANCELLED if cancelled else InvoiceStatus.DRAFT
    if cancelled or (total_minor > 0 and credited_minor == total_minor):
        return InvoiceStatus.CANCELLED
    if due == 0 and (written_off_minor > 0 or not has_unpaid_items):
        return InvoiceStatus.PAID
    return InvoiceStatus.PARTIAL if has_live_payment else InvoiceStatus.SENT


def shown_status(status: InvoiceStatus, *, due_date: date | None, amount_due_minor: int, today: date) -> str:
    """Name the status as people see it: `overdue` where something is due since before `today`, the clinic's business date.

    On the due date itself an invoice is not overdue yet. Overdue wins over partial.
    """
    collectable = status in (InvoiceStatus.SENT, InvoiceStatus.PARTIAL) and amount_due_minor > 0
    if collectable and due_date is not None and due_date < today:
        return OVERDUE
    return status.value


def check_action(status: InvoiceStatus, action: Action, *, amount_paid_minor: int, number: str | None) -> None:
    """Pass where the state table allows `action`; else raise the refusal, which says what to do instead.

    `number` is None for a draft of a clinic that numbers at issue.
    """
    paid_in = action is Action.CANCEL and amount_paid_minor > 0
    if action in ALLOWED[status] and not paid_in:
        return
    error, advice = _refusal(status, action)
    raise error(f"Invoice {number} {advice}" if number else f"This invoice {advice}", number=number)


def _refusal(status: InvoiceStatus, action: Action) -> tuple[type[BillingError], str]:
    if status is InvoiceStatus.CANCELLED:
        return InvoiceCancelled, "is cancelled: create a new invoice for what should be billed."
    if action is Action.WRITE_OFF and status is InvoiceStatus.DRAFT:
        return InvoiceNotIssued, "is a draft: nothing is due yet, so cancel it instead of writing it off."
    return _REFUSALS[action]


_REFUSALS: Mapping[Action, tuple[type[BillingError], str]] = MappingProxyType(
    {
        Action.EDIT: (InvoiceNotDraft, "has been issued and can't change: credit what is wrong, or cancel it while nothing is paid."),
        Action.ISSUE: (InvoiceNotDraft, "has already been issued: print it again, or create a new invoice."),
        Action.PAY: (InvoiceAlreadyPaid, "is already paid: nothing is due, so look at its receipts."),
        Action.CANCEL: (InvoiceHasPayments, "has been paid or settled: refund its items, which credits them, instead of cancelling it."),
        Action.VOID: (InvoiceNotPaid, "has no payment to void: cancel it if it should not be paid."),
        Action.REFUND: (InvoiceNotPaid, "has no payment to refund: cancel it if it should not be paid."),
        Action.WRITE_OFF: (InvoiceAlreadyPaid, "is already paid: nothing is left to write off."),
    }
)
