"""Who pays in a measurement: through the service API, through the stored function, by hand on sqlite3. Measures nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import make_url

from bench import sqlite_peer
from bench.clinic import FIVE_ITEMS, BenchClinic, bill, cashier_of, open_bench
from bench.fill import copy_invoice, read_template
from billing.database import Database
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import patients, payments
from billing.services.setup import OPERATOR_LOGIN
from billing.testing.postgres import OWNER, SUPERUSER, as_role
from billing.transaction import Transaction

PATIENTS = 200
ALL = Scope.parse("ALL")


@dataclass(frozen=True, slots=True)
class Work:
    """An invoice that is to be paid."""

    clinic: str
    clinic_id: str
    invoice_id: str
    total_minor: int


class ServiceCashier:
    """Pays through the service API."""

    def __init__(self, url: str, place: int = 0) -> None:
        self.database = open_bench(url)

    def do(self, work: Work) -> None:
        """Take one payment under an idempotency key."""
        tender = Tender("card", work.total_minor, None)

        def unit(tx: Transaction) -> Any:
            return payments.take_payment(tx, invoice_id=work.invoice_id, scope=ALL, tenders=[tender], key=work.invoice_id)

        self.database.run(unit, clinic=work.clinic, actor=cashier_of(work.clinic))

    def servers(self) -> Sequence[int]:
        """Return the backend behind the pooled connection."""
        if self.database.dialect == "sqlite":
            return ()
        with self.database.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            return [int(driver.info.backend_pid)]

    def close(self) -> None:
        """Close the pool."""
        self.database.dispose()


class LaxServiceCashier(ServiceCashier):
    """Pays through the service API on a SQLite file that is not flushed at each commit."""

    def __init__(self, url: str, place: int = 0) -> None:
        super().__init__(url, place)
        event.listen(self.database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))


class PeerCashier:
    """Pays by one call of the stored function: a prepared statement, one round trip, one implicit transaction."""

    def __init__(self, url: str, place: int = 0) -> None:
        self.connection = connect(url)

    def do(self, work: Work) -> None:
        """Take one payment under an idempotency key."""
        values = (work.clinic_id, cashier_of(work.clinic), work.invoice_id, work.invoice_id, "card", work.total_minor)
        self.connection.execute("SELECT bench_pay(%s, %s, %s, %s, %s, %s)", values, prepare=True)

    def servers(self) -> Sequence[int]:
        """Return the connection's backend."""
        return [self.connection.info.backend_pid]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class RawCashier:
    """Pays by hand on sqlite3."""

    synchronous = "FULL"

    def __init__(self, url: str, place: int = 0) -> None:
        self.connection = sqlite_peer.connect(str(make_url(url).database), self.synchronous)

    def do(self, work: Work) -> None:
        """Take one payment under an idempotency key."""
        sqlite_peer.pay(
            self.connection,
            clinic=work.clinic_id,
            login=cashier_of(work.clinic),
            invoice=work.invoice_id,
            key=work.invoice_id,
            method="card",
            amount=work.total_minor,
        )

    def servers(self) -> Sequence[int]:
        """Return none: SQLite works in the client's process."""
        return ()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class LaxRawCashier(RawCashier):
    """Pays by hand on a SQLite file that is not flushed at each commit."""

    synchronous = "NORMAL"


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a bare connection to PostgreSQL, outside of any transaction."""
    address = make_url(url)
    return psycopg.connect(host=str(address.query["host"]), user=address.username, dbname=address.database, autocommit=True)


def install_peer(url: str) -> None:
    """Make the stored function, as the tables' owner."""
    with connect(as_role(url, OWNER)) as connection:
        connection.execute(Path(__file__).with_name("peer.sql").read_text(encoding="utf-8"))


def settle(url: str) -> None:
    """Bring statistics up to date and the filled pages to the disk, so that no round pays for the filling."""
    with connect(as_role(url, SUPERUSER)) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def works(database: Database, clinic: BenchClinic, count: int, codes: tuple[str, ...] = FIVE_ITEMS) -> list[Work]:
    """Return so many issued invoices, ready to be paid."""
    template = bill(database, clinic, codes)
    ids = copy_invoice(database, clinic.code, template, count, patients=_add_patients(database, clinic, min(count, PATIENTS)))
    total = database.read(lambda tx: read_template(tx, template), actor=OPERATOR_LOGIN, clinic=clinic.code).invoice["total_minor"]
    return [Work(clinic.code, clinic.id, invoice_id, total) for invoice_id in ids]


def deal(pieces: Sequence[Work], names: Sequence[str], each: int) -> Mapping[str, Sequence[Work]]:
    """Deal one client's pieces of work out to its contenders, alternately, so that none gets the older ones."""
    return {name: pieces[place :: len(names)][:each] for place, name in enumerate(names)}


def _add_patients(database: Database, clinic: BenchClinic, count: int) -> list[tuple[str, str]]:
    """Return so many new patients, each with the client who pays: payments of one and the same would wait for each other."""

    def unit(tx: Transaction) -> list[tuple[str, str]]:
        made = [patients.add_patient(tx, name=f"Patient {place}") for place in range(count)]
        return [(each.id, each.client_id) for each in made]

    return database.run(unit, actor=OPERATOR_LOGIN, clinic=clinic.code)
