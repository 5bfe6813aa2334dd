"""Booking: entries are left with the unit and written with the act itself, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.model import JournalLine
from billing.model.writes import InsertRows
from billing.rules.posting import Line
from billing.transaction import Transaction

JOURNAL: Any = JournalLine.__table__


def post(tx: Transaction, kind: str, action_id: str, lines: Sequence[Line], *, invoice_id: str | None = None) -> None:
    """Book one entry of an act; an entry of nothing is none.

    `kind` tells the entries of one act apart: an act's entry of a kind stands once, by its key. Lines that don't balance are a program error.
    """
    assert sum(line.amount_minor for line in lines) == 0, f"the entry {kind} of {action_id} does not balance"
    if lines:
        tx.write(InsertRows(JOURNAL, [_row(tx, kind, action_id, invoice_id, place, line) for place, line in enumerate(lines, start=1)]))


def _row(tx: Transaction, kind: str, action_id: str, invoice_id: str | None, position: int, line: Line) -> Mapping[str, Any]:
    return {
        "action_id": action_id,
        "kind": kind,
        "position": position,
        "business_date": tx.business_date,
        "at": tx.at,
        "account": line.account,
        "amount_minor": line.amount_minor,
        "invoice_id": invoice_id,
        "client_id": line.client_id,
        "payer_id": line.payer_id,
        "shift_id": line.shift_id,
        "actor_id": tx.actor.id,
    }
