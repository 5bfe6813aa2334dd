"""`billing void`, `refund`, `return` and `write-off`: money and items back, in one transaction with what departments undo."""

from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import BadOption
from billing.interfaces.cli.pay import read_given
from billing.money import Currency, parse_amount, parse_quantity

if TYPE_CHECKING:
    from billing.services.reversal_writes import Reversed
    from billing.services.reversals import Returned, To
    from billing.transaction import Transaction

REASON = click.option("--reason", required=True, help="Why; it is kept and printed.")
KEY = click.option("--key", help="Idempotency key: the same act under it is done once.")


@click.command()
@click.argument("receipt")
@REASON
@KEY
@click.pass_obj
def void(console: Console, receipt: str, reason: str, key: str | None) -> None:
    """Undo the payment with this RECEIPT (number or id) in its open shift, as if it had not been."""
    from billing.model import new_id
    from billing.services import reading, reversals

    once = key or f"cli-{new_id()}"
    _show(
        console,
        lambda tx: reversals.void_payment(tx, payment_id=reading.read_payment(tx, payment=receipt).payment.id, reason=reason, key=once),
    )


def _items_options(command: Any) -> Any:
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would come back, and do nothing."),
        KEY,
        click.option("--given", multiple=True, metavar="PLUGIN.FIELD=VALUE", help="What a department asks for."),
        click.option("--to", multiple=True, metavar="METHOD[=AMOUNT]", help="How money goes back. [default: as it came]"),
        REASON,
        click.option("--amount", metavar="AMOUNT", help="Money on account, without an item."),
        click.option("--all", "everything", is_flag=True, help="Everything that is left: the invoice is cancelled."),
        click.option(
            "--item", "items", multiple=True, metavar="POSITION[:QUANTITY[:destroyed]]", help="An item of the invoice, or part of it."
        ),
        click.argument("invoice"),
    ):
        command = option(command)
    return command


@click.command()
@_items_options
@click.pass_obj
def refund(console: Console, /, **asked: Any) -> None:
    """Refund items of INVOICE (number or id), all of it, or money on account. Items are credited, departments undo them."""
    _refund(console, "refund", **asked)


@click.command("return")
@_items_options
@click.pass_obj
def return_(console: Console, /, **asked: Any) -> None:
    """Take goods of INVOICE back over the counter: a refund that is listed as a return."""
    _refund(console, "return", **asked)


@click.command("write-off")
@click.argument("invoice")
@REASON
@KEY
@click.pass_obj
def write_off(console: Console, invoice: str, reason: str, key: str | None) -> None:
    """Give up what is still due on INVOICE (number or id)."""
    from billing.services import reading, reversals

    _show(
        console,
        lambda tx: reversals.write_off(tx, invoice_id=reading.find_invoice_id(tx, invoice), reason=reason, key=key),
    )


def _refund(
    console: Console,
    kind: str,
    *,
    invoice: str,
    items: tuple[str, ...],
    everything: bool,
    amount: str | None,
    reason: str,
    to: tuple[str, ...],
    given: tuple[str, ...],
    key: str | None,
    dry_run: bool,
) -> None:
    from billing.model import new_id
    from billing.services import reading, reversal_preview, reversals

    if bool(items) + everything + (amount is not None) != 1:
        raise click.UsageError("Say what comes back: --item, --all, or --amount.")
    once = key or f"cli-{new_id()}"

    def act(tx: "Transaction") -> "Reversed":
        invoice_id, currency = reading.find_invoice_id(tx, invoice), tx.clinic.currency
        back: To = _to(to, currency)
        if everything:
            return reversals.cancel_paid_invoice(tx, invoice_id=invoice_id, reason=reason, to=back, key=once)
        if amount is not None:
            minor = parse_amount(amount, currency)
            return reversals.refund_on_account(tx, invoice_id=invoice_id, amount_minor=minor, reason=reason, to=back, key=once)
        returned = list(_returned(tx, invoice, items))
        return reversals.refund_items(
            tx, invoice_id=invoice_id, items=returned, reason=reason, to=back, kind=kind, given=read_given(given), key=once
        )

    if not dry_run:
        _show(console, act)
        return
    if amount is not None:
        raise click.UsageError("--dry-run is for items: money on account goes back as it is.")
    seen, currency = console.read(
        lambda tx: (
            reversal_preview.preview_refund(
                tx,
                invoice_id=reading.find_invoice_id(tx, invoice),
                items=None if everything else list(_returned(tx, invoice, items)),
            ),
            tx.clinic.currency,
        )
    )
    console.show(render.fields(seen, currency))


def _returned(tx: "Transaction", invoice: str, texts: tuple[str, ...]) -> "list[Returned]":
    from billing.services import reading
    from billing.services.reversals import Returned

    by_position = {str(item.position): item.id for item in reading.read_invoice(tx, invoice=invoice).items}
    found = []
    for text in texts:
        position, _, rest = text.partition(":")
        quantity, _, condition = rest.partition(":")
        if position not in by_position:
            raise BadOption(f"--item {text[:40]!r}: the invoice has no item {position[:20]}.", option="--item", text=text)
        found.append(Returned(by_position[position], parse_quantity(quantity) if quantity else None, condition or "good"))
    return found


def _to(texts: tuple[str, ...], currency: Currency) -> "To":
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    parts = [text.partition("=") for text in texts]
    if not all(equals for _, equals, _ in parts):
        raise BadOption("Several methods each need an amount: write --to METHOD=AMOUNT.", option="--to", text=" ".join(texts))
    return [(method.strip(), parse_amount(amount, currency)) for method, _, amount in parts]


def _show(console: Console, act: Any) -> None:
    done, currency = console.run(lambda tx: (act(tx), tx.clinic.currency))
    data = render.fields(done, currency)
    del data["numbered"]
    if console.wants_json:
        console.show({"number": done.number, **data})
        return
    if done.replayed:
        console.say("This key was used before: this is what was done then.")
    if done.number:
        console.say(f"Credit note {done.number}: {data['credited']} {done.currency}.")
    for method, amount in data["tenders"]:
        console.say(f"Back by {method}: {amount}")
    if done.rounding_minor:
        console.say(f"Cash rounding: {data['rounding']}")
    if done.written_off_minor:
        console.say(f"Written off: {data['written_off']} {done.currency}")
    console.say(f"The invoice is {done.status}: {data['amount_paid']} paid, {data['amount_due']} due.")
