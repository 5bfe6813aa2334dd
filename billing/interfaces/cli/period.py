"""`billing period`: months that are closed."""

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.units import show_rows

COLUMNS = ["month", "from_date", "until_date", "closed_at", "closed_by"]


@click.group()
def period() -> None:
    """Closed months: nothing is booked there any more."""


@period.command()
@click.argument("month", metavar="YYYY-MM")
@click.pass_obj
def close(console: Console, month: str) -> None:
    """Close a month, and all before it. It is never reopened; what was wrong in it is corrected today."""
    from billing.services import periods

    found, currency = console.run(lambda tx: (periods.close_period(tx, month=month), tx.clinic.currency))
    console.show(render.rows(found, currency), columns=COLUMNS)


@period.command("list")
@click.pass_obj
def list_(console: Console) -> None:
    """List the closed months, latest first."""
    from billing.services import periods

    show_rows(console, periods.list_periods, columns=COLUMNS)
