"""The clinic, its departments, its plugins' settings, and the book that finds a clinic by its code."""

from sqlalchemy import ForeignKeyConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRow, TableClass, Upkeep, check
from billing.model.types import Flag, Id, IdType, Instant, Json, Name, Whole, new_id


class ClinicCode(Base):
    """The code of a clinic, unique over all clinics. Written when a clinic is founded, never changed."""

    __tablename__ = "clinic_code"
    table_class = TableClass.REFERENCE
    upkeep = Upkeep.ADDED

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    clinic_id: Mapped[Id]


class Clinic(Base):
    """A clinic: the tenant. Founded with everything that it needs to take money; never deleted, only closed."""

    __tablename__ = "clinic"
    __table_args__ = (
        check("rounding", "rounding IN ('document', 'line')"),
        check("payment_days", "payment_days BETWEEN 0 AND 3650"),
    )
    table_class = TableClass.CLINIC
    upkeep = Upkeep.CHANGED

    clinic_id: Mapped[str] = mapped_column(IdType, primary_key=True)
    code: Mapped[Name]
    name: Mapped[Name]
    address: Mapped[Name] = mapped_column(Text, default="")
    tax_number: Mapped[Name] = mapped_column(Text, default="")
    currency: Mapped[Name]
    time_zone: Mapped[Name]
    language: Mapped[Name]
    rounding: Mapped[Name]
    prices_include_tax: Mapped[Flag]
    payment_days: Mapped[Whole]
    policy: Mapped[Json]
    revision: Mapped[Id] = mapped_column(IdType, default=new_id)
    """Another id after each change of the clinic's set-up: its own row, departments, plugins, series. Units keep what they read by it."""
    created_at: Mapped[Instant]


class Department(ClinicRow, Base):
    """A part of the clinic that earns money. Its plugin declares it; the clinic chooses its place in the order."""

    __tablename__ = "department"
    __table_args__ = (ForeignKeyConstraint(["clinic_id"], ["clinic.clinic_id"], name="fk_department_clinic_id"),)
    upkeep = Upkeep.CHANGED

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    plugin: Mapped[Name]
    name: Mapped[Name]
    position: Mapped[Whole]


class ClinicPlugin(ClinicRow, Base):
    """Whether a plugin acts for a clinic, and with which settings (as the plugin's model reads them)."""

    __tablename__ = "clinic_plugin"
    upkeep = Upkeep.CHANGED

    plugin: Mapped[str] = mapped_column(Text, primary_key=True)
    enabled: Mapped[Flag]
    settings: Mapped[Json] = mapped_column(default=dict)
    changed_at: Mapped[Instant]
