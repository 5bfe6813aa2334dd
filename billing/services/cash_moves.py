"""Cash that moves without a sale: paid into a drawer, paid out of it, or handed over to another cashier, who accepts or refuses it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, or_, select

from billing.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from billing.model import CLINIC, CashMove, JournalLine, Shift, Staff, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows
from billing.money import MAX_AMOUNT_MINOR
from billing.rules import posting
from billing.services.inputs import canonical_id, check_line
from billing.services.journal import post
from billing.services.tills import NoShift, join
from billing.transaction import Transaction
from billing.trips import Query

MOVE: Any = CashMove.__table__

OFFERED = Query(
    select(CashMove.id).where(
        CashMove.clinic_id == CLINIC,
        CashMove.status == "offered",
        or_(
            CashMove.shift_id == bindparam("shift_id", type_=IdType()),
            CashMove.to_shift_id == bindparam("shift_id", type_=IdType()),
        ),
    )
)
"""Hand-overs that nobody has answered yet, to or from a shift."""

_LOCK_SHIFT = Query(select(Shift.id).where(Shift.clinic_id == CLINIC, Shift.id == bindparam("shift_id", type_=IdType())).with_for_update())
_IN_DRAWER = Query(
    select(func.coalesce(func.sum(JournalLine.amount_minor), 0).label("cash_minor")).where(
        JournalLine.clinic_id == CLINIC,
        JournalLine.shift_id == bindparam("shift_id", type_=IdType()),
        JournalLine.account == posting.CASH,
    )
)
_OF_LOGIN = Query(
    select(Shift.id, Shift.cashier_id)
    .join(Staff, Staff.id == Shift.cashier_id)
    .where(Shift.clinic_id == CLINIC, Shift.closed_at.is_(None), Staff.login == bindparam("login"))
)
_LOCK_MOVE = Query(
    select(*MOVE.columns).where(CashMove.clinic_id == CLINIC, CashMove.id == bindparam("move_id", type_=IdType())).with_for_update()
)


class BadCash(Invalid):
    """An amount of cash that is not above zero or beyond all bounds. Facts: `amount_minor`."""

    code = "bad_cash"


class DrawerTooLow(Refused):
    """The drawer does not hold what should leave it. What it holds is not told: it is counted blind. Facts: `wanted_minor`."""

    code = "drawer_too_low"


class NoSuchReceiver(NotFound):
    """Nobody with this login has an open shift of their own. Facts: `login`."""

    code = "no_such_receiver"


class UnknownMove(NotFound):
    """There is no such movement of cash in this clinic. Facts: `move`."""

    code = "unknown_move"


class NotYourMove(Forbidden):
    """Only who was offered the cash answers, in the shift that it was offered to. Facts: `move`."""

    code = "not_your_move"


class AnsweredAlready(Conflict):
    """The hand-over was accepted or refused before. Facts: `move`, `status`."""

    code = "answered_already"


@dataclass(frozen=True, slots=True)
class CashMoved:
    """A movement of cash. Minor units of the clinic's currency."""

    id: str
    kind: str
    amount_minor: int
    status: str
    shift_id: str
    to_shift_id: str | None = None


def pay_in(tx: Transaction, *, amount_minor: int, reason: str) -> CashMoved:
    """Put cash into the own drawer that no sale has brought. Raises `NoShift`, `BadCash`, `BadText`."""
    tx.require("shifts.work")
    why, shift_id = _checked(tx, amount_minor, reason)
    join(tx, shift_id)
    return _done(tx, "paid_in", amount_minor, why, shift_id)


def pay_out_cash(tx: Transaction, *, amount_minor: int, reason: str) -> CashMoved:
    """Take cash out of the own drawer for something that is no refund. Raises `NoShift`, `BadCash`, `BadText`, `DrawerTooLow`."""
    tx.require("shifts.work")
    why, shift_id = _checked(tx, amount_minor, reason)
    _require_cash(tx, shift_id, amount_minor)
    join(tx, shift_id)
    return _done(tx, "paid_out", amount_minor, why, shift_id)


def hand_over(tx: Transaction, *, to_login: str, amount_minor: int, reason: str) -> CashMoved:
    """Offer cash out of the own drawer to a colleague's open shift; it moves once they accept it.

    Raises `NoShift`, `BadCash`, `BadText`, `NoSuchReceiver`, `DrawerTooLow`.
    """
    tx.require("shifts.work")
    why, shift_id = _checked(tx, amount_minor, reason)
    receiver = tx.row(_OF_LOGIN, login=to_login)
    if receiver is None or receiver.id == shift_id:
        raise NoSuchReceiver(f"{to_login[:60]!r} has no open shift to hand cash to.", login=to_login)
    _require_cash(tx, shift_id, amount_minor)
    join(tx, shift_id)
    join(tx, receiver.id)  # who has closed meanwhile could never answer
    moved = CashMoved(new_id(), "hand_over", amount_minor, "offered", shift_id, receiver.id)
    _insert(tx, moved, why)
    tx.audit("cash.offered", "cash_move", moved.id, shift_id=shift_id, to_shift_id=receiver.id, amount_minor=amount_minor)
    return moved


def answer_hand_over(tx: Transaction, *, move_id: str, accept: bool) -> CashMoved:
    """Accept cash that was offered to the own shift, or refuse it; refused, it never left the other drawer.

    Who offered it may take the offer back by refusing it, and so may who could close their shift for them.

    Raises `UnknownMove`, `NotYourMove`, `AnsweredAlready`, `DrawerTooLow` (the other drawer has been emptied meanwhile).
    """
    tx.require("shifts.work")
    known = canonical_id(move_id)
    row = tx.row(_LOCK_MOVE, move_id=known) if known else None
    if row is None or row.kind != "hand_over":
        raise UnknownMove(f"There is no hand-over {move_id[:60]!r} in this clinic.", move=move_id)
    own = tx.actor.shift.id if tx.actor.shift else None
    may_end_it = own == row.shift_id or {"shifts.read", "payments.void"} <= tx.actor.permissions
    if own != row.to_shift_id and (accept or not may_end_it):
        raise NotYourMove("This cash was offered to somebody else's shift.", move=row.id)
    if row.status != "offered":
        raise AnsweredAlready(f"This hand-over was {row.status} before.", move=row.id, status=row.status)
    status = "accepted" if accept else "refused"
    if accept:
        _require_cash(tx, row.shift_id, row.amount_minor)
        join(tx, row.shift_id)
        join(tx, row.to_shift_id)
        lines = posting.cash_moved(
            row.amount_minor, to=posting.CASH, out_of=posting.CASH, to_shift=row.to_shift_id, from_shift=row.shift_id
        )
        post(tx, "hand_over", row.id, lines)
    answered = {"status": status, "answered_at": tx.at, "answered_by": tx.actor.id}
    tx.write(ChangeRows(MOVE, [ChangedRow({"id": row.id}, {"status": "offered"}, answered)]))
    tx.audit(f"cash.{status}", "cash_move", row.id, amount_minor=row.amount_minor)
    return CashMoved(row.id, row.kind, row.amount_minor, status, row.shift_id, row.to_shift_id)


def _checked(tx: Transaction, amount_minor: int, reason: str) -> tuple[str, str]:
    why = check_line(reason, "The reason", longest=500)
    if not 0 < amount_minor <= MAX_AMOUNT_MINOR:
        raise BadCash(f"Cash that moves is above zero and at most {MAX_AMOUNT_MINOR} minor units.", amount_minor=amount_minor)
    if tx.actor.shift is None:
        raise NoShift("You have no open shift: open one with `billing shift open --drawer NAME --float AMOUNT`.", login=tx.actor.login)
    return why, tx.actor.shift.id


def _require_cash(tx: Transaction, shift_id: str, wanted_minor: int) -> None:
    # The shift's row is what every act of money at this drawer changes: behind its lock the drawer holds still.
    _, (drawer,) = tx.trip((_LOCK_SHIFT, {"shift_id": shift_id}), (_IN_DRAWER, {"shift_id": shift_id}))
    cash = int(drawer.cash_minor)
    if cash < wanted_minor:
        raise DrawerTooLow("The drawer does not hold that much: count it, or take less.", wanted_minor=wanted_minor)


def _done(tx: Transaction, kind: str, amount_minor: int, why: str, shift_id: str) -> CashMoved:
    moved = CashMoved(new_id(), kind, amount_minor, "done", shift_id)
    _insert(tx, moved, why)
    lines = posting.cash_moved(amount_minor, to=posting.CASH, out_of=posting.CASH_TRANSFER, to_shift=shift_id)
    post(tx, kind, moved.id, lines if kind == "paid_in" else posting.mirrored(lines))
    tx.audit(f"cash.{kind}", "cash_move", moved.id, shift_id=shift_id, amount_minor=amount_minor)
    return moved


def _insert(tx: Transaction, moved: CashMoved, why: str) -> None:
    row = {
        "id": moved.id,
        "kind": moved.kind,
        "shift_id": moved.shift_id,
        "to_shift_id": moved.to_shift_id,
        "amount_minor": moved.amount_minor,
        "reason": why,
        "status": moved.status,
        "at": tx.at,
        "business_date": tx.business_date,
        "done_by": tx.actor.id,
        "answered_at": None,
        "answered_by": None,
    }
    tx.write(InsertRows(MOVE, [row]))
