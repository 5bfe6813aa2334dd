"""What must hold of every table, the plugins' too: rows refer to rows of their own clinic, and numbers stay within their bounds.

It reads tables' own descriptions, so no table and no reference can be forgotten.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Select, Table, and_, exists, or_, select
from sqlalchemy.sql.elements import ColumnElement

from billing.changes.declare import Invariant
from billing.model import CLINIC
from billing.money import MAX_AMOUNT_MINOR, MAX_QUANTITY_MILLI, MAX_RATE_BP, MAX_UNIT_PRICE_E4

_BOUNDS = {"_minor": MAX_AMOUNT_MINOR, "_milli": MAX_QUANTITY_MILLI, "_e4": MAX_UNIT_PRICE_E4, "_bp": MAX_RATE_BP}


def of_tables(tables: Iterable[Table]) -> Iterator[Invariant]:
    """Return what must hold of each of these tables of a clinic; names are made of the tables'."""
    for table in sorted(tables, key=lambda each: each.name):
        if "clinic_id" not in table.primary_key.columns:
            continue
        if foreign := sorted(filter(_leads_on, table.foreign_key_constraints), key=lambda each: str(each.name)):
            yield Invariant(
                f"{table.name}_references",
                f"Every row of {table.name} refers to rows that are there, in its own clinic.",
                _rows(table).where(or_(*map(_dangling, foreign))),
            )
        if bounded := [(column, bound) for column in table.columns if (bound := _bound(column)) is not None]:
            yield Invariant(
                f"{table.name}_bounds",
                f"No amount, quantity, price or rate in {table.name} is beyond its bounds.",
                _rows(table).where(or_(*(or_(column < -bound, column > bound) for column, bound in bounded))),
            )


def _rows(table: Table) -> Select[Any]:
    key = [column for column in table.primary_key.columns if column.name != "clinic_id"]
    return select(*(key or table.primary_key.columns)).where(table.c.clinic_id == CLINIC)


def _leads_on(foreign: ForeignKeyConstraint) -> bool:
    """Say whether a reference names more than the clinic, which is there: its books are being examined."""
    return [column.name for column in foreign.columns] != ["clinic_id"]


def _dangling(foreign: ForeignKeyConstraint) -> ColumnElement[bool]:
    parent = foreign.referred_table.alias() if foreign.referred_table is foreign.parent else foreign.referred_table
    pairs = [(element.parent, parent.c[element.column.name]) for element in foreign.elements]
    found = select(pairs[0][1]).where(*(there == here for here, there in pairs))
    if "clinic_id" in foreign.referred_table.primary_key.columns:
        found = found.where(parent.c.clinic_id == CLINIC)
    return and_(*(here.is_not(None) for here, _ in pairs if here.nullable), ~exists(found))


def _bound(column: Column[object]) -> int | None:
    return next((bound for suffix, bound in _BOUNDS.items() if column.name.endswith(suffix)), None)
