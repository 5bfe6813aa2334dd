"""What a payment has to know before it is taken: the invoice behind its lock, what is due, what it settles, and for whom. Writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.errors import Invalid, Refused
from billing.facts import BilledItem, PaymentFacts
from billing.model import CLINIC, Invoice
from billing.model.types import IdType
from billing.rules import settlement
from billing.rules.settlement import OpenItem, Scope, Settlement
from billing.services.acting import Needs, Part, facts_for, listening, need_calls, parts_of
from billing.services.invoice_steps import ISSUE_HOOKS
from billing.services.keys import Key
from billing.services.open_invoice import ITEMS, LOCK_INVOICE, SEE_INVOICE, OpenInvoice, Step, calls_of, clients_part, from_rows
from billing.transaction import Transaction
from billing.trips import Query


class ChooseInvoice(Refused):
    """The consultation has no open invoice, or several: name one. Facts: `invoices`."""

    code = "choose_invoice"


class BadGiven(Invalid):
    """Something was given to a plugin that is not at work here. Facts: `plugin`."""

    code = "bad_given"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered under the same key before."""

    values: Any


@dataclass(frozen=True, slots=True)
class SettledItem:
    """An item that a payment settled."""

    id: str
    department: str
    code: str
    description: str
    total_minor: int


_OPEN_OF_CONSULTATION = Query(
    select(Invoice.id, Invoice.number)
    .where(
        Invoice.clinic_id == CLINIC,
        Invoice.consultation_id == bindparam("consultation_id", type_=IdType()),
        Invoice.status.in_(["draft", "sent", "partial"]),
    )
    .order_by(Invoice.created_at, Invoice.id)
)


def invoice_of(tx: Transaction, consultation_id: str | None) -> str:
    """Return the id of the one open invoice of a consultation. Raises `ChooseInvoice`."""
    if consultation_id is None:
        raise ChooseInvoice("Name the invoice, or the consultation, that is paid.", invoices=[])
    rows = tx.rows(_OPEN_OF_CONSULTATION, consultation_id=consultation_id)
    if len(rows) != 1:
        shown = ", ".join(str(row.number or row.id) for row in rows) or "none"
        raise ChooseInvoice(f"This consultation's open invoices: {shown}. Name the one that is paid.", invoices=[row.id for row in rows])
    return str(rows[0].id)


def parse_given(tx: Transaction, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the cashier gave to each plugin at work, as its own model. Raises `BadGiven`, `BadPluginSettings`."""
    plugins = registry.of(tx)
    at_work = {plugin.name: plugin for plugin in plugins.enabled(tx.clinic)}
    if unknown := [name for name in given if name not in at_work]:
        raise BadGiven(f"No plugin {unknown[0]!r} is at work in this clinic: it can't be given anything.", plugin=unknown[0])
    return {name: plugins.given(plugin, given) for name, plugin in at_work.items()}


@dataclass(frozen=True, slots=True)
class Payable:
    """An invoice that is about to be paid: behind its lock, with what departments want to know of the payment, and of the issue of a draft."""

    opened: OpenInvoice
    needs: Needs
    found: Sequence[Sequence[Any]]
    issue: Step


def read_payable(tx: Transaction, invoice_id: str, asked: Key, *, locking: bool = True) -> Payable | Answer:
    """Send the first trip: key, lock, items, and the needs of every plugin at work. Return the invoice, or the answer that the key had before.

    What departments want to know of an issue is asked here too, for a draft is issued on the way; of other invoices it finds nothing.
    """
    claims = asked.claim(tx)
    here = {"invoice_id": invoice_id}
    needs = need_calls(tx, registry.of(tx).enabled(tx.clinic), "paying", locking=locking, invoice_id=invoice_id)
    of_issue = need_calls(tx, listening(tx, *ISSUE_HOOKS), "billing", locking=locking, items="draft", invoice_id=invoice_id)
    calls = [*claims, (LOCK_INVOICE if locking else SEE_INVOICE, here), (ITEMS, here), *calls_of(needs), *calls_of(of_issue)]
    rows = tx.trip(*calls)
    if claims and (before := asked.answer_before(tx, rows[0])) is not None:
        return Answer(before)
    found, items, *of_needs = rows[len(claims) :]
    opened = from_rows(found, items, invoice_id)
    return Payable(opened, needs, of_needs[: len(needs)], Step(opened, of_issue, of_needs[len(needs) :]))


def _open_items(opened: OpenInvoice) -> list[OpenItem]:
    return [OpenItem(row.id, row.department, clients_part(row), paid=False) for row in opened.unpaid]


def due_for(tx: Transaction, opened: OpenInvoice, scope: Scope) -> int:
    """Return what is due for the scope. Raises `UnknownDepartment`, `InvoiceAlreadyPaid`, `NothingToPay`."""
    items = _open_items(opened)
    settlement.check_scope(scope, items, department_order=[each.code for each in tx.clinic.departments])
    return settlement.due_for_scope(items, scope, amount_due_minor=opened.amount_due_minor)


def settle(tx: Transaction, opened: OpenInvoice, scope: Scope, applied_minor: int) -> Settlement:
    """Return which items an amount settles, in the clinic's order of departments."""
    return settlement.settle(
        _open_items(opened),
        scope=scope,
        applied_minor=applied_minor,
        total_minor=opened.row.total_minor - opened.row.payer_minor,
        amount_paid_minor=opened.row.amount_paid_minor,
        department_order=[each.code for each in tx.clinic.departments],
        written_off_minor=opened.row.written_off_minor,
        credited_minor=opened.row.credited_minor,
    )


def payment_facts(tx: Transaction, opened: OpenInvoice, payment_id: str, scope: Scope, applied_minor: int) -> PaymentFacts:
    """Return the payment as hooks see it, before their own settings and what was given to them."""
    return PaymentFacts(
        id=payment_id,
        invoice_id=opened.id,
        patient=opened.patient,
        currency=tx.clinic.currency,
        scope=str(scope),
        applied_minor=applied_minor,
        business_date=tx.business_date,
        at=tx.at,
        actor_id=tx.actor.id,
        consultation_id=opened.row.consultation_id,
    )


def facts_of_part(tx: Transaction, part: Part, facts: PaymentFacts, given: Mapping[str, Any]) -> PaymentFacts:
    """Return the payment as one plugin sees it."""
    return replace(facts_for(tx, part.plugin, facts), given=given.get(part.plugin.name))


def settled_parts(tx: Transaction, payable: Payable, settled: Settlement) -> list[Part]:
    """Return the plugins with the items that are settled, and what their needs found."""
    chosen = set(settled.item_ids)
    items: list[BilledItem] = [item for item in payable.opened.billed_items() if item.id in chosen]
    return parts_of(tx, items, payable.needs, payable.found)


def settled_items(opened: OpenInvoice, settled: Settlement) -> tuple[SettledItem, ...]:
    """Return the items that are settled, in the invoice's order."""
    chosen = set(settled.item_ids)
    return tuple(
        SettledItem(row.id, row.department, row.code, row.description, row.total_minor) for row in opened.items if row.id in chosen
    )
