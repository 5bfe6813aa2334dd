"""The one statement that writes a unit's rows on PostgreSQL: its text by the shape of what is asked, its parameters by the values.

The text depends on the shape alone (tables, columns, where numbers stand), so it is composed once for each shape and prepared by the carrier;
after that a unit only draws its parameters.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from billing.changes.arrays import array_literals, column_types, scalar
from billing.changes.entries import content_of, entry_row
from billing.model import AuditEntry
from billing.model.writes import (
    AddRows,
    AdjustedRow,
    AdjustRows,
    AuditRow,
    ChangedRow,
    ChangeRows,
    InsertRows,
    Number,
    NumberText,
    NumberValue,
    PutRows,
    Write,
)
from billing.trips import Call, Prepared

_ENTRY: Table = AuditEntry.__table__  # type: ignore[assignment]
_MOST_SHAPES = 1000


class Asked:
    """What one statement writes, and the numbers that stand in it, each once, in the order in which they are met."""

    def __init__(self, clinic_id: str, writes: Sequence[Write], audit: Sequence[AuditRow]) -> None:
        self.clinic_id = clinic_id
        self.writes = writes
        self.audit = audit
        self.numbers: dict[Number, int] = {}
        self.shape = (
            tuple([self._shape(write) for write in writes]),
            tuple([-1 if entry.number is None else self._place(entry.number) for entry in audit]),
            tuple([(number.value is not None, number.digits) for number in self.numbers]),
        )

    def learn(self, answer: Sequence[Any]) -> None:
        """Give the numbers that the statement has taken their values."""
        untaken = [number for number in self.numbers if number.value is None]
        for number, value in zip(untaken, answer, strict=False):
            number.value = int(value)

    def number(self, place: int) -> Number:
        """Return the number met as the `place`th."""
        return list(self.numbers)[place]

    def _place(self, number: Number) -> int:
        return self.numbers.setdefault(number, len(self.numbers))

    def _shape(self, write: Write) -> tuple[Any, ...]:
        match write:
            case InsertRows(table, rows) | PutRows(table, rows) | AddRows(table, rows):
                return type(write), table.name, tuple(rows[0]), self._numbered(rows)
            case AdjustRows(table, rows=adjusted):
                return AdjustRows, table.name, tuple(adjusted[0].key), tuple(adjusted[0].deltas), tuple(adjusted[0].at_least)
            case ChangeRows(table, rows=changed):
                first = changed[0]
                numbered = self._numbered([each.set for each in changed])
                return ChangeRows, table.name, tuple(first.key), tuple(first.expect), tuple(first.set), numbered
        raise AssertionError("deletions go before the statement")

    def _numbered(self, rows: Sequence[Any]) -> tuple[tuple[str, type, int], ...]:
        found = [
            (name, type(value), self._place(value.number))
            for name, value in rows[0].items()
            if isinstance(value, (NumberText, NumberValue))
        ]
        assert not found or len(rows) == 1, "each document has a number of its own, so its row is written alone"
        return tuple(found)


Draw = Callable[[Asked], Sequence[Any]]
"""Draws some of a statement's parameters, in their order, from what is asked."""


@dataclass(frozen=True, slots=True)
class Composed:
    """The statement of a shape, and how its parameters are drawn from what is asked."""

    prepared: Prepared
    draws: Sequence[Draw]

    def call(self, asked: Asked) -> Call:
        """Return the statement with its parameters."""
        values: list[Any] = []
        for draw in self.draws:
            values += draw(asked)
        return self.prepared, tuple(values)


_COMPOSED: dict[Any, Composed] = {}


def compose(asked: Asked) -> Composed:
    """Return the statement for this shape, composed once."""
    found = _COMPOSED.get(asked.shape)
    if found is None:
        made = _Composition(asked)
        found = made.composed()
        if len(_COMPOSED) < _MOST_SHAPES:
            _COMPOSED[asked.shape] = found
    return found


@dataclass(slots=True)
class _Composition:
    """One statement in the making: its CTEs, its parameters, and what it guards. Looks at the shape of what is asked, never at a value."""

    asked: Asked
    draws: list[Draw] = field(default_factory=list)
    marks: int = 0
    parts: list[str] = field(default_factory=list)
    guards: list[str] = field(default_factory=list)
    taken: dict[int, str] = field(default_factory=dict)

    def composed(self) -> Composed:
        """Return the statement: it answers with the numbers taken, in their order, then the guards."""
        self._mark(lambda asked: asked.clinic_id)
        for place, write in enumerate(self.asked.writes):
            self._add(place, write)
        self._append()
        numbers = [f"(SELECT value FROM {self.taken[place]})" for place in sorted(self.taken)]
        head = f"WITH {', '.join(self.parts)} " if self.parts else ""
        return Composed(Prepared(f"{head}SELECT {', '.join([*numbers, *self.guards]) or '1'}"), self.draws)

    def _mark(self, draw: Callable[[Asked], Any]) -> str:
        """Return the mark of one parameter."""
        return self._marks(1, lambda asked: (draw(asked),))[0]

    def _marks(self, count: int, draw: Draw) -> list[str]:
        """Return the marks of parameters that are drawn together."""
        self.draws.append(draw)
        first = self.marks + 1
        self.marks += count
        return [f"${place}" for place in range(first, first + count)]

    def _add(self, place: int, write: Write) -> None:
        match write:
            case InsertRows(table, rows):
                self._insert(place, table, rows[0], "")
            case PutRows(table, rows):
                key = [column.name for column in table.primary_key.columns]
                over = ", ".join(f"{name} = excluded.{name}" for name in rows[0] if name not in key)
                conflict = f" ON CONFLICT ({', '.join(key)}) " + (f"DO UPDATE SET {over}" if over else "DO NOTHING")
                self._insert(place, table, rows[0], conflict)
            case AddRows(table, rows):
                key = [column.name for column in table.primary_key.columns]
                more = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in rows[0] if name not in key)
                self._insert(place, table, rows[0], f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {more}")
            case AdjustRows(table, rows=adjusted):
                self._adjust(place, table, adjusted[0])
            case ChangeRows(table, rows=changed):
                self._change(place, table, changed[0])

    def _insert(self, place: int, table: Table, row: Any, conflict: str) -> None:
        names = list(row)
        into = f"INSERT INTO {table.name} AS t ({', '.join(['clinic_id', *names])})"
        numbered = [value for value in row.values() if isinstance(value, (NumberText, NumberValue))]
        if numbered:
            shown = self._scalars(place, table, row)
            froms = self._froms(value.number for value in numbered)
            source = f" FROM {', '.join(froms)}" if froms else ""
            self._part(f"{into} SELECT {', '.join(['$1::uuid', *shown])}{source}{conflict}")
        else:
            source = self._arrays(table, [("", names, _rows_of(place))])
            self._part(f"{into} SELECT {', '.join(['$1::uuid', *(f'u.{name}' for name in names)])} FROM {source}{conflict}")

    def _adjust(self, place: int, table: Table, first: AdjustedRow) -> None:
        source = self._arrays(
            table,
            [
                ("", list(first.key), _part_of(place, "key")),
                ("d_", list(first.deltas), _part_of(place, "deltas")),
                ("f_", list(first.at_least), _part_of(place, "at_least")),
            ],
        )
        sets = ", ".join(f"{name} = t.{name} + u.d_{name}" for name in first.deltas)
        conditions = [f"t.{name} = u.{name}" for name in first.key]
        conditions += [f"t.{name} + u.d_{name} >= u.f_{name}" for name in first.at_least]
        self._update(place, table, sets, source, conditions)

    def _change(self, place: int, table: Table, first: ChangedRow) -> None:
        numbered = {name: value for name, value in first.set.items() if isinstance(value, (NumberText, NumberValue))}
        plain = [name for name in first.set if name not in numbered]
        source = self._arrays(
            table,
            [
                ("", list(first.key), _part_of(place, "key")),
                ("e_", list(first.expect), _part_of(place, "expect")),
                ("s_", plain, _part_of(place, "set")),
            ],
        )
        assigned = [f"{name} = u.s_{name}" for name in plain]
        assigned += [f"{name} = {self._number(value)}" for name, value in numbered.items()]
        conditions = [f"t.{name} = u.{name}" for name in first.key]
        conditions += [f"t.{name} IS NOT DISTINCT FROM u.e_{name}" for name in first.expect]
        froms = self._froms(value.number for value in numbered.values())
        self._update(place, table, ", ".join(assigned), ", ".join([source, *froms]), conditions)

    def _update(self, place: int, table: Table, sets: str, source: str, conditions: Sequence[str]) -> None:
        where = " AND ".join(["t.clinic_id = $1::uuid", *conditions])
        name = self._part(f"UPDATE {table.name} AS t SET {sets} FROM {source} WHERE {where}")
        self._guard(name, table.name, lambda asked: len(_rows_of(place)(asked)))

    def _arrays(self, table: Table, columns: Sequence[tuple[str, Sequence[str], Callable[[Asked], Sequence[Any]]]]) -> str:
        """Return `unnest(...) AS u(names)` over one array for each column: prefix of the names, names, and the rows that they are drawn from."""
        types = column_types(table)
        parts, names = [], []
        for prefix, own, drawn in columns:
            if not own:
                continue
            literals = array_literals(table, tuple(own))
            marks = self._marks(len(own), lambda asked, drawn=drawn, literals=literals: literals(drawn(asked)))  # type: ignore[misc]
            parts += [f"{mark}::{types[name]}[]" for mark, name in zip(marks, own, strict=True)]
            names += [f"{prefix}{name}" for name in own]
        return f"unnest({', '.join(parts)}) AS u({', '.join(names)})"

    def _scalars(self, place: int, table: Table, row: Any) -> list[str]:
        """Return the values of the one row that has a number of its own."""
        types = column_types(table)
        plain = [name for name, value in row.items() if not isinstance(value, (NumberText, NumberValue))]

        def draw(asked: Asked) -> list[Any]:
            own = _rows_of(place)(asked)[0]
            return [scalar(table, name, own[name]) for name in plain]

        marks = dict(zip(plain, self._marks(len(plain), draw), strict=True))
        return [f"{marks[name]}::{types[name]}" if name in marks else self._number(value) for name, value in row.items()]

    def _part(self, text: str) -> str:
        name = f"w{len(self.parts)}"
        self.parts.append(f"{name} AS ({text} RETURNING 1)")
        return name

    def _guard(self, part: str, table: str, expected: Callable[[Asked], int]) -> None:
        count = f"(SELECT count(*) FROM {part})"
        wanted = f"{self._mark(expected)}::bigint"
        short = f"'short:{table}:' || {count} || '/' || {wanted}"
        self.guards.append(f"CAST(CASE WHEN {count} = {wanted} THEN '0' ELSE {short} END AS bigint)")

    def _number(self, shown: NumberText | NumberValue) -> str:
        value = self._value(shown.number)
        if isinstance(shown, NumberValue):
            return value
        place, digits = self.asked.numbers[shown.number], shown.number.digits
        prefix = self._mark(lambda asked: asked.number(place).prefix)
        suffix = self._mark(lambda asked: asked.number(place).suffix)
        return f"{prefix}::text || lpad(({value})::text, greatest({digits}, length(({value})::text)), '0') || {suffix}::text"

    def _value(self, number: Number) -> str:
        """Return the number's value as SQL: taken by this very statement, or by one that the unit has sent before."""
        place = self.asked.numbers[number]
        if number.value is not None:
            return f"{self._mark(lambda asked: asked.number(place).value)}::bigint"
        if place not in self.taken:
            name = self.taken[place] = f"n{place}"
            series, period, start = self._marks(3, lambda asked: _counter_of(asked.number(place)))
            self.parts.append(
                f"{name} AS (INSERT INTO number_counter AS c (clinic_id, series, period, latest_value) "
                f"VALUES ($1::uuid, {series}::text, {period}::text, {start}::bigint) "
                "ON CONFLICT (clinic_id, series, period) DO UPDATE SET latest_value = c.latest_value + 1 RETURNING latest_value AS value)"
            )
        return f"{self.taken[place]}.value"

    def _froms(self, numbers: Iterable[Number]) -> list[str]:
        """Return the CTEs that take these numbers; none for those that were taken before."""
        return sorted({self._value(number).removesuffix(".value") for number in numbers if number.value is None})

    def _append(self) -> None:
        """Chain audit entries: the head moves on by all of them at once, the entries are computed from where it stood."""
        audit = self.asked.audit
        if not audit:
            return
        froms = self._froms(entry.number for entry in audit if entry.number)
        contents = [f"{mark}::bytea" for mark in self._marks(len(audit), _contents)]
        digits = [f" || ({self._value(entry.number)})::text::bytea" if entry.number else "" for entry in audit]

        def links(start: str) -> list[str]:
            found = [start]
            for content, number in zip(contents, digits, strict=True):
                found.append(f"encode(sha256(({found[-1]})::bytea || {content}{number}), 'hex')")
            return found

        at_head = links("t.hash")
        joined = f" FROM {', '.join(froms)}" if froms else ""
        day = self._mark(lambda asked: asked.audit[0].business_date.isoformat())
        self.parts.append(
            f"head AS (UPDATE audit_head AS t SET position = t.position + {len(audit)}, previous_hash = t.hash, hash = {at_head[-1]}{joined} "
            f"WHERE t.clinic_id = $1::uuid AND (t.closed_through IS NULL OR t.closed_through < {day}::date) "
            f"RETURNING t.position - {len(audit)} AS base, t.previous_hash AS hash)"
        )
        hashes, types = links("head.hash"), column_types(_ENTRY)
        names = list(entry_row(audit[0]))
        rows = []
        for place, entry in enumerate(audit):
            marks = self._marks(len(names), _entry_cells(place))
            known = [f"{mark}::{types[name]}" for mark, name in zip(marks, names, strict=True)]
            number = self._value(entry.number) if entry.number else "NULL::bigint"
            places = [f"head.base + {place + 1}", *known, number, hashes[place], hashes[place + 1]]
            rows.append(f"SELECT $1::uuid, {', '.join(places)} FROM {', '.join(['head', *froms])}")
        columns = ["clinic_id", "position", *names, "number_value", "previous_hash", "hash"]
        self.parts.append(f"entries AS (INSERT INTO audit_entry ({', '.join(columns)}) {' UNION ALL '.join(rows)} RETURNING 1)")
        self._guard("entries", "audit_entry", lambda asked: len(asked.audit))


def _rows_of(place: int) -> Callable[[Asked], Sequence[Any]]:
    return lambda asked: asked.writes[place].rows  # type: ignore[union-attr]


def _part_of(place: int, part: str) -> Callable[[Asked], Sequence[Any]]:
    return lambda asked: [getattr(row, part) for row in asked.writes[place].rows]  # type: ignore[union-attr]


def _counter_of(number: Number) -> tuple[str, str, int]:
    return number.series, number.period, number.start_value


def _contents(asked: Asked) -> list[str]:
    return [f"\\x{content_of(asked.clinic_id, entry).hex()}" for entry in asked.audit]


def _entry_cells(place: int) -> Draw:
    return lambda asked: [scalar(_ENTRY, name, value) for name, value in entry_row(asked.audit[place]).items()]
