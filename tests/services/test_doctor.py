"""The doctor: whose rules it checks, who may ask it, and what it says of an installation. Its rules are tried in test_invariants.py."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import literal_column, make_url, select, text

from billing.errors import Forbidden
from billing.model import CLINIC, Invoice, InvoiceItem
from billing.plugin import Declaration, Invariant, hookimpl
from billing.registry import Plugin, Registry
from billing.services import doctor
from billing.services.installation import open_database
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World

NOBODY = "00000000-0000-0000-0000-00000000dead"


def test_books_of_another_clinic_are_not_examined(world: World) -> None:
    world.service("VIS")
    world.invoice("VIS")
    with world.admin.begin() as connection:
        connection.execute(text("UPDATE invoice SET note = 'x', currency = 'USD'"))

    assert not world.read(doctor.examine).healthy
    assert world.read(doctor.examine, clinic="south").healthy


class Odd:
    """A plugin with invariants: one that finds something, one that can't be computed, one that forgets the clinic."""

    @hookimpl
    def declare(self) -> Declaration:
        """Declare them."""
        return Declaration(
            invariants=(
                Invariant("odd_finds", "No invoice is there.", select(Invoice.id, Invoice.created_at).where(Invoice.clinic_id == CLINIC)),
                Invariant("odd_breaks", "It computes.", select(literal_column("nothing.at_all")).where(Invoice.clinic_id == CLINIC)),
                Invariant("odd_forgets", "It is about a clinic.", select(InvoiceItem.id)),
            )
        )


def test_rules_of_plugins_are_checked_and_a_broken_one_stops_no_other(database_url: str) -> None:
    world = World(database_url, plugins={"desk": Desk(), "shelf": Shelf(), "odd": Odd()})
    world.service("VIS")
    made = world.invoice("VIS")

    report = world.read(doctor.examine)

    world.dispose()
    finds, breaks, forgets = report.broken
    assert [check.plugin for check in report.broken] == ["odd", "odd", "odd"]
    assert (finds.count, finds.violations[0]["id"], type(finds.violations[0]["created_at"])) == (1, made.id, str)
    assert breaks.error is not None
    assert "without saying of which clinic" in str(forgets.error)


def test_plugin_that_is_gone_or_quarantined_is_reported(database_url: str) -> None:
    world = World(database_url)
    quarantined = Registry([Plugin(name="desk", error="ImportError: no desk")])
    without = open_database(database_url, plugins=quarantined)

    report = without.read(doctor.examine, actor=world.actor, clinic=world.clinic)

    without.dispose()
    world.dispose()
    (broken,) = report.broken
    assert broken.name == "plugins_work"
    assert [dict(violation) for violation in broken.violations] == [
        {"plugin": "desk", "reason": "ImportError: no desk"},
        {"plugin": "shelf", "reason": "it is not installed"},
    ]


@pytest.mark.parametrize(("role", "may"), [("manager", True), ("admin", True), ("auditor", True), ("cashier", False), ("clinician", False)])
def test_who_may_examine(world: World, hire: Callable[[str], str], role: str, may: bool) -> None:
    login = hire(role)

    try:
        healthy = world.read(doctor.examine, actor=login).healthy
    except Forbidden:
        healthy = False

    assert healthy == may


def test_sound_installation_is_healthy(world: World) -> None:
    report = doctor.examine_installation(world.database, plugins=world.registry)

    assert report.broken == ()
    assert report.facts["database"].startswith(world.database.dialect)
    assert report.facts["billing"].endswith("__init__.py")


def test_installation_is_examined_while_others_write(world: World) -> None:
    world.service("VIS")

    report = world.run(lambda _: doctor.examine_installation(world.database, plugins=world.registry))

    assert report.healthy


def test_installation_without_migrations_or_with_a_broken_plugin_is_reported(empty_database_url: str) -> None:
    plugins = Registry([Plugin(name="desk", error="ImportError: no desk")])
    database = open_database(empty_database_url, plugins=plugins)

    report = doctor.examine_installation(database, plugins=plugins)

    database.dispose()
    behind, broken = report.broken
    assert (behind.name, behind.violations[0]["lineage"], behind.violations[0]["current"]) == ("migrations_current", "core", None)
    assert (broken.name, broken.violations[0]["plugin"]) == ("plugins_healthy", "desk")


def test_dangling_reference_and_loose_table_are_found_in_sqlite(sqlite_world: World) -> None:
    with closing(sqlite3.connect(str(make_url(sqlite_world.url).database))) as live:
        live.executescript(f"INSERT INTO number_counter VALUES ('{NOBODY}', 'none', '', 1); CREATE TABLE loose (amount INTEGER);")

    report = doctor.examine_installation(sqlite_world.database, plugins=sqlite_world.registry)

    assert [check.name for check in report.broken] == ["references_intact", "columns_keep_their_types"]
    assert report.broken[1].violations == ({"name": "loose"},)


def test_damaged_file_is_found_in_sqlite(sqlite_world: World) -> None:
    sqlite_world.dispose()
    path = Path(str(make_url(sqlite_world.url).database))
    with closing(sqlite3.connect(path)) as live:
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = live.execute("PRAGMA page_size").fetchone()[0]
        page = live.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_invoice_created'").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : (page - 1) * size + 200] = b"\xff" * 200
    path.write_bytes(content)

    report = doctor.examine_installation(sqlite_world.database, plugins=sqlite_world.registry)

    assert "database_file_intact" in {check.name for check in report.broken}


def test_unvalidated_constraint_and_invalid_index_are_found_in_postgresql(postgresql_url: str) -> None:
    world = World(postgresql_url)
    with world.admin.begin() as connection:
        connection.execute(text("ALTER TABLE invoice ADD CONSTRAINT ck_invoice_later CHECK (version > 0) NOT VALID"))
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_invoice_created'::regclass"))

    report = doctor.examine_installation(world.database, plugins=world.registry)

    world.dispose()
    assert [check.name for check in report.broken] == ["constraints_validated", "indexes_valid"]
    assert report.broken[0].violations == ({"table_name": "invoice", "name": "ck_invoice_later"},)
