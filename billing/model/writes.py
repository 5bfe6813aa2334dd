"""What can be written: sets of rows of one table, numbers of a series, audit entries. Values only; changes/ carries them out."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Table


class Number:
    """A document number that the database gives out with the write itself; known once the write has been sent."""

    __slots__ = ("digits", "period", "prefix", "series", "start_value", "suffix", "value")

    def __init__(self, *, series: str, period: str, prefix: str, digits: int, suffix: str, start_value: int) -> None:
        self.series = series
        self.period = period
        self.prefix = prefix
        self.digits = digits
        self.suffix = suffix
        self.start_value = start_value
        self.value: int | None = None

    @property
    def text(self) -> str:
        """The printed number. A program error before the write was sent."""
        assert self.value is not None, "the number is taken with the write, which has not been sent yet"
        return f"{self.prefix}{self.value:0{self.digits}}{self.suffix}"

    @property
    def format(self) -> str:
        """How it is printed, its period filled in, as rules/numbers.py reads it: `R-2026-{number:05}`."""
        digits = f":0{self.digits}" if self.digits > 1 else ""
        return f"{self.prefix}{{number{digits}}}{self.suffix}"


class NumberValue(NamedTuple):
    """Stands in a row for the value of a number that is taken by the same write."""

    number: Number


class NumberText(NamedTuple):
    """Stands in a row for the printed form of a number that is taken by the same write."""

    number: Number


class InsertRows(NamedTuple):
    """Insert rows; all name the same columns. The clinic is added by the executor."""

    table: Table
    rows: Sequence[Mapping[str, Any]]


class PutRows(NamedTuple):
    """Insert rows or, where the primary key stands already, overwrite the other columns named."""

    table: Table
    rows: Sequence[Mapping[str, Any]]


class AddRows(NamedTuple):
    """Insert rows or, where the primary key stands already, add to the other columns named: what acts of many people sum up in."""

    table: Table
    rows: Sequence[Mapping[str, Any]]


class AdjustedRow(NamedTuple):
    """Add `deltas` to the columns of the row with `key`; `at_least` are floors by column."""

    key: Mapping[str, Any]
    deltas: Mapping[str, int]
    at_least: Mapping[str, int] = MappingProxyType({})


class AdjustRows(NamedTuple):
    """Adjust rows of one table, all by the same columns. A row that is missing or would fall below its floor fails the write."""

    table: Table
    rows: Sequence[AdjustedRow]


class ChangedRow(NamedTuple):
    """Set columns of the row with `key`, if it still is as `expect` says (null equals null)."""

    key: Mapping[str, Any]
    expect: Mapping[str, Any]
    set: Mapping[str, Any]


class ChangeRows(NamedTuple):
    """Change rows of one table, all by the same columns. A row that is missing or differs fails the write."""

    table: Table
    rows: Sequence[ChangedRow]


class DeleteRows(NamedTuple):
    """Delete rows of one table by key columns (core only: source claims and the items of a draft)."""

    table: Table
    keys: Sequence[Mapping[str, Any]]


Write = InsertRows | PutRows | AddRows | AdjustRows | ChangeRows | DeleteRows
"""A set of rows to write; the boundary adds numbers and audit entries."""


class AuditRow(NamedTuple):
    """An audit entry before it has a place in the chain. `number` is a document number taken by the same write.

    `business_date` is the day that it is booked on: in a closed month it gets no place.
    """

    at: datetime
    business_date: date
    actor_id: str
    action: str
    subject: str
    subject_id: str
    data: Mapping[str, Any]
    number: Number | None = None
