"""Computes an invoice's totals from its lines, allowances and charges, as EN 16931 does; knows nothing of tables, clinics or currencies.

All amounts are minor units of one currency. Lines are put into groups of one tax category and rate. Document allowances
and charges fall on a named group and are shared out to its lines, and so is its tax, always by largest remainder. So lines
sum to the document, and a department's or payer's part of it is a plain sum over lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from billing.errors import Invalid
from billing.money import (
    MAX_RATE_BP,
    BadAmount,
    BadQuantity,
    allocate,
    apportion,
    check_amount,
    check_quantity,
    check_unit_price,
    divide_half_up,
    format_rate,
)

WHOLE_BP = 10_000

TAX_CATEGORIES = frozenset({"S", "Z", "E", "AE", "O", "K", "G", "L", "M"})
UNTAXED_CATEGORIES = frozenset({"Z", "E", "AE", "O", "K", "G"})


class BadTaxGroup(Invalid):
    """The tax category is unknown, or its rate impossible. Facts: `category`, `rate_bp`."""

    code = "bad_tax_group"


class NegativeTotal(Invalid):
    """An invoice of ours would hold an amount below zero. Facts: `line` (from 1) or `tax`."""

    code = "negative_total"


class NegativeQuantity(NegativeTotal):
    """An invoice of ours would hold a quantity below zero. Facts: `line` (from 1)."""

    code = "negative_quantity"


class AdjustmentWithoutLines(Invalid):
    """A document allowance or charge names a tax group that has no line, so no item could carry it. Facts: `tax`."""

    code = "adjustment_without_lines"


class Rounding(StrEnum):
    """Where tax is rounded: once per tax group of the document (EN 16931), or on each line and then summed."""

    DOCUMENT = "document"
    LINE = "line"


@dataclass(frozen=True, slots=True, order=True)
class TaxGroup:
    """A tax category by its EN 16931 code (UNTDID 5305) with its rate in basis points; raises BadTaxGroup."""

    category: str
    rate_bp: int

    def __post_init__(self) -> None:
        if self.category not in TAX_CATEGORIES:
            sentence = f"{self.category[:40]!r} is no tax category: use one of {', '.join(sorted(TAX_CATEGORIES))}."
            raise BadTaxGroup(sentence, category=self.category, rate_bp=self.rate_bp)
        if not 0 <= self.rate_bp <= MAX_RATE_BP or (self.rate_bp and self.category in UNTAXED_CATEGORIES):
            allowed = "be 0" if self.category in UNTAXED_CATEGORIES else "lie between 0 and 100"
            sentence = f"The tax rate of category {self.category} must {allowed} percent, not {format_rate(self.rate_bp)}."
            raise BadTaxGroup(sentence, category=self.category, rate_bp=self.rate_bp)

    def __str__(self) -> str:
        return f"{self.category} {format_rate(self.rate_bp)} %"


@dataclass(frozen=True, slots=True)
class Line:
    """What is billed: quantity x unit price / price base quantity, less its own allowances, plus its own charges.

    A negative quantity or price is a credit. Raises BadQuantity, BadUnitPrice or BadAmount for what is out of bounds.
    """

    quantity_milli: int
    unit_price_e4: int
    tax: TaxGroup
    price_base_quantity_milli: int = 1000
    allowance_minor: int = 0
    charge_minor: int = 0

    def __post_init__(self) -> None:
        check_quantity(self.quantity_milli)
        check_unit_price(self.unit_price_e4)
        if check_quantity(self.price_base_quantity_milli) <= 0:
            raise BadQuantity("A price base quantity must be above zero.", quantity_milli=self.price_base_quantity_milli)
        _check_adjustment(self.allowance_minor)
        _check_adjustment(self.charge_minor)

    def net_minor(self) -> int:
        """Compute the line's amount before document adjustments (with tax, if prices include it)."""
        price = divide_half_up(self.quantity_milli * self.unit_price_e4, self.price_base_quantity_milli * 10_000)
        return price - self.allowance_minor + self.charge_minor


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An allowance (or a charge) on the whole document, falling on the named tax group; raises BadAmount below zero."""

    charge: bool
    amount_minor: int
    tax: TaxGroup

    def __post_init__(self) -> None:
        _check_adjustment(self.amount_minor)


@dataclass(frozen=True, slots=True)
class LineTotals:
    """A line's part of the document.

    `net_minor` is Line.net_minor(), `adjustment_minor` its share of document allowances (negative) and charges (positive).
    `taxable_minor` is their sum, less `tax_minor` where prices include tax; `total_minor` is taxable plus tax.
    """

    net_minor: int
    adjustment_minor: int
    taxable_minor: int
    tax_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """One row of the tax breakdown: the amount without tax and the tax on it."""

    tax: TaxGroup
    taxable_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class Totals:
    """A document's totals; `lines` in the order given, `taxes` in the order of category and rate.

    line total - allowances + charges is the net total; where prices include tax it is the gross total.
    gross = net total + tax total = the sum of the lines' totals, unless an adjustment names a group without lines.
    """

    lines: tuple[LineTotals, ...]
    taxes: tuple[TaxTotal, ...]
    line_total_minor: int
    allowance_total_minor: int
    charge_total_minor: int
    net_total_minor: int
    tax_total_minor: int
    gross_total_minor: int


def compute_totals(
    lines: Sequence[Line],
    adjustments: Sequence[Adjustment] = (),
    *,
    rounding: Rounding = Rounding.DOCUMENT,
    prices_include_tax: bool = False,
) -> Totals:
    """Compute all totals of a document; credits (negative lines, groups, totals) come out as they do.

    With `prices_include_tax`, nets and adjustments contain tax, and a group's tax is what remains after rounding its amount without tax.
    An adjustment on a group without lines, which foreign invoices have, gets its row of tax and counts in the document, but no line
    carries it; `check_invoice_totals` refuses it for invoices of ours. Raises AmountOutOfBounds.
    """
    nets = [check_amount(line.net_minor()) for line in lines]
    positions: dict[TaxGroup, list[int]] = {}
    for position, line in enumerate(lines):
        positions.setdefault(line.tax, []).append(position)
    adjusted: dict[TaxGroup, int] = {}
    for adjustment in adjustments:
        positions.setdefault(adjustment.tax, [])
        signed = adjustment.amount_minor if adjustment.charge else -adjustment.amount_minor
        adjusted[adjustment.tax] = adjusted.get(adjustment.tax, 0) + signed

    parts: dict[int, LineTotals] = {}
    taxes: list[TaxTotal] = []
    for group in sorted(positions):
        members = positions[group]
        group_nets = [nets[position] for position in members]
        adjustment_minor = adjusted.get(group, 0)
        shares = _share_adjustment(adjustment_minor, group_nets)
        amounts = [net + share for net, share in zip(group_nets, shares, strict=True)]
        amount = sum(group_nets) + adjustment_minor
        tax, line_taxes = _tax_of_group(amount, amounts, group.rate_bp, rounding, included=prices_include_tax)
        taxes.append(TaxTotal(group, amount - tax if prices_include_tax else amount, tax))
        for position, net, share, line_amount, line_tax in zip(members, group_nets, shares, amounts, line_taxes, strict=True):
            taxable = line_amount - line_tax if prices_include_tax else line_amount
            parts[position] = LineTotals(net, share, taxable, line_tax, taxable + line_tax)

    net_total, tax_total = sum(row.taxable_minor for row in taxes), sum(row.tax_minor for row in taxes)
    return Totals(
        lines=tuple(parts[position] for position in range(len(lines))),
        taxes=tuple(taxes),
        line_total_minor=check_amount(sum(nets)),
        allowance_total_minor=check_amount(sum(each.amount_minor for each in adjustments if not each.charge)),
        charge_total_minor=check_amount(sum(each.amount_minor for each in adjustments if each.charge)),
        net_total_minor=check_amount(net_total),
        tax_total_minor=check_amount(tax_total),
        gross_total_minor=check_amount(net_total + tax_total),
    )


def check_invoice_totals(totals: Totals, lines: Sequence[Line]) -> None:
    """Refuse totals that an invoice of ours may not have.

    Raises NegativeQuantity or NegativeTotal for a quantity or amount below zero, AdjustmentWithoutLines for an adjustment that no item
    could carry. Bounds need no check here: `compute_totals` keeps them.
    """
    for number, (line, part) in enumerate(zip(lines, totals.lines, strict=True), start=1):
        if line.quantity_milli < 0:
            raise NegativeQuantity(f"Line {number} has a negative quantity: correct an issued invoice with a credit note.", line=number)
        if part.net_minor < 0:
            raise NegativeTotal(f"Line {number} comes to less than zero: lower its discount or correct its price.", line=number)
    billed = {line.tax for line in lines}
    for row in totals.taxes:
        if row.tax not in billed:
            sentence = f"A discount or charge names the tax group {row.tax}, but no line has it: name the tax of a line."
            raise AdjustmentWithoutLines(sentence, tax=row.tax)
        if row.taxable_minor < 0:
            raise NegativeTotal(f"The discount on tax group {row.tax} is larger than what is billed there: lower it.", tax=row.tax)


def _check_adjustment(minor: int) -> None:
    if check_amount(minor) < 0:
        raise BadAmount("An allowance or charge can't be negative: give it as the other one.", amount_minor=minor)


def _share_adjustment(adjustment_minor: int, nets: list[int]) -> list[int]:
    """Share a group's document adjustment out to its lines in proportion to their nets.

    Credits among the lines count by their size: with signed weights a group that sums to nearly nothing would give shares without bound.
    Equal remainders favour the larger line, then the one of the adjustment's own sign, only then the first one: so neither the order of
    lines nor crediting all of them can change what is taxed at which amount.
    """
    if adjustment_minor == 0 or not nets:
        return [0] * len(nets)
    sign = 1 if adjustment_minor > 0 else -1
    by_net = sorted(range(len(nets)), key=lambda index: (-abs(nets[index]), -sign * nets[index]))
    shares = [0] * len(nets)
    for index, share in zip(by_net, allocate(adjustment_minor, [abs(nets[index]) for index in by_net]), strict=True):
        shares[index] = share
    return shares


def _tax_of_group(amount: int, amounts: list[int], rate_bp: int, rounding: Rounding, *, included: bool) -> tuple[int, list[int]]:
    """Compute a group's tax and its parts on the lines; without lines only the group's own amount is taxed."""
    if rounding == Rounding.LINE and amounts:
        line_taxes = [_tax(line_amount, rate_bp, included=included) for line_amount in amounts]
        return sum(line_taxes), line_taxes
    tax = _tax(amount, rate_bp, included=included)
    if not amounts:
        return tax, []
    whole = WHOLE_BP + rate_bp if included else WHOLE_BP
    return tax, apportion(tax, [line_amount * rate_bp for line_amount in amounts], whole)


def _tax(amount: int, rate_bp: int, *, included: bool) -> int:
    """Compute the tax on an amount, or the tax in it: then the amount without tax is rounded, and the tax is the rest."""
    if included:
        return amount - divide_half_up(amount * WHOLE_BP, WHOLE_BP + rate_bp)
    return divide_half_up(amount * rate_bp, WHOLE_BP)
