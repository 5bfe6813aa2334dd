"""What every table shares: names of constraints, the clinic as the first half of the key, and the class it is registered as."""

from enum import StrEnum
from typing import Any

from sqlalchemy import BindParameter, CheckConstraint, ForeignKeyConstraint, MetaData, Table, UniqueConstraint, bindparam, event
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from billing.model.types import IdType, new_id

NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_1_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_1_name)s",
}
"""Column 0 is always the clinic, so the second one tells constraints apart. Longest allowed name: 50 characters."""

CLINIC: BindParameter[str] = bindparam("clinic_id", type_=IdType())
"""The one bind through which a statement says whose rows it means; the transaction fills it in, nobody else can."""


class TableClass(StrEnum):
    """How a table lives on a cluster: with its clinic, copied everywhere, or on one node only."""

    CLINIC = "clinic"
    REFERENCE = "reference"
    LOCAL = "local"


class Upkeep(StrEnum):
    """What becomes of a table's rows once they stand. On PostgreSQL the application's role is granted this and no more."""

    ADDED = "added"
    """Append-only: a row is never changed; what was wrong is corrected by another one."""

    CHANGED = "changed"
    """Rows are changed, never deleted."""

    DELETED = "deleted"
    """Rows are changed and deleted."""


class Base(DeclarativeBase):
    """The root of all tables, the plugins' included. A class that says nothing of its rows' upkeep may do everything with them."""

    metadata = MetaData(naming_convention=NAMES)
    table_class: TableClass
    upkeep = Upkeep.DELETED


class ClinicRow:
    """A row that belongs to a clinic: primary key `(clinic_id, id)` unless the table has a natural key of its own."""

    table_class = TableClass.CLINIC

    @declared_attr
    def clinic_id(cls) -> Mapped[str]:  # noqa: N805 - SQLAlchemy hands in the class
        """The clinic; filled in by the transaction."""
        return mapped_column(IdType, primary_key=True, sort_order=-2)


class ClinicRowWithId(ClinicRow):
    """A clinic's row with an id made in Python."""

    @declared_attr
    def id(cls) -> Mapped[str]:  # noqa: N805 - SQLAlchemy hands in the class
        """The row's id, a UUIDv7."""
        return mapped_column(IdType, primary_key=True, default=new_id, sort_order=-1)


def references(table: str, column: str, *, target: str = "id", ondelete: str = "RESTRICT") -> ForeignKeyConstraint:
    """Return the composite foreign key `(clinic_id, column)` -> `table(clinic_id, target)`."""
    return ForeignKeyConstraint(["clinic_id", column], [f"{table}.clinic_id", f"{table}.{target}"], ondelete=ondelete)


def unique(*columns: str, name: str | None = None) -> UniqueConstraint:
    """Return a unique constraint within a clinic."""
    return UniqueConstraint("clinic_id", *columns, name=name)


def check(name: str, condition: str) -> CheckConstraint:
    """Return a named CHECK."""
    return CheckConstraint(condition, name=name)


@event.listens_for(Table, "after_parent_attach")
def _make_strict(table: Table, parent: Any) -> None:
    # SQLite stores 'abc' in an INTEGER column of an ordinary table; STRICT tables refuse it.
    if parent is Base.metadata:
        table.dialect_options["sqlite"]["strict"] = True
