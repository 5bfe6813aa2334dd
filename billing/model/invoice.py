"""The invoice, its items, its tax, and what it came from."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Json, Milli, Minor, Name, Whole

_OPEN = text("status IN ('sent', 'partial')")
_COVERED = text("coverage_id IS NOT NULL")


class Invoice(ClinicRowWithId, Base):
    """A bill. Draft until issued; from then on items, prices and totals never change.

    All amounts are minor units of `currency`. `amount_paid_minor` counts live payments, on account or not.
    `payer_minor` is what the payer still answers for; the client owes the rest.
    `printed` keeps the names that its documents show, as they were at issue. `status` is the stored one; *overdue* is computed when read.
    """

    __tablename__ = "invoice"
    __table_args__ = (
        references("patient", "patient_id"),
        references("client", "client_id"),
        references("consultation", "consultation_id"),
        unique("series", "number_period", "number_value", name="uq_invoice_number"),
        check("status", "status IN ('draft', 'sent', 'partial', 'paid', 'cancelled')"),
        check("total", "total_minor BETWEEN 0 AND 90000000000000"),
        check("paid", "amount_paid_minor >= 0"),
        check("due", "amount_paid_minor + written_off_minor + credited_minor <= total_minor"),
        check("sum", "net_minor + tax_minor = total_minor"),
        check("issued", "(issued_at IS NULL) = (due_date IS NULL)"),
        Index("ix_invoice_created", "clinic_id", "created_at", "id"),
        Index("ix_invoice_patient", "clinic_id", "patient_id"),
        Index("ix_invoice_client", "clinic_id", "client_id"),
        Index("ix_invoice_consultation", "clinic_id", "consultation_id"),
        Index("ix_invoice_source", "clinic_id", "source"),
        Index("ix_invoice_number", "clinic_id", "number"),
        Index("ix_invoice_status", "clinic_id", "status", "created_at", "id"),
        Index("ix_invoice_issued", "clinic_id", "issue_date", "id"),
        Index("ix_invoice_open", "clinic_id", "due_date", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ix_invoice_coverage", "clinic_id", "coverage_id", postgresql_where=_COVERED, sqlite_where=_COVERED),
    )
    upkeep = Upkeep.CHANGED

    patient_id: Mapped[Id]
    client_id: Mapped[Id]
    consultation_id: Mapped[Id | None]
    provider_id: Mapped[Id | None]
    series: Mapped[Name | None]
    number_period: Mapped[Name | None]
    number_value: Mapped[Whole | None]
    number: Mapped[Name | None]
    status: Mapped[Name]
    currency: Mapped[Name]
    rounding: Mapped[Name]
    prices_include_tax: Mapped[Flag]
    line_total_minor: Mapped[Minor]
    allowance_minor: Mapped[Minor]
    charge_minor: Mapped[Minor]
    net_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    amount_paid_minor: Mapped[Minor]
    written_off_minor: Mapped[Minor]
    credited_minor: Mapped[Minor]
    note: Mapped[Name]
    source: Mapped[Name | None]
    version: Mapped[Whole]
    created_at: Mapped[Instant]
    created_by: Mapped[Id]
    issued_at: Mapped[Instant | None]
    issue_date: Mapped[Day | None]
    due_date: Mapped[Day | None]
    cancelled_at: Mapped[Instant | None]
    cancel_reason: Mapped[Name | None]
    printed: Mapped[Json | None]
    content_hash: Mapped[Name | None]
    payer_id: Mapped[Id | None]
    coverage_id: Mapped[Id | None]
    payer_minor: Mapped[Minor]


class InvoiceItem(ClinicRowWithId, Base):
    """A line of an invoice, of one department. Paid whole, by one payment, or not at all.

    `net_minor` is quantity x price less its own allowances plus its own charges (gross of tax where prices include tax);
    `adjustment_minor` is its stored share of the document's allowances (negative) and charges; `tax_minor` its share of its group's tax;
    `person_price` says that a person, not the price list, gave the price;
    `payer_minor` is the payer's part of it now, `credited_...` what credit notes have taken back;
    `taxable_minor + tax_minor = total_minor`, and the items of an invoice always sum to the document.
    """

    __tablename__ = "invoice_item"
    __table_args__ = (
        references("invoice", "invoice_id"),
        references("service", "service_id"),
        references("department", "department", target="code"),
        references("payment", "payment_id"),
        unique("invoice_id", "position", name="uq_invoice_item_position"),
        check("quantity", "quantity_milli > 0"),
        check("price", "unit_price_e4 >= 0"),
        check("total", "total_minor >= 0 AND taxable_minor + tax_minor = total_minor"),
        check("paid", "(payment_id IS NULL) = (paid_at IS NULL)"),
        Index("ix_invoice_item_payment", "clinic_id", "payment_id"),
        Index("ix_invoice_item_service", "clinic_id", "service_id"),
    )

    invoice_id: Mapped[Id]
    position: Mapped[Whole]
    department: Mapped[Name]
    service_id: Mapped[Id | None]
    code: Mapped[Name]
    description: Mapped[Name]
    unit: Mapped[Name]
    quantity_milli: Mapped[Milli]
    unit_price_e4: Mapped[Whole]
    price_reason: Mapped[Name]
    allowance_minor: Mapped[Minor]
    charge_minor: Mapped[Minor]
    net_minor: Mapped[Minor]
    adjustment_minor: Mapped[Minor]
    taxable_minor: Mapped[Minor]
    tax_category: Mapped[Name]
    tax_rate_bp: Mapped[Whole]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    provider_id: Mapped[Id | None]
    source: Mapped[Name | None]
    given: Mapped[Json]
    person_price: Mapped[Flag]
    payment_id: Mapped[Id | None]
    paid_at: Mapped[Instant | None]
    payer_minor: Mapped[Minor]
    credited_milli: Mapped[Milli]
    credited_minor: Mapped[Minor]


class InvoiceAdjustment(ClinicRowWithId, Base):
    """An allowance or charge with its reason: on the document (`item_id` is null, the tax group named) or on one item.

    `given_by` is the person who gave it, `approved_by` the second person where one was needed, `code_id` the discount code it came from.
    """

    __tablename__ = "invoice_adjustment"
    __table_args__ = (
        references("invoice", "invoice_id"),
        references("invoice_item", "item_id", ondelete="CASCADE"),
        check("amount", "amount_minor > 0"),
        Index("ix_invoice_adjustment_invoice", "clinic_id", "invoice_id"),
        Index("ix_invoice_adjustment_item", "clinic_id", "item_id"),
    )

    invoice_id: Mapped[Id]
    item_id: Mapped[Id | None]
    charge: Mapped[Flag]
    amount_minor: Mapped[Minor]
    tax_category: Mapped[Name]
    tax_rate_bp: Mapped[Whole]
    reason: Mapped[Name]
    plugin: Mapped[Name | None]
    given_by: Mapped[Id | None]
    approved_by: Mapped[Id | None]
    code_id: Mapped[Id | None]


class InvoiceTax(ClinicRow, Base):
    """One tax group of an invoice: what is taxed, and the tax. The items' taxes add up to it."""

    __tablename__ = "invoice_tax"
    __table_args__ = (references("invoice", "invoice_id"),)

    invoice_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    tax_category: Mapped[str] = mapped_column(Text, primary_key=True)
    tax_rate_bp: Mapped[Whole] = mapped_column(primary_key=True)
    taxable_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]


class SourceClaim(ClinicRow, Base):
    """A source billed by a live invoice. Cancelling the invoice frees it, so its primary key is the promise "at most once"."""

    __tablename__ = "source_claim"
    __table_args__ = (
        references("invoice", "invoice_id"),
        Index("ix_source_claim_invoice", "clinic_id", "invoice_id"),
    )

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    invoice_id: Mapped[Id]
