"""Totals of invoices by named examples whose cents are known; properties are in test_totals_properties."""

import pytest

from billing.money import (
    MAX_AMOUNT_MINOR,
    AmountOutOfBounds,
    BadAmount,
    BadQuantity,
    BadUnitPrice,
    currency,
    parse_amount,
    parse_unit_price,
)
from billing.rules.totals import (
    Adjustment,
    AdjustmentWithoutLines,
    BadTaxGroup,
    Line,
    NegativeQuantity,
    NegativeTotal,
    Rounding,
    TaxGroup,
    Totals,
    check_invoice_totals,
    compute_totals,
)

S10, S19, S21, EXEMPT = TaxGroup("S", 1000), TaxGroup("S", 1900), TaxGroup("S", 2100), TaxGroup("E", 0)


def line(price: str, tax: TaxGroup = S19, *, quantity_milli: int = 1000, code: str = "EUR") -> Line:
    return Line(quantity_milli, parse_unit_price(price, currency(code), negative=True), tax)


def discount(amount: str, tax: TaxGroup) -> Adjustment:
    return Adjustment(charge=False, amount_minor=parse_amount(amount, currency("EUR")), tax=tax)


def charge(amount: str, tax: TaxGroup) -> Adjustment:
    return Adjustment(charge=True, amount_minor=parse_amount(amount, currency("EUR")), tax=tax)


def summary(totals: Totals) -> tuple[int, int, int]:
    return totals.net_total_minor, totals.tax_total_minor, totals.gross_total_minor


def test_three_lines_of_five_cents_have_two_cents_of_tax_and_add_up() -> None:
    totals = compute_totals([line("0.05", S10)] * 3)

    assert summary(totals) == (15, 2, 17)
    assert [part.tax_minor for part in totals.lines] == [1, 1, 0]
    assert [part.total_minor for part in totals.lines] == [6, 6, 5]


def test_tax_is_taken_after_the_document_discount() -> None:
    totals = compute_totals([line("8500.00")], [discount("7500.00", S19)])

    assert summary(totals) == (100_000, 19_000, 119_000)


def test_discount_of_sixty_on_three_times_45_leaves_75() -> None:
    totals = compute_totals([line("45.00", S21, quantity_milli=3000)], [discount("60.00", S21)])

    assert summary(totals) == (7500, 1575, 9075)


def test_discount_of_ten_on_110_is_taxed_at_100() -> None:
    totals = compute_totals([line("110.00", S10)], [discount("10.00", S10)])

    assert summary(totals) == (10_000, 1000, 11_000)


@pytest.mark.parametrize(("price", "tax_minor"), [("0.05", 1), ("0.15", 2), ("0.25", 3), ("99999999999.85", 999_999_999_999)])
def test_halves_of_a_tax_are_rounded_up_whatever_their_size(price: str, tax_minor: int) -> None:
    assert compute_totals([line(price, S10)]).tax_total_minor == tax_minor


@pytest.mark.parametrize("rounding", Rounding)
def test_price_that_includes_tax_keeps_its_total(rounding: Rounding) -> None:
    totals = compute_totals([line("20000.00", S10)], rounding=rounding, prices_include_tax=True)

    assert summary(totals) == (1_818_182, 181_818, 2_000_000)
    assert totals.line_total_minor == 2_000_000
    assert totals.lines[0].taxable_minor == 1_818_182


def test_yen_have_no_decimals() -> None:
    totals = compute_totals([line("1127", S10, code="JPY")])

    assert totals.gross_total_minor == 1240


def test_dinars_have_three_decimals() -> None:
    totals = compute_totals([line("1.255", S10, code="KWD")])

    assert summary(totals) == (1255, 126, 1381)


@pytest.mark.parametrize(("rounding", "tax_minor"), [(Rounding.DOCUMENT, 132), (Rounding.LINE, 133)])
def test_seven_times_99_cents_differ_by_where_tax_is_rounded(rounding: Rounding, tax_minor: int) -> None:
    totals = compute_totals([line("0.99")] * 7, rounding=rounding)

    assert totals.tax_total_minor == tax_minor
    assert sum(part.tax_minor for part in totals.lines) == tax_minor


def test_line_net_is_price_by_base_quantity_less_allowances_plus_charges() -> None:
    dozen = Line(30_000, 12_345_600, S19, price_base_quantity_milli=12_000, allowance_minor=150, charge_minor=20)

    assert dozen.net_minor() == 3086 - 150 + 20


def test_line_net_is_rounded_half_up_for_credits_too() -> None:
    assert [line(price).net_minor() for price in ("0.125", "-0.125", "0.1249")] == [13, -13, 12]


def test_document_discount_and_charge_are_shared_out_within_their_group_only() -> None:
    lines = [line("10.00"), line("20.00", EXEMPT), line("5.00")]

    totals = compute_totals(lines, [discount("1.00", S19), charge("0.30", EXEMPT)])

    assert [part.adjustment_minor for part in totals.lines] == [-67, 30, -33]
    assert [part.taxable_minor for part in totals.lines] == [933, 2030, 467]
    assert (totals.line_total_minor, totals.allowance_total_minor, totals.charge_total_minor) == (3500, 100, 30)
    assert [(str(row.tax), row.taxable_minor, row.tax_minor) for row in totals.taxes] == [("E 0 %", 2030, 0), ("S 19 %", 1400, 266)]


def test_credit_takes_part_in_a_discount_by_its_size() -> None:
    totals = compute_totals([line("100.00"), line("50.00", quantity_milli=-1000)], [discount("15.00", S19)])

    assert [part.adjustment_minor for part in totals.lines] == [-1000, -500]


def test_equal_remainders_favour_the_larger_line_so_that_order_does_not_change_tax() -> None:
    thirty = TaxGroup("S", 3000)
    one, four = line("0.01", thirty), line("0.04", thirty)

    found = [compute_totals(lines, [charge("0.02", thirty)], rounding=Rounding.LINE) for lines in ([one, four, one], [four, one, one])]

    assert [part.adjustment_minor for part in found[0].lines] == [0, 2, 0]
    assert [totals.tax_total_minor for totals in found] == [2, 2]


def test_charge_on_a_group_of_free_lines_is_shared_evenly() -> None:
    totals = compute_totals([line("0"), line("0"), line("0")], [charge("0.50", S19)])

    assert [part.adjustment_minor for part in totals.lines] == [17, 17, 16]
    assert summary(totals) == (50, 10, 60)


def test_discount_that_includes_tax_lowers_the_gross_total_by_itself() -> None:
    totals = compute_totals([line("119.00"), line("119.00")], [discount("19.00", S19)], prices_include_tax=True)

    assert summary(totals) == (18_403, 3497, 21_900)
    assert [part.total_minor for part in totals.lines] == [10_950, 10_950]


def test_credit_mirrors_what_it_corrects() -> None:
    billed = compute_totals([line("0.05", S10)] * 3)
    credited = compute_totals([line("0.05", S10, quantity_milli=-1000)] * 3)

    assert summary(credited) == tuple(-minor for minor in summary(billed))
    assert [part.tax_minor for part in credited.lines] == [-part.tax_minor for part in billed.lines]


def test_lines_that_cancel_out_bear_no_tax() -> None:
    totals = compute_totals([line("720.81"), line("720.81", quantity_milli=-1000)])

    assert summary(totals) == (0, 0, 0)
    assert [part.tax_minor for part in totals.lines] == [13_695, -13_695]


def test_document_without_lines_is_all_zero() -> None:
    totals = compute_totals([])

    assert (totals.lines, totals.taxes, summary(totals)) == ((), (), (0, 0, 0))


@pytest.mark.parametrize("rounding", Rounding)
def test_adjustment_without_lines_counts_in_the_document_but_on_no_line(rounding: Rounding) -> None:
    lines = [line("10.00", EXEMPT)]

    totals = compute_totals(lines, [charge("2.50", S19)], rounding=rounding)

    assert summary(totals) == (1250, 48, 1298)
    assert sum(part.total_minor for part in totals.lines) == 1000
    with pytest.raises(AdjustmentWithoutLines, match="tax group S 19 %") as refused:
        check_invoice_totals(totals, lines)
    assert refused.value.code == "adjustment_without_lines"


@pytest.mark.parametrize("lines", [[], [line("0")], [line("45.00", quantity_milli=3000), line("12.00", EXEMPT)]])
def test_ordinary_invoice_is_accepted(lines: list[Line]) -> None:
    check_invoice_totals(compute_totals(lines), lines)


def test_discount_of_everything_is_accepted() -> None:
    lines = [line("1.00"), line("2.00")]

    totals = compute_totals(lines, [discount("3.00", S19)])

    check_invoice_totals(totals, lines)
    assert [part.total_minor for part in totals.lines] == [0, 0]


def test_negative_quantity_is_refused_for_an_invoice_of_ours() -> None:
    lines = [line("10.00"), line("1.00", quantity_milli=-1000)]

    with pytest.raises(NegativeQuantity, match="Line 2") as refused:
        check_invoice_totals(compute_totals(lines), lines)

    assert refused.value.line == 2


def test_line_whose_allowance_exceeds_it_is_refused_for_an_invoice_of_ours() -> None:
    lines = [line("10.00"), Line(1000, 1_000_000, S19, allowance_minor=101)]

    with pytest.raises(NegativeTotal, match="Line 2") as refused:
        check_invoice_totals(compute_totals(lines), lines)

    assert refused.value.code == "negative_total"


@pytest.mark.parametrize("price", ["10.00", "0"])
def test_discount_that_exceeds_its_group_is_refused_for_an_invoice_of_ours(price: str) -> None:
    lines = [line(price), line("100.00", EXEMPT)]

    with pytest.raises(NegativeTotal, match="tax group S 19 %"):
        check_invoice_totals(compute_totals(lines, [discount("10.01", S19)]), lines)


@pytest.mark.parametrize(("category", "rate_bp"), [("X", 0), ("s", 1900), ("", 0), ("E", 700), ("AE", 1), ("S", -1), ("S", 10_001)])
def test_impossible_tax_group_is_refused(category: str, rate_bp: int) -> None:
    with pytest.raises(BadTaxGroup) as refused:
        TaxGroup(category, rate_bp)

    assert refused.value.code == "bad_tax_group"


@pytest.mark.parametrize("category", ["S", "Z", "E", "AE", "O", "K", "G", "L", "M"])
def test_all_categories_of_the_standard_are_known(category: str) -> None:
    assert str(TaxGroup(category, 0)) == f"{category} 0 %"


def test_line_out_of_bounds_is_refused() -> None:
    with pytest.raises(BadQuantity):
        Line(10**13, 1, S19)
    with pytest.raises(BadUnitPrice):
        Line(1000, 10**18, S19)
    with pytest.raises(BadQuantity):
        Line(1000, 1, S19, price_base_quantity_milli=0)
    with pytest.raises(BadAmount):
        Line(1000, 1, S19, allowance_minor=-1)
    with pytest.raises(BadAmount):
        Line(1000, 1, S19, charge_minor=-1)
    with pytest.raises(BadAmount):
        Adjustment(charge=True, amount_minor=-1, tax=S19)


def test_line_net_beyond_the_bound_is_refused() -> None:
    with pytest.raises(AmountOutOfBounds):
        compute_totals([line("900000000000.00", quantity_milli=1001), line("900000000000.00", quantity_milli=-1001)])


def test_total_beyond_the_bound_is_refused() -> None:
    largest = Line(1000, MAX_AMOUNT_MINOR * 10_000, EXEMPT)

    assert compute_totals([largest]).gross_total_minor == MAX_AMOUNT_MINOR
    with pytest.raises(AmountOutOfBounds):
        compute_totals([largest, line("0.01", EXEMPT)])


@pytest.mark.parametrize("charged", [True, False])
def test_amount_beyond_the_bound_is_refused_though_the_total_is_within(charged: bool) -> None:
    largest = Line(1000, MAX_AMOUNT_MINOR * 10_000, EXEMPT)
    credited = Line(-1000, MAX_AMOUNT_MINOR * 10_000, EXEMPT)
    adjustment = Adjustment(charged, MAX_AMOUNT_MINOR, EXEMPT)

    with pytest.raises(AmountOutOfBounds):
        compute_totals([credited if charged else largest], [adjustment] * 2)
    with pytest.raises(AmountOutOfBounds):
        compute_totals([credited if charged else largest] * 2, [adjustment])


def test_tax_that_lifts_the_total_beyond_the_bound_is_refused() -> None:
    with pytest.raises(AmountOutOfBounds):
        compute_totals([line("900000000000.00")])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_crediting_everything_mirrors_it_where_two_shares_of_a_discount_have_equal_remainders(order: tuple[int, int]) -> None:
    tax = TaxGroup("L", 10_000)
    both = [Line(121_381, 451, tax), Line(13_000, 150_000, tax)]
    lines = [both[place] for place in order]
    credited_lines = [Line(-line.quantity_milli, line.unit_price_e4, tax) for line in lines]

    billed = compute_totals(lines, [Adjustment(False, 1340, tax)], rounding=Rounding.LINE, prices_include_tax=True)
    credited = compute_totals(credited_lines, [Adjustment(True, 1340, tax)], rounding=Rounding.LINE, prices_include_tax=True)

    assert [(row.taxable_minor, row.tax_minor) for row in credited.taxes] == [(-row.taxable_minor, -row.tax_minor) for row in billed.taxes]
    assert [part.total_minor for part in credited.lines] == [-part.total_minor for part in billed.lines]


@pytest.mark.parametrize(("adjustment", "shares"), [(charge("0.01", S10), [1, 0]), (discount("0.01", S10), [0, -1])])
def test_of_a_line_and_its_credit_the_one_of_the_adjustments_own_sign_takes_the_odd_cent(adjustment: Adjustment, shares: list[int]) -> None:
    billed, credited = line("1.00", S10), line("1.00", S10, quantity_milli=-1000)

    one_way = compute_totals([billed, credited], [adjustment])
    the_other = compute_totals([credited, billed], [adjustment])

    assert [part.adjustment_minor for part in one_way.lines] == shares
    assert [part.adjustment_minor for part in the_other.lines] == shares[::-1]


def test_totals_of_other_lines_are_a_mistake_of_the_caller() -> None:
    billed = line("1.00", S10)

    with pytest.raises(ValueError, match="zip"):
        check_invoice_totals(compute_totals([billed, billed]), [billed])


def test_discounts_and_charges_of_one_group_are_added_up() -> None:
    totals = compute_totals([line("10.00", S10)], [discount("1.00", S10), charge("0.30", S10), discount("2.00", S10)])

    assert summary(totals) == (730, 73, 803)
