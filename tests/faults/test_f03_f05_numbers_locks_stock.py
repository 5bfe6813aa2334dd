"""F03, F04, F05: many processes at the same counters, rows and shelves. Numbers are gapless, nobody deadlocks, the last unit is sold once."""

import random
from collections import Counter
from collections.abc import Callable

from billing.testing.crew import DIED, Crew, Failing
from billing.testing.race import Bill, Pay
from billing.testing.world import World

BATCH = 10


def test_numbers_are_gapless_in_two_clinics_under_rollbacks_and_deaths(
    world: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    world.found("south")
    clinics = ["north", "south"]
    patients = {}
    for clinic in clinics:
        world.service("VIS", clinic=clinic)
        patients[clinic] = world.patient(clinic=clinic)
    workers, made, undone, died = 8, dict.fromkeys(clinics, 0), 0, 0
    acked: dict[str, list[str]] = {clinic: [] for clinic in clinics}

    with Crew(world.url, workers) as crew:
        for _ in range(max(1, size(5000) // (workers * BATCH))):
            places = [clinics[worker % 2] for worker in range(workers)]
            acts = [[_bill(chance, patients[place]) for _ in range(BATCH)] for place in places]
            for place, outcomes in zip(places, crew.race(acts, clinics=places), strict=True):
                assert {outcome.code for outcome in outcomes} <= {None, "undone", DIED}
                acked[place] += [outcome.number for outcome in outcomes if outcome.number]
                made[place] = len(acked[place])
                undone += sum(outcome.code == "undone" for outcome in outcomes)
                died += sum(outcome.code == DIED for outcome in outcomes)

    for clinic in clinics:
        values = sorted(int(str(number).rpartition("-")[2]) for number in acked[clinic])
        stored = world.read(_numbers, clinic=clinic)
        assert stored == list(range(1, len(stored) + 1))
        assert set(values) <= set(stored)
        assert len(stored) == len(set(values)), "whoever dies before COMMIT has made nothing"
    told("F03", invoices=sum(made.values()), undone=undone, died=died, gaps=0)


def _bill(chance: random.Random, patient: str) -> Bill | Failing:
    act, luck = Bill(patient, ("VIS",)), chance.random()
    if luck < 0.1:
        return Bill(patient, ("VIS",), fail=True)
    return Failing(act, "commit.before=exit") if luck < 0.12 else act


def _numbers(tx: object) -> list[int]:
    from sqlalchemy import select

    from billing.model import Invoice

    found = tx.session.scalars(select(Invoice.number)).all()  # type: ignore[attr-defined]
    return sorted(int(str(number).rpartition("-")[2]) for number in found)


def test_opposite_orders_of_items_and_scopes_do_not_deadlock(
    world: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    codes = [f"S{number}" for number in range(6)]
    lots = [world.lot(world.service(code, department="shelf"), "1000000") for code in codes]
    world.service("VIS")
    patient, pairs, sold, turns = world.patient(), size(2000), Counter[str](), 10

    with Crew(world.url, 2) as crew:
        for _ in range(max(1, pairs // turns)):
            acts: list[list[Pay]] = [[], []]
            for _turn in range(turns):
                order = chance.sample(codes, 4)
                for own, mine in zip(acts, (order, order[::-1]), strict=True):
                    invoice = world.invoice(*mine, "VIS", patient_id=patient).id
                    scope, amount = chance.choice([("ALL", 50), ("shelf", 40)])
                    own.append(Pay(invoice, (f"cash {amount}",), scope=scope))
                sold.update(order * 2)
            assert {outcome.code for own in crew.race(acts) for outcome in own} == {None}

    assert [world.on_hand(lot) for lot in lots] == [1_000_000_000 - 1000 * sold[code] for code in codes]
    told("F04", pairs=max(1, pairs // turns) * turns, refused=0)


def test_last_units_go_to_as_many_buyers_as_there_are(
    world: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    patient, buyers, rounds = world.patient(), 4, size(200)
    each, won = 5, 0

    with Crew(world.url, buyers) as crew:
        for number in range(rounds):
            code, units = f"A{number}", chance.randrange(1, buyers * each)
            lot = world.lot(world.service(code, department="shelf"), str(units))
            bills = [world.invoice(code, patient_id=patient).id for _ in range(buyers * each)]

            outcomes = crew.race([[Pay(bill, ("cash 10",)) for bill in bills[place::buyers]] for place in range(buyers)])

            codes = Counter(outcome.code for own in outcomes for outcome in own)
            assert codes == {None: units, "shelf_empty": buyers * each - units}
            assert world.on_hand(lot) == 0
            won += units

    told("F05", rounds=rounds, buyers=rounds * buyers * each, winners=won)
