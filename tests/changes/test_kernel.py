"""The kernel without a database: what plugins ask for, checked and grouped into sets. Each refusal names plugin and item, and says why."""

from collections import namedtuple
from collections.abc import Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from billing.changes import kernel
from billing.changes.fitting import fitting
from billing.changes.kinds import Adjust, ChangeRow, DoneFor, Insert, Tell, adjust, change, effect, insert, put, tell
from billing.errors import PluginViolation
from billing.model import Client, ClinicPlugin, Effect, Invoice, NumberCounter
from billing.model.writes import AdjustRows, ChangeRows, InsertRows, PutRows
from billing.testing.shelf import LOTS, RETURNED, TABLES, ShelfLot, ShelfMove, ShelfTally

LotRow = namedtuple("LotRow", "id service_id on_hand_milli")  # noqa: PYI024 - as a need's rows are
OWN = frozenset({*(each.__table__ for each in TABLES), NumberCounter.__table__})  # the last has a key of two columns
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


MOVE = {"lot_id": "a", "item_id": "item", "quantity_milli": 1}


def item(item_id: str = "item") -> Any:
    return SimpleNamespace(id=item_id)


def asked(*changes: Any, items: Sequence[str] = ("item",), **options: Any) -> kernel.Asked:
    """What the plugin "shelf" asked for. It has locked the lots "a" (5 pieces), "b" (7) and, by another need, "c" (9)."""
    known: Any = {LOTS: (LotRow("a", "s", 5000), LotRow("b", "s", 7000)), RETURNED: (LotRow("c", "s", 9000),)}
    facts: dict[str, Any] = {"plugin": "shelf", "hook": "on_items_paid", "tables": OWN}
    return kernel.Asked(**(facts | {"item_ids": tuple(items), "known": known, "changes": changes} | options))


def writes(*changes: Any, **options: Any) -> list[Any]:
    return kernel.plan([asked(*changes, **options)]).writes


def violation(*changes: Any, **options: Any) -> PluginViolation:
    with pytest.raises(PluginViolation) as caught:
        kernel.plan([asked(*changes, **options)])
    return caught.value


def shapes(found: Sequence[AdjustRows]) -> list[list[tuple[Any, ...]]]:
    return [[(dict(row.key), dict(row.deltas), dict(row.at_least)) for row in write.rows] for write in found]


# --- what comes out ---


def test_nothing_asked_is_an_empty_plan() -> None:
    assert kernel.plan([]) == kernel.plan([asked()]) == kernel.Plan([], [], [])


def test_rows_of_a_table_are_inserted_together_with_ids_and_nulls_filled_in() -> None:
    (write,) = writes(
        insert(ShelfLot, id="n", service_id="s", on_hand_milli=1, note="x"),
        insert(ShelfLot, service_id="s", on_hand_milli=2),
    )
    given, made = write.rows

    assert (type(write), write.table) == (InsertRows, ShelfLot.__table__)
    assert given == {"id": "n", "service_id": "s", "on_hand_milli": 1, "note": "x"}
    assert made == {"id": made["id"], "service_id": "s", "on_hand_milli": 2, "note": None}
    assert len(made["id"]) == 36


def test_defaults_of_a_table_are_filled_in() -> None:
    row = insert(ClinicPlugin, plugin="p", enabled=True, changed_at=AT)

    (write,) = writes(row, row, tables=frozenset({ClinicPlugin.__table__}))

    assert [dict(each) for each in write.rows] == [{"plugin": "p", "enabled": True, "settings": {}, "changed_at": AT}] * 2


def test_plain_default_of_a_column_is_filled_in() -> None:
    (write,) = writes(insert(Client, id="c", name="Ada", created_at=AT), tables=frozenset({Client.__table__}))

    (row,) = write.rows
    assert row == {"id": "c", "name": "Ada", "phone": "", "email": "", "address": "", "source": None, "created_at": AT}


def test_all_that_several_plugins_ask_for_is_written() -> None:
    everything = (
        insert(ShelfMove, **MOVE),
        insert(ShelfLot, service_id="s", on_hand_milli=1),
        put(ShelfTally, {"service_id": "s"}, latest_item_id="i"),
        put(NumberCounter, {"series": "s", "period": "p"}, latest_value=1),
        adjust(ShelfLot, "a", on_hand_milli=1),
        change(ShelfLot, "b", expect={}, note="x"),
    )

    made = kernel.plan([asked(*everything), asked(*everything, plugin="other")]).writes

    of_one = [
        (InsertRows, "shelf_move"),
        (InsertRows, "shelf_lot"),
        (PutRows, "shelf_tally"),
        (PutRows, "number_counter"),
        (AdjustRows, "shelf_lot"),
        (ChangeRows, "shelf_lot"),
    ]
    assert [(type(each), each.table.name) for each in made] == of_one * 2


def test_adjustments_of_a_row_are_summed_and_its_highest_floor_holds() -> None:
    found = writes(
        adjust(ShelfLot, "b", on_hand_milli=-1, at_least=2),
        adjust(ShelfLot, "a", on_hand_milli=-3),
        adjust(ShelfLot, "c", on_hand_milli=-5, at_least=0),
        adjust(ShelfLot, {"id": "b"}, on_hand_milli=-2, at_least=4),
        adjust(ShelfLot, "b", on_hand_milli=-4, at_least=3),
    )

    assert [(type(each), each.table) for each in found] == [(AdjustRows, ShelfLot.__table__)] * 2
    assert shapes(found) == [
        [({"id": "b"}, {"on_hand_milli": -7}, {"on_hand_milli": 4}), ({"id": "c"}, {"on_hand_milli": -5}, {"on_hand_milli": 0})],
        [({"id": "a"}, {"on_hand_milli": -3}, {})],
    ]


def test_adjusted_rows_are_written_in_the_order_of_their_keys() -> None:
    (write,) = writes(*(adjust(ShelfLot, lot, on_hand_milli=-1) for lot in "cab"))

    assert [row.key["id"] for row in write.rows] == ["a", "b", "c"]


def test_row_is_changed_if_it_is_as_expected_and_the_same_change_again_is_one() -> None:
    once = change(ShelfLot, "a", expect={"note": None}, note="x")

    found = writes(once, once, change(ShelfLot, "b", expect={}, note="y"), change(ShelfLot, "c", expect={"note": "z"}, note="y"))

    assert [(type(each), each.table) for each in found] == [(ChangeRows, ShelfLot.__table__)] * 2
    assert [[(dict(row.key), dict(row.expect), dict(row.set)) for row in each.rows] for each in found] == [
        [({"id": "a"}, {"note": None}, {"note": "x"}), ({"id": "c"}, {"note": "z"}, {"note": "y"})],
        [({"id": "b"}, {}, {"note": "y"})],
    ]


def test_of_two_puts_of_a_key_the_later_stands() -> None:
    (write,) = writes(*(put(ShelfTally, {"service_id": service}, latest_item_id=latest) for service, latest in ("s1", "t2", "s3")))

    assert (type(write), write.table) == (PutRows, ShelfTally.__table__)
    assert [dict(row) for row in write.rows] == [{"latest_item_id": "3", "service_id": "s"}, {"latest_item_id": "2", "service_id": "t"}]


def test_puts_of_other_columns_are_sets_of_their_own() -> None:
    found = writes(put(ShelfLot, {"id": "x"}, note="1"), put(ShelfLot, {"id": "y"}, on_hand_milli=1), put(ShelfLot, {"id": "z"}, note="2"))

    assert [[list(row) for row in write.rows] for write in found] == [[["id", "note"]] * 2, [["id", "on_hand_milli"]]]


def test_effects_and_events_come_with_the_plugin_that_stated_them() -> None:
    done = effect(item(), "shelf.taken", row="a", quantity_milli=2000, note="n")
    told = tell("shelf.sold", lot="a")

    made = kernel.plan([asked(done, told), asked(done, plugin="other")])

    assert (made.effects, made.tells) == ([("shelf", done), ("other", done)], [told])


def test_effects_are_written_as_rows_of_the_departments_journal() -> None:
    write: Any
    (write,) = kernel.effect_rows(
        [("shelf", DoneFor("item", "shelf.taken", "a", 2000, {"note": "n"}))], action="payment", action_id="p", at=AT
    )
    (row,) = write.rows

    assert write.table is Effect.__table__
    assert len(row["id"]) == 36
    assert {name: value for name, value in row.items() if name != "id"} == {
        "action": "payment",
        "action_id": "p",
        "item_id": "item",
        "plugin": "shelf",
        "kind": "shelf.taken",
        "row_key": "a",
        "quantity_milli": 2000,
        "data": {"note": "n"},
        "at": AT,
    }
    assert kernel.effect_rows([], action="payment", action_id="p", at=AT) == []


# --- floors ---


def test_row_may_fall_to_its_floor() -> None:
    assert shapes(writes(adjust(ShelfLot, "a", on_hand_milli=-5000, at_least=0))) == [
        [({"id": "a"}, {"on_hand_milli": -5000}, {"on_hand_milli": 0})]
    ]


def test_row_below_its_floor_is_refused_with_what_is_left_and_wanted() -> None:
    with pytest.raises(kernel.BelowFloor) as caught:
        kernel.plan([asked(adjust(ShelfLot, "a", on_hand_milli=-5001, at_least=0))])

    assert caught.value.code == "below_floor"
    assert caught.value.sentence == "Not enough: shelf_lot has 5000 left, 5001 are wanted."
    assert caught.value.facts == {"plugin": "shelf", "table": "shelf_lot", "left": 5000, "wanted": 5001}


def test_floor_of_a_column_that_the_need_did_not_read_is_left_to_the_database() -> None:
    unread: Any = {LOTS: (namedtuple("LotRow", "id")("a"),)}  # noqa: PYI024

    assert shapes(writes(adjust(ShelfLot, "a", on_hand_milli=-5001, at_least=0), known=unread)) == [
        [({"id": "a"}, {"on_hand_milli": -5001}, {"on_hand_milli": 0})]
    ]


# --- what is refused ---

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

VIOLATIONS: dict[str, tuple[list[Any], str]] = {
    "no change": ([7], "it yielded int, which is no change"),
    "foreign table": ([insert(Invoice, id="i")], "it touched invoice, which is not a table of its own"),
    "no table": ([Insert(dict, {})], "it touched <class 'dict'>, which is not a table of its own"),
    "foreign table put": ([put(Invoice, {"id": "i"}, note="x")], "it touched invoice, which is not a table of its own"),
    "foreign table adjusted": ([adjust(Invoice, "i", total_minor=1)], "it touched invoice, which is not a table of its own"),
    "foreign table changed": ([change(Invoice, "i", expect={}, note="")], "it touched invoice, which is not a table of its own"),
    "unknown columns": ([insert(ShelfMove, colour="red", size=1, **MOVE)], "it named colour, size, which shelf_move does not have for it"),
    "a clinic": ([insert(ShelfMove, clinic_id="c", **MOVE)], "it named clinic_id, which shelf_move does not have for it"),
    "column left out": ([insert(ShelfMove, lot_id="a", item_id="item")], "it left shelf_move.quantity_milli out of a row"),
    "float": (
        [insert(ShelfMove, **(MOVE | {"quantity_milli": 1.0}))],
        "it gave shelf_move.quantity_milli a value of type float that does not fit",
    ),
    "bool for a number": (
        [insert(ShelfMove, **(MOVE | {"quantity_milli": True}))],
        "it gave shelf_move.quantity_milli a value of type bool that does not fit",
    ),
    "65 bits": (
        [insert(ShelfMove, **(MOVE | {"quantity_milli": 2**63}))],
        "it gave shelf_move.quantity_milli a value of type int that does not fit",
    ),
    "null byte": ([change(ShelfLot, "a", expect={}, note="\0")], "it gave shelf_lot.note a value of type str that does not fit"),
    "lone surrogate": ([change(ShelfLot, "a", expect={}, note="\ud800")], "it gave shelf_lot.note a value of type str that does not fit"),
    "null byte in an id": (
        [insert(ShelfMove, **(MOVE | {"lot_id": "\0"}))],
        "it gave shelf_move.lot_id a value of type str that does not fit",
    ),
    "null where none may be": (
        [insert(ShelfMove, **(MOVE | {"quantity_milli": None}))],
        "it gave shelf_move.quantity_milli a value of type NoneType that does not fit",
    ),
    "number for an id": ([insert(ShelfMove, **(MOVE | {"lot_id": 1}))], "it gave shelf_move.lot_id a value of type int that does not fit"),
    "expected value": (
        [change(ShelfLot, "a", expect={"note": 1}, note="x")],
        "it gave shelf_lot.note a value of type int that does not fit",
    ),
    "half a key": ([put(ShelfTally, {}, latest_item_id="i")], "it named a row of shelf_tally by {}; its key is service_id"),
    "null key": (
        [put(ShelfTally, {"service_id": None}, latest_item_id="i")],
        "it named a row of shelf_tally by {'service_id': None}; its key is service_id",
    ),
    "id for a natural key": (
        [put(ShelfTally, "s", latest_item_id="i")],  # type: ignore[arg-type]
        "it named a row of shelf_tally by 's'; its key is service_id",
    ),
    "number in a key": (
        [put(ShelfTally, {"service_id": 7}, latest_item_id="i")],
        "it gave shelf_tally.service_id a value of type int that does not fit",
    ),
    "set in a key": (
        [put(ShelfTally, {"service_id": set()}, latest_item_id="i")],
        "it gave shelf_tally.service_id a value of type set that does not fit",
    ),
    "set for a locked row": (
        [adjust(ShelfLot, {"id": set()}, on_hand_milli=1)],
        "it gave shelf_lot.id a value of type set that does not fit",
    ),
    "list for columns": (
        [ChangeRow(ShelfLot, "a", [], {"note": "x"})],  # type: ignore[arg-type]
        "it gave shelf_lot a list where columns and their values belong",
    ),
    "text for columns": (
        [Insert(ShelfMove, "x")],  # type: ignore[arg-type]
        "it gave shelf_move a str where columns and their values belong",
    ),
    "key put anew": (
        [put(ShelfTally, {"service_id": "s"}, service_id="t", latest_item_id="i")],
        "it set service_id of shelf_tally, by which the row is named",
    ),
    "half a key of two": (
        [put(NumberCounter, {"series": "s"}, latest_value=1)],
        "it named a row of number_counter by {'series': 's'}; its key is series, period",
    ),
    "whole key put anew": (
        [put(NumberCounter, {"series": "s", "period": "p"}, series="t", period="q", latest_value=1)],
        "it set series, period of number_counter, by which the row is named",
    ),
    "unlocked row with a key of two": (
        [adjust(NumberCounter, {"series": "s", "period": "p"}, latest_value=1)],
        "it changed row s, p of number_counter, which no need of its own has locked in this clinic",
    ),
    "key changed": ([change(ShelfLot, "a", expect={}, id="b")], "it set id of shelf_lot, by which the row is named"),
    "key adjusted": ([adjust(ShelfLot, "a", id="b")], "it set id of shelf_lot, by which the row is named"),  # type: ignore[arg-type]
    "number for a key": ([Adjust(ShelfLot, 7, {"on_hand_milli": 1})], "it named a row of shelf_lot by 7; its key is id"),  # type: ignore[arg-type]
    "unlocked": (
        [adjust(ShelfLot, "d", on_hand_milli=-1)],
        "it changed row d of shelf_lot, which no need of its own has locked in this clinic",
    ),
    "unlocked change": (
        [change(ShelfLot, "d", expect={}, note="x")],
        "it changed row d of shelf_lot, which no need of its own has locked in this clinic",
    ),
    "unlocked table": (
        [adjust(ShelfMove, "a", quantity_milli=-1)],
        "it changed row a of shelf_move, which no need of its own has locked in this clinic",
    ),
    "adjusted by nothing": ([adjust(ShelfLot, "a")], "it adjusted shelf_lot by what is not a whole number"),
    "adjusted by null": (
        [adjust(ShelfLot, "a", on_hand_milli=None)],  # type: ignore[arg-type]
        "it gave shelf_lot.on_hand_milli a value of type NoneType that does not fit",
    ),
    "floor of a half": ([Adjust(ShelfLot, "a", {"on_hand_milli": 1}, 0.5)], "it adjusted shelf_lot by what is not a whole number"),  # type: ignore[arg-type]
    "adjusted text": ([adjust(ShelfLot, "a", note=1)], "it gave shelf_lot.note a value of type int that does not fit"),
    "changed nothing": ([change(ShelfLot, "a", expect={"note": "x"})], "it changed nothing in shelf_lot"),
    "changed twice": (
        [change(ShelfLot, "a", expect={}, note="x"), change(ShelfLot, "a", expect={}, note="y")],
        "it changed one row of shelf_lot twice",
    ),
    "expected twice": (
        [change(ShelfLot, "a", expect={}, note="x"), change(ShelfLot, "a", expect={"note": "y"}, note="x")],
        "it changed one row of shelf_lot twice",
    ),
    "adjusted and changed": (
        [adjust(ShelfLot, "a", on_hand_milli=1), change(ShelfLot, "a", expect={}, note="x")],
        "it changed one row of shelf_lot in two ways",
    ),
    "adjusted and put": (
        [adjust(ShelfLot, "a", on_hand_milli=1), put(ShelfLot, {"id": "a"}, note="x")],
        "it changed one row of shelf_lot in two ways",
    ),
    "changed and put": (
        [put(ShelfLot, {"id": "a"}, note="x"), change(ShelfLot, "a", expect={}, note="x")],
        "it changed one row of shelf_lot in two ways",
    ),
    "effect without kind": (
        [effect(item(), "")],
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect of a number": (
        [DoneFor("item", 7)],  # type: ignore[arg-type]
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect of a lone surrogate": (
        [effect(item(), "\ud800")],
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect of a row with a null": (
        [effect(item(), "k", row="\0")],
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect of a kind too long for an index": (
        [effect(item(), "k" * 201)],
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect of a half": (
        [effect(item(), "k", quantity_milli=0.5)],  # type: ignore[arg-type]
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect with an object": (
        [effect(item(), "k", what=object())],
        "it stated an effect with a kind, row, quantity or data that can't be stored",
    ),
    "effect twice": ([effect(item(), "k", row="a"), effect(item(), "k", row="a")], "it stated the effect k of one row twice"),
    "event of an object": ([tell("t", what=object())], "it told an event that is none"),
    "event of a circle": ([tell("t", what=ENDLESS)], "it told an event that is none"),
    "event without text": ([Tell(7, {})], "it told an event that is none"),  # type: ignore[arg-type]
    "event with a half": ([Tell("t", 0.5)], "it told an event that is none"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_violation_names_plugin_hook_and_item_and_says_why(case: str) -> None:
    changes, reason = VIOLATIONS[case]

    found = violation(*changes)

    assert found.sentence == (
        f"The plugin shelf broke its contract in on_items_paid (item item): {reason}. Nothing was booked; disable the plugin or ask its author."
    )
    assert found.facts == {"plugin": "shelf", "hook": "on_items_paid", "reason": reason, "item": "item", "items": ("item",)}


def test_violation_names_all_items_where_it_could_be_any() -> None:
    found = violation(7, items=("one", "two"))

    assert "in on_items_paid: it yielded int" in found.sentence
    assert (found.facts["item"], found.facts["items"]) == (None, ("one", "two"))
    assert kernel.violation("p", "h", "why").facts == {"plugin": "p", "hook": "h", "reason": "why", "item": None, "items": ()}


@pytest.mark.parametrize(
    "changes",
    [[effect(item("foreign"), "k")], [effect(item("two"), "")], [effect(item("two"), "k"), effect(item("two"), "k")]],
    ids=["foreign", "no kind", "twice"],
)
def test_violation_of_an_effect_names_its_item(changes: list[Any]) -> None:
    found = violation(*changes, items=("one", "two"))

    assert found.facts["item"] == changes[0].item_id


def test_effect_for_another_plugins_item_is_refused() -> None:
    assert violation(effect(item("foreign"), "k")).facts["reason"] == "it stated an effect for an item that is not its own here"


def test_effects_of_one_kind_for_several_rows_and_of_several_kinds_for_one_are_stated() -> None:
    done = [effect(item(), "k", row="a"), effect(item(), "k", row="b"), effect(item(), "l", row="a")]

    assert [each for _, each in kernel.plan([asked(*done)]).effects] == done


def test_item_of_a_department_with_effects_needs_one() -> None:
    found = violation(effect(item("one"), "k"), items=("one", "two", "three"), needs_effect=frozenset({"one", "three"}))

    assert (found.facts["item"], found.facts["reason"]) == ("three", "it left an item without an effect")


def test_values_fit_columns_of_every_type() -> None:
    fits = {
        "id": ("x", 1),
        "note": ("text", b"bytes"),
        "version": (-(2**63) + 1, -(2**63)),
        "prices_include_tax": (False, 0),
        "created_at": (AT, AT.replace(tzinfo=None)),
        "issue_date": (date(2026, 11, 22), AT),
        "printed": ({"a": [1, "b", None]}, object()),
    }

    for name, (good, bad) in fits.items():
        column = Invoice.__table__.columns[name]
        assert fitting(column.table)[name](good)  # one check for every type of column
        assert not fitting(column.table)[name](bad)
