"""The spine: clinics, people, prices, consultations, invoices, payments, and the record of all acts."""

import sqlalchemy as sa
from alembic import op

from billing.model import types

revision = "core_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""

    op.create_table(
        "audit_entry",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.Column("actor_id", types.IdType(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("data", types.JsonType(), nullable=False),
        sa.Column("number_value", types.WholeType(), nullable=True),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "position", name=op.f("pk_audit_entry")),
        sqlite_strict=True,
    )
    op.create_index("ix_audit_entry_subject", "audit_entry", ["clinic_id", "subject_id"], unique=False)
    op.create_table(
        "client",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_client")),
        sa.UniqueConstraint("clinic_id", "source", name=op.f("uq_client_source")),
        sqlite_strict=True,
    )
    op.create_index("ix_client_name", "client", ["clinic_id", "name"], unique=False)
    op.create_table(
        "clinic",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("tax_number", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("prices_include_tax", types.FlagType(), nullable=False),
        sa.Column("payment_days", types.WholeType(), nullable=False),
        sa.Column("policy", types.JsonType(), nullable=False),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("rounding IN ('document', 'line')", name=op.f("ck_clinic_rounding")),
        sa.CheckConstraint("payment_days BETWEEN 0 AND 3650", name=op.f("ck_clinic_payment_days")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_clinic")),
        sqlite_strict=True,
    )
    op.create_table(
        "clinic_code",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_clinic_code")),
        sqlite_strict=True,
    )
    op.create_table(
        "clinic_plugin",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("enabled", types.FlagType(), nullable=False),
        sa.Column("settings", types.JsonType(), nullable=False),
        sa.Column("changed_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "plugin", name=op.f("pk_clinic_plugin")),
        sqlite_strict=True,
    )
    op.create_table(
        "document_print",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_id", types.IdType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.Column("actor_id", types.IdType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_document_print")),
        sqlite_strict=True,
    )
    op.create_index("ix_document_print_document", "document_print", ["clinic_id", "document_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("data", types.JsonType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.Column("sent_at", types.InstantType(), nullable=True),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_event")),
        sqlite_strict=True,
    )
    op.create_index("ix_event_unsent", "event", ["clinic_id", "sent_at", "id"], unique=False)
    op.create_table(
        "idempotency_key",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("actor_id", types.IdType(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("answer", types.JsonType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "actor_id", "key", name=op.f("pk_idempotency_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "number_series",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("reset", sa.Text(), nullable=False),
        sa.Column("start_value", types.WholeType(), nullable=False),
        sa.Column("standard", types.FlagType(), nullable=False),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("kind IN ('invoice', 'receipt', 'credit_note')", name=op.f("ck_number_series_kind")),
        sa.CheckConstraint("reset IN ('never', 'year', 'month')", name=op.f("ck_number_series_reset")),
        sa.CheckConstraint("start_value >= 1", name=op.f("ck_number_series_start")),
        sa.PrimaryKeyConstraint("clinic_id", "series", name=op.f("pk_number_series")),
        sqlite_strict=True,
    )
    op.create_table(
        "staff",
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_operator", types.FlagType(), nullable=False),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("login", name="uq_staff_login"),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_head",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinic.clinic_id"], name="fk_audit_head_clinic_id"),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_audit_head")),
        sqlite_strict=True,
    )
    op.create_table(
        "department",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinic.clinic_id"], name="fk_department_clinic_id"),
        sa.PrimaryKeyConstraint("clinic_id", "code", name=op.f("pk_department")),
        sqlite_strict=True,
    )
    op.create_table(
        "membership",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("staff_id", types.IdType(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("provider", types.FlagType(), nullable=False),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("staff_id IS NOT NULL OR provider", name=op.f("ck_membership_who")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_membership_staff_id"),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_membership")),
        sa.UniqueConstraint("clinic_id", "source", name=op.f("uq_membership_source")),
        sa.UniqueConstraint("clinic_id", "staff_id", name=op.f("uq_membership_staff_id")),
        sqlite_strict=True,
    )
    op.create_table(
        "number_counter",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("latest_value", types.WholeType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "series"],
            ["number_series.clinic_id", "number_series.series"],
            name=op.f("fk_number_counter_series"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "series", "period", name=op.f("pk_number_counter")),
        sqlite_strict=True,
    )
    op.create_table(
        "patient",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sex", sa.Text(), nullable=False),
        sa.Column("birth_date", types.DayType(), nullable=True),
        sa.Column("species", sa.Text(), nullable=True),
        sa.Column("breed", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("(kind = 'animal') = (species IS NOT NULL)", name=op.f("ck_patient_species")),
        sa.CheckConstraint("kind IN ('person', 'animal')", name=op.f("ck_patient_kind")),
        sa.CheckConstraint("sex IN ('female', 'male', 'other', 'unknown')", name=op.f("ck_patient_sex")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["client.clinic_id", "client.id"], name=op.f("fk_patient_client_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_patient")),
        sa.UniqueConstraint("clinic_id", "source", name=op.f("uq_patient_source")),
        sqlite_strict=True,
    )
    op.create_index("ix_patient_client", "patient", ["clinic_id", "client_id"], unique=False)
    op.create_index("ix_patient_name", "patient", ["clinic_id", "name"], unique=False)
    op.create_table(
        "consultation",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("patient_id", types.IdType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("planned_at", types.InstantType(), nullable=True),
        sa.Column("opened_at", types.InstantType(), nullable=True),
        sa.Column("closed_at", types.InstantType(), nullable=True),
        sa.Column("cancelled_at", types.InstantType(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("status IN ('planned', 'open', 'closed', 'cancelled')", name=op.f("ck_consultation_status")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"], ["patient.clinic_id", "patient.id"], name=op.f("fk_consultation_patient_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "provider_id"],
            ["membership.clinic_id", "membership.id"],
            name=op.f("fk_consultation_provider_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_consultation")),
        sa.UniqueConstraint("clinic_id", "source", name=op.f("uq_consultation_source")),
        sqlite_strict=True,
    )
    op.create_index("ix_consultation_patient", "consultation", ["clinic_id", "patient_id"], unique=False)
    op.create_index("ix_consultation_provider", "consultation", ["clinic_id", "provider_id", "created_at"], unique=False)
    op.create_table(
        "service",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("unit_price_e4", types.WholeType(), nullable=False),
        sa.Column("tax_category", sa.Text(), nullable=False),
        sa.Column("tax_rate_bp", types.WholeType(), nullable=False),
        sa.Column("active", types.FlagType(), nullable=False),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.CheckConstraint("tax_rate_bp BETWEEN 0 AND 10000", name=op.f("ck_service_tax_rate_bp")),
        sa.CheckConstraint("unit_price_e4 >= 0", name=op.f("ck_service_unit_price_e4")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "department"],
            ["department.clinic_id", "department.code"],
            name=op.f("fk_service_department"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_service")),
        sa.UniqueConstraint("clinic_id", "code", name=op.f("uq_service_code")),
        sqlite_strict=True,
    )
    op.create_index("ix_service_department", "service", ["clinic_id", "department", "code"], unique=False)
    op.create_table(
        "invoice",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("patient_id", types.IdType(), nullable=False),
        sa.Column("client_id", types.IdType(), nullable=False),
        sa.Column("consultation_id", types.IdType(), nullable=True),
        sa.Column("provider_id", types.IdType(), nullable=True),
        sa.Column("series", sa.Text(), nullable=True),
        sa.Column("number_period", sa.Text(), nullable=True),
        sa.Column("number_value", types.WholeType(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("prices_include_tax", types.FlagType(), nullable=False),
        sa.Column("line_total_minor", types.WholeType(), nullable=False),
        sa.Column("allowance_minor", types.WholeType(), nullable=False),
        sa.Column("charge_minor", types.WholeType(), nullable=False),
        sa.Column("net_minor", types.WholeType(), nullable=False),
        sa.Column("tax_minor", types.WholeType(), nullable=False),
        sa.Column("total_minor", types.WholeType(), nullable=False),
        sa.Column("amount_paid_minor", types.WholeType(), nullable=False),
        sa.Column("written_off_minor", types.WholeType(), nullable=False),
        sa.Column("credited_minor", types.WholeType(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("version", types.WholeType(), nullable=False),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.Column("created_by", types.IdType(), nullable=False),
        sa.Column("issued_at", types.InstantType(), nullable=True),
        sa.Column("issue_date", types.DayType(), nullable=True),
        sa.Column("due_date", types.DayType(), nullable=True),
        sa.Column("cancelled_at", types.InstantType(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('draft', 'sent', 'partial', 'paid', 'cancelled')", name=op.f("ck_invoice_status")),
        sa.CheckConstraint("(issued_at IS NULL) = (due_date IS NULL)", name=op.f("ck_invoice_issued")),
        sa.CheckConstraint("amount_paid_minor + written_off_minor + credited_minor <= total_minor", name=op.f("ck_invoice_due")),
        sa.CheckConstraint("amount_paid_minor >= 0", name=op.f("ck_invoice_paid")),
        sa.CheckConstraint("net_minor + tax_minor = total_minor", name=op.f("ck_invoice_sum")),
        sa.CheckConstraint("total_minor BETWEEN 0 AND 90000000000000", name=op.f("ck_invoice_total")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "client_id"], ["client.clinic_id", "client.id"], name=op.f("fk_invoice_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "consultation_id"],
            ["consultation.clinic_id", "consultation.id"],
            name=op.f("fk_invoice_consultation_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"], ["patient.clinic_id", "patient.id"], name=op.f("fk_invoice_patient_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("clinic_id", "series", "number_period", "number_value", name="uq_invoice_number"),
        sa.UniqueConstraint("clinic_id", "source", name=op.f("uq_invoice_source")),
        sqlite_strict=True,
    )
    op.create_index("ix_invoice_client", "invoice", ["clinic_id", "client_id"], unique=False)
    op.create_index("ix_invoice_consultation", "invoice", ["clinic_id", "consultation_id"], unique=False)
    op.create_index("ix_invoice_created", "invoice", ["clinic_id", "created_at", "id"], unique=False)
    op.create_index("ix_invoice_number", "invoice", ["clinic_id", "number"], unique=False)
    op.create_index("ix_invoice_patient", "invoice", ["clinic_id", "patient_id"], unique=False)
    op.create_index("ix_invoice_status", "invoice", ["clinic_id", "status", "due_date"], unique=False)
    op.create_table(
        "service_price",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("service_id", types.IdType(), nullable=False),
        sa.Column("valid_from_at", types.InstantType(), nullable=False),
        sa.Column("unit_price_e4", types.WholeType(), nullable=False),
        sa.Column("tax_category", sa.Text(), nullable=False),
        sa.Column("tax_rate_bp", types.WholeType(), nullable=False),
        sa.Column("actor_id", types.IdType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "service_id"], ["service.clinic_id", "service.id"], name=op.f("fk_service_price_service_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_service_price")),
        sqlite_strict=True,
    )
    op.create_index("ix_service_price_service", "service_price", ["clinic_id", "service_id", "valid_from_at"], unique=False)
    op.create_table(
        "invoice_tax",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("tax_category", sa.Text(), nullable=False),
        sa.Column("tax_rate_bp", types.WholeType(), nullable=False),
        sa.Column("taxable_minor", types.WholeType(), nullable=False),
        sa.Column("tax_minor", types.WholeType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_invoice_tax_invoice_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "invoice_id", "tax_category", "tax_rate_bp", name=op.f("pk_invoice_tax")),
        sqlite_strict=True,
    )
    op.create_table(
        "payment",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("due_minor", types.WholeType(), nullable=False),
        sa.Column("tendered_minor", types.WholeType(), nullable=False),
        sa.Column("change_minor", types.WholeType(), nullable=False),
        sa.Column("rounding_minor", types.WholeType(), nullable=False),
        sa.Column("applied_minor", types.WholeType(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("receipt_period", sa.Text(), nullable=False),
        sa.Column("receipt_value", types.WholeType(), nullable=False),
        sa.Column("receipt_number", sa.Text(), nullable=False),
        sa.Column("taken_at", types.InstantType(), nullable=False),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("taken_by", types.IdType(), nullable=False),
        sa.CheckConstraint("applied_minor >= 0 AND change_minor >= 0 AND tendered_minor >= 0", name=op.f("ck_payment_signs")),
        sa.CheckConstraint("tendered_minor - change_minor - rounding_minor = applied_minor", name=op.f("ck_payment_identity")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_payment_invoice_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payment")),
        sa.UniqueConstraint("clinic_id", "series", "receipt_period", "receipt_value", name="uq_payment_receipt"),
        sqlite_strict=True,
    )
    op.create_index("ix_payment_invoice", "payment", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("ix_payment_receipt_number", "payment", ["clinic_id", "receipt_number"], unique=False)
    op.create_index("ix_payment_taken", "payment", ["clinic_id", "taken_at", "id"], unique=False)
    op.create_table(
        "source_claim",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_source_claim_invoice_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "source", name=op.f("pk_source_claim")),
        sqlite_strict=True,
    )
    op.create_index("ix_source_claim_invoice", "source_claim", ["clinic_id", "invoice_id"], unique=False)
    op.create_table(
        "invoice_item",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("service_id", types.IdType(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("quantity_milli", types.WholeType(), nullable=False),
        sa.Column("unit_price_e4", types.WholeType(), nullable=False),
        sa.Column("price_reason", sa.Text(), nullable=False),
        sa.Column("allowance_minor", types.WholeType(), nullable=False),
        sa.Column("charge_minor", types.WholeType(), nullable=False),
        sa.Column("net_minor", types.WholeType(), nullable=False),
        sa.Column("adjustment_minor", types.WholeType(), nullable=False),
        sa.Column("taxable_minor", types.WholeType(), nullable=False),
        sa.Column("tax_category", sa.Text(), nullable=False),
        sa.Column("tax_rate_bp", types.WholeType(), nullable=False),
        sa.Column("tax_minor", types.WholeType(), nullable=False),
        sa.Column("total_minor", types.WholeType(), nullable=False),
        sa.Column("provider_id", types.IdType(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("given", types.JsonType(), nullable=False),
        sa.Column("payment_id", types.IdType(), nullable=True),
        sa.Column("paid_at", types.InstantType(), nullable=True),
        sa.CheckConstraint("(payment_id IS NULL) = (paid_at IS NULL)", name=op.f("ck_invoice_item_paid")),
        sa.CheckConstraint("quantity_milli > 0", name=op.f("ck_invoice_item_quantity")),
        sa.CheckConstraint("total_minor >= 0 AND taxable_minor + tax_minor = total_minor", name=op.f("ck_invoice_item_total")),
        sa.CheckConstraint("unit_price_e4 >= 0", name=op.f("ck_invoice_item_price")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "department"],
            ["department.clinic_id", "department.code"],
            name=op.f("fk_invoice_item_department"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"], ["invoice.clinic_id", "invoice.id"], name=op.f("fk_invoice_item_invoice_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"], ["payment.clinic_id", "payment.id"], name=op.f("fk_invoice_item_payment_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "service_id"], ["service.clinic_id", "service.id"], name=op.f("fk_invoice_item_service_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoice_item")),
        sa.UniqueConstraint("clinic_id", "invoice_id", "position", name="uq_invoice_item_position"),
        sqlite_strict=True,
    )
    op.create_index("ix_invoice_item_payment", "invoice_item", ["clinic_id", "payment_id"], unique=False)
    op.create_index("ix_invoice_item_service", "invoice_item", ["clinic_id", "service_id"], unique=False)
    op.create_table(
        "tender",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("payment_id", types.IdType(), nullable=False),
        sa.Column("position", types.WholeType(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_tender_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"], ["payment.clinic_id", "payment.id"], name=op.f("fk_tender_payment_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_tender")),
        sqlite_strict=True,
    )
    op.create_index("ix_tender_payment", "tender", ["clinic_id", "payment_id"], unique=False)
    op.create_table(
        "effect",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("action_id", types.IdType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("quantity_milli", types.WholeType(), nullable=False),
        sa.Column("data", types.JsonType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"], ["invoice_item.clinic_id", "invoice_item.id"], name=op.f("fk_effect_item_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_effect")),
        sa.UniqueConstraint("clinic_id", "action_id", "item_id", "kind", "row_key", name="uq_effect_once"),
        sqlite_strict=True,
    )
    op.create_index("ix_effect_item", "effect", ["clinic_id", "item_id"], unique=False)
    op.create_table(
        "invoice_adjustment",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("id", types.IdType(), nullable=False),
        sa.Column("invoice_id", types.IdType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=True),
        sa.Column("charge", types.FlagType(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.Column("tax_category", sa.Text(), nullable=False),
        sa.Column("tax_rate_bp", types.WholeType(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_invoice_adjustment_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoice.clinic_id", "invoice.id"],
            name=op.f("fk_invoice_adjustment_invoice_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"],
            ["invoice_item.clinic_id", "invoice_item.id"],
            name=op.f("fk_invoice_adjustment_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoice_adjustment")),
        sqlite_strict=True,
    )
    op.create_index("ix_invoice_adjustment_invoice", "invoice_adjustment", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("ix_invoice_adjustment_item", "invoice_adjustment", ["clinic_id", "item_id"], unique=False)
    op.create_table(
        "payment_item",
        sa.Column("clinic_id", types.IdType(), nullable=False),
        sa.Column("payment_id", types.IdType(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=False),
        sa.Column("amount_minor", types.WholeType(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "item_id"],
            ["invoice_item.clinic_id", "invoice_item.id"],
            name=op.f("fk_payment_item_item_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"], ["payment.clinic_id", "payment.id"], name=op.f("fk_payment_item_payment_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("clinic_id", "payment_id", "item_id", name=op.f("pk_payment_item")),
        sqlite_strict=True,
    )
    op.create_index("ix_payment_item_item", "payment_item", ["clinic_id", "item_id"], unique=False)


def downgrade() -> None:
    """Drop the tables."""

    op.drop_index("ix_payment_item_item", table_name="payment_item")
    op.drop_table("payment_item")
    op.drop_index("ix_invoice_adjustment_item", table_name="invoice_adjustment")
    op.drop_index("ix_invoice_adjustment_invoice", table_name="invoice_adjustment")
    op.drop_table("invoice_adjustment")
    op.drop_index("ix_effect_item", table_name="effect")
    op.drop_table("effect")
    op.drop_index("ix_tender_payment", table_name="tender")
    op.drop_table("tender")
    op.drop_index("ix_invoice_item_service", table_name="invoice_item")
    op.drop_index("ix_invoice_item_payment", table_name="invoice_item")
    op.drop_table("invoice_item")
    op.drop_index("ix_source_claim_invoice", table_name="source_claim")
    op.drop_table("source_claim")
    op.drop_index("ix_payment_taken", table_name="payment")
    op.drop_index("ix_payment_receipt_number", table_name="payment")
    op.drop_index("ix_payment_invoice", table_name="payment")
    op.drop_table("payment")
    op.drop_table("invoice_tax")
    op.drop_index("ix_service_price_service", table_name="service_price")
    op.drop_table("service_price")
    op.drop_index("ix_invoice_status", table_name="invoice")
    op.drop_index("ix_invoice_patient", table_name="invoice")
    op.drop_index("ix_invoice_number", table_name="invoice")
    op.drop_index("ix_invoice_created", table_name="invoice")
    op.drop_index("ix_invoice_consultation", table_name="invoice")
    op.drop_index("ix_invoice_client", table_name="invoice")
    op.drop_table("invoice")
    op.drop_index("ix_service_department", table_name="service")
    op.drop_table("service")
    op.drop_index("ix_consultation_provider", table_name="consultation")
    op.drop_index("ix_consultation_patient", table_name="consultation")
    op.drop_table("consultation")
    op.drop_index("ix_patient_name", table_name="patient")
    op.drop_index("ix_patient_client", table_name="patient")
    op.drop_table("patient")
    op.drop_table("number_counter")
    op.drop_table("membership")
    op.drop_table("department")
    op.drop_table("audit_head")
    op.drop_table("staff")
    op.drop_table("number_series")
    op.drop_table("idempotency_key")
    op.drop_index("ix_event_unsent", table_name="event")
    op.drop_table("event")
    op.drop_index("ix_document_print_document", table_name="document_print")
    op.drop_table("document_print")
    op.drop_table("clinic_plugin")
    op.drop_table("clinic_code")
    op.drop_table("clinic")
    op.drop_index("ix_client_name", table_name="client")
    op.drop_table("client")
    op.drop_index("ix_audit_entry_subject", table_name="audit_entry")
    op.drop_table("audit_entry")
