"""Products, batches, moves and reservations."""

import sqlalchemy as sa
from alembic import op

from billing.plugin import types

revision = "pharmacy_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _create_product()
    _create_batch()
    _create_move()
    _create_reservation()


def downgrade() -> None:
    """Drop the tables, what refers to others first."""
    for table in ("pharmacy_reservation", "pharmacy_move", "pharmacy_batch", "pharmacy_product"):
        op.drop_table(table)


def _create_product() -> None:
    op.create_table(
        "pharmacy_product",
        _id("clinic_id"),
        _id("service_id"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("controlled", types.FlagType(), nullable=False),
        _whole("reorder_level_milli"),
        sa.Column("created_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "service_id", name=op.f("pk_pharmacy_product")),
        _foreign_key("pharmacy_product", "service_id", "service", "id"),
        sa.UniqueConstraint("clinic_id", "code", name=op.f("uq_pharmacy_product_code")),
        sa.CheckConstraint("reorder_level_milli >= 0", name=op.f("ck_pharmacy_product_reorder_level")),
        sqlite_strict=True,
    )


def _create_batch() -> None:
    op.create_table(
        "pharmacy_batch",
        _id("clinic_id"),
        _id("id"),
        _id("service_id"),
        sa.Column("lot", sa.Text(), nullable=False),
        sa.Column("expires_on", types.DayType(), nullable=False),
        _whole("on_hand_milli"),
        _whole("unit_cost_e4"),
        sa.Column("blocked", types.FlagType(), nullable=False),
        sa.Column("blocked_reason", sa.Text(), nullable=True),
        sa.Column("received_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_pharmacy_batch")),
        _foreign_key("pharmacy_batch", "service_id", "pharmacy_product", "service_id"),
        sa.UniqueConstraint("clinic_id", "service_id", "lot", name=op.f("uq_pharmacy_batch_service_id")),
        sa.CheckConstraint("on_hand_milli >= 0", name=op.f("ck_pharmacy_batch_on_hand")),
        sa.CheckConstraint("unit_cost_e4 >= 0", name=op.f("ck_pharmacy_batch_unit_cost")),
        sa.CheckConstraint("blocked = (blocked_reason IS NOT NULL)", name=op.f("ck_pharmacy_batch_blocked")),
        sqlite_strict=True,
    )
    _partial_index("ix_pharmacy_batch_live", "pharmacy_batch", ["clinic_id", "service_id", "expires_on"], "on_hand_milli > 0")


def _create_move() -> None:
    op.create_table(
        "pharmacy_move",
        _id("clinic_id"),
        _id("id"),
        _id("batch_id"),
        _whole("quantity_milli"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("item_id", types.IdType(), nullable=True),
        sa.Column("action_id", types.IdType(), nullable=True),
        sa.Column("business_date", types.DayType(), nullable=False),
        sa.Column("at", types.InstantType(), nullable=False),
        _id("actor_id"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_pharmacy_move")),
        _foreign_key("pharmacy_move", "batch_id", "pharmacy_batch", "id"),
        _foreign_key("pharmacy_move", "item_id", "invoice_item", "id"),
        sa.CheckConstraint("quantity_milli <> 0", name=op.f("ck_pharmacy_move_quantity")),
        sa.CheckConstraint(
            "reason IN ('receipt', 'sale', 'return', 'adjustment', 'transfer', 'expiry')", name=op.f("ck_pharmacy_move_reason")
        ),
        sa.CheckConstraint(
            "(reason IN ('sale', 'return')) = (item_id IS NOT NULL AND action_id IS NOT NULL)", name=op.f("ck_pharmacy_move_item")
        ),
        sa.CheckConstraint(
            "(reason NOT IN ('receipt', 'return') OR quantity_milli > 0) AND (reason NOT IN ('sale', 'expiry') OR quantity_milli < 0)",
            name=op.f("ck_pharmacy_move_sign"),
        ),
        sqlite_strict=True,
    )
    op.create_index("ix_pharmacy_move_batch", "pharmacy_move", ["clinic_id", "batch_id", "id"])
    op.create_index("ix_pharmacy_move_item", "pharmacy_move", ["clinic_id", "item_id"])
    _partial_index("ux_pharmacy_move_source", "pharmacy_move", ["clinic_id", "source"], "source IS NOT NULL", unique=True)


def _create_reservation() -> None:
    op.create_table(
        "pharmacy_reservation",
        _id("clinic_id"),
        _id("item_id"),
        _id("service_id"),
        _whole("quantity_milli"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("changed_at", types.InstantType(), nullable=False),
        sa.PrimaryKeyConstraint("clinic_id", "item_id", name=op.f("pk_pharmacy_reservation")),
        _foreign_key("pharmacy_reservation", "item_id", "invoice_item", "id", ondelete="CASCADE"),
        _foreign_key("pharmacy_reservation", "service_id", "pharmacy_product", "service_id"),
        sa.CheckConstraint("quantity_milli > 0", name=op.f("ck_pharmacy_reservation_quantity")),
        sa.CheckConstraint("status IN ('held', 'released', 'dispensed')", name=op.f("ck_pharmacy_reservation_status")),
        sqlite_strict=True,
    )
    _partial_index("ix_pharmacy_reservation_held", "pharmacy_reservation", ["clinic_id", "service_id"], "status = 'held'")


def _id(name: str) -> sa.Column[str]:
    return sa.Column(name, types.IdType(), nullable=False)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, types.WholeType(), nullable=False)


def _foreign_key(table: str, column: str, target: str, key: str, *, ondelete: str = "RESTRICT") -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint(["clinic_id", column], [f"{target}.clinic_id", f"{target}.{key}"], name=name, ondelete=ondelete)


def _partial_index(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition))
