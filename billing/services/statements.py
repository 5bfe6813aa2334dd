"""A client's account: what they owed when some days began, each act on it, and what they owe at the end. It is the journal and nothing else."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import bindparam, case, func, select

from billing.model import CLINIC, JournalLine
from billing.model.types import DayType, IdType
from billing.rules import posting
from billing.services.balances import day_range
from billing.services.journal_export import DOCUMENT
from billing.services.patients import read_client
from billing.transaction import Transaction
from billing.trips import Query

_CLIENT = bindparam("client_id", type_=IdType())
_FROM, _UNTIL = bindparam("from_date", type_=DayType()), bindparam("until_date", type_=DayType())
_OWED = case((JournalLine.account == posting.CLIENTS, JournalLine.amount_minor), else_=0)
_WALLET = case((JournalLine.account == posting.WALLET, -JournalLine.amount_minor), else_=0)
_OPENING = Query(
    select(
        func.coalesce(func.sum(_OWED), 0).label("owed_minor"),
        func.coalesce(func.sum(_WALLET), 0).label("wallet_minor"),
    ).where(JournalLine.clinic_id == CLINIC, JournalLine.client_id == _CLIENT, JournalLine.business_date < _FROM)
)
_LINES = Query(
    select(
        JournalLine.business_date,
        JournalLine.at,
        JournalLine.kind,
        JournalLine.action_id,
        DOCUMENT.label("document"),
        func.sum(_OWED).label("owed_minor"),
        func.sum(_WALLET).label("wallet_minor"),
    )
    .where(
        JournalLine.clinic_id == CLINIC,
        JournalLine.client_id == _CLIENT,
        JournalLine.business_date >= _FROM,
        JournalLine.business_date < _UNTIL,
    )
    .group_by(JournalLine.business_date, JournalLine.at, JournalLine.action_id, JournalLine.kind, JournalLine.invoice_id)
)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """An act on a client's account, minor units: what it adds to (below zero: takes from) what is owed and the wallet, and both after it."""

    date: date
    at: datetime
    kind: str
    document: str
    owed_change_minor: int
    wallet_change_minor: int
    owed_minor: int
    wallet_minor: int


@dataclass(frozen=True, slots=True)
class ClientStatement:
    """A client's account on the days [from, until): what they owed and had in the wallet before, each act, and both at the end. Minor units."""

    client_id: str
    client: str
    from_date: date | None
    until_date: date | None
    opening_owed_minor: int
    opening_wallet_minor: int
    lines: tuple[StatementLine, ...]
    closing_owed_minor: int
    closing_wallet_minor: int


def client_statement(tx: Transaction, *, client_id: str, from_date: date | None = None, until_date: date | None = None) -> ClientStatement:
    """Return the account of a client on the days [from, until), oldest act first. Raises `UnknownClient`, `BadRange`."""
    tx.require("wallets.read")
    first, end = day_range(from_date, until_date)
    client = read_client(tx, client_id=client_id)
    days = {"client_id": client.id, "from_date": first}
    (before,), rows = tx.trip((_OPENING, days), (_LINES, days | {"until_date": end}))
    owed, wallet = int(before.owed_minor), int(before.wallet_minor)
    lines = []
    for row in sorted(rows, key=lambda each: (each.business_date, each.at, _ORDER.get(each.kind, 0), each.action_id, each.kind)):
        owed, wallet = owed + int(row.owed_minor), wallet + int(row.wallet_minor)
        changes = int(row.owed_minor), int(row.wallet_minor)
        lines.append(StatementLine(row.business_date, row.at, row.kind, row.document, *changes, owed, wallet))
    return ClientStatement(
        client.id, client.name, from_date, until_date, int(before.owed_minor), int(before.wallet_minor), tuple(lines), owed, wallet
    )


_ORDER = {"issue": -2, "credit": -1}
"""Of one instant what is billed comes before what is paid, what is credited before what is handed back."""
