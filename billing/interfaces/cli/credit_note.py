"""`billing credit-note`: what was credited, and credit notes on paper."""

from pathlib import Path
from typing import Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.files import writing
from billing.interfaces.cli.options import list_options
from billing.interfaces.cli.units import show_list

COLUMNS = ["number", "business_date", "kind", "invoice_number", "credited", "refunded", "currency", "person", "reason", "id"]


@click.group("credit-note")
def credit_note() -> None:
    """Credit notes: list, print."""


@credit_note.command("list")
@click.option("--invoice", metavar="INVOICE", help="Only those of this invoice.")
@list_options
@click.pass_obj
def list_(console: Console, invoice: str | None, limit: int, everything: bool) -> None:
    """List the credit notes, latest first."""
    from billing.services import credit_notes, reading

    def fetch(tx: Any, limit: int, after: Any) -> Any:
        invoice_id = reading.find_invoice_id(tx, invoice) if invoice else None
        return credit_notes.list_credit_notes(tx, invoice_id=invoice_id, limit=limit, after=after)

    show_list(console, fetch, columns=COLUMNS, limit=limit, everything=everything, place=lambda row: row)


@credit_note.command("print")
@click.argument("name", metavar="NUMBER")
@click.option("--form", type=click.Choice(["text", "a4"]), default="text", show_default=True, help="Text, or a page of HTML.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
@click.pass_obj
def print_(console: Console, name: str, form: str, out: Path | None) -> None:
    """Print a credit note, by number or id; every print after the first is marked as a copy."""
    from billing.services import credit_notes, documents

    printed = console.run(
        lambda tx: documents.print_credit_note(
            tx, reversal_id=credit_notes.find_credit_note_id(tx, name), form="a4" if form == "a4" else "text"
        )
    )
    with writing(out) as stream:
        stream.write(printed.content.rstrip("\n") + "\n")
