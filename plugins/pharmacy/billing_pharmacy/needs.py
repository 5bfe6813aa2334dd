"""What the pharmacy wants to know in each step: its products, and batches locked where they will change. It decides nothing."""

from sqlalchemy import cast, select

from billing.plugin import Need, billing, importing, paying, refunding, types
from billing_pharmacy.model import Batch, Product, Reservation
from billing_pharmacy.rules import STOCK_DISPENSED

PRODUCTS = Need(select(Product.service_id).where(Product.service_id.in_(select(paying.c.service_id))))
"""Which of the items that are being paid are products of the pharmacy."""

SHELF = Need(
    select(Batch.id, Batch.service_id, Batch.expires_on, Batch.on_hand_milli, Batch.blocked).where(
        Batch.on_hand_milli > 0, Batch.service_id.in_(select(paying.c.service_id))
    ),
    lock=Batch,
)
"""All that lies on the shelf of the products that are being paid. Expired and blocked batches too: the cashier is told of them."""

BILLED_PRODUCTS = Need(select(Product.service_id).where(Product.service_id.in_(select(billing.c.service_id))), of="billing")
"""Which items of the invoice are products of the pharmacy."""

DISPENSED_BATCHES = Need(
    select(Batch.id).where(Batch.id.in_(select(cast(refunding.c.row_id, types.IdType())).where(refunding.c.kind == STOCK_DISPENSED))),
    lock=Batch,
    of="refunding",
)
"""The batches that the refunded items came from."""

RESERVATIONS = Need(
    select(Reservation.item_id, Reservation.status).where(Reservation.item_id.in_(select(refunding.c.item_id))),
    lock=Reservation,
    of="refunding",
)
"""The reservations of the refunded items."""

IMPORTED_PRODUCTS = Need(select(Product.service_id).where(Product.service_id.in_(select(importing.c.service_id))), of="importing")
"""Which imported items are products already."""

IMPORTED_BATCHES = Need(
    select(Batch.id, Batch.service_id, Batch.lot).where(Batch.service_id.in_(select(importing.c.service_id))), lock=Batch, of="importing"
)
"""All batches of the imported products, sold out or not: a lot stands once."""

NEEDS = (PRODUCTS, SHELF, BILLED_PRODUCTS, DISPENSED_BATCHES, RESERVATIONS, IMPORTED_PRODUCTS, IMPORTED_BATCHES)
