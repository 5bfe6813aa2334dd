"""Needs: what a plugin wants to know, declared once as selects and run for all plugins right behind the invoice lock.

A need joins the plugin's own tables to one of the core's sources: `paying`, `refunding`, `billing`, `quoting`, `importing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnClause, Select, TableClause, Text, TextClause, bindparam, column, func, select, table, text
from sqlalchemy.sql import visitors

from billing.model import CLINIC, Effect, Invoice, InvoiceItem, Patient, Payment, Upkeep
from billing.model.lists import ids
from billing.model.scoping import bind_clinic, require_scoped
from billing.model.types import DayType, IdType, WholeType
from billing.trips import DIALECTS, Prepared, Row, prepare

today = bindparam("today", type_=DayType())
"""The clinic's business date of the action, for use in needs and invariants."""

_COLUMNS: tuple[ColumnClause[Any], ...] = (
    column("item_id", IdType()),
    column("department", Text()),
    column("service_id", IdType()),
    column("quantity_milli", WholeType()),
    column("provider_id", IdType()),
    column("patient_id", IdType()),
    column("sex", Text()),
    column("birth_date", DayType()),
    column("species", Text()),
)


def _source(name: str, *more: Any) -> TableClause:
    return table(name, *(column(each.name, each.type) for each in (*_COLUMNS, *more)))


paying: TableClause = _source("paying")
"""The unpaid items of the invoice that is being paid, one row each."""

billing: TableClause = _source("billing")
"""The items of the invoice whose step is being taken."""

quoting: TableClause = _source("quoting")
"""The lines whose totals are being computed."""

importing: TableClause = _source("importing")
"""The items of an import before they are billed (`item_id` and the patient are null)."""

refunding: TableClause = _source("refunding", column("kind", Text()), column("row_id", Text()))
"""The items that are being refunded, one row for each of their stored effects: `kind` and `row_id` (text)."""

SOURCES: Mapping[str, TableClause] = {each.name: each for each in (paying, billing, quoting, importing, refunding)}


class Need:
    """A select over the plugin's own tables and one source. The object is the key under which its rows are `known`.

    Say `lock=Batch` when rows of `Batch` will be changed: the kernel adds the clinic, the order by key and `FOR UPDATE OF`.
    Read all rows that could be chosen from; a choice cut to "just enough" in the statement that locks is stale when it wakes.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]], *, lock: type[Any] | None = None, of: str = "paying") -> None:
        if of not in SOURCES:
            raise ValueError(f"a need is of one of {', '.join(SOURCES)}, not of {of!r}")
        if lock is not None:
            wanted = {each.name for each in lock.__table__.primary_key.columns} - {"clinic_id"}
            if missing := wanted - {each.key for each in statement.selected_columns}:
                raise ValueError(f"a need that locks {lock.__table__.name} selects its key too: {', '.join(sorted(missing))} is missing")
            if lock.upkeep is Upkeep.ADDED:
                raise ValueError(f"a need can't lock {lock.__table__.name}: its rows are only added, so nobody has the right to change one")
        self.lock = lock
        self.of = of
        ordered = bind_clinic(statement)
        if lock is not None:
            ordered = ordered.order_by(None).order_by(*lock.__table__.primary_key.columns)
        require_scoped(ordered)
        self._statement = ordered
        self._prepared: dict[tuple[str, bool, Items], Prepared] = {}

    @property
    def tables(self) -> set[Any]:
        """The tables that the need reads, the source aside."""
        return {each for each in visitors.iterate(self._statement) if getattr(each, "__visit_name__", "") == "table"} - set(
            SOURCES.values()
        )

    def prepared(self, dialect: str, *, locking: bool = True, items: "Items" = "given") -> Prepared:
        """Return the need compiled for `dialect`; without locks for a dry run; `items` says where the rows of its source are."""
        key = (dialect, locking, items)
        if key not in self._prepared:
            statement = self._statement
            if locking and self.lock is not None:
                statement = statement.with_for_update(of=self.lock)
            self._prepared[key] = prepare(statement.add_cte(_cte(self.of, dialect, items)), DIALECTS[dialect])
        return self._prepared[key]


Items = Literal["given", "stored", "draft"]
"""Where the items of a source are: given as JSON (`rows`), stored with an invoice (`invoice_id`), or those of an invoice if it is a draft.

Those of `refunding`, stored: the items that a reversal is about, by their effects. It is about the paid items of `invoice_id`, or of the one
payment `payment_id`; with `whole` 0 only about those in `item_ids` (a JSON array).
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A need as one action asks it."""

    need: Need
    locking: bool = True
    items: Items = "given"

    def prepared(self, dialect: str) -> Prepared:
        """Return the need compiled for `dialect`."""
        return self.need.prepared(dialect, locking=self.locking, items=self.items)


Known = Mapping[Need, tuple[Row, ...]]
"""What the needs of a plugin have found: named tuples by need."""


def _cte(of: str, dialect: str, items: Items) -> Any:
    if of == "paying":
        unpaid = InvoiceItem.payment_id.is_(None) & (InvoiceItem.credited_milli < InvoiceItem.quantity_milli)
        return _stored_items().where(unpaid).cte(of)
    if of == "refunding" and items == "stored":
        return _stored_effects().cte(of)
    if items != "given":
        stored = _stored_items()
        return (stored if items == "stored" else stored.where(Invoice.status == "draft")).cte(of)
    columns = SOURCES[of].columns
    body = _rows_of_json(of, dialect).bindparams(bindparam("rows"))
    return body.columns(*(column(each.name, each.type) for each in columns)).cte(of)


def _item_columns() -> tuple[Any, ...]:
    return (
        InvoiceItem.id.label("item_id"),
        InvoiceItem.department,
        InvoiceItem.service_id,
        InvoiceItem.quantity_milli,
        InvoiceItem.provider_id,
        Patient.id.label("patient_id"),
        Patient.sex,
        Patient.birth_date,
        Patient.species,
    )


def _stored_items() -> Any:
    return (
        select(*_item_columns())
        .join(Invoice, (Invoice.clinic_id == InvoiceItem.clinic_id) & (Invoice.id == InvoiceItem.invoice_id))
        .join(Patient, (Patient.clinic_id == Invoice.clinic_id) & (Patient.id == Invoice.patient_id))
        .where(InvoiceItem.clinic_id == CLINIC, InvoiceItem.invoice_id == bindparam("invoice_id", type_=IdType()))
    )


def _stored_effects() -> Any:
    payment = bindparam("payment_id", type_=IdType())
    of_payment = select(Payment.invoice_id).where(Payment.clinic_id == CLINIC, Payment.id == payment).scalar_subquery()
    chosen = (bindparam("whole", type_=WholeType()) == 1) | InvoiceItem.id.op("IN")(ids("item_ids"))
    return (
        select(*_item_columns(), Effect.kind, Effect.row_key.label("row_id"))
        .select_from(InvoiceItem)
        .join(Invoice, (Invoice.clinic_id == InvoiceItem.clinic_id) & (Invoice.id == InvoiceItem.invoice_id))
        .join(Patient, (Patient.clinic_id == Invoice.clinic_id) & (Patient.id == Invoice.patient_id))
        .join(Effect, (Effect.clinic_id == InvoiceItem.clinic_id) & (Effect.item_id == InvoiceItem.id))
        .where(
            InvoiceItem.clinic_id == CLINIC,
            InvoiceItem.invoice_id == func.coalesce(bindparam("invoice_id", type_=IdType()), of_payment),
            InvoiceItem.payment_id.is_not(None) & (payment.is_(None) | (InvoiceItem.payment_id == payment)),
            chosen,
        )
    )


def _rows_of_json(of: str, dialect: str) -> TextClause:
    columns = SOURCES[of].columns
    if dialect == "sqlite":
        parts = ", ".join(f"json_extract(value, '$.{each.name}') AS {each.name}" for each in columns)
        return text(f"SELECT {parts} FROM json_each(:rows)")
    types = ", ".join(f"{each.name} {each.type.compile(DIALECTS[dialect])}" for each in columns)
    names = ", ".join(each.name for each in columns)
    return text(f"SELECT {names} FROM json_to_recordset(CAST(:rows AS json)) AS given({types})")
