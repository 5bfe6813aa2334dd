"""F19: plugins in any order, one switched off, one that can't be imported. The rows are the same; a department without its plugin is refused."""

import random
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from billing import registry
from billing.errors import BillingError
from billing.services import clinics
from billing.testing.saboteur import Saboteur
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World

MODULES: dict[str, Callable[[], Any]] = {"shelf": Shelf, "desk": Desk, "sabotage": Saboteur}
BOOKED = (
    "SELECT department, code, total_minor, payment_id IS NOT NULL FROM invoice_item WHERE invoice_id = :id ORDER BY position",
    "SELECT scope, due_minor, change_minor, applied_minor FROM payment WHERE invoice_id = :id",
    "SELECT plugin, kind, quantity_milli FROM effect WHERE item_id IN (SELECT id FROM invoice_item WHERE invoice_id = :id) ORDER BY 1, 2, 3",
)


def _booked(world: World, invoice: str) -> list[list[tuple[Any, ...]]]:
    with world.database.engine.connect() as connection:
        return [[tuple(row) for row in connection.execute(text(each), {"id": invoice})] for each in BOOKED]


@pytest.fixture
def opened(database_url: str) -> Iterator[Callable[[tuple[str, ...]], World]]:
    worlds: list[World] = []

    def make(names: tuple[str, ...]) -> World:
        worlds.append(World(database_url, plugins=registry.of_modules({name: MODULES[name]() for name in names})))
        return worlds[-1]

    yield make
    for world in worlds:
        world.dispose()


def test_rows_do_not_depend_on_the_order_in_which_plugins_are_found(
    opened: Callable[[tuple[str, ...]], World], chance: random.Random, told: Callable[..., None]
) -> None:
    first = opened(("desk", "sabotage", "shelf"))
    first.lot(first.service("AMX", department="shelf", price="30.00"), "1000")
    first.service("VIS", price="44.00")
    first.service("SAB", department="sabotage", price="7.00")
    results = []

    for names in permutations(MODULES):
        world = opened(names)
        invoice = world.invoice("SAB", "AMX:2", "VIS").id
        world.pay(invoice, "cash 120")
        results.append(_booked(world, invoice))

    assert results == [results[0]] * 6
    told("F19", orders=6)


@pytest.mark.parametrize("missing", [*MODULES])
def test_department_without_its_plugin_is_refused_and_the_others_are_paid(
    missing: str, opened: Callable[[tuple[str, ...]], World], books_are_well: Callable[[World], None]
) -> None:
    whole = opened((*MODULES,))
    codes = {"shelf": "AMX", "desk": "VIS", "sabotage": "SAB"}
    for department, code in codes.items():
        service = whole.service(code, department=department, price="10.00")
        if department == "shelf":
            whole.lot(service, "10")
    invoice = whole.invoice(*codes.values()).id
    rest = ",".join(department for department in codes if department != missing)
    before = whole.dump()
    without = opened(tuple(name for name in MODULES if name != missing))

    for scope, amount in (("ALL", 30), (missing, 10)):
        with pytest.raises(BillingError) as caught:
            without.pay(invoice, f"cash {amount}", scope=scope)
        assert (caught.value.code, caught.value.facts["department"]) == ("department_unavailable", missing)
    assert whole.dump() == before

    assert whole.pay(invoice, "cash 20", scope=rest).status == "partial"
    assert whole.pay(invoice, "cash 10", scope=missing).status == "paid"
    books_are_well(whole)


def test_plugin_that_is_disabled_with_items_unpaid_is_refused_until_it_is_back(opened: Callable[[tuple[str, ...]], World]) -> None:
    world = opened((*MODULES,))
    world.lot(world.service("AMX", department="shelf"), "10")
    invoice = world.invoice("AMX").id
    world.run(lambda tx: clinics.set_plugin(tx, name="shelf", enabled=False))

    with pytest.raises(BillingError) as caught:
        world.pay(invoice, "cash 10")
    world.run(lambda tx: clinics.set_plugin(tx, name="shelf", enabled=True))

    assert caught.value.code == "department_unavailable"
    assert world.pay(invoice, "cash 10").status == "paid"
