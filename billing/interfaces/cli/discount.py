"""`billing discount`: discounts on drafts, and discount codes."""

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import DAY, BadOption, list_options
from billing.interfaces.cli.units import show_act, show_list

if TYPE_CHECKING:
    from billing.money import Currency

COLUMNS = ["code", "percent_bp", "amount", "uses", "uses_left", "from_date", "until_date", "reason", "active"]


@click.group()
def discount() -> None:
    """Discounts: give one on a draft, redeem a code, add and end codes."""


@discount.command()
@click.argument("name", metavar="INVOICE")
@click.argument("worth", metavar="AMOUNT|PERCENT%")
@click.option("--item", "position", type=int, metavar="POSITION", help="On this item. [default: on the whole invoice]")
@click.option("--reason", required=True, help="Printed on the invoice.")
@click.option("--version", type=int, help="Refuse it unless this is the draft's version.")
@click.pass_obj
def give(console: Console, name: str, worth: str, position: int | None, reason: str, version: int | None) -> None:
    """Give a discount on a draft, such as 5.00 or 10%. Beyond your limit somebody else approves it: `billing approve discount INVOICE`."""
    from billing.services import discounts, reading

    def act(tx: Any) -> Any:
        invoice = reading.find_invoice_id(tx, name)
        worth_of = _worth(worth, tx.clinic.currency)
        return discounts.discount_draft(tx, invoice_id=invoice, position=position, reason=reason, version=version, **worth_of)

    _show_made(console, act)


@discount.command()
@click.argument("name", metavar="INVOICE")
@click.argument("code")
@click.option("--version", type=int, help="Refuse it unless this is the draft's version.")
@click.pass_obj
def redeem(console: Console, name: str, code: str, version: int | None) -> None:
    """Give the discount of CODE on a draft. The use stays used, also if the invoice is cancelled."""
    from billing.services import discount_codes, reading

    def act(tx: Any) -> Any:
        return discount_codes.redeem_code(tx, invoice_id=reading.find_invoice_id(tx, name), code=code, version=version)

    _show_made(console, act)


@discount.command()
@click.argument("code")
@click.argument("worth", metavar="AMOUNT|PERCENT%")
@click.option("--uses", type=int, required=True, help="How often it may be used; on each invoice once.")
@click.option("--reason", required=True, help="Printed on the invoices.")
@click.option("--from", "from_date", type=DAY, help="The first day.")
@click.option("--until", "until_date", type=DAY, help="The day from which on it is not good any more.")
@click.pass_obj
def add(console: Console, code: str, worth: str, uses: int, reason: str, from_date: date | None, until_date: date | None) -> None:
    """Add a discount code that is good for an amount or a percentage off an invoice."""
    from billing.services import discount_codes

    def act(tx: Any) -> Any:
        worth_of = _worth(worth, tx.clinic.currency)
        return discount_codes.add_code(tx, code=code, uses=uses, reason=reason, from_date=from_date, until_date=until_date, **worth_of)

    show_act(console, act)


@discount.command()
@click.argument("code")
@click.pass_obj
def end(console: Console, code: str) -> None:
    """End a discount code; what it gave stays."""
    from billing.services import discount_codes

    console.run(lambda tx: discount_codes.end_code(tx, code=code))
    console.show({"code": code, "active": False})


@discount.command("list")
@list_options
@click.pass_obj
def list_(console: Console, limit: int, everything: bool) -> None:
    """List the discount codes and how often each can still be used."""
    from billing.services import discount_codes

    def fetch(tx: Any, limit: int, after: Any) -> Any:
        return discount_codes.list_codes(tx, limit=limit, after=after)

    show_list(console, fetch, columns=COLUMNS, limit=limit, everything=everything, place=lambda row: row.code)


def _worth(text: str, currency: "Currency") -> dict[str, int | None]:
    from billing.money import parse_amount, parse_rate

    if not text.strip():
        raise BadOption("Write an amount such as 5.00 or a percentage such as 10%.", option="worth", text=text)
    if text.rstrip().endswith("%"):
        return {"percent_bp": parse_rate(text.rstrip()[:-1].strip()), "amount_minor": None}
    return {"percent_bp": None, "amount_minor": parse_amount(text.strip(), currency)}


def _show_made(console: Console, act: Any) -> None:
    made, currency = console.run(lambda tx: (act(tx), tx.clinic.currency))
    data = render.fields(made, currency)
    del data["numbered"]
    console.show({"number": made.number, **data})
