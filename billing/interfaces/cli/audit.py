"""`billing audit`: who did what when, and whether the chain of it holds."""

from typing import Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import BadOption, list_options
from billing.interfaces.cli.units import show_list

COLUMNS = ["position", "at", "actor", "action", "subject", "subject_id", "data"]
BROKEN_EXIT_CODE = 1


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command("list")
@click.option("--action", help="Only this action, such as payment.taken.")
@click.option("--subject", "subject_id", metavar="ID", help="Only what was done to this row.")
@list_options
@click.pass_obj
def list_(console: Console, action: str | None, subject_id: str | None, limit: int, everything: bool) -> None:
    """List the entries, latest first."""
    from billing.services import audit as services

    show_list(
        console,
        lambda tx, limit, after: services.list_entries(tx, action=action, subject_id=subject_id, after=after, limit=limit),
        columns=COLUMNS,
        limit=limit,
        everything=everything,
        place=lambda entry: entry.position,
    )


@audit.command()
@click.option("--anchor", "anchors", multiple=True, metavar="POSITION:HASH", help="A hash that was noted earlier, outside the database.")
@click.pass_context
def verify(context: click.Context, anchors: tuple[str, ...]) -> None:
    """Recompute the whole chain from its entries. The exit code is 1 if it does not hold."""
    from billing.services import audit as services

    console: Console = context.obj
    noted = dict(map(_anchor, anchors))
    report, currency = console.read(lambda tx: (services.verify_chain(tx, anchors=noted), tx.clinic.currency))
    found: dict[str, Any] = {"intact": report.intact, **render.fields(report, currency)}
    console.show(found)
    if not report.intact:
        context.exit(BROKEN_EXIT_CODE)


def _anchor(text: str) -> tuple[int, str]:
    position, colon, noted = text.partition(":")
    if not (colon and position.isdecimal() and noted):
        raise BadOption(f"--anchor {text[:60]!r} can't be read: write it like 1200:9f86d0...", option="--anchor", text=text)
    return int(position), noted.lower()
