"""Currencies, parsing, formatting and the rounding rule, by named examples; properties are in test_money_properties."""

import pytest

from billing.errors import Invalid
from billing.money import (
    MAX_AMOUNT_MINOR,
    MAX_QUANTITY_MILLI,
    MAX_UNIT_PRICE_E4,
    AmountOutOfBounds,
    BadAmount,
    BadQuantity,
    BadRate,
    BadUnitPrice,
    UnknownCurrency,
    allocate,
    apportion,
    check_amount,
    check_quantity,
    check_unit_price,
    currency,
    divide_half_up,
    format_amount,
    format_quantity,
    format_rate,
    format_unit_price,
    parse_amount,
    parse_quantity,
    parse_rate,
    parse_unit_price,
    round_cash,
)

EUR, JPY, KWD, CHF = currency("EUR"), currency("JPY"), currency("KWD"), currency("CHF")

NOT_PLAIN_DECIMALS = [
    "", " ", "1 ", " 1", "1\n", "+1", "1.", ".5", "1,5", "1,000.00", "1 000", "1_000", "1e2", "1E2", "0x10", "--1", "1.2.3", "1/2",
    "9" * 65, "NaN", "nan", "Infinity", "-inf", "\uff11\uff12", "\u0661\u0662", "1.5\u0660", "\u00b2", "\u22121", "1\u00a0000", "\u20ac1",
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "exponent"),
    [("EUR", 2), ("JPY", 0), ("XOF", 0), ("XPF", 0), ("UGX", 0), ("KWD", 3), ("IQD", 3), ("TND", 3), ("HUF", 2), ("ISK", 0)],
)
def test_currency_has_the_digits_of_iso_4217(code: str, exponent: int) -> None:
    found = currency(code)

    assert (found.code, found.exponent) == (code, exponent)


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXX", "BGN", "XAU", "€", "EUR\n"])
def test_unknown_currency_is_refused_with_its_code(code: str) -> None:
    with pytest.raises(UnknownCurrency) as refused:
        currency(code)

    assert refused.value.code == "unknown_currency"
    assert isinstance(refused.value, Invalid)
    assert refused.value.currency_code == code


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (5, 10, 1),
        (4, 10, 0),
        (15, 10, 2),
        (25, 10, 3),
        (-5, 10, -1),
        (-4, 10, 0),
        (-15, 10, -2),
        (1, 3, 0),
        (2, 3, 1),
        (0, 7, 0),
        (7, 1, 7),
    ],
)
def test_halves_are_rounded_away_from_zero(numerator: int, denominator: int, expected: int) -> None:
    assert divide_half_up(numerator, denominator) == expected


@pytest.mark.parametrize("denominator", [0, -1])
def test_division_refuses_a_denominator_that_is_not_positive(denominator: int) -> None:
    with pytest.raises(ValueError, match="denominator"):
        divide_half_up(1, denominator)


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (2, [5, 5, 5], [1, 1, 0]),
        (10, [1, 2, 7], [1, 2, 7]),
        (10, [0, 1, 0], [0, 10, 0]),
        (5, [0, 0], [3, 2]),
        (-5, [0, 0, 0], [-2, -2, -1]),
        (0, [], []),
        (0, [3, 4], [0, 0]),
        (1, [1, 2, 2], [0, 1, 0]),
    ],
)
def test_allocation_gives_the_largest_remainders_the_rest(total: int, weights: list[int], expected: list[int]) -> None:
    assert allocate(total, weights) == expected


def test_allocation_of_something_to_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="0 shares"):
        allocate(1, [])


def test_allocation_refuses_negative_weights() -> None:
    with pytest.raises(ValueError, match="negative"):
        allocate(1, [2, -1])


def test_apportioning_a_total_that_is_no_rounding_of_the_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be rounded"):
        apportion(9, [10, 10], 10)


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [
        ("146.76", "EUR", 14676),
        ("0.5", "EUR", 50),
        ("7", "EUR", 700),
        ("007.10", "EUR", 710),
        ("1240", "JPY", 1240),
        ("1.250", "IQD", 1250),
        ("900000000000.00", "EUR", MAX_AMOUNT_MINOR),
    ],
)
def test_amount_is_read_in_the_digits_of_its_currency(text: str, code: str, minor: int) -> None:
    assert parse_amount(text, currency(code)) == minor


@pytest.mark.parametrize("text", [*NOT_PLAIN_DECIMALS, "1.005", "1.000"])
def test_amount_that_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadAmount) as refused:
        parse_amount(text, EUR, negative=True)

    assert refused.value.code == "bad_amount"
    assert refused.value.text == text


def test_yen_with_decimals_are_refused_with_what_to_do() -> None:
    with pytest.raises(BadAmount, match=r"no amount in JPY: write plain digits with no decimals, such as 1250"):
        parse_amount("12.0", JPY)


def test_negative_amount_needs_the_keyword() -> None:
    with pytest.raises(BadAmount, match="can't be negative"):
        parse_amount("-1.00", EUR)

    assert parse_amount("-1.00", EUR, negative=True) == -100


def test_amount_beyond_the_bound_is_refused_when_read() -> None:
    with pytest.raises(AmountOutOfBounds):
        parse_amount("900000000000.01", EUR)


@pytest.mark.parametrize("sign", [1, -1])
def test_bounds_are_kept_on_both_sides_of_zero(sign: int) -> None:
    assert check_amount(sign * MAX_AMOUNT_MINOR) == sign * MAX_AMOUNT_MINOR
    assert check_quantity(sign * MAX_QUANTITY_MILLI) == sign * MAX_QUANTITY_MILLI
    assert check_unit_price(sign * MAX_UNIT_PRICE_E4) == sign * MAX_UNIT_PRICE_E4

    with pytest.raises(AmountOutOfBounds) as refused:
        check_amount(sign * (MAX_AMOUNT_MINOR + 1))
    with pytest.raises(BadQuantity):
        check_quantity(sign * (MAX_QUANTITY_MILLI + 1))
    with pytest.raises(BadUnitPrice):
        check_unit_price(sign * (MAX_UNIT_PRICE_E4 + 1))

    assert refused.value.code == "amount_out_of_bounds"


def test_largest_values_fit_into_64_bits() -> None:
    assert max(MAX_AMOUNT_MINOR, MAX_QUANTITY_MILLI, MAX_UNIT_PRICE_E4) < 2**63


def test_unit_price_has_four_digits_more_than_its_currency() -> None:
    assert parse_unit_price("30.00", EUR) == 30_000_000
    assert parse_unit_price("0.000001", EUR) == 1
    assert parse_unit_price("0.0001", JPY) == 1

    with pytest.raises(BadUnitPrice, match="at most 6 decimals"):
        parse_unit_price("0.0000001", EUR)
    with pytest.raises(BadUnitPrice, match="too large"):
        parse_unit_price("900000000000.000001", EUR)


@pytest.mark.parametrize("text", NOT_PLAIN_DECIMALS)
def test_quantity_price_and_rate_take_plain_decimals_only(text: str) -> None:
    with pytest.raises(BadUnitPrice):
        parse_unit_price(text, EUR, negative=True)
    with pytest.raises(BadQuantity):
        parse_quantity(text, negative=True)
    with pytest.raises(BadRate):
        parse_rate(text)


def test_quantity_has_three_decimals() -> None:
    assert parse_quantity("2.5") == 2500
    assert parse_quantity("-0.001", negative=True) == -1

    with pytest.raises(BadQuantity, match="at most 3 decimals"):
        parse_quantity("0.0001")


def test_huge_quantity_is_refused() -> None:
    with pytest.raises(BadQuantity, match="at most 1000000000 units"):
        parse_quantity("1000000000.001")


def test_rate_is_read_from_percent() -> None:
    assert [parse_rate(text) for text in ("19.00", "7.5", "0", "100")] == [1900, 750, 0, 10_000]


@pytest.mark.parametrize("text", ["100.01", "-1", "7.125", "19 %"])
def test_impossible_rate_is_refused(text: str) -> None:
    with pytest.raises(BadRate):
        parse_rate(text)


def test_amounts_are_written_with_all_digits_of_the_currency() -> None:
    assert [format_amount(minor, EUR) for minor in (14676, 5, 0, -5, -12345)] == ["146.76", "0.05", "0.00", "-0.05", "-123.45"]
    assert format_amount(1240, JPY) == "1240"
    assert format_amount(-7, KWD) == "-0.007"


def test_unit_prices_are_written_with_at_least_the_digits_of_the_currency() -> None:
    assert [format_unit_price(e4, EUR) for e4 in (30_000_000, 12_500, 1)] == ["30.00", "0.0125", "0.000001"]
    assert [format_unit_price(e4, JPY) for e4 in (5_000_000, 5_000)] == ["500", "0.5"]


def test_quantities_and_rates_are_written_without_superfluous_zeros() -> None:
    assert [format_quantity(milli) for milli in (2000, 2500, 1, 0, -10_000)] == ["2", "2.5", "0.001", "0", "-10"]
    assert [format_rate(rate_bp) for rate_bp in (1900, 750, 0, 1)] == ["19", "7.5", "0", "0.01"]


@pytest.mark.parametrize(
    ("code", "minor", "cash"),
    [
        ("CHF", 1232, 1230),
        ("CHF", 1233, 1235),
        ("EUR", 1233, 1233),
        ("SEK", 149, 100),
        ("SEK", 150, 200),
        ("DKK", 125, 150),
        ("HUF", 100_249, 100_000),
        ("HUF", 100_250, 100_500),
        ("NZD", 105, 110),
        ("JPY", 1241, 1241),
        ("CHF", -1233, -1235),
    ],
)
def test_cash_is_rounded_to_the_smallest_coin(code: str, minor: int, cash: int) -> None:
    assert round_cash(minor, currency(code)) == cash


def test_text_of_64_characters_is_read_and_a_longer_one_is_not() -> None:
    assert parse_amount("1.25".rjust(64, "0"), currency("EUR")) == 125
    with pytest.raises(BadAmount):
        parse_amount("1.25".rjust(65, "0"), currency("EUR"))


@pytest.mark.parametrize(
    ("total", "numerators", "parts"),
    [(4, [21, 19], [2, 2]), (2, [9, 9], [1, 1]), (-4, [-21, -19], [-2, -2]), (-2, [-9, -9], [-1, -1]), (4, [-11, 51], [-1, 5])],
)
def test_shares_are_cut_and_the_largest_rests_get_what_is_missing(total: int, numerators: list[int], parts: list[int]) -> None:
    assert apportion(total, numerators, 10) == parts
