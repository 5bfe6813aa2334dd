"""`billing shift`: open one's drawer, move cash, count and close, and print the Z-report."""

from typing import Any

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.options import BadOption, pairs
from billing.interfaces.cli.units import show_act, show_rows
from billing.money import Currency, parse_amount

COLUMNS = ["id", "cashier", "drawer", "float", "opened_at", "closed_at", "difference"]


@click.group()
def shift() -> None:
    """Shifts: the own drawer, its cash, its count and its report."""


@shift.command("open")
@click.option("--drawer", required=True, metavar="NAME", help="Which drawer; each has one open shift.")
@click.option("--float", "float_", default="0", show_default=True, metavar="AMOUNT", help="What lies in it from the safe.")
@click.pass_obj
def open_(console: Console, drawer: str, float_: str) -> None:
    """Open your shift at a drawer."""
    from billing.services import shifts

    show_act(console, lambda tx: shifts.open_shift(tx, drawer=drawer, float_minor=parse_amount(float_, tx.clinic.currency)))


@shift.command()
@click.option("--count", "counts", multiple=True, metavar="VALUExNUMBER", help="How many of a note or coin lie there, such as 50.00x3.")
@click.option("--other", multiple=True, metavar="METHOD=AMOUNT", help="What was counted of another method; default: as it should be.")
@click.option("--shift", "shift_id", metavar="ID", help="Somebody else's shift. [default: your own]")
@click.pass_obj
def close(console: Console, counts: tuple[str, ...], other: tuple[str, ...], shift_id: str | None) -> None:
    """Count the drawer and close the shift. It is never opened again; differences are booked."""
    from billing.services import shifts, z_report

    def act(tx: Any) -> Any:
        currency = tx.clinic.currency
        counted = dict(_piece(each, currency) for each in counts)
        others = {method: parse_amount(amount, currency) for method, amount in pairs(other, "--other").items()}
        return shifts.close_shift(tx, counted=counted, other=others, shift_id=shift_id)

    report = console.run(act)
    if console.wants_json:
        console.show(report.stored() | {"differences": report.differences})
        return
    console.say(console.read(lambda tx: z_report.print_shift_report(tx, shift_id=report.shift_id)).content.rstrip("\n"))


@shift.command("list")
@click.option("--limit", type=int, default=50, show_default=True)
@click.pass_obj
def list_(console: Console, limit: int) -> None:
    """List shifts, latest first: all, or your own."""
    from billing.services import shifts

    show_rows(console, lambda tx: shifts.list_shifts(tx, limit=limit), columns=COLUMNS)


@shift.command()
@click.argument("shift_id", required=False, metavar="[ID]")
@click.option("--form", type=click.Choice(["text", "html"]), default="text", show_default=True)
@click.pass_obj
def report(console: Console, shift_id: str | None, form: str) -> None:
    """Print the Z-report of a shift; of your own open one what may be known before it is counted."""
    from billing.services import shift_report, z_report

    if console.wants_json:
        console.show(console.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift_id)).stored())
        return
    console.say(console.read(lambda tx: z_report.print_shift_report(tx, shift_id=shift_id, form=form)).content.rstrip("\n"))


@shift.command("pay-in")
@click.argument("amount")
@click.option("--reason", required=True)
@click.pass_obj
def pay_in(console: Console, amount: str, reason: str) -> None:
    """Put cash into your drawer that no sale has brought."""
    from billing.services import cash_moves

    show_act(console, lambda tx: cash_moves.pay_in(tx, amount_minor=parse_amount(amount, tx.clinic.currency), reason=reason))


@shift.command("pay-out")
@click.argument("amount")
@click.option("--reason", required=True)
@click.pass_obj
def pay_out(console: Console, amount: str, reason: str) -> None:
    """Take cash out of your drawer for something that is no refund."""
    from billing.services import cash_moves

    show_act(console, lambda tx: cash_moves.pay_out_cash(tx, amount_minor=parse_amount(amount, tx.clinic.currency), reason=reason))


@shift.command("hand-over")
@click.argument("login")
@click.argument("amount")
@click.option("--reason", default="hand-over", show_default=True)
@click.pass_obj
def hand_over(console: Console, login: str, amount: str, reason: str) -> None:
    """Offer cash out of your drawer to the open shift of LOGIN."""
    from billing.services import cash_moves

    show_act(
        console,
        lambda tx: cash_moves.hand_over(tx, to_login=login, amount_minor=parse_amount(amount, tx.clinic.currency), reason=reason),
    )


@shift.command()
@click.argument("move")
@click.pass_obj
def accept(console: Console, move: str) -> None:
    """Take the cash that was offered to you."""
    from billing.services import cash_moves

    show_act(console, lambda tx: cash_moves.answer_hand_over(tx, move_id=move, accept=True))


@shift.command()
@click.argument("move")
@click.pass_obj
def refuse(console: Console, move: str) -> None:
    """Refuse the cash that was offered to you; it never left the other drawer."""
    from billing.services import cash_moves

    show_act(console, lambda tx: cash_moves.answer_hand_over(tx, move_id=move, accept=False))


def _piece(text: str, currency: Currency) -> tuple[int, int]:
    value, times, number = text.partition("x")
    if not times or not number.isdecimal():
        raise BadOption(f"--count {text[:40]!r} can't be read: write it like 50.00x3.", option="--count", text=text)
    return parse_amount(value, currency), int(number)
