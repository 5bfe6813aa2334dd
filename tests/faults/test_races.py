"""Cashiers at the same moment, as processes: exactly one wins what only one can have, and no number is lost or given twice."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from billing.testing.race import Bill, Pay, race
from billing.testing.world import World


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.dispose()


def test_ten_cashiers_pay_one_invoice_and_one_wins(world: World) -> None:
    amx = world.service("AMX", department="shelf", price="33.00")
    lot = world.lot(amx, "10")
    made = world.invoice("AMX:2")

    outcomes = race(world.url, [[Pay(made.id, ("cash 66",), key=f"k{cashier}")] for cashier in range(10)])

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "already_paid": 9}
    assert world.on_hand(lot) == 8000
    (winner,) = [each.number for (each,) in outcomes if each.number]
    assert winner.endswith("-00001")


def test_a_department_and_all_at_once_never_pay_an_item_twice(world: World) -> None:
    world.service("VIS", price="44.00")
    lot = world.lot(world.service("AMX", department="shelf", price="66.00"), "10")
    made = world.invoice("AMX", "VIS")

    outcomes = race(world.url, [[Pay(made.id, ("card 66",), scope="shelf")], [Pay(made.id, ("card 110",))]])

    codes = [each.code for (each,) in outcomes]
    assert codes in ([None, "overpaid"], ["nothing_to_pay", None], ["already_paid", None])
    assert world.on_hand(lot) == 9000


def test_one_key_at_once_is_executed_once_and_answered_alike(world: World) -> None:
    world.service("VIS", price="10.00")
    made = world.invoice("VIS")

    outcomes = race(world.url, [[Pay(made.id, ("cash 20",), key="same")] for _ in range(8)])

    assert {each.code for (each,) in outcomes} == {None}
    assert len({each.id for (each,) in outcomes}) == 1
    assert len({each.number for (each,) in outcomes}) == 1
    assert Counter(each.replayed for (each,) in outcomes) == {False: 1, True: 7}


def test_last_units_go_to_as_many_buyers_as_there_are(world: World) -> None:
    lot = world.lot(world.service("AMX", department="shelf"), "5")
    bills = [world.invoice("AMX").id for _ in range(12)]

    outcomes = race(world.url, [[Pay(bill, ("cash 10",)) for bill in bills[start::4]] for start in range(4)])

    assert Counter(each.code for own in outcomes for each in own) == {None: 5, "shelf_empty": 7}
    assert world.on_hand(lot) == 0


def test_numbers_are_gapless_in_parallel_and_under_failure(world: World) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    world.service("VIS")
    patient = world.patient()
    acts = [[Bill(patient, ("VIS",), fail=chance.random() < 0.3) for _ in range(15)] for _ in range(4)]

    outcomes = race(world.url, acts)

    expected = sum(not act.fail for own in acts for act in own)
    values = sorted(int(each.number.rpartition("-")[2]) for own in outcomes for each in own if each.number)
    assert values == list(range(1, expected + 1)), f"seed {seed}"


def test_opposite_orders_of_items_do_not_deadlock(world: World) -> None:
    codes = [f"S{number}" for number in range(4)]
    lots = [world.lot(world.service(code, department="shelf"), "1000") for code in codes]
    patient = world.patient()
    forth = [world.invoice(*codes, patient_id=patient).id for _ in range(20)]
    back = [world.invoice(*reversed(codes), patient_id=patient).id for _ in range(20)]

    outcomes = race(world.url, [[Pay(bill, ("cash 40",)) for bill in bills] for bills in (forth, back)])

    assert {each.code for own in outcomes for each in own} == {None}
    assert {world.on_hand(lot) for lot in lots} == {960_000}
