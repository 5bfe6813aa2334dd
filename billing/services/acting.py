"""Departments taking part: which plugin has which items, what its needs find, and what it asks for. Carries nothing out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from billing import registry
from billing.changes import kernel
from billing.changes.kinds import Change
from billing.changes.needs import Asked, Items, Known, Need
from billing.errors import Refused
from billing.facts import PatientFacts
from billing.registry import Plugin
from billing.transaction import Transaction
from billing.trips import Preparable


class DepartmentUnavailable(Refused):
    """The department's plugin is missing, quarantined or disabled, so nothing of it can be billed or paid. Facts: `department`, `plugin`."""

    code = "department_unavailable"


class _HasDepartment(Protocol):
    @property
    def department(self) -> str: ...


D = TypeVar("D", bound=_HasDepartment)
F = TypeVar("F")

Call = tuple[Preparable, Mapping[str, Any]]
Needs = Sequence[tuple[Need, Call]]
"""Needs with the calls that run them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A plugin's part in an action: its items, and what its needs found."""

    plugin: Plugin
    items: tuple[Any, ...]
    known: Known


def by_plugin(tx: Transaction, items: Iterable[D]) -> dict[str, tuple[Plugin, tuple[D, ...]]]:
    """Return each acting plugin with its items, in the order in which plugins act. Raises `DepartmentUnavailable`."""
    plugins = registry.of(tx)
    found: dict[str, tuple[Plugin, list[D]]] = {plugin.name: (plugin, []) for plugin in plugins.enabled(tx.clinic)}
    for item in items:
        plugin = plugins.of_department(tx.clinic, item.department)
        if plugin is None:
            raise _unavailable(tx, item.department)
        found[plugin.name][1].append(item)
    return {name: (plugin, tuple(own)) for name, (plugin, own) in found.items() if own}


def need_calls(
    tx: Transaction, plugins: Iterable[Plugin], of: str, *, locking: bool = True, items: Items = "given", **values: Any
) -> list[tuple[Need, Call]]:
    """Return the needs of these plugins with the calls that run them."""
    chosen = [need for plugin in plugins for need in registry.of(tx).needs(plugin, of)]
    return [(need, (Asked(need, locking, items), values)) for need in chosen]


def known_of(plugin: Plugin, calls: Needs, rows: Sequence[Sequence[Any]]) -> Known:
    """Return what a plugin's own needs found."""
    own = set(plugin.declaration.needs)
    return {need: tuple(found) for (need, _), found in zip(calls, rows, strict=True) if need in own}


def parts_of(tx: Transaction, items: Iterable[D], needs: Needs, found: Sequence[Sequence[Any]]) -> list[Part]:
    """Return the plugins with their items, and what their needs found."""
    return [Part(plugin, own, known_of(plugin, needs, found)) for plugin, own in by_plugin(tx, items).values()]


def listening(tx: Transaction, *hooks: str) -> list[Plugin]:
    """Return the plugins at work that implement one of the hooks."""
    plugins = registry.of(tx)
    return [plugin for plugin in plugins.enabled(tx.clinic) if any(plugins.listens(plugin, hook) for hook in hooks)]


def heard(tx: Transaction, items: Iterable[D], *hooks: str) -> list[D]:
    """Return the items whose plugin implements one of the hooks."""
    names = {plugin.name for plugin in listening(tx, *hooks)}
    plugins = registry.of(tx)
    return [item for item in items if (plugin := plugins.of_department(tx.clinic, item.department)) and plugin.name in names]


def facts_for(tx: Transaction, plugin: Plugin, facts: F) -> F:
    """Return the facts with the plugin's own settings in them."""
    return replace(facts, settings=registry.of(tx).settings(plugin, tx.clinic))  # type: ignore[type-var]


def ask(parts: Iterable[Part], hook: str, act: Callable[[Part], Sequence[Change]], *, effects_required: bool = False) -> kernel.Plan:
    """Ask every plugin for its changes and return the checked plan. Raises what a plugin refuses with, or `PluginViolation`."""
    asked = []
    for part in parts:
        declared = {each.code for each in part.plugin.declaration.departments if each.effects} if effects_required else set()
        asked.append(
            kernel.Asked(
                plugin=part.plugin.name,
                hook=hook,
                tables=part.plugin.tables,
                item_ids=tuple(item.id for item in part.items if hasattr(item, "id")),
                known=part.known,
                changes=act(part),
                needs_effect=frozenset(item.id for item in part.items if declared and item.department in declared),
            )
        )
    return kernel.plan(asked)


def write_plan(tx: Transaction, made: kernel.Plan, *, action: str, action_id: str) -> None:
    """Leave a plan's rows, effects and events with the unit."""
    tx.write(*made.writes, *kernel.effect_rows(made.effects, action=action, action_id=action_id, at=tx.at))
    for told in made.tells:
        tx.emit(told.topic, action_id, **told.data)


class _Item(_HasDepartment, Protocol):
    @property
    def id(self) -> str: ...
    @property
    def service_id(self) -> str | None: ...
    @property
    def quantity_milli(self) -> int: ...
    @property
    def provider_id(self) -> str | None: ...


def item_rows(items: Iterable[_Item], patient: PatientFacts) -> list[dict[str, Any]]:
    """Return items as rows of the sources that needs join."""
    return [
        {
            "item_id": item.id,
            "department": item.department,
            "service_id": item.service_id,
            "quantity_milli": item.quantity_milli,
            "provider_id": item.provider_id,
            "patient_id": patient.id,
            "sex": patient.sex,
            "birth_date": patient.birth_date,
            "species": patient.species,
        }
        for item in items
    ]


def _unavailable(tx: Transaction, department: str) -> DepartmentUnavailable:
    here = tx.clinic.department(department)
    plugin = here.plugin if here else None
    installed = next((each for each in registry.of(tx).plugins if each.name == plugin), None)
    if here is None:
        why = "the clinic has no such department"
    elif installed is None:
        why = f"its plugin {plugin} is not installed"
    elif installed.error is not None:
        why = f"its plugin {plugin} is quarantined ({installed.error})"
    else:
        why = f"its plugin {plugin} is disabled here: `billing plugins enable {plugin}`"
    return DepartmentUnavailable(f"Nothing of {department} can be billed or paid: {why}.", department=department, plugin=plugin)
