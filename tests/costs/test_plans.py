"""Every list and every report answers by an index: it scans no table that grows, and sorts no more than a page or what belongs to one row."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, get_args

import pytest
from billing_consultation.services import list_fees, list_shares, list_terms
from billing_laboratory.catalogue import list_analytes, list_tests
from billing_laboratory.queries import report, worklist
from billing_pharmacy.queries import list_batches, list_expiring, list_moves, list_stock
from sqlalchemy import select

from billing.model import Consultation
from billing.services import (
    approvals,
    audit,
    consultations,
    doctor,
    exports,
    gaps,
    journal_export,
    ledger,
    listing,
    patients,
    periods,
    prices,
    reading,
    receivables,
    reminders,
    reports,
    series,
    shifts,
    staff,
    statements,
)
from billing.services.documents import content
from billing.transaction import Transaction

Unit = Callable[[Transaction], Any]
GROWING = 1000
"""A table with at least so many rows grows with the clinic's work; smaller ones are lists that people keep."""

SORTED = 500
"""Rows that may be sorted: those of a page, a patient, a batch. What grows is read in order."""


def _invoice_page(tx: Transaction, **chosen: Any) -> Any:
    return listing.list_invoices(tx, after=listing.list_invoices(tx, limit=400)[-1], **chosen)


def _a_patient(tx: Transaction) -> str:
    return listing.list_invoices(tx, status="paid", limit=1)[0].patient_id


def _of_days(tx: Transaction) -> dict[str, Any]:
    return {"from_date": tx.business_date - timedelta(days=3), "until_date": tx.business_date}


LISTS: dict[str, Unit] = {
    "invoices": listing.list_invoices,
    "invoices, a page in the middle": _invoice_page,
    "drafts": lambda tx: listing.list_invoices(tx, status="draft"),
    "sent invoices": lambda tx: listing.list_invoices(tx, status="sent"),
    "paid invoices": lambda tx: listing.list_invoices(tx, status="paid"),
    "paid invoices, a page in the middle": lambda tx: _invoice_page(tx, status="paid"),
    "overdue invoices": lambda tx: listing.list_invoices(tx, status="overdue"),
    "a patient's invoices": lambda tx: listing.list_invoices(tx, patient_id=_a_patient(tx)),
    "every invoice": listing.every_invoice,
    "payments": listing.list_payments,
    "payments, a page in the middle": lambda tx: listing.list_payments(tx, after=listing.list_payments(tx, limit=400)[-1]),
    "an invoice's payments": lambda tx: listing.list_payments(tx, invoice_id=listing.list_payments(tx, limit=1)[0].invoice_id),
    "consultations": consultations.list_consultations,
    "consultations, a page in the middle": lambda tx: consultations.list_consultations(
        tx, after=consultations.list_consultations(tx, limit=400)[-1].id
    ),
    "open consultations": lambda tx: consultations.list_consultations(tx, status="open"),
    "a provider's consultations": lambda tx: consultations.list_consultations(
        tx, provider_id=consultations.list_consultations(tx, limit=1)[0].provider_id
    ),
    "a patient's consultations": lambda tx: consultations.list_consultations(
        tx, patient_id=consultations.list_consultations(tx, limit=1)[0].patient_id
    ),
    "a day's consultations": lambda tx: consultations.list_consultations(tx, on=tx.business_date - timedelta(days=30)),
    "clients": patients.list_clients,
    "clients, a page in the middle": lambda tx: patients.list_clients(tx, after=patients.list_clients(tx, limit=400)[-1].id),
    "patients": patients.list_patients,
    "patients, a page in the middle": lambda tx: patients.list_patients(tx, after=patients.list_patients(tx, limit=400)[-1].id),
    "a client's patients": lambda tx: patients.list_patients(tx, client_id=patients.list_patients(tx, limit=1)[0].client_id),
    "price list": prices.list_services,
    "price history": lambda tx: prices.price_history(tx, code="VISIT"),
    "staff": staff.list_staff,
    "approvals": approvals.list_approvals,
    "series": series.list_series,
    "shifts": shifts.list_shifts,
    "closed months": periods.list_periods,
    "balances of some days": lambda tx: [
        ledger.moved(tx, from_date=tx.business_date - timedelta(days=31), until_date=tx.business_date - timedelta(days=29)),
    ],
    "audit trail": audit.list_entries,
    "audit trail, a page in the middle": lambda tx: audit.list_entries(tx, after=2000),
    "audit trail of an invoice": lambda tx: audit.list_entries(tx, subject_id=listing.list_invoices(tx, limit=1)[0].id),
    "audit trail of an action": lambda tx: audit.list_entries(tx, action="payment.taken"),
    "verified audit chain": audit.verify_chain,
    "terms": list_terms,
    "fees": list_fees,
    "shares of some days": lambda tx: list_shares(tx, from_date=tx.business_date - timedelta(days=2), until_date=tx.business_date),
    "a provider's shares of some days": lambda tx: list_shares(
        tx, provider="Dr. Ines Vogel", from_date=tx.business_date - timedelta(days=2), until_date=tx.business_date
    ),
    "stock": list_stock,
    "batches": list_batches,
    "batches that expire": lambda tx: list_expiring(tx, days=30),
    "stock moves": list_moves,
    "a product's stock moves": lambda tx: list_moves(tx, service_code="AMOX"),
    "laboratory tests": list_tests,
    "analytes": list_analytes,
    "laboratory worklist": worklist,
    "laboratory orders of a status": lambda tx: worklist(tx, statuses=["ordered"]),
    "a laboratory report": lambda tx: report(tx, order_id=worklist(tx, limit=1)[0].id),
    "an invoice by its number": lambda tx: reading.read_invoice(
        tx, invoice=listing.list_invoices(tx, status="paid", limit=1)[0].number or ""
    ),
    "a payment by its number": lambda tx: reading.read_payment(tx, payment=listing.list_payments(tx, limit=1)[0].receipt_number),
    "an invoice as a document": lambda tx: content.read_invoice_content(tx, listing.list_invoices(tx, status="paid", limit=1)[0].id),
    "a receipt as a document": lambda tx: content.read_receipt_content(tx, listing.list_payments(tx, limit=1)[0].id),
    "export of invoices": lambda tx: exports.export_invoices(tx).rows,
    "export of items": lambda tx: exports.export_items(tx).rows,
    "export of payments": lambda tx: exports.export_payments(tx).rows,
    "export of tenders": lambda tx: exports.export_tenders(tx).rows,
    "export of the journal of some days": lambda tx: (
        journal_export.export_journal(
            tx, from_date=tx.business_date - timedelta(days=31), until_date=tx.business_date - timedelta(days=29)
        ).rows
    ),
    "export of the audit trail": lambda tx: exports.export_audit(tx).rows,
    **{f"takings by {by}": lambda tx, by=by: reports.takings(tx, by=by, **_of_days(tx)) for by in get_args(reports.By)},  # type: ignore[misc]
    "receivables of clients": receivables.aged_receivables,
    "receivables of payers": lambda tx: receivables.aged_receivables(tx, by="payer"),
    "a client's statement": lambda tx: statements.client_statement(tx, client_id=listing.list_invoices(tx, limit=1)[0].client_id),
    "reminders": reminders.remind,
    "gaps of all series": gaps.list_gaps,
    "tax of some days": lambda tx: reports.tax(tx, **_of_days(tx)),
    "voids and refunds of some days": lambda tx: reports.voids(tx, **_of_days(tx)),
    "discounts of some days": lambda tx: reports.discounts(tx, **_of_days(tx)),
    "shift differences of some days": lambda tx: reports.shift_differences(tx, **_of_days(tx)),
}


BOUNDED = {
    "overdue invoices": "what is open is sorted, not what was ever billed",
    "laboratory worklist": "what is open is sorted, not what was ever ordered",
    "shares of some days": "those of these days are sorted",
}
"""Lists that SQLite sorts, and why that stays small. PostgreSQL tells itself how many rows it expects to sort."""

OF_ONE_ROW = re.compile(r"AND (\w+_id|id|number|receipt_number)=\?")
"""How SQLite writes that it looks only for what belongs to one row, beside the clinic."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let batches stand to these tables as the real ones stand to tables of a hundred thousand rows."""
    monkeypatch.setattr(exports, "BATCH", 50)
    monkeypatch.setattr(audit, "BATCH", 50)


@pytest.mark.parametrize("name", LISTS)
def test_list_is_read_by_index_and_in_order(name: str, year: Any, plans_of: Callable[[Unit], list[Any]]) -> None:
    growing = {table for table, size in year.sizes.items() if size >= GROWING}

    plans = plans_of(LISTS[name])

    assert plans, "nothing was asked"
    judge = _postgresql_faults if year.database.dialect == "postgresql" else partial(_sqlite_faults, may_sort=name in BOUNDED)
    assert [fault for plan in plans for fault in judge(plan, growing)] == []


def test_list_without_an_index_is_found_out(year: Any, plans_of: Callable[[Unit], list[Any]]) -> None:
    growing = {table for table, size in year.sizes.items() if size >= GROWING}
    judge = _postgresql_faults if year.database.dialect == "postgresql" else partial(_sqlite_faults, may_sort=False)

    def by_reason(tx: Transaction) -> Any:
        return tx.session.execute(select(Consultation.id).where(Consultation.reason >= "").order_by(Consultation.reason).limit(50)).all()

    assert [fault for plan in plans_of(by_reason) for fault in judge(plan, growing)]


def test_doctor_compares_no_two_long_lists_row_by_row(postgresql_plans_of: Callable[[Unit], list[Any]]) -> None:
    plans = postgresql_plans_of(doctor.examine)

    assert len(plans) > 50
    assert [fault for plan in plans for fault in _row_by_row(plan)] == []


def _row_by_row(node: dict[str, Any]) -> Iterator[str]:
    children = node.get("Plans", ())
    if node["Node Type"] == "Nested Loop" and "Join Filter" in node and min(child["Plan Rows"] for child in children) >= GROWING:
        yield f"{[child['Plan Rows'] for child in children]} rows by {node['Join Filter']}"
    for child in children:
        yield from _row_by_row(child)


def _sqlite_faults(plan: list[str], growing: set[str], *, may_sort: bool) -> Iterator[str]:
    first = next((line for line in plan if line.split()[1] in growing), "")
    for line in plan:
        action, table, *how = line.split()
        if action == "SCAN" and table in growing and "USING" not in how:
            yield line
        if line.startswith("USE TEMP B-TREE FOR ORDER BY") and first and not (may_sort or OF_ONE_ROW.search(first)):
            yield f"{line}: {plan}"


def _postgresql_faults(node: dict[str, Any], growing: set[str]) -> Iterator[str]:
    for child in node.get("Plans", ()):
        if node["Node Type"] == "Sort" and child["Plan Rows"] > SORTED:
            yield f"sorts {child['Plan Rows']} rows by {node['Sort Key']}"
        yield from _postgresql_faults(child, growing)
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in growing:
        yield f"scans {node['Relation Name']}, for {node.get('Filter')}"
