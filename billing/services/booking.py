"""What the acts of an invoice's life leave in the books: journal, takings, and the claim on a payer."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.errors import Refused
from billing.model import CLINIC, Claim, new_id
from billing.model.types import NIL_ID, IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.rules import posting
from billing.rules.takings import spread
from billing.rules.tenders import Tender, kept_by_method
from billing.services.journal import post
from billing.services.open_invoice import OpenInvoice
from billing.services.takings import add_takings
from billing.transaction import Transaction
from billing.trips import Query

CLAIM: Any = Claim.__table__


def book_issue(tx: Transaction, opened: OpenInvoice) -> None:
    """Book what client and payer owe from here on, and open the claim for the payer's part."""
    row = opened.row
    post(tx, "issue", opened.id, posting.issued(_parts(opened), client_id=row.client_id, payer_id=row.payer_id), invoice_id=opened.id)
    if row.payer_minor:
        open_claim(tx, opened, payer_id=row.payer_id, coverage_id=row.coverage_id, amount_minor=row.payer_minor)


def open_claim(tx: Transaction, opened: OpenInvoice, *, payer_id: str | None, coverage_id: str | None, amount_minor: int) -> None:
    """Leave the claim on a payer with the unit."""
    claim = {
        "id": new_id(),
        "invoice_id": opened.id,
        "payer_id": payer_id,
        "coverage_id": coverage_id,
        "client_id": opened.row.client_id,
        "amount_minor": amount_minor,
        "paid_minor": 0,
        "rejected_minor": 0,
        "status": "open",
        "reference": "",
        "submitted_at": None,
        "issue_date": tx.business_date,
        "created_at": tx.at,
    }
    tx.write(InsertRows(CLAIM, [claim]))


class ClaimPaid(Refused):
    """The payer has paid, or rejected, more of its part than would be left of it. Facts: `claim`."""

    code = "claim_paid"


_LOCK_CLAIM = Query(
    select(Claim.id, Claim.amount_minor, Claim.paid_minor, Claim.rejected_minor)
    .where(Claim.clinic_id == CLINIC, Claim.invoice_id == bindparam("invoice_id", type_=IdType()))
    .with_for_update()
)


def withdraw_claim(tx: Transaction, opened: OpenInvoice) -> None:
    """Take back the claim of an invoice that is cancelled. Raises `ClaimPaid` if the payer has paid or rejected some of it."""
    claim = tx.row(_LOCK_CLAIM, invoice_id=opened.id) if opened.row.payer_minor and opened.row.issued_at is not None else None
    if claim is None:
        return
    if claim.paid_minor or claim.rejected_minor:
        raise ClaimPaid("The payer has answered for its part of this already: refund what the client has paid instead.", claim=claim.id)
    withdrawn = {"amount_minor": 0, "status": "cancelled"}
    tx.write(ChangeRows(CLAIM, [ChangedRow({"id": claim.id}, {"amount_minor": claim.amount_minor}, withdrawn)]))


def book_cancellation(tx: Transaction, opened: OpenInvoice) -> None:
    """Take back what was booked at issue of an invoice that nobody has paid; of a draft nothing was."""
    row = opened.row
    if row.issued_at is not None:
        lines = posting.credited(_parts(opened), client_id=row.client_id, payer_id=row.payer_id)
        post(tx, "cancel", opened.id, lines, invoice_id=opened.id)


def book_payment(
    tx: Transaction,
    opened: OpenInvoice,
    *,
    payment: Mapping[str, Any],
    tenders: Sequence[Tender],
    settled: Sequence[Mapping[str, Any]],
) -> None:
    """Book a payment by its row and the rows of what it settled: journal, and takings of who took it.

    What settled items don't explain (money on account, cash rounding) stands in the takings without a department.
    """
    methods = registry.of(tx).methods(tx.clinic)
    kept = kept_by_method(tenders, change_minor=payment["change_minor"], methods=methods)
    lines = posting.paid(
        [(posting.account_of(methods[code]), amount) for code, amount in kept.items()],
        applied_minor=payment["applied_minor"],
        rounding_minor=payment["rounding_minor"],
        client_id=opened.row.client_id,
        shift_id=payment["shift_id"],
    )
    post(tx, "payment", payment["id"], lines, invoice_id=opened.id)
    if kept:
        add_takings(tx, "payment", spread(_by_department(opened, settled, sum(kept.values())), kept))


def _by_department(opened: OpenInvoice, settled: Sequence[Mapping[str, Any]], kept_minor: int) -> dict[tuple[str, str], int]:
    amounts = {row["item_id"]: row["amount_minor"] for row in settled}
    found: dict[tuple[str, str], int] = {}
    for item in opened.items:
        if item.id in amounts:
            place = item.department, item.provider_id or NIL_ID
            found[place] = found.get(place, 0) + amounts[item.id]
    found["", NIL_ID] = kept_minor - sum(amounts.values())
    return found


def _parts(opened: OpenInvoice) -> list[posting.Part]:
    return [posting.part_of(row._asdict(), prices_include_tax=opened.row.prices_include_tax) for row in opened.items]
