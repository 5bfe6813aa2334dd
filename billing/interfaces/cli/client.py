"""`billing client`: those who pay."""

from typing import Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import list_options
from billing.interfaces.cli.units import show_act, show_list, show_one


@click.group()
def client() -> None:
    """Those who pay: the patient, a parent, the owner of a pet."""


@client.command()
@click.option("--name", required=True)
@click.option("--phone", default="")
@click.option("--email", default="")
@click.option("--address", default="")
@click.option("--source", help="Where the client comes from, such as another system's id.")
@click.pass_obj
def add(console: Console, /, **given: Any) -> None:
    """Add somebody who pays."""
    from billing.services import patients

    show_act(console, lambda tx: patients.add_client(tx, **given))


@client.command("list")
@list_options
@click.pass_obj
def list_(console: Console, limit: int, everything: bool) -> None:
    """List those who pay, by name."""
    from billing.services import patients

    show_list(
        console,
        lambda tx, limit, after: patients.list_clients(tx, limit=limit, after=after),
        columns=("id", "name", "phone", "email", "address"),
        limit=limit,
        everything=everything,
    )


@client.command()
@click.argument("client_id", metavar="ID")
@click.pass_obj
def show(console: Console, client_id: str) -> None:
    """Show a client."""
    from billing.services import patients

    show_one(console, lambda tx: patients.read_client(tx, client_id=client_id))


@client.command("set")
@click.argument("client_id", metavar="ID")
@click.option("--name")
@click.option("--phone")
@click.option("--email")
@click.option("--address")
@click.pass_obj
def set_(console: Console, /, client_id: str, **given: Any) -> None:
    """Change a client."""
    from billing.services import patients

    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Name at least one thing to change.")
    show_act(console, lambda tx: patients.update_client(tx, client_id=client_id, changes=changes))
