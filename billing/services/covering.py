"""A payer's part of a bill: put on it, taken off it. The client owes the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select

from billing.errors import Refused
from billing.model import CLINIC, Invoice, InvoiceItem, new_id
from billing.model.types import DayType, IdType
from billing.model.writes import ChangedRow, ChangeRows
from billing.rules import posting
from billing.rules.coverage import split, split_exactly
from billing.rules.statuses import InvoiceStatus
from billing.services.booking import open_claim
from billing.services.journal import post
from billing.services.open_invoice import ITEMS, LOCK_INVOICE, OpenInvoice, from_rows
from billing.services.payers import NotCovered, find_payer, read_coverage, terms_of
from billing.transaction import Transaction
from billing.trips import Query

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__


class CannotCover(Refused):
    """Only a draft, or an issued invoice of which nothing is paid, gets a payer; and an issued one keeps it. Facts: `invoice`."""

    code = "cannot_cover"


@dataclass(frozen=True, slots=True)
class Cover:
    """Who answers for a part of a bill: a coverage by its terms, or a payer for an exact amount (minor units)."""

    coverage_id: str | None = None
    payer: str | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Covered:
    """The two parts of a bill. Minor units of its currency."""

    invoice_id: str
    payer_id: str | None
    payer_minor: int
    client_minor: int


_USED = Query(
    select(func.coalesce(func.sum(Invoice.payer_minor), 0).label("used_minor")).where(
        Invoice.clinic_id == CLINIC,
        Invoice.coverage_id == bindparam("coverage_id", type_=IdType()),
        Invoice.status != "cancelled",
        Invoice.id != bindparam("invoice_id", type_=IdType()),
        func.coalesce(Invoice.issue_date, bindparam("on_day", type_=DayType())) >= bindparam("year_start", type_=DayType()),
    )
)


def cover_invoice(tx: Transaction, *, invoice_id: str, cover: Cover | None) -> Covered:
    """Put a payer on a bill, or take it off a draft (None). What the payer answers for, the client does not owe.

    Raises `UnknownInvoice`, `CannotCover`, `UnknownCoverage`, `UnknownPayer`, `NotCovered`, `BadCover`.
    """
    tx.require("invoices.create")
    # A coverage with a cap for the year is locked first: two bills must not use up the same rest.
    coverage = read_coverage(tx, cover.coverage_id, lock=True) if cover and cover.coverage_id else None
    payer = find_payer(tx, cover.payer) if cover and cover.payer else None
    if payer is not None and not payer.active:
        raise NotCovered(f"{payer.code} is not used any more: choose another payer.", coverage=None)
    here = {"invoice_id": invoice_id}
    found, items = tx.trip((LOCK_INVOICE, here), (ITEMS, here))
    opened = from_rows(found, items, invoice_id)
    issued = opened.status is not InvoiceStatus.DRAFT
    if issued and (cover is None or opened.status is not InvoiceStatus.SENT or opened.row.payer_id is not None):
        raise CannotCover(
            "A payer is put on a draft, or on an issued invoice that has none and of which nothing is paid.", invoice=opened.id
        )
    totals = [int(row.total_minor) for row in opened.items]
    payer_id: str | None = None
    parts = [0] * len(totals)
    if coverage is not None:
        payer_id, parts = coverage.payer_id, _by_terms(tx, opened, coverage, totals)
    elif payer is not None and cover is not None:
        payer_id, parts = payer.id, split_exactly(totals, cover.amount_minor or 0)
    _write(tx, opened, payer_id, coverage.id if coverage else None, parts)
    whole = sum(parts)
    if issued and whole:
        lines = posting.claimed(whole, client_id=opened.row.client_id, payer_id=str(payer_id))
        post(tx, "cover", new_id(), lines, invoice_id=opened.id)
        open_claim(tx, opened, payer_id=payer_id, coverage_id=coverage.id if coverage else None, amount_minor=whole)
    tx.audit("invoice.covered", "invoice", opened.id, payer_id=payer_id, payer_minor=whole)
    return Covered(opened.id, payer_id, whole, sum(totals) - whole)


def _by_terms(tx: Transaction, opened: OpenInvoice, coverage: Any, totals: Sequence[int]) -> list[int]:
    today = tx.business_date
    own = coverage.client_id == opened.row.client_id and coverage.patient_id in (None, opened.row.patient_id)
    in_force = coverage.active and coverage.from_date <= today and (coverage.until_date is None or today < coverage.until_date)
    if not (own and in_force):
        raise NotCovered("This coverage is not this client's and patient's, or not in force today.", coverage=coverage.id)
    used = tx.row(_USED, coverage_id=coverage.id, invoice_id=opened.id, on_day=today, year_start=today.replace(month=1, day=1))
    assert used is not None, "a sum is one row"
    return split(totals, terms_of(coverage, used_minor=int(used.used_minor)))


def _write(tx: Transaction, opened: OpenInvoice, payer_id: str | None, coverage_id: str | None, parts: Sequence[int]) -> None:
    columns = {"payer_id": payer_id, "coverage_id": coverage_id, "payer_minor": sum(parts), "version": opened.row.version + 1}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": opened.id}, {"version": opened.row.version}, columns)]))
    changed = [
        ChangedRow({"id": row.id}, {"payer_minor": row.payer_minor}, {"payer_minor": part})
        for row, part in zip(opened.items, parts, strict=True)
        if row.payer_minor != part
    ]
    if changed:
        tx.write(ChangeRows(ITEM, changed))
