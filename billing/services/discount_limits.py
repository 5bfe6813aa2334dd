"""Who gave which discount, and whether they may: every way to an invoice's discounts goes through here, so no path is without a limit.

What a person gives is held against the limit of their role; what a code gives is not, as long as its share of the invoice does not grow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from billing.errors import Forbidden
from billing.money import format_amount
from billing.rules.discounting import beyond_limit
from billing.rules.totals import TaxGroup
from billing.services.approvals import APPROVALS, Approved, find_live
from billing.services.open_invoice import OpenInvoice
from billing.services.quotation import Quotation, Reduction
from billing.transaction import Transaction
from billing.trips import Row

PERMISSION = "discounts.approve"


class DiscountAboveLimit(Forbidden):
    """The discount is more than this role may give by itself. Facts: `given_minor`, `limit_bp`, `invoice`."""

    code = "discount_above_limit"


@dataclass(frozen=True, slots=True)
class Giver:
    """By whom a reduction was given, who approved it, and the code that it came from."""

    given_by: str | None
    approved_by: str | None = None
    code_id: str | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """The discounts that a draft has: of persons and of codes, on lines of `base_minor`, and by whom each was given. Minor units."""

    invoice_id: str | None = None
    base_minor: int = 0
    persons_minor: int = 0
    codes_minor: int = 0
    givers: dict[tuple[Any, ...], list[Giver]] = field(default_factory=dict)

    def with_code(self, reductions: Iterable[tuple[TaxGroup, int]], reason: str, giver: Giver) -> "Standing":
        """Return it with what a code gives on the document from now on."""
        givers = {key: list(each) for key, each in self.givers.items()}
        for tax, amount in reductions:
            givers.setdefault(_key(None, amount, reason, tax), []).insert(0, giver)
        return replace(self, givers=givers)


def standing_of(opened: OpenInvoice, kept: Sequence[Row]) -> Standing:
    """Return the discounts that stand on a draft, from the rows of its adjustments."""
    positions = {row.id: row.position for row in opened.items}
    givers: dict[tuple[Any, ...], list[Giver]] = {}
    persons = codes = 0
    for row in kept:
        if row.plugin is not None:
            continue
        tax = TaxGroup(row.tax_category, row.tax_rate_bp)
        place = None if row.item_id is None else positions[row.item_id]
        givers.setdefault(_key(place, row.amount_minor, row.reason, tax, charge=row.charge), []).append(
            Giver(row.given_by, row.approved_by, row.code_id)
        )
        if not row.charge and row.code_id is None:
            persons += row.amount_minor
        elif not row.charge:
            codes += row.amount_minor
    base = sum(row.net_minor + row.allowance_minor - row.charge_minor for row in opened.items)
    return Standing(opened.id, base, persons, codes, givers)


def settle_discounts(tx: Transaction, quotation: Quotation, standing: Standing | None = None) -> tuple[Quotation, Approved]:
    """Return the quotation with who gave each of its reductions, and the approval that is used for it. Raises `DiscountAboveLimit`.

    `standing` is what the draft has already; without it the invoice is new. What was there keeps who gave it.
    """
    before = standing or Standing()
    pool = {key: list(givers) for key, givers in before.givers.items()}
    found: list[tuple[Reduction, Giver | None]] = []
    for each in quotation.reductions:
        waiting = pool.get(_key(each.position, each.amount_minor, each.reason, each.tax, charge=each.charge), [])
        giver = None if each.plugin is not None else waiting.pop(0) if waiting else Giver(tx.actor.id, fresh=True)
        found.append((each, giver))
    approved = _check(tx, quotation, before, found)
    stamped = tuple(
        each
        if giver is None
        else replace(
            each,
            given_by=giver.given_by,
            approved_by=approved.by if giver.fresh and giver.code_id is None and not each.charge else giver.approved_by,
            code_id=giver.code_id,
        )
        for each, giver in found
    )
    return replace(quotation, reductions=stamped), approved


def _check(tx: Transaction, quotation: Quotation, before: Standing, found: Sequence[tuple[Reduction, Giver | None]]) -> Approved:
    limit = tx.clinic.policy.get("discount_limits", {}).get(tx.actor.role)
    if limit is None:
        return Approved()
    allowances = [(each.amount_minor, giver) for each, giver in found if giver is not None and not each.charge]
    persons = [amount for amount, giver in allowances if giver.code_id is None]
    codes = [amount for amount, giver in allowances if giver.code_id is not None and not giver.fresh]
    base, persons_before = _base(quotation), before.persons_minor
    if sum(codes) * before.base_minor > before.codes_minor * base:  # less is billed, and the code's discount would stay
        persons, persons_before = [*persons, *codes], persons_before + before.codes_minor
    if sum(persons) * before.base_minor > persons_before * base:  # a larger share, of the same amount
        persons_before = 0
    if not beyond_limit(persons, before_minor=persons_before, base_minor=base, limit_bp=limit):
        return Approved()
    given = sum(persons)
    if PERMISSION in tx.actor.permissions and not tx.clinic.policy.get("second_person", False):
        return Approved()
    if before.invoice_id is not None:
        rows = tx.rows(APPROVALS, permission=PERMISSION, subject_id=before.invoice_id)
        if live := find_live(tx, rows, permission=PERMISSION, amount_minor=given):
            return live
    raise DiscountAboveLimit(
        f"Discounts of {format_amount(given, tx.clinic.currency)} {tx.clinic.currency.code} are more than a {tx.actor.role} may give: save the "
        "draft without them, let somebody else run `billing approve discount` for it, then give the discount.",
        given_minor=given,
        limit_bp=limit,
        invoice=before.invoice_id,
    )


def _base(quotation: Quotation) -> int:
    on_items = sum(-each.amount_minor if each.charge else each.amount_minor for each in quotation.reductions if each.position is not None)
    return quotation.totals.line_total_minor + on_items


def _key(position: int | None, amount_minor: int, reason: str, tax: TaxGroup, *, charge: bool = False) -> tuple[Any, ...]:
    return position, charge, amount_minor, reason, tax
