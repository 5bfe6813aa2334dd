"""Carries writes out on SQLite: row by row on the driver, in the order of the foreign keys. There is no trip to save in the same process."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.changes.entries import content_of, entry_row
from billing.changes.failures import RowChanged, explain, row_changed
from billing.changes.order import in_order
from billing.failpoints import failpoint
from billing.model import AuditEntry, AuditHead, NumberCounter
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
from billing.rules import chain
from billing.trips import DIALECTS

_DIALECT = DIALECTS["sqlite"]
_ENTRY: Table = AuditEntry.__table__  # type: ignore[assignment]
_HEAD: Table = AuditHead.__table__  # type: ignore[assignment]


def carry_out(driver: Any, clinic_id: str, writes: Sequence[Write], audit: Sequence[AuditRow], plugins: frozenset[str]) -> None:
    """Write everything. Raises `RowChanged` where a row is not as expected, else what `failures.explain` makes of the driver's refusal."""
    for write in in_order(writes):
        failpoint("write.table", write.table.name)
        try:
            _carry_out_one(driver, clinic_id, write)
        except (driver.Error, OverflowError) as error:
            raise explain(error, table=write.table.name, plugins=plugins) from error
        except RowChanged as error:
            raise row_changed(write.table.name, plugins) from error
    if audit:
        failpoint("write.table", _ENTRY.name)
        _append(driver, clinic_id, audit)


def _carry_out_one(driver: Any, clinic_id: str, write: Write) -> None:
    match write:
        case InsertRows(table, rows):
            _insert(driver, clinic_id, table, rows)
        case PutRows(table, rows):
            _put(driver, clinic_id, table, rows)
        case AdjustRows(table, rows=adjusted):
            for row in adjusted:
                floors = {f"{name} + ? >= ?": (row.deltas[name], floor) for name, floor in row.at_least.items()}
                moved = {name: f"{name} + ?" for name in row.deltas}
                _update(driver, clinic_id, table, moved, list(row.deltas.values()), row.key, floors)
        case ChangeRows(table, rows=changed):
            for each in changed:
                expected = {f"{name} IS ?": (_value(table, name, value),) for name, value in each.expect.items()}
                values = [_value(table, name, _number(driver, clinic_id, value)) for name, value in each.set.items()]
                _update(driver, clinic_id, table, dict.fromkeys(each.set, "?"), values, each.key, expected)
        case DeleteRows(table, keys):
            for key in keys:
                where = " AND ".join(f"{name} = ?" for name in ("clinic_id", *key))
                driver.execute(f"DELETE FROM {table.name} WHERE {where}", (clinic_id, *key.values()))


def _insert(driver: Any, clinic_id: str, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    marks = ", ".join("?" for _ in range(len(names) + 1))
    text = f"INSERT INTO {table.name} ({', '.join(['clinic_id', *names])}) VALUES ({marks})"
    driver.executemany(text, [(clinic_id, *(_value(table, name, _number(driver, clinic_id, row[name])) for name in names)) for row in rows])


def _put(driver: Any, clinic_id: str, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    key = [column.name for column in table.primary_key.columns]
    marks = ", ".join("?" for _ in range(len(names) + 1))
    over = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    action = f"DO UPDATE SET {over}" if over else "DO NOTHING"
    text = f"INSERT INTO {table.name} ({', '.join(['clinic_id', *names])}) VALUES ({marks}) ON CONFLICT ({', '.join(key)}) {action}"
    driver.executemany(text, [(clinic_id, *(_value(table, name, row[name]) for name in names)) for row in rows])


def _update(
    driver: Any,
    clinic_id: str,
    table: Table,
    sets: Mapping[str, str],
    values: Sequence[Any],
    key: Mapping[str, Any],
    conditions: Mapping[str, tuple[Any, ...]],
) -> None:
    assigned = ", ".join(f"{name} = {text}" for name, text in sets.items())
    where = " AND ".join(["clinic_id = ?", *(f"{name} = ?" for name in key), *conditions])
    extra = [value for group in conditions.values() for value in group]
    key_values = [_value(table, name, value) for name, value in key.items()]
    text = f"UPDATE {table.name} SET {assigned} WHERE {where}"
    if driver.execute(text, (*values, clinic_id, *key_values, *extra)).rowcount != 1:
        raise RowChanged(f"a row of {table.name} is not as expected", table=table.name)


def _number(driver: Any, clinic_id: str, value: Any) -> Any:
    if not isinstance(value, (NumberValue, NumberText)):
        return value
    number = value.number
    if number.value is None:
        number.value = _take(driver, clinic_id, number)
        failpoint("write.number")
    return number.value if isinstance(value, NumberValue) else number.text


def _take(driver: Any, clinic_id: str, number: Number) -> int:
    text = (
        f"INSERT INTO {NumberCounter.__tablename__} (clinic_id, series, period, latest_value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (clinic_id, series, period) DO UPDATE SET latest_value = latest_value + 1 RETURNING latest_value"
    )
    return int(driver.execute(text, (clinic_id, number.series, number.period, number.start_value)).fetchall()[0][0])


def _append(driver: Any, clinic_id: str, audit: Sequence[AuditRow]) -> None:
    head = driver.execute("SELECT position, hash FROM audit_head WHERE clinic_id = ?", (clinic_id,)).fetchone()
    position, previous, latest = head[0], head[1], head[1]
    rows = []
    for entry in audit:
        previous = latest
        number = _number(driver, clinic_id, NumberValue(entry.number)) if entry.number else None
        latest = chain.link(previous, content_of(clinic_id, entry), number)
        position += 1
        rows.append(entry_row(entry) | {"position": position, "number_value": number, "previous_hash": previous, "hash": latest})
    _insert(driver, clinic_id, _ENTRY, rows)
    _update(driver, clinic_id, _HEAD, dict.fromkeys(("position", "hash", "previous_hash"), "?"), [position, latest, head[1]], {}, {})


@cache
def _encoders(table: Table) -> dict[str, Any]:
    return {column.name: column.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for column in table.columns}


def _value(table: Table, name: str, value: Any) -> Any:
    encoder = _encoders(table)[name]
    return value if encoder is None else encoder(value)
