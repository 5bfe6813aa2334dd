"""A database with a year behind it, and the plans by which it answers to the application's role, under row level security.

What was sent is taken from the database itself, whatever carried it.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, event, inspect, text

from bench.cashiers import ServiceCashier, Work, connect
from bench.clinic import FIVE_ITEMS, BenchClinic, bill, found, open_bench
from bench.fill import copy_invoice, read_template
from billing.database import Database
from billing.model import Base, new_id
from billing.model.writes import InsertRows
from billing.services.setup import OPERATOR_LOGIN, make_operator
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, PostgresServer, as_role
from billing.transaction import Transaction

PATIENTS, CONSULTATIONS = 6000, 3000
PAID, VISITS_ONLY, SENT, DRAFTS = 500, 3500, 100, 50
DAYS = 300
TAKEN = 500
MOST = "substr(CAST(id AS TEXT), 35) <> '00'"  # all but one of 256
DONE = (
    f"UPDATE laboratory_order SET status = 'final' WHERE {MOST}",
    f"UPDATE laboratory_result SET status = 'cancelled' WHERE {MOST}",
)
"""Most of a year's orders are done."""

CLINIC = "north"
VISIT = ("VISIT",)
DRAFT = ("VISIT", "AMOX")


class Year:
    """A filled database: the clinic `north` with a year of work, and a smaller clinic beside it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.set_up(make_operator)
        self.clinic = self._fill(CLINIC)
        self._fill("south", share=10)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many rows each table has."""
        engine = create_engine(as_role(self.database.engine.url.render_as_string(hide_password=False), SUPERUSER), poolclass=NullPool)
        with engine.connect() as connection:
            names = inspect(connection).get_table_names()
            return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}

    def run(self, unit: Callable[[Transaction], Any]) -> Any:
        """Run a unit, and take the beginning of what it yields. A document locks what it is printed of, so it can't be one that only reads."""
        return self.database.run(lambda tx: _taken(unit(tx)), actor=OPERATOR_LOGIN, clinic=CLINIC)

    def _fill(self, code: str, *, share: int = 1) -> BenchClinic:
        clinic = found(self.database, code)
        people = self._run(code, lambda tx: _add_people(tx, clinic))
        draft, sent, done, visit = (
            bill(self.database, clinic, codes, issued=codes is not DRAFT) for codes in (DRAFT, *[FIVE_ITEMS] * 2, VISIT)
        )
        cashier = ServiceCashier(self.database.engine.url.render_as_string(hide_password=False))
        for paid in (done, visit):
            total = self._run(code, lambda tx, paid=paid: read_template(tx, paid).invoice["total_minor"])  # type: ignore[misc]
            cashier.do(Work(code, clinic.id, paid, total))
        cashier.close()
        for invoice_id, count in ((visit, VISITS_ONLY), (done, PAID), (sent, SENT), (draft, DRAFTS)):
            copy_invoice(self.database, code, invoice_id, count // share, patients=people, days=DAYS)
        return clinic

    def _run(self, code: str, unit: Callable[[Transaction], Any]) -> Any:
        return self.database.run(unit, actor=OPERATOR_LOGIN, clinic=code)


def _add_people(tx: Transaction, clinic: BenchClinic) -> list[tuple[str, str]]:
    tables = Base.metadata.tables
    people = [(new_id(), new_id()) for _ in range(PATIENTS)]
    began = tx.at - timedelta(days=DAYS)
    clients = [
        {"id": client, "name": f"Client {place:05}", "phone": "", "email": "", "address": "", "source": None, "created_at": began}
        for place, (_, client) in enumerate(people)
    ]
    told: dict[str, Any] = {
        "kind": "person",
        "sex": "female",
        "birth_date": None,
        "species": None,
        "breed": None,
        "source": None,
        "created_at": began,
    }
    patients = [
        {"id": patient, "client_id": client, "name": f"Patient {place:05}"} | told for place, (patient, client) in enumerate(people)
    ]
    visits = [_visit(tx, clinic, people[place][0], place) for place in range(CONSULTATIONS)]
    for name, rows in (("client", clients), ("patient", patients), ("consultation", visits)):
        tx.write(InsertRows(tables[name], rows))
    return people


def _visit(tx: Transaction, clinic: BenchClinic, patient_id: str, place: int) -> dict[str, Any]:
    at = tx.at - timedelta(days=DAYS) * (CONSULTATIONS - place) / CONSULTATIONS
    status = "open" if place > CONSULTATIONS - 20 else "closed"
    return {
        "id": new_id(),
        "patient_id": patient_id,
        "provider_id": clinic.provider_id,
        "kind": "visit",
        "status": status,
        "at": at,
        "planned_at": None,
        "opened_at": at,
        "closed_at": at if status == "closed" else None,
        "cancelled_at": None,
        "reason": "",
        "source": None,
        "created_at": at,
    }


def _taken(made: Any) -> Any:
    # The last pages of a long list are few rows of small tables, which are scanned with good reason: the first ones count.
    return list(islice(made, TAKEN)) if isinstance(made, Iterator) else made


@pytest.fixture(scope="session")
def sqlite_year(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """Fill a SQLite file, once."""
    path = tmp_path_factory.mktemp("year") / "billing.sqlite3"
    shutil.copyfile(sqlite_template, path)
    database = open_bench(f"sqlite:///{path}")
    year = Year(database)
    with database.engine.begin() as connection:
        for statement in DONE:
            connection.execute(text(statement))
        connection.execute(text("ANALYZE"))
    database.dispose()
    yield year
    database.dispose()


@pytest.fixture(scope="session")
def postgresql_year(postgres_server: PostgresServer, postgresql_template: str) -> Iterator[Year]:
    """Fill a PostgreSQL database, once, in which every statement tells its plan."""
    name = "year"
    postgres_server.create_database(name, template=postgresql_template, owner=OWNER)
    database = open_bench(postgres_server.url(name, role=APPLICATION))
    year = Year(database)
    with connect(postgres_server.url(name)) as connection:
        for statement in DONE:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
        for setting in (
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_format = 'json'",
            "client_min_messages = 'log'",
        ):
            connection.execute(f"ALTER DATABASE {name} SET {setting}")
    database.dispose()  # the library is loaded when a session begins
    yield year
    database.dispose()
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def year(request: pytest.FixtureRequest) -> Year:
    """Return the filled database; the test runs once on each kind."""
    made: Year = request.getfixturevalue(f"{request.param}_year")
    return made


@pytest.fixture
def plans_of(year: Year) -> Callable[[Callable[[Transaction], Any]], list[Any]]:
    """Return a function that runs a unit and returns the plans of its statements: lines on SQLite, trees on PostgreSQL."""
    return lambda unit: _sqlite_plans(year, unit) if year.database.dialect == "sqlite" else _postgresql_plans(year, unit)


@pytest.fixture
def postgresql_plans_of(postgresql_year: Year) -> Callable[[Callable[[Transaction], Any]], list[Any]]:
    """Return the same for PostgreSQL alone."""
    return lambda unit: _postgresql_plans(postgresql_year, unit)


def _sqlite_plans(year: Year, unit: Callable[[Transaction], Any]) -> list[Any]:
    sent: list[str] = []
    year.database.dispose()  # a connection that is pooled would not be heard

    def trace(connection: sqlite3.Connection, *_: Any) -> None:
        connection.set_trace_callback(sent.append)  # with the values in the text

    event.listen(year.database.engine, "connect", trace)
    year.run(unit)
    event.remove(year.database.engine, "connect", trace)
    year.database.dispose()
    with sqlite3.connect(str(year.database.engine.url.database)) as connection:
        selects = [statement for statement in sent if statement.lstrip().upper().startswith(("SELECT", "WITH"))]
        return [[row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")] for statement in selects]


def _postgresql_plans(year: Year, unit: Callable[[Transaction], Any]) -> list[Any]:
    told: list[str] = []
    year.database.dispose()  # a connection that is pooled would not be heard

    def hear(connection: Any, *_: Any) -> None:
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary))

    event.listen(year.database.engine, "connect", hear)
    year.run(unit)
    event.remove(year.database.engine, "connect", hear)
    year.database.dispose()
    return [json.loads(message[message.index("{") :])["Plan"] for message in told if message and "plan:" in message]
