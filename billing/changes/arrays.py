"""Values as PostgreSQL reads them: a column of rows as one array literal. Knows the columns' types, and no statement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.model.types import JsonType, canonical_json
from billing.trips import DIALECTS

_DIALECT = DIALECTS["postgresql"]


@cache
def column_types(table: Table) -> dict[str, str]:
    """Return the PostgreSQL type of each column, for the casts of its parameters."""
    return {column.name: column.type.compile(_DIALECT) for column in table.columns}


@cache
def scalar_of(table: Table, name: str) -> Callable[[Any], str | None]:
    """Return what writes one value of a column as text."""
    if isinstance(table.columns[name].type, JsonType):
        return lambda value: None if value is None else canonical_json(value)
    return _text


@cache
def array_of(table: Table, name: str) -> Callable[[Sequence[Any]], str]:
    """Return what writes values of a column as an array literal."""
    if isinstance(table.columns[name].type, JsonType):
        return lambda values: _literal([None if value is None else canonical_json(value) for value in values])
    return _literal


def _literal(values: Sequence[Any]) -> str:
    return "{" + ",".join([_QUOTED.get(type(value), _quoted_text)(value) for value in values]) + "}"


def _text(value: Any) -> str | None:
    kind = type(value)
    if value is None or kind is str:
        return value  # type: ignore[no-any-return]
    return _TEXTS.get(kind, str)(value)


def _quoted_text(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("an instant must be aware: give it a time zone")
    return value.isoformat()


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    int: str,
    bool: lambda value: "t" if value else "f",
    datetime: _instant,
    date: date.isoformat,
}
"""How a value is written that is no text already."""

_QUOTED: Mapping[type, Callable[[Any], str]] = {
    **_TEXTS,
    type(None): lambda _: "NULL",
    datetime: lambda value: f'"{_instant(value)}"',
}
