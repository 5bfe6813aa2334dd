"""Stock from a CSV file: every row is a delivery, booked once however often the file is imported. It knows rows of text, no files."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from billing.plugin import BillingError, Currency, Invalid, Transaction, find_service, parse_quantity, parse_unit_price
from billing_pharmacy.model import Move, Product
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


def import_stock(tx: Transaction, rows: Iterable[Mapping[str, str | None]], *, allow_expired: bool = False) -> StockImport:
    """Receive all rows of a file, or none. Columns: service_code, lot, expires_on (2027-01-31), quantity, unit_cost of one unit.

    A row's identity is its content and which of its twins it is: the file again books nothing, a longer version of it only what is new.
    Raises `BadStockFile` with a sentence for each row at fault.
    """
    tx.require(MANAGE)
    deliveries = _read(rows, tx.clinic.currency)
    products = _products(tx, deliveries)
    identities = _identities(deliveries)
    # Looked up behind the products' locks: an import of the same file at the same time is over by now, or waits for this one.
    known = set(tx.session.scalars(select(Move.source).where(Move.source.in_(identities))))
    rows_by_source = zip(deliveries, identities, strict=True)
    fresh = [(at, delivery, source) for at, (delivery, source) in enumerate(rows_by_source, 1) if source not in known]
    if fresh:
        _receive_all(tx, products, fresh, allow_expired=allow_expired)
        tx.audit("stock.imported", "pharmacy_move", fresh[0][2], rows=len(deliveries), new=len(fresh))
    return StockImport(new=len(fresh), known=len(deliveries) - len(fresh))


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


def _identities(deliveries: Iterable[Delivery]) -> list[str]:
    """Return what tells each row from all others: its content, and which of the rows with that content it is."""
    seen: Counter[Delivery] = Counter()
    found = []
    for each in deliveries:
        seen[each] += 1
        content = (each.service_code, each.lot, each.expires_on.isoformat(), each.quantity_milli, each.unit_cost_e4, seen[each])
        found.append("file:" + hashlib.sha256("\x1f".join(map(str, content)).encode()).hexdigest())
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


def _receive_all(
    tx: Transaction, products: Mapping[str, Product], fresh: Iterable[tuple[int, Delivery, str]], *, allow_expired: bool
) -> None:
    problems: list[str] = []
    batches = lock_batches(tx, products=products.values())
    for at, delivery, _ in fresh:
        product = products[delivery.service_code]
        place = (product.service_id, delivery.lot)
        try:
            standing = batches.get(place)
            batches[place] = lot_for(tx, product=product, standing=standing, delivery=delivery, allow_expired=allow_expired)
        except BillingError as error:
            problems.append(f"row {at}: {error}")
    _refuse(problems)
    session = tx.session  # asked for once: each time it sends what is waiting
    session.add_all(batches.values())
    session.flush()  # the moves refer to the new batches
    places = [(products[delivery.service_code].service_id, delivery.lot) for _, delivery, _ in fresh]
    session.add_all([take_in(tx, batch=batches[place], delivery=row[1], source=row[2]) for place, row in zip(places, fresh, strict=True)])


def _refuse(problems: list[str]) -> None:
    if problems:
        more = len(problems) - MOST_SHOWN
        told = " ".join(problems[:MOST_SHOWN]) + (f" And {more} more." if more > 0 else "")
        raise BadStockFile(f"Nothing was imported: {told}", problems=problems)
