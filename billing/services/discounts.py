"""Discounts that a person gives on a draft, or a code: on one item or on the whole, as a percentage or an amount."""

from collections.abc import Sequence
from dataclasses import replace

from billing.rules.discounting import BadDiscount, discount_by_group, discount_of
from billing.rules.totals import TaxGroup
from billing.services.discount_limits import Giver
from billing.services.inputs import check_line
from billing.services.invoices import Draft, InvoiceMade, open_draft, rewrite_draft
from billing.services.quotation import NewAdjustment
from billing.transaction import Transaction


def discount_draft(
    tx: Transaction,
    *,
    invoice_id: str,
    reason: str,
    percent_bp: int | None = None,
    amount_minor: int | None = None,
    position: int | None = None,
    version: int | None = None,
) -> InvoiceMade:
    """Give a discount on a draft, or on its item at `position`: a percentage (basis points) or an amount, beside what it has already.

    Beyond the limit of the actor's role it takes the approval of somebody else (`billing approve discount`).
    Raises `BadDiscount`, `DiscountAboveLimit`, `InvoiceNotDraft`, `InvoiceChanged`.
    """
    tx.require("invoices.create")
    text = check_line(reason, "The reason of the discount")
    draft = open_draft(tx, invoice_id, version)
    items, adjustments = list(draft.items), list(draft.adjustments)
    if position is None:
        adjustments += _on_document(draft, percent_bp, amount_minor, text)
    else:
        if not 1 <= position <= len(items):
            raise BadDiscount(f"The draft has no item {position}.", percent_bp=percent_bp, amount_minor=amount_minor, position=position)
        given = discount_of(draft.opened.items[position - 1].net_minor, percent_bp=percent_bp, amount_minor=amount_minor)
        if given:
            item = items[position - 1]
            items[position - 1] = replace(item, allowances=(*item.allowances, (given, text)))
    return rewrite_draft(tx, draft, items=items, adjustments=adjustments)


def give_by_code(
    tx: Transaction, draft: Draft, *, code_id: str, reason: str, percent_bp: int | None, amount_minor: int | None
) -> InvoiceMade:
    """Give what a code is good for on a whole draft; an amount at most as far as there is something to pay. A part of redeeming a code."""
    most = sum(row.net_minor for row in draft.opened.items)
    amount = None if amount_minor is None else min(amount_minor, most)
    added = _on_document(draft, percent_bp, amount, reason) if most else []
    giver = Giver(tx.actor.id, code_id=code_id, fresh=True)
    standing = draft.standing.with_code([(each.tax, each.amount_minor) for each in added if each.tax is not None], reason, giver)
    return rewrite_draft(tx, replace(draft, standing=standing), adjustments=[*draft.adjustments, *added])


def _on_document(draft: Draft, percent_bp: int | None, amount_minor: int | None, reason: str) -> Sequence[NewAdjustment]:
    nets: dict[TaxGroup, int] = {}
    for row in draft.opened.items:
        tax = TaxGroup(row.tax_category, row.tax_rate_bp)
        nets[tax] = nets.get(tax, 0) + row.net_minor
    parts = discount_by_group(nets, percent_bp=percent_bp, amount_minor=amount_minor)
    return [NewAdjustment(charge=False, amount_minor=amount, reason=reason, tax=tax) for tax, amount in parts.items()]
