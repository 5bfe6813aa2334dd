"""What a payment and an invoice cost in statements and round trips: constant, whatever the items."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import event, text

from billing.facts import Claim, Records
from billing.plugin import Declaration, Department, hookimpl
from billing.services import invoice_steps
from billing.services.imports.run import import_export
from billing.services.imports.synthea import Export, ExportPatient, ExportVisit, Place
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World
from billing.trips import SQLiteTrips
from billing.trips.direct import DirectTrips


class Counted:
    """Statements and round trips since the last `reset`."""

    def __init__(self) -> None:
        self.trips = 0
        self.statements = 0

    def reset(self) -> None:
        self.trips = self.statements = 0

    @property
    def both(self) -> tuple[int, int]:
        return self.trips, self.statements


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    count = Counted()

    def counting(trip: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, calls: Sequence[Any]) -> Any:
            count.trips += 1
            count.statements += len(calls)
            return trip(self, calls)

        return wrapped

    for carrier in (DirectTrips, SQLiteTrips):
        monkeypatch.setattr(carrier, "trip", counting(carrier.trip))
    return count


@pytest.fixture
def world(postgresql_url: str, counted: Counted) -> Iterator[World]:
    made = World(postgresql_url)
    made.lot(made.service("AMX", department="shelf"), "1000000")
    made.service("VIS")

    def one_more(*_: Any) -> None:
        counted.trips += 1
        counted.statements += 1

    event.listen(made.database.engine, "before_cursor_execute", one_more)
    yield made
    made.dispose()


FIXED = 9
"""BEGIN, the clinic's name, what is kept of it, the key, the lock, the items; the write, COMMIT; and the one need of the shelf."""


IN_CASH, WITH_A_PAYER = (4, 15), (9, 22)
"""An imported visit, paid at once, and by a payer in part: the key, what prices depend on, the cover, each payment's reads, the end."""


def test_payment_is_two_trips_whatever_its_items(world: World, counted: Counted) -> None:
    costs = []
    for items in (1, 5, 20, 100):
        made = world.invoice(*["AMX", "VIS"][: items % 2 + 1], *["AMX"] * (items - items % 2 - 1))
        world.run(lambda tx, made=made: invoice_steps.issue_invoice(tx, invoice_id=made.id))  # type: ignore[misc]
        counted.reset()
        world.pay(made.id, f"card {made.total_minor // 100}.{made.total_minor % 100:02}", key=f"k{items}")
        costs.append(counted.both)

    assert costs == [(2, FIXED)] * 4


def test_payment_of_a_draft_is_two_trips_too(world: World, counted: Counted) -> None:
    made = world.invoice("AMX", "VIS")
    counted.reset()

    world.pay(made.id, "card 20", key="k")

    assert counted.both == (2, FIXED)


def test_issue_and_cancellation_are_two_trips(world: World, counted: Counted) -> None:
    made = world.invoice("AMX", "VIS")
    counted.reset()

    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))
    issue = counted.both
    counted.reset()
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=made.id, reason="twice"))

    assert issue == counted.both == (2, 7)


def test_invoice_is_two_trips_whatever_its_items(world: World, counted: Counted) -> None:
    patient = world.patient()
    costs = []
    for items in (1, 5, 100):
        counted.reset()
        world.invoice(*["AMX"] * items, patient_id=patient)
        costs.append(counted.both)

    assert costs == [(2, 9)] * 3


def test_plugin_without_needs_adds_no_statement(postgresql_url: str, counted: Counted) -> None:
    def department(code: str) -> Any:
        class Plugin:
            @hookimpl
            def declare(self) -> Declaration:
                return Declaration(departments=(Department(code, code.title(), effects=False),))

        return Plugin()

    world = World(postgresql_url, plugins={"desk": Desk(), "shelf": Shelf(), **{f"more{n}": department(f"more{n}") for n in range(10)}})
    world.service("VIS")
    made = world.invoice("VIS")
    alone = World(postgresql_url, plugins={"desk": Desk(), "shelf": Shelf()})
    other = alone.invoice("VIS")

    counted.reset()
    world.pay(made.id, "card 10")
    with_many = counted.both
    counted.reset()
    alone.pay(other.id, "card 10")

    assert with_many == counted.both
    world.dispose()
    alone.dispose()


class Visits(Desk):
    """Bills a visit as so many items as its code says."""

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=super().declare().departments, record_kinds=("visit",))

    @hookimpl
    def import_records(self, records: Records) -> Iterator[Claim]:
        for record in records.rows:
            for _ in range(int(record.row["CODE"])):
                yield Claim(record, "desk", "VIS", "A visit", 10_0000_00)


def export_of(*visits: tuple[int, str]) -> Export:
    """Return an export of one patient's visits: how many items, and what the payer covers."""
    place, at = Place("encounters.csv", 1), datetime(2020, 3, 4, 10, tzinfo=UTC)
    patient = ExportPatient("p1", "Ada Byron", "female", date(1980, 5, 6), "", place)
    cells = {"PAYER": "Good Health", "ENCOUNTERCLASS": "wellness", "LINE_TOTAL": ""}
    made = [
        ExportVisit(f"v{number}", "p1", "a provider", at, at, {**cells, "CODE": str(items), "PAYER_COVERAGE": covered}, place)
        for number, (items, covered) in enumerate(visits)
    ]
    return Export(tuple(made), {"p1": patient}, {}, {}, {}, {})


def test_imported_visit_costs_the_same_whatever_its_items(postgresql_url: str, counted: Counted) -> None:
    world = World(postgresql_url, plugins={"desk": Visits()})
    costs = []

    def done(_: int) -> None:
        costs.append(counted.both)
        counted.reset()

    export = export_of((1, "0"), (1, "0"), (5, "0"), (100, "0"), (1, "1.00"), (100, "1.00"))
    import_export(world.database, export=export, clinic=world.clinic, actor=world.actor, done=done)

    assert costs[1:4] == [IN_CASH] * 3  # the first one finds the price list empty
    assert costs[4:] == [WITH_A_PAYER] * 2
    world.dispose()


def test_payment_reads_and_writes_by_key_only(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(postgresql_url)
    world.lot(world.service("AMX", department="shelf"), "10")
    made = world.invoice("AMX")
    seen: list[tuple[str, Any]] = []
    trip = DirectTrips.trip

    def keep(self: Any, calls: Sequence[Any]) -> Any:
        seen.extend((prepared.text, values) for prepared, values in calls)
        return trip(self, calls)

    monkeypatch.setattr(DirectTrips, "trip", keep)
    world.pay(made.id, "card 10")
    monkeypatch.undo()

    with world.database.engine.connect() as connection:  # as the application, since its row level security is a part of each plan
        connection.execute(text("SET enable_seqscan = off"))
        raw: Any = connection.connection.driver_connection
        from psycopg import RawCursor

        for statement, values in seen:
            if statement.startswith(("BEGIN", "SET", "COMMIT")):
                continue
            plan = "\n".join(row[0] for row in RawCursor(raw).execute(f"EXPLAIN {statement}", values))
            assert "Seq Scan on" not in plan or "staff" in plan, plan
    world.dispose()
