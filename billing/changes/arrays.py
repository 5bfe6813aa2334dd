"""Values as PostgreSQL reads them: a column of rows as one array literal. Knows the columns' types, and no statement."""

from collections.abc import Callable, Sequence
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
    scalar = scalar_of(table, name)

    def literal(values: Sequence[Any]) -> str:
        return "{" + ",".join([_quoted(scalar(value)) for value in values]) + "}"

    return literal


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant must be aware: give it a time zone")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
