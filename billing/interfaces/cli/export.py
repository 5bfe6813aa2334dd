"""`billing export`: lists as CSV files for spreadsheets and accountants, and the journal for their programs."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.files import writing
from billing.interfaces.cli.options import day_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from billing.transaction import Transaction

WHAT = {
    "prices": "The whole price list, as `billing price import` reads it.",
    "invoices": "All invoices, oldest first.",
    "items": "The items of all invoices.",
    "payments": "All payments, oldest first.",
    "tenders": "What was handed over, by method, for all payments.",
    "audit": "The audit trail, oldest first.",
}


@click.group()
def export() -> None:
    """Lists as CSV files; the journal for accounting programs, too."""


def _writer(what: str, *, mark: bool) -> "Callable[[Transaction, TextIO], int]":
    """Return what writes a list to a stream in a unit and counts its rows."""
    from billing.services import exports, price_files

    if what == "prices":
        return lambda tx, stream: price_files.export_prices(tx, stream=stream)
    make = {
        "invoices": exports.export_invoices,
        "items": exports.export_items,
        "payments": exports.export_payments,
        "tenders": exports.export_tenders,
        "audit": exports.export_audit,
    }[what]
    return lambda tx, stream: exports.write_csv(make(tx), stream, byte_order_mark=mark)


@export.command()
@day_options
@click.option("--form", type=click.Choice(["csv", "beancount", "hledger"]), default="csv", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
@click.option("--mark-utf8", is_flag=True, help="Begin with a byte-order mark: some spreadsheets need it. For csv only.")
@click.pass_obj
def journal(console: Console, from_day: date | None, until_day: date | None, form: str, out: Path | None, mark_utf8: bool) -> None:
    """The journal of some days, oldest first; what moved on them, without opening balances."""
    from billing.services import journal_export

    with writing(out) as stream:
        count = console.read(
            lambda tx: journal_export.write_journal(
                tx,
                stream=stream,
                form=form,  # type: ignore[arg-type]
                from_date=from_day,
                until_date=until_day,
                byte_order_mark=mark_utf8,
            )
        )
    if out is not None:
        console.say(f"{count} {'lines' if form == 'csv' else 'entries'} written to {out}.")


def _command(what: str, sentence: str) -> click.Command:
    @click.command(what, help=sentence, short_help=sentence)
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
    @click.option("--mark-utf8", is_flag=True, help="Begin with a byte-order mark: some spreadsheets need it. Not for prices.")
    @click.pass_obj
    def command(console: Console, out: Path | None, mark_utf8: bool) -> None:
        write = _writer(what, mark=mark_utf8)
        with writing(out) as stream:
            count = console.read(lambda tx: write(tx, stream))
        if out is not None:
            console.say(f"{count} rows written to {out}.")

    return command


for _name, _sentence in WHAT.items():
    export.add_command(_command(_name, _sentence))
