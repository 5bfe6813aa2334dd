"""F18: a hook returns rubbish or scribbles over its facts. It is refused, or what the core books is what it would have booked without."""

import random
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.errors import BillingError
from billing.model import new_id
from billing.plugin import adjust, change, effect, insert, put, tell
from billing.testing.saboteur import Saboteur
from billing.testing.shelf import LOTS, Desk, Shelf, ShelfLot, ShelfMove, ShelfTally, sell
from billing.testing.world import World

VALUES: list[Any] = [
    None, True, 0, -1, 1, 2**63, -(2**63), 10**30, 0.5, float("nan"), float("inf"), Decimal("0.1"), "", "x", "\0", "\ud800", "9" * 100_000,
    b"x", [], {}, (), set(), object(), date(2026, 1, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), ShelfLot, int, [[1]], {"a": object()},
    "00000000-0000-0000-0000-000000000000",
]  # fmt: skip


class Rubbish:
    """What a hook might answer by mistake: changes of every kind with values of every kind, in any number."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def __call__(self, payment: Any, items: Any, known: Any) -> Any:
        honest = list(sell(payment, items, known)) if self.chance.random() < 0.7 else []
        answer = honest + [self._one(items, known) for _ in range(self.chance.randrange(1, 4))]
        self.chance.shuffle(answer)
        return self.chance.choice([answer, answer, answer, iter(answer), tuple(answer), {"changes": answer}])

    def _value(self) -> Any:
        return self.chance.choice([*VALUES, new_id(), self.chance.randrange(-(10**6), 10**6)])

    def _one(self, items: Any, known: Any) -> Any:
        key = self.chance.choice([known[LOTS][0].id, new_id(), self._value(), {"id": self._value()}, {"x": 1}])
        item = self.chance.choice(items)
        table = self.chance.choice([ShelfLot, ShelfMove, ShelfTally])
        columns = {self.chance.choice(["on_hand_milli", "note", "lot_id", "quantity_milli", "clinic_id", "nothing"]): self._value()}
        make: Callable[[], Any] = self.chance.choice(
            [
                self._value,
                lambda: insert(table, **columns),
                lambda: insert(ShelfMove, lot_id=known[LOTS][0].id, item_id=item.id, quantity_milli=self._value()),
                lambda: adjust(table, key, at_least=self._value(), **columns),
                lambda: adjust(ShelfLot, known[LOTS][0].id, on_hand_milli=self._value()),
                lambda: change(table, key, expect=columns, note=self._value()),
                lambda: put(table, key if isinstance(key, dict) else {"service_id": key}, **columns),
                lambda: effect(item, self._value(), row=self._value(), quantity_milli=self._value(), data=self._value()),
                lambda: tell(self._value(), what=self._value()),
            ]
        )
        return make()


@pytest.fixture
def shop_of(database_url: str) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**plugins: Any) -> World:
        world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk(), **plugins})
        made.append(world)
        world.lot(world.service("AMX", department="shelf", price="33.00"), "1000000")
        world.service("VIS", price="44.00")
        return world

    yield make
    for world in made:
        world.dispose()


def test_rubbish_is_refused_or_does_no_harm(
    shop_of: Callable[..., World],
    chance: random.Random,
    size: Callable[[int], int],
    told: Callable[..., None],
    books_are_well: Callable[[World], None],
) -> None:
    rubbish = Shelf()
    world = shop_of(shelf=rubbish)
    rubbish.act = Rubbish(chance)
    patient = world.patient()
    refused = 0

    for _ in range(size(1000)):
        invoice = world.invoice("AMX", "VIS", patient_id=patient).id
        try:
            world.pay(invoice, "cash 77")
        except BillingError as error:
            assert error.facts.get("plugin") == "shelf", (error, error.facts)  # noqa: PT017 - any refusal that names the plugin is right
            refused += 1

    assert refused > 0
    assert len(world.dump()["payment"]) == size(1000) - refused
    books_are_well(world)
    told("F18", answers=size(1000), refused=refused, did_no_harm=size(1000) - refused)


def _scribble(value: Any, seen: set[int]) -> None:
    """Write over everything that can be reached from a value, frozen or not."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (tuple, list)):
        for each in value:
            _scribble(each, seen)
    elif isinstance(value, dict):
        for each in value.values():
            _scribble(each, seen)
        value.clear()
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            _scribble(getattr(value, each.name), seen)
            old = getattr(value, each.name)
            new = 1 if isinstance(old, int) else new_id() if isinstance(old, str) else None
            object.__setattr__(value, each.name, new)


class Scribbler(Saboteur):
    """A saboteur that writes over the facts of its hooks, once it has done its work."""

    def _act(self, hook: str, items: tuple[Any, ...]) -> Iterator[Any]:
        answer = list(super()._act(hook, items))
        if hook == self.hook:
            _scribble(items, set())
        return iter(answer)


def _booked(world: World, invoice: str) -> list[list[tuple[Any, ...]]]:
    """Return what was booked for an invoice, without ids and instants."""
    from sqlalchemy import text

    statements = (
        "SELECT status, amount_paid_minor, total_minor FROM invoice WHERE id = :id",
        "SELECT department, code, quantity_milli, total_minor, payment_id IS NOT NULL FROM invoice_item WHERE invoice_id = :id ORDER BY position",
        "SELECT scope, due_minor, tendered_minor, change_minor, applied_minor FROM payment WHERE invoice_id = :id",
        "SELECT plugin, kind, quantity_milli FROM effect WHERE item_id IN (SELECT id FROM invoice_item WHERE invoice_id = :id) ORDER BY 1, 2, 3",
    )
    with world.database.engine.connect() as connection:
        return [[tuple(row) for row in connection.execute(text(each), {"id": invoice})] for each in statements]


@pytest.mark.parametrize("hook", ["on_invoice_created", "on_invoice_issued", "on_items_paid"])
def test_facts_that_were_written_over_change_nothing_that_the_core_books(
    hook: str, shop_of: Callable[..., World], books_are_well: Callable[[World], None]
) -> None:
    scribbler = Scribbler()
    world = shop_of(scribble=scribbler)
    world.service("SAB", department="sabotage", price="7.00")
    honest = world.invoice("SAB", "AMX", "VIS").id
    world.pay(honest, "cash 100")
    scribbler.hook = hook

    invoice = world.invoice("SAB", "AMX", "VIS").id
    world.pay(invoice, "cash 100")

    assert _booked(world, invoice) == _booked(world, honest)
    books_are_well(world)
