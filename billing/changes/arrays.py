"""Values as PostgreSQL reads them: a column of rows as one array literal. Knows the columns' types, and no statement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.model.types import JsonType, canonical_json
from billing.trips import DIALECTS

_DIALECT = DIALECTS["postgresql"]

Write = Callable[[Any], str]
"""Writes one value as it stands in an array literal."""


@cache
def column_types(table: Table) -> dict[str, str]:
    """Return the PostgreSQL type of each column, for the casts of its parameters."""
    return {column.name: column.type.compile(_DIALECT) for column in table.columns}


def scalar(table: Table, name: str, value: Any) -> str | None:
    """Return one value of a column as text."""
    if value is None or type(value) is str:
        return value
    return canonical_json(value) if isinstance(table.columns[name].type, JsonType) else _TEXTS.get(type(value), str)(value)


@cache
def array_writers(table: Table, names: tuple[str, ...]) -> tuple[tuple[str, Write], ...]:
    """Return the columns, each with what writes its values."""
    return tuple((name, _json if isinstance(table.columns[name].type, JsonType) else _value) for name in names)


def array_literals(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, Write]]) -> list[str]:
    """Return the rows as one array literal for each column: one pass over the rows, since this is done for every payment."""
    if len(rows) == 1:
        row = rows[0]
        return ["{" + write(row[name]) + "}" for name, write in columns]
    return ["{" + ",".join([write(row[name]) for row in rows]) + "}" for name, write in columns]


def _value(value: Any) -> str:
    if type(value) is str:
        return _quoted(value)
    return _WRITTEN[type(value)](value) if type(value) in _WRITTEN else _quoted(str(value))


def _json(value: Any) -> str:
    return "NULL" if value is None else _quoted(canonical_json(value))


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("an instant must be aware: give it a time zone")
    return value.isoformat()


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    bool: lambda value: "t" if value else "f",
    datetime: _instant,
    date: date.isoformat,
}
"""How a value is written that neither is a text nor writes itself."""

_WRITTEN: Mapping[type, Callable[[Any], str]] = {
    **_TEXTS,
    int: str,
    type(None): lambda _: "NULL",
    datetime: lambda value: f'"{_instant(value)}"',
}
