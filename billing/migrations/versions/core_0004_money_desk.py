"""The money desk: reversals and credit notes, shifts, wallets, payers and claims, discounts, the journal, takings, reminders."""

import sqlalchemy as sa
from alembic import op

from billing.migrations.money_desk import book_what_was
from billing.model import types

revision = "core_0004"
down_revision = "core_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and add the columns."""
    op.create_table(
        "account",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "account", name=op.f("pk_account")),
        sqlite_strict=True,
    )
    op.create_table(
        "approval",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("subject_id", types.IdType(), nullable=False),
        sa.Column("most_minor", types.WholeType(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given_by", types.IdType(), nullable=False),
        sa.Column("given_at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("used_by", types.IdType(), nullable=True),
        sa.Column("used_at", types.InstantType(timezone=True), nullable=True),
        sa.Column("used_for", types.IdType(), nullable=True),
        sa.CheckConstraint("(used_by IS NULL) = (used_at IS NULL)", name=op.f("ck_approval_used")),
        sa.CheckConstraint("used_by IS NULL OR used_by <> given_by", name=op.f("ck_approval_two")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_approval")),
        sqlite_strict=True,
    )
    op.create_index("ix_approval_given", "approval", ["clinic_id", "given_at", "id"], unique=False)
    op.create_index("ix_approval_subject", "approval", ["clinic_id", "subject_id", "permission"], unique=False)
    op.create_table(
        "discount_code",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("percent_bp", types.WholeType(), nullable=True),
        sa.Column("amount_minor", types.WholeType(), nullable=True),
        sa.Column("uses", types.WholeType(), nullable=False),
        sa.Column("uses_left", types.WholeType(), nullable=False),
        sa.Column("from_date", types.DayType(), nullable=True),
        sa.Column("until_date", types.DayType(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("created_at", types.InstantType(timezone=True), nullable=False),
        sa.CheckConstraint("(percent_bp IS NULL) <> (amount_minor IS NULL)", name=op.f("ck_discount_code_gives")),
        sa.CheckConstraint(
            "COALESCE(percent_bp, 1) BETWEEN 1 AND 10000 AND COALESCE(amount_minor, 1) > 0", name=op.f("ck_discount_code_amounts")
        ),
        sa.CheckConstraint("uses_left BETWEEN 0 AND uses", name=op.f("ck_discount_code_uses")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_discount_code")),
        sa.UniqueConstraint("clinic_id", "code", name="uq_discount_code_code"),
        sqlite_strict=True,
    )
    op.create_table(
        "journal_line",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("action_id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=True),
        sa.Column("client_id", types.IdType(), nullable=True),
        sa.Column("payer_id", types.IdType(), nullable=True),
        sa.Column("shift_id", types.IdType(), nullable=True),
        sa.Column("actor_id", types.IdType(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_journal_line_amount")),
        sa.PrimaryKeyConstraint("clinic_id", "action_id", "kind", "position", name=op.f("pk_journal_line")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_journal_line_client",
        "journal_line",
        ["clinic_id", "client_id", "business_date", "at"],
        unique=False,
        postgresql_where=sa.text("client_id IS NOT NULL"),
        sqlite_where=sa.text("client_id IS NOT NULL"),
    )
    op.create_index("ix_journal_line_date", "journal_line", ["clinic_id", "business_date", "at", "action_id"], unique=False)
    op.create_index(
        "ix_journal_line_shift",
        "journal_line",
        ["clinic_id", "shift_id"],
        unique=False,
        postgresql_where=sa.text("shift_id IS NOT NULL"),
        sqlite_where=sa.text("shift_id IS NOT NULL"),
    )
    op.create_table(
        "payer",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", types.InstantType(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('insurer', 'company')", name=op.f("ck_payer_kind")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payer")),
        sa.UniqueConstraint("clinic_id", "code", name="uq_payer_code"),
        sa.UniqueConstraint("clinic_id", "source", name="uq_payer_source"),
        sqlite_strict=True,
    )
    op.create_table(
        "period",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("until_date", types.DayType(), nullable=False),
        sa.Column("from_date", types.DayType(), nullable=False),
        sa.Column("closed_at", types.InstantType(timezone=True), nullable=False),
        sa.Column("closed_by", types.IdType(), nullable=False),
        sa.Column("balances", types.JsonType(), nullable=False),
        sa.CheckConstraint("from_date <= until_date", name=op.f("ck_period_days")),
        sa.PrimaryKeyConstraint("clinic_id", "until_date", name=op.f("pk_period")),
        sqlite_strict=True,
    )
    op.create_table(
        "shift",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cashier_id", types.IdType(), nullable=False),
        sa.Column("cashier", sa.Text(), nullable=False),
        sa.Column("drawer", sa.Text(), nullable=False),
        sa.Column("float_minor", types.WholeType(), nullable=False),
        sa.Column("opened_at", types.InstantType(timezone=True), nullable=False),
        sa.Column("opened_date", types.DayType(), nullable=False),
        sa.Column("latest_at", types.InstantType(timezone=True), nullable=False),
        sa.Column("closed_at", types.InstantType(timezone=True), nullable=True),
        sa.Column("closed_date", types.DayType(), nullable=True),
        sa.Column("closed_by", types.IdType(), nullable=True),
        sa.Column("denominations", types.JsonType(), nullable=True),
        sa.Column("report", types.JsonType(), nullable=True),
        sa.CheckConstraint("kind IN ('till', 'import')", name=op.f("ck_shift_kind")),
        sa.CheckConstraint("(closed_at IS NULL) = (report IS NULL)", name=op.f("ck_shift_closed")),
        sa.CheckConstraint("float_minor >= 0", name=op.f("ck_shift_float")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_shift")),
        sqlite_strict=True,
    )
    op.create_index("ix_shift_opened", "shift", ["clinic_id", "opened_at", "id"], unique=False)
    op.create_index(
        "ux_shift_cashier",
        "shift",
        ["clinic_id", "cashier_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "ux_shift_drawer",
        "shift",
        ["clinic_id", "drawer"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "takings",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("cashier_id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("acts", types.WholeType(), nullable=False),
        sa.CheckConstraint("kind IN ('payment', 'void', 'refund', 'top_up', 'pay_out')", name=op.f("ck_takings_kind")),
        sa.PrimaryKeyConstraint(
            "clinic_id", "business_date", "cashier_id", "kind", "department", "provider_id", "method", name=op.f("pk_takings")
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "cash_move",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("shift_id", types.IdType(), nullable=False),
        sa.Column("to_shift_id", types.IdType(), nullable=True),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("done_by", types.IdType(), nullable=False),
        sa.Column("answered_at", types.InstantType(timezone=True), nullable=True),
        sa.Column("answered_by", types.IdType(), nullable=True),
        sa.CheckConstraint("(kind = 'hand_over') = (to_shift_id IS NOT NULL)", name=op.f("ck_cash_move_to")),
        sa.CheckConstraint("kind IN ('paid_in', 'paid_out', 'hand_over')", name=op.f("ck_cash_move_kind")),
        sa.CheckConstraint("status IN ('done', 'offered', 'accepted', 'refused')", name=op.f("ck_cash_move_status")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_cash_move_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "shift_id"], ["shift.clinic_id", "shift.id"], name=op.f("fk_cash_move_shift_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "to_shift_id"], ["shift.clinic_id", "shift.id"], name=op.f("fk_cash_move_to_shift_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_cash_move")),
        sqlite_strict=True,
    )
    op.create_index("ix_cash_move_shift", "cash_move", ["clinic_id", "shift_id"], unique=False)
    op.create_index("ix_cash_move_to", "cash_move", ["clinic_id", "to_shift_id"], unique=False)
    op.create_table(
        "claim_payment",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("payer_id", types.IdType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("done_by", types.IdType(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_claim_payment_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payer_id"], ["payer.clinic_id", "payer.id"], name=op.f("fk_claim_payment_payer_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_claim_payment")),
        sqlite_strict=True,
    )
    op.create_index("ix_claim_payment_payer", "claim_payment", ["clinic_id", "payer_id", "id"], unique=False)
    op.create_table(
        "shift_count",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("shift_id", types.IdType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("expected_minor", types.WholeType(), nullable=False),
        sa.Column("counted_minor", types.WholeType(), nullable=False),
        sa.Column("difference_minor", types.WholeType(), nullable=False),
        sa.CheckConstraint("difference_minor = counted_minor - expected_minor", name=op.f("ck_shift_count_difference")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "shift_id"], ["shift.clinic_id", "shift.id"], name=op.f("fk_shift_count_shift_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "shift_id", "method", name=op.f("pk_shift_count")),
        sqlite_strict=True,
    )
    op.create_table(
        "wallet",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("balance_minor", types.WholeType(), nullable=False),
        sa.CheckConstraint("balance_minor >= 0", name=op.f("ck_wallet_balance")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["client.clinic_id", "client.id"], name=op.f("fk_wallet_client_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "client_id", name=op.f("pk_wallet")),
        sqlite_strict=True,
    )
    op.create_table(
        "coverage",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("payer_id", types.IdType(), nullable=False),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("patient_id", types.IdType(), nullable=True),
        sa.Column("policy_number", sa.Text(), nullable=False),
        sa.Column("percent_bp", types.WholeType(), nullable=False),
        sa.Column("item_copay_minor", types.WholeType(), nullable=False),
        sa.Column("visit_copay_minor", types.WholeType(), nullable=False),
        sa.Column("visit_cap_minor", types.WholeType(), nullable=True),
        sa.Column("year_cap_minor", types.WholeType(), nullable=True),
        sa.Column("from_date", types.DayType(), nullable=False),
        sa.Column("until_date", types.DayType(), nullable=True),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("created_at", types.InstantType(timezone=True), nullable=False),
        sa.CheckConstraint("item_copay_minor >= 0 AND visit_copay_minor >= 0", name=op.f("ck_coverage_copays")),
        sa.CheckConstraint("percent_bp BETWEEN 0 AND 10000", name=op.f("ck_coverage_percent")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["client.clinic_id", "client.id"], name=op.f("fk_coverage_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"], ["patient.clinic_id", "patient.id"], name=op.f("fk_coverage_patient_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payer_id"], ["payer.clinic_id", "payer.id"], name=op.f("fk_coverage_payer_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_coverage")),
        sqlite_strict=True,
    )
    op.create_index("ix_coverage_client", "coverage", ["clinic_id", "client_id"], unique=False)
    op.create_index("ix_coverage_payer", "coverage", ["clinic_id", "payer_id"], unique=False)
    op.create_table(
        "wallet_move",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("action_id", types.IdType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("tendered_minor", types.WholeType(), nullable=False),
        sa.Column("change_minor", types.WholeType(), nullable=False),
        sa.Column("rounding_minor", types.WholeType(), nullable=False),
        sa.Column("series", sa.Text(), nullable=True),
        sa.Column("receipt_period", sa.Text(), nullable=True),
        sa.Column("receipt_value", types.WholeType(), nullable=True),
        sa.Column("receipt_number", sa.Text(), nullable=True),
        sa.Column("shift_id", types.IdType(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("done_by", types.IdType(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.CheckConstraint("(kind IN ('top_up', 'pay_out')) = (receipt_number IS NOT NULL)", name=op.f("ck_wallet_move_receipt")),
        sa.CheckConstraint(
            "(kind IN ('top_up', 'refund', 'void') AND amount_minor > 0) OR (kind IN ('pay_out', 'payment') AND amount_minor < 0)",
            name=op.f("ck_wallet_move_sign"),
        ),
        sa.CheckConstraint("kind IN ('top_up', 'pay_out', 'payment', 'refund', 'void')", name=op.f("ck_wallet_move_kind")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["wallet.clinic_id", "wallet.client_id"], name=op.f("fk_wallet_move_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "shift_id"], ["shift.clinic_id", "shift.id"], name=op.f("fk_wallet_move_shift_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_wallet_move")),
        sa.UniqueConstraint("clinic_id", "client_id", "action_id", "kind", name="uq_wallet_move_action"),
        sa.UniqueConstraint("clinic_id", "series", "receipt_period", "receipt_value", name="uq_wallet_move_receipt"),
        sqlite_strict=True,
    )
    op.create_index("ix_wallet_move_client", "wallet_move", ["clinic_id", "client_id", "id"], unique=False)
    op.create_index("ix_wallet_move_receipt_number", "wallet_move", ["clinic_id", "receipt_number"], unique=False)
    op.create_index("ix_wallet_move_shift", "wallet_move", ["clinic_id", "shift_id"], unique=False)
    op.create_table(
        "claim",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("payer_id", types.IdType(), nullable=False),
        sa.Column("coverage_id", types.IdType(), nullable=True),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("paid_minor", types.WholeType(), nullable=False),
        sa.Column("rejected_minor", types.WholeType(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("submitted_at", types.InstantType(timezone=True), nullable=True),
        sa.Column("issue_date", types.DayType(), nullable=False),
        sa.Column("created_at", types.InstantType(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('open', 'submitted', 'part_paid', 'paid', 'rejected', 'cancelled')", name=op.f("ck_claim_status")),
        sa.CheckConstraint(
            "paid_minor >= 0 AND rejected_minor >= 0 AND paid_minor + rejected_minor <= amount_minor", name=op.f("ck_claim_amounts")
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["client.clinic_id", "client.id"], name=op.f("fk_claim_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_claim_invoice_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payer_id"], ["payer.clinic_id", "payer.id"], name=op.f("fk_claim_payer_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_claim")),
        sa.UniqueConstraint("clinic_id", "invoice_id", name="uq_claim_invoice"),
        sqlite_strict=True,
    )
    op.create_index("ix_claim_created", "claim", ["clinic_id", "created_at", "id"], unique=False)
    op.create_index("ix_claim_payer", "claim", ["clinic_id", "payer_id", "status", "issue_date", "id"], unique=False)
    op.create_table(
        "discount_use",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("code_id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("used_by", types.IdType(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "code_id"],
            ["discount_code.clinic_id", "discount_code.id"],
            name=op.f("fk_discount_use_code_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_discount_use_invoice_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "code_id", "invoice_id", name=op.f("pk_discount_use")),
        sqlite_strict=True,
    )
    op.create_table(
        "reminder",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("level", types.WholeType(), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("due_minor", types.WholeType(), nullable=False),
        sa.Column("fee_minor", types.WholeType(), nullable=False),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("done_by", types.IdType(), nullable=False),
        sa.CheckConstraint("due_minor > 0 AND fee_minor >= 0", name=op.f("ck_reminder_amounts")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_reminder_invoice_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "invoice_id", "level", name=op.f("pk_reminder")),
        sa.UniqueConstraint("clinic_id", "invoice_id", "business_date", name="uq_reminder_day"),
        sqlite_strict=True,
    )
    op.create_table(
        "claim_part",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("claim_payment_id", types.IdType(), nullable=False),
        sa.Column("claim_id", types.IdType(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_claim_part_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "claim_id"], ["claim.clinic_id", "claim.id"], name=op.f("fk_claim_part_claim_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "claim_payment_id"],
            ["claim_payment.clinic_id", "claim_payment.id"],
            name=op.f("fk_claim_part_claim_payment_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "claim_payment_id", "claim_id", name=op.f("pk_claim_part")),
        sqlite_strict=True,
    )
    op.create_index("ix_claim_part_claim", "claim_part", ["clinic_id", "claim_id"], unique=False)
    op.create_table(
        "reversal",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("payment_id", types.IdType(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("refunded_minor", types.WholeType(), nullable=False),
        sa.Column("rounding_minor", types.WholeType(), nullable=False),
        sa.Column("credited_minor", types.WholeType(), nullable=False),
        sa.Column("credited_payer_minor", types.WholeType(), nullable=False),
        sa.Column("written_off_minor", types.WholeType(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=True),
        sa.Column("number_period", sa.Text(), nullable=True),
        sa.Column("number_value", types.WholeType(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("printed", types.JsonType(), nullable=True),
        sa.Column("shift_id", types.IdType(), nullable=True),
        sa.Column("at", types.InstantType(timezone=True), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("done_by", types.IdType(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("approved_by", types.IdType(), nullable=True),
        sa.CheckConstraint("(kind = 'void') = (payment_id IS NOT NULL)", name=op.f("ck_reversal_void")),
        sa.CheckConstraint(
            "kind <> 'write_off' OR (refunded_minor = 0 AND credited_minor = 0 AND written_off_minor > 0)",
            name=op.f("ck_reversal_write_off"),
        ),
        sa.CheckConstraint("kind IN ('void', 'refund', 'return', 'cancel', 'write_off')", name=op.f("ck_reversal_kind")),
        sa.CheckConstraint("(number IS NULL) = (number_value IS NULL)", name=op.f("ck_reversal_number")),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> done_by", name=op.f("ck_reversal_approver")),
        sa.CheckConstraint("credited_minor = 0 OR number IS NOT NULL", name=op.f("ck_reversal_credit")),
        sa.CheckConstraint("credited_payer_minor <= credited_minor", name=op.f("ck_reversal_payer")),
        sa.CheckConstraint(
            "refunded_minor >= 0 AND credited_minor >= 0 AND credited_payer_minor >= 0 AND written_off_minor >= 0",
            name=op.f("ck_reversal_signs"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_reversal_invoice_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"], ["payment.clinic_id", "payment.id"], name=op.f("fk_reversal_payment_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "shift_id"], ["shift.clinic_id", "shift.id"], name=op.f("fk_reversal_shift_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_reversal")),
        sa.UniqueConstraint("clinic_id", "payment_id", name="uq_reversal_payment"),
        sa.UniqueConstraint("clinic_id", "series", "number_period", "number_value", name="uq_reversal_number"),
        sqlite_strict=True,
    )
    op.create_index("ix_reversal_date", "reversal", ["clinic_id", "business_date", "id"], unique=False)
    op.create_index("ix_reversal_invoice", "reversal", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("ix_reversal_number", "reversal", ["clinic_id", "number"], unique=False)
    op.create_index("ix_reversal_shift", "reversal", ["clinic_id", "shift_id"], unique=False)
    op.create_table(
        "reversal_item",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("reversal_id", types.IdType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=False),
        sa.Column("quantity_milli", types.WholeType(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("discount_minor", types.WholeType(), nullable=False),
        sa.Column("taxable_minor", types.WholeType(), nullable=False),
        sa.Column("tax_minor", types.WholeType(), nullable=False),
        sa.Column("total_minor", types.WholeType(), nullable=False),
        sa.Column("payer_minor", types.WholeType(), nullable=False),
        sa.Column("settled", types.FlagType(), nullable=False),
        sa.CheckConstraint("condition IN ('good', 'destroyed')", name=op.f("ck_reversal_item_condition")),
        sa.CheckConstraint("discount_minor >= 0 AND taxable_minor >= 0 AND tax_minor >= 0", name=op.f("ck_reversal_item_signs")),
        sa.CheckConstraint("payer_minor BETWEEN 0 AND total_minor", name=op.f("ck_reversal_item_payer")),
        sa.CheckConstraint("quantity_milli > 0", name=op.f("ck_reversal_item_quantity")),
        sa.CheckConstraint("taxable_minor + tax_minor = total_minor", name=op.f("ck_reversal_item_total")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"],
            ["invoice_item.clinic_id", "invoice_item.id"],
            name=op.f("fk_reversal_item_item_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "reversal_id"],
            ["reversal.clinic_id", "reversal.id"],
            name=op.f("fk_reversal_item_reversal_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "reversal_id", "item_id", name=op.f("pk_reversal_item")),
        sqlite_strict=True,
    )
    op.create_index("ix_reversal_item_item", "reversal_item", ["clinic_id", "item_id"], unique=False)
    op.create_table(
        "reversal_tender",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("reversal_id", types.IdType(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_reversal_tender_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "reversal_id"],
            ["reversal.clinic_id", "reversal.id"],
            name=op.f("fk_reversal_tender_reversal_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_reversal_tender")),
        sqlite_strict=True,
    )
    op.create_index("ix_reversal_tender_reversal", "reversal_tender", ["clinic_id", "reversal_id"], unique=False)
    op.add_column("audit_head", sa.Column("closed_through", types.DayType(), nullable=True))
    op.add_column("invoice", sa.Column("payer_id", types.IdType(), nullable=True))
    op.add_column("invoice", sa.Column("coverage_id", types.IdType(), nullable=True))
    op.add_column("invoice", sa.Column("payer_minor", types.WholeType(), nullable=False, server_default="0"))
    op.create_index(
        "ix_invoice_coverage",
        "invoice",
        ["clinic_id", "coverage_id"],
        unique=False,
        postgresql_where=sa.text("coverage_id IS NOT NULL"),
        sqlite_where=sa.text("coverage_id IS NOT NULL"),
    )
    op.create_index("ix_invoice_issued", "invoice", ["clinic_id", "issue_date", "id"], unique=False)
    op.create_index(
        "ix_invoice_open",
        "invoice",
        ["clinic_id", "due_date", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('sent', 'partial')"),
        sqlite_where=sa.text("status IN ('sent', 'partial')"),
    )
    op.add_column("invoice_adjustment", sa.Column("given_by", types.IdType(), nullable=True))
    op.add_column("invoice_adjustment", sa.Column("approved_by", types.IdType(), nullable=True))
    op.add_column("invoice_adjustment", sa.Column("code_id", types.IdType(), nullable=True))
    op.add_column("invoice_item", sa.Column("payer_minor", types.WholeType(), nullable=False, server_default="0"))
    op.add_column("invoice_item", sa.Column("credited_milli", types.WholeType(), nullable=False, server_default="0"))
    op.add_column("invoice_item", sa.Column("credited_minor", types.WholeType(), nullable=False, server_default="0"))
    op.add_column("payment", sa.Column("shift_id", types.IdType(), nullable=True))
    op.add_column("payment", sa.Column("group_id", types.IdType(), nullable=True))
    op.add_column("payment", sa.Column("amount_due_minor", types.WholeType(), nullable=False, server_default="0"))
    op.add_column("payment", sa.Column("on_account_minor", types.WholeType(), nullable=False, server_default="0"))
    op.create_index(
        "ix_payment_group",
        "payment",
        ["clinic_id", "group_id"],
        unique=False,
        postgresql_where=sa.text("group_id IS NOT NULL"),
        sqlite_where=sa.text("group_id IS NOT NULL"),
    )
    op.create_index(
        "ix_payment_shift",
        "payment",
        ["clinic_id", "shift_id", "id"],
        unique=False,
        postgresql_where=sa.text("shift_id IS NOT NULL"),
        sqlite_where=sa.text("shift_id IS NOT NULL"),
    )
    op.add_column("payment_item", sa.Column("payer_minor", types.WholeType(), nullable=False, server_default="0"))
    book_what_was(op.get_bind())


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_payment_shift", table_name="payment")
    op.drop_index("ix_payment_group", table_name="payment")
    op.drop_index("ix_invoice_open", table_name="invoice")
    op.drop_index("ix_invoice_issued", table_name="invoice")
    op.drop_index("ix_invoice_coverage", table_name="invoice")
    op.drop_column("payment_item", "payer_minor")
    op.drop_column("payment", "on_account_minor")
    op.drop_column("payment", "amount_due_minor")
    op.drop_column("payment", "group_id")
    op.drop_column("payment", "shift_id")
    op.drop_column("invoice_item", "credited_minor")
    op.drop_column("invoice_item", "credited_milli")
    op.drop_column("invoice_item", "payer_minor")
    op.drop_column("invoice_adjustment", "code_id")
    op.drop_column("invoice_adjustment", "approved_by")
    op.drop_column("invoice_adjustment", "given_by")
    op.drop_column("invoice", "payer_minor")
    op.drop_column("invoice", "coverage_id")
    op.drop_column("invoice", "payer_id")
    op.drop_column("audit_head", "closed_through")
    op.drop_table("reversal_tender")
    op.drop_table("reversal_item")
    op.drop_table("reversal")
    op.drop_table("claim_part")
    op.drop_table("reminder")
    op.drop_table("discount_use")
    op.drop_table("claim")
    op.drop_table("wallet_move")
    op.drop_table("coverage")
    op.drop_table("wallet")
    op.drop_table("shift_count")
    op.drop_table("claim_payment")
    op.drop_table("cash_move")
    op.drop_table("takings")
    op.drop_table("shift")
    op.drop_table("period")
    op.drop_table("payer")
    op.drop_table("journal_line")
    op.drop_table("discount_code")
    op.drop_table("approval")
    op.drop_table("account")
