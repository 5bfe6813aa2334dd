"""`billing series`: how invoices, receipts and credit notes are numbered."""

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.units import show_act, show_rows

COLUMNS = ["series", "kind", "format", "reset", "standard", "period", "latest_value", "next_number"]
RESET = click.Choice(["never", "year", "month"])


@click.group()
def series() -> None:
    """The numbers of invoices, receipts and credit notes."""


@series.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(["invoice", "receipt", "credit_note"]), required=True)
@click.option("--format", "shape", required=True, metavar="TEXT", help="Such as INV-{year}-{number:05}.")
@click.option("--reset", type=RESET, default="year", show_default=True, help="When it starts again.")
@click.option("--start", type=int, default=1, show_default=True, help="Its first number.")
@click.option("--standard", is_flag=True, help="Use it where no series is named.")
@click.pass_obj
def add(console: Console, name: str, kind: str, shape: str, reset: str, start: int, standard: bool) -> None:
    """Add the series NAME."""
    from billing.services import series as services

    show_act(
        console,
        lambda tx: services.add_series(tx, series=name, kind=kind, format=shape, reset=reset, start_value=start, standard=standard),
    )


@series.command("list")
@click.pass_obj
def list_(console: Console) -> None:
    """List the series, each with the number that comes next."""
    from billing.services import series as services

    show_rows(console, services.list_series, columns=COLUMNS)


@series.command("set")
@click.argument("name")
@click.option("--format", "shape", metavar="TEXT", help="Such as INV-{year}-{number:05}.")
@click.option("--reset", type=RESET, help="When it starts again.")
@click.option("--standard", is_flag=True, help="Use it where no series is named.")
@click.pass_obj
def set_(console: Console, name: str, shape: str | None, reset: str | None, standard: bool) -> None:
    """Let the series NAME print in another way from its next number on, or make it the standard one of its kind."""
    from billing.services import series as services

    if standard == (shape is not None or reset is not None):
        raise click.UsageError("Name a format or a reset, or else --standard.")
    if standard:
        show_act(console, lambda tx: services.make_standard(tx, series=name))
    else:
        show_act(console, lambda tx: services.change_series(tx, series=name, format=shape, reset=reset))
