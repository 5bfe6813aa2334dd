"""The one way back of money: void, refund, return, cancellation after payment, write-off. All or nothing, like the payment.

The path of each: claim the key, lock the invoice and read behind the lock, decide what is credited and what goes back, see who has approved,
ask the departments, and leave everything to be written in one go with the credit note's number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.errors import Invalid, Refused
from billing.model import new_id
from billing.rules.reversing import Credit, MoreThanPaid, by_method, clients_part, credit_of, money_back
from billing.rules.statuses import Action
from billing.services.approvals import decide
from billing.services.inputs import check_line
from billing.services.keys import Key
from billing.services.payable import Answer, parse_given
from billing.services.reversal_books import Going
from billing.services.reversal_writes import Reversed, replayed, write_reversal
from billing.services.reversible import Reversible, Which, read_reversible
from billing.services.undoing import Taken, let_go, undo
from billing.transaction import Transaction
from billing.trips import Row

To = str | Sequence[tuple[str, int]] | None
"""How money goes back: a method, parts by method in minor units, or None for the one method that it came by."""


class NotInShift(Refused):
    """The payment was taken in no shift, or in one that is closed: it can be refunded, not voided. Facts: `payment`."""

    code = "not_in_shift"


class VoidLatestFirst(Refused):
    """A later payment of the invoice stands: void that first. Facts: `payment`, `latest`."""

    code = "void_latest_first"


class AlreadyVoided(Refused):
    """The payment was voided before. Facts: `payment`."""

    code = "already_voided"


class RefundedSince(Refused):
    """Something of the invoice was credited, refunded or written off since: refund the rest instead. Facts: `payment`."""

    code = "refunded_since"


class ItemNotPaid(Refused):
    """An item that was not paid is credited whole, since nothing of it was handed out. Facts: `item`."""

    code = "item_not_paid"


class UnknownItem(Invalid):
    """The invoice has no such item, or one is named twice. Facts: `item`."""

    code = "unknown_item"


class BadCondition(Invalid):
    """Goods come back good or destroyed. Facts: `condition`."""

    code = "bad_condition"


class NothingToWriteOff(Refused):
    """Nothing is due on the invoice. Facts: `invoice`."""

    code = "nothing_to_write_off"


@dataclass(frozen=True, slots=True)
class Returned:
    """An item that comes back: how much of it (None: all that has not come back yet), and whether the goods are `good` or `destroyed`."""

    item_id: str
    quantity_milli: int | None = None
    condition: str = "good"


def void_payment(tx: Transaction, *, payment_id: str, reason: str, key: str | None = None) -> Reversed:
    """Undo the latest payment of an invoice in its open shift, as if it had not been; its receipt keeps its number, marked.

    Raises `UnknownPayment`, `AlreadyVoided`, `NotInShift`, `VoidLatestFirst`, `RefundedSince`, `ApprovalMissing`, and what a department vetoes with.
    """
    why, asked = _begin(tx, "void", reason, key, {"payment": payment_id})
    seen = read_reversible(tx, Which("payments.void", payment_id=payment_id), asked)
    if isinstance(seen, Answer):
        return replayed(tx, seen.values)
    payment = _voidable(seen, payment_id)
    approved = decide(
        tx,
        seen.approvals,
        permission="payments.void",
        subject_id=payment.id,
        amount_minor=payment.applied_minor,
        taken_by=_others(tx, [payment]),
    )
    taken = [Taken(row, Credit(row.id, row.quantity_milli, 0, 0, 0, 0)) for row in seen.opened.items if row.payment_id == payment.id]
    going = Going(
        "void",
        why,
        taken,
        refunded_minor=payment.applied_minor,
        rounding_minor=payment.rounding_minor,
        handed=tuple(seen.kept(tx, payment).items()),
        payment=payment,
    )
    reversal_id = new_id()
    plan = undo(tx, seen, taken, reversal_id=reversal_id, kind="void", reason=why, payment_id=payment.id)
    return write_reversal(tx, seen, going, reversal_id=reversal_id, plans=[plan, None], approved=approved, asked=asked)


def refund_items(
    tx: Transaction,
    *,
    invoice_id: str,
    items: Sequence[Returned],
    reason: str,
    to: To = None,
    kind: str = "refund",
    given: Mapping[str, Mapping[str, Any]] | None = None,
    key: str | None = None,
) -> Reversed:
    """Take items back, whole or in part: a credit note, the money by its method or to the wallet, and the departments' work undone.

    `kind` is refund, or return where goods came back over the counter. An unpaid item is credited whole.
    Raises `UnknownItem`, `MoreThanSold`, `ItemNotPaid`, `ChooseMethod`, `NotThatMethod`, `ApprovalMissing`, and what a department vetoes with.
    """
    tx.require("payments.reverse")
    if kind not in ("refund", "return"):
        raise BadCondition(f"{kind[:40]!r} is neither a refund nor a return.", condition=kind)
    request = {"invoice": invoice_id, "items": [[each.item_id, each.quantity_milli, each.condition] for each in items], "to": _said(to)}
    why, asked = _begin(tx, kind, reason, key, request)
    parsed = parse_given(tx, given or {})
    seen = read_reversible(tx, Which("payments.refund", invoice_id=invoice_id, item_ids=tuple(each.item_id for each in items)), asked)
    if isinstance(seen, Answer):
        return replayed(tx, seen.values)
    seen.opened.check(Action.REFUND)
    taken = taken_items(seen, items)
    return _credit(tx, seen, taken, kind=kind, why=why, to=to, asked=asked, given=parsed)


def refund_on_account(
    tx: Transaction, *, invoice_id: str, amount_minor: int, reason: str, to: To = None, key: str | None = None
) -> Reversed:
    """Give back money that was taken on account and has settled nothing; no credit note, since nothing is credited.

    Raises `MoreThanPaid`, `ChooseMethod`, `NotThatMethod`, `ApprovalMissing`.
    """
    why, asked = _begin(tx, "on_account", reason, key, {"invoice": invoice_id, "amount_minor": amount_minor, "to": _said(to)})
    seen = read_reversible(tx, Which("payments.refund", invoice_id=invoice_id, item_ids=()), asked)
    if isinstance(seen, Answer):
        return replayed(tx, seen.values)
    seen.opened.check(Action.REFUND)
    if not 0 < amount_minor <= seen.on_account_minor:
        raise MoreThanPaid(
            "Only money that is on account can go back without an item.",
            amount_minor=amount_minor,
            most_minor=max(0, seen.on_account_minor),
        )
    return _hand_back(tx, seen, [], amount_minor, kind="refund", why=why, to=to, asked=asked, plans=(None, None))


def cancel_paid_invoice(tx: Transaction, *, invoice_id: str, reason: str, to: To = None, key: str | None = None) -> Reversed:
    """Cancel an invoice that was paid, in part or whole: all that is left of it is credited, all money goes back, all items are undone.

    Raises as `refund_items`.
    """
    why, asked = _begin(tx, "cancel", reason, key, {"invoice": invoice_id, "to": _said(to)})
    seen = read_reversible(tx, Which("payments.refund", invoice_id=invoice_id), asked)
    if isinstance(seen, Answer):
        return replayed(tx, seen.values)
    seen.opened.check(Action.REFUND)
    left = [row for row in seen.opened.items if row.credited_milli < row.quantity_milli]
    taken = [Taken(row, _credit_of(seen, row, None)) for row in left]
    return _credit(tx, seen, taken, kind="cancel", why=why, to=to, asked=asked, whole=True)


def write_off(tx: Transaction, *, invoice_id: str, reason: str, key: str | None = None) -> Reversed:
    """Give up what is still due on an invoice; no money moves. Raises `NothingToWriteOff`, `InvoiceNotIssued`, `ApprovalMissing`."""
    why, asked = _begin(tx, "write_off", reason, key, {"invoice": invoice_id})
    seen = read_reversible(tx, Which("invoices.write_off", invoice_id=invoice_id, item_ids=()), asked)
    if isinstance(seen, Answer):
        return replayed(tx, seen.values)
    seen.opened.check(Action.WRITE_OFF)
    due = seen.opened.amount_due_minor
    if due <= 0:
        raise NothingToWriteOff("Nothing is due on this invoice, so there is nothing to write off.", invoice=seen.opened.id)
    approved = decide(tx, seen.approvals, permission="invoices.write_off", subject_id=seen.opened.id, amount_minor=due)
    plan = let_go(tx, seen, seen.opened.unpaid)
    going = Going("write_off", why, [], written_off_minor=due)
    return write_reversal(tx, seen, going, reversal_id=new_id(), plans=[None, plan], approved=approved, asked=asked)


def _begin(tx: Transaction, kind: str, reason: str, key: str | None, request: Mapping[str, Any]) -> tuple[str, Key]:
    tx.require("payments.reverse")
    why = check_line(reason, "The reason", longest=500)
    return why, Key(key, f"reversal.{kind}", {**request, "reason": why})


def _voidable(seen: Reversible, payment_id: str) -> Row:
    live = {row.id: row for row in seen.payments}
    payment = live.get(payment_id.lower())
    if payment is None:
        raise AlreadyVoided("This payment was voided before.", payment=payment_id)
    latest = seen.payments[-1]
    if latest.id != payment.id:
        raise VoidLatestFirst(
            f"{latest.receipt_number} was paid later on this invoice: void that one first.", payment=payment.id, latest=latest.id
        )
    if any(row.kind != "void" and row.at >= payment.taken_at for row in seen.reversals):
        raise RefundedSince("Something of this invoice was given back or written off since: refund the rest instead.", payment=payment.id)
    if payment.shift_id is None or payment.shift_closed_at is not None:
        raise NotInShift("A payment is voided in its own open shift only; this one is counted, so refund it.", payment=payment.id)
    return payment


def taken_items(seen: Reversible, items: Sequence[Returned]) -> list[Taken]:
    """Return what of the invoice comes back. Raises `UnknownItem`, `BadCondition`, `MoreThanSold`, `ItemNotPaid`."""
    rows = {row.id: row for row in seen.opened.items}
    named = [each.item_id.lower() for each in items]
    if not items or len(set(named)) < len(named) or not set(named) <= set(rows):
        raise UnknownItem("Name items of this invoice, each once.", item=next((each for each in named if each not in rows), None))
    taken = []
    for each, row in zip(items, (rows[name] for name in named), strict=True):
        if each.condition not in ("good", "destroyed"):
            raise BadCondition(f"Goods come back good or destroyed, not {each.condition[:40]!r}.", condition=each.condition)
        credit = _credit_of(seen, row, each.quantity_milli)
        if row.payment_id is None and credit.quantity_milli != row.quantity_milli:
            raise ItemNotPaid(f"{row.code} is not paid, so it is credited whole or not at all.", item=row.id)
        taken.append(Taken(row, credit, each.condition))
    return taken


def _credit_of(seen: Reversible, row: Row, quantity_milli: int | None) -> Credit:
    return credit_of(row._asdict(), quantity_milli, prices_include_tax=seen.opened.row.prices_include_tax)


def _credit(
    tx: Transaction,
    seen: Reversible,
    taken: Sequence[Taken],
    *,
    kind: str,
    why: str,
    to: To,
    asked: Key,
    given: Mapping[str, Any] | None = None,
    whole: bool = False,
) -> Reversed:
    opened = seen.opened
    if whole:
        money = int(opened.row.amount_paid_minor)
    else:
        money = money_back(
            settled_minor=clients_part(each.credit for each in taken if each.settled),
            credited_minor=clients_part(each.credit for each in taken),
            due_minor=opened.amount_due_minor,
            arrears_minor=max(0, -seen.on_account_minor),
        )
    reversal_id = new_id()
    plan = undo(tx, seen, taken, reversal_id=reversal_id, kind=kind, reason=why, given=given)
    unpaid = let_go(tx, seen, [each.row for each in taken if not each.settled])
    return _hand_back(tx, seen, taken, money, kind=kind, why=why, to=to, asked=asked, plans=(plan, unpaid), reversal_id=reversal_id)


def _hand_back(
    tx: Transaction,
    seen: Reversible,
    taken: Sequence[Taken],
    money_minor: int,
    *,
    kind: str,
    why: str,
    to: To,
    asked: Key,
    plans: Sequence[Any],
    reversal_id: str | None = None,
) -> Reversed:
    credited = sum(each.credit.total_minor for each in taken)
    approved = decide(
        tx,
        seen.approvals,
        permission="payments.refund",
        subject_id=seen.opened.id,
        amount_minor=max(money_minor, credited),
        taken_by=_others(tx, seen.payments),
    )
    parts = by_method(money_minor, to, seen.came_by_method(tx))
    going = Going.handing_back(tx, kind, why, taken, money_minor, parts)
    return write_reversal(tx, seen, going, reversal_id=reversal_id or new_id(), plans=plans, approved=approved, asked=asked)


def _others(tx: Transaction, payments: Sequence[Row]) -> list[str]:
    """Return who took the money: with a second person asked for, nobody of them approves that it goes back."""
    return [row.taken_by for row in payments] if tx.clinic.policy.get("second_person", False) else []


def _said(to: To) -> Any:
    return to if to is None or isinstance(to, str) else [[method, amount] for method, amount in to]
