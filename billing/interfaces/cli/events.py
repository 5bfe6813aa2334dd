"""`billing events`: what the clinic's other systems are to be told."""

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

COLUMNS = ["id", "at", "topic", "subject_id", "data"]


@click.group()
def events() -> None:
    """The outbox: what other systems are to be told."""


@events.command("list")
@click.option("--after", metavar="ID", help="Only those behind this event.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most so many.")
@click.pass_obj
def list_(console: Console, after: str | None, limit: int) -> None:
    """List the events that are still to be told, oldest first."""
    from billing.services.events import read_outbox

    rows = read_outbox(console.database, clinic=console.clinic, actor=console.actor, after=after, limit=limit)
    console.show(render.rows(rows, console.read(lambda tx: tx.clinic.currency)), columns=COLUMNS)
