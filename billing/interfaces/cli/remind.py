"""`billing remind`: tell what is overdue, by the levels of the clinic's policy."""

from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

if TYPE_CHECKING:
    from billing.services.reminders import Place

COLUMNS = ["number", "due_date", "level", "due", "fee", "client_id", "invoice_id"]


@click.command()
@click.pass_obj
def remind(console: Console) -> None:
    """Remind of overdue invoices: each level of the policy once, at most one a day for an invoice. Run it daily, or as often as you like."""
    from billing.services import reminders

    told: list[Any] = []
    after: Place | None = None
    while True:
        done, currency = console.run(lambda tx, after=after: (reminders.remind(tx, after=after), tx.clinic.currency))  # type: ignore[misc]
        told += render.rows(done.reminders, currency)
        after = done.after
        if after is None:
            break
    console.show(told, columns=COLUMNS)
