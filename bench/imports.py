"""An import of every fifth visit of a Synthea export: on SQLite against the driver alone, doing word for word what the import did; on PostgreSQL counted."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.clinic import departments_that_ship, open_bench, prepare
from bench.report import Section, Table
from billing import clock
from billing.database import Database
from billing.services import clinics
from billing.services.imports.run import import_export
from billing.services.imports.synthea import Export, read_export
from billing.services.setup import OPERATOR_LOGIN
from billing.testing.postgres import running_postgres
from billing.trips.direct import DirectTrips

EVERY = 5
CLINIC = "north"

Said = tuple[bool, str, Any]
"""One call of the driver: many rows or one, the text, the values."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall seconds of one run in this process."""

    cpu: float
    wall: float


def measure(rounds: int) -> Section:
    """Return the table of the import."""
    export = _export()
    visits = len(export.visits)
    runs = [_sqlite(export) for _ in range(rounds)]
    raw_calls = runs[0][2]
    service, raw = [each[0] for each in runs], [each[1] for each in runs]
    server, trips, statements = _postgresql(export)
    rows = [
        _row("import, SQLite", service, visits, raw, raw_calls, None),
        _row("driver alone, SQLite", raw, visits, raw, raw_calls, None),
        _row("import, PostgreSQL (client's CPU)", [server], visits, None, statements, trips),
    ]
    return Section(
        "imports",
        f"An import of {visits} encounters",
        f"Every {EVERY}th encounter of the export in BILLING_SHARED_DATA, all departments, {rounds} rounds on SQLite. The driver alone repeats "
        "the statements of the import, with the values that the import has computed, on a copy of the same file. Goal: CPU at most twice the driver's.",
        [Table(("who", "encounters/s", "encounters per CPU second", "CPU to the driver", "statements and trips per encounter"), rows)],
    )


def _row(name: str, costs: Sequence[Cost], visits: int, raw: Sequence[Cost] | None, statements: int, trips: int | None) -> Sequence[str]:
    ratio = f"{median(one.cpu / other.cpu for one, other in zip(costs, raw, strict=True)):.2f}" if raw else "-"
    counted = f"{statements / visits:.1f}" + (f", {trips / visits:.1f}" if trips else "")
    return (
        name,
        f"{visits / median(each.wall for each in costs):.0f}",
        f"{visits / median(each.cpu for each in costs):.0f}",
        ratio,
        counted,
    )


def _export() -> Export:
    folder = os.environ.get("BILLING_SHARED_DATA")
    if folder is None:
        raise click.UsageError("Name the folder that holds synthea/ in BILLING_SHARED_DATA.")
    whole = read_export(Path(folder, "synthea"), now=clock.now())
    return replace(whole, visits=whole.visits[::EVERY])


def _sqlite(export: Export) -> tuple[Cost, Cost, int]:
    """Return what the import costs, what the driver alone costs, and how many calls of the driver both make."""
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder, "billing.sqlite3"), Path(folder, "copy.sqlite3")
        _founded(f"sqlite:///{path}").dispose()
        with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        database = open_bench(f"sqlite:///{path}")
        service = _timed(lambda: import_export(database, export=export, clinic=CLINIC, actor=OPERATOR_LOGIN))
        database.dispose()
        path.unlink()
        with sqlite3.connect(copy) as source, sqlite3.connect(path) as target:
            source.backup(target)
        with _recorded() as said:
            database = open_bench(f"sqlite:///{path}")
            import_export(database, export=export, clinic=CLINIC, actor=OPERATOR_LOGIN)
            database.dispose()
        connection = sqlite3.connect(copy, isolation_level=None, cached_statements=256)
        raw = _timed(lambda: _repeat(connection, said))
        connection.close()
        return service, raw, len(said)


def _postgresql(export: Export) -> tuple[Cost, int, int]:
    """Return what the import costs the client, and its trips and statements."""
    counted: list[int] = []
    trip = DirectTrips.trip

    def counting(self: DirectTrips, calls: Sequence[Any]) -> Any:
        counted.append(len(calls))
        return trip(self, calls)

    with running_postgres(durable=True) as server:
        server.create_database("imports")
        database = _founded(server.url("imports"))
        DirectTrips.trip = counting  # type: ignore[method-assign]
        try:
            cost = _timed(lambda: import_export(database, export=export, clinic=CLINIC, actor=OPERATOR_LOGIN))
        finally:
            DirectTrips.trip = trip  # type: ignore[method-assign]
            database.dispose()
    return cost, len(counted), sum(counted)


def _founded(url: str) -> Database:
    prepare(url)
    database = open_bench(url, departments_that_ship())
    database.run(
        lambda tx: clinics.create_clinic(tx, code=CLINIC, name="North", currency_code="USD", time_zone="America/Los_Angeles"),
        actor=OPERATOR_LOGIN,
    )
    return database


def _timed(work: Callable[[], object]) -> Cost:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.process_time() - cpu, time.monotonic() - wall)


@contextmanager
def _recorded() -> Iterator[list[Said]]:
    """Write down what connections made in the block are told."""
    said: list[Said] = []

    class Cursor(sqlite3.Cursor):
        def execute(self, text: str, values: Any = ()) -> Any:
            said.append((False, text, values))
            return super().execute(text, values)

        def executemany(self, text: str, values: Any) -> Any:
            said.append((True, text, values))
            return super().executemany(text, values)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(Cursor)

        def execute(self, text: str, values: Any = ()) -> Any:
            return self.cursor().execute(text, values)

        def executemany(self, text: str, values: Any) -> Any:
            return self.cursor().executemany(text, values)

        def rollback(self) -> None:
            if self.in_transaction:
                said.append((False, "ROLLBACK", ()))
            super().rollback()

    connect = sqlite3.connect
    sqlite3.connect = sqlite3.dbapi2.connect = lambda *args, **options: connect(*args, **{**options, "factory": Connection})
    try:
        yield said
    finally:
        sqlite3.connect = sqlite3.dbapi2.connect = connect


def _repeat(connection: sqlite3.Connection, said: Sequence[Said]) -> None:
    for many, text, values in said:
        if many:
            connection.executemany(text, values)
        else:
            connection.execute(text, values).fetchall()
