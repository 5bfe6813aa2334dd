"""What holds for the totals of all invoices, compared with naive arithmetic in exact fractions."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from random import Random
from typing import TypedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rules.totals import (
    Adjustment,
    Line,
    NegativeTotal,
    Rounding,
    TaxGroup,
    Totals,
    check_invoice_totals,
    compute_totals,
)

Document = tuple[list[Line], list[Adjustment]]


class Mode(TypedDict):
    """A clinic's choices."""

    rounding: Rounding
    prices_include_tax: bool


exact = settings(deadline=None)  # The machine may be busy: how long an example takes says nothing about money.

groups = st.sampled_from([TaxGroup("S", 1900), TaxGroup("S", 333), TaxGroup("L", 10_000), TaxGroup("E", 0)])
quantities = st.integers(-20, 20).map(lambda units: units * 1000) | st.integers(-(10**6), 10**6)
prices = (
    st.integers(0, 20).map(lambda minor: minor * 10_000) | st.integers(0, 5000).map(lambda minor: minor * 10_000) | st.integers(0, 10**10)
)
small_amounts = st.just(0) | st.integers(0, 2000)
lines = st.builds(
    Line,
    quantity_milli=quantities,
    unit_price_e4=prices,
    tax=groups,
    price_base_quantity_milli=st.sampled_from([1000, 12_000, 3000, 1]),
    allowance_minor=small_amounts,
    charge_minor=small_amounts,
)
plain_lines = st.builds(Line, quantity_milli=quantities, unit_price_e4=prices, tax=groups)
sales = st.builds(Line, quantity_milli=st.integers(0, 10**5), unit_price_e4=prices, tax=groups, charge_minor=small_amounts)
modes = st.builds(Mode, rounding=st.sampled_from(Rounding), prices_include_tax=st.booleans())


def half_away(share: Fraction) -> int:
    size = floor(abs(share) + Fraction(1, 2))
    return -size if share < 0 else size


@st.composite
def documents(draw: st.DrawFn, of: st.SearchStrategy[Line] = lines) -> Document:
    """Draw lines, and adjustments that name groups of these lines."""
    billed = draw(st.lists(of, max_size=12))
    if not billed:
        return [], []
    named = st.sampled_from([line.tax for line in billed])
    return billed, draw(st.lists(st.builds(Adjustment, charge=st.booleans(), amount_minor=small_amounts, tax=named), max_size=4))


def naive_shares(total: int, quotas: Sequence[Fraction], nets: Sequence[int]) -> list[int]:
    """Hand out whole units one at a time to whoever is furthest from his quota; equal ones: the larger net."""
    parts = [int(quota) for quota in quotas]
    while sum(parts) != total:
        step = 1 if sum(parts) < total else -1
        neediest = max(range(len(parts)), key=lambda index: (step * (quotas[index] - parts[index]), nets[index]))
        parts[neediest] += step
    return parts


def naive_net(line: Line) -> int:
    price = Fraction(line.unit_price_e4, 10_000) * Fraction(line.quantity_milli, line.price_base_quantity_milli)
    return half_away(price) - line.allowance_minor + line.charge_minor


def naive_tax(amount: int, tax: TaxGroup, *, included: bool) -> int:
    rate = Fraction(tax.rate_bp, 10_000)
    return amount - half_away(amount / (1 + rate)) if included else half_away(amount * rate)


def naive_breakdown(
    billed: Sequence[Line], adjusting: Sequence[Adjustment], *, rounding: Rounding, prices_include_tax: bool
) -> dict[TaxGroup, tuple[int, int]]:
    """Compute taxable amount and tax by group."""
    breakdown = {}
    for tax in {line.tax for line in billed}:
        nets = [naive_net(line) for line in billed if line.tax == tax]
        adjustment = sum(each.amount_minor if each.charge else -each.amount_minor for each in adjusting if each.tax == tax)
        size = sum(map(abs, nets))
        quotas = [Fraction(adjustment * abs(net), size) if size else Fraction(adjustment, len(nets)) for net in nets]
        shares = naive_shares(adjustment, quotas, nets)
        amount = sum(nets) + adjustment
        taxed = [net + share for net, share in zip(nets, shares, strict=True)] if rounding is Rounding.LINE else [amount]
        tax_minor = sum(naive_tax(each, tax, included=prices_include_tax) for each in taxed)
        breakdown[tax] = (amount - tax_minor if prices_include_tax else amount, tax_minor)
    return breakdown


def document_part(totals: Totals) -> tuple[object, ...]:
    return (
        totals.taxes,
        totals.line_total_minor,
        totals.allowance_total_minor,
        totals.charge_total_minor,
        totals.net_total_minor,
        totals.tax_total_minor,
        totals.gross_total_minor,
    )


@exact
@given(documents(), modes)
def test_items_sum_to_the_document_in_every_mode(document: Document, mode: Mode) -> None:
    billed, adjusting = document

    totals = compute_totals(billed, adjusting, **mode)

    assert sum(part.net_minor for part in totals.lines) == totals.line_total_minor
    assert sum(part.adjustment_minor for part in totals.lines) == totals.charge_total_minor - totals.allowance_total_minor
    assert sum(part.taxable_minor for part in totals.lines) == totals.net_total_minor
    assert sum(part.tax_minor for part in totals.lines) == totals.tax_total_minor
    assert sum(part.total_minor for part in totals.lines) == totals.gross_total_minor
    adjusted_minor = totals.line_total_minor - totals.allowance_total_minor + totals.charge_total_minor
    assert adjusted_minor == (totals.gross_total_minor if mode["prices_include_tax"] else totals.net_total_minor)


@exact
@given(documents(), modes)
def test_items_of_a_group_sum_to_its_row_of_tax(document: Document, mode: Mode) -> None:
    billed, adjusting = document

    totals = compute_totals(billed, adjusting, **mode)

    assert [row.tax for row in totals.taxes] == sorted({line.tax for line in billed})
    for row in totals.taxes:
        parts = [part for line, part in zip(billed, totals.lines, strict=True) if line.tax == row.tax]
        assert sum(part.taxable_minor for part in parts) == row.taxable_minor
        assert sum(part.tax_minor for part in parts) == row.tax_minor


@exact
@given(documents(), modes)
def test_breakdown_equals_naive_arithmetic_in_fractions(document: Document, mode: Mode) -> None:
    billed, adjusting = document

    totals = compute_totals(billed, adjusting, **mode)

    found = {row.tax: (row.taxable_minor, row.tax_minor) for row in totals.taxes}
    assert found == naive_breakdown(billed, adjusting, **mode)


@exact
@given(documents())
def test_tax_of_a_group_is_within_half_a_unit_of_base_times_rate(document: Document) -> None:
    totals = compute_totals(*document)

    for row in totals.taxes:
        assert abs(row.tax_minor - Fraction(row.taxable_minor * row.tax.rate_bp, 10_000)) <= Fraction(1, 2)


@exact
@given(documents())
def test_included_tax_of_a_group_is_within_half_a_unit_of_its_share_of_the_gross(document: Document) -> None:
    totals = compute_totals(*document, prices_include_tax=True)

    for row in totals.taxes:
        gross = row.taxable_minor + row.tax_minor
        assert abs(row.tax_minor - Fraction(gross * row.tax.rate_bp, 10_000 + row.tax.rate_bp)) <= Fraction(1, 2)


@exact
@given(documents(), modes)
def test_tax_of_a_line_is_less_than_one_unit_from_its_exact_tax(document: Document, mode: Mode) -> None:
    billed, adjusting = document

    totals = compute_totals(billed, adjusting, **mode)

    for line, part in zip(billed, totals.lines, strict=True):
        amount = part.net_minor + part.adjustment_minor
        whole = 10_000 + line.tax.rate_bp if mode["prices_include_tax"] else 10_000
        assert abs(part.tax_minor - Fraction(amount * line.tax.rate_bp, whole)) < 1
        assert part.total_minor == part.taxable_minor + part.tax_minor
        assert amount == (part.total_minor if mode["prices_include_tax"] else part.taxable_minor)


@exact
@given(documents(), modes, st.randoms(use_true_random=False))
def test_order_of_lines_does_not_change_the_document(document: Document, mode: Mode, random: Random) -> None:
    billed, adjusting = document
    shuffled_lines, shuffled_adjustments = list(billed), list(adjusting)
    random.shuffle(shuffled_lines)
    random.shuffle(shuffled_adjustments)

    totals = compute_totals(billed, adjusting, **mode)
    shuffled = compute_totals(shuffled_lines, shuffled_adjustments, **mode)

    assert document_part(shuffled) == document_part(totals)


@exact
@given(documents(plain_lines), modes)
def test_credit_of_everything_mirrors_document_and_taxes(document: Document, mode: Mode) -> None:
    billed, adjusting = document
    credited = [Line(-line.quantity_milli, line.unit_price_e4, line.tax) for line in billed]
    reversed_adjustments = [Adjustment(not each.charge, each.amount_minor, each.tax) for each in adjusting]

    totals = compute_totals(billed, adjusting, **mode)
    mirrored = compute_totals(credited, reversed_adjustments, **mode)

    assert mirrored.gross_total_minor == -totals.gross_total_minor
    assert [(row.taxable_minor, row.tax_minor) for row in mirrored.taxes] == [(-row.taxable_minor, -row.tax_minor) for row in totals.taxes]


@exact
@given(documents(sales), modes)
def test_invoice_of_ours_that_is_accepted_has_no_negative_part(document: Document, mode: Mode) -> None:
    billed, adjusting = document
    totals = compute_totals(billed, adjusting, **mode)

    try:
        check_invoice_totals(totals, billed)
    except NegativeTotal:
        assert any(row.taxable_minor < 0 for row in totals.taxes)
    else:
        parts = [(part.net_minor, part.taxable_minor, part.tax_minor, part.total_minor) for part in totals.lines]
        assert all(minor >= 0 for part in parts for minor in part)
