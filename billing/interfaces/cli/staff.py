"""`billing staff`: members of the clinic, their roles, and providers who don't sign in."""

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import list_options
from billing.interfaces.cli.units import show_act, show_list

COLUMNS = ["login", "name", "role", "provider", "active", "id"]


@click.group()
def staff() -> None:
    """Staff, their roles, and providers."""


@staff.command()
@click.option("--login", required=True, help="The name to sign in by; somebody of another clinic keeps theirs.")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", required=True, help="clinician, cashier, manager, auditor, admin, importer, or a plugin's.")
@click.option("--provider", is_flag=True, help="The person sees patients.")
@click.pass_obj
def add(console: Console, login: str, name: str, role: str, provider: bool) -> None:
    """Make a person a member of the clinic."""
    from billing.services import staff as services

    show_act(console, lambda tx: services.add_staff(tx, login=login, name=name, role=role, provider=provider))


@staff.command("list")
@click.option("--providers", is_flag=True, help="Only those who see patients.")
@list_options
@click.pass_obj
def list_(console: Console, providers: bool, limit: int, everything: bool) -> None:
    """List the members of the clinic, by name."""
    from billing.services import staff as services

    show_list(
        console,
        lambda tx, limit, after: services.list_staff(tx, providers=providers, limit=limit, after=after),
        columns=COLUMNS,
        limit=limit,
        everything=everything,
    )


@staff.command()
@click.argument("member")
@click.argument("role")
@click.pass_obj
def role(console: Console, member: str, role: str) -> None:
    """Give MEMBER (a login or an id) another ROLE."""
    from billing.services import staff as services

    show_act(console, lambda tx: services.change_role(tx, member=member, role=role))


@staff.command()
@click.argument("member")
@click.pass_obj
def deactivate(console: Console, member: str) -> None:
    """End what MEMBER (a login or an id) may do here; what they did stays theirs."""
    from billing.services import staff as services

    show_act(console, lambda tx: services.deactivate_membership(tx, member=member))


@staff.command()
@click.argument("member")
@click.pass_obj
def activate(console: Console, member: str) -> None:
    """Let MEMBER (a login or an id) act here again."""
    from billing.services import staff as services

    show_act(console, lambda tx: services.activate_membership(tx, member=member))


@staff.group()
def provider() -> None:
    """Those who see patients."""


@provider.command("add")
@click.option("--name", required=True, help="The provider's name.")
@click.option("--source", help="Where the provider comes from, such as another system's id.")
@click.pass_obj
def add_provider(console: Console, name: str, source: str | None) -> None:
    """Add somebody who sees patients and does not sign in."""
    from billing.services import staff as services

    show_act(console, lambda tx: services.add_provider(tx, name=name, source=source))
