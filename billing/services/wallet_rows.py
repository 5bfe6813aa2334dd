"""A wallet's rows: what acts of money write of it. The balance is never read for that: the write itself refuses to go below nothing."""

from typing import Any

from billing.changes.failures import explains
from billing.errors import Conflict
from billing.model import Wallet, WalletMove, new_id
from billing.model.writes import AddRows, AdjustedRow, AdjustRows, InsertRows
from billing.transaction import Transaction

WALLET: Any = Wallet.__table__
MOVE: Any = WalletMove.__table__


@explains("short:wallet", "The client's wallet does not hold that much: look at it, take less from it, or top it up.")
@explains("ck_wallet_balance", "The client's wallet does not hold that much: look at it, take less from it, or top it up.")
class WalletTooLow(Conflict):
    """The wallet holds less than should be taken from it."""

    code = "wallet_too_low"


def move_wallet(tx: Transaction, *, client_id: str, kind: str, amount_minor: int, action_id: str, **columns: Any) -> str:
    """Leave a movement with the unit: above zero into the wallet, below out of it. Returns its id.

    `kind` as in `wallet_move.kind`; `columns` are those of a top-up or pay-out (method, amounts, receipt). The write fails with
    `WalletTooLow` if the wallet does not hold what is taken.
    """
    if amount_minor > 0:
        tx.write(AddRows(WALLET, [{"client_id": client_id, "balance_minor": amount_minor}]))
    else:
        taken = AdjustedRow({"client_id": client_id}, {"balance_minor": amount_minor}, {"balance_minor": 0})
        tx.write(AdjustRows(WALLET, [taken]))
    row = {
        "id": new_id(),
        "client_id": client_id,
        "kind": kind,
        "amount_minor": amount_minor,
        "action_id": action_id,
        "method": None,
        "reference": None,
        "tendered_minor": 0,
        "change_minor": 0,
        "rounding_minor": 0,
        "series": None,
        "receipt_period": None,
        "receipt_value": None,
        "receipt_number": None,
        "shift_id": None,
        "reason": "",
        "at": tx.at,
        "business_date": tx.business_date,
        "done_by": tx.actor.id,
        "person": tx.actor.name,
    }
    tx.write(InsertRows(MOVE, [row | columns]))
    return str((row | columns)["id"])
