"""Which values a plugin may put into a column. The database would refuse the rest too, but it can't name the plugin."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, TypeGuard

from sqlalchemy import Table, Text

from billing.model import canonical_json
from billing.model.types import DayType, FlagType, IdType, InstantType, JsonType, WholeType


@cache
def fitting(table: Table) -> dict[str, Callable[[Any], bool]]:
    """Return for each column of a clinic's table whether a value fits it; the clinic's own column is left out, no plugin sets it."""

    def fits(column: Any) -> Callable[[Any], bool]:
        of_type = _FITTING[type(column.type)]
        return (lambda value: value is None or of_type(value)) if column.nullable else of_type

    return {column.name: fits(column) for column in table.columns if column.name != "clinic_id"}


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is a text that both databases can hold: no null character, no half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether a value is a text that an index can hold, wherever it is kept: at most 200 characters."""
    return is_text(value) and len(value) <= 200


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number that a column can hold; a bool is none."""
    return type(value) is int and abs(value) < 2**63


def is_storable(value: object) -> bool:
    """Tell whether a value can be written as JSON and read back as it was."""
    if type(value) is dict and all(type(key) is str and type(each) in _PLAIN for key, each in value.items()):
        return True
    try:
        canonical_json(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, (Mapping, list, tuple, str, int, bool))


_PLAIN = frozenset({str, int, bool, type(None)})

_FITTING: Mapping[type, Callable[[Any], bool]] = {
    IdType: is_text,
    Text: is_text,
    WholeType: is_whole,
    FlagType: lambda value: isinstance(value, bool),
    InstantType: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    DayType: lambda value: type(value) is date,
    JsonType: is_storable,
}
