"""The steps of an invoice's life that money has no part in: issue and cancel. Paying a draft issues it on the way, by the same code."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from billing import registry
from billing.changes.kernel import Plan
from billing.errors import Invalid, Refused
from billing.model import Invoice, SourceClaim
from billing.model.writes import ChangedRow, ChangeRows, DeleteRows, Number, NumberText, NumberValue
from billing.rules.content import invoice_content_hash
from billing.rules.statuses import Action, stored_status
from billing.services.acting import ask, facts_for, heard, parts_of, write_plan
from billing.services.booking import book_cancellation, book_issue, withdraw_claim
from billing.services.inputs import check_line
from billing.services.numbering import next_number
from billing.services.open_invoice import OpenInvoice, Step, invoice_facts, open_invoice
from billing.services.parties import parties
from billing.transaction import Transaction

INVOICE: Any = Invoice.__table__
CLAIM: Any = SourceClaim.__table__


class BadDueDate(Invalid):
    """The due date lies before the issue date. Facts: `due_date`, `issue_date`."""

    code = "bad_due_date"


class NumberedAlready(Refused):
    """The draft has its number, so no other series can be named. Facts: `number`."""

    code = "numbered_already"


ISSUE_HOOKS = ("before_invoice_issued", "on_invoice_issued")
CANCEL_HOOKS = ("before_invoice_cancelled", "on_invoice_cancelled")
"""Who may refuse a step, and who acts on it."""


@dataclass(frozen=True, slots=True)
class InvoiceStep:
    """An invoice after a step."""

    id: str
    status: str
    due_date: date | None
    numbered: Number | str | None

    @property
    def number(self) -> str | None:
        """The printed number, if the invoice has one."""
        return self.numbered.text if isinstance(self.numbered, Number) else self.numbered


@dataclass(frozen=True, slots=True)
class Issue:
    """What issuing changes of the invoice's row, and the number it takes, if the clinic numbers at issue."""

    columns: dict[str, Any]
    number: Number | None


def issue_invoice(tx: Transaction, *, invoice_id: str, due_date: date | None = None, series: str | None = None) -> InvoiceStep:
    """Issue a draft: from here on its items and amounts never change. Due after the clinic's days for payment unless a date is given.

    `series` is for a draft that has no number yet. Raises `InvoiceNotDraft`, `BadDueDate`, `NumberedAlready`, and what a department vetoes with.
    """
    tx.require("invoices.issue")
    step = open_invoice(tx, invoice_id, action=Action.ISSUE, hooks=ISSUE_HOOKS)
    opened = step.opened
    issue = prepare_issue(tx, opened, due_date=due_date, series=series)
    made = ask_step(tx, step, *ISSUE_HOOKS)
    status = stored_status(
        issued=True,
        cancelled=False,
        total_minor=opened.row.total_minor,
        credited_minor=0,
        amount_paid_minor=0,
        written_off_minor=0,
        has_unpaid_items=True,
        has_live_payment=False,
    )
    changed = issue.columns | {"status": status.value}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": invoice_id}, {"version": opened.row.version, "status": "draft"}, changed)]))
    write_plan(tx, made, action="on_invoice_issued", action_id=invoice_id)
    record_issue(tx, opened, issue)
    return InvoiceStep(invoice_id, status.value, issue.columns["due_date"], issue.number or opened.row.number)


def cancel_invoice(tx: Transaction, *, invoice_id: str, reason: str) -> InvoiceStep:
    """Cancel a draft or an issued invoice of which nothing is paid. Its number stays used; its sources can be billed again.

    Raises `InvoiceHasPayments`, `InvoiceCancelled`, `ClaimPaid`, and what a department vetoes with.
    """
    tx.require("invoices.cancel")
    why = check_line(reason, "The reason", longest=500)
    step = open_invoice(tx, invoice_id, action=Action.CANCEL, hooks=CANCEL_HOOKS)
    opened = step.opened
    made = ask_step(tx, step, *CANCEL_HOOKS)
    withdraw_claim(tx, opened)
    changed = {"status": "cancelled", "cancelled_at": tx.at, "cancel_reason": why, "version": opened.row.version + 1}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": invoice_id}, {"version": opened.row.version}, changed)]))
    sources = [each for each in (opened.row.source, *(row.source for row in opened.items)) if each]
    if sources:
        tx.write(DeleteRows(CLAIM, [{"source": each} for each in sources]))
    write_plan(tx, made, action="on_invoice_cancelled", action_id=invoice_id)
    book_cancellation(tx, opened)
    tx.audit("invoice.cancelled", "invoice", invoice_id, reason=why)
    tx.emit("invoice.cancelled", invoice_id)
    return InvoiceStep(invoice_id, "cancelled", opened.row.due_date, opened.row.number)


def prepare_issue(tx: Transaction, opened: OpenInvoice, *, due_date: date | None = None, series: str | None = None) -> Issue:
    """Return what issuing sets on the invoice's row, its status aside. Raises `BadDueDate`, `NumberedAlready`."""
    if series is not None and opened.row.number_value is not None:
        raise NumberedAlready(f"This draft is {opened.row.number} already: a number is never changed.", number=opened.row.number)
    today = tx.business_date
    due = due_date or today + timedelta(days=tx.clinic.payment_days)
    if due < today:
        raise BadDueDate(f"The due date {due} lies before today ({today}): choose a later one.", due_date=due, issue_date=today)
    columns: dict[str, Any] = {
        "issued_at": tx.at,
        "issue_date": today,
        "due_date": due,
        "version": opened.row.version + 1,
        "printed": parties(tx, opened.row),
    }
    said = opened.row._asdict() | columns
    columns["content_hash"] = invoice_content_hash(said, [row._asdict() for row in opened.items])
    number = None
    if opened.row.number_value is None:
        number = next_number(tx, kind="invoice", series=series)
        columns |= {
            "series": number.series,
            "number_period": number.period,
            "number_value": NumberValue(number),
            "number": NumberText(number),
        }
    return Issue(columns, number)


def record_issue(tx: Transaction, opened: OpenInvoice, issue: Issue) -> None:
    """Leave books, audit entry and event of the issue with the unit."""
    book_issue(tx, opened)
    tx.audit("invoice.issued", "invoice", opened.id, number=issue.number, total_minor=opened.row.total_minor)
    tx.emit("invoice.issued", opened.id, total_minor=opened.row.total_minor, due_date=issue.columns["due_date"].isoformat())


def ask_step(tx: Transaction, step: Step, check: str, act: str) -> Plan:
    """Ask the departments that hear of a step for vetoes and changes."""
    plugins, opened = registry.of(tx), step.opened
    facts = invoice_facts(tx, invoice_id=opened.id, patient=opened.patient, consultation_id=opened.row.consultation_id)
    parts = parts_of(tx, heard(tx, opened.billed_items(), check, act), step.needs, step.found)
    for part in parts:
        plugins.check_invoice(part.plugin, check, facts_for(tx, part.plugin, facts), part.items, part.known)
    return ask(
        parts,
        act,
        lambda part: plugins.act_on_invoice(part.plugin, act, facts_for(tx, part.plugin, facts), part.items, part.known),
    )
