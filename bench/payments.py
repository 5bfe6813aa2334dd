"""G1 and G2: a payment through the service API against the stored function of peer.sql, on the same tables, with 1, 2 and 4 clients."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from bench.clinic import FIVE_ITEMS, BenchClinic, bill, cashier_of, found, open_bench, prepare
from bench.fill import copy_invoice
from bench.report import Section, Table
from bench.rounds import Block, Contender, Plan, Spread, median, percentile, ratios, run
from billing.database import Database
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import patients, payments
from billing.services.setup import OPERATOR_LOGIN
from billing.testing.postgres import PostgresServer, running_postgres
from billing.transaction import Transaction

SERVICE, PEER = "service API", "PL/pgSQL function"
CLIENTS = (1, 2, 4)
PATIENTS = 200
PER_BLOCK = 60
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

    def __init__(self, url: str, place: int) -> None:
        self.database = open_bench(url)

    def do(self, work: Work) -> None:
        """Take one payment under an idempotency key."""
        tender = Tender("card", work.total_minor, None)

        def unit(tx: Transaction) -> Any:
            return payments.take_payment(tx, invoice_id=work.invoice_id, scope=ALL, tenders=[tender], key=work.invoice_id)

        self.database.run(unit, clinic=work.clinic, actor=cashier_of(work.clinic))

    def servers(self) -> Sequence[int]:
        """Return the backend behind the pooled connection."""
        with self.database.engine.connect() as connection:
            return [backend_of(connection)]

    def close(self) -> None:
        """Close the pool."""
        self.database.dispose()


class PeerCashier:
    """Pays by one call of the stored function: a prepared statement, one round trip, one implicit transaction."""

    def __init__(self, url: str, place: int) -> None:
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


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a bare connection, outside of any transaction."""
    address = make_url(url)
    return psycopg.connect(host=str(address.query["host"]), user=address.username, dbname=address.database, autocommit=True)


def backend_of(connection: Connection) -> int:
    """Return the process id of a connection's backend."""
    driver: Any = connection.connection.driver_connection
    return int(driver.info.backend_pid)


def install_peer(url: str) -> None:
    """Make the stored function."""
    with connect(url) as connection:
        connection.execute(Path(__file__).with_name("peer.sql").read_text(encoding="utf-8"))


@contextlib.contextmanager
def clinics_of(server: PostgresServer, name: str, count: int) -> Iterator[tuple[str, Database, list[BenchClinic]]]:
    """Make a database with so many clinics, and the stored function."""
    server.create_database(name)
    url = server.url(name)
    prepare(url)
    install_peer(url)
    database = open_bench(url)
    yield url, database, [found(database, f"clinic{place}") for place in range(count)]
    database.dispose()


def add_patients(database: Database, clinic: BenchClinic, count: int) -> list[tuple[str, str]]:
    """Return so many new patients, each with the client who pays: invoices of one and the same would wait for each other."""

    def unit(tx: Transaction) -> list[tuple[str, str]]:
        made = [patients.add_patient(tx, name=f"Patient {place}") for place in range(count)]
        return [(each.id, each.client_id) for each in made]

    return database.run(unit, actor=OPERATOR_LOGIN, clinic=clinic.code)


def works(database: Database, clinic: BenchClinic, count: int, codes: tuple[str, ...] = FIVE_ITEMS) -> list[Work]:
    """Return so many issued invoices, ready to be paid."""
    template = bill(database, clinic, codes)
    ids = copy_invoice(database, clinic.code, template, count, patients=add_patients(database, clinic, min(count, PATIENTS)))
    with database.engine.connect() as connection:
        total = connection.execute(text("SELECT total_minor FROM invoice WHERE id = :id"), {"id": template}).scalar_one()
    return [Work(clinic.code, clinic.id, invoice_id, total) for invoice_id in ids]


def deal(pieces: Sequence[Work], names: Sequence[str], each: int) -> Mapping[str, Sequence[Work]]:
    """Deal one client's pieces of work out to its contenders, alternately, so that none gets the older ones."""
    return {name: pieces[place :: len(names)][:each] for place, name in enumerate(names)}


CONTENDERS: Mapping[str, Any] = {SERVICE: ServiceCashier, PEER: PeerCashier}


def measure(rounds: int) -> Section:
    """Return the table of G1 and G2."""
    rows = []
    with running_postgres(durable=True) as server, clinics_of(server, "payments", max(CLIENTS)) as (url, database, places):
        for clients in CLIENTS:
            plan = Plan(CONTENDERS, rounds, PER_BLOCK)
            own = [works(database, places[client], plan.pieces * len(CONTENDERS)) for client in range(clients)]
            settle(url)
            blocks = run(url, plan, [deal(pieces, list(CONTENDERS), plan.pieces) for pieces in own])
            rows += [_row(blocks, name, clients) for name in CONTENDERS]
    head = ("clients", "who", "payments/s", "rate to the function", "CPU to the function", "client + server CPU-ms", "p50 / p99 ms")
    return Section(
        "payments",
        "G1 and G2: one payment of 5 items with all three departments",
        f"{rounds} interleaved rounds of {PER_BLOCK} payments for each client; each client in a clinic of its own; every payment has an "
        "idempotency key, an audit entry and an event. Goals: rate at least 0.70 (0.85), CPU at most 1.6 (1.4).",
        [Table(head, rows)],
    )


def settle(url: str) -> None:
    """Bring statistics up to date and the filled pages to the disk, so that no round pays for the filling."""
    with connect(url) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def cpu(block: Block) -> float:
    """Return the CPU-ms of client and server together."""
    return block.client_ms + block.server_ms


def _row(blocks: Sequence[Block], name: str, clients: int) -> tuple[str, ...]:
    def ratio(measure: Any) -> Spread | str:
        return "1" if name == PEER else ratios(blocks, name, PEER, measure)

    return (
        str(clients),
        name,
        f"{median(blocks, name, lambda block: block.rate):.0f}",
        str(ratio(lambda block: block.rate)),
        str(ratio(cpu)),
        f"{median(blocks, name, lambda b: b.client_ms):.2f} + {median(blocks, name, lambda b: b.server_ms):.2f}",
        f"{percentile(blocks, name, 0.5):.1f} / {percentile(blocks, name, 0.99):.1f}",
    )


_: type[Contender] = ServiceCashier
