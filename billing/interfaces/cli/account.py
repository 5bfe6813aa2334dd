"""`billing account` and `billing balances`: the chart of accounts, and what stands on them."""

from datetime import date

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import day_options
from billing.interfaces.cli.units import show_act, show_rows

COLUMNS = ["code", "name", "account", "own"]
BALANCES = ["code", "name", "opening", "debit", "credit", "closing"]


@click.group()
def account() -> None:
    """The chart of accounts."""


@account.command("list")
@click.pass_obj
def list_(console: Console) -> None:
    """List the accounts, each with its key in the journal."""
    from billing.services import accounts

    show_rows(console, accounts.list_accounts, columns=COLUMNS)


@account.command("set")
@click.argument("key")
@click.option("--code", metavar="NUMBER", help="Its number in your chart.")
@click.option("--name", help="Such as Assets:Bank:Giro.")
@click.pass_obj
def set_(console: Console, key: str, code: str | None, name: str | None) -> None:
    """Give the account KEY a number and a name of your own; what was booked stays as it is."""
    from billing.services import accounts

    show_act(console, lambda tx: accounts.set_account(tx, account=key, code=code, name=name))


@click.command()
@day_options
@click.pass_obj
def balances(console: Console, from_day: date | None, until_day: date | None) -> None:
    """Show the trial balance: debit above zero, credit below."""
    from billing.services import balances as services

    show_rows(console, lambda tx: services.balances(tx, from_date=from_day, until_date=until_day), columns=BALANCES)
