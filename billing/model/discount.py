"""Discount codes and their uses."""

from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Minor, Name, Whole


class DiscountCode(ClinicRowWithId, Base):
    """A code that gives a percentage or an amount off an invoice, so many times, from `from_date` until before `until_date`."""

    __tablename__ = "discount_code"
    __table_args__ = (
        unique("code", name="uq_discount_code_code"),
        check("gives", "(percent_bp IS NULL) <> (amount_minor IS NULL)"),
        check("amounts", "COALESCE(percent_bp, 1) BETWEEN 1 AND 10000 AND COALESCE(amount_minor, 1) > 0"),
        check("uses", "uses_left BETWEEN 0 AND uses"),
    )
    upkeep = Upkeep.CHANGED

    code: Mapped[Name]
    percent_bp: Mapped[Whole | None]
    amount_minor: Mapped[Minor | None]
    uses: Mapped[Whole]
    uses_left: Mapped[Whole]
    from_date: Mapped[Day | None]
    until_date: Mapped[Day | None]
    reason: Mapped[Name]
    active: Mapped[Flag]
    created_at: Mapped[Instant]


class DiscountUse(ClinicRow, Base):
    """A use of a code; once an invoice, also if that is cancelled later."""

    __tablename__ = "discount_use"
    __table_args__ = (
        references("discount_code", "code_id"),
        references("invoice", "invoice_id"),
    )
    upkeep = Upkeep.ADDED

    code_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    invoice_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    used_by: Mapped[Id]
    at: Mapped[Instant]
    business_date: Mapped[Day]
