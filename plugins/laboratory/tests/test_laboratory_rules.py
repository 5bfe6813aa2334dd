"""How values, codes and ages are read, flags set, and orders stand."""

from decimal import Decimal

import pytest
from billing_laboratory.rules import (
    ImpossibleRange,
    Range,
    UnreadableAge,
    UnreadableLoinc,
    UnreadableText,
    UnreadableValue,
    check_range,
    flag,
    order_status,
    range_text,
    read_age,
    read_loinc,
    read_text,
    read_value,
)
from hypothesis import given
from hypothesis import strategies as st

POTASSIUM = Range(critical_low="2.5", low="3.5", high="5.1", critical_high="6.5")


# --- reading ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["5.4", "0", "-1.5", "007", "123456789012.123456789", " 5.40 "])
def test_a_measured_value_is_kept_as_it_was_written(text: str) -> None:
    assert read_value(text, kind="numeric") == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "NaN", "nan", "Infinity", "-inf", "1e3", "+5", "5,4", "5.", ".5", "<0.5", "٣", "5 4", "1_000", "1234567890123", "0.1234567891"],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(UnreadableValue):
        read_value(text, kind="numeric")


def test_a_value_with_more_decimals_than_the_analyte_has_is_refused() -> None:
    assert read_value("5.4", kind="numeric", decimals=1) == "5.4"

    with pytest.raises(UnreadableValue, match="at most 1"):
        read_value("5.41", kind="numeric", decimals=1)


@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "two\nlines", "bell\x07"])
def test_a_finding_is_one_printable_line(text: str) -> None:
    with pytest.raises(UnreadableText):
        read_value(text, kind="text")


def test_a_finding_is_trimmed() -> None:
    assert read_value("  Not detected ", kind="text") == "Not detected"


def test_a_text_may_be_empty_only_where_that_is_said() -> None:
    assert read_text("", what="The unit", empty=True) == ""

    with pytest.raises(UnreadableText, match="The name"):
        read_text("", what="The name")


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=4))
def test_every_decimal_that_is_written_plainly_is_read(number: Decimal) -> None:
    text = f"{number:f}"

    assert Decimal(read_value(text, kind="numeric")) == number


@pytest.mark.parametrize("code", ["718-7", "2345-7", "94500-6", "24321-2", " 56799-0 "])
def test_a_loinc_code_with_its_check_digit_is_read(code: str) -> None:
    assert read_loinc(code) == code.strip()


@pytest.mark.parametrize("code", ["718-8", "781-7", "718", "718-77", "12345678-0", "-7", "QALY", "", "٧١٨-٧"])
def test_a_mistyped_loinc_code_is_refused(code: str) -> None:
    with pytest.raises(UnreadableLoinc):
        read_loinc(code)


@pytest.mark.parametrize(("text", "days"), [("0d", 0), ("14d", 14), ("6w", 42), ("1y", 365), ("4y", 1461), ("18y", 6574), ("12m", 365)])
def test_ages_are_read_in_days(text: str, days: int) -> None:
    assert read_age(text) == days


@pytest.mark.parametrize("text", ["", "18", "y", "-1y", "1.5y", "1000000d", "18 years"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UnreadableAge):
        read_age(text)


# --- flags --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2.4", "LL"),
        ("2.5", "L"),
        ("3.49", "L"),
        ("3.5", "N"),
        ("3.50", "N"),
        ("5.1", "N"),
        ("5.10000001", "H"),
        ("6.5", "H"),
        ("6.51", "HH"),
        ("10", "HH"),
        ("-1", "LL"),
    ],
)
def test_limits_belong_to_what_is_normal(value: str, expected: str) -> None:
    assert flag(value, POTASSIUM, kind="numeric") == expected


def test_numbers_are_compared_as_decimals_not_as_text_or_floats() -> None:
    assert flag("9", Range(high="10"), kind="numeric") == "N"
    assert flag("123456789012.000000001", Range(high="123456789012"), kind="numeric") == "H"


def test_one_limit_is_enough() -> None:
    assert flag("4.9", Range(high="5.0"), kind="numeric") == "N"
    assert flag("5.1", Range(high="5.0"), kind="numeric") == "H"
    assert flag("1", Range(low="2"), kind="numeric") == "L"
    assert flag("1", Range(critical_low="2"), kind="numeric") == "LL"
    assert flag("3", Range(critical_low="2"), kind="numeric") == "N"


def test_nothing_is_said_where_no_range_applies() -> None:
    assert flag("5.4", None, kind="numeric") == ""
    assert flag("Positive", None, kind="text") == ""


@pytest.mark.parametrize(
    ("value", "expected"), [("Negative", "N"), ("negative", "N"), ("Negative (qualifier value)", "N"), ("Positive", "A"), ("Detected", "A")]
)
def test_a_finding_is_abnormal_unless_it_is_the_normal_one(value: str, expected: str) -> None:
    assert flag(value, Range(normal_text="Negative"), kind="text") == expected


def test_the_range_is_printed_without_critical_limits() -> None:
    assert range_text(POTASSIUM) == "3.5 - 5.1"
    assert range_text(Range(high="5.0", critical_high="9")) == "<= 5.0"
    assert range_text(Range(low="60")) == ">= 60"
    assert range_text(Range(normal_text="Negative")) == "Negative"
    assert range_text(Range(critical_low="2")) == ""
    assert range_text(None) == ""


# --- ranges that can't be -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits",
    [
        Range(),
        Range(low="5", high="4"),
        Range(critical_low="4", low="3"),
        Range(high="9", critical_high="10", low="9.1"),
        Range(low="10", high="9.5"),
        Range(low="1", normal_text="Negative"),
        Range(low="1", sex="other"),
        Range(low="1", age_from_days=-1),
        Range(low="1", age_from_days=10, age_until_days=10),
    ],
)
def test_limits_that_contradict_each_other_are_refused(limits: Range) -> None:
    with pytest.raises(ImpossibleRange):
        check_range(limits, kind="numeric")


@pytest.mark.parametrize("text", ["NaN", "abc", ""])
def test_a_limit_is_a_plain_decimal(text: str) -> None:
    with pytest.raises(UnreadableValue):
        check_range(Range(low=text), kind="numeric")


@pytest.mark.parametrize("limits", [Range(low="1"), Range(), Range(high="1", normal_text="Negative")])
def test_an_analyte_in_words_has_a_normal_text_only(limits: Range) -> None:
    with pytest.raises(ImpossibleRange):
        check_range(limits, kind="text")


def test_limits_in_order_are_accepted() -> None:
    check_range(POTASSIUM, kind="numeric")
    check_range(Range(low="9.5", high="10", sex="female", age_until_days=30), kind="numeric")
    check_range(Range(normal_text="Negative"), kind="text")


# --- orders -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([("a", "pending"), ("b", "pending")], "in_progress"),
        ([("a", "preliminary"), ("b", "pending")], "in_progress"),
        ([("a", "final"), ("b", "pending")], "in_progress"),
        ([("a", "preliminary"), ("b", "preliminary")], "preliminary"),
        ([("a", "final"), ("b", "preliminary")], "preliminary"),
        ([("a", "final"), ("b", "final")], "final"),
        ([("a", "final"), ("a", "preliminary"), ("b", "final")], "final"),
        ([("a", "final"), ("a", "amended"), ("b", "final")], "amended"),
        ([("a", "final"), ("a", "amended"), ("b", "pending")], "in_progress"),
    ],
)
def test_an_order_stands_as_its_results_do(results: list[tuple[str, str]], expected: str) -> None:
    assert order_status(results) == expected
