"""The application's role on PostgreSQL: what it may do to each table, what it may not, and what is said where it is the owner itself."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from billing import migrations, registry
from billing.changes.failures import NotAllowedHere
from billing.interfaces.cli.frame import Frame
from billing.migrations import row_security
from billing.migrations.privileges import RoleOwnsTables, UnknownDatabaseRole
from billing.model import Base, TableClass, Upkeep
from billing.services import doctor
from billing.services.installation import application_role, open_database, upgrade_database
from billing.settings import Settings
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, PostgresServer, as_role
from billing.testing.world import World

Unfiltered = Callable[..., AbstractContextManager[Connection]]

SHIPPED = registry.load()
GRANTED = {
    Upkeep.ADDED: {"SELECT", "INSERT"},
    Upkeep.CHANGED: {"SELECT", "INSERT", "UPDATE"},
    Upkeep.DELETED: {"SELECT", "INSERT", "UPDATE", "DELETE"},
}


def _granted(connection: Connection) -> dict[str, set[str]]:
    found = defaultdict(set)
    privileges = "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
    for table, privilege in connection.execute(text(privileges), {"role": APPLICATION}):
        found[table].add(privilege)
    return dict(found)


def _execute(url: str, *statements: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_role_is_granted_what_each_tables_upkeep_takes_and_nothing_else(world: World, classes: dict[str, type[Base]]) -> None:
    with world.admin.connect() as connection:
        granted = _granted(connection)

    wanted = {name: GRANTED[table.upkeep] for name, table in classes.items() if table.table_class is not TableClass.LOCAL}
    others = {name: found for name, found in granted.items() if name not in wanted}
    assert {name: granted[name] for name in wanted} == wanted
    assert set(others) == {"migration_lock", *(f"alembic_version_{name}" for name in ("core", *(each.name for each in SHIPPED.plugins)))}
    assert all(found == {"SELECT"} for found in others.values())


@pytest.mark.parametrize("act", ["UPDATE {} SET clinic_id = clinic_id", "DELETE FROM {}"])
def test_append_only_table_refuses_to_change_a_row(unfiltered: Unfiltered, classes: dict[str, type[Base]], act: str) -> None:
    append_only = {name for name, table in classes.items() if table.upkeep is Upkeep.ADDED}

    for name in append_only:
        with pytest.raises(ProgrammingError, match=f"permission denied for table {name}"), unfiltered("north") as connection:
            connection.execute(text(act.format(name)))

    assert {"audit_entry", "payment", "payment_item", "tender", "effect", "document_print", "pharmacy_move"} <= append_only


@pytest.mark.parametrize("act", ["ALTER TABLE invoice DISABLE ROW LEVEL SECURITY", "DROP POLICY own_clinic ON invoice", "TRUNCATE invoice"])
def test_role_can_not_open_what_keeps_clinics_apart(unfiltered: Unfiltered, act: str) -> None:
    with pytest.raises(ProgrammingError, match=r"must be owner|permission denied"), unfiltered("north") as connection:
        connection.execute(text(act))


def test_role_can_not_migrate_and_is_told_who_can(empty_postgresql_url: str) -> None:
    with pytest.raises(NotAllowedHere, match="BILLING_OWNER_DATABASE_URL"):
        migrations.upgrade(as_role(empty_postgresql_url, APPLICATION), registry=SHIPPED)


def test_grant_takes_away_what_was_given_beside_it(world: World) -> None:
    owner_url = as_role(world.url, OWNER)
    _execute(owner_url, f"GRANT ALL ON payment, audit_entry TO {APPLICATION}", "CREATE TABLE surgery_note (note text)")

    migrations.grant(owner_url, role=APPLICATION, settings=Settings())

    with world.admin.connect() as connection:
        granted = _granted(connection)
    assert [granted[name] for name in ("payment", "audit_entry", "surgery_note")] == [{"SELECT", "INSERT"}] * 2 + [{"SELECT"}]


def test_partition_is_reached_through_its_table_only(world: World) -> None:
    owner_url = as_role(world.url, OWNER)
    _execute(
        owner_url,
        "CREATE TABLE surgery_room (clinic_id uuid, id uuid, PRIMARY KEY (clinic_id, id)) PARTITION BY HASH (clinic_id)",
        "CREATE TABLE surgery_room_all PARTITION OF surgery_room FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    )

    migrations.upgrade(owner_url, registry=SHIPPED, grant_to=APPLICATION)

    with world.admin.connect() as connection:
        granted, protected = _granted(connection), {table.name: table.protected for table in row_security.clinic_tables(connection)}
    assert (granted["surgery_room"], granted.get("surgery_room_all")) == ({"SELECT"}, None)
    assert (protected["surgery_room"], protected.get("surgery_room_all")) == (True, None)


@pytest.mark.parametrize(("role", "error"), [("nobody_here", UnknownDatabaseRole), (OWNER, RoleOwnsTables), (SUPERUSER, RoleOwnsTables)])
def test_grant_is_for_a_role_apart(world: World, role: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        migrations.grant(as_role(world.url, OWNER), role=role, settings=Settings())


def test_grant_makes_the_limits_the_databases_own(world: World) -> None:
    limits = Settings(lock_timeout_seconds=1.5, statement_timeout_seconds=7, idle_timeout_seconds=9)

    migrations.grant(as_role(world.url, OWNER), role=APPLICATION, settings=limits)

    with create_engine(world.url, poolclass=NullPool).connect() as connection:
        found = {name: connection.scalar(text(f"SHOW {name}")) for name in limits.session_values()}
    assert found == {
        "lock_timeout": "1500ms",
        "statement_timeout": "7s",
        "idle_in_transaction_session_timeout": "9s",
        "timezone": "UTC",
    }


def test_two_addresses_are_enough_to_set_a_database_up(empty_postgresql_url: str) -> None:
    settings = Settings(database_url=as_role(empty_postgresql_url, APPLICATION), owner_database_url=empty_postgresql_url)

    upgrade_database(settings, plugins=SHIPPED)

    world = World(settings.database_url)
    world.service("VIS")
    paid = world.pay(world.invoice("VIS").id, "cash 10")
    report = doctor.examine_installation(world.database, plugins=SHIPPED)
    world.dispose()
    assert paid.receipt_number.endswith("-00001")
    assert (report.broken, report.warnings) == ((), ())


def test_one_address_grants_nothing(postgresql_url: str) -> None:
    owner_url = as_role(postgresql_url, OWNER)

    assert application_role(Settings(database_url=owner_url)) is None
    assert application_role(Settings(database_url=owner_url, owner_database_url=owner_url)) is None
    assert application_role(Settings(database_url=postgresql_url, owner_database_url=owner_url)) == APPLICATION


@pytest.mark.parametrize(
    ("role", "said"), [(OWNER, "who owns the tables"), (SUPERUSER, "no row level security holds"), (APPLICATION, None)]
)
def test_application_works_as_the_owner_too_and_is_warned(
    postgresql_url: str, postgres_server: PostgresServer, role: str, said: str | None
) -> None:
    database = open_database(as_role(postgresql_url, role), plugins=SHIPPED, settings=Settings())

    report = doctor.examine_installation(database, plugins=SHIPPED)

    database.dispose()
    assert report.healthy
    assert len(report.warnings) == (0 if said is None else 1)
    assert all(str(said) in warning for warning in report.warnings)


def test_missing_limits_are_found(world: World) -> None:
    database = open_database(world.url, plugins=world.registry, settings=Settings())
    with database.engine.connect() as connection:  # it goes back to the pool, from where the doctor takes it
        connection.execute(text("SET lock_timeout = 0"))
        connection.commit()

    report = doctor.examine_installation(database, plugins=world.registry)

    database.dispose()
    assert [(check.name, check.violations) for check in report.broken] == [("waits_are_limited", ({"name": "lock_timeout"},))]


def test_commands_set_up_two_clinics_back_them_up_and_restore_them(
    empty_postgresql_url: str, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def billing(*line: str) -> Any:
        done = CliRunner().invoke(Frame(), list(line), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    def use(owner_url: str) -> None:
        monkeypatch.setenv("BILLING_OWNER_DATABASE_URL", owner_url)
        monkeypatch.setenv("BILLING_DATABASE_URL", as_role(owner_url, APPLICATION))

    use(empty_postgresql_url)
    billing("init")
    for code in ("north", "south"):
        billing("clinic", "create", "--code", code, "--name", code, "--currency", "EUR", "--time-zone", "Europe/Berlin")
    billing("backup", str(tmp_path / "all.backup"))
    postgres_server.create_database("restored", owner=OWNER)
    use(postgres_server.url("restored", role=OWNER))
    billing("restore", str(tmp_path / "all.backup"))

    listed, examined = billing("clinic", "list"), billing("doctor")

    assert [code in listed.output for code in ("north", "south")] == [True, True]
    assert "warning" not in examined.stderr
    assert [f"{name}: " in examined.output for name in ("installation", "north", "south")] == [True] * 3
    billing("db", "grant", APPLICATION)
    monkeypatch.setenv("BILLING_DATABASE_URL", postgres_server.url("restored", role=OWNER))
    assert "owns the tables" in billing("db", "status").stderr
