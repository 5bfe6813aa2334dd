"""The pharmacy's tables: products, their batches, every move of stock, and what invoices reserve. They know nothing of hooks and services.

Quantities are thousandths of the service's unit, costs ten-thousandths of a minor unit of the clinic's currency for one unit.
"""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.plugin import (
    Base,
    ClinicRow,
    ClinicRowWithId,
    Day,
    Flag,
    Id,
    Instant,
    Milli,
    Name,
    Upkeep,
    Whole,
    check,
    references,
    types,
    unique,
)

RECEIPT = "receipt"
SALE = "sale"
RETURN = "return"
ADJUSTMENT = "adjustment"
TRANSFER = "transfer"
EXPIRY = "expiry"

HELD = "held"
RELEASED = "released"
DISPENSED = "dispensed"


class Product(ClinicRow, Base):
    """A service of the price list that is kept in stock. The service is the key, so that two can't stand for one, and a product can be put.

    `code` and `name` are the price list's at the time when the product was added. `controlled` marks what needs a second person,
    `reorder_level_milli` the stock at or below which it is to be ordered (0: never).
    """

    __tablename__ = "pharmacy_product"
    __table_args__ = (
        references("service", "service_id"),
        unique("code"),
        check("reorder_level", "reorder_level_milli >= 0"),
    )
    upkeep = Upkeep.CHANGED

    service_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    code: Mapped[Name]
    name: Mapped[Name]
    controlled: Mapped[Flag]
    reorder_level_milli: Mapped[Milli]
    created_at: Mapped[Instant]


class Batch(ClinicRowWithId, Base):
    """A lot of a product with one expiry. It may be sold through the day `expires_on`, unless it is blocked (recalled).

    `on_hand_milli` is the sum of its moves; it is kept here so that a payment locks and checks one row.
    `unit_cost_e4` is the average cost of what was received.
    """

    __tablename__ = "pharmacy_batch"
    __table_args__ = (
        references("pharmacy_product", "service_id", target="service_id"),
        unique("service_id", "lot"),
        check("on_hand", "on_hand_milli >= 0"),
        check("unit_cost", "unit_cost_e4 >= 0"),
        check("blocked", "blocked = (blocked_reason IS NOT NULL)"),
        # What a sale chooses from; years of sold-out batches are not in it.
        Index(
            "ix_pharmacy_batch_live",
            "clinic_id",
            "service_id",
            "expires_on",
            postgresql_where=text("on_hand_milli > 0"),
            sqlite_where=text("on_hand_milli > 0"),
        ),
    )
    upkeep = Upkeep.CHANGED

    service_id: Mapped[Id]
    lot: Mapped[Name]
    expires_on: Mapped[Day]
    on_hand_milli: Mapped[Milli]
    unit_cost_e4: Mapped[Whole]
    blocked: Mapped[Flag]
    blocked_reason: Mapped[Name | None]
    received_at: Mapped[Instant]


class Move(ClinicRowWithId, Base):
    """One change of a batch's stock: how much, why, by whom. Never changed; a mistake is corrected by another move.

    `item_id` is the invoice item of a sale or a return, `action_id` the payment or refund. `source` names the row of a file
    that a receipt came from, so that a file imported twice is booked once.
    """

    __tablename__ = "pharmacy_move"
    __table_args__ = (
        references("pharmacy_batch", "batch_id"),
        references("invoice_item", "item_id"),
        check("quantity", "quantity_milli <> 0"),
        check("reason", "reason IN ('receipt', 'sale', 'return', 'adjustment', 'transfer', 'expiry')"),
        check("item", "(reason IN ('sale', 'return')) = (item_id IS NOT NULL AND action_id IS NOT NULL)"),
        check(
            "sign",
            "(reason NOT IN ('receipt', 'return') OR quantity_milli > 0) AND (reason NOT IN ('sale', 'expiry') OR quantity_milli < 0)",
        ),
        Index("ix_pharmacy_move_batch", "clinic_id", "batch_id", "id"),
        Index("ix_pharmacy_move_item", "clinic_id", "item_id"),
        Index(
            "ux_pharmacy_move_source",
            "clinic_id",
            "source",
            unique=True,
            postgresql_where=text("source IS NOT NULL"),
            sqlite_where=text("source IS NOT NULL"),
        ),
    )
    upkeep = Upkeep.ADDED

    batch_id: Mapped[Id]
    quantity_milli: Mapped[Milli]
    reason: Mapped[Name]
    item_id: Mapped[Id | None]
    action_id: Mapped[Id | None]
    business_date: Mapped[Day]
    at: Mapped[Instant]
    actor_id: Mapped[Id]
    note: Mapped[Name]
    source: Mapped[Name | None]


class Reservation(ClinicRow, Base):
    """What an item of an invoice reserves: held; dispensed when it is paid; released when the invoice is cancelled or all came back.

    It informs (`stock list` shows what is promised already) and vetoes nothing: who pays first is served first.
    An item that is taken from a draft takes its reservation with it.
    """

    __tablename__ = "pharmacy_reservation"
    __table_args__ = (
        references("invoice_item", "item_id", ondelete="CASCADE"),
        references("pharmacy_product", "service_id", target="service_id"),
        check("quantity", "quantity_milli > 0"),
        check("status", "status IN ('held', 'released', 'dispensed')"),
        Index(
            "ix_pharmacy_reservation_held",
            "clinic_id",
            "service_id",
            postgresql_where=text("status = 'held'"),
            sqlite_where=text("status = 'held'"),
        ),
    )
    upkeep = Upkeep.CHANGED

    item_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    service_id: Mapped[Id]
    quantity_milli: Mapped[Milli]
    status: Mapped[Name]
    changed_at: Mapped[Instant]
