"""Number formats: what they print, that nothing prints twice, and which ones are refused."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.rules.numbers import BadNumberFormat, NumberFormat, Reset, affixes, parse_format, period, render

DAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("text", "reset", "value", "printed"),
    [
        ("INV-{year}-{number:05}", Reset.YEAR, 42, "INV-2026-00042"),
        ("INV-{year}-{number:05}", Reset.YEAR, 99_999, "INV-2026-99999"),
        ("INV-{year}-{number:05}", Reset.YEAR, 100_000, "INV-2026-100000"),
        ("{number}", Reset.NEVER, 7, "7"),
        ("{number:012}", Reset.NEVER, 7, "000000000007"),
        ("R{year}{month}{number:04}", Reset.MONTH, 3, "R2026110003"),
        ("{number:03}/{month}.{year}", Reset.MONTH, 3, "003/11.2026"),
        ("{year}/{number}_x", Reset.YEAR, 12, "2026/12_x"),
        ("RC_{number:06}", Reset.NEVER, 1, "RC_000001"),
        ("X{number}", Reset.NEVER, 1, "X1"),
    ],
)
def test_number_is_printed_by_its_format(text: str, reset: Reset, value: int, printed: str) -> None:
    number_format = parse_format(text, reset)

    assert render(number_format, value, period(reset, DAY)) == printed


@pytest.mark.parametrize(
    ("reset", "on", "expected"),
    [
        (Reset.NEVER, DAY, ""),
        (Reset.YEAR, DAY, "2026"),
        (Reset.MONTH, DAY, "2026-11"),
        (Reset.MONTH, date(2026, 12, 31), "2026-12"),
        (Reset.MONTH, date(2027, 1, 1), "2027-01"),
        (Reset.YEAR, date(2026, 12, 31), "2026"),
        (Reset.YEAR, date(2027, 1, 1), "2027"),
        (Reset.YEAR, date(987, 6, 5), "0987"),
    ],
)
def test_period_changes_with_the_reset(reset: Reset, on: date, expected: str) -> None:
    assert period(reset, on) == expected


@pytest.mark.parametrize(
    ("text", "reset"),
    [
        ("", Reset.NEVER),
        ("INV", Reset.NEVER),
        ("INV-{number}-{number}", Reset.NEVER),
        ("INV-{number:5}", Reset.NEVER),
        ("INV-{number:00}", Reset.NEVER),
        ("INV-{number:013}", Reset.NEVER),
        ("INV-{number:0999}", Reset.NEVER),
        ("INV-{number!r}", Reset.NEVER),
        ("INV-{number.real}", Reset.NEVER),
        ("INV-{Number}", Reset.NEVER),
        ("INV-{number:\N{ARABIC-INDIC DIGIT ZERO}5}", Reset.NEVER),
        ("INV-{number:0\N{ARABIC-INDIC DIGIT FIVE}}", Reset.NEVER),
        ("INV-{number}-{day}", Reset.NEVER),
        ("INV {number}", Reset.NEVER),
        ("INV-{number}\n", Reset.NEVER),
        ("INV-{number}{", Reset.NEVER),
        ("{{number}}", Reset.NEVER),
        ("R\N{LATIN SMALL LETTER E WITH ACUTE}C-{number}", Reset.NEVER),
        ("\N{FULLWIDTH DIGIT ONE}{number}", Reset.NEVER),
        ("=1+{number}", Reset.NEVER),
        ("-{number}", Reset.NEVER),
        ("/etc/{number}", Reset.NEVER),
        ("a/../{number}", Reset.NEVER),
        ("{number}..", Reset.NEVER),
        ("x" * 33 + "{number}", Reset.NEVER),
        ("INV-{number}", Reset.YEAR),
        ("INV-{month}-{number}", Reset.YEAR),
        ("INV-{year}-{month}-{number}", Reset.YEAR),
        ("INV-{year}-{number}", Reset.MONTH),
        ("INV-{month}-{number}", Reset.MONTH),
        ("INV-{number}", Reset.MONTH),
        ("INV-{year}-{number}", Reset.NEVER),
        ("INV-{month}-{number}", Reset.NEVER),
    ],
)
def test_bad_format_is_refused_with_an_example(text: str, reset: Reset) -> None:
    with pytest.raises(BadNumberFormat) as refusal:
        parse_format(text, reset)

    assert refusal.value.code == "bad_number_format"
    assert refusal.value.text == text
    assert "INV-{year}-{number:05}" in refusal.value.sentence


@pytest.mark.parametrize(
    ("text", "reset", "reason"),
    [
        ("INV", Reset.NEVER, "exactly once"),
        ("x" * 33 + "{number}", Reset.NEVER, "more than 40 characters"),
        ("{number:013}", Reset.NEVER, "at most 12 digits"),
        ("INV {number}", Reset.NEVER, "are allowed"),
        ("a..{number}", Reset.NEVER, "no '..'"),
        ("INV-{number}", Reset.MONTH, "without {month} and {year} its numbers would repeat"),
        ("INV-{month}-{number}", Reset.NEVER, "it has {month}, but the reset 'never'"),
    ],
)
def test_refusal_says_what_is_wrong(text: str, reset: Reset, reason: str) -> None:
    with pytest.raises(BadNumberFormat) as refusal:
        parse_format(text, reset)

    assert reason in refusal.value.sentence


def test_longest_format_is_accepted() -> None:
    number_format = parse_format("x" * 32 + "{number}", Reset.NEVER)

    assert len(render(number_format, 99_999_999, "")) == 40


@pytest.mark.parametrize("value", [0, -1])
def test_numbers_count_from_one(value: int) -> None:
    with pytest.raises(ValueError, match="count from 1"):
        render(parse_format("{number}", Reset.NEVER), value, "")


def test_affixes_are_what_a_database_composes() -> None:
    number_format = parse_format("INV-{year}/{month}-{number:05}-A", Reset.MONTH)

    assert affixes(number_format, "2026-11") == ("INV-2026/11-", 5, "-A")


LITERALS = st.text("AZaz09-/._", max_size=3)
DAYS = st.dates(date(1900, 1, 1), date(2999, 12, 31))
VALUES = st.integers(1, 10**9)


@st.composite
def formats(draw: st.DrawFn) -> NumberFormat:
    """Any valid format, with its fields in any order."""
    reset = draw(st.sampled_from(Reset))
    digits = draw(st.integers(0, 12))
    fields = ["{number}" if digits == 0 else f"{{number:0{digits}}}"]
    fields += ["{year}"] if reset is not Reset.NEVER else []
    fields += ["{month}"] if reset is Reset.MONTH else []
    shuffled = draw(st.permutations(fields))
    text = "".join(part for field in shuffled for part in (draw(LITERALS), field)) + draw(LITERALS)
    assume(text[0] not in "-/._" and ".." not in text and len(text) <= 40)
    return parse_format(text, reset)


@given(formats(), VALUES, DAYS)
def test_affixes_compose_to_the_printed_number(number_format: NumberFormat, value: int, on: date) -> None:
    in_period = period(number_format.reset, on)

    prefix, digits, suffix = affixes(number_format, in_period)

    assert render(number_format, value, in_period) == prefix + str(value).zfill(digits) + suffix


@given(formats(), st.tuples(VALUES, DAYS), st.tuples(VALUES, DAYS))
def test_different_numbers_never_print_alike(number_format: NumberFormat, one: tuple[int, date], other: tuple[int, date]) -> None:
    keys = [(period(number_format.reset, on), value) for value, on in (one, other)]

    printed = {render(number_format, value, in_period) for in_period, value in keys}

    assert len(printed) == len(set(keys))


@given(formats(), st.integers(1, 99_999_999), DAYS)
def test_printed_number_is_short_and_safe(number_format: NumberFormat, value: int, on: date) -> None:
    printed = render(number_format, value, period(number_format.reset, on))

    assert len(printed) <= 40
    assert printed.isascii()
    assert printed[0].isalnum()
    assert ".." not in printed


@given(formats())
def test_format_is_read_back_from_its_text(number_format: NumberFormat) -> None:
    assert parse_format(str(number_format), number_format.reset) == number_format


@given(st.text(max_size=60), st.sampled_from(Reset))
def test_any_text_is_a_format_or_refused(text: str, reset: Reset) -> None:
    try:
        number_format = parse_format(text, reset)
    except BadNumberFormat:
        return

    assert render(number_format, 1, period(reset, DAY))


def test_format_of_one_digit_is_written_without_a_width() -> None:
    assert str(parse_format("N{number}", Reset.NEVER)) == str(parse_format("N{number:01}", Reset.NEVER)) == "N{number}"
