"""`billing dev`: what helps those who work on this software; hidden from the list of commands."""

import click

from billing.interfaces.cli.console import Console


@click.group()
def dev() -> None:
    """For those who work on this software."""


@dev.command()
@click.pass_obj
def failpoints(console: Console) -> None:
    """List the points where BILLING_FAILPOINTS can make the work fail, in the order of a payment."""
    from billing.failpoints import POINTS

    console.show([{"point": name, "reached_when": sentence} for name, sentence in POINTS.items()])
