"""`billing pay-all`: one payment over several invoices of a client."""

from typing import Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console

PARTS = ["receipt_number", "invoice_id", "scope", "applied", "rounding", "amount_due", "status"]


@click.command("pay-all")
@click.argument("invoices", nargs=-1, metavar="[INVOICE]...")
@click.option("--client", "client_id", metavar="ID", help="All open invoices of this client, the oldest due first.")
@click.option("--cash", multiple=True, metavar="AMOUNT")
@click.option("--card", multiple=True, metavar="AMOUNT[:REFERENCE]")
@click.option("--transfer", multiple=True, metavar="AMOUNT[:REFERENCE]")
@click.option("--tender", multiple=True, metavar="METHOD=AMOUNT[:REFERENCE]", help="By any method of the clinic, such as wallet.")
@click.option("--series", help="A number series of receipts. [default: the clinic's standard one]")
@click.option("--key", help="Idempotency key: the same payment under it is taken once.")
@click.pass_obj
def pay_all(
    console: Console, /, invoices: tuple[str, ...], client_id: str | None, series: str | None, key: str | None, **named: tuple[str, ...]
) -> None:
    """Pay several invoices of one client at once: those named (number or id), in that order, or --client's.

    Each is paid whole as long as the money lasts, and has a receipt; the first that it does not cover gets the rest on account.
    """
    from billing.interfaces.cli.tenders import parse_tender, tender_texts
    from billing.model import new_id
    from billing.services import group_payments, reading

    if not invoices and client_id is None:
        raise click.UsageError("Name the invoices, or --client.")
    texts = list(tender_texts(named))
    if not texts:
        raise click.UsageError("Say how it is paid: --cash, --card, --transfer or --tender.")
    once = key or f"cli-{new_id()}"

    def act(tx: Any) -> Any:
        return group_payments.pay_invoices(
            tx,
            client_id=client_id,
            invoice_ids=[reading.find_invoice_id(tx, name) for name in invoices],
            tenders=[parse_tender(text, tx.clinic.currency) for text in texts],
            series=series,
            key=once,
        )

    taken, currency = console.run(lambda tx: (act(tx), tx.clinic.currency))
    head = ["currency", "tendered", "change", "applied", "replayed"]
    console.show_parts(render.fields(taken, currency), head=head, parts={"parts": PARTS})
