"""Carries writes out on PostgreSQL: all of them as one statement of data-modifying CTEs over arrays, whose text does not depend on the rows.

Every UPDATE carries its expected count: a cast of a text that depends on the count fails the statement with 22P02 where rows are missing.
The document number and the end of the audit chain are taken by the same statement, so those two rows are held only until COMMIT.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.changes.entries import content_of, entry_row
from billing.changes.order import in_order
from billing.model import AuditEntry
from billing.model.types import canonical_json
from billing.model.writes import (
    AdjustRows,
    AuditRow,
    ChangeRows,
    DeleteRows,
    InsertRows,
    Number,
    NumberText,
    NumberValue,
    PutRows,
    Write,
)
from billing.trips import DIALECTS, Call, Prepared, Trips

_DIALECT = DIALECTS["postgresql"]
_ENTRY: Table = AuditEntry.__table__  # type: ignore[assignment]
_CHAIN_LIMIT = 8
"""Entries chained by one statement: the hash of each is written out inside the next one's."""


def carry_out(trips: Trips, clinic_id: str, writes: Sequence[Write], audit: Sequence[AuditRow]) -> None:
    """Write everything in one round trip (and one more for every eight further audit entries). Driver errors are the boundary's to explain."""
    deletes = [write for write in writes if isinstance(write, DeleteRows)]
    composed = _Composition(clinic_id)
    for write in in_order(writes):  # a cluster runs the parts of the statement one after another, and checks references after each
        composed.add(write)
    composed.append(audit[:_CHAIN_LIMIT])
    calls = [_delete(clinic_id, write) for write in deletes]
    calls.append(composed.call())
    composed.learn(trips.trip(calls)[len(deletes)][0])
    for start in range(_CHAIN_LIMIT, len(audit), _CHAIN_LIMIT):
        more = _Composition(clinic_id)
        more.append(audit[start : start + _CHAIN_LIMIT])
        trips.trip([more.call()])


def _delete(clinic_id: str, write: DeleteRows) -> Call:
    # On its own: the order of CTEs in one statement is not promised, and new rows may take the place of the old ones.
    composed = _Composition(clinic_id)
    names = list(write.keys[0])
    source = composed.arrays(write.table, names, write.keys)
    same = " AND ".join(f"t.{name} = u.{name}" for name in names)
    text = f"DELETE FROM {write.table.name} AS t USING {source} WHERE t.clinic_id = {composed.clinic} AND {same}"
    return Prepared(text), tuple(composed.values)


class _Composition:
    """One statement in the making: its CTEs, its parameters, what it guards and which numbers it takes."""

    def __init__(self, clinic_id: str) -> None:
        self.values: list[Any] = []
        self._parts: list[str] = []
        self._guards: list[str] = []
        self._numbers: dict[Number, str] = {}
        self._clinic_id = clinic_id
        self.clinic = f"{self._mark(clinic_id)}::uuid"

    def add(self, write: Write) -> None:
        """Add a set of rows."""
        match write:
            case InsertRows(table, rows):
                self._insert(table, rows, "")
            case PutRows(table, rows):
                key = [column.name for column in table.primary_key.columns]
                over = ", ".join(f"{name} = excluded.{name}" for name in rows[0] if name not in key)
                self._insert(table, rows, f" ON CONFLICT ({', '.join(key)}) " + (f"DO UPDATE SET {over}" if over else "DO NOTHING"))
            case AdjustRows(table, rows=adjusted):
                self._adjust(table, [(each.key, each.deltas, each.at_least) for each in adjusted])
            case ChangeRows(table, rows=changed):
                self._change(table, [(each.key, each.expect, each.set) for each in changed])
            case DeleteRows():
                pass  # sent before this statement

    def append(self, audit: Sequence[AuditRow]) -> None:
        """Chain audit entries: the head moves on by all of them at once, the entries are computed from where it stood."""
        if not audit:
            return
        froms = self._taken(entry.number for entry in audit if entry.number)
        contents = [self._mark(f"\\x{content_of(self._clinic_id, entry).hex()}") + "::bytea" for entry in audit]
        digits = [f" || ({self._value(entry.number)})::text::bytea" if entry.number else "" for entry in audit]

        def links(start: str) -> list[str]:
            found = [start]
            for content, number in zip(contents, digits, strict=True):
                found.append(f"encode(sha256(({found[-1]})::bytea || {content}{number}), 'hex')")
            return found

        at_head = links("t.hash")
        joined = f" FROM {', '.join(froms)}" if froms else ""
        self._parts.append(
            f"head AS (UPDATE audit_head AS t SET position = t.position + {len(audit)}, previous_hash = t.hash, hash = {at_head[-1]}{joined} "
            f"WHERE t.clinic_id = {self.clinic} RETURNING t.position - {len(audit)} AS base, t.previous_hash AS hash)"
        )
        hashes = links("head.hash")
        rows = []
        for place, entry in enumerate(audit):
            known = [self._scalar(_ENTRY, name, value) for name, value in entry_row(entry).items()]
            number = self._value(entry.number) if entry.number else "NULL::bigint"
            places = [f"head.base + {place + 1}", *known, number, hashes[place], hashes[place + 1]]
            rows.append(f"SELECT {self.clinic}, {', '.join(places)} FROM {', '.join(['head', *froms])}")
        columns = ["clinic_id", "position", *entry_row(audit[0]), "number_value", "previous_hash", "hash"]
        self._parts.append(f"entries AS (INSERT INTO audit_entry ({', '.join(columns)}) {' UNION ALL '.join(rows)} RETURNING 1)")
        self._guard("entries", "audit_entry", len(audit))

    def call(self) -> Call:
        """Return the statement: it answers with the numbers taken, then the guards."""
        outputs = [f"(SELECT value FROM {name})" for name in self._numbers.values()] + self._guards
        head = f"WITH {', '.join(self._parts)} " if self._parts else ""
        return Prepared(f"{head}SELECT {', '.join(outputs) or '1'}"), tuple(self.values)

    def learn(self, answer: Sequence[Any]) -> None:
        """Give the numbers their values."""
        for number, value in zip(self._numbers, answer, strict=False):
            number.value = int(value)

    def arrays(self, table: Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]], alias: str = "u") -> str:
        """Return `unnest(...) AS u(names)` over one array for each column."""
        types = _types(table)
        parts = [f"{self._mark(_array(table, name, [row[name] for row in rows]))}::{types[name]}[]" for name in names]
        return f"unnest({', '.join(parts)}) AS {alias}({', '.join(names)})"

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]], conflict: str) -> None:
        names = list(rows[0])
        into = f"INSERT INTO {table.name} ({', '.join(['clinic_id', *names])})"
        if _takes_numbers(rows[0].values()):
            assert len(rows) == 1, "each document has a number of its own, so its row is written alone"
            shown = [self._scalar(table, name, rows[0][name]) for name in names]
            froms = self._taken(each.number for each in rows[0].values() if isinstance(each, (NumberText, NumberValue)))
            source = f" FROM {', '.join(froms)}" if froms else ""
            self._part(f"{into} SELECT {', '.join([self.clinic, *shown])}{source}{conflict}")
        else:
            source = self.arrays(table, names, rows)
            self._part(f"{into} SELECT {', '.join([self.clinic, *(f'u.{name}' for name in names)])} FROM {source}{conflict}")

    def _adjust(self, table: Table, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, int], Mapping[str, int]]]) -> None:
        keys, deltas, floors = (list(part) for part in rows[0])
        named = [
            {name: key[name] for name in keys}
            | {f"d_{name}": delta[name] for name in deltas}
            | {f"f_{name}": floor[name] for name in floors}
            for key, delta, floor in rows
        ]
        source = self._renamed(
            table, [(name, name) for name in keys] + [(f"d_{n}", n) for n in deltas] + [(f"f_{n}", n) for n in floors], named
        )
        sets = ", ".join(f"{name} = t.{name} + u.d_{name}" for name in deltas)
        conditions = [f"t.{name} = u.{name}" for name in keys] + [f"t.{name} + u.d_{name} >= u.f_{name}" for name in floors]
        self._update(table, sets, source, conditions, len(rows))

    def _change(self, table: Table, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]]) -> None:
        keys, expects, sets = (list(part) for part in rows[0])
        numbered = {name: value for name, value in rows[0][2].items() if isinstance(value, (NumberText, NumberValue))}
        assert not numbered or len(rows) == 1, "each document has a number of its own, so its row is written alone"
        plain = [name for name in sets if name not in numbered]
        named = [
            {name: key[name] for name in keys}
            | {f"e_{name}": expect[name] for name in expects}
            | {f"s_{name}": put[name] for name in plain}
            for key, expect, put in rows
        ]
        source = self._renamed(
            table, [(name, name) for name in keys] + [(f"e_{n}", n) for n in expects] + [(f"s_{n}", n) for n in plain], named
        )
        assigned = [f"{name} = u.s_{name}" for name in plain] + [
            f"{name} = {self._scalar(table, name, value)}" for name, value in numbered.items()
        ]
        froms = self._taken(value.number for value in numbered.values())
        conditions = [f"t.{name} = u.{name}" for name in keys] + [f"t.{name} IS NOT DISTINCT FROM u.e_{name}" for name in expects]
        self._update(table, ", ".join(assigned), ", ".join([source, *froms]), conditions, len(rows))

    def _update(self, table: Table, sets: str, source: str, conditions: Sequence[str], expected: int) -> None:
        where = " AND ".join([f"t.clinic_id = {self.clinic}", *conditions])
        name = self._part(f"UPDATE {table.name} AS t SET {sets} FROM {source} WHERE {where}")
        self._guard(name, table.name, expected)

    def _renamed(self, table: Table, columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> str:
        types = _types(table)
        parts = [f"{self._mark(_array(table, column, [row[name] for row in rows]))}::{types[column]}[]" for name, column in columns]
        return f"unnest({', '.join(parts)}) AS u({', '.join(name for name, _ in columns)})"

    def _part(self, text: str) -> str:
        name = f"w{len(self._parts)}"
        self._parts.append(f"{name} AS ({text} RETURNING 1)")
        return name

    def _guard(self, part: str, table: str, expected: int) -> None:
        count = f"(SELECT count(*) FROM {part})"
        wanted = f"{self._mark(str(expected))}::bigint"
        short = f"'short:{table}:' || {count} || '/' || {wanted}"
        self._guards.append(f"CAST(CASE WHEN {count} = {wanted} THEN '0' ELSE {short} END AS bigint)")

    def _value(self, number: Number) -> str:
        """Return the number's value as SQL: taken by this very statement, or by one that the unit has sent before."""
        if number.value is not None:
            return f"{self._mark(str(number.value))}::bigint"
        if number not in self._numbers:
            name = self._numbers[number] = f"n{len(self._numbers)}"
            start = f"{self._mark(str(number.start_value))}::bigint"
            row = f"{self.clinic}, {self._mark(number.series)}::text, {self._mark(number.period)}::text, {start}"
            self._parts.append(
                f"{name} AS (INSERT INTO number_counter AS c (clinic_id, series, period, latest_value) VALUES ({row}) "
                "ON CONFLICT (clinic_id, series, period) DO UPDATE SET latest_value = c.latest_value + 1 RETURNING latest_value AS value)"
            )
        return f"{self._numbers[number]}.value"

    def _taken(self, numbers: Iterable[Number]) -> list[str]:
        """Return the CTEs that take these numbers; none for those that were taken before."""
        return sorted({self._value(number).removesuffix(".value") for number in numbers if number.value is None})

    def _scalar(self, table: Table, name: str, value: Any) -> str:
        if isinstance(value, NumberValue):
            return self._value(value.number)
        if isinstance(value, NumberText):
            shown, number = f"({self._value(value.number)})::text", value.number
            padded = f"lpad({shown}, greatest({number.digits}, length({shown})), '0')"
            return f"{self._mark(number.prefix)}::text || {padded} || {self._mark(number.suffix)}::text"
        return f"{self._mark(_text(_encode(table, name, value)))}::{_types(table)[name]}"

    def _mark(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def _takes_numbers(values: Any) -> bool:
    return any(isinstance(value, (NumberText, NumberValue)) for value in values)


@cache
def _types(table: Table) -> dict[str, str]:
    return {column.name: column.type.compile(_DIALECT) for column in table.columns}


@cache
def _encoders(table: Table) -> dict[str, Any]:
    # Only JSON has an encoding of its own; everything else is written as PostgreSQL reads it.
    return {column.name: canonical_json if type(column.type).__name__ == "JsonType" else None for column in table.columns}


def _encode(table: Table, name: str, value: Any) -> Any:
    encoder = _encoders(table)[name]
    return value if encoder is None or value is None else encoder(value)


def _array(table: Table, name: str, values: Sequence[Any]) -> str:
    encoder = _encoders(table)[name]
    shown = values if encoder is None else [None if value is None else encoder(value) for value in values]
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in shown]) + "}"


def _quoted(value: Any) -> str:
    if type(value) is str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _text(value) or "NULL"


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant must be aware: give it a time zone")
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
