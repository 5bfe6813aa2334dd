"""`billing report`: takings, tax, voids, discounts, shifts, receivables, statements, gaps: as tables, JSON or CSV."""

import csv
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import day_options

if TYPE_CHECKING:
    from billing.transaction import Transaction

F = TypeVar("F", bound=Callable[..., Any])

TAKINGS = ["key", "name", "received", "returned", "net"]
TAX = ["category", "rate", "taxable", "tax"]
VOIDS = ["kind", "person", "approver", "acts", "refunded", "rounding", "credited", "written_off"]
DISCOUNTS = ["person", "approver", "code", "plugin", "invoices", "discount"]
SHIFTS = ["closed_date", "cashier", "drawer", "method", "expected", "counted", "difference", "shift_id"]
RECEIVABLES = ["name", "not_due", "days_1_30", "days_31_60", "days_61_90", "over_90", "total", "id"]
STATEMENT = ["date", "at", "kind", "document", "owed_change", "wallet_change", "owed", "wallet"]
GAPS = ["kind", "series", "period", "first", "latest", "documents", "complete", "missing", "twice", "outside"]

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@click.group()
def report() -> None:
    """Reports of some days, which are the journal's, and what is owed now."""


def _csv_option(command: F) -> F:
    return click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")(command)


@report.command()
@day_options
@click.option("--by", type=click.Choice(["day", "department", "method", "cashier", "provider"]), default="day", show_default=True)
@click.option("--chart/--no-chart", default=True, show_default=True, help="Bars below the days, on a terminal only.")
@_csv_option
@click.pass_obj
def takings(console: Console, from_day: date | None, until_day: date | None, by: str, *, chart: bool, as_csv: bool) -> None:
    """What was taken and given back, by day, department, method, cashier or provider."""
    from billing.services import reports

    found = _show(console, lambda tx: reports.takings(tx, by=by, from_date=from_day, until_date=until_day), columns=TAKINGS, as_csv=as_csv)
    if chart and by == "day" and not (as_csv or console.wants_json):
        from billing.interfaces.cli.charts import bars, on_terminal

        rows, shown = found
        if not rows or not on_terminal():
            return
        console.out("")
        for line in bars([(row.key, row.net_minor, fields["net"]) for row, fields in zip(rows, shown, strict=True)]):
            console.out(line)


@report.command()
@day_options
@_csv_option
@click.pass_obj
def tax(console: Console, from_day: date | None, until_day: date | None, *, as_csv: bool) -> None:
    """What was taxed and the tax by group, less what was cancelled and credited."""
    from billing.services import reports

    _show(console, lambda tx: reports.tax(tx, from_date=from_day, until_date=until_day), columns=TAX, as_csv=as_csv)


@report.command()
@day_options
@_csv_option
@click.pass_obj
def voids(console: Console, from_day: date | None, until_day: date | None, *, as_csv: bool) -> None:
    """Voids, refunds, returns, cancellations and write-offs, by person and who approved them."""
    from billing.services import reports

    _show(console, lambda tx: reports.voids(tx, from_date=from_day, until_date=until_day), columns=VOIDS, as_csv=as_csv)


@report.command()
@day_options
@_csv_option
@click.pass_obj
def discounts(console: Console, from_day: date | None, until_day: date | None, *, as_csv: bool) -> None:
    """What was given away on invoices issued on these days, by person, approval, code and plugin."""
    from billing.services import reports

    _show(console, lambda tx: reports.discounts(tx, from_date=from_day, until_date=until_day), columns=DISCOUNTS, as_csv=as_csv)


@report.command("shifts")
@day_options
@_csv_option
@click.pass_obj
def shifts_(console: Console, from_day: date | None, until_day: date | None, *, as_csv: bool) -> None:
    """What closed shifts should have had, what was counted, and the difference."""
    from billing.services import reports

    _show(console, lambda tx: reports.shift_differences(tx, from_date=from_day, until_date=until_day), columns=SHIFTS, as_csv=as_csv)


@report.command("receivables")
@click.option("--by", type=click.Choice(["client", "payer"]), default="client", show_default=True)
@_csv_option
@click.pass_obj
def receivables_(console: Console, by: str, *, as_csv: bool) -> None:
    """What clients, or payers, owe now, by age."""
    from billing.services import receivables

    _show(console, lambda tx: receivables.aged_receivables(tx, by=by), columns=RECEIVABLES, as_csv=as_csv)


@report.command()
@click.argument("client")
@day_options
@_csv_option
@click.pass_obj
def statement(console: Console, client: str, from_day: date | None, until_day: date | None, *, as_csv: bool) -> None:
    """The account of CLIENT (an id): what was owed and in the wallet before, each act, and what is now."""
    from billing.services import statements

    found, currency = console.read(
        lambda tx: (statements.client_statement(tx, client_id=client, from_date=from_day, until_date=until_day), tx.clinic.currency)
    )
    data = render.fields(found, currency)
    if as_csv and not console.wants_json:
        _write_csv(data["lines"], STATEMENT)
        return
    head = ["client", "opening_owed", "opening_wallet", "closing_owed", "closing_wallet"]
    console.show_parts(data, head=head, parts={"lines": STATEMENT})


@report.command("gaps")
@_csv_option
@click.pass_obj
def gaps_(console: Console, *, as_csv: bool) -> None:
    """Every number series and period, and the numbers that are missing; receipts are those of payments and of wallets."""
    from billing.services import gaps

    _show(console, gaps.list_gaps, columns=GAPS, as_csv=as_csv)


def _show(
    console: Console, read: "Callable[[Transaction], Sequence[Any]]", *, columns: Sequence[str], as_csv: bool
) -> tuple[Sequence[Any], Sequence[render.Fields]]:
    found, currency = console.read(lambda tx: (read(tx), tx.clinic.currency))
    shown = render.rows(found, currency)
    if as_csv and not console.wants_json:
        _write_csv(shown, columns)
    else:
        console.show(shown, columns=columns)
    return found, shown


def _write_csv(rows: Sequence[render.Fields], columns: Sequence[str]) -> None:
    from billing.rules.spreadsheet import safe_cell

    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column], safe_cell) for column in columns])


def _cell(value: Any, safe: Callable[[str], str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return safe(", ".join(value))
    text = str(value)
    return text if _NUMBER.fullmatch(text) else safe(text)
