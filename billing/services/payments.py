"""The payment: one transaction that several departments take part in, and none of them can break.

The path of one payment, top to bottom: claim the key, lock the invoice and read behind the lock, decide what is due and what it settles,
ask the departments, and leave everything to be written in one go with the receipt number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.changes import kernel
from billing.changes.needs import Need
from billing.errors import Invalid, Refused
from billing.facts import BilledItem, PaymentFacts
from billing.model import CLINIC, Invoice, InvoiceItem, Payment, PaymentItem, new_id
from billing.model.payment import Tender as TenderRow
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows, Number, NumberText, NumberValue
from billing.money import round_cash
from billing.rules import settlement
from billing.rules.settlement import OpenItem, Scope, ScopeKind, Settlement
from billing.rules.statuses import Action, InvoiceStatus, stored_status
from billing.rules.tenders import BadPaymentAmount, Tender, Tendered, check_on_account, check_tenders
from billing.services import invoice_steps
from billing.services.acting import Call, Part, ask, by_plugin, facts_for, known_of, need_calls, write_plan
from billing.services.invoice_steps import Issue
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.open_invoice import ITEMS, LOCK_INVOICE, SEE_INVOICE, OpenInvoice, from_rows
from billing.transaction import Transaction
from billing.trips import Query

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
PAYMENT: Any = Payment.__table__
PAYMENT_ITEM: Any = PaymentItem.__table__
TENDER: Any = TenderRow.__table__


class ChooseInvoice(Refused):
    """The consultation has no open invoice, or several: name one. Facts: `invoices`."""

    code = "choose_invoice"


class BadGiven(Invalid):
    """Something was given to a plugin that is not at work here. Facts: `plugin`."""

    code = "bad_given"


@dataclass(frozen=True, slots=True)
class SettledItem:
    """An item that a payment settled."""

    id: str
    department: str
    code: str
    description: str
    total_minor: int


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


@dataclass(frozen=True, slots=True)
class Veto:
    """What a department would refuse a payment with."""

    plugin: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """What a department would do for an item."""

    plugin: str
    item_id: str
    kind: str
    row: str
    quantity_milli: int


@dataclass(frozen=True, slots=True)
class PaymentPreview:
    """A dry run: what is due for the scope (and in cash, after rounding), what would be settled, who refuses, and who would do what."""

    invoice_id: str
    scope: str
    currency: str
    due_minor: int
    due_in_cash_minor: int
    items: tuple[SettledItem, ...]
    amount_due_minor: int
    vetoes: tuple[Veto, ...]
    effects: tuple[PlannedEffect, ...]


_OPEN_OF_CONSULTATION = Query(
    select(Invoice.id, Invoice.number)
    .where(
        Invoice.clinic_id == CLINIC,
        Invoice.consultation_id == bindparam("consultation_id", type_=IdType()),
        Invoice.status.in_(["draft", "sent", "partial"]),
    )
    .order_by(Invoice.created_at, Invoice.id)
)
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
    key: str | None = None,
) -> PaymentTaken:
    """Take a payment for departments, for ALL, or on account (`applied_minor`: how much; default the sum of the tenders).

    All or nothing, departments included. Under a `key` the same request gives the same answer, however often it is sent.
    Lock order, kept by everything that takes money: idempotency key, invoice, items, departments' rows by table and id, then, last,
    number series and audit head.
    Raises `InvoiceAlreadyPaid`, `Underpaid`, `Overpaid`, `NothingToPay` and others of rules/, what a department refuses with, `PluginViolation`.
    """
    tx.require("payments.take")
    wanted = invoice_id or _invoice_of(tx, consultation_id)
    parsed = _parse_given(tx, given or {})
    request = {
        "invoice": wanted,
        "scope": str(scope),
        "tenders": [asdict(each) for each in tenders],
        "applied_minor": applied_minor,
        "given": {name: dict(values) for name, values in (given or {}).items()},
    }
    asked = Key(key, "payment.take", request)
    opened, needs, found, before = _open(tx, wanted, asked)
    if before is not None:
        return _replayed(tx, before)
    opened.check(Action.PAY)
    tendered, settled = _decide(tx, opened, scope, tenders, applied_minor)
    payment_id = new_id()
    facts = _facts(tx, opened, payment_id, scope, tendered.applied_minor)
    parts = _parts(tx, opened, settled, needs, found)
    issue, issued = _issue_on_the_way(tx, opened)
    for part in parts:
        registry.of(tx).before_items_paid(part.plugin, _facts_for(tx, part, facts, parsed), part.items, part.known)
    plan = ask(
        parts,
        "on_items_paid",
        lambda part: registry.of(tx).on_items_paid(part.plugin, _facts_for(tx, part, facts, parsed), part.items, part.known),
        effects_required=True,
    )
    number = next_number(tx, kind="receipt")
    taken = _taken(tx, opened, payment_id, scope, tendered, settled, number)
    _write(tx, opened, taken, tenders, settled, number, issue)
    if issue is not None and issued is not None:
        write_plan(tx, issued, action="on_invoice_issued", action_id=opened.id)
        invoice_steps.record_issue(tx, opened, issue)
    write_plan(tx, plan, action="payment", action_id=payment_id)
    _record(tx, taken, number)
    asked.keep(tx, _answer(taken))
    return taken


def preview_payment(
    tx: Transaction,
    *,
    scope: Scope,
    invoice_id: str | None = None,
    consultation_id: str | None = None,
    applied_minor: int | None = None,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> PaymentPreview:
    """Say what a payment of what is due would do: the same path without locks and without carrying anything out. For a unit that reads."""
    tx.require("payments.take")
    parsed = _parse_given(tx, given or {})
    opened, needs, found, _ = _open(tx, invoice_id or _invoice_of(tx, consultation_id), Key(None, "", {}), locking=False)
    opened.check(Action.PAY)
    due = _due(tx, opened, scope)
    settled = _settle(tx, opened, scope, due if applied_minor is None else _on_account(tx, applied_minor, due))
    facts = _facts(tx, opened, new_id(), scope, settled.applied_minor)
    vetoes: list[Veto] = []
    effects: list[PlannedEffect] = []
    for part in _parts(tx, opened, settled, needs, found):
        own = _facts_for(tx, part, facts, parsed)
        try:
            registry.of(tx).before_items_paid(part.plugin, own, part.items, part.known)
            changes = registry.of(tx).on_items_paid(part.plugin, own, part.items, part.known)
            plan = ask([part], "on_items_paid", lambda _, planned=changes: planned, effects_required=True)  # type: ignore[misc]
        except Refused as refusal:
            vetoes.append(Veto(part.plugin.name, refusal.code, refusal.sentence))
        else:
            effects += [PlannedEffect(name, e.item_id, e.kind, e.row, e.quantity_milli) for name, e in plan.effects]
    return PaymentPreview(
        invoice_id=opened.id,
        scope=str(scope),
        currency=opened.row.currency,
        due_minor=due,
        due_in_cash_minor=_in_cash(tx, due),
        items=_settled_items(opened, settled),
        amount_due_minor=opened.amount_due_minor,
        vetoes=tuple(vetoes),
        effects=tuple(effects),
    )


def _invoice_of(tx: Transaction, consultation_id: str | None) -> str:
    if consultation_id is None:
        raise ChooseInvoice("Name the invoice, or the consultation, that is paid.", invoices=[])
    rows = tx.rows(_OPEN_OF_CONSULTATION, consultation_id=consultation_id)
    if len(rows) != 1:
        shown = ", ".join(str(row.number or row.id) for row in rows) or "none"
        raise ChooseInvoice(f"This consultation's open invoices: {shown}. Name the one that is paid.", invoices=[row.id for row in rows])
    return str(rows[0].id)


def _parse_given(tx: Transaction, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    plugins = registry.of(tx)
    at_work = {plugin.name: plugin for plugin in plugins.enabled(tx.clinic)}
    if unknown := [name for name in given if name not in at_work]:
        raise BadGiven(f"No plugin {unknown[0]!r} is at work in this clinic: it can't be given anything.", plugin=unknown[0])
    return {name: plugins.given(plugin, given) for name, plugin in at_work.items()}


Needs = list[tuple[Need, Call]]


def _open(tx: Transaction, invoice_id: str, asked: Key, *, locking: bool = True) -> tuple[OpenInvoice, Needs, list[list[Any]], Any]:
    """Send the first trip: key, lock, items, and the needs of every plugin at work. Return the invoice, the needs with rows, and an earlier answer."""
    claims = asked.claim(tx)
    here = {"invoice_id": invoice_id}
    needs = need_calls(tx, registry.of(tx).enabled(tx.clinic), "paying", locking=locking, **here)
    rows = tx.trip(*claims, (LOCK_INVOICE if locking else SEE_INVOICE, here), (ITEMS, here), *(call for _, call in needs))
    before = asked.answer_before(tx, rows[0]) if claims else None
    found, items, *of_needs = rows[len(claims) :]
    return from_rows(found, items, invoice_id), needs, of_needs, before


def _open_items(opened: OpenInvoice) -> list[OpenItem]:
    return [OpenItem(row.id, row.department, row.total_minor, row.payment_id is not None) for row in opened.items]


def _due(tx: Transaction, opened: OpenInvoice, scope: Scope) -> int:
    items = _open_items(opened)
    settlement.check_scope(scope, items, department_order=[each.code for each in tx.clinic.departments])
    return settlement.due_for_scope(items, scope, amount_due_minor=opened.amount_due_minor)


def _on_account(tx: Transaction, applied_minor: int, due_minor: int) -> int:
    check_on_account(applied_minor, due_minor=due_minor, currency=tx.clinic.currency)
    return applied_minor


def _in_cash(tx: Transaction, due_minor: int) -> int:
    return round_cash(due_minor, tx.clinic.currency)


def _settle(tx: Transaction, opened: OpenInvoice, scope: Scope, applied_minor: int) -> Settlement:
    return settlement.settle(
        _open_items(opened),
        scope=scope,
        applied_minor=applied_minor,
        total_minor=opened.row.total_minor,
        amount_paid_minor=opened.row.amount_paid_minor,
        department_order=[each.code for each in tx.clinic.departments],
        written_off_minor=opened.row.written_off_minor,
        credited_minor=opened.row.credited_minor,
    )


def _decide(
    tx: Transaction, opened: OpenInvoice, scope: Scope, given: Sequence[Tender], applied_minor: int | None
) -> tuple[Tendered, Settlement]:
    on_account = scope.kind is ScopeKind.ON_ACCOUNT
    if applied_minor is not None and not on_account:
        raise BadPaymentAmount("Only a payment on account names an amount: a department is paid whole.", applied_minor=applied_minor)
    tendered = check_tenders(
        given,
        due_minor=_due(tx, opened, scope),
        methods=registry.of(tx).methods(tx.clinic),
        currency=tx.clinic.currency,
        on_account=on_account,
        applied_minor=applied_minor,
    )
    return tendered, _settle(tx, opened, scope, tendered.applied_minor)


def _facts(tx: Transaction, opened: OpenInvoice, payment_id: str, scope: Scope, applied_minor: int) -> PaymentFacts:
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


def _facts_for(tx: Transaction, part: Part, facts: PaymentFacts, given: Mapping[str, Any]) -> PaymentFacts:
    return replace(facts_for(tx, part.plugin, facts), given=given.get(part.plugin.name))


def _parts(tx: Transaction, opened: OpenInvoice, settled: Settlement, needs: Needs, found: Sequence[Sequence[Any]]) -> list[Part]:
    chosen = set(settled.item_ids)
    items: list[BilledItem] = [item for item in opened.billed_items() if item.id in chosen]
    return [Part(plugin, own, known_of(plugin, needs, found)) for plugin, own in by_plugin(tx, items).values()]


def _issue_on_the_way(tx: Transaction, opened: OpenInvoice) -> tuple[Issue | None, kernel.Plan | None]:
    if opened.status is not InvoiceStatus.DRAFT:
        return None, None
    tx.require("invoices.issue")
    return invoice_steps.prepare_issue(tx, opened), invoice_steps.ask_issue(tx, opened)


def _taken(
    tx: Transaction, opened: OpenInvoice, payment_id: str, scope: Scope, tendered: Tendered, settled: Settlement, number: Number
) -> PaymentTaken:
    unpaid = {row.id for row in opened.items if row.payment_id is None} - set(settled.item_ids)
    status = stored_status(
        issued=True,
        cancelled=False,
        total_minor=opened.row.total_minor,
        credited_minor=opened.row.credited_minor,
        amount_paid_minor=settled.amount_paid_minor,
        written_off_minor=opened.row.written_off_minor,
        has_unpaid_items=bool(unpaid),
        has_live_payment=True,
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
        items=_settled_items(opened, settled),
        amount_paid_minor=settled.amount_paid_minor,
        amount_due_minor=settled.amount_due_minor,
        on_account_minor=settled.on_account_minor,
        status=status.value,
        taken_at=tx.at.isoformat(),
        business_date=tx.business_date.isoformat(),
        numbered=number,
    )


def _settled_items(opened: OpenInvoice, settled: Settlement) -> tuple[SettledItem, ...]:
    chosen = set(settled.item_ids)
    return tuple(
        SettledItem(row.id, row.department, row.code, row.description, row.total_minor) for row in opened.items if row.id in chosen
    )


def _write(
    tx: Transaction,
    opened: OpenInvoice,
    taken: PaymentTaken,
    given: Sequence[Tender],
    settled: Settlement,
    number: Number,
    issue: Issue | None,
) -> None:
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
    }
    tx.write(InsertRows(PAYMENT, [payment]))
    if given:
        rows = [
            {"id": new_id(), "payment_id": taken.id, "position": place, **asdict(tender)} for place, tender in enumerate(given, start=1)
        ]
        tx.write(InsertRows(TENDER, rows))
    if taken.items:
        paid = {"payment_id": taken.id, "paid_at": tx.at}
        tx.write(
            ChangeRows(ITEM, [ChangedRow({"id": item.id}, {"payment_id": None}, paid) for item in taken.items]),
            InsertRows(PAYMENT_ITEM, [{"payment_id": taken.id, "item_id": i.id, "amount_minor": i.total_minor} for i in taken.items]),
        )
    columns = (issue.columns if issue else {}) | {"amount_paid_minor": settled.amount_paid_minor, "status": taken.status}
    expected = {"amount_paid_minor": opened.row.amount_paid_minor, "status": opened.row.status}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": opened.id}, expected, columns)]))


def _record(tx: Transaction, taken: PaymentTaken, number: Number) -> None:
    amounts = {"applied_minor": taken.applied_minor, "scope": taken.scope}
    tx.audit("payment.taken", "payment", taken.id, number=number, invoice_id=taken.invoice_id, items=len(taken.items), **amounts)
    tx.emit("payment.taken", taken.id, invoice_id=taken.invoice_id, status=taken.status, **amounts)


def _answer(taken: PaymentTaken) -> dict[str, Any]:
    answer = asdict(replace(taken, numbered=""))
    del answer["numbered"], answer["replayed"]
    return answer


def _replayed(tx: Transaction, answer: Mapping[str, Any]) -> PaymentTaken:
    row = tx.row(_RECEIPT, payment_id=answer["id"])
    assert row is not None, "a stored answer names a payment that stands"
    items = tuple(SettledItem(**item) for item in answer["items"])
    return PaymentTaken(**{**answer, "items": items}, replayed=True, numbered=row.receipt_number)
