"""What a reversal has to know: the invoice behind its lock, its payments, what went back before, effects, claim and approvals. One trip, no writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import aliased

from billing import registry
from billing.facts import StoredEffect
from billing.model import CLINIC, Claim, Effect, Invoice, InvoiceItem, Payment, Reversal, ReversalTender, Shift
from billing.model.payment import Tender as TenderRow
from billing.model.types import NIL_ID, IdType
from billing.rules.tenders import Tender, kept_by_method
from billing.services.acting import Needs, listening, need_calls
from billing.services.approvals import APPROVALS
from billing.services.inputs import canonical_id
from billing.services.keys import Key
from billing.services.open_invoice import OpenInvoice, calls_of, clients_part, from_rows, select_invoice, select_items
from billing.services.payable import Answer
from billing.services.reading import UnknownPayment
from billing.transaction import Transaction
from billing.trips import Query, Row

_PAYMENT_ID = bindparam("payment_id", type_=IdType())
_WHICH = func.coalesce(
    bindparam("invoice_id", type_=IdType()),
    select(Payment.invoice_id).where(Payment.clinic_id == CLINIC, Payment.id == _PAYMENT_ID).scalar_subquery(),
)
"""The invoice: named itself, or by one of its payments."""

_void = aliased(Reversal)
_VOIDED = exists(select(_void.id).where(_void.clinic_id == CLINIC, _void.payment_id == Payment.id))

_LOCK = Query(select_invoice(_WHICH).with_for_update(of=Invoice))
_SEE = Query(select_invoice(_WHICH))
_ITEMS = Query(select_items(_WHICH))
_PAYMENTS = Query(
    select(*Payment.__table__.columns, Shift.closed_at.label("shift_closed_at"))
    .outerjoin(Shift, (Shift.clinic_id == Payment.clinic_id) & (Shift.id == Payment.shift_id))
    .where(Payment.clinic_id == CLINIC, Payment.invoice_id == _WHICH, ~_VOIDED)
    .order_by(Payment.taken_at, Payment.id)
)
_TENDERS = Query(
    select(TenderRow.payment_id, TenderRow.method, TenderRow.amount_minor)
    .join(Payment, (Payment.clinic_id == TenderRow.clinic_id) & (Payment.id == TenderRow.payment_id))
    .where(TenderRow.clinic_id == CLINIC, Payment.invoice_id == _WHICH, ~_VOIDED)
    .order_by(TenderRow.payment_id, TenderRow.position)
)
_REVERSALS = Query(
    select(Reversal.kind, Reversal.at, Reversal.rounding_minor, ReversalTender.method, ReversalTender.amount_minor)
    .outerjoin(ReversalTender, (ReversalTender.clinic_id == Reversal.clinic_id) & (ReversalTender.reversal_id == Reversal.id))
    .where(Reversal.clinic_id == CLINIC, Reversal.invoice_id == _WHICH)
    .order_by(Reversal.at, Reversal.id)
)
_EFFECTS = Query(
    select(Effect.item_id, Effect.plugin, Effect.kind, Effect.row_key, Effect.quantity_milli, Effect.data)
    .join(InvoiceItem, (InvoiceItem.clinic_id == Effect.clinic_id) & (InvoiceItem.id == Effect.item_id))
    .where(Effect.clinic_id == CLINIC, InvoiceItem.invoice_id == _WHICH)
    .order_by(Effect.at, Effect.id)
)
_LOCK_CLAIM = Query(select(*Claim.__table__.columns).where(Claim.clinic_id == CLINIC, Claim.invoice_id == _WHICH).with_for_update())
_SEE_CLAIM = Query(select(*Claim.__table__.columns).where(Claim.clinic_id == CLINIC, Claim.invoice_id == _WHICH))


@dataclass(frozen=True, slots=True)
class Which:
    """What is reversed: an invoice, or one payment; all of its paid items, or those named; under which permission it is approved."""

    permission: str
    invoice_id: str | None = None
    payment_id: str | None = None
    item_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reversible:
    """An invoice about to be reversed in part or whole, behind its lock. Payments are the live ones, oldest first."""

    opened: OpenInvoice
    payments: tuple[Row, ...]
    tenders: tuple[Row, ...]
    reversals: tuple[Row, ...]
    effects: Mapping[tuple[str, str], tuple[StoredEffect, ...]]
    claim: Row | None
    approvals: Sequence[Row]
    needs: Needs
    found: Sequence[Sequence[Any]]
    unpaid_needs: Needs
    unpaid_found: Sequence[Sequence[Any]]

    def kept(self, tx: Transaction, payment: Row) -> dict[str, int]:
        """Return by method what stayed of a payment's tenders."""
        methods = registry.of(tx).methods(tx.clinic)
        given = [Tender(row.method, row.amount_minor) for row in self.tenders if row.payment_id == payment.id]
        return kept_by_method(given, change_minor=payment.change_minor, methods=methods)

    def came_by_method(self, tx: Transaction) -> dict[str, int]:
        """Return by method what came by it for this invoice and has not gone back, cash without its rounding."""
        rounds = {code for code, method in registry.of(tx).methods(tx.clinic).items() if method.rounds_cash}
        came: dict[str, int] = {}
        for payment in self.payments:
            for method, amount in self.kept(tx, payment).items():
                came[method] = came.get(method, 0) + amount - (payment.rounding_minor if method in rounds else 0)
        for row in self.reversals:
            if row.kind != "void" and row.method is not None:
                came[row.method] = came.get(row.method, 0) - row.amount_minor + (row.rounding_minor if row.method in rounds else 0)
        return came

    @property
    def on_account_minor(self) -> int:
        """Money that no settled item has used up; below 0 what of settled items the client still owes."""
        settled = sum(clients_part(row) for row in self.opened.items if row.payment_id is not None)
        return int(self.opened.row.amount_paid_minor) - settled


def read_reversible(tx: Transaction, which: Which, asked: Key, *, locking: bool = True) -> Reversible | Answer:
    """Send the first trip: key, lock, all that stands, and the needs of every plugin at work. Return it, or the answer that the key had.

    Raises `UnknownInvoice`, `UnknownPayment`.
    """
    invoice_id, payment_id = _known(which.invoice_id), _known(which.payment_id)
    here = {"invoice_id": invoice_id, "payment_id": payment_id}
    chosen = {"whole": int(which.item_ids is None), "item_ids": json.dumps([canonical_id(each) or NIL_ID for each in which.item_ids or ()])}
    claims = asked.claim(tx) if locking else []
    needs = need_calls(tx, registry.of(tx).enabled(tx.clinic), "refunding", locking=locking, items="stored", **here, **chosen)
    unpaid = need_calls(tx, listening(tx, "on_invoice_written_off"), "billing", locking=locking, items="stored", invoice_id=invoice_id)
    subject = {"permission": which.permission, "subject_id": payment_id or invoice_id}
    rows = tx.trip(
        *claims,
        (_LOCK if locking else _SEE, here),
        (_ITEMS, here),
        (_PAYMENTS, here),
        (_TENDERS, here),
        (_REVERSALS, here),
        (_EFFECTS, here),
        *calls_of(needs),
        *calls_of(unpaid),
        (_LOCK_CLAIM if locking else _SEE_CLAIM, here),
        *([(APPROVALS, subject)] if locking else []),
    )
    if claims and (before := asked.answer_before(tx, rows[0])) is not None:
        return Answer(before)
    found, items, payments, tenders, reversals, effects, *others = rows[len(claims) :]
    if not found and payment_id is not None:
        raise UnknownPayment(
            "There is no such payment in this clinic: `billing receipt list` shows what there is.", payment=which.payment_id
        )
    opened = from_rows(found, items, which.invoice_id or "")
    of_needs, of_unpaid = others[: len(needs)], others[len(needs) : len(needs) + len(unpaid)]
    claim = others[len(needs) + len(unpaid)]
    return Reversible(
        opened=opened,
        payments=tuple(payments),
        tenders=tuple(tenders),
        reversals=tuple(reversals),
        effects=_by_item(effects),
        claim=claim[0] if claim else None,
        approvals=others[-1] if locking else (),
        needs=needs,
        found=of_needs,
        unpaid_needs=unpaid,
        unpaid_found=of_unpaid,
    )


def _known(row_id: str | None) -> str | None:
    return None if row_id is None else canonical_id(row_id) or NIL_ID


def _by_item(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[StoredEffect, ...]]:
    found: dict[tuple[str, str], list[StoredEffect]] = {}
    for row in rows:
        found.setdefault((row.item_id, row.plugin), []).append(StoredEffect(row.kind, row.row_key, row.quantity_milli, row.data))
    return {key: tuple(effects) for key, effects in found.items()}
