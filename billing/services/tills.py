"""The drawer that money goes into: the open shift of who acts. Every act of money joins it, so a shift can't be closed under it."""

from billing.changes.failures import explains
from billing.errors import Conflict, Refused
from billing.model import Shift
from billing.model.writes import ChangedRow, ChangeRows
from billing.transaction import Transaction


class NoShift(Refused):
    """Cash moves only in one's own open shift (the clinic's policy `cash_needs_shift`). Facts: `login`."""

    code = "no_shift"


@explains("short:shift", "The shift was closed in the meantime: open a new one and repeat.")
class ShiftClosed(Conflict):
    """The shift was closed while this was being booked."""

    code = "shift_closed"


def till(tx: Transaction, *, cash: bool) -> str | None:
    """Return the id of the actor's open shift and join it; None if there is none and none is needed. Raises `NoShift` where cash moves."""
    shift = tx.actor.shift
    if shift is not None:
        join(tx, shift.id)
        return shift.id
    if cash and tx.clinic.policy.get("cash_needs_shift", True):
        raise NoShift(
            f"{tx.actor.login} has no open shift, and cash goes into one: open it with `billing shift open --drawer NAME --float AMOUNT`.",
            login=tx.actor.login,
        )
    return None


def join(tx: Transaction, shift_id: str) -> None:
    """Let the write fail with `ShiftClosed` unless the shift is still open then."""
    changed = ChangedRow({"id": shift_id}, {"closed_at": None}, {"latest_at": tx.at})
    tx.write(ChangeRows(Shift.__table__, [changed]))  # type: ignore[arg-type]
