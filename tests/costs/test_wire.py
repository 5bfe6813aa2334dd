"""What goes over the wire for a payment, counted in the messages that libpq writes down itself, whatever carries the statements."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bench.cashiers import ServiceCashier, Work
from bench.clinic import FIVE_ITEMS, bill, found, items_of, open_bench
from bench.fill import read_template
from billing.services.setup import OPERATOR_LOGIN, make_operator

MOST_TRIPS = 6
"""Times that a payment of an issued invoice waits for the server: BEGIN, a ping, what is read of the clinic, lock and needs, the write, COMMIT."""

MOST_STATEMENTS = 20
"""Executed for it, with all three departments: those of the core, and one for each need."""

CLINIC = "north"
WAITS = {"Sync", "Query"}
RUNS = {"Execute", "Query"}


class Wire:
    """The messages of one cashier's connection to the server."""

    def __init__(self, url: str, trace: Path) -> None:
        self.cashier = ServiceCashier(url)
        self._trace = trace
        self._file = trace.open("w")
        event.listen(self.cashier.database.engine, "connect", self._listen)

    def _listen(self, connection: Any, *_: Any) -> None:
        connection.pgconn.trace(self._file.fileno())

    def of(self, work: Work) -> Counter[str]:
        """Pay, and return how often each message was sent."""
        before = self._sent()
        self.cashier.do(work)
        return self._sent() - before

    def close(self) -> None:
        self.cashier.close()
        self._file.close()

    def _sent(self) -> Counter[str]:
        # Instant, direction, length, message, and the rest; F is to the server.
        lines = (line.split("\t") for line in self._trace.read_text(encoding="utf-8", errors="replace").splitlines())
        return Counter(fields[3] for fields in lines if len(fields) > 3 and fields[1] == "F")


@pytest.fixture
def wire(postgresql_url: str, tmp_path: Path) -> Iterator[Wire]:
    made = Wire(postgresql_url, tmp_path / "trace")
    yield made
    made.close()


def test_payment_costs_the_same_messages_for_any_number_of_items(postgresql_url: str, wire: Wire) -> None:
    works = _works(postgresql_url, [FIVE_ITEMS, *(items_of(size) for size in (5, 20, 100))])
    wire.of(works[0])  # what is prepared once is prepared now

    sent = [wire.of(work) for work in works[1:]]

    waits = [sum(each[name] for name in WAITS) for each in sent]
    runs = [sum(each[name] for name in RUNS) for each in sent]
    assert (len(set(waits)), len(set(runs))) == (1, 1), (waits, runs)
    assert 0 < waits[0] <= MOST_TRIPS
    assert 0 < runs[0] <= MOST_STATEMENTS


def _works(url: str, invoices: list[tuple[str, ...]]) -> list[Work]:
    database = open_bench(url)
    database.set_up(make_operator)
    clinic = found(database, CLINIC)
    made = []
    for codes in invoices:
        invoice_id = bill(database, clinic, codes)
        template = database.read(lambda tx, each=invoice_id: read_template(tx, each), actor=OPERATOR_LOGIN, clinic=CLINIC)  # type: ignore[misc]
        made.append(Work(CLINIC, clinic.id, invoice_id, template.invoice["total_minor"]))
    database.dispose()
    return made
