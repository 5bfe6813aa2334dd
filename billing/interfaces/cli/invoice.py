"""`billing invoice`: from a preview of totals to an issued, printed or cancelled invoice."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.files import writing
from billing.interfaces.cli.options import DAY, list_options
from billing.interfaces.cli.units import show_list

if TYPE_CHECKING:
    from billing.money import Currency
    from billing.services.invoice_steps import InvoiceStep
    from billing.services.invoices import InvoiceMade

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = ["number", "created_at", "status", "total", "amount_paid", "amount_due", "currency", "due_date", "source", "id"]
HEAD = ["number", "status", "currency", "net", "tax", "total", "amount_paid", "amount_due", "created_at", "issue_date", "due_date"]
HEAD += ["note", "cancel_reason", "source", "patient_id", "client_id", "consultation_id", "version", "id"]
PARTS = {
    "items": ["position", "department", "code", "description", "quantity", "unit_price", "total", "receipt_number"],
    "reductions": ["charge", "amount", "reason"],
    "taxes": ["tax_category", "tax_rate", "taxable", "tax"],
    "payments": ["receipt_number", "taken_at", "scope", "applied", "cashier", "voided_at", "void_reason"],
    "reversals": ["kind", "number", "at", "credited", "refunded", "written_off", "person", "reason"],
}


@click.group()
def invoice() -> None:
    """Invoices: create, preview, edit, issue, cancel, print."""


def content_options(command: F) -> F:
    """Add the options that say what is billed."""
    for option in (
        click.option(
            "--from", "file", type=click.File("rb"), help="A JSON file that says it all, instead of options; - for standard input."
        ),
        click.option("--note", help="Printed on the invoice."),
        click.option("--charge", "charges", multiple=True, metavar="AMOUNT:REASON", help="On the whole invoice."),
        click.option("--discount", "discounts", multiple=True, metavar="AMOUNT:REASON", help="On the whole invoice."),
        click.option(
            "--text", "texts", multiple=True, metavar="DEPARTMENT:DESCRIPTION:PRICE[:TAX]", help="An item that is not on the price list."
        ),
        click.option(
            "--item", "items", multiple=True, metavar="CODE[:QUANTITY]", help="A service; CODE=QUANTITY where the code has colons."
        ),
    ):
        command = option(command)
    return command


def whose_options(command: F) -> F:
    """Add the options that say whose invoice it is."""
    for option in (
        click.option("--provider", metavar="NAME", help="Who did it: by name, login or id. [default: the consultation's]"),
        click.option("--consultation", "consultation_id", metavar="ID", help="The visit that it is for."),
        click.option("--patient", "patient_id", metavar="ID"),
    ):
        command = option(command)
    return command


@invoice.command()
@whose_options
@content_options
@click.option("--source", help="What it comes from (an encounter): billed at most once.")
@click.option("--expected-total", metavar="AMOUNT", help="Refuse it unless this is the total.")
@click.option("--series", help="A number series of invoices. [default: the clinic's standard one]")
@click.option("--key", help="Idempotency key: the same request under it is done once.")
@click.pass_obj
def create(console: Console, /, **given: Any) -> None:
    """Create a draft. Prices, tax and totals are computed here; nothing of them can be given."""
    from billing.interfaces.cli import invoice_content
    from billing.services import invoices

    content = invoice_content.read(given).keyed()
    made, currency = console.run(lambda tx: (invoices.create_invoice(tx, **content.for_create(tx)), tx.clinic.currency))
    console.show(_made(made, currency))


@invoice.command()
@whose_options
@content_options
@click.pass_obj
def preview(console: Console, /, **given: Any) -> None:
    """Show what an invoice would come to; nothing is stored."""
    from billing.interfaces.cli import invoice_content
    from billing.services import invoices

    content = invoice_content.read(given)
    quotation, currency = console.read(lambda tx: (invoices.preview_invoice(tx, **content.for_preview(tx)), tx.clinic.currency))
    data = invoice_content.quoted(quotation, currency)
    console.show_parts(data, head=["currency", "net", "tax", "total"], parts={**PARTS, "items": PARTS["items"][:-1]})


@invoice.command()
@click.argument("name", metavar="INVOICE")
@content_options
@click.option("--version", type=int, help="Refuse it unless this is the draft's version.")
@click.pass_obj
def edit(console: Console, /, name: str, version: int | None, **given: Any) -> None:
    """Replace the items, the discounts and charges, or the note of a draft; what is not given stays."""
    from billing.interfaces.cli import invoice_content
    from billing.services import invoices, reading

    content = invoice_content.read(given)
    made, currency = console.run(
        lambda tx: (
            invoices.edit_invoice(tx, invoice_id=reading.find_invoice_id(tx, name), version=version, **content.for_edit(tx)),
            tx.clinic.currency,
        )
    )
    console.show(_made(made, currency))


@invoice.command()
@click.argument("name", metavar="INVOICE")
@click.pass_obj
def show(console: Console, name: str) -> None:
    """Show an invoice, by number or id, with items, taxes, payments, and what was given back."""
    from billing.services import reading

    seen, currency = console.read(lambda tx: (reading.read_invoice(tx, invoice=name), tx.clinic.currency))
    data = render.fields(seen, currency)
    console.show_parts({**data.pop("invoice"), **data}, head=HEAD, parts=PARTS)


@invoice.command("list")
@click.option("--status", type=click.Choice(["draft", "sent", "partial", "paid", "cancelled", "overdue"]))
@click.option("--patient", "patient_id", metavar="ID", help="Only this patient's.")
@list_options
@click.pass_obj
def list_(console: Console, status: str | None, patient_id: str | None, limit: int, everything: bool) -> None:
    """List the invoices, latest first."""
    from billing.services import listing, patients

    def fetch(tx: Any, limit: int, after: Any) -> Any:
        patient = patients.read_patient(tx, patient_id=patient_id).id if patient_id else None
        return listing.list_invoices(tx, status=status, patient_id=patient, limit=limit, after=after)

    show_list(console, fetch, columns=COLUMNS, limit=limit, everything=everything, place=lambda row: row)


@invoice.command()
@click.argument("name", metavar="INVOICE")
@click.option("--due-date", type=DAY, help="[default: after the clinic's days for payment]")
@click.option("--series", help="A number series of invoices, for a draft without a number. [default: the clinic's standard one]")
@click.pass_obj
def issue(console: Console, name: str, due_date: date | None, series: str | None) -> None:
    """Issue a draft: from here on it never changes."""
    from billing.services import invoice_steps, reading

    step = console.run(
        lambda tx: invoice_steps.issue_invoice(tx, invoice_id=reading.find_invoice_id(tx, name), due_date=due_date, series=series)
    )
    console.show(_step(step))


@invoice.command()
@click.argument("name", metavar="INVOICE")
@click.option("--reason", required=True)
@click.pass_obj
def cancel(console: Console, name: str, reason: str) -> None:
    """Cancel an invoice of which nothing is paid. Its number stays used; what it came from can be billed again."""
    from billing.services import invoice_steps, reading

    step = console.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=reading.find_invoice_id(tx, name), reason=reason))
    console.show(_step(step))


@invoice.command("print")
@click.argument("name", metavar="INVOICE")
@click.option("--form", type=click.Choice(["text", "a4"]), default="text", show_default=True, help="Text, or a page of HTML.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
@click.pass_obj
def print_(console: Console, name: str, form: str, out: Path | None) -> None:
    """Print an invoice; every print of an issued one after the first is marked as a copy."""
    from billing.services import documents, reading

    printed = console.run(
        lambda tx: documents.print_invoice(tx, invoice_id=reading.find_invoice_id(tx, name), form="a4" if form == "a4" else "text")
    )
    with writing(out) as stream:
        stream.write(printed.content.rstrip("\n") + "\n")


def _made(made: "InvoiceMade", currency: "Currency") -> dict[str, Any]:
    data = render.fields(made, currency)
    del data["numbered"]
    return {"number": made.number, **data}


def _step(step: "InvoiceStep") -> dict[str, Any]:
    return {"number": step.number, "status": step.status, "due_date": step.due_date, "id": step.id}
