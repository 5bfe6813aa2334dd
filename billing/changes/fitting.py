"""Which values a plugin may put into a column. The database would refuse the rest too, but it can't name the plugin."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table, Text

from billing.model import canonical_json
from billing.model.types import DayType, FlagType, IdType, InstantType, JsonType, WholeType


@cache
def fitting(table: Table) -> dict[str, Callable[[Any], bool]]:
    """Return for each column of a clinic's table whether a value fits it; the clinic's own column is left out, no plugin sets it."""
    return {column.name: _FITTING[type(column.type)] for column in table.columns if column.name != "clinic_id"}


def whole(value: object) -> bool:
    """Tell whether a value is a whole number that a column can hold; a bool is none."""
    return type(value) is int and abs(value) < 2**63


def storable(value: object) -> bool:
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
    IdType: lambda value: isinstance(value, str),
    Text: lambda value: isinstance(value, str) and "\0" not in value,
    WholeType: whole,
    FlagType: lambda value: isinstance(value, bool),
    InstantType: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    DayType: lambda value: type(value) is date,
    JsonType: storable,
}
