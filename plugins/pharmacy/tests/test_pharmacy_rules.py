"""The pharmacy's arithmetic, by example and by property; no database."""

import random
from collections import Counter
from datetime import date, timedelta
from typing import NamedTuple

import pytest
from billing_pharmacy.rules import (
    STOCK_DISPENSED,
    STOCK_RETURNED,
    BadDay,
    average_cost,
    dispensed_batches,
    first_expired_first_out,
    may_be_sold,
    parse_day,
    returns,
    shortages,
)
from hypothesis import given
from hypothesis import strategies as st

from billing.plugin import BilledItem, StoredEffect

TODAY = date(2026, 3, 1)


class Shelf(NamedTuple):
    id: str
    service_id: str
    expires_on: date
    on_hand_milli: int
    blocked: bool = False


def batch(name: str, service: str, days: int, quantity: int, *, blocked: bool = False) -> Shelf:
    return Shelf(name, service, TODAY + timedelta(days), quantity, blocked)


def item(name: str, service: str | None, quantity: int) -> BilledItem:
    return BilledItem(
        id=name,
        position=1,
        department="pharmacy",
        code=(service or "free").upper(),
        description="",
        quantity_milli=quantity,
        unit_price_e4=0,
        taxable_minor=0,
        tax_minor=0,
        total_minor=0,
        service_id=service,
    )


def taken(shelf: list[Shelf], items: list[BilledItem]) -> list[tuple[str, str, int]]:
    return [(each.id, place.id, quantity) for each, place, quantity in first_expired_first_out(shelf, items, today=TODAY)]


def test_takes_the_earlier_expiry_first_and_splits() -> None:
    shelf = [batch("late", "amox", 300, 10_000), batch("soon", "amox", 20, 3_000)]

    found = taken(shelf, [item("i1", "amox", 5_000)])

    assert found == [("i1", "soon", 3_000), ("i1", "late", 2_000)]


def test_items_of_one_product_share_what_is_left() -> None:
    shelf = [batch("soon", "amox", 20, 3_000), batch("late", "amox", 300, 10_000)]

    found = taken(shelf, [item("i1", "amox", 2_000), item("i2", "amox", 4_000)])

    assert found == [("i1", "soon", 2_000), ("i2", "soon", 1_000), ("i2", "late", 3_000)]


@pytest.mark.parametrize(("days", "sold"), [(-1, False), (0, True), (1, True)])
def test_a_batch_is_sold_through_its_expiry_day(days: int, sold: bool) -> None:
    assert may_be_sold(batch("b", "amox", days, 1_000), TODAY) is sold


def test_expired_and_blocked_batches_are_left_on_the_shelf() -> None:
    shelf = [batch("old", "amox", -1, 9_000), batch("recalled", "amox", 5, 9_000, blocked=True), batch("good", "amox", 90, 1_000)]

    found = taken(shelf, [item("i1", "amox", 1_000)])

    assert found == [("i1", "good", 1_000)]


def test_a_shortage_counts_all_items_of_the_product_and_says_what_lies_there_unsold() -> None:
    shelf = [
        batch("good", "amox", 90, 6_000),
        batch("old", "amox", -1, 4_000),
        batch("recalled", "amox", 5, 2_000, blocked=True),
        batch("old and recalled", "amox", -5, 1_000, blocked=True),
    ]

    (short,) = shortages(shelf, [item("i1", "amox", 5_000), item("i2", "amox", 5_000)], today=TODAY)

    assert (short.item_id, short.code, short.wanted_milli, short.left_milli) == ("i1", "AMOX", 10_000, 6_000)
    assert (short.expired_milli, short.blocked_milli) == (4_000, 3_000)


def test_what_comes_back_goes_to_the_batch_dispensed_latest() -> None:
    effects = [StoredEffect(STOCK_DISPENSED, "soon", 3_000), StoredEffect(STOCK_DISPENSED, "late", 2_000)]

    assert list(returns(effects, 4_000)) == [("late", 2_000), ("soon", 2_000)]


def test_what_came_back_already_is_not_out_any_more() -> None:
    effects = [
        StoredEffect(STOCK_DISPENSED, "soon", 3_000),
        StoredEffect(STOCK_DISPENSED, "late", 2_000),
        StoredEffect(STOCK_RETURNED, "late", 2_000),
        StoredEffect(STOCK_RETURNED, "soon", 500),
    ]

    assert dispensed_batches(effects) == {"soon": 2_500}


def test_what_was_dispensed_again_after_a_void_is_out_again() -> None:
    effects = [
        StoredEffect(STOCK_DISPENSED, "a", 1_000),
        StoredEffect(STOCK_DISPENSED, "b", 1_000),
        StoredEffect(STOCK_RETURNED, "b", 1_000),
        StoredEffect(STOCK_RETURNED, "a", 1_000),
        StoredEffect(STOCK_DISPENSED, "b", 1_000),
        StoredEffect(STOCK_DISPENSED, "a", 1_000),
    ]

    assert list(dispensed_batches(effects).items()) == [("a", 1_000), ("b", 1_000)]


def test_a_lot_that_came_twice_costs_the_average() -> None:
    assert average_cost(on_hand_milli=1_000, cost_e4=100, received_milli=2_000, received_cost_e4=101) == 101
    assert average_cost(on_hand_milli=0, cost_e4=7, received_milli=2_000, received_cost_e4=101) == 101


def test_a_day_is_read() -> None:
    assert parse_day("2027-01-31") == date(2027, 1, 31)


@pytest.mark.parametrize("text", ["", "20270131", "2027-W05-1", "31.01.2027", "2027-02-30", "2027-1-3", " 2027-01-31"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(BadDay):
        parse_day(text)


# --- properties ----------------------------------------------------------------------------------------------------------------------

SERVICES = st.sampled_from(["amox", "carp", "melox"])
BATCHES = st.lists(
    st.builds(
        Shelf,
        id=st.uuids().map(str),
        service_id=SERVICES,
        expires_on=st.integers(-3, 12).map(lambda days: TODAY + timedelta(days)),
        on_hand_milli=st.integers(0, 5_000),
        blocked=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)
ITEMS = st.lists(st.tuples(SERVICES, st.integers(1, 6_000)), min_size=1, max_size=6).map(
    lambda asked: [item(f"i{number}", service, quantity) for number, (service, quantity) in enumerate(asked)]
)


@given(BATCHES, ITEMS)
def test_every_item_gets_its_exact_quantity_unless_its_product_is_short(shelf: list[Shelf], items: list[BilledItem]) -> None:
    short = {each.code for each in shortages(shelf, items, today=TODAY)}
    given_out: Counter[str] = Counter()

    for each, place, quantity in first_expired_first_out(shelf, items, today=TODAY):
        assert quantity > 0
        assert place.service_id == each.service_id
        given_out[each.id] += quantity

    for each in items:
        assert given_out[each.id] <= each.quantity_milli
        assert given_out[each.id] == each.quantity_milli or each.code in short


@given(BATCHES, ITEMS)
def test_no_batch_falls_below_zero_and_none_is_sold_expired_or_blocked(shelf: list[Shelf], items: list[BilledItem]) -> None:
    left = {each.id: each.on_hand_milli for each in shelf}

    for _, place, quantity in first_expired_first_out(shelf, items, today=TODAY):
        left[place.id] -= quantity
        assert place.expires_on >= TODAY
        assert not place.blocked

    assert min(left.values(), default=0) >= 0


@given(BATCHES, ITEMS)
def test_a_batch_is_touched_only_when_all_that_expire_earlier_are_empty(shelf: list[Shelf], items: list[BilledItem]) -> None:
    left = {each.id: each.on_hand_milli for each in shelf if may_be_sold(each, TODAY)}

    for _, place, quantity in first_expired_first_out(shelf, items, today=TODAY):
        earlier = [other for other in shelf if other.service_id == place.service_id and other.expires_on < place.expires_on]
        assert sum(left.get(other.id, 0) for other in earlier) == 0
        left[place.id] -= quantity


@given(BATCHES, ITEMS)
def test_a_product_is_short_only_if_less_may_be_sold_than_is_wanted(shelf: list[Shelf], items: list[BilledItem]) -> None:
    short = {each.code: each for each in shortages(shelf, items, today=TODAY)}

    for service in {each.service_id for each in items}:
        assert service is not None
        wanted = sum(each.quantity_milli for each in items if each.service_id == service)
        left = sum(each.on_hand_milli for each in shelf if each.service_id == service and may_be_sold(each, TODAY))
        assert (service.upper() in short) == (wanted > left)


@given(BATCHES, ITEMS, st.randoms(use_true_random=False))
def test_shuffled_items_take_the_same_from_each_batch(shelf: list[Shelf], items: list[BilledItem], chance: random.Random) -> None:
    def totals(asked: list[BilledItem], places: list[Shelf]) -> Counter[str]:
        found: Counter[str] = Counter()
        for _, place, quantity in first_expired_first_out(places, asked, today=TODAY):
            found[place.id] += quantity
        return found

    shuffled_items, shuffled_shelf = list(items), list(shelf)
    chance.shuffle(shuffled_items)
    chance.shuffle(shuffled_shelf)

    assert totals(items, shelf) == totals(shuffled_items, shuffled_shelf)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5_000)), min_size=1, max_size=6, unique_by=lambda each: each[0]), st.data()
)
def test_partial_returns_never_exceed_what_each_batch_gave(given_out: list[tuple[str, int]], data: st.DataObject) -> None:
    effects = [StoredEffect(STOCK_DISPENSED, row, quantity) for row, quantity in given_out]
    out = dict(given_out)

    while left := sum(out.values()):
        back = data.draw(st.integers(1, left))
        parts = list(returns(effects, back))
        assert sum(quantity for _, quantity in parts) == back
        for row, quantity in parts:
            out[row] -= quantity
            assert out[row] >= 0
            effects.append(StoredEffect(STOCK_RETURNED, row, quantity))

    assert dispensed_batches(effects) == {}
