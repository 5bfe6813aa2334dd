"""What must always hold of the pharmacy's tables, as selects for `billing doctor` that find what breaks it. They change nothing."""

from sqlalchemy import cast, func, select

from billing.plugin import CLINIC, Invariant, types
from billing_pharmacy.model import DISPENSED, RETURN, SALE, Batch, Move, Reservation

# Cast back, because PostgreSQL sums BIGINT to NUMERIC.
_SUM = cast(func.sum(Move.quantity_milli), types.WholeType())

_MOVED = select(Move.batch_id, _SUM.label("moved_milli")).where(Move.clinic_id == CLINIC).group_by(Move.batch_id).subquery("moved")

# By booking order, not by business date: an import books old days late, so by date a batch may have been sold before it "came in".
# Ids are made while the batch is locked and grow with time, so their order is the order in which the moves were booked.
_RUNNING = (
    select(
        Move.id,
        Move.batch_id,
        cast(func.sum(Move.quantity_milli).over(partition_by=Move.batch_id, order_by=Move.id), types.WholeType()).label("balance_milli"),
    )
    .where(Move.clinic_id == CLINIC)
    .subquery("running")
)

INVARIANTS = (
    Invariant(
        "pharmacy_stock_is_its_moves",
        "What is on hand of a batch is the sum of its moves.",
        select(Batch.id, Batch.lot, Batch.on_hand_milli, func.coalesce(_MOVED.c.moved_milli, 0).label("moved_milli"))
        .outerjoin(_MOVED, _MOVED.c.batch_id == Batch.id)
        .where(Batch.clinic_id == CLINIC, Batch.on_hand_milli != func.coalesce(_MOVED.c.moved_milli, 0)),
    ),
    Invariant(
        "pharmacy_stock_not_negative",
        "No batch has less than nothing on hand.",
        select(Batch.id, Batch.lot, Batch.on_hand_milli).where(Batch.clinic_id == CLINIC, Batch.on_hand_milli < 0),
    ),
    Invariant(
        "pharmacy_stock_never_was_negative",
        "After each move, in the order of booking, a batch had nothing or more.",
        select(_RUNNING.c.id, _RUNNING.c.batch_id, _RUNNING.c.balance_milli).where(_RUNNING.c.balance_milli < 0),
    ),
    Invariant(
        "pharmacy_returns_what_was_sold",
        "No more of an item came back to a batch than was sold out of it.",
        select(Move.item_id, Move.batch_id, _SUM.label("balance_milli"))
        .where(Move.clinic_id == CLINIC, Move.item_id.is_not(None))
        .group_by(Move.item_id, Move.batch_id)
        .having(_SUM > 0),
    ),
    Invariant(
        "pharmacy_sells_nothing_expired",
        "Nothing was sold after the day on which its batch expires.",
        select(Move.id, Move.batch_id, Move.business_date, Batch.expires_on)
        .join(Batch, (Batch.clinic_id == Move.clinic_id) & (Batch.id == Move.batch_id))
        .where(Move.clinic_id == CLINIC, Move.reason == SALE, Move.business_date > Batch.expires_on),
    ),
    Invariant(
        "pharmacy_sales_name_their_item",
        "Every sale and every return names the invoice item and the payment or refund that it belongs to.",
        select(Move.id, Move.batch_id, Move.reason).where(
            Move.clinic_id == CLINIC, Move.reason.in_((SALE, RETURN)), Move.item_id.is_(None) | Move.action_id.is_(None)
        ),
    ),
    Invariant(
        "pharmacy_dispensed_has_left",
        "Of an item that counts as dispensed, something was sold and is still out.",
        select(Reservation.item_id)
        .outerjoin(Move, (Move.clinic_id == Reservation.clinic_id) & (Move.item_id == Reservation.item_id))
        .where(Reservation.clinic_id == CLINIC, Reservation.status == DISPENSED)
        .group_by(Reservation.item_id)
        .having(func.coalesce(_SUM, 0) >= 0),
    ),
)
