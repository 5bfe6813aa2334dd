"""The kernel: takes what plugins ask for, refuses what they may not, and turns it into sets of rows.

A plugin is named by its name, its tables and its items only. Each refusal names plugin and item (or the items it acted for), and nothing stays.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.changes.fitting import fitting, is_name, is_storable, is_whole
from billing.changes.kinds import Adjust, Change, ChangeRow, DoneFor, Insert, Key, Put, Tell
from billing.changes.needs import Known
from billing.errors import PluginViolation, Refused
from billing.model import Effect, Upkeep, new_id
from billing.model.writes import AdjustedRow, AdjustRows, ChangedRow, ChangeRows, InsertRows, PutRows, Write


class BelowFloor(Refused):
    """A column would fall below the floor that the change named. Facts: `plugin`, `table`, `left`, `wanted`."""

    code = "below_floor"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one plugin asked for in one action, and what it may touch."""

    plugin: str
    hook: str
    tables: frozenset[Table]
    item_ids: tuple[str, ...]
    known: Known
    changes: Sequence[Change]
    needs_effect: frozenset[str] = frozenset()
    """Items of departments that declare effects: each must have at least one."""


@dataclass(slots=True)
class Plan:
    """The sets of rows that all plugins of an action ask for."""

    writes: list[Write] = field(default_factory=list)
    effects: list[tuple[str, DoneFor]] = field(default_factory=list)
    tells: list[Tell] = field(default_factory=list)


def plan(asked: Iterable[Asked]) -> Plan:
    """Check what plugins ask for and group it by table.

    Raises `PluginViolation` naming plugin and items, or `BelowFloor`. The result does not depend on the order of the plugins,
    and hardly on the order of a plugin's changes: of two puts of one row the later stands.
    """
    made = Plan()
    for each in asked:
        _Checked(each).into(made)
    return made


def effect_rows(effects: Sequence[tuple[str, DoneFor]], *, action: str, action_id: str, at: datetime) -> list[Write]:
    """Return the effects as rows of the journal of departments."""
    rows = [
        {
            "id": new_id(),
            "action": action,
            "action_id": action_id,
            "item_id": done.item_id,
            "plugin": plugin,
            "kind": done.kind,
            "row_key": done.row,
            "quantity_milli": done.quantity_milli,
            "data": dict(done.data),
            "at": at,
        }
        for plugin, done in effects
    ]
    return [InsertRows(Effect.__table__, rows)] if rows else []  # type: ignore[arg-type]


class _Checked:
    """One plugin's changes, being checked."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.inserts: dict[Table, list[Mapping[str, Any]]] = defaultdict(list)
        self.puts: dict[Table, dict[tuple[Any, ...], Mapping[str, Any]]] = defaultdict(dict)
        self.deltas: dict[tuple[Table, tuple[Any, ...]], dict[str, int]] = {}
        self.floors: dict[tuple[Table, tuple[Any, ...]], dict[str, int]] = {}
        self.sets: dict[tuple[Table, tuple[Any, ...]], ChangedRow] = {}
        self.locked = _locked_rows(asked.known)
        self.own_items = frozenset(asked.item_ids)
        self.done: list[DoneFor] = []
        self.stated: set[tuple[str, str, str]] = set()
        self.tells: list[Tell] = []
        for change in asked.changes:
            self._take(change)
        self._check_once()
        self._check_effects()

    def into(self, made: Plan) -> None:
        """Add the sets to the plan."""
        made.writes += [InsertRows(table, rows) for table, rows in self.inserts.items()]
        for table, puts in self.puts.items():
            made.writes += [PutRows(table, rows) for rows in _by_columns(puts.values())]
        made.writes += self._adjustments() + self._changed()
        made.effects += [(self.asked.plugin, done) for done in self.done]
        made.tells += self.tells

    def _take(self, change: Change) -> None:
        match change:
            case Insert(table, row):
                self.inserts[self._own(table)].append(self._whole_row(self._own(table), row))
            case Adjust(table, key, deltas, at_least):
                self._adjust(self._own(table), key, deltas, at_least)
            case ChangeRow(table, key, expect, values):
                self._change(self._own(table), key, expect, values)
            case Put(table, key, values):
                owned = self._own(table)
                if table.upkeep is Upkeep.ADDED:
                    raise self._violation(f"it put a row of {owned.name}, whose rows are only added")
                self._put(owned, key, values)
            case DoneFor():
                self._effect(change)
            case Tell(topic, data):
                if not is_name(topic) or not topic or not is_storable(data):
                    raise self._violation("it told an event that is none")
                self.tells.append(change)
            case _:
                raise self._violation(f"it yielded {type(change).__name__}, which is no change")

    def _own(self, table: Any) -> Table:
        found = getattr(table, "__table__", None)
        if found is None or found not in self.asked.tables:
            raise self._violation(f"it touched {getattr(found, 'name', table)!s}, which is not a table of its own")
        return found  # type: ignore[no-any-return]

    def _columns(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        fits = fitting(table)
        if not _is(row, Mapping):
            raise self._violation(f"it gave {table.name} a {type(row).__name__} where columns and their values belong")
        for name, value in row.items():
            if name not in fits:
                unknown = [each for each in row if each not in fits]
                raise self._violation(f"it named {', '.join(map(str, unknown))}, which {table.name} does not have for it")
            if not fits[name](value):
                raise self._violation(f"it gave {table.name}.{name} a value of type {type(value).__name__} that does not fit")
        return dict(row)

    def _values(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        given = self._columns(table, values)
        if names := [name for name in given if name in _key_names(table)]:
            raise self._violation(f"it set {', '.join(names)} of {table.name}, by which the row is named")
        return given

    def _whole_row(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        given = self._columns(table, row)
        whole: dict[str, Any] = {}
        for name, default in _defaults(table).items():
            if name in given:
                whole[name] = given[name]
            elif default is None:
                raise self._violation(f"it left {table.name}.{name} out of a row")
            else:
                whole[name] = default()
        return whole

    def _key(self, table: Table, key: Key) -> tuple[Any, ...]:
        names = _key_names(table)
        named = {"id": key} if isinstance(key, str) else key
        if not _is(named, Mapping) or set(named) != set(names) or any(value is None for value in named.values()):
            raise self._violation(f"it named a row of {table.name} by {key!r}; its key is {', '.join(names)}")
        fit = self._columns(table, named)
        return tuple(fit[name] for name in names)

    def _locked(self, table: Table, key: tuple[Any, ...]) -> Any:
        try:
            return self.locked[table][key]
        except KeyError:
            shown = ", ".join(map(str, key))
            raise self._violation(f"it changed row {shown} of {table.name}, which no need of its own has locked in this clinic") from None

    def _adjust(self, table: Table, named: Key, deltas: Mapping[str, int], at_least: int | None) -> None:
        key = self._key(table, named)
        self._locked(table, key)
        self._values(table, deltas)
        if not deltas or not all(map(is_whole, deltas.values())) or not (at_least is None or is_whole(at_least)):
            raise self._violation(f"it adjusted {table.name} by what is not a whole number")
        summed = self.deltas.setdefault((table, key), {})
        floors = self.floors.setdefault((table, key), {})
        for name, delta in deltas.items():
            summed[name] = summed.get(name, 0) + delta
            if at_least is not None:
                floors[name] = max(floors.get(name, at_least), at_least)

    def _change(self, table: Table, named: Key, expect: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        key = self._key(table, named)
        self._locked(table, key)
        self._columns(table, expect)
        self._values(table, values)
        if not values:
            raise self._violation(f"it changed nothing in {table.name}")
        changed = ChangedRow(dict(zip(_key_names(table), key, strict=True)), dict(expect), dict(values))
        if self.sets.setdefault((table, key), changed) != changed:
            raise self._violation(f"it changed one row of {table.name} twice")

    def _put(self, table: Table, named: Key, values: Mapping[str, Any]) -> None:
        key = self._key(table, named)
        self.puts[table][key] = dict(zip(_key_names(table), key, strict=True)) | self._values(table, values)

    def _effect(self, done: DoneFor) -> None:
        if not _is(done.item_id, str) or done.item_id not in self.own_items:
            raise self._violation("it stated an effect for an item that is not its own here", item=done.item_id)
        named = is_name(done.kind) and is_name(done.row) and done.kind != ""
        if not named or not is_whole(done.quantity_milli) or not is_storable(done.data):
            raise self._violation("it stated an effect with a kind, row, quantity or data that can't be stored", item=done.item_id)
        if (place := (done.item_id, done.kind, done.row)) in self.stated:
            raise self._violation(f"it stated the effect {done.kind} of one row twice", item=done.item_id)
        self.stated.add(place)
        self.done.append(done)

    def _check_once(self) -> None:
        adjusted, changed = set(self.deltas), set(self.sets)
        put = {(table, key) for table, puts in self.puts.items() for key in puts}
        if twice := (adjusted & changed) | (adjusted & put) | (changed & put):
            table = next(iter(twice))[0]
            raise self._violation(f"it changed one row of {table.name} in two ways")

    def _check_effects(self) -> None:
        served = {done.item_id for done in self.done}
        if missing := [item for item in self.asked.item_ids if item in self.asked.needs_effect and item not in served]:
            raise self._violation("it left an item without an effect", item=missing[0])

    def _adjustments(self) -> list[Write]:
        groups: dict[tuple[Table, tuple[str, ...], tuple[str, ...]], list[AdjustedRow]] = defaultdict(list)
        for (table, key), deltas in self.deltas.items():
            floors = self.floors[table, key]
            row = self._locked(table, key)
            for name, floor in floors.items():
                here = getattr(row, name, None)
                if here is not None and here + deltas[name] < floor:
                    raise BelowFloor(
                        f"Not enough: {table.name} has {here} left, {-deltas[name]} are wanted.",
                        plugin=self.asked.plugin,
                        table=table.name,
                        left=here,
                        wanted=-deltas[name],
                    )
            adjusted = AdjustedRow(dict(zip(_key_names(table), key, strict=True)), deltas, floors)
            groups[table, tuple(sorted(deltas)), tuple(sorted(floors))].append(adjusted)
        return [
            AdjustRows(table, sorted(rows, key=lambda row: tuple(map(str, row.key.values())))) for (table, _, _), rows in groups.items()
        ]

    def _changed(self) -> list[Write]:
        groups: dict[tuple[Table, tuple[str, ...], tuple[str, ...]], list[ChangedRow]] = defaultdict(list)
        for (table, _), row in self.sets.items():
            groups[table, tuple(sorted(row.expect)), tuple(sorted(row.set))].append(row)
        return [ChangeRows(table, rows) for (table, _, _), rows in groups.items()]

    def _violation(self, reason: str, *, item: str | None = None) -> PluginViolation:
        return violation(self.asked.plugin, self.asked.hook, reason, items=[item] if item else self.asked.item_ids)


def violation(plugin: str, hook: str, reason: str, *, items: Collection[str] = ()) -> PluginViolation:
    """Return the error for a plugin that broke its contract, naming the item, or all the items that it acted for."""
    item = next(iter(items), None) if len(items) == 1 else None
    reason = reason if len(reason) <= 500 else f"{reason[:500]}..."
    at = f" (item {item})" if item else ""
    return PluginViolation(
        f"The plugin {plugin} broke its contract in {hook}{at}: {reason}. Nothing was booked; disable the plugin or ask its author.",
        plugin=plugin,
        hook=hook,
        reason=reason,
        item=item,
        items=tuple(items),
    )


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)


@cache
def _defaults(table: Table) -> dict[str, Callable[[], Any] | None]:
    """Return what fills a column that a row leaves out; None where nothing may."""

    def default(column: Any) -> Callable[[], Any] | None:
        if column.default is not None:
            return (lambda: column.default.arg) if column.default.is_scalar else (lambda: column.default.arg(None))
        return (lambda: None) if column.nullable else None

    return {column.name: default(column) for column in table.columns if column.name != "clinic_id"}


def _locked_rows(known: Known) -> dict[Table, dict[tuple[Any, ...], Any]]:
    found: dict[Table, dict[tuple[Any, ...], Any]] = defaultdict(dict)
    for need, rows in known.items():
        if need.lock is not None:
            table = need.lock.__table__
            names = _key_names(table)
            found[table].update({tuple(getattr(row, name) for name in names): row for row in rows})
    return found


@cache
def _key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns if column.name != "clinic_id"]


def _by_columns(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(sorted(row))].append({name: row[name] for name in sorted(row)})
    return list(groups.values())
