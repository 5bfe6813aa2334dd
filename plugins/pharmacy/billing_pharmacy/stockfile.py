"""Stock from a CSV file: every row is a delivery, booked once however often the file is imported. It knows rows of text, no files."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from billing.plugin import BillingError, Currency, Invalid, Transaction, find_service, parse_quantity, parse_unit_price
from billing_pharmacy.model import Batch, Move, Product
from billing_pharmacy.rules import parse_day
from billing_pharmacy.services import MANAGE
from billing_pharmacy.shelf import Delivery, lock_batches, lock_products, lot_for, make_product, take_in

COLUMNS = ("service_code", "lot", "expires_on", "quantity", "unit_cost")

MOST_ROWS = 10_000
"""A file is one unit of work that holds the rows it changes; a longer one is split by people."""

MOST_SHOWN = 10


class BadStockFile(Invalid):
    """The file can't be imported; nothing of it was. Facts: `problems`, one sentence for each row at fault."""

    code = "bad_stock_file"


@dataclass(frozen=True, slots=True)
class StockImport:
    """How many rows of a file were booked, and how many stood already."""

    new: int
    known: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the file by its number, and what it is known by from now on."""

    at: int
    delivery: Delivery
    source: str


def import_stock(tx: Transaction, rows: Iterable[Mapping[str, str | None]], *, allow_expired: bool = False) -> StockImport:
    """Receive all rows of a file, or none. Columns: service_code, lot, expires_on (2027-01-31), quantity, unit_cost of one unit.

    A row's identity is its content and which of its twins it is: the file again books nothing, a longer version of it only what is new.
    Raises `BadStockFile` with a sentence for each row at fault.
    """
    tx.require(MANAGE)
    deliveries = _read(rows, tx.clinic.currency)
    products = _products(tx, deliveries)
    named = _named(deliveries)
    # Looked up behind the products' locks: an import of the same file at the same time is over by now, or waits for this one.
    known = set(tx.session.scalars(select(Move.source).where(Move.source.in_([row.source for row in named]))))
    fresh = [row for row in named if row.source not in known]
    if fresh:
        _receive_all(tx, products, fresh, allow_expired=allow_expired)
        tx.audit("stock.imported", "pharmacy_move", fresh[0].source, rows=len(named), new=len(fresh))
    return StockImport(new=len(fresh), known=len(named) - len(fresh))


def _read(rows: Iterable[Mapping[str, str | None]], currency: Currency) -> list[Delivery]:
    deliveries: list[Delivery] = []
    problems: list[str] = []
    for at, row in enumerate(rows, 1):
        if at > MOST_ROWS:
            raise BadStockFile(f"The file has more than {MOST_ROWS} rows: split it.", problems=[])
        if at == 1 and (missing := [name for name in COLUMNS if name not in row]):
            sentence = f"The file has no column {', '.join(missing)}: the first line must name {', '.join(COLUMNS)}."
            raise BadStockFile(sentence, problems=[])
        try:
            deliveries.append(_delivery(row, currency))
        except Invalid as error:
            problems.append(f"row {at}: {error}")
    _refuse(problems)
    return deliveries


def _delivery(row: Mapping[str, str | None], currency: Currency) -> Delivery:
    code, lot, expires_on, quantity, unit_cost = ((row.get(name) or "").strip() for name in COLUMNS)
    if not code:
        raise BadStockFile("there is no service_code.", problems=[])
    delivery = Delivery(
        service_code=code,
        lot=lot,
        expires_on=parse_day(expires_on),
        quantity_milli=parse_quantity(quantity),
        unit_cost_e4=parse_unit_price(unit_cost, currency),
    )
    delivery.check()
    return delivery


def _named(deliveries: Iterable[Delivery]) -> list[_Row]:
    """Return the rows with what tells each from all others: its content, and which of the rows with that content it is."""
    seen: Counter[Delivery] = Counter()
    found = []
    for at, each in enumerate(deliveries, 1):
        seen[each] += 1
        content = (each.service_code, each.lot, each.expires_on.isoformat(), each.quantity_milli, each.unit_cost_e4, seen[each])
        digest = hashlib.sha256("\x1f".join(map(str, content)).encode()).hexdigest()
        found.append(_Row(at, each, f"file:{digest}"))
    return found


def _products(tx: Transaction, deliveries: Iterable[Delivery]) -> dict[str, Product]:
    first_rows: dict[str, int] = {}
    for at, delivery in enumerate(deliveries, 1):
        first_rows.setdefault(delivery.service_code, at)
    found = lock_products(tx, codes=first_rows)
    missing = {code: at for code, at in first_rows.items() if code not in found}
    problems: list[str] = []
    for code, at in missing.items():
        try:
            make_product(tx, service=find_service(tx, code))
        except BillingError as error:
            problems.append(f"row {at}: {error}")
    _refuse(problems)
    return lock_products(tx, codes=first_rows) if missing else found


def _receive_all(tx: Transaction, products: Mapping[str, Product], fresh: Collection[_Row], *, allow_expired: bool) -> None:
    problems: list[str] = []
    batches = lock_batches(tx, products=products.values(), lots={row.delivery.lot for row in fresh})
    filled: list[tuple[Batch, _Row]] = []
    for row in fresh:
        product = products[row.delivery.service_code]
        place = (product.service_id, row.delivery.lot)
        try:
            batch = lot_for(tx, product=product, standing=batches.get(place), delivery=row.delivery, allow_expired=allow_expired)
        except BillingError as error:
            problems.append(f"row {row.at}: {error}")
            continue
        batches[place] = batch
        filled.append((batch, row))
    _refuse(problems)
    session = tx.session  # asked for once: each time it sends what is waiting
    session.add_all(batches.values())
    session.flush()  # the moves refer to the new batches
    session.add_all([take_in(tx, batch=batch, delivery=row.delivery, source=row.source) for batch, row in filled])


def _refuse(problems: list[str]) -> None:
    if problems:
        more = len(problems) - MOST_SHOWN
        told = " ".join(problems[:MOST_SHOWN]) + (f" And {more} more." if more > 0 else "")
        raise BadStockFile(f"Nothing was imported: {told}", problems=problems)
