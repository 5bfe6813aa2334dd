"""A plugin that breaks its contract makes the payment fail, named with its item, and nothing stays."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from billing.errors import BillingError, PluginViolation, Refused
from billing.model import Clinic, Invoice, new_id
from billing.plugin import adjust, change, effect, insert, put, tell
from billing.testing.shelf import LOTS, Desk, Shelf, ShelfLot, ShelfMove, ShelfTally, sell
from billing.testing.world import World

Act = Callable[..., Any]


@pytest.fixture
def world_of(database_url: str) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**shelf: Any) -> World:
        world = World(database_url, plugins={"shelf": Shelf(**shelf), "desk": Desk()})
        made.append(world)
        return world

    yield make
    for world in made:
        world.dispose()


def _paid(item: Any) -> Any:
    return effect(item, "shelf.taken")


def rubbish_text(payment: Any, items: Any, known: Any) -> Any:
    return "rubbish"


def a_number(payment: Any, items: Any, known: Any) -> Any:
    return 7


def a_list_of_numbers(payment: Any, items: Any, known: Any) -> Any:
    return [1, 2]


def nothing_at_all(payment: Any, items: Any, known: Any) -> Any:
    return None


def raises_value_error(payment: Any, items: Any, known: Any) -> Any:
    raise ValueError("oops")


def raises_in_the_middle(payment: Any, items: Any, known: Any) -> Any:
    yield from sell(payment, items, known)
    raise RuntimeError("late")


def raises_system_exit(payment: Any, items: Any, known: Any) -> Any:
    raise SystemExit(3)


def raises_base_exception(payment: Any, items: Any, known: Any) -> Any:
    raise BaseException("anything")  # noqa: TRY002


def touches_the_cores_table(payment: Any, items: Any, known: Any) -> Any:
    yield insert(Invoice, id=payment.invoice_id)


def changes_an_unlocked_row(payment: Any, items: Any, known: Any) -> Any:
    yield adjust(ShelfLot, new_id(), on_hand_milli=-1)


def names_no_table(payment: Any, items: Any, known: Any) -> Any:
    yield insert(dict, a=1)


def names_an_unknown_column(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, lot_id=known[LOTS][0].id, item_id=items[0].id, quantity_milli=1, colour="red")


def names_a_clinic(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, clinic_id=new_id(), lot_id=known[LOTS][0].id, item_id=items[0].id, quantity_milli=1)


def leaves_a_column_out(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, lot_id=known[LOTS][0].id, item_id=items[0].id)


def gives_a_float(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, lot_id=known[LOTS][0].id, item_id=items[0].id, quantity_milli=float("nan"))


def gives_a_bool_for_a_number(payment: Any, items: Any, known: Any) -> Any:
    yield adjust(ShelfLot, known[LOTS][0].id, on_hand_milli=True)


def gives_too_large_a_number(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, lot_id=known[LOTS][0].id, item_id=items[0].id, quantity_milli=2**63)


def refers_to_nothing(payment: Any, items: Any, known: Any) -> Any:
    yield insert(ShelfMove, lot_id=new_id(), item_id=items[0].id, quantity_milli=1)
    yield _paid(items[0])


def adjusts_and_changes_one_row(payment: Any, items: Any, known: Any) -> Any:
    yield adjust(ShelfLot, known[LOTS][0].id, on_hand_milli=-1)
    yield change(ShelfLot, known[LOTS][0].id, expect={}, note="x")
    yield _paid(items[0])


def changes_one_row_twice(payment: Any, items: Any, known: Any) -> Any:
    yield change(ShelfLot, known[LOTS][0].id, expect={}, note="x")
    yield change(ShelfLot, known[LOTS][0].id, expect={}, note="y")
    yield _paid(items[0])


def expects_what_is_not(payment: Any, items: Any, known: Any) -> Any:
    yield change(ShelfLot, known[LOTS][0].id, expect={"note": "someone was here"}, note="x")
    yield _paid(items[0])


def puts_half_a_key(payment: Any, items: Any, known: Any) -> Any:
    yield put(ShelfTally, {}, latest_item_id=items[0].id)


def puts_over_a_row_that_is_only_added(payment: Any, items: Any, known: Any) -> Any:
    yield put(ShelfMove, {"id": new_id()}, lot_id=known[LOTS][0].id, item_id=items[0].id, quantity_milli=1)


def states_another_item(payment: Any, items: Any, known: Any) -> Any:
    yield effect(type(items[0])(**{**_fields(items[0]), "id": new_id()}), "shelf.taken")


def states_an_effect_twice(payment: Any, items: Any, known: Any) -> Any:
    yield _paid(items[0])
    yield _paid(items[0])


def leaves_an_item_without_effect(payment: Any, items: Any, known: Any) -> Any:
    yield _paid(items[0])


def tells_what_cant_be_stored(payment: Any, items: Any, known: Any) -> Any:
    yield tell("shelf.sold", what=object())


def yields_for_ever(payment: Any, items: Any, known: Any) -> Any:
    while True:
        yield tell("again")


def _fields(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


MISBEHAVIOURS = [each for name, each in list(globals().items()) if callable(each) and getattr(each, "__module__", "") == __name__]
MISBEHAVIOURS = [each for each in MISBEHAVIOURS if not each.__name__.startswith("_") and each.__name__ != "world_of"]


@pytest.mark.parametrize("act", MISBEHAVIOURS, ids=lambda act: act.__name__)
def test_payment_fails_naming_the_plugin_and_nothing_stays(act: Act, world_of: Callable[..., World]) -> None:
    world = world_of(act=act)
    amx = world.service("AMX", department="shelf")
    world.lot(amx, "10")
    world.service("VIS")
    made = world.invoice("AMX", "AMX", "VIS")
    before = world.dump()

    with pytest.raises(PluginViolation) as caught:
        world.pay(made.id, "cash 30")

    assert caught.value.code == "plugin_violation"
    assert caught.value.facts["plugin"] == "shelf"
    assert world.dump() == before


def test_violation_names_the_item_that_has_no_effect(world_of: Callable[..., World]) -> None:
    world = world_of(act=leaves_an_item_without_effect)
    world.service("AMX", department="shelf")
    made = world.invoice("AMX", "AMX")

    with pytest.raises(PluginViolation) as caught:
        world.pay(made.id, "cash 20")

    assert caught.value.facts["item"] == made.item_ids[1]


def test_department_without_declared_effects_may_leave_none(world_of: Callable[..., World]) -> None:
    world = world_of(act=nothing_at_all, effects=False)
    world.service("AMX", department="shelf")
    made = world.invoice("AMX")

    taken = world.pay(made.id, "cash 10")

    assert taken.status == "paid"


def test_plugin_cannot_reach_another_clinics_row(world_of: Callable[..., World]) -> None:
    theirs: list[str] = []

    def reach(payment: Any, items: Any, known: Any) -> Any:
        yield adjust(ShelfLot, theirs[0], on_hand_milli=-1)
        yield _paid(items[0])

    world = world_of(act=reach)
    world.found("south")
    theirs.append(world.lot(world.service("AMX", department="shelf", clinic="south"), "10", clinic="south"))
    world.service("AMX", department="shelf")
    made = world.invoice("AMX")
    before = world.dump()

    with pytest.raises(PluginViolation, match="no need of its own has locked"):
        world.pay(made.id, "cash 10")

    assert world.dump() == before


def test_insert_that_refers_to_another_clinics_row_is_refused_by_the_composite_key(world_of: Callable[..., World]) -> None:
    theirs: list[str] = []

    def reach(payment: Any, items: Any, known: Any) -> Any:
        yield insert(ShelfMove, lot_id=theirs[0], item_id=items[0].id, quantity_milli=1)
        yield _paid(items[0])

    world = world_of(act=reach)
    world.found("south")
    theirs.append(world.lot(world.service("AMX", department="shelf", clinic="south"), "10", clinic="south"))
    world.service("AMX", department="shelf")
    made = world.invoice("AMX")
    before = world.dump()

    with pytest.raises(PluginViolation) as caught:
        world.pay(made.id, "cash 10")

    assert caught.value.facts["plugin"] == "shelf"
    assert world.dump() == before


def test_own_refusal_reaches_the_cashier_and_undoes_the_other_departments(world_of: Callable[..., World]) -> None:
    world = world_of()
    amx = world.service("AMX", department="shelf")
    lot = world.lot(amx, "1")
    world.service("VIS")
    made = world.invoice("VIS", "AMX:2")
    before = world.dump()

    with pytest.raises(Refused) as caught:
        world.pay(made.id, "cash 30")

    assert caught.value.code == "shelf_empty"
    assert caught.value.facts["item"] == made.item_ids[1]
    assert caught.value.facts["plugin"] == "shelf"
    assert world.dump() == before
    assert world.on_hand(lot) == 1000


def test_hook_that_returns_late_fails_the_payment(database_url: str) -> None:
    from billing import registry

    def dawdle(payment: Any, items: Any, known: Any) -> Any:
        import time

        time.sleep(0.05)
        return [_paid(item) for item in items]

    world = World(database_url, plugins=registry.of_modules({"shelf": Shelf(act=dawdle), "desk": Desk()}, budget_seconds=0.01))
    world.service("AMX", department="shelf")
    made = world.invoice("AMX")

    with pytest.raises(PluginViolation, match="the budget is"):
        world.pay(made.id, "cash 10")

    world.dispose()


def test_floor_holds_where_the_plugin_forgets_to_look(world_of: Callable[..., World]) -> None:
    def oversell(payment: Any, items: Any, known: Any) -> Any:
        yield adjust(ShelfLot, known[LOTS][0].id, on_hand_milli=-5000, at_least=0)
        yield _paid(items[0])

    world = world_of(act=oversell)
    lot = world.lot(world.service("AMX", department="shelf"), "4")
    made = world.invoice("AMX")

    with pytest.raises(BillingError) as caught:
        world.pay(made.id, "cash 10")

    assert caught.value.code == "below_floor"
    assert world.on_hand(lot) == 4000


def test_check_of_the_database_is_the_last_line_below_zero(world_of: Callable[..., World]) -> None:
    def oversell(payment: Any, items: Any, known: Any) -> Any:
        yield adjust(ShelfLot, known[LOTS][0].id, on_hand_milli=-5000)
        yield _paid(items[0])

    world = world_of(act=oversell)
    lot = world.lot(world.service("AMX", department="shelf"), "4")
    made = world.invoice("AMX")
    before = world.dump()

    with pytest.raises(PluginViolation, match="ck_shelf_lot_on_hand"):
        world.pay(made.id, "cash 10")

    assert world.dump() == before
    assert world.on_hand(lot) == 4000


def test_unit_that_commits_is_refused_by_name(world_of: Callable[..., World]) -> None:
    world = world_of()
    before = world.dump()

    for end in ("commit", "rollback", "begin"):
        with pytest.raises(PluginViolation, match=end):
            world.run(lambda tx, end=end: getattr(tx.session, end)())  # type: ignore[misc]

    assert world.dump() == before


@pytest.mark.parametrize("statement", ["COMMIT", "commit", " ROLLBACK", "END", "BEGIN"])
def test_unit_that_sends_an_end_as_sql_is_refused(statement: str, world_of: Callable[..., World]) -> None:
    from sqlalchemy import text

    world = world_of()

    with pytest.raises(PluginViolation):
        world.run(lambda tx: tx.session.connection().execute(text(statement)))


def test_unit_that_ends_through_the_driver_is_found_out(world_of: Callable[..., World]) -> None:
    world = world_of()

    def end(tx: Any) -> None:
        tx.session.connection().connection.driver_connection.commit()

    with pytest.raises(PluginViolation, match="ended its own transaction"):
        world.run(end)


def test_unit_that_swallows_a_database_error_does_not_look_successful(world_of: Callable[..., World]) -> None:
    world = world_of()
    world.service("AMX")

    def swallow(tx: Any) -> str:
        clinic = tx.session.scalars(select(Clinic)).one()
        clinic.name = "Changed"
        try:
            tx.session.connection().exec_driver_sql("INSERT INTO nowhere VALUES (1)")
        except Exception:  # noqa: BLE001
            return "fine"
        return "finer"

    if world.database.dialect == "postgresql":
        with pytest.raises(BillingError):
            world.run(swallow)
    else:
        assert world.run(swallow) == "fine"  # SQLite undoes the statement alone; what stood before it stands
