from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import MAX_AMOUNT_MINOR, MAX_UNIT_PRICE_E4, Currency, currency, format_amount, format_unit_price
from billing.rules.tenders import CORE_METHODS
from billing.rules.totals import TAX_CATEGORIES
from billing.services.documents.labels import ENGLISH, FRENCH, GERMAN, SPANISH, Labels, labels_for
from billing.services.documents.text import between, plain, width, wrap
from billing.services.documents.writing import Writer

CURRENCIES = st.sampled_from(["JPY", "EUR", "IQD", "KWD", "CLP"]).map(currency)
TEXTS = st.text(max_size=120)
ZERO_WIDTH = "\N{COMBINING ACUTE ACCENT}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}"


def writer(language: str = "en", *, code: str = "EUR", zone: str = "Europe/Berlin") -> Writer:
    return Writer(language=language, time_zone=zone, currency=currency(code))


# --- numbers, days and times --------------------------------------------------------------------------------------------------------


@given(CURRENCIES, st.integers(-MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR))
def test_amount_keeps_every_digit(money: Currency, minor: int) -> None:
    assert writer(code=money.code).amount(minor).replace(",", "") == format_amount(minor, money)


@given(CURRENCIES, st.integers(0, MAX_UNIT_PRICE_E4))
def test_unit_price_keeps_every_digit(money: Currency, e4: int) -> None:
    assert writer(code=money.code).unit_price(e4).replace(",", "") == format_unit_price(e4, money)


@pytest.mark.parametrize(
    ("language", "code", "shown"),
    [
        ("en", "USD", "$1,234,567.89"),
        ("en", "KWD", "KWD\xa0123,456.789"),
        ("en", "JPY", "¥123,456,789"),
        ("de", "EUR", "1.234.567,89\xa0€"),
        ("de_CH", "CHF", "CHF\xa01’234’567.89"),
        ("fr", "IQD", "123\u202f456,789\xa0IQD"),
        ("hi", "INR", "₹12,34,567.89"),
    ],
)
def test_money_is_written_as_the_language_does_with_the_digits_of_the_currency(language: str, code: str, shown: str) -> None:
    assert writer(language, code=code).money(123_456_789) == shown


def test_amount_below_zero_keeps_its_sign() -> None:
    assert writer("en").amount(-5) == "-0.05"
    assert writer("de").money(-123) == "-1,23\xa0€"


@pytest.mark.parametrize(("milli", "shown"), [(1000, "1"), (2500, "2,5"), (1, "0,001"), (10**12, "1.000.000.000")])
def test_quantity_has_no_superfluous_zeros(milli: int, shown: str) -> None:
    assert writer("de").quantity(milli) == shown


@pytest.mark.parametrize(("bp", "shown"), [(0, "0\xa0%"), (1900, "19\xa0%"), (750, "7,5\xa0%"), (1, "0,01\xa0%"), (10_000, "100\xa0%")])
def test_rate_is_a_percentage(bp: int, shown: str) -> None:
    assert writer("de").rate(bp) == shown


def test_day_and_time_are_those_of_the_clinic() -> None:
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)

    assert writer("de").time(at) == "01.01.2027 00:30"
    assert writer("de", zone="America/New_York").time(at) == "31.12.2026 18:30"
    assert writer("es").day(date(2027, 1, 1)) == "1 ene 2027"


# --- words --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [ENGLISH, GERMAN, FRENCH, SPANISH], ids=lambda labels: labels.language)
def test_language_has_words_for_every_method_and_tax_category(labels: Labels) -> None:
    assert set(labels.methods) == set(CORE_METHODS)
    assert set(labels.categories) == TAX_CATEGORIES - {"S"}
    assert all(isinstance(each, dict) or each for each in (getattr(labels, name) for name in labels.__slots__))


@pytest.mark.parametrize(
    ("tag", "language"), [("de", "de"), ("de_CH", "de"), ("fr_CA", "fr"), ("es_419", "es"), ("en_GB", "en"), ("ja", "en")]
)
def test_region_has_the_words_of_its_language_and_others_are_english(tag: str, language: str) -> None:
    assert labels_for(tag).language == language


# --- text of a fixed width ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("ネコ", 4), ("e\N{COMBINING ACUTE ACCENT}", 1), ("\N{GRINNING FACE}", 2), ("", 0)]
)
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns


def test_plain_text_is_one_line_that_turns_nothing_round() -> None:
    assert (
        plain("a\n b\t\N{RIGHT-TO-LEFT OVERRIDE}c\N{NO-BREAK SPACE}\N{LINE SEPARATOR}d\0\x1b[31m\N{POP DIRECTIONAL FORMATTING}")
        == "a b c d [31m"
    )


@given(TEXTS, st.integers(8, 80))
def test_wrapped_lines_fit_and_lose_nothing(text: str, columns: int) -> None:
    lines = wrap(text, columns, indent="  ")

    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(plain(text).split())


@given(TEXTS, st.integers(-MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR), st.integers(30, 80))
def test_amounts_end_in_the_last_column(text: str, minor: int, columns: int) -> None:
    amount = format_amount(minor, currency("KWD"))

    lines = between(text, amount, columns, indent="  ")

    assert all(width(line) <= columns for line in lines)
    assert lines[-1].endswith(f" {amount}")
    assert width(lines[-1]) == columns


@given(st.text(alphabet=f"a{ZERO_WIDTH}", max_size=60))
def test_what_joins_a_character_stays_with_it(text: str) -> None:
    lines = wrap(f"a{text}", 3)

    assert {line[0] for line in lines} == {"a"}


def test_long_words_are_broken_where_the_line_ends() -> None:
    assert wrap("ab cdefghijkl mn", 5) == ["ab", "cdefg", "hijkl", "mn"]


def test_amount_that_leaves_no_room_gets_its_own_line() -> None:
    assert between("A long description", "90,000,000,000.000", 24) == ["A long description", "      90,000,000,000.000"]
