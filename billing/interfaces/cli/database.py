"""`billing init` and `billing db`: the database made and kept at its migrations' heads. Knows no clinic."""

from typing import TYPE_CHECKING

import click

from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.migrations import Lineage


@click.command()
@click.pass_obj
def init(console: Console) -> None:
    """Make the database with all its tables, and the local operator, who may do everything (and is audited).

    It can be run again: what is there stays.
    """
    from billing.services import setup

    upgraded = _upgrade(console)
    made = console.database.set_up(setup.make_operator)
    if console.wants_json:
        console.show({"database": _shown_url(console), "upgraded": upgraded, "operator_made": made})
        return
    console.say(f"Database: {_shown_url(console)}")
    console.say(f"Upgraded: {', '.join(upgraded)}." if upgraded else "Its tables are there and up to date.")
    console.say(f"{'Made' if made else 'There is'} the local operator ({setup.OPERATOR_LOGIN}).")
    if made:
        console.say('Next: billing clinic create --code north --name "North" --currency EUR --time-zone Europe/Berlin')


@click.group()
def db() -> None:
    """The database's migrations."""


@db.command()
@click.pass_obj
def upgrade(console: Console) -> None:
    """Bring the database to what the installed core and plugins need; a second run does nothing."""
    upgraded = _upgrade(console)
    if console.wants_json:
        console.show({"upgraded": upgraded})
    console.say(f"Upgraded: {', '.join(upgraded)}." if upgraded else "Everything is up to date.")


@db.command()
@click.pass_obj
def status(console: Console) -> None:
    """Show where the core's and each plugin's migrations stand."""
    from billing import migrations

    engine = console.open_database().engine
    found = migrations.status(engine, registry=console.registry)
    if warning := migrations.warning(engine):
        console.warn(warning)
    console.show([_row(each) for each in found], columns=["lineage", "current", "head", "up_to_date"])


@db.command()
@click.option("--sql", "sql_only", is_flag=True, help="Print the statements for a database of which nothing is spread yet, and run none.")
@click.pass_obj
def distribute(console: Console, sql_only: bool) -> None:
    """Spread the database over the nodes of a Citus cluster: each clinic on one node, what all share on every node.

    The database must be migrated and have the extension citus. From then on `billing db upgrade` spreads new tables by itself.
    """
    from billing import migrations

    if sql_only:
        statements = migrations.distribution_sql(console.registry)
        if console.wants_json:
            console.show({"statements": statements})
        for statement in statements:
            console.say(f"{statement};")
        return
    spread = migrations.distribute(console.settings.database_url, registry=console.registry, settings=console.settings)
    for name in spread.left_over:
        console.warn(f"the table {name} stays on this node: no installed plugin knows it")
    if console.wants_json:
        console.show({"distributed": spread.tables, "left_over": spread.left_over})
    console.say(f"Spread over the nodes: {', '.join(spread.tables)}." if spread.tables else "Everything is spread already.")


@db.command()
@click.argument("role")
@click.pass_obj
def grant(console: Console, role: str) -> None:
    """Give ROLE, as which the application connects to PostgreSQL, what it needs and no more. The tables' owner does this, after each upgrade.

    Where BILLING_OWNER_DATABASE_URL is set, init and upgrade do it by themselves.
    """
    from billing import migrations

    migrations.grant(console.settings.owner_url, role=role, settings=console.settings)
    console.say(f"{role} may work with every table, and change none of them.")


def _upgrade(console: Console) -> list[str]:
    from billing.services.installation import upgrade_database

    done = upgrade_database(console.settings, plugins=console.registry)
    return [each.name for each in done]


def _row(lineage: "Lineage") -> dict[str, object]:
    return {"lineage": lineage.name, "current": lineage.current, "head": lineage.head, "up_to_date": not lineage.behind}


def _shown_url(console: Console) -> str:
    return console.database.engine.url.render_as_string(hide_password=True)
