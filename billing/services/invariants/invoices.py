"""What must always hold of invoices, their items and their taxes. It knows nothing of payments but that an item names one."""

from typing import Any

from sqlalchemy import Numeric, Text, and_, case, cast, exists, func, literal_column, or_, select
from sqlalchemy.sql.elements import ColumnElement

from billing.changes.declare import Invariant
from billing.model import CLINIC, Clinic, Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, Payment, Reversal, SourceClaim
from billing.rules.totals import Rounding
from billing.services.listing import DUE

_MINOR = 10_000_000
"""Thousandths of a quantity times ten-thousandths of a minor unit: this many of them are one minor unit."""

_CREDITED = InvoiceItem.credited_milli >= InvoiceItem.quantity_milli
_CLOSED = or_(InvoiceItem.payment_id.is_not(None), _CREDITED)
_CLIENTS_PART = InvoiceItem.total_minor - InvoiceItem.credited_minor - InvoiceItem.payer_minor
ITEM_SUMS = (
    select(
        InvoiceItem.invoice_id,
        func.count().label("item_count"),
        func.sum(case((_CLOSED, 1), else_=0)).label("closed"),
        func.sum(case((and_(InvoiceItem.payment_id.is_not(None), ~_CREDITED), 1), else_=0)).label("kept"),
        func.sum(InvoiceItem.net_minor).label("net_minor"),
        func.sum(InvoiceItem.adjustment_minor).label("adjustment_minor"),
        func.sum(InvoiceItem.taxable_minor).label("taxable_minor"),
        func.sum(InvoiceItem.tax_minor).label("tax_minor"),
        func.sum(InvoiceItem.total_minor).label("total_minor"),
        func.sum(case((InvoiceItem.payment_id.is_not(None), _CLIENTS_PART), else_=0)).label("settled_minor"),
    )
    .where(InvoiceItem.clinic_id == CLINIC)
    .group_by(InvoiceItem.invoice_id)
    .subquery("item_sums")
)
HAS_UNPAID_ITEM = func.coalesce(ITEM_SUMS.c.item_count - ITEM_SUMS.c.closed, 0) > 0
VOIDED = exists(select(Reversal.id).where(Reversal.clinic_id == CLINIC, Reversal.payment_id == Payment.id))
"""Whether a payment was voided; one that was not is live."""
HAS_PAYMENT = exists(select(Payment.id).where(Payment.clinic_id == CLINIC, Payment.invoice_id == Invoice.id, ~VOIDED))


def reductions(on: Any, *, charge: bool) -> ColumnElement[int]:
    """Return the sum of allowances or charges on the document or item that `on` names."""
    total = select(func.coalesce(func.sum(InvoiceAdjustment.amount_minor), 0))
    kind = InvoiceAdjustment.charge if charge else ~InvoiceAdjustment.charge
    return total.where(InvoiceAdjustment.clinic_id == CLINIC, kind, on).scalar_subquery()


_OF_DOCUMENT = and_(InvoiceAdjustment.invoice_id == Invoice.id, InvoiceAdjustment.item_id.is_(None))
_OF_ITEM = InvoiceAdjustment.item_id == InvoiceItem.id


def _sums() -> Invariant:
    taken = {
        name: func.coalesce(ITEM_SUMS.c[name], 0) for name in ("net_minor", "adjustment_minor", "taxable_minor", "tax_minor", "total_minor")
    }
    adjusted = Invoice.line_total_minor - Invoice.allowance_minor + Invoice.charge_minor
    return Invariant(
        "invoice_sums",
        "An invoice's totals are the sums of its items, its discounts and its charges; net and tax make the total.",
        select(Invoice.id, Invoice.number)
        .outerjoin(ITEM_SUMS, ITEM_SUMS.c.invoice_id == Invoice.id)
        .where(
            Invoice.clinic_id == CLINIC,
            or_(
                Invoice.line_total_minor != taken["net_minor"],
                Invoice.charge_minor - Invoice.allowance_minor != taken["adjustment_minor"],
                Invoice.net_minor != taken["taxable_minor"],
                Invoice.tax_minor != taken["tax_minor"],
                Invoice.total_minor != taken["total_minor"],
                Invoice.net_minor + Invoice.tax_minor != Invoice.total_minor,
                case((Invoice.prices_include_tax, Invoice.total_minor), else_=Invoice.net_minor) != adjusted,
                Invoice.allowance_minor != reductions(_OF_DOCUMENT, charge=False),
                Invoice.charge_minor != reductions(_OF_DOCUMENT, charge=True),
            ),
        ),
    )


def _item() -> Invariant:
    # Exact on PostgreSQL whatever the factors; in SQLite a product beyond 64 bits turns into a float, so a line of that size has some slack
    # here. Recomputing it in code is exact.
    product = cast(InvoiceItem.quantity_milli, Numeric) * InvoiceItem.unit_price_e4
    gross = cast(InvoiceItem.net_minor + InvoiceItem.allowance_minor - InvoiceItem.charge_minor, Numeric) * _MINOR
    adjusted = InvoiceItem.net_minor + InvoiceItem.adjustment_minor
    return Invariant(
        "item_arithmetic",
        "An item's net is quantity times price, rounded, less its discounts, plus its charges; its taxable amount and tax make its total.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, InvoiceItem.position)
        .join(Invoice, and_(Invoice.clinic_id == InvoiceItem.clinic_id, Invoice.id == InvoiceItem.invoice_id))
        .where(
            InvoiceItem.clinic_id == CLINIC,
            or_(
                2 * func.abs(gross - product) > _MINOR + case((product > 2**62, _MINOR // 2), else_=0),
                InvoiceItem.quantity_milli <= 0,
                InvoiceItem.unit_price_e4 < 0,
                InvoiceItem.total_minor < 0,
                InvoiceItem.taxable_minor + InvoiceItem.tax_minor != InvoiceItem.total_minor,
                case((Invoice.prices_include_tax, InvoiceItem.total_minor), else_=InvoiceItem.taxable_minor) != adjusted,
                InvoiceItem.allowance_minor != reductions(_OF_ITEM, charge=False),
                InvoiceItem.charge_minor != reductions(_OF_ITEM, charge=True),
            ),
        ),
    )


def _taxes() -> Invariant:
    groups = (
        select(
            InvoiceItem.invoice_id,
            InvoiceItem.tax_category,
            InvoiceItem.tax_rate_bp,
            func.count().label("item_count"),
            func.sum(InvoiceItem.taxable_minor).label("taxable_minor"),
            func.sum(InvoiceItem.tax_minor).label("tax_minor"),
        )
        .where(InvoiceItem.clinic_id == CLINIC)
        .group_by(InvoiceItem.invoice_id, InvoiceItem.tax_category, InvoiceItem.tax_rate_bp)
        .subquery("tax_groups")
    )
    # Rounded is the tax, or where prices include it the amount without: either way half a unit, on each line if lines are rounded.
    whole = 10_000 + case((Invoice.prices_include_tax, InvoiceTax.tax_rate_bp), else_=0)
    roundings = case((Invoice.rounding == Rounding.LINE.value, groups.c.item_count), else_=1)
    off = func.abs(cast(InvoiceTax.tax_minor, Numeric) * 10_000 - cast(InvoiceTax.taxable_minor, Numeric) * InvoiceTax.tax_rate_bp)
    return Invariant(
        "invoice_taxes",
        "Each tax row of an invoice is its group of items: their amounts, their taxes, and the rate's tax but for rounding.",
        select(InvoiceTax.invoice_id, InvoiceTax.tax_category, InvoiceTax.tax_rate_bp)
        .join(Invoice, and_(Invoice.clinic_id == InvoiceTax.clinic_id, Invoice.id == InvoiceTax.invoice_id))
        .outerjoin(
            groups,
            and_(
                groups.c.invoice_id == InvoiceTax.invoice_id,
                groups.c.tax_category == InvoiceTax.tax_category,
                groups.c.tax_rate_bp == InvoiceTax.tax_rate_bp,
            ),
        )
        .where(
            InvoiceTax.clinic_id == CLINIC,
            or_(
                groups.c.item_count.is_(None),
                groups.c.taxable_minor != InvoiceTax.taxable_minor,
                groups.c.tax_minor != InvoiceTax.tax_minor,
                2 * off > whole * roundings,
            ),
        ),
    )


def _status() -> Invariant:
    def says(text: str) -> ColumnElement[str]:
        return literal_column(f"'{text}'", Text())

    derived = case(
        (and_(Invoice.issued_at.is_(None), Invoice.cancelled_at.is_(None)), says("draft")),
        (Invoice.issued_at.is_(None), says("cancelled")),
        (
            or_(Invoice.cancelled_at.is_not(None), and_(Invoice.total_minor > 0, Invoice.credited_minor == Invoice.total_minor)),
            says("cancelled"),
        ),
        (and_(DUE == 0, or_(Invoice.written_off_minor > 0, ~HAS_UNPAID_ITEM)), says("paid")),
        (HAS_PAYMENT, says("partial")),
        else_=says("sent"),
    )
    return Invariant(
        "invoice_status",
        "An invoice's stored status is what its dates, amounts, items and payments make it.",
        select(Invoice.id, Invoice.number, Invoice.status, derived.label("should_be"))
        .outerjoin(ITEM_SUMS, ITEM_SUMS.c.invoice_id == Invoice.id)
        .where(Invoice.clinic_id == CLINIC, Invoice.status != derived),
    )


def _claimed(source: Any, invoice_id: Any) -> ColumnElement[bool]:
    return exists(
        select(SourceClaim.source).where(
            SourceClaim.clinic_id == CLINIC, SourceClaim.source == source, SourceClaim.invoice_id == invoice_id
        )
    )


_NAMES_SOURCE = or_(
    and_(Invoice.source.is_not(None), Invoice.source == SourceClaim.source),
    exists(
        select(InvoiceItem.id).where(
            InvoiceItem.clinic_id == CLINIC, InvoiceItem.invoice_id == SourceClaim.invoice_id, InvoiceItem.source == SourceClaim.source
        )
    ),
)
_ITEM_OF_GROUP = exists(
    select(InvoiceTax.invoice_id).where(
        InvoiceTax.clinic_id == CLINIC,
        InvoiceTax.invoice_id == InvoiceItem.invoice_id,
        InvoiceTax.tax_category == InvoiceItem.tax_category,
        InvoiceTax.tax_rate_bp == InvoiceItem.tax_rate_bp,
    )
)

INVOICES = (
    _sums(),
    _item(),
    _taxes(),
    Invariant(
        "item_has_tax_row",
        "Every item's tax group has a row in its invoice's tax breakdown.",
        select(InvoiceItem.id, InvoiceItem.invoice_id).where(InvoiceItem.clinic_id == CLINIC, ~_ITEM_OF_GROUP),
    ),
    _status(),
    Invariant(
        "invoice_paid_within_total",
        "What is paid, written off and credited of an invoice is never below zero and never more than its total.",
        select(Invoice.id, Invoice.number).where(
            Invoice.clinic_id == CLINIC,
            or_(Invoice.amount_paid_minor < 0, Invoice.written_off_minor < 0, Invoice.credited_minor < 0, DUE < 0),
        ),
    ),
    Invariant(
        "invoice_dates",
        "An issued invoice has its dates and its content's hash, a draft has none, and nothing is due before it is issued.",
        select(Invoice.id, Invoice.number).where(
            Invoice.clinic_id == CLINIC,
            or_(
                Invoice.issued_at.is_(None) != Invoice.issue_date.is_(None),
                Invoice.issued_at.is_(None) != Invoice.due_date.is_(None),
                Invoice.issued_at.is_(None) != Invoice.content_hash.is_(None),
                Invoice.cancelled_at.is_(None) != Invoice.cancel_reason.is_(None),
                Invoice.due_date < Invoice.issue_date,
            ),
        ),
    ),
    Invariant(
        "invoice_currency",
        "Every invoice is in the clinic's currency.",
        select(Invoice.id, Invoice.number, Invoice.currency)
        .join(Clinic, Clinic.clinic_id == Invoice.clinic_id)
        .where(Invoice.clinic_id == CLINIC, Invoice.currency != Clinic.currency),
    ),
    Invariant(
        "cancelled_holds_nothing",
        "A cancelled invoice holds no money, no paid item that was not credited, and no claim on a source.",
        select(Invoice.id, Invoice.number)
        .outerjoin(ITEM_SUMS, ITEM_SUMS.c.invoice_id == Invoice.id)
        .where(
            Invoice.clinic_id == CLINIC,
            Invoice.cancelled_at.is_not(None),
            or_(
                Invoice.amount_paid_minor != 0,
                func.coalesce(ITEM_SUMS.c.kept, 0) != 0,
                exists(select(SourceClaim.source).where(SourceClaim.clinic_id == CLINIC, SourceClaim.invoice_id == Invoice.id)),
            ),
        ),
    ),
    Invariant(
        "invoice_source_claimed",
        "The source of a live invoice is claimed by it.",
        select(Invoice.id, Invoice.source).where(
            Invoice.clinic_id == CLINIC, Invoice.cancelled_at.is_(None), Invoice.source.is_not(None), ~_claimed(Invoice.source, Invoice.id)
        ),
    ),
    Invariant(
        "item_source_claimed",
        "The source of a live invoice's item is claimed by that invoice.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, InvoiceItem.source)
        .join(Invoice, and_(Invoice.clinic_id == InvoiceItem.clinic_id, Invoice.id == InvoiceItem.invoice_id))
        .where(
            InvoiceItem.clinic_id == CLINIC,
            Invoice.cancelled_at.is_(None),
            InvoiceItem.source.is_not(None),
            ~_claimed(InvoiceItem.source, InvoiceItem.invoice_id),
        ),
    ),
    Invariant(
        "claim_has_source",
        "A claim is for the source of its invoice or of one of its items.",
        select(SourceClaim.source, SourceClaim.invoice_id)
        .join(Invoice, and_(Invoice.clinic_id == SourceClaim.clinic_id, Invoice.id == SourceClaim.invoice_id))
        .where(SourceClaim.clinic_id == CLINIC, ~_NAMES_SOURCE),
    ),
)
"""The invoices' invariants."""
