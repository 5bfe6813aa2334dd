"""Locks and size: opposite orders do not deadlock, many writers wait their turn, and a long invoice costs no more statements than a short one."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from billing_pharmacy.services import receive_stock
from sqlalchemy import text

from billing import registry
from billing.services.installation import open_database
from billing.settings import Settings
from billing.testing.race import Pay, race
from billing.transaction import Transaction

if TYPE_CHECKING:
    from billing.testing.postgres import PostgresServer
    from tests.cases.conftest import CaseWorld

PAIRS = 150  # of a thousand in the case; the property is the same
WRITERS, PAYMENTS = 16, 8


@pytest.mark.case("P61")
def test_opposite_orders_of_batches_do_not_deadlock(world: "CaseWorld") -> None:
    """django-oscar's test_stockrecord_locking, OpenLMIS/openlmis-stockmanagement#95: opposite orders of locks deadlocked."""
    world.service("BMOX", department="pharmacy", price="33.00")
    for code in ("AMOX", "BMOX"):
        world.run(lambda tx, code=code: _receive(tx, code))  # type: ignore[misc]
    patient = world.patient()
    forth, back = ([world.invoice(*codes, patient_id=patient).id for _ in range(PAIRS)] for codes in (("AMOX", "BMOX"), ("BMOX", "AMOX")))
    before = _deadlocks(world)

    outcomes = race(
        world.url, [[Pay(bill, ("card 66",)) for bill in bills] for bills in (forth, back)], actors=["c1", "c2"], installed=True
    )

    assert Counter(each.code for own in outcomes for each in own) == {None: 2 * PAIRS}
    assert (world.stock("AMOX-2"), world.stock("BMOX-2")) == (
        10_000 + (1000 - 2 * PAIRS) * 1000 - world.stock("AMOX-1"),
        (1000 - 2 * PAIRS) * 1000,
    )
    assert _deadlocks(world) == before


def _receive(tx: Transaction, code: str) -> None:
    expires_on = tx.business_date + timedelta(days=400)
    receive_stock(tx, service_code=code, lot=f"{code}-2", expires_on=expires_on, quantity_milli=1_000_000, unit_cost_e4=0)


def _deadlocks(world: "CaseWorld") -> int:
    """Return how many deadlocks the server has ended in this database; SQLite knows none."""
    if world.database.dialect == "sqlite":
        return 0
    with world.database.engine.connect() as connection:
        return int(connection.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")) or 0)


@pytest.mark.case("P62")
def test_sixteen_writers_wait_their_turn_and_none_is_turned_away(world: "CaseWorld", monkeypatch: pytest.MonkeyPatch) -> None:
    """ovumcy/ovumcy-web#155, jentic/jentic-one#529: 684 of 4,247 writes failed at once, because the file was locked."""
    # Fifteen others go first, on a machine that does other work: their turn comes, however slow each of them is.
    monkeypatch.setenv("BILLING_LOCK_TIMEOUT_SECONDS", "60")
    patient = world.patient()
    bills = [world.bill("GLU", "VISIT", patient_id=patient).id for _ in range(WRITERS * PAYMENTS)]

    outcomes = race(
        world.url,
        [[Pay(bill, ("card 88",)) for bill in bills[start::WRITERS]] for start in range(WRITERS)],
        actors=["c1", "c2"],
        installed=True,
    )

    assert Counter(each.code for own in outcomes for each in own) == {None: WRITERS * PAYMENTS}
    numbers = sorted(int(each.number.rpartition("-")[2]) for own in outcomes for each in own if each.number)
    assert numbers == list(range(1, WRITERS * PAYMENTS + 1))


LINES = (10, 100, 1000, 10_000)


class Statements:
    """What the server was asked since the last look, from its own log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._seen = log.stat().st_size

    def look(self) -> int:
        """Return how many statements it was sent."""
        with self._log.open("rb") as file:
            file.seek(self._seen)
            written = file.read()
        self._seen += len(written)
        return written.count(b"LOG:  statement:") + written.count(b"LOG:  execute ")


@pytest.fixture
def statements(request: pytest.FixtureRequest, world: "CaseWorld") -> Iterator[Any]:
    """Let the server write down each statement of this database; on SQLite count the trips to the database, there is no server."""
    if world.database.dialect == "sqlite":
        yield request.getfixturevalue("trips")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with psycopg.connect(host=str(server.folder), user="postgres", dbname="postgres", autocommit=True) as connection:
        name = world.database.engine.url.database
        connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    world.database.dispose()  # a connection reads the setting when it begins
    yield Statements(server.folder / "log")


class Trips:
    """How often units went to the database since the last look."""

    count = 0

    def look(self) -> int:
        """Return the number of trips."""
        counted, self.count = self.count, 0
        return counted


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    counted, trip = Trips(), Transaction.trip

    def counting(self: Transaction, *calls: Any) -> Any:
        counted.count += len(calls)
        return trip(self, *calls)

    monkeypatch.setattr(Transaction, "trip", counting)
    return counted


def _take_time(world: "CaseWorld") -> None:
    """Let statements and hooks take as long as they take: statements are counted here, and the machine may be busy."""
    world.database.dispose()
    settings = Settings(statement_timeout_seconds=600, idle_timeout_seconds=600)
    world.database = open_database(world.url, plugins=registry.Registry(world.registry.plugins, budget_seconds=600), settings=settings)


def _analyze(world: "CaseWorld") -> None:
    """Do what the server does by itself elsewhere: it has seen these tables empty a moment ago, and plans as if they still were."""
    if world.database.dialect == "postgresql":
        with world.database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))


@pytest.mark.case("P63")
def test_number_of_statements_does_not_grow_with_the_lines(world: "CaseWorld", statements: Any) -> None:
    """odoo/odoo#111649, microsoft/AL#4104: 80 lines took 5.5 minutes, and 1,500 lines never finished."""
    _take_time(world)
    patient = world.patient()
    created, paid = [], []
    world.bill("VISIT", patient_id=patient)  # connects, and reads what units keep of the clinic, and of who acts
    world.read(lambda tx: tx.clinic_id, actor="c1")

    for lines in LINES:
        items = ["AMOX:0.001", *["GLU", "VISIT"] * (lines // 2 - 1), "VISIT"]
        statements.look()
        bill = world.bill(*items, patient_id=patient)
        created.append(statements.look())
        _analyze(world)
        statements.look()
        world.pay(bill.id, f"card {bill.total_minor // 100}.{bill.total_minor % 100:02}", actor="c1")
        paid.append(statements.look())

    assert created == [created[0]] * len(LINES)
    assert paid == [paid[0]] * len(LINES)
    assert 0 < paid[0] < 30
    assert world.lab_orders() == sum(lines // 2 - 1 for lines in LINES)
