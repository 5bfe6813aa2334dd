"""PostgreSQL keeps the clinics apart by itself: whatever a statement forgets, it reads and writes the rows of one clinic, or none."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from billing import engine, migrations, registry
from billing.changes.failures import explain, sqlstate
from billing.database import over_all_clinics
from billing.engine import open_engine
from billing.errors import PluginViolation
from billing.migrations import row_security
from billing.model import Base, TableClass, Upkeep
from billing.services import clinics, doctor, staff
from billing.settings import Settings
from billing.testing.postgres import APPLICATION, OWNER, as_role
from billing.testing.world import World
from billing.transaction import Transaction

Unfiltered = Callable[..., AbstractContextManager[Connection]]

SHIPPED = registry.load()
NO_PRIVILEGE = "42501"


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(ProgrammingError) as caught:
        yield
    assert sqlstate(caught.value) == NO_PRIVILEGE


def _tables(world: World) -> list[str]:
    with world.admin.connect() as connection:
        return [table.name for table in row_security.clinic_tables(connection)]


def _filled(world: World) -> list[str]:
    with world.admin.connect() as connection:
        return [name for name in _tables(world) if connection.scalar(text(f"SELECT count(*) FROM {name}"))]


def _of_clinics(classes: dict[str, type[Base]]) -> list[str]:
    return sorted(name for name, table in classes.items() if table.table_class is TableClass.CLINIC)


def test_every_table_of_clinics_has_its_forced_policy_the_plugins_too(world: World, classes: dict[str, type[Base]]) -> None:
    with world.admin.connect() as connection:
        found = row_security.clinic_tables(connection)

    assert [table.name for table in found if not table.protected] == []
    assert sorted(table.name for table in found) == _of_clinics(classes)
    assert {"pharmacy_batch", "laboratory_order", "consultation_share", "shelf_lot", "payment"} <= {table.name for table in found}


@pytest.mark.parametrize("role", [APPLICATION, OWNER])
def test_without_a_clinic_no_table_shows_a_row(world: World, unfiltered: Unfiltered, role: str) -> None:
    with unfiltered(role=role) as connection:
        shown = {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in _tables(world)}

    assert set(shown.values()) == {0}
    assert len(_filled(world)) > 20


def test_statement_that_forgets_the_clinic_reads_the_units_own_rows(world: World, ids: dict[str, str], unfiltered: Unfiltered) -> None:
    for clinic, clinic_id in ids.items():
        with unfiltered(clinic) as connection:
            shown = {name: set(connection.scalars(text(f"SELECT clinic_id::text FROM {name}"))) for name in _filled(world)}

        assert {name for name, found in shown.items() if found != {clinic_id}} == set()


def test_row_of_another_clinic_is_refused_by_every_table(world: World, ids: dict[str, str], unfiltered: Unfiltered) -> None:
    tried = 0
    for name in _filled(world):
        with world.admin.connect() as connection:
            row = connection.scalar(text(f"SELECT to_jsonb(t) FROM {name} AS t WHERE clinic_id = :south LIMIT 1"), {"south": ids["south"]})

        with refused(), unfiltered("north") as connection:
            connection.execute(
                text(f"INSERT INTO {name} SELECT * FROM jsonb_populate_record(NULL::{name}, CAST(:row AS jsonb))"), {"row": json.dumps(row)}
            )
        tried += 1

    assert tried > 20


def test_row_of_another_clinic_can_be_neither_changed_nor_deleted(
    world: World, ids: dict[str, str], unfiltered: Unfiltered, classes: dict[str, type[Base]]
) -> None:
    before = world.dump()

    with unfiltered("north") as connection:
        of_south = {"south": ids["south"]}
        for name in _filled(world):
            if classes[name].upkeep is not Upkeep.ADDED:
                changed = connection.execute(text(f"UPDATE {name} SET clinic_id = clinic_id WHERE clinic_id = :south"), of_south)
                assert changed.rowcount == 0, name
            if classes[name].upkeep is Upkeep.DELETED:
                assert connection.execute(text(f"DELETE FROM {name} WHERE clinic_id = :south"), of_south).rowcount == 0, name

    assert world.dump() == before


def test_own_row_can_not_be_given_to_another_clinic(world: World, ids: dict[str, str], unfiltered: Unfiltered) -> None:
    with refused(), unfiltered("north") as connection:
        connection.execute(text("UPDATE event SET clinic_id = :south"), {"south": ids["south"]})


def test_refusal_of_another_clinics_row_is_said_in_words(world: World, ids: dict[str, str], unfiltered: Unfiltered) -> None:
    with pytest.raises(ProgrammingError) as caught, unfiltered("north") as connection:
        connection.execute(text("INSERT INTO number_counter VALUES (:south, 'invoice', '1999', 1)"), {"south": ids["south"]})

    said = explain(caught.value)
    assert isinstance(said, PluginViolation)
    assert said.reason == "clinic"
    assert "another clinic" in said.sentence


def test_connection_that_goes_back_to_the_pool_remembers_no_clinic(world: World) -> None:
    world.run(lambda tx: tx.clinic_id)

    with world.database.engine.connect() as connection:
        remembered = connection.scalar(text("SELECT current_setting('app.clinic', true)"))
        shown = connection.scalar(text("SELECT count(*) FROM invoice"))

    assert (remembered, shown) == ("", 0)


def test_thousand_units_of_two_clinics_on_two_connections_never_mix(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "create_engine", partial(create_engine, pool_size=2, max_overflow=0))
    world = World(postgresql_url)
    world.found("south")
    for clinic in ("north", "south"):
        world.service("VIS", clinic=clinic)
    backends: set[int] = set()

    def unit(tx: Transaction) -> bool:
        backend, owners = tx.session.connection().exec_driver_sql("SELECT pg_backend_pid(), array_agg(clinic_id::text) FROM service").one()
        backends.add(backend)
        return list(owners) == [tx.clinic_id]

    def go(number: int) -> bool:
        return world.read(unit, clinic="north" if number % 2 else "south")

    with ThreadPoolExecutor(4) as threads:  # the pool is one process's own
        right = list(threads.map(go, range(1000)))

    world.dispose()
    assert right == [True] * 1000
    assert len(backends) == 2


def test_operator_lists_all_clinics_and_a_member_their_own(world: World) -> None:
    world.run(lambda tx: staff.add_staff(tx, login="sue", name="Sue", role="cashier"), clinic="south")

    everything = world.read_anywhere(clinics.list_clinics)
    own = world.database.read(clinics.list_clinics, actor="sue")

    assert [row.code for row in everything] == ["north", "south"]
    assert [(row.code, row.currency) for row in own] == [("south", "CHF")]


def test_upgrade_protects_a_table_that_its_author_forgot_and_closes_what_was_opened(world: World) -> None:
    owner_url = as_role(world.url, OWNER)
    with create_engine(owner_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE surgery_table (clinic_id uuid, id uuid, PRIMARY KEY (clinic_id, id))"))
        connection.execute(text("CREATE POLICY everybody ON client USING (true)"))
        connection.execute(text("ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY"))
        connection.execute(text("ALTER TABLE payment DISABLE ROW LEVEL SECURITY"))
        connection.execute(text("ALTER POLICY own_clinic ON tender USING (true)"))
    found = _apart(world)

    migrations.upgrade(owner_url, registry=SHIPPED)

    assert [violation["table"] for violation in found.violations] == ["client", "invoice", "payment", "surgery_table", "tender"]
    assert _apart(world).passed


def _apart(world: World) -> doctor.Check:
    report = doctor.examine_installation(world.database, plugins=world.registry)
    return next(check for check in report.checks if check.name == "clinics_kept_apart")


def test_owner_sees_all_clinics_while_it_migrates_and_no_longer(world: World, classes: dict[str, type[Base]]) -> None:
    count = text("SELECT count(DISTINCT clinic_id) FROM invoice")
    engine = open_engine(as_role(world.url, OWNER), Settings())

    with over_all_clinics(engine, writing=True) as connection:
        row_security.lift(connection)
        lifted = connection.scalar(count)
        protected = row_security.protect(connection)
        again = connection.scalar(count)

    engine.dispose()
    assert (lifted, again) == (2, 0)
    assert sorted(protected) == _of_clinics(classes)
    assert _apart(world).passed


@pytest.mark.parametrize(("behind", "clinics_seen"), [(True, 2), (False, 0)])
def test_migration_that_is_to_run_sees_the_rows_of_all_clinics(
    world: World, monkeypatch: pytest.MonkeyPatch, behind: bool, clinics_seen: int
) -> None:
    seen: list[object] = []

    def look(config: Config, _: str) -> None:
        seen.append(config.attributes["connection"].scalar(text("SELECT count(DISTINCT clinic_id) FROM invoice")))

    monkeypatch.setattr(command, "upgrade", look)
    if behind:
        with world.admin.begin() as connection:
            connection.execute(text(f"DELETE FROM alembic_version_{SHIPPED.plugins[0].name}"))

    migrations.upgrade(as_role(world.url, OWNER), registry=SHIPPED)

    assert set(seen) == {clinics_seen}
    assert _apart(world).passed


def test_migration_that_fails_leaves_every_table_protected(world: World) -> None:
    engine = open_engine(as_role(world.url, OWNER), Settings())

    def migrate() -> None:
        with over_all_clinics(engine, writing=True) as connection:
            row_security.lift(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        migrate()

    engine.dispose()
    assert _apart(world).passed


def test_upgrade_with_nothing_to_do_changes_no_table(world: World) -> None:
    engine = open_engine(as_role(world.url, OWNER), Settings())

    with over_all_clinics(engine, writing=True) as connection:
        assert row_security.protect(connection) == []

    engine.dispose()
