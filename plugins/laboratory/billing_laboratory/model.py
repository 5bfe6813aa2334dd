"""The laboratory's tables: what it can test, what is normal, what was ordered and what was found. They know no services and no hooks.

Measured values and limits are decimal text, exactly as they were written; they are compared as decimals, never as floats.
"""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.plugin import Base, ClinicRow, ClinicRowWithId, Flag, Id, Instant, Name, Upkeep, Whole, check, references, types, unique
from billing_laboratory.rules import OrderStatus, ResultFlag, ResultStatus, ValueKind

_LIVE = text("status <> 'cancelled'")
_OPEN = text("status IN ('pending', 'preliminary')")


def _one_of(column: str, values: type[OrderStatus | ResultFlag | ResultStatus | ValueKind]) -> str:
    return f"{column} IN ({', '.join(repr(each.value) for each in values)})"


class LabTest(ClinicRowWithId, Base):
    """What a service of the price list orders: one analyte, or a panel of several. Retired, never deleted: orders keep pointing at it."""

    __tablename__ = "laboratory_test"
    __table_args__ = (references("service", "service_id"), unique("service_id"), Index("ix_laboratory_test_loinc", "clinic_id", "loinc"))
    upkeep = Upkeep.CHANGED

    service_id: Mapped[Id]
    loinc: Mapped[Name]
    name: Mapped[Name]
    specimen: Mapped[Name]
    active: Mapped[Flag]
    created_at: Mapped[Instant]


class Analyte(ClinicRowWithId, Base):
    """What is measured, known by its LOINC code. `decimals` limits what may be entered; null means as many as there are."""

    __tablename__ = "laboratory_analyte"
    __table_args__ = (
        unique("loinc"),
        check("value_kind", _one_of("value_kind", ValueKind)),
        check("decimals", "decimals BETWEEN 0 AND 9"),
    )

    loinc: Mapped[Name]
    name: Mapped[Name]
    unit: Mapped[Name]
    value_kind: Mapped[Name]
    decimals: Mapped[Whole | None]
    created_at: Mapped[Instant]


class PanelMember(ClinicRow, Base):
    """An analyte of a test, at its place in the report. A single test has one."""

    __tablename__ = "laboratory_panel_member"
    __table_args__ = (
        references("laboratory_test", "test_id"),
        references("laboratory_analyte", "analyte_id"),
        unique("test_id", "position"),
        check("position", "position > 0"),
    )

    test_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    analyte_id: Mapped[str] = mapped_column(types.IdType, primary_key=True)
    position: Mapped[Whole]


class ReferenceRange(ClinicRowWithId, Base):
    """What is normal, and what critical, for whom. `species` null means a person; ages in days, `age_until_days` excluded.

    Results keep a copy of the range they were judged by, so a retired or corrected range rewrites no history.
    """

    __tablename__ = "laboratory_reference_range"
    __table_args__ = (
        references("laboratory_analyte", "analyte_id"),
        check("sex", "sex IN ('female', 'male')"),
        check("age", "age_from_days >= 0 AND (age_until_days IS NULL OR age_until_days > age_from_days)"),
        check("limits", "COALESCE(low, high, critical_low, critical_high, normal_text) IS NOT NULL"),
        Index("ix_laboratory_reference_range_analyte", "clinic_id", "analyte_id", "position"),
    )

    analyte_id: Mapped[Id]
    position: Mapped[Whole]
    sex: Mapped[Name | None]
    species: Mapped[Name | None]
    age_from_days: Mapped[Whole]
    age_until_days: Mapped[Whole | None]
    low: Mapped[Name | None]
    high: Mapped[Name | None]
    critical_low: Mapped[Name | None]
    critical_high: Mapped[Name | None]
    normal_text: Mapped[Name | None]
    active: Mapped[Flag]
    created_at: Mapped[Instant]


class LabOrder(ClinicRowWithId, Base):
    """One test of one patient, ordered by paying for it; `OrderStatus` tells its life. An item has at most one that is not cancelled.

    Whoever changes results locks this row first.
    """

    __tablename__ = "laboratory_order"
    __table_args__ = (
        references("invoice_item", "item_id"),
        references("patient", "patient_id"),
        references("laboratory_test", "test_id"),
        check("status", _one_of("status", OrderStatus)),
        check("priority", "priority IN ('routine', 'urgent', 'stat')"),
        check("collected", "(collected_at IS NULL) = (collected_by IS NULL)"),
        check("received", "(received_at IS NULL) = (received_by IS NULL)"),
        check("cancelled", "(status = 'cancelled') = (cancelled_at IS NOT NULL)"),
        Index("uq_laboratory_order_live", "clinic_id", "item_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
        Index("ix_laboratory_order_status", "clinic_id", "status", "ordered_at"),
        Index("ix_laboratory_order_patient", "clinic_id", "patient_id", "ordered_at"),
    )
    upkeep = Upkeep.CHANGED

    item_id: Mapped[Id]
    patient_id: Mapped[Id]
    test_id: Mapped[Id]
    status: Mapped[Name]
    priority: Mapped[Name]
    ordered_at: Mapped[Instant]
    collected_at: Mapped[Instant | None]
    collected_by: Mapped[Id | None]
    received_at: Mapped[Instant | None]
    received_by: Mapped[Id | None]
    cancelled_at: Mapped[Instant | None]


class LabResult(ClinicRowWithId, Base):
    """What was found for one analyte of an order; `ResultStatus` tells its life. Entered by one person, verified by another.

    A verified value is never edited: an amendment is a new row that names the one which it supersedes, and why.
    Of an analyte one row at most is open (pending or preliminary), and a row is superseded by one other at most.
    """

    __tablename__ = "laboratory_result"
    __table_args__ = (
        references("laboratory_order", "order_id"),
        references("laboratory_analyte", "analyte_id"),
        references("laboratory_result", "supersedes_id"),
        references("laboratory_result", "retest_of_id"),
        check("status", _one_of("status", ResultStatus)),
        check("flag", _one_of("flag", ResultFlag)),
        check("position", "position > 0"),
        check("entered", "status IN ('pending', 'cancelled') OR (value IS NOT NULL AND entered_by IS NOT NULL AND entered_at IS NOT NULL)"),
        check("verified", "(status IN ('final', 'amended')) = (verified_by IS NOT NULL AND verified_at IS NOT NULL)"),
        check("two_people", "verified_by IS NULL OR verified_by <> entered_by"),
        check("amended", "status <> 'amended' OR (supersedes_id IS NOT NULL AND reason <> '')"),
        check("acknowledged", "(critical_acknowledged_at IS NULL) = (critical_acknowledged_by IS NULL)"),
        Index("ix_laboratory_result_order", "clinic_id", "order_id", "position"),
        Index("ix_laboratory_result_analyte", "clinic_id", "analyte_id"),
        Index("uq_laboratory_result_open", "clinic_id", "order_id", "analyte_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("uq_laboratory_result_supersedes", "clinic_id", "supersedes_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    )
    upkeep = Upkeep.CHANGED

    order_id: Mapped[Id]
    analyte_id: Mapped[Id]
    position: Mapped[Whole]
    status: Mapped[Name]
    value: Mapped[Name | None]
    unit: Mapped[Name]
    flag: Mapped[Name]
    range_text: Mapped[Name]
    reason: Mapped[Name]
    measured_at: Mapped[Instant | None]
    entered_by: Mapped[Id | None]
    entered_at: Mapped[Instant | None]
    verified_by: Mapped[Id | None]
    verified_at: Mapped[Instant | None]
    supersedes_id: Mapped[Id | None]
    retest_of_id: Mapped[Id | None]
    critical_acknowledged_by: Mapped[Id | None]
    critical_acknowledged_at: Mapped[Instant | None]


TABLES = (LabTest, Analyte, PanelMember, ReferenceRange, LabOrder, LabResult)
