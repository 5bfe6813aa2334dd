"""The payment: one transaction that several departments take part in, and none of them can break.

The path of one payment, top to bottom: claim the key, lock the invoice and read behind the lock, decide what is due and what it settles,
ask the departments, and leave everything to be written in one go with the receipt number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.changes import kernel
from billing.failpoints import failpoint
from billing.model import CLINIC, Invoice, InvoiceItem, Payment, PaymentItem, new_id
from billing.model.payment import Tender as TenderRow
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows, Number, NumberText, NumberValue
from billing.rules.settlement import Scope, ScopeKind, Settlement
from billing.rules.statuses import Action, InvoiceStatus, stored_status
from billing.rules.tenders import BadPaymentAmount, Tender, Tendered, check_tenders
from billing.services import invoice_steps
from billing.services.acting import ask, write_plan
from billing.services.booking import book_payment
from billing.services.inputs import check_line
from billing.services.invoice_steps import Issue
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.open_invoice import OpenInvoice, Step, clients_part
from billing.services.payable import (
    Answer,
    Payable,
    SettledItem,
    due_for,
    facts_of_part,
    invoice_of,
    parse_given,
    payment_facts,
    read_payable,
    settle,
    settled_items,
    settled_parts,
)
from billing.services.tills import till
from billing.services.wallet_rows import move_wallet
from billing.transaction import Transaction
from billing.trips import Query

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
PAYMENT: Any = Payment.__table__
PAYMENT_ITEM: Any = PaymentItem.__table__
TENDER: Any = TenderRow.__table__


@dataclass(frozen=True, slots=True)
class PaymentTaken:
    """A payment that was taken. Amounts are minor units of `currency`; those of the invoice are as of this payment."""

    id: str
    invoice_id: str
    scope: str
    currency: str
    due_minor: int
    tendered_minor: int
    change_minor: int
    rounding_minor: int
    applied_minor: int
    items: tuple[SettledItem, ...]
    amount_paid_minor: int
    amount_due_minor: int
    on_account_minor: int
    status: str
    taken_at: str
    business_date: str
    replayed: bool = False
    numbered: Number | str = ""

    @property
    def receipt_number(self) -> str:
        """The receipt's printed number; known once the unit has committed."""
        return self.numbered.text if isinstance(self.numbered, Number) else self.numbered


_RECEIPT = Query(select(Payment.receipt_number).where(Payment.clinic_id == CLINIC, Payment.id == bindparam("payment_id", type_=IdType())))


def take_payment(
    tx: Transaction,
    *,
    scope: Scope,
    tenders: Sequence[Tender],
    invoice_id: str | None = None,
    consultation_id: str | None = None,
    applied_minor: int | None = None,
    given: Mapping[str, Mapping[str, Any]] | None = None,
    series: str | None = None,
    group_id: str | None = None,
    key: str | None = None,
) -> PaymentTaken:
    """Take a payment for departments, for ALL, or on account (`applied_minor`: how much; default the sum of the tenders).

    `series` is another than the clinic's standard one for receipts, `group_id` the first payment of one over several invoices.
    All or nothing, departments included. Under a `key` the same request gives the same answer, however often it is sent.
    The payment joins the open shift of who takes it; cash needs one, unless the clinic's policy says otherwise.
    Lock order, kept by everything that takes money: idempotency key, invoice, items, departments' rows by table and id, then, last,
    number series and audit head.
    Raises `InvoiceAlreadyPaid`, `Underpaid`, `Overpaid`, `NothingToPay` and others of rules/, `NoShift`, what a department refuses with,
    `PluginViolation`.
    """
    tx.require("payments.take")
    wanted = invoice_id or invoice_of(tx, consultation_id)
    parsed = parse_given(tx, given or {})
    request = {
        "invoice": wanted,
        "scope": str(scope),
        "tenders": [_columns(each) for each in tenders],
        "applied_minor": applied_minor,
        "series": series,
        "given": {name: dict(values) for name, values in (given or {}).items()},
    }
    asked = Key(key, "payment.take", request)
    failpoint("payment.asked")
    payable = read_payable(tx, wanted, asked)
    failpoint("payment.locked")
    if isinstance(payable, Answer):
        return _replayed(tx, payable.values)
    opened = payable.opened
    opened.check(Action.PAY)
    tendered, settled = _decide(tx, opened, scope, tenders, applied_minor)
    failpoint("payment.decided")
    payment_id = new_id()
    facts = payment_facts(tx, opened, payment_id, scope, tendered.applied_minor)
    parts = settled_parts(tx, payable, settled)
    own = {part.plugin.name: facts_of_part(tx, part, facts, parsed) for part in parts}
    for part in parts:
        registry.of(tx).before_items_paid(part.plugin, own[part.plugin.name], part.items, part.known)
    issue, issued = _issue_on_the_way(tx, payable.issue)
    plan = ask(
        parts,
        "on_items_paid",
        lambda part: registry.of(tx).on_items_paid(part.plugin, own[part.plugin.name], part.items, part.known),
        effects_required=True,
    )
    failpoint("payment.planned")
    number = next_number(tx, kind="receipt", series=series)
    taken = _taken(tx, opened, payment_id, scope, tendered, settled, number)
    _write(tx, payable, taken, tenders, settled, number, issue, Place(till(tx, cash=_is_cash(tx, tenders)), group_id))
    if issue is not None and issued is not None:
        write_plan(tx, issued, action="on_invoice_issued", action_id=opened.id)
        invoice_steps.record_issue(tx, opened, issue)
    write_plan(tx, plan, action="payment", action_id=payment_id)
    _record(tx, taken, number)
    asked.keep(tx, _answer(taken))
    failpoint("payment.collected")
    return taken


def _decide(
    tx: Transaction, opened: OpenInvoice, scope: Scope, given: Sequence[Tender], applied_minor: int | None
) -> tuple[Tendered, Settlement]:
    on_account = scope.kind is ScopeKind.ON_ACCOUNT
    if applied_minor is not None and not on_account:
        raise BadPaymentAmount("Only a payment on account names an amount: a department is paid whole.", applied_minor=applied_minor)
    for tender in given:
        check_line(tender.reference or "", "The reference", empty=True)
    tendered = check_tenders(
        given,
        due_minor=due_for(tx, opened, scope),
        methods=registry.of(tx).methods(tx.clinic),
        currency=tx.clinic.currency,
        on_account=on_account,
        applied_minor=applied_minor,
    )
    return tendered, settle(tx, opened, scope, tendered.applied_minor)


def _issue_on_the_way(tx: Transaction, step: Step) -> tuple[Issue | None, kernel.Plan | None]:
    if step.opened.status is not InvoiceStatus.DRAFT:
        return None, None
    tx.require("invoices.issue")
    return invoice_steps.prepare_issue(tx, step.opened), invoice_steps.ask_step(tx, step, *invoice_steps.ISSUE_HOOKS)


def _taken(
    tx: Transaction, opened: OpenInvoice, payment_id: str, scope: Scope, tendered: Tendered, settled: Settlement, number: Number
) -> PaymentTaken:
    unpaid = {row.id for row in opened.unpaid} - set(settled.item_ids)
    status = stored_status(
        issued=True,
        cancelled=False,
        total_minor=opened.row.total_minor,
        credited_minor=opened.row.credited_minor,
        amount_paid_minor=settled.amount_paid_minor,
        written_off_minor=opened.row.written_off_minor,
        has_unpaid_items=bool(unpaid),
        has_live_payment=True,
        payer_minor=opened.row.payer_minor,
    )
    return PaymentTaken(
        id=payment_id,
        invoice_id=opened.id,
        scope=str(scope),
        currency=opened.row.currency,
        due_minor=settled.due_minor,
        tendered_minor=tendered.tendered_minor,
        change_minor=tendered.change_minor,
        rounding_minor=tendered.rounding_minor,
        applied_minor=tendered.applied_minor,
        items=settled_items(opened, settled),
        amount_paid_minor=settled.amount_paid_minor,
        amount_due_minor=settled.amount_due_minor,
        on_account_minor=settled.on_account_minor,
        status=status.value,
        taken_at=tx.at.isoformat(),
        business_date=tx.business_date.isoformat(),
        numbered=number,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payment belongs: the shift it joined, and the first payment of one over several invoices."""

    shift_id: str | None
    group_id: str | None


def _is_cash(tx: Transaction, given: Sequence[Tender]) -> bool:
    methods = registry.of(tx).methods(tx.clinic)
    return any(methods[tender.method].rounds_cash for tender in given)


def _write(
    tx: Transaction,
    payable: Payable,
    taken: PaymentTaken,
    given: Sequence[Tender],
    settled: Settlement,
    number: Number,
    issue: Issue | None,
    place: Place,
) -> None:
    opened = payable.opened
    payment = {
        "id": taken.id,
        "invoice_id": taken.invoice_id,
        "scope": taken.scope,
        "currency": taken.currency,
        "due_minor": taken.due_minor,
        "tendered_minor": taken.tendered_minor,
        "change_minor": taken.change_minor,
        "rounding_minor": taken.rounding_minor,
        "applied_minor": taken.applied_minor,
        "series": number.series,
        "receipt_period": number.period,
        "receipt_value": NumberValue(number),
        "receipt_number": NumberText(number),
        "taken_at": tx.at,
        "business_date": tx.business_date,
        "taken_by": tx.actor.id,
        "cashier": tx.actor.name,
        "shift_id": place.shift_id,
        "group_id": place.group_id,
        "amount_due_minor": taken.amount_due_minor,
        "on_account_minor": taken.on_account_minor,
    }
    tx.write(InsertRows(PAYMENT, [payment]))
    if given:
        tendered = [
            {"id": new_id(), "payment_id": taken.id, "position": position, **_columns(tender)}
            for position, tender in enumerate(given, start=1)
        ]
        tx.write(InsertRows(TENDER, tendered))
    rows = [_settled_row(taken.id, row) for row in opened.items if row.id in settled.item_ids]
    if taken.items:
        paid = {"payment_id": taken.id, "paid_at": tx.at}
        tx.write(
            ChangeRows(ITEM, [ChangedRow({"id": item.id}, {"payment_id": None}, paid) for item in taken.items]),
            InsertRows(PAYMENT_ITEM, rows),
        )
    _take_from_wallet(tx, opened, taken, given)
    book_payment(tx, opened, payment=payment, tenders=given, settled=rows)
    columns = (issue.columns if issue else {}) | {"amount_paid_minor": settled.amount_paid_minor, "status": taken.status}
    expected = {"amount_paid_minor": opened.row.amount_paid_minor, "status": opened.row.status}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": opened.id}, expected, columns)]))


def _take_from_wallet(tx: Transaction, opened: OpenInvoice, taken: PaymentTaken, given: Sequence[Tender]) -> None:
    methods = registry.of(tx).methods(tx.clinic)
    amount = sum(tender.amount_minor for tender in given if methods[tender.method].moves_wallet)
    if amount:
        move_wallet(tx, client_id=opened.row.client_id, kind="payment", amount_minor=-amount, action_id=taken.id)


def _settled_row(payment_id: str, row: Any) -> dict[str, Any]:
    return {"payment_id": payment_id, "item_id": row.id, "amount_minor": clients_part(row), "payer_minor": row.payer_minor}


def _record(tx: Transaction, taken: PaymentTaken, number: Number) -> None:
    amounts = {"applied_minor": taken.applied_minor, "scope": taken.scope}
    # What was due, and what was left, stand nowhere else but in the payment's row: the chain keeps that row honest.
    left = {"due_minor": taken.due_minor, "amount_due_minor": taken.amount_due_minor, "on_account_minor": taken.on_account_minor}
    tx.audit("payment.taken", "payment", taken.id, number=number, invoice_id=taken.invoice_id, items=len(taken.items), **left, **amounts)
    tx.emit("payment.taken", taken.id, invoice_id=taken.invoice_id, status=taken.status, **amounts)


def _answer(taken: PaymentTaken) -> dict[str, Any]:
    answer = {each.name: getattr(taken, each.name) for each in fields(taken) if each.name not in {"items", "numbered", "replayed"}}
    return answer | {"items": [_columns(item) for item in taken.items]}


def _columns(value: Tender | SettledItem) -> dict[str, Any]:
    # dataclasses.asdict copies all that it finds, however deep: a tenth of a payment's time for values as flat as these.
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _replayed(tx: Transaction, answer: Mapping[str, Any]) -> PaymentTaken:
    row = tx.row(_RECEIPT, payment_id=answer["id"])
    assert row is not None, "a stored answer names a payment that stands"
    items = tuple(SettledItem(**item) for item in answer["items"])
    return PaymentTaken(**{**answer, "items": items}, replayed=True, numbered=row.receipt_number)
