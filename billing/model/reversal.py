"""Money and items taken back: the reversal, what it credits, how it is handed back, and the second person's approval."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Json, Milli, Minor, Name, Whole


class Reversal(ClinicRowWithId, Base):
    """A void, refund, return, cancellation after payment or write-off. Never changed. With a number it is a credit note.

    Minor units of `currency`: `refunded` is what the client's books get back, `refunded + rounding` what is handed back (`rounding` is the
    cash rounding), `credited` the total of the credit note, `credited_payer` the payer's part of that. `printed` keeps the names that
    the credit note shows.
    """

    __tablename__ = "reversal"
    __table_args__ = (
        references("invoice", "invoice_id"),
        references("payment", "payment_id"),
        references("shift", "shift_id"),
        unique("payment_id", name="uq_reversal_payment"),
        unique("series", "number_period", "number_value", name="uq_reversal_number"),
        check("kind", "kind IN ('void', 'refund', 'return', 'cancel', 'write_off')"),
        check("signs", "refunded_minor >= 0 AND credited_minor >= 0 AND credited_payer_minor >= 0 AND written_off_minor >= 0"),
        check("payer", "credited_payer_minor <= credited_minor"),
        check("void", "(kind = 'void') = (payment_id IS NOT NULL)"),
        check("number", "(number IS NULL) = (number_value IS NULL)"),
        check("credit", "credited_minor = 0 OR number IS NOT NULL"),
        check("approver", "approved_by IS NULL OR approved_by <> done_by"),
        check("write_off", "kind <> 'write_off' OR (refunded_minor = 0 AND credited_minor = 0 AND written_off_minor > 0)"),
        Index("ix_reversal_invoice", "clinic_id", "invoice_id"),
        Index("ix_reversal_date", "clinic_id", "business_date", "id"),
        Index("ix_reversal_number", "clinic_id", "number"),
        Index("ix_reversal_shift", "clinic_id", "shift_id"),
    )
    upkeep = Upkeep.ADDED

    kind: Mapped[Name]
    invoice_id: Mapped[Id]
    payment_id: Mapped[Id | None]
    currency: Mapped[Name]
    refunded_minor: Mapped[Minor]
    rounding_minor: Mapped[Minor]
    credited_minor: Mapped[Minor]
    credited_payer_minor: Mapped[Minor]
    written_off_minor: Mapped[Minor]
    reason: Mapped[Name]
    series: Mapped[Name | None]
    number_period: Mapped[Name | None]
    number_value: Mapped[Whole | None]
    number: Mapped[Name | None]
    printed: Mapped[Json | None]
    shift_id: Mapped[Id | None]
    at: Mapped[Instant]
    business_date: Mapped[Day]
    done_by: Mapped[Id]
    person: Mapped[Name]
    approved_by: Mapped[Id | None]


class ReversalItem(ClinicRow, Base):
    """What a reversal took back of one item: the quantity, and its parts of the item's stored amounts (all 0 in a void, which credits nothing).

    `settled` says that the item was paid; `condition` what became of the goods.
    """

    __tablename__ = "reversal_item"
    __table_args__ = (
        references("reversal", "reversal_id"),
        references("invoice_item", "item_id"),
        check("quantity", "quantity_milli > 0"),
        check("condition", "condition IN ('good', 'destroyed')"),
        check("total", "taxable_minor + tax_minor = total_minor"),
        check("signs", "discount_minor >= 0 AND taxable_minor >= 0 AND tax_minor >= 0"),
        check("payer", "payer_minor BETWEEN 0 AND total_minor"),
        Index("ix_reversal_item_item", "clinic_id", "item_id"),
    )
    upkeep = Upkeep.ADDED

    reversal_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    item_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    quantity_milli: Mapped[Milli]
    condition: Mapped[Name]
    discount_minor: Mapped[Minor]
    taxable_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    payer_minor: Mapped[Minor]
    settled: Mapped[Flag]


class ReversalTender(ClinicRowWithId, Base):
    """One method and amount by which a reversal handed money back."""

    __tablename__ = "reversal_tender"
    __table_args__ = (
        references("reversal", "reversal_id"),
        check("amount", "amount_minor >= 0"),
        Index("ix_reversal_tender_reversal", "clinic_id", "reversal_id"),
    )
    upkeep = Upkeep.ADDED

    reversal_id: Mapped[Id]
    position: Mapped[Whole]
    method: Mapped[Name]
    amount_minor: Mapped[Minor]
    reference: Mapped[Name | None]


class Approval(ClinicRowWithId, Base):
    """A second person's consent to one act on one subject, given beforehand under their own login, good for the same business day and one use."""

    __tablename__ = "approval"
    __table_args__ = (
        check("two", "used_by IS NULL OR used_by <> given_by"),
        check("used", "(used_by IS NULL) = (used_at IS NULL)"),
        Index("ix_approval_subject", "clinic_id", "subject_id", "permission"),
        Index("ix_approval_given", "clinic_id", "given_at", "id"),
    )
    upkeep = Upkeep.CHANGED

    permission: Mapped[Name]
    subject_id: Mapped[Id]
    most_minor: Mapped[Minor | None]
    reason: Mapped[Name]
    given_by: Mapped[Id]
    given_at: Mapped[Instant]
    business_date: Mapped[Day]
    used_by: Mapped[Id | None]
    used_at: Mapped[Instant | None]
    used_for: Mapped[Id | None]
