"""What imports have left in a clinic, read from the database: so a rerun tells the whole, too. Knows no export."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from billing.model import CLINIC, ClaimPayment, Invoice, InvoiceItem, Membership, Patient, Payment, Staff, Tender
from billing.services.imports.people import ENTRY
from billing.transaction import Transaction
from billing.trips import Query


@dataclass(frozen=True, slots=True)
class OfDepartment:
    """Imported items of a department, and how much of their total is settled."""

    department: str
    items: int
    total_minor: int
    paid_minor: int


@dataclass(frozen=True, slots=True)
class OfMethod:
    """Imported money by a method: tenders of clients, and transfers of payers."""

    method: str
    tenders: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class OfYear:
    """Imported invoices issued, and money that came (receipts and transfers of payers), in a year of the clinic's calendar."""

    year: int
    invoices: int
    total_minor: int
    payments: int
    paid_minor: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """Everything that was imported into the clinic, by all its imports; cancelled invoices are left out. Amounts in minor units."""

    patients: int
    providers: int
    invoices: int
    invoices_paid: int
    total_minor: int
    payments: int
    paid_minor: int
    by_department: tuple[OfDepartment, ...]
    by_method: tuple[OfMethod, ...]
    by_year: tuple[OfYear, ...]


_IMPORTER = select(Staff.id).where(Staff.login == ENTRY).scalar_subquery()
_LIVE = (Invoice.clinic_id == CLINIC, Invoice.created_by == _IMPORTER, Invoice.status != "cancelled")
_TAKEN = (Payment.clinic_id == CLINIC, Payment.taken_by == _IMPORTER)

_COUNTS = Query(
    select(
        select(func.count()).where(Patient.clinic_id == CLINIC, Patient.source.is_not(None)).scalar_subquery().label("patients"),
        select(func.count())
        .where(Membership.clinic_id == CLINIC, Membership.provider, Membership.source.is_not(None))
        .scalar_subquery()
        .label("providers"),
        select(func.count()).where(*_LIVE, Invoice.status == "paid").scalar_subquery().label("invoices_paid"),
    )
)
_INVOICES = Query(
    select(Invoice.issue_date, func.count().label("documents"), func.sum(Invoice.total_minor).label("amount_minor"))
    .where(*_LIVE)
    .group_by(Invoice.issue_date)
)
_PAYMENTS = Query(
    select(Payment.business_date, func.count().label("documents"), func.sum(Payment.applied_minor).label("amount_minor"))
    .where(*_TAKEN)
    .group_by(Payment.business_date)
)
_DEPARTMENTS = Query(
    select(
        InvoiceItem.department,
        func.count().label("items"),
        func.sum(InvoiceItem.total_minor).label("total_minor"),
        func.sum(case((InvoiceItem.payment_id.is_not(None), InvoiceItem.total_minor), else_=0)).label("paid_minor"),
    )
    .join(Invoice, (Invoice.clinic_id == InvoiceItem.clinic_id) & (Invoice.id == InvoiceItem.invoice_id))
    .where(*_LIVE)
    .group_by(InvoiceItem.department)
)
_METHODS = Query(
    select(Tender.method, func.count().label("tenders"), func.sum(Tender.amount_minor).label("amount_minor"))
    .join(Payment, (Payment.clinic_id == Tender.clinic_id) & (Payment.id == Tender.payment_id))
    .where(*_TAKEN)
    .group_by(Tender.method)
    .order_by(Tender.method)
)


_FROM_PAYERS = Query(
    select(
        ClaimPayment.method,
        ClaimPayment.business_date,
        func.count().label("documents"),
        func.sum(ClaimPayment.amount_minor).label("amount_minor"),
    )
    .where(ClaimPayment.clinic_id == CLINIC, ClaimPayment.done_by == _IMPORTER)
    .group_by(ClaimPayment.method, ClaimPayment.business_date)
)


def summarize_imports(tx: Transaction) -> ImportSummary:
    """Return what the clinic's imports have left."""
    tx.require("imports.run")
    counts, invoices, from_clients, departments, tenders, from_payers = tx.trip(
        (_COUNTS, {}), (_INVOICES, {}), (_PAYMENTS, {}), (_DEPARTMENTS, {}), (_METHODS, {}), (_FROM_PAYERS, {})
    )
    payments = [*from_clients, *from_payers]
    methods: dict[str, Counter[str]] = {row.method: Counter(tenders=row.tenders, amount=int(row.amount_minor)) for row in tenders}
    for row in from_payers:
        methods.setdefault(row.method, Counter()).update(tenders=row.documents, amount=int(row.amount_minor))
    order = [each.code for each in tx.clinic.departments]
    return ImportSummary(
        **counts[0]._asdict(),
        invoices=sum(row.documents for row in invoices),
        total_minor=sum(int(row.amount_minor) for row in invoices),
        payments=sum(row.documents for row in payments),
        paid_minor=sum(int(row.amount_minor) for row in payments),
        by_department=tuple(
            OfDepartment(row.department, row.items, int(row.total_minor), int(row.paid_minor))
            for row in sorted(departments, key=lambda row: order.index(row.department))
        ),
        by_method=tuple(OfMethod(method, found["tenders"], found["amount"]) for method, found in sorted(methods.items())),
        by_year=_by_year(invoices, payments),
    )


def _by_year(invoices: Iterable[Any], payments: Iterable[Any]) -> tuple[OfYear, ...]:
    """Fold days into years. A draft has no issue date, so it is in no year: it waits for the import to go on."""
    of_year: dict[int, Counter[str]] = {}
    for row in invoices:
        if row.issue_date is not None:
            of_year.setdefault(row.issue_date.year, Counter()).update(invoices=row.documents, total_minor=int(row.amount_minor))
    for row in payments:
        of_year.setdefault(row.business_date.year, Counter()).update(payments=row.documents, paid_minor=int(row.amount_minor))
    return tuple(
        OfYear(year, found["invoices"], found["total_minor"], found["payments"], found["paid_minor"])
        for year, found in sorted(of_year.items())
    )
