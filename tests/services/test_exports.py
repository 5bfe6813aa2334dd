"""Exports: every row once, in order, as texts that a spreadsheet reads as what they are."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from billing.errors import Forbidden
from billing.model import Client, Patient, new_id
from billing.rules.spreadsheet import plain_cell
from billing.services import exports, invoice_steps, invoices
from billing.services.exports import Export
from billing.services.quotation import NewItem
from billing.testing.world import World, items_of
from billing.transaction import Transaction

EVERY = [exports.export_invoices, exports.export_items, exports.export_payments, exports.export_tenders, exports.export_audit]
Rows = list[dict[str, str]]


def _read(world: World, export: Callable[[Transaction], Export], *, clinic: str | None = None, actor: str | None = None) -> Rows:
    file = io.StringIO(newline="")
    count = world.read(lambda tx: exports.write_csv(export(tx), file), clinic=clinic, actor=actor)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert len(rows) == count
    return rows


@pytest.fixture
def busy(world: World) -> World:
    """Return a clinic with a paid invoice in two departments, an instalment, a draft, and a cancelled invoice."""
    world.service("VIS", price="44.00")
    world.lot(world.service("AMX", department="shelf", price="30.0125", tax="S 1900"), "100")
    world.pay(world.invoice("VIS", NewItem("AMX", 2500, allowances=((50, "regular"),)), source="encounter:1").id, "card 40 C-1", "cash 100")
    world.pay(world.invoice("VIS").id, "transfer 10 T-1", scope="ON_ACCOUNT")
    world.invoice("VIS", note="call\nback")
    cancelled = world.invoice("VIS").id
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=cancelled, reason="=1+1"))
    return world


def test_invoices_have_their_amounts_as_decimals_and_the_currency_beside(busy: World) -> None:
    rows = _read(busy, exports.export_invoices)

    assert [row["number"][-5:] for row in rows] == ["00001", "00002", "00003", "00004"]
    assert [row["status"] for row in rows] == ["paid", "partial", "draft", "cancelled"]
    paid, partial, draft, cancelled = rows
    assert (paid["net"], paid["tax"], paid["total"], paid["amount_due"], paid["currency"]) == ("118.53", "14.16", "132.69", "0.00", "EUR")
    assert (partial["amount_paid"], partial["amount_due"]) == ("10.00", "34.00")
    assert (paid["client"], paid["patient"], paid["source"]) == ("Ada Client", "Ada", "encounter:1")
    assert (draft["note"], draft["issue_date"], draft["issued_at"]) == ("call\nback", "", "")
    assert cancelled["cancel_reason"] == "'=1+1"


def test_items_sum_to_their_invoices(busy: World) -> None:
    items = _read(busy, exports.export_items)

    for invoice in _read(busy, exports.export_invoices):
        own = [item for item in items if item["invoice"] == invoice["number"]]
        assert [item["position"] for item in own] == [str(place) for place in range(1, len(own) + 1)]
        assert sum(Decimal(item["total"]) for item in own) == Decimal(invoice["total"])
    amx = next(item for item in items if item["code"] == "AMX")
    assert (amx["quantity"], amx["unit_price"], amx["allowance"], amx["net"], amx["tax_percent"]) == (
        "2.5",
        "30.0125",
        "0.50",
        "74.53",
        "19",
    )
    assert amx["receipt"].endswith("-00001")
    assert amx["paid_at"].endswith("+00:00")


def test_payments_and_their_tenders_agree(busy: World) -> None:
    payments, tenders = _read(busy, exports.export_payments), _read(busy, exports.export_tenders)

    first = payments[0]
    assert (first["scope"], first["tendered"], first["change"], first["applied"]) == ("ALL", "140.00", "7.31", "132.69")
    assert first["invoice"].endswith("-00001")
    assert [(each["method"], each["amount"], each["reference"]) for each in tenders] == [
        ("card", "40.00", "C-1"),
        ("cash", "100.00", ""),
        ("transfer", "10.00", "T-1"),
    ]
    for payment in payments:
        own = [Decimal(each["amount"]) for each in tenders if each["receipt"] == payment["receipt"]]
        assert sum(own) == Decimal(payment["tendered"])


def test_audit_trail_is_complete_and_names_its_actors(busy: World) -> None:
    rows = _read(busy, exports.export_audit)

    assert [row["position"] for row in rows] == [str(place) for place in range(1, len(rows) + 1)]
    assert {row["actor"] for row in rows} == {busy.actor}
    assert [row["previous_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert [row["number"] for row in rows if row["action"] == "payment.taken"] == ["1", "2"]


def test_currency_without_decimals_has_none(database_url: str) -> None:
    world = World(database_url, currency="JPY")
    world.service("VIS", price="1240.5")
    world.pay(world.invoice("VIS:2").id, "cash 3000")

    (payment,), (item,) = _read(world, exports.export_payments), _read(world, exports.export_items)

    world.dispose()
    assert (payment["applied"], payment["change"], payment["currency"]) == ("2481", "519", "JPY")
    assert (item["unit_price"], item["total"]) == ("1240.5", "2481")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+49 30", "-1+1", "@SUM(A1)", "'=1", "O'Neill", "Zoë"])
def test_what_people_typed_is_no_formula_and_can_be_read_back(sqlite_world: World, name: str) -> None:
    def unit(tx: Transaction) -> None:
        client = Client(id=new_id(), name=name, created_at=tx.at)
        tx.session.add(client)
        tx.session.flush()  # the patient refers to the client
        patient = Patient(id=new_id(), client_id=client.id, kind="person", name=name, sex="female", created_at=tx.at)
        tx.session.add(patient)
        invoices.create_invoice(tx, patient_id=patient.id, items=items_of(["VIS"]))

    sqlite_world.service("VIS")
    sqlite_world.run(unit)

    (row,) = _read(sqlite_world, exports.export_invoices)

    assert plain_cell(row["client"]) == name
    assert row["client"][0] not in "=+-@"


def test_every_row_is_exported_once_whatever_the_batch(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    busy.run(_bill_three, at=at)  # at one instant: the key has to tell them apart
    whole = [_read(busy, export) for export in EVERY]

    monkeypatch.setattr(exports, "BATCH", 2)
    in_parts = [_read(busy, export) for export in EVERY]

    assert in_parts == whole
    assert len({row["id"] for row in whole[0]}) == len(whole[0]) == 7
    assert [row["created_at"] for row in whole[0]] == sorted(row["created_at"] for row in whole[0])


def _bill_three(tx: Transaction) -> None:
    patient_id = tx.session.scalars(select(Patient.id)).first()
    assert patient_id is not None
    for _ in range(3):
        invoices.create_invoice(tx, patient_id=patient_id, items=items_of(["VIS", "VIS", "VIS"]))


def test_clinic_without_rows_exports_its_columns_only(world: World) -> None:
    file = io.StringIO(newline="")

    count = world.read(lambda tx: exports.write_csv(exports.export_payments(tx), file, byte_order_mark=True))

    assert count == 0
    assert file.getvalue().startswith("\N{ZERO WIDTH NO-BREAK SPACE}receipt,business_date,")
    assert file.getvalue().endswith("\r\n")


def test_another_clinics_rows_are_not_exported(busy: World) -> None:
    assert [len(_read(busy, export, clinic="south")) for export in EVERY] == [0, 0, 0, 0, 1]  # the entry of its founding


@pytest.mark.parametrize(("role", "may"), [("auditor", True), ("manager", True), ("cashier", False), ("clinician", False)])
def test_who_may_export(world: World, hire: Callable[[str], str], role: str, may: bool) -> None:
    login = hire(role)

    for export in EVERY:
        if may:
            _read(world, export, actor=login)
        else:
            with pytest.raises(Forbidden):
                _read(world, export, actor=login)
