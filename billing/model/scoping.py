"""The clinic in statements: finds tables of clinics that a statement reads without binding the clinic. Knows no session."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Select, Table
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BindParameter

from billing.errors import PluginViolation
from billing.model.base import CLINIC


class UnscopedStatement(PluginViolation):
    """A statement on a clinic's table does not say whose rows it means. Facts: `tables`."""

    code = "unscoped_statement"


def require_scoped(statement: Any) -> None:
    """Raise `UnscopedStatement` unless every clinic table of the statement is bound to the clinic, directly or through a join on it."""
    if missing := unscoped_tables(statement):
        raise UnscopedStatement(
            f"A statement reads {', '.join(missing)} without saying of which clinic: add `.where(Table.clinic_id == CLINIC)`.",
            tables=missing,
        )


def unscoped_tables(statement: Any) -> list[str]:
    """Return the names of clinic tables that the statement neither binds to the clinic nor joins, by `clinic_id`, to one that is bound."""
    seen: set[Any] = set()
    bound: set[Any] = set()
    joined: list[tuple[Any, Any]] = []
    for element in _elements(statement):
        if _is_clinic_table(element):
            seen.add(element)
        elif isinstance(element, BinaryExpression) and element.operator is operators.eq:
            left, right = _clinic_owner(element.left), _clinic_owner(element.right)
            if left is not None and right is not None:
                joined.append((left, right))
            elif left is not None and _is_clinic_bind(element.right):
                bound.add(left)
            elif right is not None and _is_clinic_bind(element.left):
                bound.add(right)
    grown = True
    while grown:
        more = {b for a, b in joined if a in bound} | {a for a, b in joined if b in bound}
        grown = not more <= bound
        bound |= more
    return sorted({str(getattr(table, "name", table)) for table in seen - bound})


def bind_clinic(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Return the select with every clinic table of its own FROM bound to the clinic."""
    tables = {table for clause in statement.get_final_froms() for table in _elements(clause) if _is_clinic_table(table)}
    for table in sorted(tables, key=lambda each: str(each.name)):
        statement = statement.where(table.c.clinic_id == CLINIC)
    return statement


def writes_clinic_rows(statement: Any) -> bool:
    """Say whether an INSERT, UPDATE or DELETE is about a table of clinics."""
    return _is_clinic_table(getattr(statement, "table", None))


def _elements(statement: Any) -> Iterator[Any]:
    yield from visitors.iterate(statement)


def _is_clinic_table(element: Any) -> bool:
    if isinstance(element, Table):
        return "clinic_id" in element.c and element.c.clinic_id.primary_key
    inner = getattr(element, "element", None)  # an alias of a table
    return getattr(element, "__visit_name__", "") == "alias" and isinstance(inner, Table) and "clinic_id" in inner.c


def _clinic_owner(element: Any) -> Any:
    if isinstance(element, Column) or getattr(element, "table", None) is not None:
        return element.table if getattr(element, "name", None) == "clinic_id" else None
    return None


def _is_clinic_bind(element: Any) -> bool:
    return isinstance(element, BindParameter) and element.key == CLINIC.key
