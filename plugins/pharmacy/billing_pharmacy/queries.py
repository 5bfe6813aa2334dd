"""What people see of the stock: products, batches, moves, what expires soon. It reads and changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Select, func, literal, select

from billing.plugin import Invalid, Transaction
from billing_pharmacy.model import HELD, Batch, Move, Product, Reservation
from billing_pharmacy.rules import is_expired, may_be_sold
from billing_pharmacy.services import READ
from billing_pharmacy.shelf import NoSuchProduct

MOST_DAYS = 36_500


class BadPeriod(Invalid):
    """A number of days or of rows below zero or beyond all bounds."""

    code = "bad_period"


@dataclass(frozen=True, slots=True)
class ProductStock:
    """A product: what lies on the shelf, what of it may be sold today, and what open invoices have reserved; in thousandths."""

    code: str
    name: str
    controlled: bool
    on_hand_milli: int
    sellable_milli: int
    reserved_milli: int
    reorder_level_milli: int
    next_expires_on: date | None

    @property
    def to_order(self) -> bool:
        """Whether what is neither sold nor promised has come down to the reorder level."""
        return self.reorder_level_milli > 0 and self.sellable_milli - self.reserved_milli <= self.reorder_level_milli


@dataclass(frozen=True, slots=True)
class BatchStock:
    """A batch with something on hand (thousandths); `state` is fresh, expired or blocked."""

    code: str
    name: str
    lot: str
    expires_on: date
    on_hand_milli: int
    unit_cost_e4: int
    state: str


@dataclass(frozen=True, slots=True)
class MoveLine:
    """A move of a batch's stock (thousandths)."""

    at: datetime
    business_date: date
    code: str
    lot: str
    quantity_milli: int
    reason: str
    note: str
    actor_id: str
    item_id: str | None
    action_id: str | None


def list_stock(tx: Transaction, *, service_code: str | None = None) -> tuple[ProductStock, ...]:
    """Return the products by code, each with its stock. Raises `NoSuchProduct` for a code that is none."""
    tx.require(READ)
    products = _products(tx, service_code)
    shelf: dict[str, list[Batch]] = {}
    for batch in tx.session.scalars(_of(select(Batch).where(Batch.on_hand_milli > 0), products, service_code)):
        shelf.setdefault(batch.service_id, []).append(batch)
    held = select(Reservation.service_id, func.sum(Reservation.quantity_milli)).where(
        Reservation.status == literal(HELD, literal_execute=True)
    )  # as text: the index is of held ones only
    # PostgreSQL sums BIGINT to NUMERIC; the domain counts in whole thousandths.
    reserved = {service_id: int(total) for service_id, total in tx.session.execute(held.group_by(Reservation.service_id))}
    today = tx.business_date
    return tuple(_product_stock(each, shelf.get(each.service_id, []), reserved.get(each.service_id, 0), today) for each in products)


def list_batches(tx: Transaction, *, service_code: str | None = None) -> tuple[BatchStock, ...]:
    """Return the batches with something on hand, by product and expiry. Raises `NoSuchProduct` for a code that is none."""
    tx.require(READ)
    return _batches(tx, _products(tx, service_code), select(Batch).where(Batch.on_hand_milli > 0), service_code)


def list_expiring(tx: Transaction, *, days: int) -> tuple[BatchStock, ...]:
    """Return the batches with something on hand that expire in the next `days` days (0: today) or have expired, by product and expiry."""
    tx.require(READ)
    if not 0 <= days <= MOST_DAYS:
        raise BadPeriod(f"Give a number of days from 0 to {MOST_DAYS}.")
    until = tx.business_date + timedelta(days)
    return _batches(tx, _products(tx, None), select(Batch).where(Batch.on_hand_milli > 0, Batch.expires_on <= until), None)


def list_moves(tx: Transaction, *, service_code: str | None = None, lot: str | None = None, limit: int = 100) -> tuple[MoveLine, ...]:
    """Return the latest moves, the latest first. Raises `NoSuchProduct` for a code that is none."""
    tx.require(READ)
    if not 1 <= limit <= 100_000:
        raise BadPeriod("Ask for 1 to 100000 moves.")
    products = {product.service_id: product for product in _products(tx, service_code)}
    wanted = select(Move, Batch).join(Batch, (Batch.clinic_id == Move.clinic_id) & (Batch.id == Move.batch_id))
    if service_code is not None:
        wanted = wanted.where(Batch.service_id.in_(products))
    if lot is not None:
        wanted = wanted.where(Batch.lot == lot)
    found = tx.session.execute(wanted.order_by(Move.id.desc()).limit(limit)).all()
    return tuple(
        MoveLine(
            at=move.at,
            business_date=move.business_date,
            code=products[batch.service_id].code,
            lot=batch.lot,
            quantity_milli=move.quantity_milli,
            reason=move.reason,
            note=move.note,
            actor_id=move.actor_id,
            item_id=move.item_id,
            action_id=move.action_id,
        )
        for move, batch in found
    )


def _products(tx: Transaction, code: str | None) -> list[Product]:
    wanted = select(Product).order_by(Product.code)
    found = list(tx.session.scalars(wanted if code is None else wanted.where(Product.code == code)))
    if code is not None and not found:
        raise NoSuchProduct(f"{code[:40]!r} is no product of the pharmacy: `billing stock list` shows all.", product=code)
    return found


def _of(wanted: Select[Batch], products: Iterable[Product], code: str | None) -> Select[Batch]:
    return wanted if code is None else wanted.where(Batch.service_id.in_([product.service_id for product in products]))


def _batches(tx: Transaction, products: list[Product], wanted: Select[Batch], code: str | None) -> tuple[BatchStock, ...]:
    named = {product.service_id: product for product in products}
    lines = [
        BatchStock(
            code=named[batch.service_id].code,
            name=named[batch.service_id].name,
            lot=batch.lot,
            expires_on=batch.expires_on,
            on_hand_milli=batch.on_hand_milli,
            unit_cost_e4=batch.unit_cost_e4,
            state="blocked" if batch.blocked else "expired" if is_expired(batch.expires_on, tx.business_date) else "fresh",
        )
        for batch in tx.session.scalars(_of(wanted, products, code))
    ]
    return tuple(sorted(lines, key=lambda line: (line.code, line.expires_on, line.lot)))


def _product_stock(product: Product, shelf: list[Batch], reserved_milli: int, today: date) -> ProductStock:
    sellable = [batch for batch in shelf if may_be_sold(batch, today)]
    return ProductStock(
        code=product.code,
        name=product.name,
        controlled=product.controlled,
        on_hand_milli=sum(batch.on_hand_milli for batch in shelf),
        sellable_milli=sum(batch.on_hand_milli for batch in sellable),
        reserved_milli=reserved_milli,
        reorder_level_milli=product.reorder_level_milli,
        next_expires_on=min((batch.expires_on for batch in sellable), default=None),
    )
