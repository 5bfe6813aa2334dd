"""The commands of the group `stock`: each parses, runs one unit and shows what came out. The rules stand in the services."""

import csv
from collections.abc import Iterable, Mapping
from typing import IO, Any

import click

from billing.plugin import Console, Currency, Invalid, Transaction, format_quantity, format_unit_price, parse_quantity, parse_unit_price
from billing_pharmacy import queries, services, stockfile
from billing_pharmacy.rules import parse_day


class UnreadableFile(Invalid):
    """The file is no CSV text in UTF-8. Facts: `reason`."""

    code = "unreadable_file"


@click.group()
def stock() -> None:
    """Products, batches and moves of the pharmacy."""


@stock.command("list")
@click.option("--code", help="This product only.")
@click.option("--batches", is_flag=True, help="A line for each batch with something on hand.")
@click.pass_obj
def list_(console: Console, code: str | None, batches: bool) -> None:
    """Show what is on the shelf, what may be sold today, and what open invoices have reserved."""
    if batches:
        console.show(console.read(lambda tx: _batch_rows(queries.list_batches(tx, service_code=code), tx)), columns=_BATCH_COLUMNS)
        return
    columns = ("code", "name", "on_hand", "sellable", "reserved", "next_expires_on", "to_order")
    console.show(console.read(lambda tx: [_product_row(each) for each in queries.list_stock(tx, service_code=code)]), columns=columns)


@stock.command()
@click.option("--days", type=int, default=30, show_default=True, help="Expiring within so many days; what has expired is shown too.")
@click.pass_obj
def expiring(console: Console, days: int) -> None:
    """Show batches that expire soon or have expired."""
    console.show(console.read(lambda tx: _batch_rows(queries.list_expiring(tx, days=days), tx)), columns=_BATCH_COLUMNS)


@stock.command()
@click.option("--code", help="This product only.")
@click.option("--lot", help="This lot only.")
@click.option("--limit", type=int, default=100, show_default=True, help="At most so many, the latest first.")
@click.pass_obj
def moves(console: Console, code: str | None, lot: str | None, limit: int) -> None:
    """Show the latest moves of stock."""
    rows = console.read(lambda tx: [_move_row(each) for each in queries.list_moves(tx, service_code=code, lot=lot, limit=limit)])
    console.show(rows, columns=("business_date", "code", "lot", "quantity", "reason", "note"))


@stock.group()
def product() -> None:
    """Services of the price list that are kept in stock."""


@product.command("add")
@click.argument("code")
@click.option("--controlled", is_flag=True, help="A controlled drug.")
@click.option("--reorder-level", default="0", show_default=True, help="Order more when no more than this is free; 0: never.")
@click.pass_obj
def add(console: Console, code: str, controlled: bool, reorder_level: str) -> None:
    """Keep the service CODE in stock from now on."""
    level = parse_quantity(reorder_level)
    made = console.run(lambda tx: services.add_product(tx, service_code=code, controlled=controlled, reorder_level_milli=level))
    console.show(
        {
            "code": made.code,
            "name": made.name,
            "controlled": made.controlled,
            "reorder_level": format_quantity(made.reorder_level_milli),
        }
    )


@stock.command()
@click.argument("code")
@click.option("--lot", required=True, help="The lot as printed on the box.")
@click.option("--expires", required=True, help="The last day on which it may be sold, such as 2027-01-31.")
@click.option("--quantity", required=True, help="How much comes in.")
@click.option("--unit-cost", required=True, help="What one unit cost, in the clinic's currency.")
@click.option("--allow-expired", is_flag=True, help="Take it in although it has expired.")
@click.option("--key", help="Make sure that it happens once: the same key with the same request gives the same answer again.")
@click.pass_obj
def receive(
    console: Console,
    code: str,
    lot: str,
    expires: str,
    quantity: str,
    unit_cost: str,
    allow_expired: bool,
    key: str | None,
) -> None:
    """Receive stock of the product CODE; a service of the pharmacy becomes a product so."""

    def unit(tx: Transaction) -> services.Booked:
        return services.receive_stock(
            tx,
            service_code=code,
            lot=lot,
            expires_on=parse_day(expires),
            quantity_milli=parse_quantity(quantity),
            unit_cost_e4=parse_unit_price(unit_cost, tx.clinic.currency),
            allow_expired=allow_expired,
            key=key,
        )

    console.show(_booked_row(console.run(unit)))


@stock.command()
@click.argument("code")
@click.option("--lot", required=True, help="The lot to correct.")
@click.option("--quantity", required=True, help="How much more there is, such as 2, or less, such as -2.")
@click.option("--reason", required=True, help="Why.")
@click.option("--key", help="Make sure that it happens once: the same key with the same request gives the same answer again.")
@click.pass_obj
def adjust(console: Console, code: str, lot: str, quantity: str, reason: str, key: str | None) -> None:
    """Correct what a lot of the product CODE holds."""
    by = parse_quantity(quantity, negative=True)
    booked = console.run(lambda tx: services.adjust_stock(tx, service_code=code, lot=lot, quantity_milli=by, reason=reason, key=key))
    console.show(_booked_row(booked))


@stock.command("write-off")
@click.pass_obj
def write_off(console: Console) -> None:
    """Write off all batches that expired before today."""
    console.show([_booked_row(each) for each in console.run(services.write_off_expired)])


@stock.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option("--allow-expired", is_flag=True, help="Take batches in although they have expired.")
@click.pass_obj
def import_(console: Console, file: IO[str], allow_expired: bool) -> None:
    """Receive all rows of the CSV FILE, or none: service_code, lot, expires_on, quantity, unit_cost. The same file again adds nothing."""
    try:
        rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableFile(f"The file is no CSV text in UTF-8: {error}.", reason=str(error)) from None
    booked = console.run(lambda tx: stockfile.import_stock(tx, rows, allow_expired=allow_expired))
    console.show({"new": booked.new, "known": booked.known})


_BATCH_COLUMNS = ("code", "name", "lot", "expires_on", "on_hand", "unit_cost", "state")


def _product_row(line: queries.ProductStock) -> Mapping[str, Any]:
    return {
        "code": line.code,
        "name": line.name,
        "on_hand": format_quantity(line.on_hand_milli),
        "sellable": format_quantity(line.sellable_milli),
        "reserved": format_quantity(line.reserved_milli),
        "next_expires_on": None if line.next_expires_on is None else line.next_expires_on.isoformat(),
        "reorder_level": format_quantity(line.reorder_level_milli),
        "to_order": line.to_order,
        "controlled": line.controlled,
    }


def _batch_rows(lines: Iterable[queries.BatchStock], tx: Transaction) -> list[Mapping[str, Any]]:
    return [_batch_row(line, tx.clinic.currency) for line in lines]


def _batch_row(line: queries.BatchStock, currency: Currency) -> Mapping[str, Any]:
    return {
        "code": line.code,
        "name": line.name,
        "lot": line.lot,
        "expires_on": line.expires_on.isoformat(),
        "on_hand": format_quantity(line.on_hand_milli),
        "unit_cost": format_unit_price(line.unit_cost_e4, currency),
        "state": line.state,
    }


def _move_row(line: queries.MoveLine) -> Mapping[str, Any]:
    return {
        "at": line.at.isoformat(),
        "business_date": line.business_date.isoformat(),
        "code": line.code,
        "lot": line.lot,
        "quantity": format_quantity(line.quantity_milli),
        "reason": line.reason,
        "note": line.note,
        "actor_id": line.actor_id,
        "item_id": line.item_id,
        "action_id": line.action_id,
    }


def _booked_row(booked: services.Booked) -> Mapping[str, Any]:
    return {
        "code": booked.code,
        "lot": booked.lot,
        "quantity": format_quantity(booked.quantity_milli),
        "on_hand": format_quantity(booked.on_hand_milli),
    }
