"""A department for tests: it sells from a shelf, and misbehaves when told to. The smallest plugin that uses every kind of change."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from billing.plugin import (
    Base,
    BilledItem,
    Change,
    ClinicRow,
    ClinicRowWithId,
    Declaration,
    Department,
    Id,
    Known,
    Milli,
    Name,
    Need,
    PaidItem,
    PaymentFacts,
    RefundedItem,
    RefundFacts,
    Refused,
    Upkeep,
    adjust,
    check,
    effect,
    hookimpl,
    insert,
    paying,
    put,
    references,
    refunding,
    tell,
    types,
)


class ShelfLot(ClinicRowWithId, Base):
    """What lies on the shelf of a service, in thousandths."""

    __tablename__ = "shelf_lot"
    __table_args__ = (references("service", "service_id"), check("on_hand", "on_hand_milli >= 0"))

    service_id: Mapped[Id]
    on_hand_milli: Mapped[Milli]
    note: Mapped[Name | None]


class ShelfMove(ClinicRowWithId, Base):
    """A movement of a lot, for an item."""

    __tablename__ = "shelf_move"
    __table_args__ = (references("shelf_lot", "lot_id"), references("invoice_item", "item_id"))
    upkeep = Upkeep.ADDED

    lot_id: Mapped[Id]
    item_id: Mapped[Id]
    quantity_milli: Mapped[Milli]


class ShelfTally(ClinicRow, Base):
    """The latest item sold of a service: a table with a natural key."""

    __tablename__ = "shelf_tally"
    __table_args__ = (references("service", "service_id"),)

    service_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    latest_item_id: Mapped[Id]


TABLES: tuple[type[Any], ...] = (ShelfLot, ShelfMove, ShelfTally)

LOTS = Need(
    select(ShelfLot.id, ShelfLot.service_id, ShelfLot.on_hand_milli).where(ShelfLot.service_id.in_(select(paying.c.service_id))),
    lock=ShelfLot,
)
RETURNED = Need(
    select(ShelfLot.id, ShelfLot.on_hand_milli).where(
        types.as_text(ShelfLot.id).in_(select(refunding.c.row_id).where(refunding.c.kind == "shelf.taken"))
    ),
    lock=ShelfLot,
    of="refunding",
)


class ShelfEmpty(Refused):
    """The shelf does not hold what is paid. Facts: `item`, `wanted_milli`, `left_milli`."""

    code = "shelf_empty"


Act = Callable[[PaymentFacts, tuple[PaidItem, ...], Known], Any]


class Shelf:
    """The plugin. `act` replaces what `on_items_paid` does; `check` what `before_items_paid` does: to try every misbehaviour."""

    def __init__(self, *, department: str = "shelf", act: Act | None = None, check: Act | None = None, effects: bool = True) -> None:
        self.department = department
        self.act = act or sell
        self.check = check
        self.effects = effects

    @hookimpl
    def declare(self) -> Declaration:
        """Declare the department and its tables."""
        departments = (Department(self.department, self.department.title(), effects=self.effects),)
        if self.department != "shelf":
            return Declaration(departments=departments)
        return Declaration(departments=departments, tables=TABLES, needs=(LOTS, RETURNED))

    @hookimpl
    def before_items_paid(self, payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
        """Refuse what the check refuses."""
        if self.check is not None:
            self.check(payment, items, known)

    @hookimpl
    def on_items_paid(self, payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Any:
        """Take what is paid off the shelf."""
        return self.act(payment, items, known)

    @hookimpl
    def on_items_refunded(self, refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> Iterator[Change]:
        """Put it back where it came from, unless it was destroyed."""
        for item in items:
            left = item.quantity_milli
            for lot, taken in _still_out(item).items():
                back = min(left, taken)
                if back:
                    if item.condition == "good":
                        yield adjust(ShelfLot, lot, on_hand_milli=back)
                        yield insert(ShelfMove, lot_id=lot, item_id=item.id, quantity_milli=back)
                    yield effect(item, "shelf.returned", row=lot, quantity_milli=back)
                    left -= back


def _still_out(item: RefundedItem) -> dict[str, int]:
    """Return by lot what was taken for an item and has not come back yet."""
    out: dict[str, int] = {}
    for done in item.effects:
        sign = {"shelf.taken": 1, "shelf.returned": -1}.get(done.kind, 0)
        out[done.row] = out.get(done.row, 0) + sign * done.quantity_milli
    return out


def sell(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterator[Change]:
    """Take each item from the lots of its service in the order of their keys. Raises `ShelfEmpty`."""
    left = {lot.id: lot.on_hand_milli for lot in known[LOTS]}
    for item in items:
        wanted = item.quantity_milli
        for lot in known[LOTS]:
            taken = min(wanted, left[lot.id]) if lot.service_id == item.service_id else 0
            if taken:
                left[lot.id] -= taken
                wanted -= taken
                yield adjust(ShelfLot, lot.id, on_hand_milli=-taken, at_least=0)
                yield insert(ShelfMove, lot_id=lot.id, item_id=item.id, quantity_milli=-taken)
                yield effect(item, "shelf.taken", row=lot.id, quantity_milli=taken)
        if wanted:
            raise ShelfEmpty(
                f"{item.code}: {wanted} missing", item=item.id, wanted_milli=item.quantity_milli, left_milli=item.quantity_milli - wanted
            )
        yield put(ShelfTally, {"service_id": item.service_id}, latest_item_id=item.id)
    yield tell("shelf.sold", payment=payment.id)


class Desk:
    """A department without tables: it only states that an item was dealt with."""

    @hookimpl
    def declare(self) -> Declaration:
        """Declare the department."""
        return Declaration(departments=(Department("desk", "Desk"),))

    @hookimpl
    def on_items_paid(self, items: Sequence[BilledItem]) -> Iterator[Change]:
        """State an effect for each item."""
        for item in items:
            yield effect(item, "desk.done", quantity_milli=item.quantity_milli)

    @hookimpl
    def on_items_refunded(self, items: Sequence[RefundedItem]) -> Iterator[Change]:
        """State that it was undone."""
        for item in items:
            yield effect(item, "desk.undone", quantity_milli=item.quantity_milli)
