"""The kernel's sets of rows against a naive model that goes row by row, on both databases."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from billing.changes import kernel
from billing.changes.kinds import Adjust, ChangeRow, Insert, Put, adjust, change, insert, put
from billing.errors import BillingError
from billing.model import new_id
from billing.testing.shelf import LOTS, TABLES, ShelfLot, ShelfMove, ShelfTally
from billing.testing.world import World
from billing.transaction import Transaction

LOT_COUNT = 4
KEYS = st.integers(0, LOT_COUNT - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("adjust"), KEYS, st.integers(-3000, 3000), st.sampled_from([None, 0, 500])),
        st.tuples(
            st.just("change"), KEYS, st.sampled_from([None, "wrong"]), st.sampled_from(["x", "y", 'quo"te\\', "{a,b}", "NULL", "", "é\n"])
        ),
        st.tuples(st.just("insert"), KEYS, st.integers(-5, 5)),
        st.tuples(st.just("put"), KEYS),
    ),
    max_size=12,
)


class Refusal(Exception):
    """The naive model says no."""


class Naive:
    """Rows in dicts, changed one by one in the order given; all or nothing."""

    def __init__(self, lots: dict[str, int]) -> None:
        self.lots: dict[str, tuple[int, str | None]] = {key: (quantity, None) for key, quantity in lots.items()}
        self.moves: list[tuple[str, int]] = []
        self.tallies: dict[str, str] = {}

    def apply(self, changes: list[Any]) -> None:  # noqa: C901 - naive on purpose
        adjusted: dict[str, list[Adjust]] = {}
        changed: dict[str, list[ChangeRow]] = {}
        for each in changes:
            match each:
                case Adjust(_, key, _, _):
                    adjusted.setdefault(str(key), []).append(each)
                case ChangeRow(_, key, _, _):
                    changed.setdefault(str(key), []).append(each)
                case Insert(_, row):
                    self.moves.append((row["lot_id"], row["quantity_milli"]))
                case Put(_, key, values):
                    self.tallies[key["service_id"]] = values["latest_item_id"]
        if set(adjusted) & set(changed):
            raise Refusal
        for key, adjustments in adjusted.items():
            quantity, note = self.lots[key]
            quantity += sum(each.deltas["on_hand_milli"] for each in adjustments)
            floors = [each.at_least for each in adjustments if each.at_least is not None]
            if quantity < 0 or any(quantity < floor for floor in floors):
                raise Refusal
            self.lots[key] = (quantity, note)
        for key, several in changed.items():
            if any(each != several[0] for each in several):
                raise Refusal
            quantity, note = self.lots[key]
            if several[0].expect["note"] != note:
                raise Refusal
            self.lots[key] = (quantity, several[0].set["note"])


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.dispose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, stock=st.lists(st.integers(0, 3000), min_size=LOT_COUNT, max_size=LOT_COUNT))
def test_sets_of_rows_do_what_rows_one_by_one_would(steps: list[tuple[Any, ...]], stock: list[int], world: World) -> None:
    services = [world.service(new_id()) for _ in range(LOT_COUNT)]
    lots = [world.lot(service, f"{quantity / 1000:.3f}") for service, quantity in zip(services, stock, strict=True)]
    item = world.invoice(f"{_code(world, services[0])}").item_ids[0]
    changes = [_change(step, lots, services, item) for step in steps]
    naive = Naive(dict(zip(lots, stock, strict=True)))
    try:
        naive.apply(changes)
        expected = (naive.lots, sorted(naive.moves), naive.tallies)
    except Refusal:
        untouched: dict[str, tuple[int, str | None]] = {key: (quantity, None) for key, quantity in zip(lots, stock, strict=True)}
        expected = (untouched, [], {})

    with suppress(BillingError):
        world.run(lambda tx: _carry_out(tx, changes, lots, item))

    assert world.read(lambda tx: _state(tx, lots, services)) == expected


def _change(step: tuple[Any, ...], lots: list[str], services: list[str], item: str) -> Any:
    match step:
        case ("adjust", key, delta, floor):
            return adjust(ShelfLot, lots[key], on_hand_milli=delta, at_least=floor)
        case ("change", key, expected, note):
            return change(ShelfLot, lots[key], expect={"note": expected}, note=note)
        case ("insert", key, quantity):
            return insert(ShelfMove, lot_id=lots[key], item_id=item, quantity_milli=quantity)
        case ("put", key):
            return put(ShelfTally, {"service_id": services[key]}, latest_item_id=new_id())
    raise AssertionError(step)


def _carry_out(tx: Transaction, changes: list[Any], lots: list[str], item: str) -> None:
    rows = tx.session.execute(select(ShelfLot.id, ShelfLot.service_id, ShelfLot.on_hand_milli).where(ShelfLot.id.in_(lots))).all()
    asked = kernel.Asked(
        plugin="shelf",
        hook="on_items_paid",
        tables=frozenset(table.__table__ for table in TABLES),
        item_ids=(item,),
        known={LOTS: tuple(rows)},
        changes=changes,
    )
    tx.write(*kernel.plan([asked]).writes)


def _state(tx: Transaction, lots: list[str], services: list[str]) -> Any:
    held = tx.session.execute(select(ShelfLot.id, ShelfLot.on_hand_milli, ShelfLot.note).where(ShelfLot.id.in_(lots)))
    moves = tx.session.execute(select(ShelfMove.lot_id, ShelfMove.quantity_milli).where(ShelfMove.lot_id.in_(lots)))
    tallies = tx.session.execute(select(ShelfTally.service_id, ShelfTally.latest_item_id).where(ShelfTally.service_id.in_(services)))
    return (
        {row[0]: (row[1], row[2]) for row in held},
        sorted((row[0], row[1]) for row in moves),
        {row[0]: row[1] for row in tallies},
    )


def _code(world: World, service_id: str) -> str:
    from billing.model import Service

    return world.read(lambda tx: tx.session.scalars(select(Service.code).where(Service.id == service_id)).one())


@pytest.mark.parametrize("reverse", [False, True])
def test_order_of_plugins_does_not_matter(reverse: bool) -> None:
    lots = [new_id() for _ in range(2)]
    row = LOTS.prepared("sqlite").row
    assert row is not None
    known = {LOTS: tuple(row(lot, new_id(), 5000) for lot in lots)}
    asked = [
        kernel.Asked(name, "on_items_paid", frozenset[Any]({ShelfLot.__table__}), (name,), known, [adjust(ShelfLot, lot, on_hand_milli=-1)])
        for name, lot in zip(("a", "b"), lots, strict=True)
    ]

    made = kernel.plan(reversed(asked) if reverse else asked)

    rows: list[Any] = sorted((tuple(each.key.values()), dict(each.deltas)) for write in made.writes for each in write.rows)  # type: ignore[union-attr]
    assert rows == sorted(((lot,), {"on_hand_milli": -1}) for lot in lots)
