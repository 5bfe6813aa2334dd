"""The journal as a file: lines for spreadsheets, entries for beancount and hledger; read by date, in constant memory.

Entries are whole: an entry's lines have one date and stand together. What is exported of some days is what moved on them, without opening
balances, so that files of following months can be put together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Literal, TextIO

from sqlalchemy import Text, bindparam, func, literal_column, select, tuple_

from billing.model import CLINIC, Invoice, JournalLine, Payment, Reversal, WalletMove
from billing.model.types import NIL_ID, DayType, IdType, InstantType, WholeType
from billing.money import format_amount
from billing.rules import plain_text
from billing.rules.plain_text import Entry, Posting
from billing.rules.spreadsheet import safe_cell
from billing.services import exports, ledger
from billing.services.accounts import AccountView, chart
from billing.services.balances import day_range
from billing.services.exports import Export, write_csv
from billing.transaction import Transaction
from billing.trips import Query, Row

Form = Literal["csv", "beancount", "hledger"]

COLUMNS = (
    *("date", "at", "kind", "action_id", "document", "account", "code", "name", "debit", "credit", "currency"),
    *("client_id", "payer_id", "shift_id"),
)

_KEY = (JournalLine.business_date, JournalLine.at, JournalLine.action_id, JournalLine.kind, JournalLine.position)
_AFTER = (
    bindparam("day", type_=DayType()),
    bindparam("at", type_=InstantType()),
    bindparam("action_id", type_=IdType()),
    bindparam("kind", type_=Text()),
    bindparam("position", type_=WholeType()),
)


def _number_of(number: Any, of: Any, row_id: Any) -> Any:
    return select(number).where(of.clinic_id == CLINIC, of.id == row_id).scalar_subquery()


DOCUMENT = func.coalesce(
    _number_of(Payment.receipt_number, Payment, JournalLine.action_id),
    _number_of(Reversal.number, Reversal, JournalLine.action_id),
    _number_of(WalletMove.receipt_number, WalletMove, JournalLine.action_id),
    _number_of(Invoice.number, Invoice, JournalLine.invoice_id),
    literal_column("''", Text()),
)
_LINES = Query(
    select(*JournalLine.__table__.columns, DOCUMENT.label("document"))
    .where(
        JournalLine.clinic_id == CLINIC,
        JournalLine.business_date >= _AFTER[0],
        JournalLine.business_date < bindparam("until_date", type_=DayType()),
        tuple_(*_KEY) > tuple_(*_AFTER),
    )
    .order_by(*_KEY)
    .limit(bindparam("limit", type_=WholeType()))
    .offset(0)
)


@dataclass(frozen=True, slots=True)
class _Range:
    from_date: date
    until_date: date


def export_journal(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> Export:
    """Return the lines of the days [from, until), oldest first. Needs `journal.read`. Raises `BadRange`."""
    tx.require("journal.read")
    days = _Range(*day_range(from_date, until_date))
    return Export("journal", COLUMNS, _table(tx, days))


def write_journal(
    tx: Transaction,
    *,
    stream: TextIO,
    form: Form = "csv",
    from_date: date | None = None,
    until_date: date | None = None,
    byte_order_mark: bool = False,
) -> int:
    """Write the journal of the days [from, until) to a text stream; return how many lines (csv) or entries it has. Raises `BadRange`."""
    tx.require("journal.read")
    if form == "csv":
        return write_csv(export_journal(tx, from_date=from_date, until_date=until_date), stream, byte_order_mark=byte_order_mark)
    days = _Range(*day_range(from_date, until_date))
    accounts = _accounts(tx, days)
    currency = tx.clinic.currency
    beancount = form == "beancount"
    stream.write((plain_text.beancount_head if beancount else plain_text.hledger_head)(currency, tx.clinic.name))
    first = ledger.earliest_day(tx, from_date=days.from_date) or tx.business_date
    for each in accounts.values():
        opened = plain_text.beancount_account(first, each.code, each.name, currency) if beancount else None
        stream.write(opened or plain_text.hledger_account(each.code, each.name))
    write = plain_text.beancount_entry if beancount else plain_text.hledger_entry
    count = 0
    for entry in _entries(tx, days, accounts):
        stream.write("\n" + write(entry, currency))
        count += 1
    return count


def _accounts(tx: Transaction, days: _Range) -> Mapping[str, AccountView]:
    booked = ledger.moved(tx, from_date=days.from_date, until_date=days.until_date)
    return {each.account: each for each in chart(tx, booked)}


def _entries(tx: Transaction, days: _Range, accounts: Mapping[str, AccountView]) -> Iterator[Entry]:
    for (action_id, kind), group in groupby(_lines(tx, days), key=lambda row: (row.action_id, row.kind)):
        rows = list(group)
        postings = [Posting(accounts[row.account].name, row.amount_minor) for row in rows]
        yield Entry(rows[0].business_date, kind, rows[0].document, action_id, postings)


def _lines(tx: Transaction, days: _Range) -> Iterator[Row]:
    after = {"day": days.from_date, "at": datetime(1, 1, 2, tzinfo=UTC), "action_id": NIL_ID, "kind": "", "position": 0}
    while rows := tx.rows(_LINES, limit=exports.BATCH, until_date=days.until_date, **after):
        yield from rows
        last = rows[-1]
        after = {"day": last.business_date, "at": last.at, "action_id": last.action_id, "kind": last.kind, "position": last.position}


def _table(tx: Transaction, days: _Range) -> Iterator[tuple[str, ...]]:
    accounts = _accounts(tx, days)
    for row in _lines(tx, days):
        yield _cells(tx, row, accounts[row.account])


def _cells(tx: Transaction, row: Row, account: AccountView) -> tuple[str, ...]:
    currency = tx.clinic.currency
    amount = row.amount_minor
    return (
        row.business_date.isoformat(),
        row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        row.kind,
        row.action_id,
        safe_cell(row.document),
        row.account,
        safe_cell(account.code),
        account.name,
        format_amount(amount, currency) if amount > 0 else "",
        format_amount(-amount, currency) if amount < 0 else "",
        currency.code,
        row.client_id or "",
        row.payer_id or "",
        row.shift_id or "",
    )
