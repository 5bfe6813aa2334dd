"""What is kept about acts: the audit chain, events to tell, idempotency keys, prints, and the migration lock."""

from sqlalchemy import ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, ClinicRowWithId, TableClass, Upkeep
from billing.model.types import Day, Id, IdType, Instant, Json, Name, Whole


class AuditHead(ClinicRow, Base):
    """The end of a clinic's audit chain; every entry takes this row last, just before COMMIT. `previous_hash` is the end before the latest write.

    `closed_through` is the last day of the latest closed month: since every act ends here, nothing is booked up to that day by any path.
    """

    __tablename__ = "audit_head"
    __table_args__ = (ForeignKeyConstraint(["clinic_id"], ["clinic.clinic_id"], name="fk_audit_head_clinic_id"),)
    upkeep = Upkeep.CHANGED

    position: Mapped[Whole]
    hash: Mapped[Name]
    previous_hash: Mapped[Name]
    closed_through: Mapped[Day | None]


class AuditEntry(ClinicRow, Base):
    """Who did what when to which row. `hash` = SHA-256 of the previous hash, the content and the document number (rules/chain.py)."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_subject", "clinic_id", "subject_id"),)
    upkeep = Upkeep.ADDED

    position: Mapped[Whole] = mapped_column(primary_key=True)
    at: Mapped[Instant]
    actor_id: Mapped[Id]
    action: Mapped[Name]
    subject: Mapped[Name]
    subject_id: Mapped[Name]
    data: Mapped[Json]
    number_value: Mapped[Whole | None]
    previous_hash: Mapped[Name]
    hash: Mapped[Name]


class Event(ClinicRowWithId, Base):
    """What the clinic's other systems are told after commit: the outbox."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_unsent", "clinic_id", "sent_at", "id"),)
    upkeep = Upkeep.CHANGED

    topic: Mapped[Name]
    subject_id: Mapped[Name]
    data: Mapped[Json]
    at: Mapped[Instant]
    sent_at: Mapped[Instant | None]


class IdempotencyKey(ClinicRow, Base):
    """A key that an actor has used, what was asked with it, and the answer. Rolled back with a failed act, so it can be used again."""

    __tablename__ = "idempotency_key"
    upkeep = Upkeep.CHANGED

    actor_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    action: Mapped[Name]
    request_hash: Mapped[Name]
    answer: Mapped[Json]
    at: Mapped[Instant]


class DocumentPrint(ClinicRowWithId, Base):
    """A printing of an invoice or a receipt: the second and later ones are marked as copies."""

    __tablename__ = "document_print"
    __table_args__ = (Index("ix_document_print_document", "clinic_id", "document_id"),)
    upkeep = Upkeep.ADDED

    document: Mapped[Name]
    document_id: Mapped[Id]
    at: Mapped[Instant]
    actor_id: Mapped[Id]


class MigrationLock(Base):
    """One row that a migration holds, so that two never run at once."""

    __tablename__ = "migration_lock"
    table_class = TableClass.LOCAL

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[Name]
