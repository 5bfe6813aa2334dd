"""The price list of a clinic and its history."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from billing.model.base import Base, ClinicRowWithId, Upkeep, check, references, unique
from billing.model.types import Flag, Id, Instant, Name, Whole


class Service(ClinicRowWithId, Base):
    """An entry of the price list as it is now. Retired, never deleted: issued items keep pointing at it."""

    __tablename__ = "service"
    __table_args__ = (
        unique("code"),
        references("department", "department", target="code"),
        check("unit_price_e4", "unit_price_e4 >= 0"),
        check("tax_rate_bp", "tax_rate_bp BETWEEN 0 AND 10000"),
        Index("ix_service_department", "clinic_id", "department", "code"),
    )
    upkeep = Upkeep.CHANGED

    code: Mapped[Name]
    department: Mapped[Name]
    description: Mapped[Name]
    unit: Mapped[Name]
    unit_price_e4: Mapped[Whole]
    tax_category: Mapped[Name]
    tax_rate_bp: Mapped[Whole]
    active: Mapped[Flag] = mapped_column(default=True)
    created_at: Mapped[Instant]


class ServicePrice(ClinicRowWithId, Base):
    """A price that a service has had from an instant on; the latest row is the service's own price."""

    __tablename__ = "service_price"
    __table_args__ = (
        references("service", "service_id"),
        Index("ix_service_price_service", "clinic_id", "service_id", "valid_from_at"),
    )
    upkeep = Upkeep.ADDED

    service_id: Mapped[Id]
    valid_from_at: Mapped[Instant]
    unit_price_e4: Mapped[Whole]
    tax_category: Mapped[Name]
    tax_rate_bp: Mapped[Whole]
    actor_id: Mapped[Id]
