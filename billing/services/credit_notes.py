"""Reads of reversals: what was voided, credited, given back or written off, by invoice or latest first. Writes nothing."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, bindparam, or_, select, tuple_

from billing.errors import NotFound
from billing.model import CLINIC, Invoice, Reversal
from billing.model.types import NIL_ID, DayType, IdType, is_id
from billing.services.listing import MOST_ROWS
from billing.transaction import Transaction
from billing.trips import Query


class UnknownCreditNote(NotFound):
    """There is no such credit note in this clinic. Facts: `credit_note`."""

    code = "unknown_credit_note"


@dataclass(frozen=True, slots=True)
class ReversalRow:
    """A reversal as lists show it; with a number it is a credit note. Amounts are minor units of `currency`."""

    id: str
    kind: str
    number: str | None
    invoice_id: str
    invoice_number: str | None
    payment_id: str | None
    currency: str
    credited_minor: int
    refunded_minor: int
    rounding_minor: int
    written_off_minor: int
    reason: str
    at: datetime
    business_date: date
    person: str
    approved_by: str | None


def reversal_select() -> Select[*tuple[Any, ...]]:
    """Return the select of reversals with their invoices' numbers, in the order of `ReversalRow`."""
    return (
        select(
            Reversal.id,
            Reversal.kind,
            Reversal.number,
            Reversal.invoice_id,
            Invoice.number.label("invoice_number"),
            Reversal.payment_id,
            Reversal.currency,
            Reversal.credited_minor,
            Reversal.refunded_minor,
            Reversal.rounding_minor,
            Reversal.written_off_minor,
            Reversal.reason,
            Reversal.at,
            Reversal.business_date,
            Reversal.person,
            Reversal.approved_by,
        )
        .join(Invoice, (Invoice.clinic_id == Reversal.clinic_id) & (Invoice.id == Reversal.invoice_id))
        .where(Reversal.clinic_id == CLINIC)
    )


_FIND = Query(
    select(Reversal.id).where(
        Reversal.clinic_id == CLINIC,
        Reversal.number.is_not(None),
        or_(Reversal.id == bindparam("reversal_id", type_=IdType()), Reversal.number == bindparam("number")),
    )
)


def find_credit_note_id(tx: Transaction, credit_note: str) -> str:
    """Return the id of a credit note named by id or printed number. Raises `UnknownCreditNote`; of two with equal numbers, the id is needed."""
    tx.require("invoices.read")
    rows = tx.rows(_FIND, reversal_id=credit_note if is_id(credit_note) else NIL_ID, number=credit_note)
    if len(rows) != 1:
        why = (
            "is on several credit notes: name the id" if rows else "is no credit note of this clinic: `billing credit-note list` shows them"
        )
        raise UnknownCreditNote(f"{credit_note[:60]!r} {why}.", credit_note=credit_note)
    return str(rows[0].id)


def list_credit_notes(
    tx: Transaction, *, invoice_id: str | None = None, limit: int = 50, after: ReversalRow | None = None
) -> list[ReversalRow]:
    """Return a page of credit notes, latest first; `after` is the last one of the page before."""
    tx.require("invoices.read")
    statement = reversal_select().where(Reversal.number.is_not(None))
    if invoice_id is not None:
        statement = statement.where(Reversal.invoice_id == invoice_id)
    if after is not None:
        place = bindparam("place_date", after.business_date, type_=DayType()), bindparam("place_id", after.id, type_=IdType())
        statement = statement.where(tuple_(Reversal.business_date, Reversal.id) < tuple_(*place))
    page = statement.order_by(Reversal.business_date.desc(), Reversal.id.desc()).limit(min(limit, MOST_ROWS))
    return [ReversalRow(*row) for row in tx.session.execute(page, {"clinic_id": tx.clinic_id})]
