"""`billing pay`: take a payment of departments, of all, or on account, and say what it settled."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from billing.interfaces.cli import render
from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import BadOption, pairs, parse_value
from billing.money import Currency, parse_amount

if TYPE_CHECKING:
    from billing.rules.settlement import Scope
    from billing.rules.tenders import Tender
    from billing.services.payment_preview import PaymentPreview
    from billing.services.payments import PaymentTaken
    from billing.transaction import Transaction

ITEMS = ["department", "code", "description", "total"]


@click.command()
@click.argument("invoice", required=False)
@click.option("--consultation", "consultation_id", metavar="ID", help="Pay its open invoice, instead of naming one.")
@click.option("--scope", default="ALL", show_default=True, help="Departments by code (a,b), ALL, or on-account.")
@click.option("--cash", multiple=True, metavar="AMOUNT")
@click.option("--card", multiple=True, metavar="AMOUNT[:REFERENCE]")
@click.option("--transfer", multiple=True, metavar="AMOUNT[:REFERENCE]")
@click.option("--tender", multiple=True, metavar="METHOD=AMOUNT[:REFERENCE]", help="By any method of the clinic.")
@click.option("--amount", metavar="AMOUNT", help="On account: how much is taken of the tenders; the rest is change.")
@click.option("--series", help="A number series of receipts. [default: the clinic's standard one]")
@click.option("--key", help="Idempotency key: the same payment under it is taken once.")
@click.option("--given", multiple=True, metavar="PLUGIN.FIELD=VALUE", help="What a department asks for, such as a witness.")
@click.option("--dry-run", is_flag=True, help="Say what is due, who objects, and what each department would do.")
@click.pass_obj
def pay(
    console: Console,
    /,
    invoice: str | None,
    consultation_id: str | None,
    scope: str,
    series: str | None,
    key: str | None,
    dry_run: bool,
    **money: Any,
) -> None:
    """Take a payment for INVOICE (number or id). All of it happens, with all departments, or nothing."""
    from billing.model import new_id
    from billing.services import payment_preview, payments

    if (invoice is None) == (consultation_id is None):
        raise click.UsageError("Name the invoice, or else --consultation.")
    named = list(_texts(money))
    given = read_given(money["given"])

    def asked(tx: "Transaction") -> dict[str, Any]:
        from billing.services import reading

        applied = None if money["amount"] is None else parse_amount(money["amount"], tx.clinic.currency)
        found = None if invoice is None else reading.find_invoice_id(tx, invoice)
        return {"invoice_id": found, "consultation_id": consultation_id, "scope": _scope(scope), "applied_minor": applied, "given": given}

    if dry_run:
        preview, currency = console.read(lambda tx: (payment_preview.preview_payment(tx, **asked(tx)), tx.clinic.currency))
        _show_preview(console, preview, currency)
        return
    if not named:
        raise click.UsageError("Say how it is paid: --cash, --card, --transfer or --tender; --dry-run shows what is due.")
    # A key of its own for every call: if the connection breaks while it is booked, the second try finds the first.
    once = key or f"cli-{new_id()}"
    taken, currency = console.run(
        lambda tx: (
            payments.take_payment(tx, **asked(tx), tenders=list(_tenders(named, tx.clinic.currency)), series=series, key=once),
            tx.clinic.currency,
        )
    )
    _show_taken(console, taken, currency)


def _scope(text: str) -> "Scope":
    from billing.rules.settlement import Scope

    on_account = text.strip().lower().replace("_", "-") == "on-account"
    return Scope.on_account() if on_account else Scope.parse(text)


def _texts(money: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield method and amount as written, in the order of the options."""
    for method in ("cash", "card", "transfer"):
        for text in money[method]:
            yield method, text
    for text in money["tender"]:
        method, equals, rest = text.partition("=")
        if not (method.strip() and equals):
            raise BadOption(f"--tender {text[:60]!r} can't be read: write it like METHOD=AMOUNT:REFERENCE.", option="--tender", text=text)
        yield method.strip(), rest


def _tenders(named: Iterable[tuple[str, str]], currency: Currency) -> "Iterator[Tender]":
    from billing.rules.tenders import Tender

    for method, text in named:
        amount, _, reference = text.partition(":")
        yield Tender(method, parse_amount(amount.strip(), currency), reference.strip() or None)


def read_given(texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Read "PLUGIN.FIELD=VALUE" texts. Raises `BadOption`."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in pairs(texts, "--given").items():
        plugin, dot, field = name.partition(".")
        if not (plugin and dot and field):
            raise BadOption(f"--given {name[:60]!r} can't be read: write it like PLUGIN.FIELD=VALUE.", option="--given", text=name)
        found.setdefault(plugin, {})[field] = parse_value(value)
    return found


def _show_taken(console: Console, taken: "PaymentTaken", currency: Currency) -> None:
    data = render.fields(taken, currency)
    del data["numbered"]
    if console.wants_json:
        console.show({"receipt_number": taken.receipt_number, **data})
        return
    if taken.replayed:
        console.say("This key was used before: this is what was done then.")
    console.say(f"Receipt {taken.receipt_number}: {data['applied']} {taken.currency} for {taken.scope}.")
    if taken.rounding_minor:
        console.say(f"Cash rounding: {data['rounding']}")
    console.say(f"Change: {data['change']}")
    if data["items"]:
        console.say("\nSettled:")
        console.show(data["items"], columns=ITEMS)
        console.say("")
    if taken.on_account_minor:
        console.say(f"On account: {data['on_account']}")
    console.say(f"The invoice is {taken.status}: {data['amount_paid']} paid, {data['amount_due']} due.")


def _show_preview(console: Console, preview: "PaymentPreview", currency: Currency) -> None:
    data = render.fields(preview, currency)
    if console.wants_json:
        console.show(data)
        return
    console.say(
        f"Due for {preview.scope}: {data['due']} {preview.currency} ({data['due_in_cash']} in cash); for the invoice: {data['amount_due']}."
    )
    if data["items"]:
        console.say("\nWould settle:")
        console.show(data["items"], columns=ITEMS)
    if data["effects"]:
        names = {item.id: item.description for item in preview.items}
        console.say("\nWould happen:")
        console.show(
            [{**each, "item": names.get(each["item_id"])} for each in data["effects"]], columns=["plugin", "kind", "item", "quantity"]
        )
    for veto in preview.vetoes:
        console.say(f"\n{veto.plugin} objects: {veto.sentence} [{veto.code}]")
