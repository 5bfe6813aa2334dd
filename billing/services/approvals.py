"""A second person's consent: given beforehand under their own login, for one act on one subject, used once and on the same day by somebody else.

Whoever acts reads `APPROVALS` with the rest of what the act needs (the rows stay locked) and asks `decide`. That a person consented is
never the word of who acts: there is a row that the other one has written, and it is checked again when it is used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, literal, select, tuple_
from sqlalchemy.orm import aliased

from billing import registry
from billing.changes.failures import explains
from billing.changes.needs import today
from billing.errors import Conflict, Forbidden, Invalid, NotFound
from billing.model import CLINIC, Approval, Client, Invoice, Membership, Payment, Staff, new_id
from billing.model.types import IdType, InstantType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.services.inputs import MOST_ROWS, canonical_id, check_line
from billing.transaction import Transaction
from billing.trips import Query, Row

APPROVAL: Any = Approval.__table__

ACTS: dict[str, str] = {
    "payments.void": "void",
    "payments.refund": "refund",
    "invoices.write_off": "write-off",
    "discounts.approve": "discount",
}
"""What can be approved, by permission: the word of `billing approve`."""

_SUBJECTS: dict[str, tuple[Any, ...]] = {
    "payments.void": (Payment,),
    "payments.refund": (Invoice, Client),
    "invoices.write_off": (Invoice,),
    "discounts.approve": (Invoice,),
}

APPROVALS = Query(
    select(
        Approval.id,
        Approval.most_minor,
        Approval.given_by,
        Staff.login,
        Staff.active,
        Staff.is_operator,
        Membership.role,
        Membership.active.label("member"),
    )
    .join(Staff, Staff.id == Approval.given_by)
    .outerjoin(Membership, (Membership.clinic_id == Approval.clinic_id) & (Membership.staff_id == Approval.given_by))
    .where(
        Approval.clinic_id == CLINIC,
        Approval.subject_id == bindparam("subject_id", type_=IdType()),
        Approval.permission == bindparam("permission"),
        Approval.business_date == today,
        Approval.used_at.is_(None),
    )
    .order_by(Approval.id)
    .with_for_update(of=Approval)
)
"""Today's unused approvals of a permission on a subject, with what their givers are now. Locked; binds `permission` and `subject_id`."""


class BadApproval(Invalid):
    """What is to be approved can't be approved. Facts: `permission`."""

    code = "bad_approval"


class UnknownSubject(NotFound):
    """There is nothing here that such an approval could be for. Facts: `subject`."""

    code = "unknown_subject"


class ApprovalMissing(Forbidden):
    """The act needs the approval of somebody else. Facts: `permission`, `subject`."""

    code = "approval_missing"


@explains("short:approval", "This approval was used in the meantime: ask for another one.")
class ApprovalUsed(Conflict):
    """Somebody has just used the approval for another act."""

    code = "approval_used"


@dataclass(frozen=True, slots=True)
class ApprovalSeen:
    """An approval as lists show it. `most_minor` is the most it is good for, in minor units; None is any amount."""

    id: str
    permission: str
    subject_id: str
    most_minor: int | None
    reason: str
    given_by: str
    given_at: datetime
    used_by: str | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Approved:
    """Who has approved an act, if anybody had to or did, and what has to be written so that the approval is used."""

    by: str | None = None
    approval_id: str | None = None

    def use(self, tx: Transaction, *, used_for: str) -> None:
        """Leave with the unit that the approval is used by the actor, for the act with this id."""
        if self.approval_id is not None:
            used = {"used_by": tx.actor.id, "used_at": tx.at, "used_for": used_for}
            tx.write(ChangeRows(APPROVAL, [ChangedRow({"id": self.approval_id}, {"used_at": None}, used)]))


def give_approval(tx: Transaction, *, permission: str, subject_id: str, reason: str, most_minor: int | None = None) -> ApprovalSeen:
    """Consent that somebody else does one act of this permission on one subject today; `most_minor` is the most it may be about.

    The subject is a payment (to void), an invoice (to refund, write off, discount) or a client (to pay out of the wallet).
    Raises `PermissionMissing` for what the actor may not do, `BadApproval`, `UnknownSubject`, `BadText`.
    """
    tx.require("approvals.give")
    if permission not in ACTS:
        raise BadApproval(f"{permission[:40]!r} can't be approved: choose from {', '.join(ACTS)}.", permission=permission)
    tx.require(permission)
    if most_minor is not None and most_minor <= 0:
        raise BadApproval("The most that an approval is good for is above zero.", permission=permission)
    text = check_line(reason, "The reason")
    known = canonical_id(subject_id)
    if known is None or not tx.rows(_SUBJECT[permission], subject_id=known):
        raise UnknownSubject(f"There is no {_words(permission)} {subject_id[:60]!r} in this clinic.", subject=subject_id)
    approval_id = new_id()
    row = {
        "id": approval_id,
        "permission": permission,
        "subject_id": known,
        "most_minor": most_minor,
        "reason": text,
        "given_by": tx.actor.id,
        "given_at": tx.at,
        "business_date": tx.business_date,
        "used_by": None,
        "used_at": None,
        "used_for": None,
    }
    tx.write(InsertRows(APPROVAL, [row]))
    tx.audit("approval.given", "approval", approval_id, permission=permission, approved_id=known, most_minor=most_minor)
    return ApprovalSeen(approval_id, permission, known, most_minor, text, tx.actor.login, tx.at, None, None)


def list_approvals(tx: Transaction, *, limit: int = 50, after: ApprovalSeen | None = None) -> list[ApprovalSeen]:
    """Return a page of approvals, latest first; `after` is the last one of the page before."""
    tx.require("invoices.read")
    giver, user = aliased(Staff), aliased(Staff)
    statement = (
        select(
            Approval.id,
            Approval.permission,
            Approval.subject_id,
            Approval.most_minor,
            Approval.reason,
            giver.login,
            Approval.given_at,
            user.login,
            Approval.used_at,
        )
        .join(giver, giver.id == Approval.given_by)
        .outerjoin(user, user.id == Approval.used_by)
        .where(Approval.clinic_id == CLINIC)
        .order_by(Approval.given_at.desc(), Approval.id.desc())
        .limit(min(limit, MOST_ROWS))
    )
    if after is not None:
        place = literal(after.given_at, InstantType()), literal(after.id, IdType())
        statement = statement.where(tuple_(Approval.given_at, Approval.id) < tuple_(*place))
    return [ApprovalSeen(*row) for row in tx.session.execute(statement, {"clinic_id": tx.clinic_id})]


def find_live(tx: Transaction, rows: Sequence[Row], *, permission: str, amount_minor: int, taken_by: Iterable[str] = ()) -> Approved | None:
    """Return the approval that is good for this act, from the rows of `APPROVALS`; None if there is none.

    It is enough for the amount, and was given by somebody who neither acts nor took the money, and who may still give it.
    """
    others = {tx.actor.id, *taken_by}
    for row in rows:
        enough = row.most_minor is None or row.most_minor >= amount_minor
        if enough and row.given_by not in others and _may_give(tx, row, permission):
            return Approved(row.given_by, row.id)
    return None


def decide(
    tx: Transaction, rows: Sequence[Row], *, permission: str, subject_id: str, amount_minor: int, taken_by: Iterable[str] = ()
) -> Approved:
    """Return by whose approval the actor does this; nobody's where they may do it alone. Raises `ApprovalMissing`.

    `rows` are those of `APPROVALS`, `taken_by` the staff ids of those who took the money that goes back. Alone acts who has the permission,
    unless the clinic's policy `second_person` asks for somebody else also then.
    """
    live = find_live(tx, rows, permission=permission, amount_minor=amount_minor, taken_by=taken_by)
    if live is not None:
        return live
    if permission in tx.actor.permissions and not tx.clinic.policy.get("second_person", False):
        return Approved()
    raise ApprovalMissing(
        f"This needs the approval of somebody else who may do it ({permission}) and has not taken the money: "
        f"let them run `billing approve {ACTS[permission]}` today, for this one.",
        permission=permission,
        subject=subject_id,
    )


def _may_give(tx: Transaction, row: Row, permission: str) -> bool:
    if not row.active or not (row.is_operator or row.member):
        return False
    role = "operator" if row.is_operator else row.role
    granted = registry.of(tx).permissions_of(role, tx.clinic.policy, tx.clinic.settings)
    return {permission, "approvals.give"} <= granted


def _words(permission: str) -> str:
    return " or ".join(table.__tablename__ for table in _SUBJECTS[permission])


def _subject(tables: tuple[Any, ...]) -> Query:
    first, *others = (
        select(table.id).where(table.clinic_id == CLINIC, table.id == bindparam("subject_id", type_=IdType())) for table in tables
    )
    return Query(first.union_all(*others) if others else first)


_SUBJECT = {permission: _subject(tables) for permission, tables in _SUBJECTS.items()}
