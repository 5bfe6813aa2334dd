"""Options and arguments that several commands share, read into values: days, instants, tax, lists. Knows no service."""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.errors import Invalid

if TYPE_CHECKING:
    from billing.rules.totals import TaxGroup

F = TypeVar("F", bound=Callable[..., Any])

LATEST = 50


class BadOption(Invalid):
    """The text of an option can't be read. Facts: `option`, `text`."""

    code = "bad_option"


class Day(click.ParamType[date]):
    """A day such as 2027-01-31."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read the day; nothing but the one way to write it."""
        if isinstance(value, date):
            return value
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is None or day.isoformat() != value:
            self.fail(f"{value[:40]!r} is no day: write it like 2027-01-31.", param, ctx)
        return day


class Moment(click.ParamType[datetime]):
    """An instant such as 2027-01-31T09:30, at the clinic's clocks unless it names an offset."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the instant; `in_zone` makes it aware."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value[:40]!r} is no instant: write it like 2027-01-31T09:30.", param, ctx)


DAY, MOMENT = Day(), Moment()


def in_zone(at: datetime, zone: str) -> datetime:
    """Return the instant that a clock in the zone means."""
    from zoneinfo import ZoneInfo

    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone))


def parse_tax(text: str) -> "TaxGroup":
    """Read a tax such as "S:19", a category without tax such as "E", or a rate alone, such as "19". Raises `Invalid` errors."""
    from billing.money import parse_rate
    from billing.rules.totals import TaxGroup

    category, colon, rate = text.partition(":")
    if not colon and category[:1].isdigit():
        category, rate = "S" if category.strip("0.") else "Z", category
    return TaxGroup(category.upper(), parse_rate(rate) if rate else 0)


def split(text: str, option: str, shape: str, *, least: int) -> list[str]:
    """Split "a:b:c" at its colons into as many parts as the shape has. Raises `BadOption`."""
    names = shape.split(":")
    parts = text.split(":", len(names) - 1)
    if len(parts) < least or not all(part.strip() for part in parts[:least]):
        raise BadOption(f"{option} {text[:60]!r} can't be read: write it like {shape}.", option=option, text=text)
    return [part.strip() for part in parts] + [""] * (len(names) - len(parts))


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Read "name=value" texts. Raises `BadOption`."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadOption(f"{option} {text[:60]!r} can't be read: write it like name=value.", option=option, text=text)
        found[name.strip()] = value
    return found


def parse_value(text: str) -> Any:
    """Read a value as JSON where it is JSON (true, 30, ["a"]), else as the text that it is. Raises `BadOption` for numbers with decimals."""
    try:
        return json.loads(text, parse_float=_no_float)
    except json.JSONDecodeError:
        return text


def _no_float(text: str) -> Any:
    raise BadOption(f'{text} has decimals: write it as a text, "{text}" in double quotes.', option="value", text=text)


def list_options(command: F) -> F:
    """Add --limit and --all to a command that lists."""
    command = click.option("--all", "everything", is_flag=True, help="All of them, in any number.")(command)
    return click.option("--limit", type=click.IntRange(1, 500), default=LATEST, show_default=True, help="At most so many.")(command)


def day_options(command: F) -> F:
    """Add --from and --until to a command about days."""
    command = click.option("--until", "until_day", type=DAY, help="Before this day.")(command)
    return click.option("--from", "from_day", type=DAY, help="From this day on.")(command)
