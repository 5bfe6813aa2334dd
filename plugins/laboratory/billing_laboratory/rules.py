"""What a laboratory decides: how values are read, ranges chosen, flags set, and how an order stands. Knows no table and no clock."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from billing.plugin import Invalid

DEPARTMENT = "laboratory"
"""The code of the department that this plugin provides."""


class ValueKind(StrEnum):
    """How an analyte is reported: as a decimal number or as a finding in words."""

    NUMERIC = "numeric"
    TEXT = "text"


class OrderStatus(StrEnum):
    """The life of an order: ordered -> collected -> received -> in_progress -> preliminary -> final -> amended; or cancelled at first.

    *in_progress*: at least one result is entered, another is still pending. *preliminary*: all are entered, not all verified.
    """

    ORDERED = "ordered"
    COLLECTED = "collected"
    RECEIVED = "received"
    IN_PROGRESS = "in_progress"
    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    CANCELLED = "cancelled"


class ResultStatus(StrEnum):
    """The life of a result: pending -> preliminary (entered) -> final (verified), or cancelled while pending.

    An amendment is a row of its own that supersedes a final one: preliminary -> amended. The old row stays as it was.
    """

    PENDING = "pending"
    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    CANCELLED = "cancelled"


OPEN_RESULT = frozenset({ResultStatus.PENDING, ResultStatus.PRELIMINARY})
RELEASED_RESULT = frozenset({ResultStatus.FINAL, ResultStatus.AMENDED})


class ResultFlag(StrEnum):
    """Interpretation of a verified value. `NONE`: no range applies, so nothing is said."""

    NONE = ""
    NORMAL = "N"
    LOW = "L"
    HIGH = "H"
    CRITICALLY_LOW = "LL"
    CRITICALLY_HIGH = "HH"
    ABNORMAL = "A"


class UnreadableValue(Invalid):
    """The value is no result of this kind. Facts: `value`."""

    code = "unreadable_value"


class UnreadableText(Invalid):
    """A name, unit or reason is missing, too long or not printable. Facts: `what`."""

    code = "unreadable_text"


class UnreadableLoinc(Invalid):
    """A text is no LOINC code. Facts: `loinc`."""

    code = "unreadable_loinc"


class UnreadableAge(Invalid):
    """A text is no age. Facts: `age`."""

    code = "unreadable_age"


class ImpossibleRange(Invalid):
    """The limits of a reference range contradict each other, or there are none."""

    code = "impossible_range"


@dataclass(frozen=True, slots=True)
class Range:
    """A reference range: for whom (species None means a person; ages in days, until exclusive) and its limits (decimal text, inclusive)."""

    position: int = 1
    sex: str | None = None
    species: str | None = None
    age_from_days: int = 0
    age_until_days: int | None = None
    low: str | None = None
    high: str | None = None
    critical_low: str | None = None
    critical_high: str | None = None
    normal_text: str | None = None

    @property
    def for_all_ages(self) -> bool:
        """Whether it applies without knowing the birth date."""
        return self.age_from_days == 0 and self.age_until_days is None


RANGE_COLUMNS = tuple(Range.__dataclass_fields__)


def as_range(row: Any) -> Range:
    """Take the range out of a row that has its columns."""
    return Range(**{name: getattr(row, name) for name in RANGE_COLUMNS})


# --- reading ------------------------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_LOINC = re.compile(r"([0-9]{1,7})-([0-9])")
_AGE = re.compile(r"([0-9]{1,5})([dwmy])")
_LONGEST_TEXT = 200
_QUALIFIER = " (qualifier value)"


def read_value(text: str, *, kind: str, decimals: int | None = None) -> str:
    """Return the text of a result as it is kept: trimmed, and readable as `kind`.

    A number has at most 12 digits before the point, and behind it at most 9 or, where given, `decimals`. Raises `UnreadableValue`
    or, of a finding in words, `UnreadableText`.
    """
    value = text.strip()
    if kind == ValueKind.TEXT:
        return read_text(value, what="A finding")
    if not _NUMBER.fullmatch(value):
        raise UnreadableValue(f"{value[:40]!r} is no measured value: write a decimal number such as 5.4, with a point.", value=value[:40])
    if decimals is not None and len(value.partition(".")[2]) > decimals:
        raise UnreadableValue(f"{value} has too many decimals: this analyte is reported with at most {decimals}.", value=value)
    return value


def read_text(text: str, *, what: str, empty: bool = False) -> str:
    """Return a trimmed line of text of at most 200 printable characters. Raises `UnreadableText` naming `what` it is."""
    line = text.strip()
    if not (line or empty) or len(line) > _LONGEST_TEXT or not line.isprintable():
        raise UnreadableText(f"{what} is one line of 1 to {_LONGEST_TEXT} printable characters.", what=what)
    return line


def is_loinc_shaped(text: str) -> bool:
    """Tell whether a text looks like a LOINC code; another system's code is taken without doubting its check digit."""
    return _LOINC.fullmatch(text) is not None


def read_loinc(text: str) -> str:
    """Return the LOINC code if its check digit (Luhn, modulus 10) is right. Raises `UnreadableLoinc`."""
    found = _LOINC.fullmatch(text.strip())
    if found is None:
        raise UnreadableLoinc(f"{text[:20]!r} is no LOINC code: it is digits, a hyphen and a check digit, such as 718-7.", loinc=text[:20])
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(found[1])))
    check_digit = -sum(sum(divmod(each, 10)) for each in doubled) % 10
    if check_digit != int(found[2]):
        raise UnreadableLoinc(f"The check digit of {found[0]} is wrong: look for a mistyped digit.", loinc=found[0])
    return found[0]


def read_age(text: str) -> int:
    """Return an age such as 14d, 6w, 3m or 18y in days; a year is 365.25 days, cut to whole days. Raises `UnreadableAge`."""
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        raise UnreadableAge(f"{text[:20]!r} is no age: write days, weeks, months or years such as 14d, 6w, 3m, 18y.", age=text[:20])
    count = int(found[1])
    return {"d": count, "w": count * 7, "m": count * 1461 // 48, "y": count * 1461 // 4}[found[2]]


# --- ranges and flags ---------------------------------------------------------------------------------------------------------------


def check_range(limits: Range, *, kind: str) -> None:
    """Raise `ImpossibleRange` unless the limits suit an analyte of this kind, in order: critical low <= low <= high <= critical high."""
    given = [each for each in (limits.critical_low, limits.low, limits.high, limits.critical_high) if each is not None]
    if kind == ValueKind.TEXT:
        if given or limits.normal_text is None:
            raise ImpossibleRange("An analyte that is reported in words has a normal text and no limits.")
    elif limits.normal_text is not None or not given:
        raise ImpossibleRange("An analyte that is reported as a number has at least one limit and no normal text.")
    numbers = [Decimal(read_value(each, kind=ValueKind.NUMERIC)) for each in given]
    if numbers != sorted(numbers):
        raise ImpossibleRange(f"The limits {' '.join(given)} are out of order: critical low <= low <= high <= critical high.")
    if limits.sex not in {None, "female", "male"}:
        raise ImpossibleRange("A range is for female or male patients, or names no sex.")
    if limits.age_from_days < 0 or (limits.age_until_days is not None and limits.age_until_days <= limits.age_from_days):
        raise ImpossibleRange("A range begins at an age, not before birth, and ends at a later one.")


def choose_range(ranges: Iterable[Range], *, sex: str, birth_date: date | None, on: date, species: str | None) -> Range | None:
    """Return the range for this patient on this day, or None: there is no fallback to another species, sex or age.

    A range that names a sex or an age is more specific than one that does not; among equals the lower position is first.
    Without a birth date (or with one after `on`) only ranges for all ages apply.
    """
    age = None if birth_date is None or birth_date > on else (on - birth_date).days
    fitting = [each for each in ranges if _fits(each, sex=sex, age=age, species=species)]
    return min(fitting, key=lambda each: (-_specificity(each), each.position), default=None)


def flag(value: str, limits: Range | None, *, kind: str) -> ResultFlag:
    """Interpret a value. Limits belong to what is normal; beyond a critical limit it is critical. Without a range nothing is said."""
    if limits is None:
        return ResultFlag.NONE
    if kind == ValueKind.TEXT:
        if limits.normal_text is None:
            return ResultFlag.NONE
        return ResultFlag.NORMAL if finding(value) == finding(limits.normal_text) else ResultFlag.ABNORMAL
    number = Decimal(value)
    if limits.critical_low is not None and number < Decimal(limits.critical_low):
        return ResultFlag.CRITICALLY_LOW
    if limits.critical_high is not None and number > Decimal(limits.critical_high):
        return ResultFlag.CRITICALLY_HIGH
    if limits.low is not None and number < Decimal(limits.low):
        return ResultFlag.LOW
    if limits.high is not None and number > Decimal(limits.high):
        return ResultFlag.HIGH
    return ResultFlag.NORMAL


def range_text(limits: Range | None) -> str:
    """Return the range as a report prints it, without critical limits: `3.5 - 5.1`, `<= 5.1`, `>= 3.5`, `Negative` or nothing."""
    if limits is None:
        return ""
    if limits.normal_text is not None:
        return limits.normal_text
    if limits.low is not None and limits.high is not None:
        return f"{limits.low} - {limits.high}"
    if limits.high is not None:
        return f"<= {limits.high}"
    return f">= {limits.low}" if limits.low is not None else ""


def finding(text: str) -> str:
    """Return what two findings are compared by: no case, and without the tag that terminologies add, `Negative (qualifier value)`."""
    return text.strip().casefold().removesuffix(_QUALIFIER)


def _fits(limits: Range, *, sex: str, age: int | None, species: str | None) -> bool:
    if (limits.species or "").casefold() != (species or "").strip().casefold():
        return False
    if limits.sex is not None and limits.sex != sex:
        return False
    if age is None:
        return limits.for_all_ages
    return limits.age_from_days <= age and (limits.age_until_days is None or age < limits.age_until_days)


def _specificity(limits: Range) -> int:
    return (limits.sex is not None) + (not limits.for_all_ages)


# --- orders -------------------------------------------------------------------------------------------------------------------------


def order_status(results: Iterable[tuple[str, str]]) -> OrderStatus:
    """Tell how an order stands from all its results, as (analyte, status).

    An amendment that is entered and not yet verified changes nothing: the verified value stands until then.
    """
    by_analyte: dict[str, set[str]] = defaultdict(set)
    for analyte_id, status in results:
        by_analyte[analyte_id].add(status)
    states = list(by_analyte.values())
    if all(each & RELEASED_RESULT for each in states):
        return OrderStatus.AMENDED if any(ResultStatus.AMENDED in each for each in states) else OrderStatus.FINAL
    if any(each == {ResultStatus.PENDING} for each in states):
        return OrderStatus.IN_PROGRESS
    return OrderStatus.PRELIMINARY
