"""What the pharmacy yields for each step, from facts alone; no database."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from billing_pharmacy import hooks
from billing_pharmacy.hooks import MoreThanDispensed, NotAProduct, OutOfStock
from billing_pharmacy.model import Batch, Move, Product, Reservation
from billing_pharmacy.needs import BILLED_PRODUCTS, DISPENSED_BATCHES, PRODUCTS, RESERVATIONS, SHELF
from hypothesis import given
from hypothesis import strategies as st

from billing.plugin import (
    Adjust,
    BilledItem,
    Change,
    ChangeRow,
    DoneFor,
    Insert,
    InvoiceFacts,
    Known,
    PatientFacts,
    PaymentFacts,
    Put,
    RefundedItem,
    RefundFacts,
    StoredEffect,
    currency,
)

TODAY = date(2026, 3, 1)
AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
EUR = currency("EUR")
DOG = PatientFacts("p1", "c1", "animal", "male", species="dog")
PAYMENT = PaymentFacts("pay1", "inv1", DOG, EUR, "ALL", 1_000, TODAY, AT, "staff1")
REFUND = RefundFacts("ref1", "inv1", "pay1", DOG, EUR, "did not agree with him", TODAY, AT, "staff2")
INVOICE = InvoiceFacts("inv1", DOG, EUR, TODAY, AT, "staff1")


class Shelf(NamedTuple):
    id: str
    service_id: str
    expires_on: date
    on_hand_milli: int
    blocked: bool = False


class ProductRow(NamedTuple):
    service_id: str


class Reserved(NamedTuple):
    item_id: str
    status: str


def batch(name: str, service: str, days: int, quantity: int) -> Shelf:
    return Shelf(name, service, TODAY + timedelta(days), quantity)


def item(name: str, service: str | None, quantity: int) -> BilledItem:
    code = (service or "free").upper()
    return BilledItem(name, 1, "pharmacy", code, "", quantity, 0, 0, 0, 0, service_id=service)


def paying(shelf: list[Shelf], *services: str) -> Known:
    return {SHELF: tuple(shelf), PRODUCTS: tuple(ProductRow(each) for each in services)}


def refunding(*reserved: Reserved) -> Known:
    return {DISPENSED_BATCHES: (), RESERVATIONS: reserved}


def pay(shelf: list[Shelf], *items: BilledItem) -> list[Change]:
    return list(hooks.on_items_paid(PAYMENT, items, paying(shelf, "amox", "carp")))


def adjusted(changes: list[Change]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in changes:
        if isinstance(each, Adjust):
            assert each.table is Batch
            found[str(each.key)] += each.deltas["on_hand_milli"]
    return found


def effects(changes: list[Change], item_id: str) -> tuple[StoredEffect, ...]:
    mine = [each for each in changes if isinstance(each, DoneFor) and each.item_id == item_id]
    return tuple(StoredEffect(each.kind, each.row, each.quantity_milli, each.data) for each in mine)


def test_paying_takes_from_the_batches_that_expire_first() -> None:
    shelf = [batch("late", "amox", 300, 10_000), batch("soon", "amox", 20, 3_000)]

    changes = pay(shelf, item("i1", "amox", 5_000))

    assert adjusted(changes) == {"soon": -3_000, "late": -2_000}


def test_each_portion_has_its_move_and_its_effect() -> None:
    shelf = [batch("late", "amox", 300, 10_000), batch("soon", "amox", 20, 3_000)]

    changes = pay(shelf, item("i1", "amox", 5_000))

    moves = [each.row for each in changes if isinstance(each, Insert) and each.table is Move]
    assert [(row["batch_id"], row["quantity_milli"], row["reason"]) for row in moves] == [
        ("soon", -3_000, "sale"),
        ("late", -2_000, "sale"),
    ]
    assert {(row["item_id"], row["action_id"], row["actor_id"]) for row in moves} == {("i1", "pay1", "staff1")}
    assert effects(changes, "i1") == (
        StoredEffect("stock.dispensed", "soon", 3_000),
        StoredEffect("stock.dispensed", "late", 2_000),
    )


def test_paying_never_takes_below_zero() -> None:
    changes = pay([batch("b", "amox", 20, 5_000)], item("i1", "amox", 5_000))

    assert [each.at_least for each in changes if isinstance(each, Adjust)] == [0]


def test_paying_marks_what_was_reserved_as_dispensed() -> None:
    changes = pay([batch("b", "amox", 20, 5_000)], item("i1", "amox", 5_000))

    (reserved,) = [each for each in changes if isinstance(each, Put)]
    assert (reserved.table, reserved.key) == (Reservation, {"item_id": "i1"})
    assert (reserved.set["status"], reserved.set["quantity_milli"], reserved.set["service_id"]) == ("dispensed", 5_000, "amox")


def test_the_check_names_every_shortage_in_one_sentence() -> None:
    shelf = [batch("b", "amox", 20, 6_000), batch("old", "carp", -1, 4_000)]
    items = (item("i1", "amox", 4_500), item("i2", "carp", 1_000), item("i3", "amox", 4_500))

    with pytest.raises(OutOfStock) as refused:
        hooks.before_items_paid(PAYMENT, items, paying(shelf, "amox", "carp"))

    assert str(refused.value) == "Not enough in stock: AMOX: 9 wanted, 6 left; CARP: 1 wanted, 0 left (4 expired)."
    assert (refused.value.item, refused.value.item_code, refused.value.wanted_milli, refused.value.left_milli) == (
        "i1",
        "AMOX",
        9_000,
        6_000,
    )


def test_a_payment_that_is_short_is_refused_by_the_act_too() -> None:
    with pytest.raises(OutOfStock):
        pay([batch("b", "amox", 20, 1_000)], item("i1", "amox", 2_000))


@pytest.mark.parametrize("service", [None, "bandage"])
def test_what_is_no_product_is_refused_before_any_shortage(service: str | None) -> None:
    items = (item("i1", "amox", 9_000), item("i2", service, 1_000))

    with pytest.raises(NotAProduct, match="not a product of the pharmacy") as refused:
        hooks.before_items_paid(PAYMENT, items, paying([], "amox"))

    assert refused.value.item == "i2"


def test_a_check_says_nothing_when_there_is_enough() -> None:
    hooks.before_items_paid(PAYMENT, (item("i1", "amox", 5_000),), paying([batch("b", "amox", 0, 5_000)], "amox"))


def test_refunding_returns_the_exact_batches() -> None:
    sold = item("i1", "amox", 5_000)
    stored = (StoredEffect("stock.dispensed", "soon", 3_000), StoredEffect("stock.dispensed", "late", 2_000))

    changes = list(hooks.on_items_refunded(REFUND, (RefundedItem(sold, 5_000, stored),), refunding()))

    assert adjusted(changes) == {"soon": 3_000, "late": 2_000}
    moves = [each.row for each in changes if isinstance(each, Insert)]
    assert {(row["reason"], row["item_id"], row["action_id"], row["note"]) for row in moves} == {
        ("return", "i1", "ref1", "did not agree with him")
    }
    assert {each.kind for each in effects(changes, "i1")} == {"stock.returned"}


def test_refunding_a_part_takes_it_from_the_batch_dispensed_latest() -> None:
    stored = (StoredEffect("stock.dispensed", "soon", 3_000), StoredEffect("stock.dispensed", "late", 2_000))
    refunded = RefundedItem(item("i1", "amox", 5_000), 2_500, stored)

    changes = list(hooks.on_items_refunded(REFUND, (refunded,), refunding(Reserved("i1", "dispensed"))))

    assert adjusted(changes) == {"late": 2_000, "soon": 500}
    assert not [each for each in changes if isinstance(each, ChangeRow)]


def test_a_reservation_is_released_when_all_has_come_back() -> None:
    refunded = RefundedItem(item("i1", "amox", 5_000), 5_000, (StoredEffect("stock.dispensed", "b", 5_000),))

    changes = list(hooks.on_items_refunded(REFUND, (refunded,), refunding(Reserved("i1", "dispensed"))))

    (released,) = [each for each in changes if isinstance(each, ChangeRow)]
    assert (released.table, released.key, released.expect) == (Reservation, {"item_id": "i1"}, {"status": "dispensed"})
    assert released.set["status"] == "released"


def test_what_comes_back_destroyed_comes_in_and_goes_out_and_the_shelf_has_no_more() -> None:
    stored = (StoredEffect("stock.dispensed", "soon", 3_000), StoredEffect("stock.dispensed", "late", 2_000))
    refunded = RefundedItem(item("i1", "amox", 5_000), 5_000, stored, "destroyed")

    changes = list(hooks.on_items_refunded(REFUND, (refunded,), refunding(Reserved("i1", "dispensed"))))

    assert not any(adjusted(changes).values())
    moves = [each.row for each in changes if isinstance(each, Insert)]
    assert [(row["batch_id"], row["reason"], row["quantity_milli"], row["item_id"], row["note"]) for row in moves] == [
        ("late", "return", 2_000, "i1", "did not agree with him"),
        ("late", "adjustment", -2_000, None, "destroyed on return: did not agree with him"),
        ("soon", "return", 3_000, "i1", "did not agree with him"),
        ("soon", "adjustment", -3_000, None, "destroyed on return: did not agree with him"),
    ]
    assert [each.data for each in changes if isinstance(each, DoneFor)] == [{"condition": "destroyed"}] * 2
    assert [each.set["status"] for each in changes if isinstance(each, ChangeRow)] == ["released"]


def test_no_more_comes_back_than_is_still_out() -> None:
    stored = (StoredEffect("stock.dispensed", "b", 5_000), StoredEffect("stock.returned", "b", 3_000))
    refunded = (RefundedItem(item("i1", "amox", 5_000), 2_001, stored),)

    with pytest.raises(MoreThanDispensed) as refused:
        hooks.before_items_refunded(REFUND, refunded, refunding())
    with pytest.raises(MoreThanDispensed):
        list(hooks.on_items_refunded(REFUND, refunded, refunding()))

    assert (refused.value.item, refused.value.wanted_milli, refused.value.left_milli) == ("i1", 2_001, 2_000)


@pytest.mark.parametrize(
    ("hook", "status"),
    [(hooks.on_invoice_created, "held"), (hooks.on_invoice_changed, "held"), (hooks.on_invoice_cancelled, "released")],
)
def test_an_invoice_reserves_its_products_and_vetoes_nothing(hook: Any, status: str) -> None:
    items = (item("i1", "amox", 5_000), item("i2", None, 1_000), item("i3", "bandage", 1_000))

    changes = list(hook(INVOICE, items, {BILLED_PRODUCTS: (ProductRow("amox"),)}))

    (reserved,) = changes
    assert (reserved.table, reserved.key, reserved.set["status"], reserved.set["quantity_milli"]) == (
        Reservation,
        {"item_id": "i1"},
        status,
        5_000,
    )


def test_the_declaration_owns_its_tables_and_grants_no_unknown_permission() -> None:
    declared = hooks.declare()

    assert [each.code for each in declared.departments if each.effects] == ["pharmacy"]
    assert {table.__tablename__ for table in declared.tables} == {
        "pharmacy_product",
        "pharmacy_batch",
        "pharmacy_move",
        "pharmacy_reservation",
    }
    assert Product in declared.tables
    assert {name for names in declared.grants.values() for name in names} == {each.name for each in declared.permissions}


# --- properties ----------------------------------------------------------------------------------------------------------------------

SHELVES = st.lists(st.tuples(st.sampled_from(["amox", "carp"]), st.integers(-2, 9), st.integers(0, 5_000)), min_size=1, max_size=9).map(
    lambda rows: [batch(f"b{number}", *row) for number, row in enumerate(rows)]
)
BASKETS = st.lists(st.tuples(st.sampled_from(["amox", "carp"]), st.integers(1, 3_000)), min_size=1, max_size=5).map(
    lambda rows: tuple(item(f"i{number}", *row) for number, row in enumerate(rows))
)


@given(SHELVES, BASKETS, st.data())
def test_paying_and_then_refunding_in_parts_restores_every_batch(
    shelf: list[Shelf], items: tuple[BilledItem, ...], data: st.DataObject
) -> None:
    try:
        paid = pay(shelf, *items)
    except OutOfStock:
        return
    total = adjusted(paid)
    stored = {each.id: effects(paid, each.id) for each in items}
    left = {each.id: each.quantity_milli for each in items}

    while any(left.values()):
        parts = {each.id: data.draw(st.integers(1, left[each.id])) for each in items if left[each.id]}
        refunded = tuple(RefundedItem(each, parts[each.id], stored[each.id]) for each in items if each.id in parts)
        changes = list(hooks.on_items_refunded(REFUND, refunded, refunding()))
        total.update(adjusted(changes))
        for each in refunded:
            stored[each.id] += effects(changes, each.id)
            left[each.id] -= each.quantity_milli

    assert not any(total.values())


@given(SHELVES, BASKETS)
def test_the_same_facts_give_the_same_changes_and_an_effect_for_every_item(shelf: list[Shelf], items: tuple[BilledItem, ...]) -> None:
    try:
        changes = pay(shelf, *items)
    except OutOfStock:
        return

    assert pay(shelf, *items) == changes
    assert {each.item_id for each in changes if isinstance(each, DoneFor)} == {each.id for each in items}
    keys = [(each.item_id, each.kind, each.row) for each in changes if isinstance(each, DoneFor)]
    assert len(keys) == len(set(keys))
