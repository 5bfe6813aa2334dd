"""The six changes that a plugin can ask for, as values. They name tables and rows; they do nothing."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from billing.facts import BilledItem, RefundedItem

Key = str | Mapping[str, Any]
"""A row's id, or its primary key columns by name (without the clinic)."""


class Insert(NamedTuple):
    """Insert a row."""

    table: type[Any]
    row: Mapping[str, Any]


class Adjust(NamedTuple):
    """Add to columns of a row, never below a floor."""

    table: type[Any]
    key: Key
    deltas: Mapping[str, int]
    at_least: int | None = None


class ChangeRow(NamedTuple):
    """Set columns of a row that still is as expected."""

    table: type[Any]
    key: Key
    expect: Mapping[str, Any]
    set: Mapping[str, Any]


class Put(NamedTuple):
    """Insert a row or overwrite the one with the same primary key."""

    table: type[Any]
    key: Mapping[str, Any]
    set: Mapping[str, Any]


class DoneFor(NamedTuple):
    """An effect: what was done for an item."""

    item_id: str
    kind: str
    row: str = ""
    quantity_milli: int = 0
    data: Mapping[str, Any] = MappingProxyType({})


class Tell(NamedTuple):
    """An event for the clinic's other systems, told after the commit."""

    topic: str
    data: Mapping[str, Any]


Change = Insert | Adjust | ChangeRow | Put | DoneFor | Tell
"""What a hook may yield."""


def insert(table: type[Any], /, **row: Any) -> Insert:
    """Insert `row` into my table. Clinic and id are the kernel's; an id may be given when another row refers to it."""
    return Insert(table, row)


def adjust(table: type[Any], key: Key, /, *, at_least: int | None = None, **deltas: int) -> Adjust:
    """Add `deltas` to a row that a need has locked. A column that would fall below `at_least` refuses the whole action."""
    return Adjust(table, key, deltas, at_least)


def change(table: type[Any], key: Key, /, *, expect: Mapping[str, Any], **values: Any) -> ChangeRow:
    """Set columns of a row that a need has locked, if the columns in `expect` still hold these values (None means null)."""
    return ChangeRow(table, key, expect, values)


def put(table: type[Any], key: Mapping[str, Any], /, **values: Any) -> Put:
    """Write a row under its natural primary key, whether it stands there or not. Two of one key in one action: the last one wins."""
    return Put(table, key, values)


def effect(item: BilledItem | RefundedItem, kind: str, /, *, row: object = None, quantity_milli: int = 0, **data: Any) -> DoneFor:
    """State what was done for an item: `kind` like `stock.dispensed`, the row it was done to, how much (thousandths). Kept, and handed back on refund."""
    return DoneFor(item.id, kind, "" if row is None else str(row), quantity_milli, data)


def tell(topic: str, /, **data: Any) -> Tell:
    """Queue an event. Send ids: the receipt number is not known yet."""
    return Tell(topic, data)
