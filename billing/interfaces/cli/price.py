"""`billing price`: the price list, its history, and both ways between it and a CSV file."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from billing.interfaces.cli.console import Console
from billing.interfaces.cli.files import writing
from billing.interfaces.cli.options import list_options, parse_tax
from billing.interfaces.cli.units import show_act, show_list, show_rows
from billing.money import parse_unit_price

if TYPE_CHECKING:
    from billing.rules.totals import TaxGroup

COLUMNS = ["code", "department", "description", "unit", "unit_price", "tax_category", "tax_rate", "active"]
TAX_HELP = "Such as S:19, 7, E or O (category of EN 16931, rate in percent)."


@click.group()
def price() -> None:
    """The price list and its history."""


@price.command()
@click.option("--code", required=True, help="What it is billed by.")
@click.option("--department", required=True, metavar="CODE")
@click.option("--description", required=True, help="What invoices say.")
@click.option("--price", "unit_price", required=True, help="For one unit, such as 45.00.")
@click.option("--tax", metavar="TAX", help=f"{TAX_HELP} [default: outside the scope of tax]")
@click.option("--unit", default="each", show_default=True, help="What a quantity of one is.")
@click.pass_obj
def add(console: Console, code: str, department: str, description: str, unit_price: str, tax: str | None, unit: str) -> None:
    """Put a service on the price list."""
    from billing.services import prices

    category, rate_bp = _tax(tax)
    show_act(
        console,
        lambda tx: prices.add_service(
            tx,
            code=code,
            department=department,
            description=description,
            unit_price_e4=parse_unit_price(unit_price, tx.clinic.currency),
            tax_category=category,
            tax_rate_bp=rate_bp,
            unit=unit,
        ),
    )


@price.command("list")
@click.option("--department", metavar="CODE", help="Only of this department.")
@click.option("--search", metavar="TEXT", help="Only where the code, or a word of the description, begins so.")
@click.option("--retired", is_flag=True, help="Those that are not sold any more, too.")
@list_options
@click.pass_obj
def list_(console: Console, department: str | None, search: str | None, retired: bool, limit: int, everything: bool) -> None:
    """List the services, by code."""
    from billing.services import prices

    show_list(
        console,
        lambda tx, limit, after: prices.list_services(tx, department=department, search=search, retired=retired, limit=limit, after=after),
        columns=COLUMNS,
        limit=limit,
        everything=everything,
        place=lambda service: service.code,
    )


@price.command("set")
@click.argument("code")
@click.option("--price", "unit_price", help="For one unit, from now on.")
@click.option("--tax", metavar="TAX", help=f"{TAX_HELP} From now on.")
@click.option("--department", metavar="CODE")
@click.option("--description")
@click.option("--unit")
@click.pass_obj
def set_(
    console: Console, code: str, unit_price: str | None, tax: str | None, department: str | None, description: str | None, unit: str | None
) -> None:
    """Change a service: price and tax from now on, or what it is called. What is billed keeps what it was billed as."""
    from billing.services import prices

    changes_price = unit_price is not None or tax is not None
    changes_name = any(each is not None for each in (department, description, unit))
    if changes_price == changes_name:
        raise click.UsageError("Name a price or a tax, or else a department, a description or a unit.")
    category, rate_bp = _tax(tax)
    if changes_name:
        show_act(console, lambda tx: prices.update_service(tx, code=code, department=department, description=description, unit=unit))
        return
    show_act(
        console,
        lambda tx: prices.change_price(
            tx,
            code=code,
            unit_price_e4=None if unit_price is None else parse_unit_price(unit_price, tx.clinic.currency),
            tax_category=category,
            tax_rate_bp=rate_bp,
        ),
    )


@price.command()
@click.argument("code")
@click.pass_obj
def retire(console: Console, code: str) -> None:
    """Take a service off sale."""
    from billing.services import prices

    show_act(console, lambda tx: prices.retire_service(tx, code=code))


@price.command()
@click.argument("code")
@click.pass_obj
def reactivate(console: Console, code: str) -> None:
    """Sell a retired service again."""
    from billing.services import prices

    show_act(console, lambda tx: prices.reactivate_service(tx, code=code))


@price.command()
@click.argument("code")
@click.pass_obj
def history(console: Console, code: str) -> None:
    """Show all prices that a service has had, the first one first."""
    from billing.services import prices

    columns = ["valid_from_at", "unit_price", "tax_category", "tax_rate", "actor_id"]
    show_rows(console, lambda tx: prices.price_history(tx, code=code), columns=columns)


@price.command("import")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def import_(console: Console, file: BinaryIO) -> None:
    """Take over a CSV FILE of prices (- for standard input), all of it or nothing. Services that it leaves out stay as they are."""
    from billing.services import price_files

    content = file.read(price_files.MOST_BYTES + 1)  # before the unit, which may run again
    show_act(console, lambda tx: price_files.import_prices(tx, stream=BytesIO(content)))


@price.command("export")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output without it.")
@click.pass_obj
def export(console: Console, out: Path | None) -> None:
    """Write the whole price list as CSV."""
    from billing.services import price_files

    with writing(out) as stream:
        count = console.read(lambda tx: price_files.export_prices(tx, stream=stream))
    if out is not None:
        console.say(f"{count} services written to {out}.")


def _tax(text: str | None) -> tuple[str | None, int | None]:
    if text is None:
        return None, None
    tax: TaxGroup = parse_tax(text)
    return tax.category, tax.rate_bp
