"""The dry run of a payment: the same path, without locks and without carrying anything out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing import registry
from billing.errors import Refused
from billing.model import new_id
from billing.money import round_cash
from billing.rules.settlement import Scope
from billing.rules.statuses import Action
from billing.rules.tenders import check_on_account
from billing.services.acting import ask
from billing.services.keys import Key
from billing.services.payable import (
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
from billing.transaction import Transaction


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
    parsed = parse_given(tx, given or {})
    payable = read_payable(tx, invoice_id or invoice_of(tx, consultation_id), Key(None, "", {}), locking=False)
    assert isinstance(payable, Payable), "without a key there is no earlier answer"
    opened = payable.opened
    opened.check(Action.PAY)
    due = due_for(tx, opened, scope)
    settled = settle(tx, opened, scope, due if applied_minor is None else _on_account(tx, applied_minor, due))
    facts = payment_facts(tx, opened, new_id(), scope, settled.applied_minor)
    vetoes: list[Veto] = []
    effects: list[PlannedEffect] = []
    for part in settled_parts(tx, payable, settled):
        own = facts_of_part(tx, part, facts, parsed)
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
        items=settled_items(opened, settled),
        amount_due_minor=opened.amount_due_minor,
        vetoes=tuple(vetoes),
        effects=tuple(effects),
    )


def _on_account(tx: Transaction, applied_minor: int, due_minor: int) -> int:
    check_on_account(applied_minor, due_minor=due_minor, currency=tx.clinic.currency)
    return applied_minor


def _in_cash(tx: Transaction, due_minor: int) -> int:
    return round_cash(due_minor, tx.clinic.currency)
