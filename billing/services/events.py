"""The outbox: what the clinic's other systems are to be told, oldest first. Sends nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from billing.database import Database
from billing.model import Event
from billing.services.inputs import check_limit
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event that is still to be told. `data` holds ids, codes and amounts in minor units, never a patient's name."""

    id: str
    at: datetime
    topic: str
    subject_id: str
    data: Any


def read_outbox(database: Database, *, clinic: str, actor: str, after: str | None = None, limit: int = 50) -> list[EventRow]:
    """Return unsent events, oldest first, behind the event `after`: only such as no crash can take back any more.

    An event can be read as soon as its act is committed, which, where a clinic releases locks early, is a moment before the disk has it: so
    they are read first, and then the disk is waited for. Needs `audit.read`. Raises `BadLimit`.
    """
    found = database.read(lambda tx: _unsent(tx, after, check_limit(limit)), clinic=clinic, actor=actor)
    database.wait_until_durable()
    return found


def _unsent(tx: Transaction, after: str | None, limit: int) -> list[EventRow]:
    tx.require("audit.read")
    statement = select(Event.id, Event.at, Event.topic, Event.subject_id, Event.data).where(Event.sent_at.is_(None))
    if after is not None:
        statement = statement.where(Event.id > after)
    return [EventRow(*row) for row in tx.session.execute(statement.order_by(Event.id).limit(limit))]
