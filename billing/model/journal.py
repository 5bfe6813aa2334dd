"""The books: journal lines, names of accounts, closed months, takings by day, and reminders."""

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, Upkeep, check, references, unique
from billing.model.types import Day, DayType, Id, IdType, Instant, Json, Minor, Name, Whole

_OF_CLIENT = text("client_id IS NOT NULL")
_OF_SHIFT = text("shift_id IS NOT NULL")


class JournalLine(ClinicRow, Base):
    """One line of a balanced entry, in minor units of the clinic's currency: debit above zero, credit below.

    The lines of one act and kind are one entry and sum to 0; the key makes booking it twice impossible.
    `account` is the stable key (`cash`, `revenue:DEPARTMENT`), its number and name are the clinic's chart.
    """

    __tablename__ = "journal_line"
    __table_args__ = (
        check("amount", "amount_minor <> 0"),
        Index("ix_journal_line_date", "clinic_id", "business_date", "at", "action_id"),
        Index(
            "ix_journal_line_client",
            "clinic_id",
            "client_id",
            "business_date",
            "at",
            postgresql_where=_OF_CLIENT,
            sqlite_where=_OF_CLIENT,
        ),
        Index("ix_journal_line_shift", "clinic_id", "shift_id", postgresql_where=_OF_SHIFT, sqlite_where=_OF_SHIFT),
    )
    upkeep = Upkeep.ADDED

    action_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[Whole] = mapped_column(primary_key=True)
    business_date: Mapped[Day]
    at: Mapped[Instant]
    account: Mapped[Name]
    amount_minor: Mapped[Minor]
    invoice_id: Mapped[Id | None]
    client_id: Mapped[Id | None]
    payer_id: Mapped[Id | None]
    shift_id: Mapped[Id | None]
    actor_id: Mapped[Id]


class Account(ClinicRow, Base):
    """A clinic's own number and name for an account, where it does not want the default."""

    __tablename__ = "account"
    upkeep = Upkeep.CHANGED

    account: Mapped[str] = mapped_column(Text, primary_key=True)
    code: Mapped[Name]
    name: Mapped[Name]


class Period(ClinicRow, Base):
    """A closed month, first to last day, with the balances of all accounts when it was closed. Never reopened."""

    __tablename__ = "period"
    __table_args__ = (check("days", "from_date <= until_date"),)
    upkeep = Upkeep.ADDED

    until_date: Mapped[Day] = mapped_column(DayType, primary_key=True)
    from_date: Mapped[Day]
    closed_at: Mapped[Instant]
    closed_by: Mapped[Id]
    balances: Mapped[Json]


class Takings(ClinicRow, Base):
    """What a cashier took on a day, by department, provider and method: kept up by every act, so that reports of days are quick.

    Minor units of the clinic's currency, below zero where money went back. `department` is '' on account and for wallets, `provider_id`
    the nil id where nobody provided. By cashier, so that cashiers don't wait for each other.
    """

    __tablename__ = "takings"
    __table_args__ = (check("kind", "kind IN ('payment', 'void', 'refund', 'top_up', 'pay_out')"),)
    upkeep = Upkeep.CHANGED

    business_date: Mapped[Day] = mapped_column(DayType, primary_key=True)
    cashier_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    department: Mapped[str] = mapped_column(Text, primary_key=True)
    provider_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    method: Mapped[str] = mapped_column(Text, primary_key=True)
    amount_minor: Mapped[Minor]
    acts: Mapped[Whole]


class Reminder(ClinicRow, Base):
    """A reminder of an overdue invoice: each level once, at most one a day."""

    __tablename__ = "reminder"
    __table_args__ = (
        references("invoice", "invoice_id"),
        unique("invoice_id", "business_date", name="uq_reminder_day"),
        check("amounts", "due_minor > 0 AND fee_minor >= 0"),
    )
    upkeep = Upkeep.ADDED

    invoice_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    level: Mapped[Whole] = mapped_column(primary_key=True)
    business_date: Mapped[Day]
    due_minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    at: Mapped[Instant]
    done_by: Mapped[Id]
