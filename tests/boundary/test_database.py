"""The boundary: what it commits, what it runs again, what it refuses, and what it says when the database breaks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text

from billing.changes.failures import Busy
from billing.database import ATTEMPTS, Database
from billing.engine import BadDatabaseUrl
from billing.errors import BillingError
from billing.model import AuditEntry, Client, Membership, Payment, Staff, new_id
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import clinics, doctor
from billing.services.clinics import update_clinic
from billing.services.installation import open_database
from billing.services.payments import take_payment
from billing.services.setup import make_operator
from billing.settings import Settings
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction, UnknownActor, UnknownClinic
from billing.unit import OutcomeUnknown


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.dispose()


@pytest.fixture
def postgres_world(postgresql_url: str) -> Iterator[World]:
    made = World(postgresql_url)
    yield made
    made.dispose()


def _member(world: World, role: str, login: str) -> None:
    def unit(tx: Transaction) -> None:
        staff = Staff(id=new_id(), login=login, name=login.title(), created_at=tx.at)
        tx.session.add(staff)
        tx.session.flush()  # the membership refers to the person
        tx.session.add(Membership(staff_id=staff.id, name=staff.name, role=role, provider=False, created_at=tx.at))

    world.run(unit)


def _actions(world: World) -> list[str]:
    return list(world.read(lambda tx: tx.session.scalars(select(AuditEntry.action).order_by(AuditEntry.position)).all()))


def test_writer_that_waits_too_long_is_told_so_and_may_try_again(world: World) -> None:
    impatient = open_database(world.url, plugins=world.registry, settings=Settings(lock_timeout_seconds=0.2))

    def change(tx: Transaction) -> None:
        update_clinic(tx, changes={"name": "New"})

    def hold(tx: Transaction) -> None:
        change(tx)
        tx.flush()
        with pytest.raises(Busy):
            impatient.run(change, clinic="north", actor=world.actor)

    world.run(hold)
    impatient.run(change, clinic="north", actor=world.actor)
    impatient.dispose()


def test_failed_unit_leaves_nothing(world: World) -> None:
    before = world.dump()

    def unit(tx: Transaction) -> None:
        tx.session.add(Client(name="x", created_at=tx.at))
        tx.audit("something", "x", "1")
        tx.emit("something", "1")
        tx.flush()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        world.run(unit)

    assert world.dump() == before


def test_reading_unit_stores_nothing(world: World) -> None:
    before = world.dump()

    world.read(lambda tx: tx.session.add(Client(name="x", created_at=tx.at)))

    assert world.dump() == before


def test_refused_permission_is_audited_in_a_transaction_of_its_own(world: World) -> None:
    _member(world, "auditor", "audrey")
    world.service("VIS")
    made = world.invoice("VIS")

    with pytest.raises(PermissionMissing) as caught:
        world.database.run(lambda tx: tx.require("payments.take"), clinic="north", actor="audrey")

    assert caught.value.facts["permission"] == "payments.take"
    assert _actions(world)[-1] == "permission.refused"
    assert made.number


def test_actor_without_a_place_in_the_clinic_hears_that_it_does_not_exist(world: World) -> None:
    _member(world, "cashier", "carl")
    world.found("south")

    with pytest.raises(UnknownClinic) as theirs:
        world.database.run(lambda tx: None, clinic="south", actor="carl")
    with pytest.raises(UnknownClinic) as nobodys:
        world.database.run(lambda tx: None, clinic="nowhere", actor="carl")

    assert theirs.value.sentence.replace("south", "nowhere") == nobodys.value.sentence


def test_unknown_and_inactive_actors_are_refused(world: World) -> None:
    _member(world, "cashier", "carl")
    world.run(lambda tx: setattr(tx.session.scalars(select(Staff).where(Staff.login == "carl")).one(), "active", False))

    for login in ("nobody", "carl"):
        with pytest.raises(UnknownActor):
            world.database.run(lambda tx: None, clinic="north", actor=login)


def test_instant_of_the_past_needs_a_permission(world: World) -> None:
    _member(world, "cashier", "carl")
    past = datetime(2020, 2, 29, 12, tzinfo=UTC)

    with pytest.raises(PermissionMissing):
        world.database.run(lambda tx: tx.at, clinic="north", actor="carl", at=past)

    assert world.run(lambda tx: tx.at, at=past) == past


def test_serialization_failures_are_run_again_and_given_up_after_some(postgres_world: World) -> None:
    tries: list[int] = []

    def unit(failures: int, tx: Transaction) -> str:
        tries.append(1)
        if len(tries) <= failures:
            tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'try again' USING ERRCODE = '40001'; END $$"))
        return "done"

    assert postgres_world.run(lambda tx: unit(2, tx)) == "done"
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(BillingError):
        postgres_world.run(lambda tx: unit(99, tx))
    assert len(tries) == ATTEMPTS


def _break_after_commit(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    import psycopg

    from billing.trips.direct import DirectTrips

    carry = DirectTrips.trip
    broken: list[int] = []

    def then_break(self: Any, calls: Any) -> Any:
        rows = carry(self, calls)
        if [prepared.text for prepared, _ in calls][-1:] == ["COMMIT"] and len(broken) < times:
            broken.append(1)
            self._driver.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return rows

    monkeypatch.setattr(DirectTrips, "trip", then_break)


def test_unknown_outcome_under_a_key_is_resolved_by_the_key(postgres_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres_world.service("VIS")
    made = postgres_world.invoice("VIS")
    _break_after_commit(monkeypatch, 1)

    taken = postgres_world.pay(made.id, "cash 10", key="k")

    assert taken.replayed
    assert len(postgres_world.read(lambda tx: tx.session.scalars(select(Payment.id)).all())) == 1


def test_unknown_outcome_without_a_key_is_told_and_not_guessed(postgres_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres_world.service("VIS")
    made = postgres_world.invoice("VIS")
    _break_after_commit(monkeypatch, 1)

    with pytest.raises(OutcomeUnknown):
        postgres_world.pay(made.id, "cash 10")

    assert len(postgres_world.read(lambda tx: tx.session.scalars(select(Payment.id)).all())) == 1


def test_pool_survives_connections_that_the_server_has_cut(postgres_world: World) -> None:
    def cut(tx: Transaction) -> Any:
        return tx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(BillingError) as caught:
        postgres_world.run(cut)

    assert caught.value.exit_code == 6
    assert postgres_world.run(lambda tx: "alive") == "alive"


def test_prepared_statements_that_the_server_has_forgotten_are_prepared_anew(postgres_world: World) -> None:
    postgres_world.service("VIS")
    made = postgres_world.invoice("VIS")
    with postgres_world.database.engine.connect() as connection:  # the only one of the pool
        connection.exec_driver_sql("DEALLOCATE ALL")

    assert postgres_world.pay(made.id, "cash 10").status == "paid"


def test_statements_travel_unprepared_where_a_pooler_stands_in_between(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_CARRIER", "pipeline")
    world = World(postgresql_url)
    world.service("VIS")

    taken = world.pay(world.invoice("VIS").id, "cash 10", key="k")

    with world.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    assert taken.receipt_number.endswith("00001")
    world.dispose()


def test_change_of_a_clinic_by_another_process_is_seen_by_the_next_unit(world: World) -> None:
    other = World(world.url)
    assert other.read(lambda tx: tx.clinic.payment_days) == 14

    world.run(lambda tx: clinics.update_clinic(tx, changes={"payment_days": 30}))

    assert other.read(lambda tx: tx.clinic.payment_days) == 30
    other.dispose()


def test_permission_that_another_process_has_just_given_counts(world: World) -> None:
    _member(world, "auditor", "audrey")
    other = World(world.url)
    with pytest.raises(PermissionMissing):
        other.database.run(lambda tx: tx.require("payments.take"), clinic="north", actor="audrey")

    def promote(tx: Transaction) -> None:
        tx.session.scalars(select(Membership).where(Membership.name == "Audrey")).one().role = "cashier"

    world.run(promote)

    other.database.run(lambda tx: tx.require("payments.take"), clinic="north", actor="audrey")
    other.dispose()


def test_permission_that_another_process_has_just_taken_is_missed_before_anything_is_written(world: World) -> None:
    _member(world, "cashier", "carl")
    world.service("VIS")
    made = world.invoice("VIS")
    other = World(world.url)
    other.database.run(lambda tx: tx.require("payments.take"), clinic="north", actor="carl")
    world.run(lambda tx: setattr(tx.session.scalars(select(Staff).where(Staff.login == "carl")).one(), "active", False))

    with pytest.raises(UnknownActor):
        other.database.run(
            lambda tx: take_payment(tx, invoice_id=made.id, scope=Scope.all(), tenders=[Tender("cash", 1000)]), clinic="north", actor="carl"
        )

    assert world.read(lambda tx: tx.session.scalars(select(Payment.id)).all()) == []
    other.dispose()


@pytest.mark.parametrize("early", [False, True])
def test_early_lock_release_changes_nothing_that_can_be_seen(database_url: str, *, early: bool) -> None:
    world = World(database_url, policy={"early_lock_release": early})
    world.service("VIS")

    taken = world.pay(world.invoice("VIS").id, "cash 10", key="k")

    assert (taken.status, taken.receipt_number[-5:]) == ("paid", "00001")
    assert world.read(doctor.examine).broken == ()
    world.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://x/y",
        "oracle://x",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+nodriver://x/y",
        "://",
        "sqlite:////proc/nope/x.db",
    ],
)
def test_bad_address_of_a_database_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadDatabaseUrl):
        Database(url, plugins=None, permissions=lambda *_: frozenset())


def test_database_that_is_not_there_is_told_as_such(tmp_path: Any) -> None:
    database = Database(f"postgresql+psycopg://nobody@/x?host={tmp_path}", plugins=None, permissions=lambda *_: frozenset())

    with pytest.raises(BillingError) as caught:
        database.read(lambda tx: None, actor="operator")

    assert caught.value.code == "database_unavailable"


def test_file_that_is_no_database_is_told_as_such(tmp_path: Any) -> None:
    path = tmp_path / "x.sqlite3"
    path.write_text("this is a letter, not a database\n" * 100)
    database = Database(f"sqlite:///{path}", plugins=None, permissions=lambda *_: frozenset())

    with pytest.raises(BillingError) as caught:
        database.read(lambda tx: None, actor="operator")

    assert caught.value.exit_code == 6


def test_missing_tables_ask_for_a_migration(empty_database_url: str) -> None:
    database = Database(empty_database_url, plugins=None, permissions=lambda *_: frozenset())

    with pytest.raises(BillingError, match="billing db upgrade"):
        database.set_up(make_operator)

    database.dispose()


def test_operator_is_made_once(world: World) -> None:
    assert world.database.set_up(make_operator) is False
