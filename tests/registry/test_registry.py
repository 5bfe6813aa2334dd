"""Finding, checking, ordering and calling plugins: a broken one is quarantined and named, the rest works."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from billing import registry
from billing.errors import PluginViolation
from billing.plugin import Declaration, Department, Method, Need, Permission, PluginModel, hookimpl
from billing.registry import BadPluginSettings, UnknownPlugin
from billing.registry.loading import GROUP
from billing.services.clinics import set_plugin
from billing.testing.shelf import Desk, Shelf, ShelfLot, ShelfMove
from billing.testing.world import World


def declaring(**declared: Any) -> Any:
    class Plugin:
        @hookimpl
        def declare(self) -> Declaration:
            return Declaration(**declared)

    return Plugin()


def _error(name: str, module: Any, **others: Any) -> str:
    found = registry.of_modules({name: module, "desk": Desk(), **others})
    assert "desk" in [plugin.name for plugin in found.healthy]
    return str(found.plugin(name).error)


class Misspelt:
    @hookimpl
    def declare(self) -> Declaration:
        return Declaration()

    @hookimpl
    def on_item_paid(self) -> None: ...


class Wrapper:
    @hookimpl
    def declare(self) -> Declaration:
        return Declaration()

    @hookimpl(wrapper=True)
    def on_items_paid(self) -> Iterator[None]:
        return (yield)


class Coroutine:
    @hookimpl
    def declare(self) -> Declaration:
        return Declaration()

    @hookimpl
    async def on_items_paid(self) -> None: ...


class UnknownArgument:
    @hookimpl
    def declare(self) -> Declaration:
        return Declaration()

    @hookimpl
    def on_items_paid(self, colour: str) -> None: ...


class Exits:
    @hookimpl
    def declare(self) -> Declaration:
        raise SystemExit(1)


class Undeclared:
    pass


class DeclaresRubbish:
    @hookimpl
    def declare(self) -> Any:
        return {"departments": []}


class Elsewhere(DeclarativeBase):
    """Tables that other tests must not meet."""


class BadTable(Elsewhere):
    __tablename__ = "somebody_elses"
    id: Mapped[str] = mapped_column(Text, primary_key=True)


class LooseTable(Elsewhere):
    __tablename__ = "loose_table"
    id: Mapped[str] = mapped_column(Text, primary_key=True)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Misspelt(), "did you mean on_items_paid"),
        (Wrapper(), "is a wrapper"),
        (Coroutine(), "is a coroutine"),
        (UnknownArgument(), "colour"),
        (Exits(), "SystemExit"),
        (Undeclared(), "declare() must return one Declaration"),
        (DeclaresRubbish(), "declare() must return one Declaration"),
        (declaring(billing_api="2"), "version 2 of the plugin contract"),
        (declaring(tables=(BadTable,)), "must be named odd_"),
        (declaring(needs=(Need(select(ShelfLot.id)),)), "a need of it reads shelf_lot"),
        (declaring(requires=("nothing",)), "requires nothing, which is not installed"),
        (declaring(departments=(Department("desk", "Mine"),)), "desk is provided by the plugin desk already"),
    ],
)
def test_broken_plugin_is_quarantined_and_named(module: Any, said: str) -> None:
    assert said in _error("odd", module)


def test_table_without_a_class_is_refused() -> None:
    assert "registered neither" in _error("loose", declaring(tables=(LooseTable,)))


def test_requirement_on_a_broken_plugin_breaks_too() -> None:
    assert "requires broken, which is quarantined" in _error("odd", declaring(requires=("broken",)), broken=Misspelt())


def test_circle_of_requirements_is_quarantined() -> None:
    found = registry.of_modules({"a": declaring(requires=("b",)), "b": declaring(requires=("a",)), "c": declaring()})

    assert [plugin.name for plugin in found.healthy] == ["c"]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_order_is_by_requirement_then_name_whatever_the_order_found(names: tuple[str, ...]) -> None:
    modules = {"a": declaring(requires=("c",)), "b": declaring(), "c": declaring()}

    found = registry.of_modules({name: modules[name] for name in names})

    assert [plugin.name for plugin in found.plugins] == ["b", "c", "a"]


def test_shipped_plugins_are_found_by_entry_point_and_are_healthy() -> None:
    found = registry.load()

    assert [plugin.error for plugin in found.plugins] == [None] * len(found.plugins)
    assert len(found.plugins) >= 3
    assert all(plugin.distribution and plugin.version for plugin in found.plugins)


def test_exactly_the_named_plugins_are_loaded() -> None:
    name = registry.load().plugins[0].name

    assert [plugin.name for plugin in registry.load(only=[name]).plugins] == [name]
    with pytest.raises(UnknownPlugin):
        registry.load(only=["nothing"])


def test_plugin_that_can_not_be_imported_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    good = metadata.EntryPoint("good", "billing.testing.shelf:Desk", GROUP)
    bad = metadata.EntryPoint("bad", "billing_that_is_not_there.hooks", GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints([bad, good]))

    found = registry.load()

    assert {plugin.name: bool(plugin.error) for plugin in found.plugins} == {"bad": True, "good": True}
    assert "ModuleNotFoundError" in str(found.plugin("bad").error)


class Choices(PluginModel):
    limit: int = 5


class Configurable:
    seen: list[Any]

    def __init__(self) -> None:
        self.seen = []

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(
            departments=(Department("desk", "Desk", effects=False),),
            settings=Choices,
            given=Choices,
            methods=(Method("voucher"),),
            permissions=(Permission("vouchers.sell", "Sell vouchers."),),
            grants={"cashier": ("vouchers.sell",)},
        )

    @hookimpl
    def on_items_paid(self, payment: Any) -> Any:
        self.seen.append((payment.settings, payment.given))
        return ()


def test_settings_and_what_is_given_reach_the_hook_as_the_plugins_own_models(database_url: str) -> None:
    plugin = Configurable()
    world = World(database_url, plugins={"desk": plugin})
    world.service("VIS")

    world.pay(world.invoice("VIS").id, "cash 10")
    world.run(lambda tx: set_plugin(tx, name="desk", settings={"limit": 7}))
    world.pay(world.invoice("VIS").id, "voucher 10", given={"desk": {"limit": 9}})

    assert plugin.seen == [(Choices(limit=5), None), (Choices(limit=7), Choices(limit=9))]
    world.dispose()


@pytest.mark.parametrize("values", [{"limit": "many"}, {"colour": "red"}])
def test_settings_that_do_not_fit_are_refused_and_not_kept(values: dict[str, Any], database_url: str) -> None:
    world = World(database_url, plugins={"desk": Configurable()})
    before = world.dump()

    with pytest.raises(BadPluginSettings, match=next(iter(values))):
        world.run(lambda tx: set_plugin(tx, name="desk", settings=values))

    assert world.dump() == before
    world.dispose()


def test_permissions_of_a_plugin_are_granted_where_it_is_enabled() -> None:
    found = registry.of_modules({"desk": Configurable()})

    assert "vouchers.sell" in found.permissions_of("cashier", {}, ["desk"])
    assert "vouchers.sell" not in found.permissions_of("cashier", {}, [])
    assert "vouchers.sell" not in found.permissions_of("clinician", {}, ["desk"])
    assert "vouchers.sell" in found.permissions_of("operator", {}, [])


def test_trace_prints_each_call(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(database_url, plugins=registry.of_modules({"desk": Desk()}, trace=True))
    world.service("VIS")

    world.pay(world.invoice("VIS").id, "cash 10")

    assert "hook desk.on_items_paid: 1 items" in capsys.readouterr().err
    world.dispose()


def test_alarm_ends_a_hook_that_never_returns(sqlite_url: str) -> None:
    def hang(*_: Any) -> Any:
        while True:
            pass

    world = World(sqlite_url, plugins=registry.of_modules({"shelf": Shelf(act=hang), "desk": Desk()}, alarm_seconds=0.05))
    world.service("AMX", department="shelf")
    made = world.invoice("AMX")

    with pytest.raises(PluginViolation, match="HookTimeout"):
        world.pay(made.id, "cash 10")

    world.dispose()


def test_need_that_locks_selects_its_key() -> None:
    with pytest.raises(ValueError, match="selects its key"):
        Need(select(ShelfLot.on_hand_milli), lock=ShelfLot)
    with pytest.raises(ValueError, match="of one of"):
        Need(select(ShelfLot.id), of="nothing")


def test_need_locks_no_row_that_is_only_added() -> None:
    with pytest.raises(ValueError, match="only added"):
        Need(select(ShelfMove.id), lock=ShelfMove)


def test_hooks_are_in_the_order_of_the_day() -> None:
    assert registry.HOOKS[:3] == ("declare", "register_commands", "quote_lines")
    assert registry.HOOKS.index("before_items_paid") < registry.HOOKS.index("on_items_paid")


def test_role_of_a_plugin_that_is_not_at_work_may_do_nothing() -> None:
    assert registry.of_modules({"desk": Desk()}).permissions_of("anaesthetist", {}, ["desk"]) == frozenset()
