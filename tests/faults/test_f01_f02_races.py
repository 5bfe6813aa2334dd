"""F01, F02: cashiers at the same moment, as processes. Exactly one wins what only one can have; one key is executed once and answered alike."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from billing.testing.crew import Crew, Failing
from billing.testing.race import Pay
from billing.testing.world import World
from billing.transaction import Transaction

ROUNDS = {2: 120, 10: 70, 50: 10}
"""Rounds of the full run, 200 in all, by the number of cashiers. Every day the crowd of 50 is one of 16: a process costs a third of a second."""


def _priced(world: World) -> str:
    world.service("VIS", price="44.00")
    return world.lot(world.service("AMX", department="shelf", price="66.00"), "1000000")


def _all_pay_all(invoice: str, cashiers: int) -> list[list[Pay]]:
    return [[Pay(invoice, ("card 110",), key=f"{invoice} {cashier}")] for cashier in range(cashiers)]


def _half_pay_a_department(invoice: str, cashiers: int) -> list[list[Pay]]:
    return [[Pay(invoice, ("card 66",), scope="shelf") if cashier % 2 else Pay(invoice, ("card 110",))] for cashier in range(cashiers)]


def _all_pay_on_account(invoice: str, cashiers: int) -> list[list[Pay]]:
    return [[Pay(invoice, ("transfer 60",), scope="ON_ACCOUNT", key=f"{invoice} {cashier}")] for cashier in range(cashiers)]


KINDS: dict[str, tuple[Any, int]] = {
    "all pay ALL": (_all_pay_all, 1000),
    "half pay a department": (_half_pay_a_department, 1000),
    "all pay on account": (_all_pay_on_account, 0),
}
"""What each cashier tries, and how much leaves the shelf whoever wins: only one of them can have it."""


def _losses(kind: str, winner: int, cashiers: int) -> dict[str | None, int]:
    if kind == "all pay on account":
        return {"bad_payment_amount": cashiers - 1}
    if kind == "all pay ALL" or winner % 2 == 0:
        return {"already_paid": cashiers - 1}
    others = {"overpaid": cashiers - cashiers // 2, "nothing_to_pay": cashiers // 2 - 1}
    return {code: count for code, count in others.items() if count}


@pytest.mark.parametrize("cashiers", ROUNDS)
def test_only_one_of_many_cashiers_takes_what_is_due(
    cashiers: int, world: World, size: Callable[[int], int], told: Callable[..., None], full: bool
) -> None:
    lot, rounds = _priced(world), size(ROUNDS[cashiers])
    crowd = cashiers if full or cashiers < 50 else 16

    with Crew(world.url, crowd) as crew:
        for number in range(rounds):
            kind = [*KINDS][number % len(KINDS)]
            act, sold = KINDS[kind]
            made, before = world.invoice("AMX", "VIS"), world.on_hand(lot)

            codes = [outcome.code for (outcome,) in crew.race(act(made.id, crowd))]

            assert codes.count(None) == 1, (kind, codes)
            assert Counter(codes) == {None: 1, **_losses(kind, codes.index(None), crowd)}, kind
            assert before - world.on_hand(lot) == sold, kind

    told("F01", cashiers=crowd, rounds=rounds, winners=rounds, losers=rounds * (crowd - 1))


def _count(world: World) -> int:
    from billing.model import Payment

    def unit(tx: Transaction) -> int:
        from sqlalchemy import func, select

        return tx.session.scalars(select(func.count()).select_from(Payment)).one()

    return world.read(unit)


@pytest.mark.parametrize("when", ["at once", "later", "after a crash"])
def test_one_key_is_executed_once_and_answered_alike(
    when: str, world: World, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    _priced(world)
    rounds, copies = size(70), 20

    with Crew(world.url, 4) as crew:
        for number in range(rounds):
            act: Any = Pay(world.invoice("AMX", "VIS").id, ("cash 120",), key=f"key {number}")
            before = _count(world)
            first = _first(crew, act, when, number)
            outcomes = [outcome for own in crew.race([[act] * (copies // 4)] * 4) for outcome in own]

            assert _count(world) == before + 1
            assert {outcome.code for outcome in outcomes} == {None}
            assert len({(outcome.id, outcome.number) for outcome in outcomes}) == 1
            assert Counter(outcome.replayed for outcome in outcomes)[False] == (0 if first else 1)

    told("F02", when=when, rounds=rounds, copies=rounds * copies, executed=rounds)


def _first(crew: Crew, act: Pay, when: str, number: int) -> bool:
    """Do what comes before the copies; return whether the payment stands already."""
    if when == "at once":
        return False
    if when == "later":
        assert crew.race([[act], [], [], []])[0][0].code is None
        return True
    landed = number % 2 == 0
    point = "commit.after" if landed else "commit.before"
    assert crew.race([[Failing(act, f"{point}=exit")], [], [], []])[0][0].code == "died"
    return landed
