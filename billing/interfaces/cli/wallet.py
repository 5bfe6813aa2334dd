"""`billing wallet`: money that a client leaves with the clinic."""

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import DAY
from billing.interfaces.cli.units import show_one
from billing.money import parse_amount

if TYPE_CHECKING:
    from billing.services.wallets import WalletMoved

LINES = ["business_date", "kind", "amount", "balance", "method", "receipt_number", "reason", "person"]


@click.group()
def wallet() -> None:
    """Wallets: top up, pay out, balance and statement. Pay from one with `billing pay --tender wallet=AMOUNT`."""


@wallet.command()
@click.argument("client_id", metavar="CLIENT")
@click.pass_obj
def show(console: Console, client_id: str) -> None:
    """Show what CLIENT (an id) has left with the clinic."""
    from billing.services import wallets

    show_one(console, lambda tx: wallets.read_wallet(tx, client_id=client_id))


@wallet.command("top-up")
@click.argument("client_id", metavar="CLIENT")
@click.argument("tender", metavar="METHOD=AMOUNT[:REFERENCE]")
@click.option("--amount", metavar="AMOUNT", help="How much of it stays; the rest is change. [default: all of it]")
@click.option("--reason", default="", help="Kept with it, and shown on the statement.")
@click.option("--series", help="A number series of receipts. [default: the clinic's standard one]")
@click.option("--key", help="Idempotency key: the same top-up under it is done once.")
@click.pass_obj
def top_up(console: Console, client_id: str, tender: str, amount: str | None, reason: str, series: str | None, key: str | None) -> None:
    """Put money into the wallet of CLIENT; it has a receipt."""
    from billing.interfaces.cli.tenders import parse_tender
    from billing.model import new_id
    from billing.services import wallets

    once = key or f"cli-{new_id()}"

    def act(tx: Any) -> "WalletMoved":
        currency = tx.clinic.currency
        stays = None if amount is None else parse_amount(amount, currency)
        given = parse_tender(tender, currency)
        return wallets.top_up(tx, client_id=client_id, tender=given, amount_minor=stays, reason=reason, series=series, key=once)

    _show_moved(console, act)


@wallet.command("pay-out")
@click.argument("client_id", metavar="CLIENT")
@click.argument("amount")
@click.option("--method", default="cash", show_default=True, help="By which method it goes out.")
@click.option("--reference", help="Of the transfer or slip.")
@click.option("--reason", required=True)
@click.option("--series", help="A number series of receipts. [default: the clinic's standard one]")
@click.option("--key", help="Idempotency key: the same pay-out under it is done once.")
@click.pass_obj
def pay_out(console: Console, /, client_id: str, amount: str, key: str | None, **given: Any) -> None:
    """Give CLIENT money out of the wallet; somebody else may have to approve it (`billing approve pay-out CLIENT`)."""
    from billing.model import new_id
    from billing.services import wallets

    once = key or f"cli-{new_id()}"
    _show_moved(
        console,
        lambda tx: wallets.pay_out(tx, client_id=client_id, amount_minor=parse_amount(amount, tx.clinic.currency), key=once, **given),
    )


@wallet.command()
@click.argument("client_id", metavar="CLIENT")
@click.option("--from", "from_date", type=DAY, help="The first day. [default: all]")
@click.option("--until", "until_date", type=DAY, help="The last day, included.")
@click.pass_obj
def statement(console: Console, client_id: str, from_date: date | None, until_date: date | None) -> None:
    """Show the moves of CLIENT's wallet, with the balance after each."""
    from billing.services import wallets

    found, currency = console.read(
        lambda tx: (wallets.wallet_statement(tx, client_id=client_id, from_date=from_date, until_date=until_date), tx.clinic.currency)
    )
    console.show_parts(render.fields(found, currency), head=["client_id", "currency", "opening", "closing"], parts={"lines": LINES})


def _show_moved(console: Console, act: Any) -> None:
    moved, currency = console.run(lambda tx: (act(tx), tx.clinic.currency))
    data = render.fields(moved, currency)
    del data["numbered"]
    console.show({"receipt_number": moved.receipt_number, **data})
