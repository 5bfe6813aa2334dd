"""Values as PostgreSQL reads them: a column of rows as one array literal. Knows the columns' types, and no statement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Table

from billing.model.types import DayType, FlagType, InstantType, JsonType, WholeType, canonical_json
from billing.trips import DIALECTS

_DIALECT = DIALECTS["postgresql"]

Literals = Callable[[Sequence[Mapping[str, Any]]], list[str]]
"""Makes of rows one array literal for each of some columns."""


@cache
def column_types(table: Table) -> dict[str, str]:
    """Return the PostgreSQL type of each column, for the casts of its parameters."""
    return {column.name: column.type.compile(_DIALECT) for column in table.columns}


def scalar(table: Table, name: str, value: Any) -> str | None:
    """Return one value of a column as text."""
    if value is None or type(value) is str:
        return value
    return _plain_writers(table)[name](value)


@cache
def array_literals(table: Table, names: tuple[str, ...]) -> Literals:
    """Return what makes the array literals of these columns: column by column, since this is done for every payment."""
    columns = [(name, table.columns[name].type) for name in names]
    writers = [_texts if type(kind) not in _WRITERS else _column_of(_WRITERS[type(kind)]) for _, kind in columns]
    if len(names) == 1:
        name, only = names[0], writers[0]
        return lambda rows: [only([row[name] for row in rows])]
    values_of = itemgetter(*names)
    return lambda rows: [write(column) for write, column in zip(writers, zip(*map(values_of, rows), strict=True), strict=True)]


def _texts(values: Sequence[Any]) -> str:
    """Write a column of texts or ids; nearly always none of them needs more than quotes."""
    if None not in values:
        plain = "".join(values)
        if '"' not in plain and "\\" not in plain:
            return '{"' + '","'.join(values) + '"}'
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _column_of(write: Callable[[Any], str]) -> Callable[[Sequence[Any]], str]:
    """Return what writes a column of values that need no quotes, or bring their own. What stands in every row is written once."""

    def literal(values: Sequence[Any]) -> str:
        first = values[0]
        shown = "NULL" if first is None else write(first)
        if len(values) == 1:
            return "{" + shown + "}"
        return "{" + ",".join([shown if each is first else "NULL" if each is None else write(each) for each in values]) + "}"

    return literal


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("an instant must be aware: give it a time zone")
    return value.isoformat()


def _flag(value: object) -> str:
    return "t" if value else "f"


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    WholeType: str,
    FlagType: _flag,
    DayType: date.isoformat,
    InstantType: lambda value: f'"{_instant(value)}"',
    JsonType: lambda value: _quoted(canonical_json(value)),
}
"""How a value of a column stands in an array, by the column's type; the other types are texts."""


@cache
def _plain_writers(table: Table) -> dict[str, Callable[[Any], str]]:
    plain = {**_WRITERS, InstantType: _instant, JsonType: canonical_json}
    return {column.name: plain.get(type(column.type), str) for column in table.columns}
