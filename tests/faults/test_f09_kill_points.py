"""F09: the process ends at a point of a payment. What was committed stands whole and is found by its key; what was not has left no trace.

Which points there are is not written here: a payment is watched, and everything that it passes is a point to die at.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest

from billing import failpoints
from billing.services import invoice_steps
from billing.testing.crew import Crew, Failing
from billing.testing.race import Bill, Pay
from billing.testing.world import World

T = TypeVar("T")

LANDED = {"commit.sent", "commit.after"}
"""Behind these points the act is durable, though nobody was told."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of paying."""

    scope: str
    tenders: tuple[str, ...]
    issued: bool = False


VARIANTS = [
    Variant("ALL", ("cash 120",)),
    Variant("ALL", ("cash 20", "transfer 90 T-1"), issued=True),
    Variant("shelf", ("card 66",)),
    Variant("desk", ("cash 44",), issued=True),
    Variant("ON_ACCOUNT", ("transfer 50 T-2",), issued=True),
]


def _invoice(world: World, variant: Variant) -> str:
    made = world.invoice("AMX", "VIS")
    if variant.issued:
        world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
    return made.id


def _points_passed(act: Callable[[], object]) -> list[str]:
    """Return every point that the act passes as a text that ends the process there, the second time at a point too."""
    passed: list[str] = []
    failpoints.listen(passed.append)
    try:
        act()
    finally:
        failpoints.listen(None)
    times = Counter[str]()
    texts = []
    for point in passed:
        times[point] += 1
        texts.append(f"{point}={times[point] - 1}*off->exit")
    return texts


@pytest.fixture
def shop(world: World) -> World:
    world.service("VIS", price="44.00")
    world.lot(world.service("AMX", department="shelf", price="66.00"), "1000000")
    return world


def test_process_that_dies_while_paying_leaves_all_or_nothing(
    shop: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None], books_are_well: Callable[[World], None]
) -> None:
    deaths = []
    for place, variant in enumerate(VARIANTS):
        invoice = _invoice(shop, variant)
        passed = _points_passed(lambda: shop.pay(invoice, *variant.tenders, scope=variant.scope, key=f"watched {place}"))  # noqa: B023
        deaths += [(variant, text) for text in passed]
    landed = 0

    with Crew(shop.url, 1) as crew:
        for number, (variant, text) in enumerate(_sample(chance, deaths, size(150))):
            act = Pay(_invoice(shop, variant), variant.tenders, scope=variant.scope, key=f"k{number}")
            stands = text.partition("=")[0] in LANDED
            before = shop.dump()

            assert [outcome.code for outcome in crew.race([[Failing(act, text)]])[0]] == ["died"], text

            assert (shop.dump() == before) is not stands, text
            (again,) = crew.race([[act]])[0]
            assert (again.code, again.replayed) == (None, stands), text
            books_are_well(shop)
            landed += stands

    told("F09", act="payment", points=len(deaths), kills=number + 1, landed=landed, lost=0)


def test_process_that_dies_while_billing_leaves_all_or_nothing(
    shop: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None], books_are_well: Callable[[World], None]
) -> None:
    patient = shop.patient()
    deaths = _points_passed(lambda: shop.invoice("AMX", "VIS", patient_id=patient, key="watched"))

    with Crew(shop.url, 1) as crew:
        for number, text in enumerate(_sample(chance, deaths, size(40))):
            act = Bill(patient, ("AMX", "VIS"), key=f"k{number}")
            stands = text.partition("=")[0] in LANDED
            before = shop.dump()

            assert [outcome.code for outcome in crew.race([[Failing(act, text)]])[0]] == ["died"], text

            assert (shop.dump() == before) is not stands, text
            assert crew.race([[act]])[0][0].code is None, text
            books_are_well(shop)

    told("F09", act="invoice", points=len(deaths), kills=number + 1, lost=0)


def _sample(chance: random.Random, deaths: list[T], count: int) -> list[T]:
    return chance.sample(deaths, count) if count < len(deaths) else deaths
