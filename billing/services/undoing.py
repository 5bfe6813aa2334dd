"""Departments undo: they are asked first, then say what comes back, from the effects that they left when the items were paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from billing import registry
from billing.changes import kernel
from billing.facts import RefundedItem, RefundFacts
from billing.rules.reversing import Credit
from billing.services.acting import ask, by_plugin, facts_for, heard, parts_of
from billing.services.open_invoice import billed_item, invoice_facts
from billing.services.reversible import Reversible
from billing.transaction import Transaction
from billing.trips import Row


@dataclass(frozen=True, slots=True)
class Taken:
    """What of one item a reversal takes back. A void credits nothing: its credit is all zeros but the quantity."""

    row: Row
    credit: Credit
    condition: str = "good"

    @property
    def settled(self) -> bool:
        """Whether the item was paid."""
        return self.row.payment_id is not None


def undo(
    tx: Transaction,
    seen: Reversible,
    taken: Sequence[Taken],
    *,
    reversal_id: str,
    kind: str,
    reason: str,
    payment_id: str = "",
    given: Mapping[str, Any] | None = None,
) -> kernel.Plan:
    """Ask the departments of the paid items for vetoes, then for what changes. Raises what they refuse with, or `PluginViolation`."""
    plugins = registry.of(tx)
    facts = RefundFacts(
        id=reversal_id,
        invoice_id=seen.opened.id,
        payment_id=payment_id,
        patient=seen.opened.patient,
        currency=tx.clinic.currency,
        reason=reason,
        business_date=tx.business_date,
        at=tx.at,
        actor_id=tx.actor.id,
        kind=kind,
    )
    items = [_refunded(tx, seen, each) for each in taken if each.settled]
    parts = parts_of(tx, items, seen.needs, seen.found)
    own = {part.plugin.name: replace(facts_for(tx, part.plugin, facts), given=(given or {}).get(part.plugin.name)) for part in parts}
    for part in parts:
        plugins.before_items_refunded(part.plugin, own[part.plugin.name], part.items, part.known)
    return ask(
        parts,
        "on_items_refunded",
        lambda part: plugins.on_items_refunded(part.plugin, own[part.plugin.name], part.items, part.known),
        effects_required=True,
    )


def let_go(tx: Transaction, seen: Reversible, rows: Sequence[Row]) -> kernel.Plan:
    """Tell the departments of unpaid items that these will not be paid any more; return what they change."""
    hook = "on_invoice_written_off"
    plugins, opened = registry.of(tx), seen.opened
    facts = invoice_facts(tx, invoice_id=opened.id, patient=opened.patient, consultation_id=opened.row.consultation_id)
    parts = parts_of(tx, heard(tx, [billed_item(row) for row in rows], hook), seen.unpaid_needs, seen.unpaid_found)
    return ask(
        parts, hook, lambda part: plugins.act_on_invoice(part.plugin, hook, facts_for(tx, part.plugin, facts), part.items, part.known)
    )


def _refunded(tx: Transaction, seen: Reversible, taken: Taken) -> RefundedItem:
    item = billed_item(taken.row)
    (name,) = by_plugin(tx, [item])
    effects = seen.effects.get((item.id, name), ())
    return RefundedItem(item, taken.credit.quantity_milli, effects, taken.condition)
