"""What every act on the stock is made of: lock products and batches, take in, move. Knows no permissions.

Locks are taken in one order: products by service, then batches by id. Payments lock batches only, also by id.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from billing.plugin import Invalid, NotFound, Refused, ServiceFacts, Transaction, find_service, format_quantity, new_id
from billing_pharmacy.model import RECEIPT, Batch, Move, Product
from billing_pharmacy.rules import average_cost, is_expired

MOST_MILLI = 10**12
"""A thousand million units: what a single move may add or take at most."""

LONGEST_LOT = 64


class NoSuchProduct(NotFound):
    """The code is no product of the pharmacy. Facts: `product`."""

    code = "no_such_product"


class NoSuchLot(NotFound):
    """The product has no such lot. Facts: `product`, `lot`."""

    code = "no_such_lot"


class NotOfThePharmacy(Refused):
    """The service belongs to another department. Facts: `service`, `department`."""

    code = "not_of_the_pharmacy"


class BadDelivery(Invalid):
    """A delivery without a lot, without a quantity, or with a cost below zero. Facts: `lot`."""

    code = "bad_delivery"


class ExpiredOnArrival(Refused):
    """What is received has expired already. Facts: `lot`, `expires_on`."""

    code = "expired_on_arrival"


class LotHasOtherExpiry(Refused):
    """The lot stands already with another expiry. Facts: `lot`, `expires_on`, `known`."""

    code = "lot_has_other_expiry"


class NotEnoughInLot(Refused):
    """A lot would fall below zero. Facts: `lot`, `wanted_milli`, `left_milli`."""

    code = "not_enough_in_lot"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A quantity (thousandths) of a lot that comes in, and what one unit cost (ten-thousandths of a minor unit)."""

    service_code: str
    lot: str
    expires_on: date
    quantity_milli: int
    unit_cost_e4: int

    def check(self) -> None:
        """Raise `BadDelivery` unless the values make sense by themselves."""
        if not self.lot or self.lot != self.lot.strip() or not self.lot.isprintable() or len(self.lot) > LONGEST_LOT:
            sentence = f"{self.lot[:40]!r} is no lot: write what is printed on the box, at most {LONGEST_LOT} characters."
            raise BadDelivery(sentence, lot=self.lot)
        if not 0 < self.quantity_milli <= MOST_MILLI:
            raise BadDelivery(f"Lot {self.lot}: give a quantity above zero, at most {format_quantity(MOST_MILLI)}.", lot=self.lot)
        if self.unit_cost_e4 < 0:
            raise BadDelivery(f"Lot {self.lot}: a cost can't be below zero.", lot=self.lot)


def lock_products(tx: Transaction, *, codes: Collection[str]) -> dict[str, Product]:
    """Lock the products with these codes and return them by code; codes that are no products are left out."""
    # key_share: payments go on referring to the product while its shelf is being filled.
    found = select(Product).where(Product.code.in_(codes)).order_by(Product.service_id).with_for_update(key_share=True)
    return {product.code: product for product in tx.session.scalars(found.execution_options(populate_existing=True))}


def lock_batches(tx: Transaction, *, products: Collection[Product], lots: Collection[str]) -> dict[tuple[str, str], Batch]:
    """Lock the batches of these products with these lots and return them by (service, lot)."""
    services = [product.service_id for product in products]
    found = select(Batch).where(Batch.service_id.in_(services), Batch.lot.in_(lots)).order_by(Batch.id).with_for_update()
    batches = tx.session.scalars(found.execution_options(populate_existing=True))
    return {(batch.service_id, batch.lot): batch for batch in batches}


def lock_lot(tx: Transaction, *, service_code: str, lot: str) -> tuple[Product, Batch]:
    """Lock a product and one of its batches. Raises `NoSuchProduct` or `NoSuchLot`."""
    product = lock_products(tx, codes=[service_code]).get(service_code)
    if product is None:
        sentence = f"{service_code[:40]!r} is no product of the pharmacy: add it with `billing stock product add`."
        raise NoSuchProduct(sentence, product=service_code)
    batch = lock_batches(tx, products=[product], lots=[lot]).get((product.service_id, lot))
    if batch is None:
        sentence = f"{service_code} has no lot {lot[:40]!r}: `billing stock list --batches` shows them."
        raise NoSuchLot(sentence, product=service_code, lot=lot)
    return product, batch


def products_for(tx: Transaction, *, codes: Collection[str]) -> dict[str, Product]:
    """Lock the products with these codes, making products of the pharmacy's services that are none yet.

    Raises `NotFound` for a code that is not on the price list, `NotOfThePharmacy` for a service of another department.
    """
    found = lock_products(tx, codes=codes)
    missing = [code for code in sorted(codes) if code not in found]
    for code in missing:
        make_product(tx, service=find_service(tx, code))
    return lock_products(tx, codes=codes) if missing else found


def make_product(tx: Transaction, *, service: ServiceFacts, controlled: bool = False, reorder_level_milli: int = 0) -> Product | None:
    """Make a product of a service of the pharmacy; None if another unit has made it in this moment. Raises `NotOfThePharmacy`."""
    if service.department != "pharmacy":
        raise NotOfThePharmacy(
            f"{service.code} belongs to the department {service.department}: only services of the pharmacy are kept in stock.",
            service=service.code,
            department=service.department,
        )
    product = Product(
        service_id=service.id,
        code=service.code,
        name=service.description,
        controlled=controlled,
        reorder_level_milli=reorder_level_milli,
        created_at=tx.at,
    )
    try:
        with tx.session.begin_nested():
            tx.session.add(product)
    except IntegrityError:
        return None
    tx.audit(
        "stock.product_added",
        "pharmacy_product",
        service.id,
        code=service.code,
        controlled=controlled,
        reorder_level_milli=reorder_level_milli,
    )
    return product


def lot_for(tx: Transaction, *, product: Product, standing: Batch | None, delivery: Delivery, allow_expired: bool) -> Batch:
    """Return the batch that a delivery goes to: the lot as it stands and is locked, or a new one without stock, for the caller to add.

    Raises `ExpiredOnArrival` (unless allowed) and `LotHasOtherExpiry`.
    """
    if is_expired(delivery.expires_on, tx.business_date) and not allow_expired:
        raise ExpiredOnArrival(
            f"{product.code}, lot {delivery.lot}: it has expired on {delivery.expires_on}. Send it back, or allow it with --allow-expired.",
            lot=delivery.lot,
            expires_on=delivery.expires_on,
        )
    if standing is None:
        return Batch(
            id=new_id(),
            service_id=product.service_id,
            lot=delivery.lot,
            expires_on=delivery.expires_on,
            on_hand_milli=0,
            unit_cost_e4=delivery.unit_cost_e4,
            blocked=False,
            blocked_reason=None,
            received_at=tx.at,
        )
    if standing.expires_on != delivery.expires_on:
        raise LotHasOtherExpiry(
            f"{product.code}, lot {standing.lot}: it expires on {standing.expires_on} here, not on {delivery.expires_on}. Look at the box.",
            lot=standing.lot,
            expires_on=delivery.expires_on,
            known=standing.expires_on,
        )
    return standing


def take_in(tx: Transaction, *, batch: Batch, delivery: Delivery, source: str | None = None) -> Move:
    """Put a delivery into its batch and return the move, for the caller to add."""
    batch.unit_cost_e4 = average_cost(
        on_hand_milli=batch.on_hand_milli,
        cost_e4=batch.unit_cost_e4,
        received_milli=delivery.quantity_milli,
        received_cost_e4=delivery.unit_cost_e4,
    )
    return move(tx, batch=batch, quantity_milli=delivery.quantity_milli, reason=RECEIPT, source=source)


def move(tx: Transaction, *, batch: Batch, quantity_milli: int, reason: str, note: str = "", source: str | None = None) -> Move:
    """Change what a locked batch holds (thousandths, negative for what leaves) and return the move, for the caller to add.

    Raises `NotEnoughInLot`.
    """
    if batch.on_hand_milli + quantity_milli < 0:
        raise NotEnoughInLot(
            f"Lot {batch.lot}: {format_quantity(-quantity_milli)} can't leave, {format_quantity(batch.on_hand_milli)} are left.",
            lot=batch.lot,
            wanted_milli=-quantity_milli,
            left_milli=batch.on_hand_milli,
        )
    batch.on_hand_milli += quantity_milli
    return Move(
        id=new_id(),
        batch_id=batch.id,
        quantity_milli=quantity_milli,
        reason=reason,
        item_id=None,
        action_id=None,
        business_date=tx.business_date,
        at=tx.at,
        actor_id=tx.actor.id,
        note=note,
        source=source,
    )
