"""Money received: the payment, its tenders, the items it settled, and what departments did for it."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Json, Milli, Minor, Name, Whole

_IN_SHIFT = text("shift_id IS NOT NULL")
_IN_GROUP = text("group_id IS NOT NULL")


class Payment(ClinicRowWithId, Base):
    """Money received for an invoice, with its receipt number. Never changed; a mistake is corrected by a new row.

    `tendered - change - rounding = applied`, all in minor units of `currency`; `rounding` is the cash rounding.
    `scope` is ALL, ON_ACCOUNT or department codes. `amount_due` and `on_account` are the invoice's as of this payment, so that a reprint
    says what the receipt said. `shift_id` is the shift it joined, `group_id` the first payment of one over several invoices.
    """

    __tablename__ = "payment"
    __table_args__ = (
        references("invoice", "invoice_id"),
        unique("series", "receipt_period", "receipt_value", name="uq_payment_receipt"),
        check("identity", "tendered_minor - change_minor - rounding_minor = applied_minor"),
        check("signs", "applied_minor >= 0 AND change_minor >= 0 AND tendered_minor >= 0"),
        Index("ix_payment_invoice", "clinic_id", "invoice_id"),
        Index("ix_payment_taken", "clinic_id", "taken_at", "id"),
        Index("ix_payment_receipt_number", "clinic_id", "receipt_number"),
        Index("ix_payment_shift", "clinic_id", "shift_id", "id", postgresql_where=_IN_SHIFT, sqlite_where=_IN_SHIFT),
        Index("ix_payment_group", "clinic_id", "group_id", postgresql_where=_IN_GROUP, sqlite_where=_IN_GROUP),
    )
    upkeep = Upkeep.ADDED

    invoice_id: Mapped[Id]
    scope: Mapped[Name]
    currency: Mapped[Name]
    due_minor: Mapped[Minor]
    tendered_minor: Mapped[Minor]
    change_minor: Mapped[Minor]
    rounding_minor: Mapped[Minor]
    applied_minor: Mapped[Minor]
    series: Mapped[Name]
    receipt_period: Mapped[Name]
    receipt_value: Mapped[Whole]
    receipt_number: Mapped[Name]
    taken_at: Mapped[Instant]
    business_date: Mapped[Day]
    taken_by: Mapped[Id]
    cashier: Mapped[Name]
    shift_id: Mapped[Id | None]
    group_id: Mapped[Id | None]
    amount_due_minor: Mapped[Minor]
    on_account_minor: Mapped[Minor]


class Tender(ClinicRowWithId, Base):
    """One method and amount of a payment, as it was handed over (before change)."""

    __tablename__ = "tender"
    __table_args__ = (
        references("payment", "payment_id"),
        check("amount", "amount_minor >= 0"),
        Index("ix_tender_payment", "clinic_id", "payment_id"),
    )
    upkeep = Upkeep.ADDED

    payment_id: Mapped[Id]
    position: Mapped[Whole]
    method: Mapped[Name]
    amount_minor: Mapped[Minor]
    reference: Mapped[Name | None]


class PaymentItem(ClinicRow, Base):
    """An item that a payment settled: what the client was billed for it, and the payer's part beside."""

    __tablename__ = "payment_item"
    __table_args__ = (
        references("payment", "payment_id"),
        references("invoice_item", "item_id"),
        Index("ix_payment_item_item", "clinic_id", "item_id"),
    )
    upkeep = Upkeep.ADDED

    payment_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    item_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    amount_minor: Mapped[Minor]
    payer_minor: Mapped[Minor]


class Effect(ClinicRowWithId, Base):
    """What a department did for an item because of an action: the department's journal, and the way back.

    `action_id` is the payment, refund or invoice whose step this was; an action, item, kind and row stand here once.
    """

    __tablename__ = "effect"
    __table_args__ = (
        references("invoice_item", "item_id", ondelete="CASCADE"),
        unique("action_id", "item_id", "kind", "row_key", name="uq_effect_once"),
        Index("ix_effect_item", "clinic_id", "item_id"),
    )
    upkeep = Upkeep.ADDED

    action: Mapped[Name]
    action_id: Mapped[Id]
    item_id: Mapped[Id]
    plugin: Mapped[Name]
    kind: Mapped[Name]
    row_key: Mapped[Name]
    quantity_milli: Mapped[Milli]
    data: Mapped[Json]
    at: Mapped[Instant]


class NumberSeries(ClinicRow, Base):
    """A named sequence of a clinic with its printed format and reset period. `kind` is invoice, receipt or credit_note."""

    __tablename__ = "number_series"
    __table_args__ = (
        check("kind", "kind IN ('invoice', 'receipt', 'credit_note')"),
        check("reset", "reset IN ('never', 'year', 'month')"),
        check("start", "start_value >= 1"),
    )
    upkeep = Upkeep.CHANGED

    series: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[Name]
    format: Mapped[Name]
    reset: Mapped[Name]
    start_value: Mapped[Whole]
    standard: Mapped[Flag]
    created_at: Mapped[Instant]


class NumberCounter(ClinicRow, Base):
    """The latest number that a series has given out in a period. Taken late, in the document's own transaction: no gap, no twin."""

    __tablename__ = "number_counter"
    __table_args__ = (references("number_series", "series", target="series"),)
    upkeep = Upkeep.CHANGED

    series: Mapped[str] = mapped_column(Text, primary_key=True)
    period: Mapped[str] = mapped_column(Text, primary_key=True)
    latest_value: Mapped[Whole]
