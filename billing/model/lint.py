"""The schema rules that let the same tables live on SQLite, PostgreSQL and a cluster, as a check. Knows the metadata, no database.

Each rule is a function that yields what breaks it, one sentence each; `RULES` lists them all.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.schema import DDL

from billing.model.base import Base, TableClass
from billing.model.types import IdType

LONGEST_NAME = 50
"""A cluster appends the shard's number to the names of constraints, and cuts what is too long."""

Classes = Mapping[Any, TableClass | None]
Rule = Callable[[Table, Classes], Iterator[str]]


def core_tables() -> list[Table]:
    """Return the core's own tables: those of plugins are checked with their plugin, so that a bad one stops no other."""
    own = [mapper.local_table for mapper in Base.registry.mappers if mapper.class_.__module__.startswith("billing.model.")]
    return [table for table in own if isinstance(table, Table)]


def table_classes() -> Classes:
    """Return the class that each table is registered as."""
    return {mapper.local_table: getattr(mapper.class_, "table_class", None) for mapper in Base.registry.mappers}


def schema_problems(tables: Iterable[Table] | None = None) -> list[str]:
    """Return what is wrong with tables (all that are known, if none are named), one sentence each."""
    classes = table_classes()
    chosen = Base.metadata.sorted_tables if tables is None else sorted(tables, key=lambda table: table.name)
    return [problem for table in chosen for rule in RULES for problem in rule(table, classes)]


def registered(table: Table, classes: Classes) -> Iterator[str]:
    """Every table has a class: an unregistered one would silently stay on one node, and leave orphans behind."""
    if classes.get(table) is None:
        yield f"{table.name} is registered neither as a clinic's table, nor as a reference or local one"


def clinic_column(table: Table, classes: Classes) -> Iterator[str]:
    """The clinic is of one type everywhere and never null: rows of one clinic live together by it."""
    if classes.get(table) is not TableClass.CLINIC:
        return
    column = table.columns.get("clinic_id")
    if column is None:
        yield f"{table.name} has no column clinic_id"
    elif not isinstance(column.type, IdType) or column.nullable:
        yield f"{table.name}.clinic_id is not an id that is never null"
    elif column.onupdate is not None or column.server_onupdate is not None:
        yield f"{table.name}.clinic_id changes: a row stays with its clinic"


def key_of_the_clinic(table: Table, classes: Classes) -> Iterator[str]:
    """The primary key begins with the clinic."""
    key = [column.name for column in table.primary_key.columns]
    if classes.get(table) is TableClass.CLINIC and key[:1] != ["clinic_id"]:
        yield f"the primary key of {table.name} does not begin with clinic_id"


def unique_within_a_clinic(table: Table, classes: Classes) -> Iterator[str]:
    """What is unique, is so within a clinic: nodes don't ask each other."""
    if classes.get(table) is not TableClass.CLINIC:
        return
    promises = [each for each in table.constraints if isinstance(each, (UniqueConstraint, ExcludeConstraint))]
    for each in [*promises, *(index for index in table.indexes if index.unique)]:
        if "clinic_id" not in [column.name for column in each.columns]:
            yield f"{each.name} is unique over all clinics"


def references_of_one_clinic(table: Table, classes: Classes) -> Iterator[str]:
    """A reference to a clinic's row names the clinic on both sides; shared tables refer to no clinic's row; none refers to a local table."""
    for constraint in _foreign_keys(table):
        target = classes.get(constraint.referred_table)
        if target is TableClass.LOCAL:
            yield f"{constraint.name} refers to a local table"
        elif target is TableClass.CLINIC and classes.get(table) is not TableClass.CLINIC:
            yield f"{constraint.name} refers from a shared table to a clinic's"
        elif target is TableClass.CLINIC and ("clinic_id", "clinic_id") not in _pairs(constraint):
            yield f"{constraint.name} refers to a clinic's row without naming the clinic"


def rows_stay_when_targets_go(table: Table, classes: Classes) -> Iterator[str]:
    """On delete a reference restricts or cascades; on update it does nothing."""
    del classes
    for constraint in _foreign_keys(table):
        if (constraint.ondelete or "RESTRICT").upper() not in {"RESTRICT", "CASCADE", "NO ACTION"} or constraint.onupdate:
            yield f"{constraint.name} changes rows when its target goes: only RESTRICT and CASCADE on delete"


def ids_from_python(table: Table, classes: Classes) -> Iterator[str]:
    """Neither ids nor numbers come from the database: no serial, no identity, no sequence, no generated value."""
    del classes
    serial = table.autoincrement_column
    for column in table.columns:
        default = str(getattr(column.server_default, "arg", ""))
        made = isinstance(column.default, Sequence) or column.identity is not None or "(" in default
        if made or (column is serial and not column.foreign_keys):
            yield f"{table.name} takes ids from the database ({column.name}): ids are made in Python"
        elif isinstance(column.computed, Computed):
            yield f"{table.name}.{column.name} is computed by the database"


def names(table: Table, classes: Classes) -> Iterator[str]:
    """Constraints and indexes are named, not too long, and don't end like a shard's: errors are told apart by these names."""
    del classes
    if re.search(r"_\d+$", table.name):
        yield f"{table.name} ends in a number, like a shard of a cluster"
    for name in [each.name for each in table.constraints] + [each.name for each in table.indexes]:
        if not name:
            yield f"{table.name} has a constraint or index without a name"
        elif len(str(name)) > LONGEST_NAME:
            yield f"{name} is longer than {LONGEST_NAME} characters"
        elif re.search(r"_\d+$", str(name)):
            yield f"{name} ends in a number, like a shard of a cluster"


def no_triggers(table: Table, classes: Classes) -> Iterator[str]:
    """No trigger and no rule hangs on a table: a cluster refuses them, and SQLite speaks another language."""
    del classes
    for moment in (table.dispatch.before_create, table.dispatch.after_create):
        for listener in moment:
            text = getattr(listener, "statement", "") if isinstance(listener, DDL) else ""
            if found := re.search(r"\b(TRIGGER|RULE)\b", str(text), re.IGNORECASE):
                yield f"{table.name} is created with a {found.group(1).lower()}"


def checked_at_once(table: Table, classes: Classes) -> Iterator[str]:
    """No constraint is deferrable: its violation would come out of COMMIT, where nobody can tell whether all was stored."""
    del classes
    kinds = (PrimaryKeyConstraint, UniqueConstraint, CheckConstraint, ForeignKeyConstraint, ExcludeConstraint)
    for constraint in table.constraints:
        if isinstance(constraint, kinds) and (constraint.deferrable or constraint.initially):
            yield f"{constraint.name} is deferrable"


RULES: tuple[Rule, ...] = (
    registered,
    clinic_column,
    key_of_the_clinic,
    unique_within_a_clinic,
    references_of_one_clinic,
    rows_stay_when_targets_go,
    ids_from_python,
    names,
    no_triggers,
    checked_at_once,
)


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return [each for each in table.constraints if isinstance(each, ForeignKeyConstraint)]


def _pairs(constraint: ForeignKeyConstraint) -> set[tuple[str, str]]:
    return {(element.parent.name, element.column.name) for element in constraint.elements}
