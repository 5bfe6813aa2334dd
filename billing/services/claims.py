"""Claims: what payers are asked for, what they pay in bulk, what they reject. A rejected part is the client's again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.errors import Invalid, NotFound, Refused
from billing.model import CLINIC, Claim, ClaimPart, ClaimPayment, Invoice, InvoiceItem, Payer, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.money import allocate
from billing.rules import posting
from billing.rules.claims import claim_status
from billing.rules.statuses import stored_status
from billing.services.inputs import canonical_id, check_limit, check_line
from billing.services.journal import post
from billing.services.keys import once
from billing.services.open_invoice import ITEMS, LOCK_INVOICE, OpenInvoice, from_rows
from billing.services.payers import find_payer
from billing.transaction import Transaction
from billing.trips import Query, Row

CLAIM: Any = Claim.__table__
INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
PAYMENT: Any = ClaimPayment.__table__
PART: Any = ClaimPart.__table__
OPEN = ("open", "submitted", "part_paid")


class UnknownClaim(NotFound):
    """The clinic has no such claim. Facts: `claim`."""

    code = "unknown_claim"


class ClaimClosed(Refused):
    """Nothing of the claim is left to be paid or rejected. Facts: `claim`, `status`."""

    code = "claim_closed"


class ClaimOverpaid(Invalid):
    """The money is more, or its parts are other, than what the payer still owes. Facts: `amount_minor`, `most_minor`."""

    code = "claim_overpaid"


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim as lists show it, in minor units of the clinic's currency."""

    id: str
    payer: str
    invoice_id: str
    invoice_number: str | None
    status: str
    amount_minor: int
    paid_minor: int
    rejected_minor: int
    issue_date: date

    @property
    def open_minor(self) -> int:
        """What the payer still owes of it."""
        return self.amount_minor - self.paid_minor - self.rejected_minor


@dataclass(frozen=True, slots=True)
class ClaimsPaid:
    """Money from a payer, and how much of it went to which claim. Minor units."""

    id: str
    payer_id: str
    amount_minor: int
    parts: tuple[tuple[str, int], ...]


_ROWS = (
    select(
        Claim.id,
        Payer.code.label("payer"),
        Claim.invoice_id,
        Invoice.number,
        Claim.status,
        Claim.amount_minor,
        Claim.paid_minor,
        Claim.rejected_minor,
        Claim.issue_date,
    )
    .join(Payer, (Payer.clinic_id == Claim.clinic_id) & (Payer.id == Claim.payer_id))
    .join(Invoice, (Invoice.clinic_id == Claim.clinic_id) & (Invoice.id == Claim.invoice_id))
    .where(Claim.clinic_id == CLINIC)
)
_LOCK_OF_PAYER = Query(
    select(*CLAIM.columns)
    .where(Claim.clinic_id == CLINIC, Claim.payer_id == bindparam("payer_id", type_=IdType()), Claim.status.in_(OPEN))
    .order_by(Claim.issue_date, Claim.id)
    .with_for_update()
)
_INVOICE_OF = Query(select(Claim.invoice_id).where(Claim.clinic_id == CLINIC, Claim.id == bindparam("claim_id", type_=IdType())))
_LOCK = Query(select(*CLAIM.columns).where(Claim.clinic_id == CLINIC, Claim.id == bindparam("claim_id", type_=IdType())).with_for_update())


def list_claims(
    tx: Transaction, *, payer: str | None = None, only_open: bool = False, limit: int = 50, after: ClaimRow | None = None
) -> list[ClaimRow]:
    """Return a page of claims, oldest first; of one payer (by code or id) if given. Raises `UnknownPayer`, `BadLimit`."""
    tx.require("payers.read")
    statement = _ROWS
    if payer is not None:
        statement = statement.where(Claim.payer_id == find_payer(tx, payer).id)
    if only_open:
        statement = statement.where(Claim.status.in_(OPEN))
    if after is not None:
        statement = statement.where(Claim.id > after.id)
    page = statement.order_by(Claim.id).limit(check_limit(limit))
    return [ClaimRow(*row) for row in tx.session.execute(page, {"clinic_id": tx.clinic_id})]


def submit_claims(tx: Transaction, *, payer: str, claim_ids: Sequence[str] | None = None) -> list[str]:
    """Note that open claims on a payer (all, or those named) have been sent; return their ids. Raises `UnknownPayer`, `UnknownClaim`."""
    tx.require("claims.manage")
    rows = [row for row in tx.rows(_LOCK_OF_PAYER, payer_id=find_payer(tx, payer).id) if row.status == "open"]
    if claim_ids is not None:
        by_id = {row.id: row for row in rows}
        rows = [_named(by_id, each) for each in claim_ids]
    for row in rows:
        changed = {"status": "submitted", "submitted_at": tx.at}
        tx.write(ChangeRows(CLAIM, [ChangedRow({"id": row.id}, {"status": "open"}, changed)]))
        tx.audit("claim.submitted", "claim", row.id, amount_minor=row.amount_minor)
        tx.emit("claim.submitted", row.id, invoice_id=row.invoice_id, amount_minor=row.amount_minor)
    return [row.id for row in rows]


def pay_claims(
    tx: Transaction,
    *,
    payer: str,
    amount_minor: int,
    reference: str,
    method: str = "transfer",
    parts: Mapping[str, int] | None = None,
    key: str | None = None,
) -> ClaimsPaid:
    """Book money from a payer: for the claims named in `parts` (id to minor units), else for the oldest first, until it is used up.

    Raises `UnknownPayer`, `UnknownClaim`, `UnknownMethod`, `ClaimOverpaid`.
    """
    tx.require("claims.manage")
    payer_id = find_payer(tx, payer).id
    said = check_line(reference, "The reference", empty=True)
    known = registry.of(tx).methods(tx.clinic)
    if method not in known or known[method].rounds_cash or known[method].moves_wallet:
        raise ClaimOverpaid(
            f"A payer does not pay by {method[:40]!r}: name a method such as transfer.", amount_minor=amount_minor, most_minor=0
        )

    def work() -> dict[str, Any]:
        rows = tx.rows(_LOCK_OF_PAYER, payer_id=payer_id)
        given = _given(rows, amount_minor, parts)
        payment_id = new_id()
        row = {
            "id": payment_id,
            "payer_id": payer_id,
            "method": method,
            "reference": said,
            "amount_minor": amount_minor,
            "at": tx.at,
            "business_date": tx.business_date,
            "done_by": tx.actor.id,
            "person": tx.actor.name,
        }
        tx.write(InsertRows(PAYMENT, [row]))
        tx.write(InsertRows(PART, [{"claim_payment_id": payment_id, "claim_id": each.id, "amount_minor": part} for each, part in given]))
        for each, part in given:
            _change(tx, each, paid_minor=each.paid_minor + part)
        post(tx, "claim_paid", payment_id, posting.claim_paid(posting.account_of(known[method]), amount_minor, payer_id=payer_id))
        tx.audit("claims.paid", "claim_payment", payment_id, payer_id=payer_id, amount_minor=amount_minor, claims=len(given))
        tx.emit("claims.paid", payment_id, payer_id=payer_id, amount_minor=amount_minor)
        return {"id": payment_id, "payer_id": payer_id, "amount_minor": amount_minor, "parts": [[each.id, part] for each, part in given]}

    request = {"payer": payer_id, "amount_minor": amount_minor, "reference": said, "method": method, "parts": dict(parts or {})}
    answer = once(tx, key=key, action="claims.pay", request=request, work=work)
    return ClaimsPaid(**{**answer, "parts": tuple((claim, part) for claim, part in answer["parts"])})


def reject_claim(tx: Transaction, *, claim_id: str, reason: str, amount_minor: int | None = None) -> ClaimRow:
    """Note that a payer will not pay a claim, or a part of it: the client owes it from now on.

    Raises `UnknownClaim`, `ClaimClosed`, `ClaimOverpaid`.
    """
    tx.require("claims.manage")
    why = check_line(reason, "The reason", longest=500)
    known = canonical_id(claim_id)
    found = tx.row(_INVOICE_OF, claim_id=known) if known else None
    if found is None:
        raise UnknownClaim(f"There is no claim {claim_id[:60]!r} in this clinic: `billing claim list` shows them.", claim=claim_id)
    here = {"invoice_id": found.invoice_id}
    invoice, items, (claim,) = tx.trip((LOCK_INVOICE, here), (ITEMS, here), (_LOCK, {"claim_id": known}))
    left = claim.amount_minor - claim.paid_minor - claim.rejected_minor
    if claim.status not in OPEN or left <= 0:
        raise ClaimClosed("Nothing of this claim is left to be paid.", claim=claim.id, status=claim.status)
    amount = left if amount_minor is None else amount_minor
    if not 0 < amount <= left:
        raise ClaimOverpaid("No more can be rejected than the payer still owes.", amount_minor=amount, most_minor=left)
    opened = from_rows(invoice, items, found.invoice_id)
    _give_back(tx, opened, amount)
    _change(tx, claim, rejected_minor=claim.rejected_minor + amount)
    lines = posting.claimed(-amount, client_id=claim.client_id, payer_id=claim.payer_id)
    post(tx, "claim_rejected", new_id(), lines, invoice_id=opened.id)
    tx.audit("claim.rejected", "claim", claim.id, amount_minor=amount, reason=why)
    tx.emit("claim.rejected", claim.id, invoice_id=opened.id, amount_minor=amount)
    row = tx.session.execute(_ROWS.where(Claim.id == claim.id), {"clinic_id": tx.clinic_id}).one()
    return ClaimRow(*row)


def _named(by_id: Mapping[str, Row], claim_id: str) -> Row:
    row = by_id.get(claim_id.lower())
    if row is None:
        raise UnknownClaim(f"{claim_id[:60]!r} is no such claim on this payer: `billing claim list` shows them.", claim=claim_id)
    return row


def _given(rows: Sequence[Row], amount_minor: int, parts: Mapping[str, int] | None) -> list[tuple[Row, int]]:
    open_ = {row.id: row.amount_minor - row.paid_minor - row.rejected_minor for row in rows}
    by_id = {row.id: row for row in rows}
    if parts is None:
        given, left = [], amount_minor
        for row in rows:
            if (part := min(left, open_[row.id])) > 0:
                given.append((row, part))
                left -= part
    else:
        given = [(_named(by_id, claim), part) for claim, part in parts.items()]
        left = amount_minor - sum(parts.values())
    wrong = any(not 0 < part <= open_[row.id] for row, part in given)
    if amount_minor <= 0 or left or wrong:
        raise ClaimOverpaid(
            "The money must be exactly what its parts say, and no more than the payer owes of each claim.",
            amount_minor=amount_minor,
            most_minor=sum(open_.values()),
        )
    return given


def _change(tx: Transaction, row: Row, *, paid_minor: int | None = None, rejected_minor: int | None = None) -> None:
    paid = row.paid_minor if paid_minor is None else paid_minor
    rejected = row.rejected_minor if rejected_minor is None else rejected_minor
    status = claim_status(row.amount_minor, paid_minor=paid, rejected_minor=rejected, submitted=row.submitted_at is not None)
    expected = {"paid_minor": row.paid_minor, "rejected_minor": row.rejected_minor}
    changed = {"paid_minor": paid, "rejected_minor": rejected, "status": status}
    tx.write(ChangeRows(CLAIM, [ChangedRow({"id": row.id}, expected, changed)]))


def _give_back(tx: Transaction, opened: OpenInvoice, amount_minor: int) -> None:
    """Make a part of the payer's the client's again, item by item."""
    row = opened.row
    payer = row.payer_minor - amount_minor
    status = stored_status(
        issued=True,
        cancelled=row.cancelled_at is not None,
        total_minor=row.total_minor,
        credited_minor=row.credited_minor,
        amount_paid_minor=row.amount_paid_minor,
        written_off_minor=row.written_off_minor,
        has_unpaid_items=bool(opened.unpaid),
        has_live_payment=row.status in ("partial", "paid"),
        payer_minor=payer,
    )
    changed = {"payer_minor": payer, "status": status.value}
    tx.write(ChangeRows(INVOICE, [ChangedRow({"id": opened.id}, {"payer_minor": row.payer_minor, "status": row.status}, changed)]))
    parts = allocate(amount_minor, [item.payer_minor for item in opened.items])
    tx.write(
        ChangeRows(
            ITEM,
            [
                ChangedRow({"id": item.id}, {"payer_minor": item.payer_minor}, {"payer_minor": item.payer_minor - part})
                for item, part in zip(opened.items, parts, strict=True)
                if part
            ],
        )
    )
