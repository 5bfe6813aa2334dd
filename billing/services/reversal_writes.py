"""What a reversal writes: its row with items and tenders, the invoice after it, and what departments change. Decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.changes import kernel
from billing.changes.failures import explains
from billing.errors import Conflict
from billing.model import CLINIC, Invoice, InvoiceItem, Reversal, ReversalItem, ReversalTender, SourceClaim, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, DeleteRows, InsertRows, Number, NumberText, NumberValue
from billing.rules.statuses import amount_due, stored_status
from billing.services.acting import write_plan
from billing.services.approvals import Approved
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.reversal_books import Going, book_reversal
from billing.services.reversible import Reversible
from billing.services.tills import join, till
from billing.services.undoing import Taken
from billing.transaction import Transaction
from billing.trips import Query, Row

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
REVERSAL: Any = Reversal.__table__
REVERSAL_ITEM: Any = ReversalItem.__table__
REVERSAL_TENDER: Any = ReversalTender.__table__
SOURCE: Any = SourceClaim.__table__


@explains("uq_reversal_payment", "This payment has just been voided by somebody else.")
class VoidedMeanwhile(Conflict):
    """Somebody else has voided the payment at the same moment."""

    code = "voided_meanwhile"


@dataclass(frozen=True, slots=True)
class Reversed:
    """A reversal that was done. Amounts are minor units of `currency`; those of the invoice are as of this reversal."""

    id: str
    kind: str
    invoice_id: str
    currency: str
    credited_minor: int
    refunded_minor: int
    rounding_minor: int
    written_off_minor: int
    tenders: tuple[tuple[str, int], ...]
    items: tuple[tuple[str, int], ...]
    status: str
    amount_paid_minor: int
    amount_due_minor: int
    at: str
    business_date: str
    replayed: bool = False
    numbered: Number | str | None = None

    @property
    def number(self) -> str | None:
        """The credit note's printed number, if it is one; known once the unit has committed."""
        return self.numbered.text if isinstance(self.numbered, Number) else self.numbered


@dataclass(frozen=True, slots=True)
class _After:
    """The invoice after the reversal."""

    columns: Mapping[str, Any]
    amount_due_minor: int
    cancels: bool


def write_reversal(
    tx: Transaction,
    seen: Reversible,
    going: Going,
    *,
    reversal_id: str,
    plans: Sequence[kernel.Plan | None],
    approved: Approved,
    asked: Key,
) -> Reversed:
    """Leave all rows of a reversal with the unit, and its answer under the key. `plans` are of undone and of let-go items.

    Raises `ClaimPaid`, `NoShift`.
    """
    after = _after(seen, going, tx.at)
    number = next_number(tx, kind="credit_note") if going.credits else None
    shift_id = _join(tx, going)
    _write_rows(tx, seen, going, reversal_id, number, shift_id, approved)
    _write_items(tx, going)
    expected = {"amount_paid_minor": seen.opened.row.amount_paid_minor, "status": seen.opened.row.status}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": seen.opened.id}, expected, after.columns)]))
    if after.cancels:
        _cancel(tx, seen, going)
    book_reversal(tx, seen, going, reversal_id, shift_id)
    undone, let_go = plans
    if undone is not None:
        write_plan(tx, undone, action=going.kind, action_id=reversal_id)
    if let_go is not None:
        write_plan(tx, let_go, action="on_invoice_written_off", action_id=reversal_id)
    approved.use(tx, used_for=reversal_id)
    done = _done(tx, seen, going, reversal_id, after, number)
    _record(tx, done, going, number, approved)
    asked.keep(tx, _answer(done))
    return done


def _after(seen: Reversible, going: Going, at: datetime) -> _After:
    row = seen.opened.row
    paid = row.amount_paid_minor - going.refunded_minor
    credited, written_off = row.credited_minor + going.credited_minor, row.written_off_minor + going.written_off_minor
    payer = row.payer_minor - going.payer_minor
    taken = {each.row.id: each.credit.quantity_milli for each in going.taken}
    voided = going.payment.id if going.payment is not None else None

    def unpaid(item: Row) -> bool:
        back = taken.get(item.id, 0) if going.credits else 0
        open_ = item.payment_id is None or item.payment_id == voided
        return bool(open_ and item.credited_milli + back < item.quantity_milli)

    left = [item for item in seen.opened.items if item.credited_milli + taken.get(item.id, 0) < item.quantity_milli]
    cancels = going.kind == "cancel" or (going.credits and not left)
    status = stored_status(
        issued=True,
        cancelled=cancels,
        total_minor=row.total_minor,
        credited_minor=credited,
        amount_paid_minor=paid,
        written_off_minor=written_off,
        has_unpaid_items=any(map(unpaid, seen.opened.items)),
        has_live_payment=any(payment.id != voided for payment in seen.payments),
        payer_minor=payer,
    )
    columns: dict[str, Any] = {"cancelled_at": at, "cancel_reason": going.reason} if cancels else {}
    columns |= {
        "amount_paid_minor": paid,
        "credited_minor": credited,
        "written_off_minor": written_off,
        "payer_minor": payer,
        "status": status.value,
    }
    return _After(columns, amount_due(row.total_minor, paid, written_off, credited, payer), cancels)


def _join(tx: Transaction, going: Going) -> str | None:
    """Join the shift whose drawer the money leaves: a void that of its payment, whoever voids; all else the actor's own."""
    if going.payment is not None:
        join(tx, going.payment.shift_id)
        return str(going.payment.shift_id)
    if not going.handed:
        return None
    methods = registry.of(tx).methods(tx.clinic)
    return till(tx, cash=any(code in methods and methods[code].rounds_cash for code, _ in going.handed))


def _write_rows(
    tx: Transaction, seen: Reversible, going: Going, reversal_id: str, number: Number | None, shift_id: str | None, approved: Approved
) -> None:
    row = {
        "id": reversal_id,
        "kind": going.kind,
        "invoice_id": seen.opened.id,
        "payment_id": going.payment.id if going.payment is not None else None,
        "currency": seen.opened.row.currency,
        "refunded_minor": going.refunded_minor,
        "rounding_minor": going.rounding_minor,
        "credited_minor": going.credited_minor,
        "credited_payer_minor": going.payer_minor,
        "written_off_minor": going.written_off_minor,
        "reason": going.reason,
        "series": number.series if number else None,
        "number_period": number.period if number else None,
        "number_value": NumberValue(number) if number else None,
        "number": NumberText(number) if number else None,
        "printed": seen.opened.row.printed if number else None,
        "shift_id": shift_id,
        "at": tx.at,
        "business_date": tx.business_date,
        "done_by": tx.actor.id,
        "person": tx.actor.name,
        "approved_by": approved.by,
    }
    tx.write(InsertRows(REVERSAL, [row]))
    if going.taken:
        tx.write(InsertRows(REVERSAL_ITEM, [_item_row(reversal_id, each) for each in going.taken]))
    if going.handed:
        tenders = [
            {
                "id": new_id(),
                "reversal_id": reversal_id,
                "position": position,
                "method": method,
                "amount_minor": amount,
                "reference": None,
            }
            for position, (method, amount) in enumerate(going.handed, start=1)
        ]
        tx.write(InsertRows(REVERSAL_TENDER, tenders))


def _item_row(reversal_id: str, taken: Taken) -> dict[str, Any]:
    credit = taken.credit
    return {
        "reversal_id": reversal_id,
        "item_id": credit.item_id,
        "quantity_milli": credit.quantity_milli,
        "condition": taken.condition,
        "discount_minor": credit.discount_minor,
        "taxable_minor": credit.taxable_minor,
        "tax_minor": credit.tax_minor,
        "total_minor": credit.total_minor,
        "payer_minor": credit.payer_minor,
        "settled": taken.settled,
    }


def _write_items(tx: Transaction, going: Going) -> None:
    if going.payment is not None:
        freed = {"payment_id": None, "paid_at": None}
        changed = [ChangedRow({"id": each.row.id}, {"payment_id": going.payment.id}, freed) for each in going.taken]
    else:
        changed = [
            ChangedRow(
                {"id": each.row.id},
                {"credited_milli": each.row.credited_milli, "payment_id": each.row.payment_id},
                {
                    "credited_milli": each.row.credited_milli + each.credit.quantity_milli,
                    "credited_minor": each.row.credited_minor + each.credit.total_minor,
                    "payer_minor": each.row.payer_minor - each.credit.payer_minor,
                },
            )
            for each in going.taken
        ]
    if changed:
        tx.write(ChangeRows(ITEM, changed))


def _cancel(tx: Transaction, seen: Reversible, going: Going) -> None:
    tx.audit("invoice.cancelled", "invoice", seen.opened.id, reason=going.reason)
    tx.emit("invoice.cancelled", seen.opened.id)
    sources = [each for each in (seen.opened.row.source, *(row.source for row in seen.opened.items)) if each]
    if sources:
        tx.write(DeleteRows(SOURCE, [{"source": each} for each in sources]))


def _done(tx: Transaction, seen: Reversible, going: Going, reversal_id: str, after: _After, number: Number | None) -> Reversed:
    return Reversed(
        id=reversal_id,
        kind=going.kind,
        invoice_id=seen.opened.id,
        currency=seen.opened.row.currency,
        credited_minor=going.credited_minor,
        refunded_minor=going.refunded_minor,
        rounding_minor=going.rounding_minor,
        written_off_minor=going.written_off_minor,
        tenders=tuple(going.handed),
        items=tuple((each.row.id, each.credit.quantity_milli) for each in going.taken),
        status=after.columns["status"],
        amount_paid_minor=after.columns["amount_paid_minor"],
        amount_due_minor=after.amount_due_minor,
        at=tx.at.isoformat(),
        business_date=tx.business_date.isoformat(),
        numbered=number,
    )


def _record(tx: Transaction, done: Reversed, going: Going, number: Number | None, approved: Approved) -> None:
    amounts = {
        "credited_minor": done.credited_minor,
        "refunded_minor": done.refunded_minor,
        "written_off_minor": done.written_off_minor,
    }
    payment_id = going.payment.id if going.payment is not None else None
    tx.audit(
        f"reversal.{done.kind}",
        "reversal",
        done.id,
        number=number,
        invoice_id=done.invoice_id,
        payment_id=payment_id,
        approved_by=approved.by,
        **amounts,
    )
    tx.emit(f"reversal.{done.kind}", done.id, invoice_id=done.invoice_id, payment_id=payment_id, status=done.status, **amounts)


def _answer(done: Reversed) -> dict[str, Any]:
    found: dict[str, Any] = {each.name: getattr(done, each.name) for each in fields(done) if each.name not in {"numbered", "replayed"}}
    return found | {"tenders": [list(each) for each in done.tenders], "items": [list(each) for each in done.items]}


_NUMBER = Query(select(Reversal.number).where(Reversal.clinic_id == CLINIC, Reversal.id == bindparam("reversal_id", type_=IdType())))


def replayed(tx: Transaction, answer: Mapping[str, Any]) -> Reversed:
    """Return what was answered under the same key before."""
    row = tx.row(_NUMBER, reversal_id=answer["id"])
    assert row is not None, "a stored answer names a reversal that stands"
    pairs = {name: tuple((str(first), int(second)) for first, second in answer[name]) for name in ("tenders", "items")}
    return Reversed(**{**answer, **pairs}, replayed=True, numbered=row.number)
