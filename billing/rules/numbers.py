"""How document numbers are printed, such as INV-2026-00042. It must not know how numbers are counted, nor any table.

A format is a text with the fields `{number}` or `{number:05}` (at least five digits), `{year}` and `{month}`.
Within one format two different (period, value) never print alike: year and month have a fixed width, and a number is never cut.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache

from billing.errors import Invalid

MAX_LENGTH = 40
MAX_DIGITS = 12

_NUMBER = re.compile(r"\{number(?::0([1-9][0-9]?))?\}")
_AROUND = re.compile(r"(?:[A-Za-z0-9./_-]|\{year\}|\{month\})*")


class Reset(StrEnum):
    """When a series starts at 1 again, in the clinic's time zone."""

    NEVER = "never"
    YEAR = "year"
    MONTH = "month"


class BadNumberFormat(Invalid):
    """A format that can't be printed, or would print the same number twice. Facts: `text`."""

    code = "bad_number_format"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A checked format; made by `parse_format`. `prefix` and `suffix` may hold `{year}` and `{month}`."""

    prefix: str
    digits: int
    suffix: str
    reset: Reset

    def __str__(self) -> str:
        number = "{number}" if self.digits == 1 else f"{{number:0{self.digits}}}"
        return f"{self.prefix}{number}{self.suffix}"


@lru_cache(maxsize=1000)
def parse_format(text: str, reset: Reset) -> NumberFormat:
    """Read the format that `text` describes, for a series with that reset.

    The text has at most 40 characters and then prints at most 40 up to the number 99,999,999. Raises `BadNumberFormat`.
    """
    fields = list(_NUMBER.finditer(text))
    if len(fields) != 1:
        raise _bad(text, "it needs {number} or {number:05} exactly once")
    if len(text) > MAX_LENGTH:
        raise _bad(text, f"it has more than {MAX_LENGTH} characters")
    prefix, suffix = text[: fields[0].start()], text[fields[0].end() :]
    digits = int(fields[0].group(1) or 1)
    if digits > MAX_DIGITS:
        raise _bad(text, f"a number has at most {MAX_DIGITS} digits")
    if not (_AROUND.fullmatch(prefix) and _AROUND.fullmatch(suffix)):
        raise _bad(text, "around the number only A-Z, a-z, 0-9, the signs - / . _ and the fields {year} and {month} are allowed")
    if text[0] in "-/._" or ".." in text:
        raise _bad(text, "it must begin with a letter, a digit or a field, and hold no '..', to be safe in file names and spreadsheets")
    _check_reset(text, prefix + suffix, reset)
    return NumberFormat(prefix=prefix, digits=digits, suffix=suffix, reset=reset)


def period(reset: Reset, on: date) -> str:
    """Name the period of a series that the day `on` falls in: "2026-11", "2026", or "" for a series that never resets."""
    match reset:
        case Reset.MONTH:
            return f"{on.year:04}-{on.month:02}"
        case Reset.YEAR:
            return f"{on.year:04}"
        case Reset.NEVER:
            return ""


def affixes(number_format: NumberFormat, period: str) -> tuple[str, int, str]:
    """Give prefix, least digits and suffix of the period's numbers, so that a database can compose them as `render` does."""
    year, _, month = period.partition("-")
    prefix, suffix = (part.replace("{year}", year).replace("{month}", month) for part in (number_format.prefix, number_format.suffix))
    return prefix, number_format.digits, suffix


def render(number_format: NumberFormat, value: int, period: str) -> str:
    """Print a number: the value is padded with zeros, never cut. Values count from 1."""
    if value < 1:
        raise ValueError(f"document numbers count from 1, not {value}")
    prefix, digits, suffix = affixes(number_format, period)
    return f"{prefix}{value:0{digits}}{suffix}"


def _check_reset(text: str, around: str, reset: Reset) -> None:
    """Refuse a series that starts again and doesn't print its period, for numbers would repeat, and one that has no period to print."""
    needed = {Reset.NEVER: set(), Reset.YEAR: {"{year}"}, Reset.MONTH: {"{year}", "{month}"}}[reset]
    present = {field for field in ("{year}", "{month}") if field in around}
    if missing := needed - present:
        raise _bad(text, f"it resets by {reset}, so without {' and '.join(sorted(missing))} its numbers would repeat")
    if extra := present - needed:
        raise _bad(text, f"it has {' and '.join(sorted(extra))}, but the reset {reset.value!r}: choose the reset that goes with it")


def _bad(text: str, reason: str) -> BadNumberFormat:
    return BadNumberFormat(f"The number format {text!r} can't be used: {reason}. An example: INV-{{year}}-{{number:05}}.", text=text)
