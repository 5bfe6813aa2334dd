"""A cashier's time at a drawer: the shift, its count, and cash that moves without a sale."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, Upkeep, check, references
from billing.model.types import Day, Id, IdType, Instant, Json, Minor, Name

_OPEN = text("closed_at IS NULL")


class Shift(ClinicRowWithId, Base):
    """A cashier's shift at a drawer; `import` is the one that imported cash goes to. Closed once, never reopened.

    `latest_at` is the latest act of money: every act updates it, expecting the shift to be open. `denominations` is the count by value,
    `report` the figures of the Z-report as they were at closing.
    """

    __tablename__ = "shift"
    __table_args__ = (
        check("kind", "kind IN ('till', 'import')"),
        check("float", "float_minor >= 0"),
        check("closed", "(closed_at IS NULL) = (report IS NULL)"),
        Index("ux_shift_cashier", "clinic_id", "cashier_id", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ux_shift_drawer", "clinic_id", "drawer", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ix_shift_opened", "clinic_id", "opened_at", "id"),
    )
    upkeep = Upkeep.CHANGED

    kind: Mapped[Name]
    cashier_id: Mapped[Id]
    cashier: Mapped[Name]
    drawer: Mapped[Name]
    float_minor: Mapped[Minor]
    opened_at: Mapped[Instant]
    opened_date: Mapped[Day]
    latest_at: Mapped[Instant]
    closed_at: Mapped[Instant | None]
    closed_date: Mapped[Day | None]
    closed_by: Mapped[Id | None]
    denominations: Mapped[Json | None]
    report: Mapped[Json | None]


class ShiftCount(ClinicRow, Base):
    """What a closed shift should have had of a method and what was counted. Minor units of the clinic's currency."""

    __tablename__ = "shift_count"
    __table_args__ = (
        references("shift", "shift_id"),
        check("difference", "difference_minor = counted_minor - expected_minor"),
    )
    upkeep = Upkeep.ADDED

    shift_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    method: Mapped[str] = mapped_column(Text, primary_key=True)
    expected_minor: Mapped[Minor]
    counted_minor: Mapped[Minor]
    difference_minor: Mapped[Minor]


class CashMove(ClinicRowWithId, Base):
    """Cash paid into or out of a drawer with a reason, or handed over to another shift, which accepts or refuses it."""

    __tablename__ = "cash_move"
    __table_args__ = (
        references("shift", "shift_id"),
        references("shift", "to_shift_id"),
        check("kind", "kind IN ('paid_in', 'paid_out', 'hand_over')"),
        check("status", "status IN ('done', 'offered', 'accepted', 'refused')"),
        check("amount", "amount_minor > 0"),
        check("to", "(kind = 'hand_over') = (to_shift_id IS NOT NULL)"),
        Index("ix_cash_move_shift", "clinic_id", "shift_id"),
        Index("ix_cash_move_to", "clinic_id", "to_shift_id"),
    )
    upkeep = Upkeep.CHANGED

    kind: Mapped[Name]
    shift_id: Mapped[Id]
    to_shift_id: Mapped[Id | None]
    amount_minor: Mapped[Minor]
    reason: Mapped[Name]
    status: Mapped[Name]
    at: Mapped[Instant]
    business_date: Mapped[Day]
    done_by: Mapped[Id]
    answered_at: Mapped[Instant | None]
    answered_by: Mapped[Id | None]
