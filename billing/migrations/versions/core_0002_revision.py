"""A clinic's revision: units keep what they have read of its set-up, and ask by this column whether it still holds."""

import sqlalchemy as sa
from alembic import op

from billing.model import types

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the first change of a clinic's set-up gives it a value of its own."""
    op.add_column("clinic", sa.Column("revision", types.IdType(), nullable=False, server_default=types.NIL_ID))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("clinic", "revision")
