"""What holds for all amounts, splits and texts, compared with exact fractions and decimals."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.money import (
    BadAmount,
    Currency,
    allocate,
    apportion,
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

exact = settings(deadline=None)  # The machine may be busy: how long an example takes says nothing about money.

currencies = st.sampled_from([currency(code) for code in ("JPY", "EUR", "CHF", "KWD")])
amounts = st.integers(-9 * 10**13, 9 * 10**13)
whole_numbers = st.integers(-(10**30), 10**30)


@exact
@given(whole_numbers, st.lists(st.integers(0, 10**15), min_size=1, max_size=30))
def test_allocated_parts_sum_to_the_total_and_keep_within_one_of_their_share(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)

    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        share = Fraction(total * weight, whole) if whole else Fraction(total, len(weights))
        assert abs(part - share) < 1


@exact
@given(st.integers(0, 10**12), st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_larger_weight_never_gets_less(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)

    by_weight = sorted(zip(weights, parts, strict=True))
    for (smaller, less), (larger, more) in pairwise(by_weight):
        assert less <= more or (smaller == larger and less == more + 1)


@exact
@given(whole_numbers, st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_negative_total_is_allocated_as_the_mirror_of_the_positive(total: int, weights: list[int]) -> None:
    assert allocate(-total, weights) == [-part for part in allocate(total, weights)]


@exact
@given(st.lists(st.integers(-(10**9), 10**9), max_size=30), st.integers(1, 10**5), st.sampled_from([floor, ceil]))
def test_shares_of_any_sign_are_apportioned_to_their_rounded_sum(
    numerators: list[int], denominator: int, rounded: Callable[[Fraction], int]
) -> None:
    total = rounded(Fraction(sum(numerators), denominator))

    parts = apportion(total, numerators, denominator)

    assert sum(parts) == total
    assert all(abs(part - Fraction(each, denominator)) < 1 for part, each in zip(parts, numerators, strict=True))


@exact
@given(whole_numbers, st.integers(1, 10**12))
def test_division_rounds_as_exact_fractions_do(numerator: int, denominator: int) -> None:
    size = floor(abs(Fraction(numerator, denominator)) + Fraction(1, 2))

    assert divide_half_up(numerator, denominator) == (-size if numerator < 0 else size)


@exact
@given(amounts, currencies)
def test_written_numbers_are_read_as_the_same(minor: int, money: Currency) -> None:
    assert parse_amount(format_amount(minor, money), money, negative=True) == minor
    assert parse_unit_price(format_unit_price(minor, money), money, negative=True) == minor
    assert parse_quantity(format_quantity(minor // 100), negative=True) == minor // 100
    assert parse_rate(format_rate(minor % 10_001)) == minor % 10_001
    assert Decimal(format_amount(minor, money)) * 10**money.exponent == minor


@exact
@given(st.text(alphabet="0123456789.-+e ,_\u0663\uff13N", max_size=12) | st.text(max_size=6), currencies)
def test_text_is_refused_or_read_as_exactly_what_it_says(text: str, money: Currency) -> None:
    try:
        minor = parse_amount(text, money, negative=True)
    except BadAmount:
        return

    assert Decimal(text) * 10**money.exponent == minor


@exact
@given(st.text(alphabet="0123456789.", max_size=8), currencies)
def test_every_plain_decimal_with_the_digits_of_the_currency_is_read(text: str, money: Currency) -> None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = None
    fraction = text.partition(".")[2]

    if value is None or text.startswith(".") or text.endswith(".") or len(fraction) > money.exponent:
        with pytest.raises(BadAmount):
            parse_amount(text, money)
    else:
        assert parse_amount(text, money) == value * 10**money.exponent


@exact
@given(amounts, currencies)
def test_cash_is_a_multiple_of_the_coin_and_at_most_half_a_coin_away(minor: int, money: Currency) -> None:
    cash = round_cash(minor, money)

    assert cash % money.cash_step_minor == 0
    assert 2 * abs(cash - minor) <= money.cash_step_minor
