"""What is printed: tables for people, JSON for programs, services' values as plain fields. Knows no service and no database."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

from billing.clock import local
from billing.money import Currency, format_amount, format_quantity, format_rate, format_unit_price

if TYPE_CHECKING:
    from rich.table import Table

Fields = dict[str, Any]

_WIDE = 10_000
"""Nothing is folded in a file or a pipe."""

_UNITS: dict[str, Callable[[int, Currency], str]] = {
    "_minor": format_amount,
    "_milli": lambda milli, _: format_quantity(milli),
    "_e4": format_unit_price,
    "_bp": lambda rate_bp, _: format_rate(rate_bp),
}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def fields(value: Any, currency: Currency) -> Fields:
    """Return a service's frozen value as plain fields: amounts, prices, quantities, rates as decimal texts, named without their units."""
    return dict(_field(each.name, getattr(value, each.name), currency) for each in dataclasses.fields(value))


def rows(values: Iterable[Any], currency: Currency) -> list[Fields]:
    """Return several values as plain fields."""
    return [fields(value, currency) for value in values]


def as_json(data: Any) -> str:
    """Return the JSON text of plain values; days and instants as ISO text."""
    return json.dumps(data, ensure_ascii=False, indent=2, default=_plain)


def print_json_rows(pages: Iterable[Sequence[Fields]]) -> None:
    """Print pages of rows as one JSON array, a row a line, without ever holding more than one page."""
    before = "[\n"
    for page in pages:
        for row in page:
            click.echo(before + json.dumps(row, ensure_ascii=False, default=_plain), nl=False)
            before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def print_table(data: Sequence[Mapping[str, Any]], columns: Sequence[str], zone: str) -> None:
    """Print rows as a table: numbers to the right, instants by the clocks of `zone`, plain text without colours where nobody looks."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    cells = [[_cell(row.get(column), zone) for column in columns] for row in data]
    for at, column in enumerate(columns):
        shown = [row[at] for row in cells if row[at]]
        numbers = bool(shown) and all(_NUMBER.fullmatch(each) for each in shown)
        table.add_column(Text(column.replace("_", " ")), justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text and not markup: a name such as "[red]" is printed as it stands
    _print(table)


def print_fields(data: Mapping[str, Any], zone: str) -> None:
    """Print one thing: a line for each field, and a table below for each list of rows that it has."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    lists = {name: value for name, value in data.items() if _is_rows(value)}
    for name, value in data.items():
        if name not in lists:
            table.add_row(Text(name.replace("_", " ")), Text(_cell(value, zone)))
    _print(table)
    for name, value in lists.items():
        click.echo(f"\n{name.replace('_', ' ')}:")
        print_table(value, list(dict.fromkeys(key for row in value for key in row)), zone)


def _field(name: str, value: Any, currency: Currency) -> tuple[str, Any]:
    unit = next((unit for unit in _UNITS if name.endswith(unit)), None)
    if unit is None:
        return name, _nested(value, currency)
    return name.removesuffix(unit), None if value is None else _UNITS[unit](value, currency)


def _nested(value: Any, currency: Currency) -> Any:
    if isinstance(value, Currency):
        return value.code
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields(value, currency)
    if isinstance(value, Mapping):
        return dict(_field(str(key), each, currency) for key, each in value.items())
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_nested(each, currency) for each in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value)


def _cell(value: Any, zone: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{local(value, zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(each, zone) for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(each, zone)}" for key, each in value.items())
    return str(value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _print(table: "Table") -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(highlight=False, width=_WIDE, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
