"""Carries writes out on SQLite: row by row on the driver, in the order of the foreign keys. There is no trip to save in the same process."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table

from billing.changes.entries import content_of, entry_row
from billing.changes.failures import RowChanged, explain, row_changed
from billing.changes.order import in_order
from billing.failpoints import failpoint
from billing.model import AuditEntry, AuditHead, NumberCounter
from billing.model.writes import (
    AddRows,
    AdjustedRow,
    AdjustRows,
    AuditRow,
    ChangedRow,
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
        try:
            _append(driver, clinic_id, audit)
        except RowChanged as error:
            raise row_changed(_ENTRY.name, plugins) from error


def _carry_out_one(driver: Any, clinic_id: str, write: Write) -> None:
    match write:
        case InsertRows(table, rows):
            _insert(driver, clinic_id, table, rows)
        case PutRows(table, rows) | AddRows(table, rows):
            text, encode = _inserting(
                table, tuple(rows[0]), over="{0} = excluded.{0}" if isinstance(write, PutRows) else "{0} = {0} + excluded.{0}"
            )
            driver.executemany(text, [(clinic_id, *encode(row)) for row in rows])
        case AdjustRows(table, rows=adjusted):
            _adjust(driver, clinic_id, table, adjusted)
        case ChangeRows(table, rows=changed):
            _change(driver, clinic_id, table, changed)
        case DeleteRows(table, keys):
            where = " AND ".join(f"{name} = ?" for name in ("clinic_id", *keys[0]))
            driver.executemany(f"DELETE FROM {table.name} WHERE {where}", [(clinic_id, *(key[name] for name in keys[0])) for key in keys])


def _insert(driver: Any, clinic_id: str, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    text, encode = _inserting(table, tuple(rows[0]))
    driver.executemany(text, [(clinic_id, *encode(row)) for row in _numbered(driver, clinic_id, rows)])


def _adjust(driver: Any, clinic_id: str, table: Table, rows: Sequence[AdjustedRow]) -> None:
    key, deltas, floors = (tuple(part) for part in (rows[0].key, rows[0].deltas, rows[0].at_least))
    text, encode_key = _adjusting(table, key, deltas, floors), _encoder(table, key)
    for row in rows:
        moved = [row.deltas[name] for name in deltas]
        kept = [each for name in floors for each in (row.deltas[name], row.at_least[name])]
        _change_one(driver, table, text, (*moved, clinic_id, *encode_key(row.key), *kept))


def _change(driver: Any, clinic_id: str, table: Table, rows: Sequence[ChangedRow]) -> None:
    key, expect, names = (tuple(part) for part in (rows[0].key, rows[0].expect, rows[0].set))
    text = _changing(table, key, expect, names)
    encode_key, encode_expect, encode_set = (_encoder(table, each) for each in (key, expect, names))
    for row, (values,) in zip(rows, (_numbered(driver, clinic_id, [each.set]) for each in rows), strict=True):
        _change_one(driver, table, text, (*encode_set(values), clinic_id, *encode_key(row.key), *encode_expect(row.expect)))


def _change_one(driver: Any, table: Table, text: str, values: tuple[Any, ...]) -> None:
    if driver.execute(text, values).rowcount != 1:
        raise RowChanged(f"a row of {table.name} is not as expected", table=table.name)


Encode = Callable[[Mapping[str, Any]], list[Any]]
"""Takes some columns out of a row, as the driver wants them."""


@cache
def _encoder(table: Table, names: tuple[str, ...]) -> Encode:
    types = [table.columns[name].type.dialect_impl(_DIALECT) for name in names]
    encoders = [(name, each.bind_processor(_DIALECT)) for name, each in zip(names, types, strict=True)]
    return lambda row: [row[name] if encode is None else encode(row[name]) for name, encode in encoders]


@cache
def _inserting(table: Table, names: tuple[str, ...], *, over: str = "") -> tuple[str, Encode]:
    """Return the text that inserts a row of these columns, and the encoder of its values. `over` sets a column where its key stands already."""
    marks = ", ".join("?" for _ in range(len(names) + 1))
    text = f"INSERT INTO {table.name} ({', '.join(['clinic_id', *names])}) VALUES ({marks})"
    if over:
        key = [column.name for column in table.primary_key.columns]
        sets = ", ".join(over.format(name) for name in names if name not in key)
        text += f" ON CONFLICT ({', '.join(key)}) " + (f"DO UPDATE SET {sets}" if sets else "DO NOTHING")
    return text, _encoder(table, names)


@cache
def _adjusting(table: Table, key: tuple[str, ...], deltas: tuple[str, ...], floors: tuple[str, ...]) -> str:
    sets = [f"{name} = {name} + ?" for name in deltas]
    return _updating(table, sets, [*(f"{name} = ?" for name in key), *(f"{name} + ? >= ?" for name in floors)])


@cache
def _changing(table: Table, key: tuple[str, ...], expect: tuple[str, ...], names: tuple[str, ...]) -> str:
    return _updating(table, [f"{name} = ?" for name in names], [*(f"{name} = ?" for name in key), *(f"{name} IS ?" for name in expect)])


def _updating(table: Table, sets: Sequence[str], conditions: Sequence[str]) -> str:
    return f"UPDATE {table.name} SET {', '.join(sets)} WHERE {' AND '.join(['clinic_id = ?', *conditions])}"


def _numbered(driver: Any, clinic_id: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the rows with their numbers taken. Each document has a number of its own, so its row is written alone."""
    if len(rows) > 1 or _NUMBERS.isdisjoint(map(type, rows[0].values())):
        return rows
    return [{name: _number(driver, clinic_id, value) for name, value in rows[0].items()}]


_NUMBERS = frozenset({NumberValue, NumberText})


def _number(driver: Any, clinic_id: str, value: Any) -> Any:
    if type(value) not in _NUMBERS:
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
    day = audit[0].business_date.isoformat()
    open_ = "closed_through IS NULL OR closed_through < ?"
    head = driver.execute(f"SELECT position, hash FROM audit_head WHERE clinic_id = ? AND ({open_})", (clinic_id, day)).fetchone()
    if head is None:
        raise RowChanged("the end of the chain takes no entry of this day", table=_ENTRY.name)
    position, previous, latest = head[0], head[1], head[1]
    rows = []
    for entry in audit:
        previous = latest
        number = _number(driver, clinic_id, NumberValue(entry.number)) if entry.number else None
        latest = chain.link(previous, content_of(clinic_id, entry), number)
        position += 1
        rows.append(entry_row(entry) | {"position": position, "number_value": number, "previous_hash": previous, "hash": latest})
    _insert(driver, clinic_id, _ENTRY, rows)
    moved = {"position": position, "hash": latest, "previous_hash": head[1]}
    _change(driver, clinic_id, _HEAD, [ChangedRow({}, {}, moved)])
