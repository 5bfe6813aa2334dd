"""What people do with the stock: add products, receive, adjust, write off. Knows no files and no screens."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import select

from billing.plugin import Conflict, Invalid, Transaction, find_service, format_quantity, once
from billing_pharmacy.model import ADJUSTMENT, EXPIRY, Batch, Product
from billing_pharmacy.shelf import (
    MOST_MILLI,
    Delivery,
    lock_batches,
    lock_lot,
    lock_products,
    lot_for,
    make_product,
    move,
    products_for,
    take_in,
)

READ = "stock.read"
MANAGE = "stock.manage"

LONGEST_REASON = 500


class AlreadyAProduct(Conflict):
    """The service is kept in stock already. Facts: `product`."""

    code = "already_a_product"


class BadReorderLevel(Invalid):
    """A reorder level below zero or beyond all bounds. Facts: `reorder_level_milli`."""

    code = "bad_reorder_level"


class BadAdjustment(Invalid):
    """An adjustment of nothing, beyond all bounds, or without a reason. Facts: `lot`."""

    code = "bad_adjustment"


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """A product as it was added."""

    code: str
    name: str
    controlled: bool
    reorder_level_milli: int


@dataclass(frozen=True, slots=True)
class Booked:
    """What an act did to a lot, and what the lot holds since; in thousandths."""

    code: str
    lot: str
    batch_id: str
    quantity_milli: int
    on_hand_milli: int


def add_product(tx: Transaction, *, service_code: str, controlled: bool = False, reorder_level_milli: int = 0) -> ProductFacts:
    """Keep a service of the price list in stock from now on.

    Raises `NotFound` for an unknown code, `NotOfThePharmacy`, `AlreadyAProduct`, `BadReorderLevel`.
    """
    tx.require(MANAGE)
    if not 0 <= reorder_level_milli <= MOST_MILLI:
        sentence = f"A reorder level lies between 0 (never) and {format_quantity(MOST_MILLI)}."
        raise BadReorderLevel(sentence, reorder_level_milli=reorder_level_milli)
    service = find_service(tx, service_code)
    standing = lock_products(tx, codes=[service.code])
    product = None if standing else make_product(tx, service=service, controlled=controlled, reorder_level_milli=reorder_level_milli)
    if product is None:
        raise AlreadyAProduct(f"{service.code} is a product of the pharmacy already.", product=service.code)
    return ProductFacts(product.code, product.name, controlled, reorder_level_milli)


def receive_stock(
    tx: Transaction,
    *,
    service_code: str,
    lot: str,
    expires_on: date,
    quantity_milli: int,
    unit_cost_e4: int,
    allow_expired: bool = False,
    key: str | None = None,
) -> Booked:
    """Take a lot of a product in, or more of a lot that stands; with a `key` only once. A service becomes a product so.

    Quantity in thousandths, cost of one unit in ten-thousandths of a minor unit. A lot that came twice costs the average.
    Raises `BadDelivery`, `ExpiredOnArrival` (unless `allow_expired`, for records of the past and demonstrations), `LotHasOtherExpiry`,
    `NotFound`, `NotOfThePharmacy`.
    """
    tx.require(MANAGE)
    delivery = Delivery(service_code=service_code, lot=lot, expires_on=expires_on, quantity_milli=quantity_milli, unit_cost_e4=unit_cost_e4)
    delivery.check()

    def work() -> dict[str, Any]:
        product = products_for(tx, codes=[service_code])[service_code]
        standing = lock_batches(tx, products=[product], lots=[lot]).get((product.service_id, lot))
        batch = lot_for(tx, product=product, standing=standing, delivery=delivery, allow_expired=allow_expired)
        tx.session.add(batch)
        tx.session.flush()  # its moves refer to it
        tx.session.add(take_in(tx, batch=batch, delivery=delivery))
        return _audited(tx, "stock.received", product.code, batch, quantity_milli, expires_on=str(expires_on), unit_cost_e4=unit_cost_e4)

    return Booked(**once(tx, key=key, action="stock.receive", request=asdict(delivery), work=work))


def adjust_stock(tx: Transaction, *, service_code: str, lot: str, quantity_milli: int, reason: str, key: str | None = None) -> Booked:
    """Correct what a lot holds by a quantity (thousandths, negative for what is missing), with a reason. With a `key` it happens once.

    Raises `BadAdjustment`, `NoSuchProduct`, `NoSuchLot`, `NotEnoughInLot`.
    """
    tx.require(MANAGE)
    why = reason.strip()
    if not why or not why.isprintable() or len(why) > LONGEST_REASON:
        sentence = f"Say why the stock is adjusted, in one line of at most {LONGEST_REASON} characters: it is kept with the move."
        raise BadAdjustment(sentence, lot=lot)
    if not 0 < abs(quantity_milli) <= MOST_MILLI:
        raise BadAdjustment(f"Adjust by a quantity other than zero, at most {format_quantity(MOST_MILLI)}.", lot=lot)

    def work() -> dict[str, Any]:
        product, batch = lock_lot(tx, service_code=service_code, lot=lot)
        tx.session.add(move(tx, batch=batch, quantity_milli=quantity_milli, reason=ADJUSTMENT, note=why))
        return _audited(tx, "stock.adjusted", product.code, batch, quantity_milli, reason=why)

    request = {"service_code": service_code, "lot": lot, "quantity_milli": quantity_milli, "reason": why}
    return Booked(**once(tx, key=key, action="stock.adjust", request=request, work=work))


def write_off_expired(tx: Transaction) -> tuple[Booked, ...]:
    """Write off all that has expired before today and return what left, batch by batch; nothing expired, nothing returned."""
    tx.require(MANAGE)
    expired = select(Batch).where(Batch.on_hand_milli > 0, Batch.expires_on < tx.business_date).order_by(Batch.id).with_for_update()
    batches = tx.session.scalars(expired.execution_options(populate_existing=True)).all()
    wanted = select(Product.service_id, Product.code).where(Product.service_id.in_([batch.service_id for batch in batches]))
    codes = {row.service_id: row.code for row in tx.session.execute(wanted)}
    moves, written_off = [], []
    for batch in batches:
        gone = batch.on_hand_milli
        moves.append(move(tx, batch=batch, quantity_milli=-gone, reason=EXPIRY, note=f"expired on {batch.expires_on}"))
        written_off.append(
            Booked(**_audited(tx, "stock.written_off", codes[batch.service_id], batch, -gone, expires_on=str(batch.expires_on)))
        )
    tx.session.add_all(moves)
    return tuple(written_off)


def _audited(tx: Transaction, action: str, code: str, batch: Batch, quantity_milli: int, **more: Any) -> dict[str, Any]:
    booked = Booked(code=code, lot=batch.lot, batch_id=batch.id, quantity_milli=quantity_milli, on_hand_milli=batch.on_hand_milli)
    told = {"code": code, "lot": batch.lot, "quantity_milli": quantity_milli, "on_hand_milli": batch.on_hand_milli, **more}
    tx.audit(action, "pharmacy_batch", batch.id, **told)
    return asdict(booked)
