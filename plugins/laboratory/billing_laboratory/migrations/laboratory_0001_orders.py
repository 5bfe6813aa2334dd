"""Tests, analytes, panels, reference ranges, orders and results."""

import sqlalchemy as sa
from alembic import op

from billing.plugin import types

revision = "laboratory_0001"
down_revision = None
branch_labels = None
depends_on = None

_LIVE = sa.text("status <> 'cancelled'")
_OPEN = sa.text("status IN ('pending', 'preliminary')")


def upgrade() -> None:
    """Create the tables."""
    _create_test()
    _create_analyte()
    _create_panel_member()
    _create_reference_range()
    _create_order()
    _create_result()


def downgrade() -> None:
    """Drop the tables, what refers to others first."""
    for name in ("result", "order", "reference_range", "panel_member", "analyte", "test"):
        op.drop_table(f"laboratory_{name}")


def _create_test() -> None:
    op.create_table(
        "laboratory_test",
        _id("clinic_id"),
        _id("id"),
        _id("service_id"),
        _text("loinc"),
        _text("name"),
        _text("specimen"),
        sa.Column("active", types.FlagType(), nullable=False),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_laboratory_test")),
        _refers("laboratory_test", "service_id", "service"),
        sa.UniqueConstraint("clinic_id", "service_id", name=op.f("uq_laboratory_test_service_id")),
        sqlite_strict=True,
    )
    op.create_index("ix_laboratory_test_loinc", "laboratory_test", ["clinic_id", "loinc"])


def _create_analyte() -> None:
    op.create_table(
        "laboratory_analyte",
        _id("clinic_id"),
        _id("id"),
        _text("loinc"),
        _text("name"),
        _text("unit"),
        _text("value_kind"),
        _whole("decimals", nullable=True),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_laboratory_analyte")),
        sa.UniqueConstraint("clinic_id", "loinc", name=op.f("uq_laboratory_analyte_loinc")),
        _check("laboratory_analyte", "value_kind", "value_kind IN ('numeric', 'text')"),
        _check("laboratory_analyte", "decimals", "decimals BETWEEN 0 AND 9"),
        sqlite_strict=True,
    )


def _create_panel_member() -> None:
    op.create_table(
        "laboratory_panel_member",
        _id("clinic_id"),
        _id("test_id"),
        _id("analyte_id"),
        _whole("position"),
        sa.PrimaryKeyConstraint("clinic_id", "test_id", "analyte_id", name=op.f("pk_laboratory_panel_member")),
        _refers("laboratory_panel_member", "test_id", "laboratory_test"),
        _refers("laboratory_panel_member", "analyte_id", "laboratory_analyte"),
        sa.UniqueConstraint("clinic_id", "test_id", "position", name=op.f("uq_laboratory_panel_member_test_id")),
        _check("laboratory_panel_member", "position", "position > 0"),
        sqlite_strict=True,
    )


def _create_reference_range() -> None:
    table = "laboratory_reference_range"
    op.create_table(
        table,
        _id("clinic_id"),
        _id("id"),
        _id("analyte_id"),
        _whole("position"),
        _text("sex", nullable=True),
        _text("species", nullable=True),
        _whole("age_from_days"),
        _whole("age_until_days", nullable=True),
        _text("low", nullable=True),
        _text("high", nullable=True),
        _text("critical_low", nullable=True),
        _text("critical_high", nullable=True),
        _text("normal_text", nullable=True),
        sa.Column("active", types.FlagType(), nullable=False),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f(f"pk_{table}")),
        _refers(table, "analyte_id", "laboratory_analyte"),
        _check(table, "sex", "sex IN ('female', 'male')"),
        _check(table, "age", "age_from_days >= 0 AND (age_until_days IS NULL OR age_until_days > age_from_days)"),
        _check(table, "limits", "COALESCE(low, high, critical_low, critical_high, normal_text) IS NOT NULL"),
        sqlite_strict=True,
    )
    op.create_index("ix_laboratory_reference_range_analyte", table, ["clinic_id", "analyte_id", "position"])


def _create_order() -> None:
    table = "laboratory_order"
    states = "'ordered', 'collected', 'received', 'in_progress', 'preliminary', 'final', 'amended', 'cancelled'"
    op.create_table(
        table,
        _id("clinic_id"),
        _id("id"),
        _id("item_id"),
        _id("patient_id"),
        _id("test_id"),
        _text("status"),
        _text("priority"),
        _instant("ordered_at"),
        _instant("collected_at", nullable=True),
        _id("collected_by", nullable=True),
        _instant("received_at", nullable=True),
        _id("received_by", nullable=True),
        _instant("cancelled_at", nullable=True),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f(f"pk_{table}")),
        _refers(table, "item_id", "invoice_item"),
        _refers(table, "patient_id", "patient"),
        _refers(table, "test_id", "laboratory_test"),
        _check(table, "status", f"status IN ({states})"),
        _check(table, "priority", "priority IN ('routine', 'urgent', 'stat')"),
        _check(table, "collected", "(collected_at IS NULL) = (collected_by IS NULL)"),
        _check(table, "received", "(received_at IS NULL) = (received_by IS NULL)"),
        _check(table, "cancelled", "(status = 'cancelled') = (cancelled_at IS NOT NULL)"),
        sqlite_strict=True,
    )
    op.create_index("uq_laboratory_order_live", table, ["clinic_id", "item_id"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.create_index("ix_laboratory_order_status", table, ["clinic_id", "status", "ordered_at"])
    op.create_index("ix_laboratory_order_patient", table, ["clinic_id", "patient_id", "ordered_at"])


def _create_result() -> None:
    table = "laboratory_result"
    entered = "value IS NOT NULL AND entered_by IS NOT NULL AND entered_at IS NOT NULL"
    verified = "verified_by IS NOT NULL AND verified_at IS NOT NULL"
    op.create_table(
        table,
        _id("clinic_id"),
        _id("id"),
        _id("order_id"),
        _id("analyte_id"),
        _whole("position"),
        _text("status"),
        _text("value", nullable=True),
        _text("unit"),
        _text("flag"),
        _text("range_text"),
        _text("reason"),
        _instant("measured_at", nullable=True),
        _id("entered_by", nullable=True),
        _instant("entered_at", nullable=True),
        _id("verified_by", nullable=True),
        _instant("verified_at", nullable=True),
        _id("supersedes_id", nullable=True),
        _id("retest_of_id", nullable=True),
        _id("critical_acknowledged_by", nullable=True),
        _instant("critical_acknowledged_at", nullable=True),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f(f"pk_{table}")),
        _refers(table, "order_id", "laboratory_order"),
        _refers(table, "analyte_id", "laboratory_analyte"),
        _refers(table, "supersedes_id", table),
        _refers(table, "retest_of_id", table),
        _check(table, "status", "status IN ('pending', 'preliminary', 'final', 'amended', 'cancelled')"),
        _check(table, "flag", "flag IN ('', 'N', 'L', 'H', 'LL', 'HH', 'A')"),
        _check(table, "position", "position > 0"),
        _check(table, "entered", f"status IN ('pending', 'cancelled') OR ({entered})"),
        _check(table, "verified", f"(status IN ('final', 'amended')) = ({verified})"),
        _check(table, "two_people", "verified_by IS NULL OR verified_by <> entered_by"),
        _check(table, "amended", "status <> 'amended' OR (supersedes_id IS NOT NULL AND reason <> '')"),
        _check(table, "acknowledged", "(critical_acknowledged_at IS NULL) = (critical_acknowledged_by IS NULL)"),
        sqlite_strict=True,
    )
    op.create_index("ix_laboratory_result_order", table, ["clinic_id", "order_id", "position"])
    op.create_index("ix_laboratory_result_analyte", table, ["clinic_id", "analyte_id"])
    open_one = ["clinic_id", "order_id", "analyte_id"]
    op.create_index("uq_laboratory_result_open", table, open_one, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
    superseded = ["clinic_id", "supersedes_id"]
    op.create_index("uq_laboratory_result_supersedes", table, superseded, unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, types.IdType(), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, types.WholeType(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, types.InstantType(), nullable=nullable)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    keys = [f"{target}.clinic_id", f"{target}.id"]
    return sa.ForeignKeyConstraint(["clinic_id", column], keys, name=op.f(f"fk_{table}_{column}"), ondelete="RESTRICT")


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))
