"""`billing receipt`: payments that were taken, and their receipts on paper."""

from pathlib import Path
from typing import Any, Literal

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.files import writing
from billing.interfaces.cli.options import list_options
from billing.interfaces.cli.units import show_list

COLUMNS = ["receipt_number", "taken_at", "invoice_number", "scope", "applied", "currency", "cashier", "voided_at", "id"]
HEAD = ["receipt_number", "invoice_number", "scope", "currency", "applied", "tendered", "change", "rounding", "taken_at", "cashier"]
HEAD += ["voided_at", "void_reason", "id"]
PARTS = {
    "tenders": ["method", "amount", "reference"],
    "items": ["department", "code", "description", "quantity", "total"],
    "effects": ["plugin", "kind", "quantity", "data"],
}


@click.group()
def receipt() -> None:
    """Payments that were taken, and their receipts."""


@receipt.command("list")
@click.option("--invoice", metavar="INVOICE", help="Only those of this invoice.")
@list_options
@click.pass_obj
def list_(console: Console, invoice: str | None, limit: int, everything: bool) -> None:
    """List the payments, latest first."""
    from billing.services import listing, reading

    def fetch(tx: Any, limit: int, after: Any) -> Any:
        invoice_id = reading.find_invoice_id(tx, invoice) if invoice else None
        return listing.list_payments(tx, invoice_id=invoice_id, limit=limit, after=after)

    show_list(console, fetch, columns=COLUMNS, limit=limit, everything=everything, place=lambda row: row)


@receipt.command()
@click.argument("name", metavar="RECEIPT")
@click.pass_obj
def show(console: Console, name: str) -> None:
    """Show a payment, by receipt number or id, with tenders, items and what departments did for them."""
    from billing.services import reading

    seen, currency = console.read(lambda tx: (reading.read_payment(tx, payment=name), tx.clinic.currency))
    data = render.fields(seen, currency)
    console.show_parts({**data.pop("payment"), **data}, head=HEAD, parts=PARTS)


@receipt.command("print")
@click.argument("name", metavar="RECEIPT")
@click.option(
    "--form", type=click.Choice(["text", "80mm", "a4"]), default="text", show_default=True, help="Text, or HTML for a roll or a page."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
@click.pass_obj
def print_(console: Console, name: str, form: Literal["text", "80mm", "a4"], out: Path | None) -> None:
    """Print a receipt; every print after the first is marked as a copy."""
    from billing.services import documents, reading

    printed = console.run(lambda tx: documents.print_receipt(tx, payment_id=reading.read_payment(tx, payment=name).payment.id, form=form))
    with writing(out) as stream:
        stream.write(printed.content.rstrip("\n") + "\n")
