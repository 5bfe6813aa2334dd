"""Those who give back race each other and those who take, as processes: a payment is voided once, and no more comes back than was sold."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.model import InvoiceItem, JournalLine, Payment, Reversal
from billing.services import reading, reversals, shifts
from billing.testing.crew import Crew
from billing.testing.race import Pay, Refund, Void
from billing.testing.world import World
from billing.transaction import Transaction


@pytest.fixture
def shop(world: World) -> World:
    world.service("VIS", price="44.00")
    world.stock = world.lot(world.service("AMX", department="shelf", price="66.00"), "1000000")  # type: ignore[attr-defined]
    return world


def on_hand(world: World) -> int:
    return world.on_hand(world.stock)  # type: ignore[attr-defined]


def number_of(world: World, statement: Any) -> int:
    return int(world.read(lambda tx: tx.session.scalars(statement).one()) or 0)


def test_one_of_twenty_voids_the_payment(shop: World, size: Callable[[int], int], told: Callable[..., None]) -> None:
    shop.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    rounds, crowd = max(2, size(20)), 20
    before = on_hand(shop)

    with Crew(shop.url, crowd) as crew:
        for number in range(1, rounds + 1):
            bill = shop.invoice("AMX", "VIS").id
            paid = shop.pay(bill, "cash 110").id

            codes = Counter(outcome.code for (outcome,) in crew.race([[Void(paid)]] * crowd))

            assert codes[None] == 1
            assert set(codes) <= {None, "already_voided", "voided_meanwhile", "invoice_not_paid"}, codes
            assert on_hand(shop) == before
            assert number_of(shop, select(func.count(Reversal.id))) == number
            assert shop.read(lambda tx, bill=bill: reading.read_invoice(tx, invoice=bill)).invoice.status == "sent"  # type: ignore[misc]

    cash = select(func.sum(JournalLine.amount_minor)).where(JournalLine.account == "cash")
    assert number_of(shop, cash) == 10_000, "the drawer holds its float"
    told("F01", act="voids of one payment", crowd=crowd, rounds=rounds, voided=rounds)


def test_refunds_of_parts_at_once_never_exceed_what_was_sold(shop: World, size: Callable[[int], int], told: Callable[..., None]) -> None:
    rounds, crowd = max(3, size(30)), 6
    quantities = (400, 250, 1_000, 700, 100, 333)
    done = Counter[str | None]()

    with Crew(shop.url, crowd) as crew:
        for _ in range(rounds):
            bill, before = shop.invoice("AMX", "VIS").id, on_hand(shop)
            shop.pay(bill, "card 110")
            item = shop.read(lambda tx, bill=bill: reading.read_invoice(tx, invoice=bill)).items[0].id  # type: ignore[misc]

            outcomes = crew.race([[Refund(bill, item, quantity)] * 2 for quantity in quantities])

            won = [quantity for quantity, own in zip(quantities, outcomes, strict=True) for outcome in own if outcome.code is None]
            assert {outcome.code for own in outcomes for outcome in own} <= {None, "more_than_sold"}
            assert 0 < sum(won) <= 1_000
            assert on_hand(shop) == before - 1_000 + sum(won)
            row = shop.read(lambda tx, item=item: tx.session.get_one(InvoiceItem, (tx.clinic_id, item)))  # type: ignore[misc]
            assert row.credited_milli == sum(won)
            given = select(func.sum(Reversal.refunded_minor)).where(Reversal.invoice_id == bill)
            assert number_of(shop, given) == row.credited_minor <= 6_600
            numbers = [outcome.number for own in outcomes for outcome in own if outcome.code is None]
            assert len(set(numbers)) == len(numbers)
            done[None] += len(won)
            done["more_than_sold"] += 2 * crowd - len(won)

    told("F01", act="refunds of parts", crowd=crowd, rounds=rounds, refunded=done[None], refused=done["more_than_sold"])


def test_forty_and_forty_of_sixty_six_is_one_refund(shop: World, size: Callable[[int], int]) -> None:
    """Each wants 40.00 of the 66.00 that were paid."""
    for_40 = 606

    with Crew(shop.url, 2) as crew:
        for _ in range(max(5, size(50))):
            bill = shop.invoice("AMX").id
            shop.pay(bill, "card 66")
            item = shop.read(lambda tx, bill=bill: reading.read_invoice(tx, invoice=bill)).items[0].id  # type: ignore[misc]

            outcomes = crew.race([[Refund(bill, item, for_40)]] * 2)

            assert Counter(outcome.code for (outcome,) in outcomes) == {None: 1, "more_than_sold": 1}
            assert number_of(shop, select(func.sum(Reversal.refunded_minor)).where(Reversal.invoice_id == bill)) == 4_000


def test_void_races_the_next_payment_and_a_refund(shop: World, size: Callable[[int], int]) -> None:
    """Whatever comes first: a refund and a void of the same payment don't both happen, and what is paid again is paid once."""
    shop.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    taken = 0

    with Crew(shop.url, 3) as crew:
        for _ in range(max(4, size(40))):
            bill = shop.invoice("AMX", "VIS").id
            paid = shop.pay(bill, "card 110").id
            item = shop.read(lambda tx, bill=bill: reading.read_invoice(tx, invoice=bill)).items[0].id  # type: ignore[misc]

            (voided,), (refunded,), (again,) = crew.race([[Void(paid)], [Refund(bill, item, 500)], [Pay(bill, ("card 110",))]])

            live = [each for each in _payments(shop, bill) if each.void_reason is None]
            assert (voided.code, refunded.code) in {
                (None, "invoice_not_paid"),
                (None, "item_not_paid"),
                (None, None),
                ("refunded_since", None),
                ("void_latest_first", None),
            }
            assert again.code in {None, "already_paid"}
            assert len(live) == (voided.code is not None) + (again.code is None)
            if (voided.code, refunded.code) == (None, None):
                assert again.code is None, "it was the next payment that was refunded"
            taken += len(live)

    counted = select(func.count(Payment.id))
    assert number_of(shop, counted) >= taken


def _payments(world: World, bill: str) -> Any:
    def unit(tx: Transaction) -> Any:
        return reading.read_invoice(tx, invoice=bill).payments

    return world.read(unit)


def test_key_voids_once(shop: World) -> None:
    shop.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    paid = shop.pay(shop.invoice("VIS").id, "cash 44").id

    first, again = (shop.run(lambda tx: reversals.void_payment(tx, payment_id=paid, reason="wrong button", key="once")) for _ in range(2))

    assert (first.replayed, again.replayed, again.id) == (False, True, first.id)
