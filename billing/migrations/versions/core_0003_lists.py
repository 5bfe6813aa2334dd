"""Lists that are read in order: when a consultation is becomes a column, and lists by status have an index that knows their order."""

import sqlalchemy as sa
from alembic import op

from billing.model import types

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and exchange the indexes."""
    # SQLite can't add a column that must not be empty without saying what stands there meanwhile; every insert names it.
    op.add_column("consultation", sa.Column("at", types.InstantType(), nullable=False, server_default="1970-01-01 00:00:00+00"))
    op.execute("UPDATE consultation SET at = COALESCE(opened_at, planned_at, created_at)")
    op.drop_index("ix_consultation_provider", table_name="consultation")
    op.create_index("ix_consultation_at", "consultation", ["clinic_id", "at", "id"])
    op.create_index("ix_consultation_provider", "consultation", ["clinic_id", "provider_id", "at", "id"])
    op.create_index("ix_consultation_status", "consultation", ["clinic_id", "status", "at", "id"])
    op.drop_index("ix_invoice_status", table_name="invoice")
    op.create_index("ix_invoice_status", "invoice", ["clinic_id", "status", "created_at", "id"])


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_invoice_status", table_name="invoice")
    op.create_index("ix_invoice_status", "invoice", ["clinic_id", "status", "due_date"])
    op.drop_index("ix_consultation_status", table_name="consultation")
    op.drop_index("ix_consultation_provider", table_name="consultation")
    op.drop_index("ix_consultation_at", table_name="consultation")
    op.create_index("ix_consultation_provider", "consultation", ["clinic_id", "provider_id", "created_at"])
    op.drop_column("consultation", "at")
