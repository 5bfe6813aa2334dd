"""Who works in a clinic, who pays, and who is cared for."""

from sqlalchemy import ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRowWithId, TableClass, Upkeep, check, references, unique
from billing.model.types import Day, Flag, Id, IdType, Instant, Name, new_id


class Staff(Base):
    """A person who signs in. The operator (made once, at set-up) may act in every clinic."""

    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("login", name="uq_staff_login"),)
    table_class = TableClass.REFERENCE
    upkeep = Upkeep.CHANGED

    id: Mapped[str] = mapped_column(IdType, primary_key=True, default=new_id)
    login: Mapped[Name]
    name: Mapped[Name]
    is_operator: Mapped[Flag] = mapped_column(default=False)
    active: Mapped[Flag] = mapped_column(default=True)
    created_at: Mapped[Instant]


class Membership(ClinicRowWithId, Base):
    """A person's place in a clinic: role, and whether they see patients. A provider need not be able to sign in."""

    __tablename__ = "membership"
    __table_args__ = (
        ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_membership_staff_id"),
        unique("staff_id"),
        unique("source"),
        check("who", "staff_id IS NOT NULL OR provider"),
    )
    upkeep = Upkeep.CHANGED

    staff_id: Mapped[Id | None]
    name: Mapped[Name]
    role: Mapped[Name]
    provider: Mapped[Flag]
    active: Mapped[Flag] = mapped_column(default=True)
    source: Mapped[Name | None]
    created_at: Mapped[Instant]


class Client(ClinicRowWithId, Base):
    """Who pays: the patient, a parent, the owner of a pet."""

    __tablename__ = "client"
    __table_args__ = (unique("source"), Index("ix_client_name", "clinic_id", "name"))
    upkeep = Upkeep.CHANGED

    name: Mapped[Name]
    phone: Mapped[Name] = mapped_column(Text, default="")
    email: Mapped[Name] = mapped_column(Text, default="")
    address: Mapped[Name] = mapped_column(Text, default="")
    source: Mapped[Name | None]
    created_at: Mapped[Instant]


class Patient(ClinicRowWithId, Base):
    """Who is cared for: a person, or an animal with species and breed. Belongs to one client."""

    __tablename__ = "patient"
    __table_args__ = (
        references("client", "client_id"),
        unique("source"),
        check("kind", "kind IN ('person', 'animal')"),
        check("species", "(kind = 'animal') = (species IS NOT NULL)"),
        check("sex", "sex IN ('female', 'male', 'other', 'unknown')"),
        Index("ix_patient_name", "clinic_id", "name"),
        Index("ix_patient_client", "clinic_id", "client_id"),
    )
    upkeep = Upkeep.CHANGED

    client_id: Mapped[Id]
    kind: Mapped[Name]
    name: Mapped[Name]
    sex: Mapped[Name]
    birth_date: Mapped[Day | None]
    species: Mapped[Name | None]
    breed: Mapped[Name | None]
    source: Mapped[Name | None]
    created_at: Mapped[Instant]


class Consultation(ClinicRowWithId, Base):
    """A visit of a patient to a provider: planned -> open -> closed, or cancelled before it is closed.

    `at` is when it is or was: opened, else planned. Lists are in this order.
    """

    __tablename__ = "consultation"
    __table_args__ = (
        references("patient", "patient_id"),
        references("membership", "provider_id"),
        unique("source"),
        check("status", "status IN ('planned', 'open', 'closed', 'cancelled')"),
        Index("ix_consultation_patient", "clinic_id", "patient_id"),
        Index("ix_consultation_at", "clinic_id", "at", "id"),
        Index("ix_consultation_provider", "clinic_id", "provider_id", "at", "id"),
        Index("ix_consultation_status", "clinic_id", "status", "at", "id"),
    )
    upkeep = Upkeep.CHANGED

    patient_id: Mapped[Id]
    provider_id: Mapped[Id]
    kind: Mapped[Name]
    status: Mapped[Name]
    at: Mapped[Instant]
    planned_at: Mapped[Instant | None]
    opened_at: Mapped[Instant | None]
    closed_at: Mapped[Instant | None]
    cancelled_at: Mapped[Instant | None]
    reason: Mapped[Name] = mapped_column(Text, default="")
    source: Mapped[Name | None]
    created_at: Mapped[Instant]
