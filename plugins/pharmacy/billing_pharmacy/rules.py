"""The pharmacy's arithmetic: what may be sold, from which batch, what is missing, where a return goes. Knows no tables and no clock."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from billing.plugin import BilledItem, Invalid, StoredEffect, divide_half_up

STOCK_DISPENSED = "stock.dispensed"
STOCK_RETURNED = "stock.returned"


class BadDay(Invalid):
    """The text is no day. Facts: `text`."""

    code = "bad_day"


class Shelved(Protocol):
    """A batch on the shelf, as a need finds it."""

    @property
    def id(self) -> str:
        """The batch."""

    @property
    def service_id(self) -> str:
        """The service whose product it is."""

    @property
    def expires_on(self) -> date:
        """The last day on which it may be sold."""

    @property
    def on_hand_milli(self) -> int:
        """How much is there, in thousandths."""

    @property
    def blocked(self) -> bool:
        """Whether it was recalled."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A product of which more is wanted than may be sold; in thousandths. `expired` and `blocked` lie on the shelf and don't count."""

    item_id: str
    code: str
    wanted_milli: int
    left_milli: int
    expired_milli: int
    blocked_milli: int


def is_expired(expires_on: date, today: date) -> bool:
    """Say whether the day of expiry is over: a batch may still be sold on that day itself."""
    return expires_on < today


def may_be_sold(batch: Shelved, today: date) -> bool:
    """Say whether a batch may be sold on the day `today`: there is some of it, it is neither expired nor blocked."""
    return batch.on_hand_milli > 0 and not batch.blocked and not is_expired(batch.expires_on, today)


def first_expired_first_out(
    shelf: Iterable[Shelved], items: Iterable[BilledItem], *, today: date
) -> Iterator[tuple[BilledItem, Shelved, int]]:
    """Yield which item takes how much (thousandths) of which batch: earliest expiry first, items in their order, at most what there is.

    Items of one product share its batches, so what a batch gives does not depend on the items' order.
    An item that `shortages` does not name gets exactly its quantity. Batches of one expiry go by their id, so the oldest goes first.
    """
    queues: dict[str, deque[Shelved]] = defaultdict(deque)
    for batch in sorted(shelf, key=lambda each: (each.expires_on, each.id)):
        if may_be_sold(batch, today):
            queues[batch.service_id].append(batch)
    left = {batch.id: batch.on_hand_milli for queue in queues.values() for batch in queue}
    for item in items:
        missing = item.quantity_milli
        queue = queues[item.service_id or ""]
        while missing and queue:
            batch = queue[0]
            taken = min(missing, left[batch.id])
            missing -= taken
            left[batch.id] -= taken
            if not left[batch.id]:
                queue.popleft()
            yield item, batch, taken


def shortages(shelf: Iterable[Shelved], items: Iterable[BilledItem], *, today: date) -> tuple[Shortage, ...]:
    """Return each product of which the items together want more than may be sold, in the order of its first item."""
    wanted: dict[str, list[BilledItem]] = defaultdict(list)
    for item in items:
        wanted[item.service_id or ""].append(item)
    by_service: dict[str, list[Shelved]] = defaultdict(list)
    for batch in shelf:
        by_service[batch.service_id].append(batch)
    found = []
    for service_id, asking in wanted.items():
        batches = by_service[service_id]
        total = sum(item.quantity_milli for item in asking)
        left = _sum(batch for batch in batches if may_be_sold(batch, today))
        if total > left:
            blocked = _sum(batch for batch in batches if batch.blocked)
            expired = _sum(batch for batch in batches if is_expired(batch.expires_on, today) and not batch.blocked)
            found.append(Shortage(asking[0].id, asking[0].code, total, left, expired, blocked))
    return tuple(found)


def dispensed_batches(effects: Iterable[StoredEffect]) -> dict[str, int]:
    """Return how much (thousandths) of each batch the patient still has by the stored effects, the batch dispensed latest first.

    Returns that were booked already count against their batch; a batch of which all has come back is left out.
    """
    outstanding: dict[str, int] = {}
    for effect in effects:
        if effect.kind == STOCK_DISPENSED:
            # Taken out and put in again, so that the order is that of the latest time the batch was dispensed.
            outstanding[effect.row] = outstanding.pop(effect.row, 0) + effect.quantity_milli
        elif effect.kind == STOCK_RETURNED:
            outstanding[effect.row] = outstanding.get(effect.row, 0) - effect.quantity_milli
    return {row: quantity for row, quantity in reversed(outstanding.items()) if quantity > 0}


def returns(effects: Iterable[StoredEffect], quantity_milli: int) -> Iterator[tuple[str, int]]:
    """Yield which batch gets how much (thousandths) of a returned quantity: the batch dispensed latest first, each at most what it gave.

    First-expired-first-out dispensed the batch with the longest life last, so of a part that comes back it is what is still whole.
    """
    missing = quantity_milli
    for row, outstanding in dispensed_batches(effects).items():
        if not missing:
            return
        back = min(missing, outstanding)
        missing -= back
        yield row, back


def average_cost(*, on_hand_milli: int, cost_e4: int, received_milli: int, received_cost_e4: int) -> int:
    """Return the unit cost of a batch after a receipt, weighted by quantity, rounded half up. `received_milli` is above zero."""
    return divide_half_up(on_hand_milli * cost_e4 + received_milli * received_cost_e4, on_hand_milli + received_milli)


def parse_day(text: str) -> date:
    """Read "2027-01-31". Raises `BadDay`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # Python reads 20270131 and 2027-W05-1 as well: in a file these are mistakes
        raise BadDay(f"{text[:40]!r} is no day: write it like 2027-01-31.", text=text)
    return day


def _sum(batches: Iterable[Shelved]) -> int:
    return sum(batch.on_hand_milli for batch in batches)
