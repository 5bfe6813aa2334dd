"""Invoices and payments with a pharmacy, on both databases: ordering reserves, paying dispenses."""

from typing import Any

import pytest
from billing_pharmacy.hooks import MoreThanDispensed, NotAProduct, OutOfStock
from billing_pharmacy.queries import list_moves, list_stock

from billing.rules.reversing import MoreThanSold
from billing.services import doctor
from billing.services.reversals import Returned, refund_items, void_payment
from billing.services.shifts import open_shift


def reserved(house: Any) -> dict[str, int]:
    return {each.code: each.reserved_milli for each in house.read(list_stock)}


def test_paying_takes_the_batch_that_expires_first_and_splits(house: Any) -> None:
    house.receive("AMOX", "LATE", "10", days=300)
    house.receive("AMOX", "SOON", "3", days=20)
    bill = house.invoice("AMOX:2", "AMOX:3")

    taken = house.run(house.paying(bill))

    assert house.on_shelf() == {("AMOX", "LATE"): 8_000}
    sales = [each for each in house.read(list_moves) if each.reason == "sale"]
    assert {each.action_id for each in sales} == {taken.id}
    assert sorted((each.lot, each.quantity_milli) for each in sales) == [("LATE", -2_000), ("SOON", -2_000), ("SOON", -1_000)]
    assert {each.item_id for each in sales} == set(bill.item_ids)
    assert house.broken() == set()


def test_a_payment_that_is_short_leaves_no_trace(house: Any) -> None:
    house.receive("AMOX", "A1", "3")
    house.receive("CARP", "OLD", "9", days=-1, allow_expired=True)
    bill = house.invoice("AMOX:2", "CARP:1", "AMOX:2")
    before = house.dump()

    with pytest.raises(OutOfStock) as refused:
        house.run(house.paying(bill))

    assert str(refused.value) == "Not enough in stock: AMOX: 4 wanted, 3 left; CARP: 1 wanted, 0 left (9 expired)."
    assert house.dump() == before


def test_what_was_never_received_is_no_product(house: Any) -> None:
    bill = house.invoice("AMOX:2")

    with pytest.raises(NotAProduct, match="AMOX"):
        house.run(house.paying(bill))


def test_a_batch_is_sold_on_its_last_day(house: Any) -> None:
    house.receive("AMOX", "TODAY", "2", days=0)

    house.run(house.paying(house.invoice("AMOX:2")))

    assert house.on_shelf() == {}
    assert house.broken() == set()


def test_a_recalled_batch_stays_on_the_shelf(house: Any) -> None:
    house.receive("AMOX", "A1", "5", days=10)
    house.receive("AMOX", "A2", "1", days=20)
    house.tamper("UPDATE pharmacy_batch SET blocked = true, blocked_reason = 'recalled' WHERE lot = 'A1'")

    house.run(house.paying(house.invoice("AMOX:1")))
    with pytest.raises(OutOfStock, match="5 blocked"):
        house.run(house.paying(house.invoice("AMOX:1")))

    assert house.on_shelf() == {("AMOX", "A1"): 5_000}


def test_an_invoice_reserves_until_it_is_paid(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    bill = house.invoice("AMOX:2", "AMOX:3")
    while_open = reserved(house)
    house.run(house.paying(bill))

    assert (while_open, reserved(house)) == ({"AMOX": 5_000}, {"AMOX": 0})


def test_editing_a_draft_reserves_what_it_wants_now(house: Any) -> None:
    house.receive("AMOX", "A1", "10")
    house.receive("CARP", "C1", "10")
    bill = house.invoice("AMOX:2", "CARP:1")

    house.edit(bill, "AMOX:4")

    assert reserved(house) == {"AMOX": 4_000, "CARP": 0}


def test_cancelling_releases_what_was_reserved(house: Any) -> None:
    house.receive("AMOX", "A1", "10")
    bill = house.invoice("AMOX:2")

    house.cancel(bill)

    assert reserved(house) == {"AMOX": 0}
    assert house.broken() == set()


def test_a_reservation_does_not_stop_who_pays_first(house: Any) -> None:
    house.receive("AMOX", "A1", "2")
    house.invoice("AMOX:2")

    house.run(house.paying(house.invoice("AMOX:2")))

    assert house.on_shelf() == {}


def test_a_dry_run_shows_the_batches_and_moves_nothing(house: Any) -> None:
    house.receive("AMOX", "LATE", "10", days=300)
    house.receive("AMOX", "SOON", "3", days=20)
    bill = house.invoice("AMOX:5")
    before = house.dump()

    shown = house.preview(bill)

    assert [(each.kind, each.quantity_milli) for each in shown.effects] == [("stock.dispensed", 3_000), ("stock.dispensed", 2_000)]
    assert house.dump() == before


def test_a_dry_run_shows_the_shortage(house: Any) -> None:
    house.receive("AMOX", "A1", "1")

    shown = house.preview(house.invoice("AMOX:5"))

    assert [(each.code, each.sentence) for each in shown.vetoes] == [("out_of_stock", "Not enough in stock: AMOX: 5 wanted, 1 left.")]


def test_of_many_buyers_at_once_as_many_are_served_as_there_is(house: Any) -> None:
    house.receive("AMOX", "SOON", "3", days=20)
    house.receive("AMOX", "LATE", "4", days=300)
    bills = [house.invoice("AMOX:1") for _ in range(10)]

    answers = house.at_once(*[house.paying(bill) for bill in bills])

    assert sum(isinstance(each, OutOfStock) for each in answers) == 3
    assert sum(hasattr(each, "receipt_number") for each in answers) == 7
    assert house.on_shelf() == {}
    assert house.broken() == set()


def test_two_products_bought_in_opposite_order_at_once_are_both_sold(house: Any) -> None:
    house.receive("AMOX", "A1", "20")
    house.receive("CARP", "C1", "20")
    bills = [house.invoice(*pair) for pair in [("AMOX:1", "CARP:1"), ("CARP:1", "AMOX:1")] * 5]

    answers = house.at_once(*[house.paying(bill) for bill in bills])

    assert all(hasattr(each, "receipt_number") for each in answers)
    assert house.on_shelf() == {("AMOX", "A1"): 10_000, ("CARP", "C1"): 10_000}


def test_refunding_puts_back_into_the_batches_that_it_came_from(house: Any) -> None:
    house.receive("AMOX", "SOON", "3", days=20)
    house.receive("AMOX", "LATE", "10", days=300)
    bill = house.invoice("AMOX:5")
    house.run(house.paying(bill))

    house.give_back(bill, "2.5")
    after_a_part = house.on_shelf()
    house.give_back(bill, "2.5")

    assert after_a_part == {("AMOX", "SOON"): 500, ("AMOX", "LATE"): 10_000}
    assert house.on_shelf() == {("AMOX", "SOON"): 3_000, ("AMOX", "LATE"): 10_000}
    assert house.broken() == set()
    with pytest.raises(MoreThanDispensed):
        house.give_back(bill, "0.001")


def test_what_came_back_is_sold_again(house: Any) -> None:
    house.receive("AMOX", "A1", "5")
    bill = house.invoice("AMOX:5")
    house.run(house.paying(bill))

    house.give_back(bill, "5")
    house.run(house.paying(house.invoice("AMOX:5")))

    assert house.on_shelf() == {}
    assert house.broken() == set()


def returned(house: Any, bill: Any, quantity_milli: int | None, condition: str) -> None:
    back = [Returned(bill.item_ids[0], quantity_milli, condition)]
    house.run(lambda tx: refund_items(tx, invoice_id=bill.id, items=back, reason="broken", kind="return"))


def test_what_comes_back_destroyed_is_not_sold_again(house: Any) -> None:
    house.receive("AMOX", "SOON", "3", days=20)
    house.receive("AMOX", "LATE", "10", days=300)
    bill = house.invoice("AMOX:5")
    house.run(house.paying(bill))

    returned(house, bill, 1_000, "destroyed")
    after_destroyed = house.on_shelf()
    returned(house, bill, 3_000, "good")

    assert after_destroyed == {("AMOX", "LATE"): 8_000}
    assert house.on_shelf() == {("AMOX", "SOON"): 2_000, ("AMOX", "LATE"): 9_000}
    moved = sorted((each.lot, each.reason, each.quantity_milli) for each in house.read(list_moves) if each.reason != "receipt")
    assert moved == [
        ("LATE", "adjustment", -1_000),
        ("LATE", "return", 1_000),
        ("LATE", "return", 1_000),
        ("LATE", "sale", -2_000),
        ("SOON", "return", 2_000),
        ("SOON", "sale", -3_000),
    ]
    assert house.broken() == set()
    assert house.read(doctor.examine).healthy
    with pytest.raises(MoreThanSold):
        returned(house, bill, 1_001, "good")


def test_all_of_it_destroyed_leaves_nothing_dispensed(house: Any) -> None:
    house.receive("AMOX", "A1", "5")
    bill = house.invoice("AMOX:5")
    house.run(house.paying(bill))

    returned(house, bill, None, "destroyed")

    assert house.on_shelf() == {}
    assert house.broken() == set()
    assert {(each.reason, each.note) for each in house.read(list_moves) if each.reason == "adjustment"} == {
        ("adjustment", "destroyed on return: broken")
    }


def test_voided_sale_is_sold_again(house: Any) -> None:
    house.receive("AMOX", "A1", "5")
    bill = house.invoice("AMOX:5")
    house.run(lambda tx: open_shift(tx, drawer="front", float_minor=0))
    for _ in range(2):
        taken = house.run(house.paying(bill))
        house.run(lambda tx, taken=taken: void_payment(tx, payment_id=taken.id, reason="wrong button"))
        assert house.on_shelf() == {("AMOX", "A1"): 5_000}

    house.run(house.paying(bill))

    assert house.on_shelf() == {}
    assert house.broken() == set()
    assert house.read(doctor.examine).healthy


def test_an_import_brings_products_and_just_what_it_needs(house: Any) -> None:
    house.bring_in(("AMOX", "2", {}), ("AMOX", "1.5", {}), ("CARP", "1", {}))
    house.bring_in(("AMOX", "1", {}))

    assert house.on_shelf() == {("AMOX", "IMPORT"): 4_500, ("CARP", "IMPORT"): 1_000}
    house.run(house.paying(house.invoice("AMOX:4.5", "CARP:1")))
    assert house.on_shelf() == {}
    assert house.broken() == set()


def test_an_import_brings_the_batches_that_it_names_once(house: Any) -> None:
    stock = [
        {"lot": "A1", "expires_on": "2026-03-10", "quantity_milli": 1_000},
        {"lot": "A2", "expires_on": "2026-02-10", "quantity_milli": 2_000},
    ]

    for _ in range(2):
        house.bring_in(("AMOX", "3", {"stock": stock}))

    assert house.on_shelf() == {("AMOX", "A1"): 1_000, ("AMOX", "A2"): 2_000}
    with pytest.raises(OutOfStock, match="3 wanted, 1 left"):
        house.run(house.paying(house.invoice("AMOX:3")))


@pytest.fixture
def sold(house: Any) -> Any:
    """The house after it has sold 4 of the 10 of lot A1."""
    house.receive("AMOX", "A1", "10")
    house.run(house.paying(house.invoice("AMOX:4")))
    assert house.broken() == set()
    return house


def test_stock_that_is_not_its_moves_is_found(sold: Any) -> None:
    sold.tamper("UPDATE pharmacy_batch SET on_hand_milli = on_hand_milli + 1")

    assert sold.broken() == {"pharmacy_stock_is_its_moves"}
    assert sold.broken(clinic="south") == set()


def test_stock_that_was_negative_once_is_found(sold: Any) -> None:
    sold.receive("AMOX", "A1", "20")

    sold.tamper(
        "UPDATE pharmacy_move SET quantity_milli = -14000 WHERE reason = 'sale'",
        "UPDATE pharmacy_batch SET on_hand_milli = 16000",
    )

    assert sold.broken() == {"pharmacy_stock_never_was_negative"}


def test_a_sale_after_the_expiry_is_found(sold: Any) -> None:
    sold.tamper("UPDATE pharmacy_batch SET expires_on = '2026-02-28'")

    assert sold.broken() == {"pharmacy_sells_nothing_expired"}


def test_a_return_of_what_was_not_sold_is_found(sold: Any) -> None:
    sold.tamper(
        "UPDATE pharmacy_move SET quantity_milli = 4000, reason = 'return' WHERE reason = 'sale'",
        "UPDATE pharmacy_batch SET on_hand_milli = 14000",
    )

    assert sold.broken() == {"pharmacy_returns_what_was_sold", "pharmacy_dispensed_has_left"}


def test_a_reservation_that_claims_to_be_dispensed_is_found(sold: Any) -> None:
    sold.invoice("AMOX:1")

    sold.tamper("UPDATE pharmacy_reservation SET status = 'dispensed'")

    assert sold.broken() == {"pharmacy_dispensed_has_left"}
