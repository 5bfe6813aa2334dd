"""Visits and their fees, what is agreed with providers, follow-up windows, and shares of what was paid."""

import sqlalchemy as sa
from alembic import op

from billing.plugin import types

revision = "consultation_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "consultation_visit",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("service_id", types.IdType(), nullable=False),
        sa.Column("follow_up", types.FlagType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "service_id"],
            ["service.clinic_id", "service.id"],
            name=op.f("fk_consultation_visit_service_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "service_id", name=op.f("pk_consultation_visit")),
        sqlite_strict=True,
    )
    op.create_table(
        "consultation_fee",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("service_id", types.IdType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit_price_e4", types.WholeType(), nullable=False),
        sa.Column("valid_from_date", types.DayType(), nullable=False),
        sa.Column("valid_until_date", types.DayType(), nullable=True),
        sa.CheckConstraint("provider_id IS NOT NULL OR kind <> ''", name=op.f("ck_consultation_fee_scope")),
        sa.CheckConstraint("unit_price_e4 >= 0", name=op.f("ck_consultation_fee_unit_price_e4")),
        sa.CheckConstraint("valid_until_date IS NULL OR valid_until_date >= valid_from_date", name=op.f("ck_consultation_fee_days")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "provider_id"],
            ["membership.clinic_id", "membership.id"],
            name=op.f("fk_consultation_fee_provider_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "service_id"],
            ["consultation_visit.clinic_id", "consultation_visit.service_id"],
            name=op.f("fk_consultation_fee_service_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_consultation_fee")),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_consultation_fee_kind",
        "consultation_fee",
        ["clinic_id", "service_id", "kind", "valid_from_date"],
        unique=True,
        sqlite_where=sa.text("provider_id IS NULL"),
        postgresql_where=sa.text("provider_id IS NULL"),
    )
    op.create_index(
        "uq_consultation_fee_provider",
        "consultation_fee",
        ["clinic_id", "service_id", "provider_id", "kind", "valid_from_date"],
        unique=True,
        sqlite_where=sa.text("provider_id IS NOT NULL"),
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )
    op.create_table(
        "consultation_terms",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=True),
        sa.Column("share_bp", types.WholeType(), nullable=False),
        sa.Column("follow_up_days", types.WholeType(), nullable=False),
        sa.Column("follow_up_price_e4", types.WholeType(), nullable=False),
        sa.Column("follow_up_visits", types.WholeType(), nullable=False),
        sa.CheckConstraint("follow_up_days BETWEEN 0 AND 3650", name=op.f("ck_consultation_terms_follow_up_days")),
        sa.CheckConstraint("follow_up_price_e4 >= 0", name=op.f("ck_consultation_terms_follow_up_price_e4")),
        sa.CheckConstraint(
            "follow_up_visits >= 0 AND (follow_up_visits = 0) = (follow_up_days = 0)", name=op.f("ck_consultation_terms_follow_up_visits")
        ),
        sa.CheckConstraint("share_bp BETWEEN 0 AND 10000", name=op.f("ck_consultation_terms_share_bp")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "provider_id"],
            ["membership.clinic_id", "membership.id"],
            name=op.f("fk_consultation_terms_provider_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_consultation_terms")),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_consultation_terms_clinic",
        "consultation_terms",
        ["clinic_id"],
        unique=True,
        sqlite_where=sa.text("provider_id IS NULL"),
        postgresql_where=sa.text("provider_id IS NULL"),
    )
    op.create_index(
        "uq_consultation_terms_provider",
        "consultation_terms",
        ["clinic_id", "provider_id"],
        unique=True,
        sqlite_where=sa.text("provider_id IS NOT NULL"),
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )
    op.create_table(
        "consultation_follow_up",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("patient_id", types.IdType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=False),
        sa.Column("free_from_date", types.DayType(), nullable=False),
        sa.Column("free_through_date", types.DayType(), nullable=False),
        sa.Column("visits_left", types.WholeType(), nullable=False),
        sa.Column("unit_price_e4", types.WholeType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=False),
        sa.Column("payment_id", types.IdType(), nullable=False),
        sa.Column("closed_at", types.InstantType(), nullable=True),
        sa.CheckConstraint("free_through_date >= free_from_date", name=op.f("ck_consultation_follow_up_days")),
        sa.CheckConstraint("unit_price_e4 >= 0", name=op.f("ck_consultation_follow_up_unit_price_e4")),
        sa.CheckConstraint("visits_left >= 0", name=op.f("ck_consultation_follow_up_visits_left")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"],
            ["invoice_item.clinic_id", "invoice_item.id"],
            name=op.f("fk_consultation_follow_up_item_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patient.clinic_id", "patient.id"],
            name=op.f("fk_consultation_follow_up_patient_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payment.clinic_id", "payment.id"],
            name=op.f("fk_consultation_follow_up_payment_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "provider_id"],
            ["membership.clinic_id", "membership.id"],
            name=op.f("fk_consultation_follow_up_provider_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "patient_id", "provider_id", name=op.f("pk_consultation_follow_up")),
        sqlite_strict=True,
    )
    op.create_index("ix_consultation_follow_up_item", "consultation_follow_up", ["clinic_id", "item_id"], unique=False)
    op.create_table(
        "consultation_share",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=False),
        sa.Column("action_id", types.IdType(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("paid_out_id", types.IdType(), nullable=True),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_consultation_share_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"],
            ["invoice_item.clinic_id", "invoice_item.id"],
            name=op.f("fk_consultation_share_item_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "provider_id"],
            ["membership.clinic_id", "membership.id"],
            name=op.f("fk_consultation_share_provider_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_consultation_share")),
        sa.UniqueConstraint("clinic_id", "action_id", "item_id", name="uq_consultation_share_once"),
        sqlite_strict=True,
    )
    op.create_index("ix_consultation_share_item", "consultation_share", ["clinic_id", "item_id"], unique=False)
    op.create_index("ix_consultation_share_provider", "consultation_share", ["clinic_id", "provider_id", "business_date"], unique=False)


def downgrade() -> None:
    """Drop the tables, and with them their indexes."""
    op.drop_table("consultation_share")
    op.drop_table("consultation_follow_up")
    op.drop_table("consultation_terms")
    op.drop_table("consultation_fee")
    op.drop_table("consultation_visit")
