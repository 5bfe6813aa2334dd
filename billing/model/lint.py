"""The schema rules that let the same tables live on SQLite, PostgreSQL and a cluster, as a check. Knows the metadata, no database."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, PrimaryKeyConstraint, Sequence, Table, UniqueConstraint

from billing.model.base import Base, TableClass

LONGEST_NAME = 50
"""A cluster appends the shard's number to the names of constraints, and cuts what is too long."""


def core_tables() -> list[Table]:
    """Return the core's own tables: those of plugins are checked with their plugin, so that a bad one stops no other."""
    own = [mapper.local_table for mapper in Base.registry.mappers if mapper.class_.__module__.startswith("billing.model.")]
    return [table for table in own if isinstance(table, Table)]


def schema_problems(tables: Iterable[Table] | None = None) -> list[str]:
    """Return what is wrong with tables (all that are known, if none are named), one sentence each."""
    classes = {mapper.local_table: getattr(mapper.class_, "table_class", None) for mapper in Base.registry.mappers}
    chosen = Base.metadata.sorted_tables if tables is None else sorted(tables, key=lambda table: table.name)
    return [problem for table in chosen for problem in _problems(table, classes)]


def _problems(table: Table, classes: dict[Any, Any]) -> Iterator[str]:
    table_class = classes.get(table)
    if table_class is None:
        yield f"{table.name} is registered neither as a clinic's table, nor as a reference or local one"
        return
    if any(isinstance(column.default, Sequence) or column.identity is not None for column in table.columns):
        yield f"{table.name} takes ids from the database: ids are made in Python"
    for name in [each.name for each in table.constraints] + [each.name for each in table.indexes]:
        if not name:
            yield f"{table.name} has a constraint or index without a name"
        elif len(str(name)) > LONGEST_NAME:
            yield f"{name} is longer than {LONGEST_NAME} characters"
    yield from _clinic_problems(table, classes) if table_class is TableClass.CLINIC else _other_problems(table, classes)


def _clinic_problems(table: Table, classes: dict[Any, Any]) -> Iterator[str]:
    key = [column.name for column in table.primary_key.columns]
    if key[:1] != ["clinic_id"]:
        yield f"the primary key of {table.name} does not begin with clinic_id"
    for constraint in table.constraints:
        columns = [column.name for column in getattr(constraint, "columns", ())]
        if isinstance(constraint, UniqueConstraint) and "clinic_id" not in columns:
            yield f"{constraint.name} is unique over all clinics"
        if isinstance(constraint, ForeignKeyConstraint):
            yield from _foreign_problems(constraint, columns, classes)
        if getattr(constraint, "deferrable", None) and isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint, CheckConstraint)):
            yield f"{constraint.name} is deferrable"
    for index in table.indexes:
        if index.unique and "clinic_id" not in [column.name for column in index.columns]:
            yield f"{index.name} is unique over all clinics"


def _foreign_problems(constraint: ForeignKeyConstraint, columns: list[str], classes: dict[Any, Any]) -> Iterator[str]:
    target = classes.get(constraint.referred_table)
    if target is TableClass.CLINIC and "clinic_id" not in columns:
        yield f"{constraint.name} refers to a clinic's row without naming the clinic"
    if target is TableClass.LOCAL:
        yield f"{constraint.name} refers to a local table"
    if (constraint.ondelete or "").upper() in {"SET NULL", "SET DEFAULT"} or constraint.onupdate:
        yield f"{constraint.name} changes rows when its target goes: only RESTRICT and CASCADE on delete"
    if constraint.deferrable:
        yield f"{constraint.name} is deferrable"


def _other_problems(table: Table, classes: dict[Any, Any]) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, ForeignKeyConstraint) and classes.get(constraint.referred_table) is TableClass.CLINIC:
            yield f"{constraint.name} refers from a shared table to a clinic's"
