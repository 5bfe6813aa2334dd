"""F30: somebody writes the database behind everybody's back. The doctor, or the audit chain, sees every single edit of a row with money in it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from billing.model import Base
from billing.services import doctor, invoice_steps
from billing.services.audit import verify_chain
from billing.testing.world import World

FIXED: dict[str, set[str]] = {
    "payment": {"scope", "currency", "due_minor", "tendered_minor", "change_minor", "rounding_minor", "applied_minor", "amount_due_minor",
                 "on_account_minor", "receipt_period", "receipt_value", "receipt_number", "invoice_id", "taken_at", "taken_by"},
    "tender": {"amount_minor", "payment_id"},
    "payment_item": {"amount_minor"},
    "invoice": {"line_total_minor", "net_minor", "tax_minor", "total_minor", "amount_paid_minor", "status", "currency",
                "number_period", "number_value", "number", "created_at", "created_by", "issued_at"},
    "invoice_item": {"quantity_milli", "unit_price_e4", "total_minor", "tax_minor", "payment_id", "department"},
    "invoice_tax": {"taxable_minor", "tax_minor"},
    "number_counter": {"latest_value"},
    "audit_entry": {"action", "subject", "subject_id", "data", "previous_hash", "hash", "number_value"},
    "audit_head": {"position", "hash"},
}  # fmt: skip
"""Tables with money, numbers or proof in them, and the columns that nobody may change."""


def _days_work(world: World) -> None:
    world.service("VIS", price="44.00", tax="S 1000")
    world.lot(world.service("AMX", department="shelf", price="30.00", tax="S 1900"), "1000")
    for number in range(4):
        invoice = world.invoice("AMX:2", "VIS").id
        if number % 2:
            world.run(lambda tx, invoice=invoice: invoice_steps.issue_invoice(tx, invoice_id=invoice))  # type: ignore[misc]
        world.pay(invoice, "cash 200")
    world.pay(world.invoice("AMX", "VIS").id, "transfer 20 T-1", scope="ON_ACCOUNT")


def _found(world: World) -> bool:
    report = world.read(doctor.examine)
    return not report.healthy or not world.read(verify_chain).intact


def _rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 100, -100])
    if isinstance(value, str) and value:
        place = chance.randrange(len(value))
        return value[:place] + chance.choice([each for each in "0123456789abcdef" if each != value[place]]) + value[place + 1 :]
    return 1


class Tamperer:
    """Edits one row at a time, and takes the edit back."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance = world, chance

    def edit(self) -> str | None:
        """Change, delete, copy or swap one row; return what was done, or None where the database itself refuses it."""
        table = self.chance.choice([*FIXED])
        kinds = [self._change, self._change, self._delete, self._swap]
        return self.chance.choice(kinds)(table)

    def _change(self, table: str) -> str | None:
        column = self.chance.choice(sorted(FIXED[table]))
        return self._write(table, lambda rows: {column: _other(self._one(rows)[column], self.chance)})

    def _swap(self, table: str) -> str | None:
        column = self.chance.choice(sorted(FIXED[table]))
        return self._write(table, lambda rows: {column: self._one(rows)[column]})

    def _one(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return self.chance.choice(rows)

    def _delete(self, table: str) -> str | None:
        return self._write(table, lambda _: None)

    def _write(self, table: str, change: Callable[[list[dict[str, Any]]], dict[str, Any] | None]) -> str | None:
        with self.world.database.engine.connect() as connection:
            rows = _rows(connection, table)
            keys = [each.name for each in Base.metadata.tables[table].primary_key]
            row, values = self._one(rows), change(rows)
            where = " AND ".join(f"{key} = :k_{key}" for key in keys)
            if values is not None and all(row[name] == value for name, value in values.items()):
                return None  # nothing would be different
            sets = ", ".join(f"{name} = :{name}" for name in values or {})
            statement = f"DELETE FROM {table} WHERE {where}" if values is None else f"UPDATE {table} SET {sets} WHERE {where}"
            try:
                connection.execute(text(statement), {**(values or {}), **{f"k_{key}": row[key] for key in keys}})
                connection.commit()
            except Exception:  # noqa: BLE001 - a key or a check stands in the way: so much the better
                connection.rollback()
                return None
        return f"{statement} with {values} for {[row[key] for key in keys]}"


def test_every_edit_of_a_row_with_money_is_seen(
    sqlite_url: str, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    world = World(sqlite_url)
    _days_work(world)
    assert not _found(world)
    path = world.database.engine.url.database
    assert path is not None
    world.dispose()
    original = _copy(path)
    tamperer, seen, refused = Tamperer(world, chance), 0, 0

    while seen < size(200):
        done = tamperer.edit()
        if done is None:
            refused += 1
            continue
        assert _found(world), done
        world.dispose()
        _restore(path, original)
        seen += 1

    assert not _found(world)
    told("F30", edits=seen, seen=seen, refused_by_the_database=refused)
    world.dispose()


def _copy(path: str) -> bytes:
    return Path(path).read_bytes()


def _restore(path: str, content: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    Path(path).write_bytes(content)


def test_older_copy_and_a_cut_off_chain_are_seen_by_an_anchor_kept_elsewhere(sqlite_url: str) -> None:
    world = World(sqlite_url)
    _days_work(world)
    path = str(world.database.engine.url.database)
    world.dispose()
    older = _copy(path)
    world.pay(world.invoice("VIS").id, "cash 50")
    report = world.read(verify_chain)
    anchors = {report.position: report.hash}
    assert world.read(lambda tx: verify_chain(tx, anchors=anchors)).intact
    world.dispose()

    _restore(path, older)

    assert not world.read(lambda tx: verify_chain(tx, anchors=anchors)).intact
    world.dispose()


@pytest.mark.parametrize(
    "edit",
    ["'Z' || {column}", "replace({column}, '-00001', '-1')", "replace({column}, '-20', '-19')", "{column} || ' '"],
    ids=["prefix", "padding", "year", "end"],
)
@pytest.mark.parametrize(("table", "column"), [("payment", "receipt_number"), ("invoice", "number")])
def test_edit_of_a_printed_number_is_seen(table: str, column: str, edit: str, sqlite_url: str) -> None:
    world = World(sqlite_url)
    _days_work(world)
    edit = edit.format(column=column)
    with world.database.engine.connect() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = {edit} WHERE {column} LIKE '%-00001'"))
        connection.commit()

    report = world.read(doctor.examine)
    world.dispose()

    assert [check.name for check in report.broken] == ["document_is_what_its_act_says"]


@pytest.mark.parametrize("column", ["due_minor", "amount_due_minor", "on_account_minor"])
def test_edit_of_what_was_due_on_account_is_seen(column: str, sqlite_url: str) -> None:
    world = World(sqlite_url)
    _days_work(world)
    with world.database.engine.connect() as connection:
        connection.execute(text(f"UPDATE payment SET {column} = {column} + 1 WHERE scope LIKE '%ccount%' OR scope LIKE '%ACCOUNT%'"))
        connection.commit()

    found = _found(world)
    world.dispose()

    assert found
