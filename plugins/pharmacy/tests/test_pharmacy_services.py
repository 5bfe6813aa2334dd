"""What people do with the stock, on both databases."""

from datetime import UTC, date, datetime
from threading import Thread
from typing import Any

import pytest
from billing_pharmacy.queries import list_batches, list_expiring, list_moves, list_stock
from billing_pharmacy.services import AlreadyAProduct, BadAdjustment, BadReorderLevel, add_product, adjust_stock, write_off_expired
from billing_pharmacy.shelf import (
    BadDelivery,
    Delivery,
    ExpiredOnArrival,
    LotHasOtherExpiry,
    NoSuchLot,
    NoSuchProduct,
    NotEnoughInLot,
    NotOfThePharmacy,
)

from billing.plugin import Forbidden, Invalid, NotFound, Transaction

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def adjusting(lot: str, by_milli: int, *, reason: str = "counted", key: str | None = None) -> Any:
    return lambda tx: adjust_stock(tx, service_code="AMOX", lot=lot, quantity_milli=by_milli, reason=reason, key=key)


def test_a_product_is_added_with_what_it_needs(house: Any) -> None:
    made = house.run(lambda tx: add_product(tx, service_code="AMOX", controlled=True, reorder_level_milli=5_000))

    (line,) = house.read(list_stock)
    assert (made.code, made.name, line.name) == ("AMOX", "Service AMOX", "Service AMOX")
    assert (line.controlled, line.reorder_level_milli, line.on_hand_milli, line.to_order) == (True, 5_000, 0, True)


def test_a_product_is_added_once(house: Any) -> None:
    house.run(lambda tx: add_product(tx, service_code="AMOX"))

    with pytest.raises(AlreadyAProduct):
        house.run(lambda tx: add_product(tx, service_code="AMOX"))


def test_of_two_who_add_a_product_at_once_one_does(house: Any) -> None:
    answers = house.at_once(*[lambda tx: add_product(tx, service_code="AMOX")] * 4)

    assert sorted(type(each).__name__ for each in answers) == ["AlreadyAProduct"] * 3 + ["ProductFacts"]


def test_what_is_not_on_the_price_list_is_no_product(house: Any) -> None:
    with pytest.raises(NotFound):
        house.run(lambda tx: add_product(tx, service_code="NOTHING"))


def test_a_reorder_level_is_not_negative(house: Any) -> None:
    with pytest.raises(BadReorderLevel):
        house.run(lambda tx: add_product(tx, service_code="AMOX", reorder_level_milli=-1))


def test_receiving_makes_product_batch_and_move(house: Any) -> None:
    booked = house.receive("AMOX", "A1", "12.5", days=90, cost_e4=450)

    (batch,) = house.read(list_batches)
    (move,) = house.read(list_moves)
    assert (batch.code, batch.lot, batch.on_hand_milli, batch.unit_cost_e4, batch.state) == ("AMOX", "A1", 12_500, 450, "fresh")
    assert batch.expires_on == date(2026, 5, 30)
    assert (move.quantity_milli, move.reason, move.business_date) == (12_500, "receipt", date(2026, 3, 1))
    assert (booked.quantity_milli, booked.on_hand_milli) == (12_500, 12_500)
    assert house.broken() == set()


def test_a_lot_that_comes_again_is_added_and_costs_the_average(house: Any) -> None:
    house.receive("AMOX", "A1", "10", cost_e4=100)

    booked = house.receive("AMOX", "A1", "30", cost_e4=200)

    (batch,) = house.read(list_batches)
    assert (booked.on_hand_milli, batch.unit_cost_e4) == (40_000, 175)


def test_a_lot_has_one_expiry(house: Any) -> None:
    house.receive("AMOX", "A1", "10", days=90)

    with pytest.raises(LotHasOtherExpiry):
        house.receive("AMOX", "A1", "10", days=91)

    assert house.on_shelf() == {("AMOX", "A1"): 10_000}


def test_two_products_may_have_a_lot_of_the_same_name(house: Any) -> None:
    house.receive("AMOX", "A1", "10", days=90)

    house.receive("CARP", "A1", "5", days=91)

    assert house.on_shelf() == {("AMOX", "A1"): 10_000, ("CARP", "A1"): 5_000}


def test_what_has_expired_is_received_only_if_allowed(house: Any) -> None:
    with pytest.raises(ExpiredOnArrival):
        house.receive("AMOX", "A1", "10", days=-1)

    house.receive("AMOX", "A1", "10", days=-1, allow_expired=True)
    house.receive("AMOX", "TODAY", "10", days=0)

    assert {each.lot: each.state for each in house.read(list_batches)} == {"A1": "expired", "TODAY": "fresh"}


def test_a_key_receives_once(house: Any) -> None:
    first = house.receive("AMOX", "A1", "10", key="delivery 17")

    again = house.receive("AMOX", "A1", "10", key="delivery 17")

    assert again == first
    assert house.on_shelf() == {("AMOX", "A1"): 10_000}
    with pytest.raises(Invalid):
        house.receive("AMOX", "A1", "11", key="delivery 17")


@pytest.mark.parametrize(
    "wrong",
    [{"lot": ""}, {"lot": " A1"}, {"lot": "A\0"}, {"lot": "A" * 65}, {"quantity_milli": 0}, {"quantity_milli": -1}, {"unit_cost_e4": -1}],
)
def test_a_delivery_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    delivery = {"service_code": "AMOX", "lot": "A1", "expires_on": date(2027, 1, 1), "quantity_milli": 1_000, "unit_cost_e4": 0, **wrong}

    with pytest.raises(BadDelivery):
        Delivery(**delivery).check()


def test_a_delivery_that_makes_no_sense_is_not_received(house: Any) -> None:
    with pytest.raises(BadDelivery):
        house.receive("AMOX", "A1", "0")

    assert house.read(list_stock) == ()


def test_a_service_of_another_department_is_not_kept_in_stock(house: Any) -> None:
    house.service("FORM", department="desk")

    with pytest.raises(NotOfThePharmacy):
        house.run(lambda tx: add_product(tx, service_code="FORM"))
    with pytest.raises(NotOfThePharmacy):
        house.receive("FORM", "A1", "1")


def test_adjusting_corrects_a_lot_and_says_why(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    booked = house.run(adjusting("A1", -2_500, reason="three broken"))

    assert booked.on_hand_milli == 7_500
    assert [(each.quantity_milli, each.reason, each.note) for each in house.read(list_moves)] == [
        (-2_500, "adjustment", "three broken"),
        (10_000, "receipt", ""),
    ]
    assert house.broken() == set()


def test_a_key_adjusts_once(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    answers = [house.run(adjusting("A1", -1_000, key="count 3")) for _ in range(3)]

    assert [each.on_hand_milli for each in answers] == [9_000] * 3
    assert house.on_shelf() == {("AMOX", "A1"): 9_000}


def test_a_lot_never_falls_below_zero(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    with pytest.raises(NotEnoughInLot) as refused:
        house.run(adjusting("A1", -10_001))

    assert (refused.value.wanted_milli, refused.value.left_milli) == (10_001, 10_000)
    assert house.on_shelf() == {("AMOX", "A1"): 10_000}


def test_an_adjustment_needs_a_quantity_and_a_reason(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    for by_milli, reason in ((0, "counted"), (1, " "), (1, "two\nlines"), (10**13, "counted")):
        with pytest.raises(BadAdjustment):
            house.run(adjusting("A1", by_milli, reason=reason))


def test_what_does_not_exist_is_not_adjusted(house: Any) -> None:
    with pytest.raises(NoSuchProduct):
        house.run(adjusting("A1", 1))
    house.receive("AMOX", "A1", "10")
    with pytest.raises(NoSuchLot):
        house.run(adjusting("A2", 1))


def test_adjusting_at_once_takes_what_there_is_and_no_more(house: Any) -> None:
    house.receive("AMOX", "A1", "5")

    answers = house.at_once(*[adjusting("A1", -1_000)] * 8)

    assert sum(isinstance(each, NotEnoughInLot) for each in answers) == 3
    assert house.on_shelf() == {}
    assert house.broken() == set()


def test_adjusting_waits_for_a_payment_that_takes_from_the_lot(house: Any) -> None:
    house.receive("AMOX", "A1", "5")
    bill = house.invoice("AMOX:2")
    counting = Thread(target=house.run, args=(adjusting("A1", -1_000),))

    def pay_while_somebody_counts(tx: Transaction) -> None:
        house.paying(bill)(tx)
        tx.flush()
        counting.start()
        counting.join(timeout=0.5)  # it waits for the lot until this payment is booked

    house.run(pay_while_somebody_counts, at=AT)
    counting.join()

    assert house.on_shelf() == {("AMOX", "A1"): 2_000}
    assert house.broken() == set()


def test_deliveries_of_one_new_lot_at_once_all_arrive(house: Any) -> None:
    house.at_once(*[house.receiving("AMOX", "A1", "1")] * 6)

    assert house.on_shelf() == {("AMOX", "A1"): 6_000}
    assert house.broken() == set()


def test_writing_off_takes_what_expired_before_today(house: Any) -> None:
    house.receive("AMOX", "OLD", "3", days=-1, allow_expired=True)
    house.receive("AMOX", "TODAY", "4", days=0)
    house.receive("CARP", "OLDER", "5", days=-9, allow_expired=True)

    written_off = house.run(write_off_expired)

    assert {(each.code, each.lot, each.quantity_milli) for each in written_off} == {("AMOX", "OLD", -3_000), ("CARP", "OLDER", -5_000)}
    assert house.on_shelf() == {("AMOX", "TODAY"): 4_000}
    assert {each.reason for each in house.read(list_moves) if each.quantity_milli < 0} == {"expiry"}
    assert house.run(write_off_expired) == ()
    assert house.broken() == set()


def test_what_expires_soon_is_listed_with_what_has_expired(house: Any) -> None:
    for lot, days in (("OLD", -1), ("SOON", 30), ("LATE", 31)):
        house.receive("AMOX", lot, "1", days=days, allow_expired=True)

    found = house.read(lambda tx: list_expiring(tx, days=30))

    assert [(each.lot, each.state) for each in found] == [("OLD", "expired"), ("SOON", "fresh")]


def test_a_product_is_to_be_ordered_when_what_is_free_is_down_to_its_level(house: Any) -> None:
    house.run(lambda tx: add_product(tx, service_code="AMOX", reorder_level_milli=5_000))
    house.receive("AMOX", "OLD", "50", days=-1, allow_expired=True)
    house.receive("AMOX", "A1", "7")

    before = house.read(list_stock)[0].to_order
    house.invoice("AMOX:2")
    (line,) = house.read(list_stock)

    assert not before
    assert (line.on_hand_milli, line.sellable_milli, line.reserved_milli, line.to_order) == (57_000, 7_000, 2_000, True)


def test_moves_are_listed_by_product_and_lot_the_latest_first(house: Any) -> None:
    house.receive("AMOX", "A1", "1")
    house.receive("AMOX", "A2", "2")
    house.receive("CARP", "A1", "3")

    assert [each.lot for each in house.read(lambda tx: list_moves(tx, service_code="AMOX"))] == ["A2", "A1"]
    assert [each.code for each in house.read(lambda tx: list_moves(tx, lot="A1", limit=1))] == ["CARP"]
    with pytest.raises(NoSuchProduct):
        house.read(lambda tx: list_moves(tx, service_code="NOTHING"))


def test_another_clinic_sees_and_moves_nothing(house: Any) -> None:
    house.receive("AMOX", "A1", "10")

    with pytest.raises(NoSuchProduct):
        house.run(adjusting("A1", -1_000), clinic="south")
    house.receive("AMOX", "A1", "1", clinic="south")

    assert house.on_shelf() == {("AMOX", "A1"): 10_000}
    assert house.on_shelf(clinic="south") == {("AMOX", "A1"): 1_000}
    assert len(house.read(list_moves, clinic="south")) == 1


def test_a_cashier_looks_and_does_not_touch(house: Any) -> None:
    house.employ("carla", "cashier")
    house.receive("AMOX", "A1", "10")

    assert house.read(list_stock, actor="carla")[0].on_hand_milli == 10_000
    with pytest.raises(Forbidden):
        house.run(adjusting("A1", 1), actor="carla")
    with pytest.raises(Forbidden):
        house.run(write_off_expired, actor="carla")


def test_a_manager_runs_the_shelf(house: Any) -> None:
    house.employ("max", "manager")

    booked = house.run(house.receiving("AMOX", "A1", "10"), actor="max")

    assert booked.on_hand_milli == 10_000
