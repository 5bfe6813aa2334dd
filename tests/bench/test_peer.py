"""What payments are measured against, the stored function and the code by hand, does the same work: the same rows, nothing for the doctor."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from bench.cashiers import PeerCashier, RawCashier, ServiceCashier, Work, install_peer
from bench.clinic import bill, cashier_of, found, open_bench
from bench.fill import Template, copy_invoice, read_template
from billing.database import Database
from billing.model import CLINIC, IdempotencyKey, Takings
from billing.services import doctor
from billing.services.setup import OPERATOR_LOGIN, make_operator
from billing.services.shifts import open_shift
from billing.transaction import Transaction

CLINIC_CODE = "north"
DIFFERENT = {"hash", "previous_hash", "content_hash", "number", "number_value", "receipt_number", "receipt_value"}
"""Columns that differ because the one was paid before the other."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = open_bench(database_url)
    made.set_up(make_operator)
    yield made
    made.dispose()


@pytest.mark.parametrize("in_shift", [False, True])
def test_what_is_measured_against_leaves_the_same_rows_as_the_service(database: Database, database_url: str, *, in_shift: bool) -> None:
    ours, theirs = _works(database, 2)
    if in_shift:
        database.run(lambda tx: open_shift(tx, drawer="front", float_minor=0), actor=cashier_of(CLINIC_CODE), clinic=CLINIC_CODE)
    service, peer = ServiceCashier(database_url), _peer(database_url)

    service.do(ours)
    taken = _takings(database)
    peer.do(theirs)
    twice = _takings(database)
    peer.do(theirs)  # again under the same key: nothing more happens
    service.do(theirs)  # nor here: it takes the other's request for its own
    service.close()
    peer.close()

    assert _seen(database, theirs) == _seen(database, ours)
    assert twice == {cell: (2 * amount, 2 * acts) for cell, (amount, acts) in taken.items()}
    assert _takings(database) == twice
    report = database.read(doctor.examine, actor=OPERATOR_LOGIN, clinic=CLINIC_CODE)
    assert [check.name for check in report.broken] == []


def _takings(database: Database) -> dict[tuple[Any, ...], tuple[int, int]]:
    rows = database.read(lambda tx: tx.session.scalars(select(Takings)).all(), actor=OPERATOR_LOGIN, clinic=CLINIC_CODE)
    return {(row.business_date, row.department, row.provider_id, row.method): (row.amount_minor, row.acts) for row in rows}


def _peer(url: str) -> PeerCashier | RawCashier:
    if url.startswith("sqlite"):
        return RawCashier(url)
    install_peer(url)
    return PeerCashier(url)


def test_copies_of_a_paid_invoice_leave_the_doctor_nothing_to_find(database: Database, database_url: str) -> None:
    (paid,) = _works(database, 1)
    cashier = ServiceCashier(database_url)
    cashier.do(paid)
    cashier.close()

    copies = copy_invoice(database, CLINIC_CODE, paid.invoice_id, 7, days=3)

    report = database.read(doctor.examine, actor=OPERATOR_LOGIN, clinic=CLINIC_CODE)
    assert [check.name for check in report.broken] == []
    assert len(set(copies)) == 7


def _works(database: Database, count: int) -> list[Work]:
    clinic = found(database, CLINIC_CODE)
    made = [bill(database, clinic) for _ in range(count)]
    totals = [database.read(lambda tx, each=each: read_template(tx, each), actor=OPERATOR_LOGIN, clinic=CLINIC_CODE) for each in made]  # type: ignore[misc]
    return [
        Work(CLINIC_CODE, clinic.id, invoice_id, template.invoice["total_minor"]) for invoice_id, template in zip(made, totals, strict=True)
    ]


def _seen(database: Database, work: Work) -> list[tuple[str, Any]]:
    """Return every row that belongs to an invoice, and its key's, with what must differ written as what it stands for."""

    def unit(tx: Transaction) -> list[tuple[str, Any]]:
        template = read_template(tx, work.invoice_id)
        names = _names(template)
        key = select(IdempotencyKey.__table__).where(IdempotencyKey.clinic_id == CLINIC, IdempotencyKey.key == work.invoice_id)
        keys = [dict(row) for row in tx.session.execute(key, {"clinic_id": tx.clinic_id}).mappings()]
        assert len(keys) == 1
        places = {"audit_entry": ("position",)}  # in the clinic's chain
        rows = [
            (table, {name: value for name, value in row.items() if name not in places.get(table, ())})
            for table, found in template.rows.items()
            for row in found
        ]
        rows += [("idempotency_key", {**row, "request_hash": len(row["request_hash"])}) for row in keys]
        return sorted(((table, _plain(row, names)) for table, row in rows), key=repr)

    return database.read(unit, actor=OPERATOR_LOGIN, clinic=CLINIC_CODE)


def _names(template: Template) -> dict[str, str]:
    names = dict.fromkeys(template.ids, "a row of this invoice")
    names[template.invoice["id"]] = "the invoice"
    names[template.rows["payment"][0]["id"]] = "the payment"
    return names | {item["id"]: f"item {item['position']}" for item in template.rows["invoice_item"]}


def _plain(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each, names) for name, each in value.items() if name not in DIFFERENT}
    if isinstance(value, list):
        return [_plain(each, names) for each in value]
    if isinstance(value, str):
        return "an instant" if value[4:5] == value[7:8] == "-" and "T" in value else names.get(value, value)
    return "an instant" if isinstance(value, date) and hasattr(value, "hour") else value
