"""Documents against what the audit trail says of them: amounts, who, when, and the printed number.

The chain proves the entries, and here the rows are held against the entries: what stands in one row alone can't be changed unseen.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Text, bindparam, null, select, type_coerce

from billing.errors import Invalid
from billing.model import CLINIC, AuditEntry, Invoice, Payment, WalletMove, canonical_json
from billing.model.lists import ids
from billing.model.types import InstantType, WholeType, is_id
from billing.rules import numbers
from billing.transaction import Transaction
from billing.trips import Query, Row

BATCH = 500
FOREVER = datetime(1, 1, 2, tzinfo=UTC)


def _rows(table: Any, *said: Any, at: Any, by: Any, value: Any, printed: Any) -> Query:
    """Return the query for rows by their ids; what an entry's data may say of them keeps its name."""
    return Query(
        select(
            table.id,
            type_coerce(at, Text).label("at"),
            by.label("by"),
            value.label("value_of_number"),
            printed.label("printed_number"),
            *said,
        ).where(table.clinic_id == CLINIC, table.id.op("IN")(ids("ids")))
    )


def _moves() -> Query:
    receipt = {"value": WalletMove.receipt_value, "printed": WalletMove.receipt_number}
    return _rows(
        WalletMove, WalletMove.client_id, WalletMove.amount_minor, WalletMove.method, at=WalletMove.at, by=WalletMove.done_by, **receipt
    )


_NUMBER: Mapping[str, Any] = {"value": Invoice.number_value, "printed": Invoice.number}
ACTS: Mapping[str, Query] = {
    # A draft's total may change until it is issued, so the entry of its creation proves the number only.
    "invoice.created": _rows(Invoice, at=Invoice.created_at, by=Invoice.created_by, **_NUMBER),
    "invoice.issued": _rows(Invoice, Invoice.total_minor, at=Invoice.issued_at, by=null(), **_NUMBER),
    "payment.taken": _rows(
        Payment,
        Payment.invoice_id,
        Payment.scope,
        Payment.due_minor,
        Payment.applied_minor,
        Payment.amount_due_minor,
        Payment.on_account_minor,
        at=Payment.taken_at,
        by=Payment.taken_by,
        value=Payment.receipt_value,
        printed=Payment.receipt_number,
    ),
    "wallet.topped_up": _moves(),
    "wallet.paid_out": _moves(),
}
"""The rows that entries are about, by action."""

# As the chain reads them: an instant or data written over with rubbish is the chain's finding.
_ENTRIES = Query(
    select(
        AuditEntry.position,
        type_coerce(AuditEntry.at, Text).label("at"),
        AuditEntry.actor_id,
        AuditEntry.action,
        AuditEntry.subject_id,
        type_coerce(AuditEntry.data, Text).label("data"),
        AuditEntry.number_value,
    )
    .where(
        AuditEntry.clinic_id == CLINIC,
        AuditEntry.position > bindparam("after", type_=WholeType()),
        AuditEntry.at >= bindparam("since", type_=InstantType()),
        AuditEntry.action.in_(sorted(ACTS)),
    )
    .order_by(AuditEntry.position)
    .limit(bindparam("limit", type_=WholeType()))
    .offset(0)
)


def check_acts(tx: Transaction, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """Compare the documents made since then with the entries of their acts. An act without its row is the record's own invariant."""
    after = 0
    while entries := tx.rows(_ENTRIES, after=after, since=since or FOREVER, limit=BATCH):
        found = _found(tx, entries)
        for entry in entries:
            row = found.get((entry.action, entry.subject_id))
            if row is not None and (reason := _difference(entry, row)):
                yield {"id": row.id, "number": row.printed_number, "position": entry.position, "reason": reason}
        after = entries[-1].position


def _found(tx: Transaction, entries: Sequence[Row]) -> dict[tuple[str, str], Row]:
    wanted: dict[str, list[str]] = {}
    for entry in entries:
        if is_id(entry.subject_id):
            wanted.setdefault(entry.action, []).append(entry.subject_id)
    answers = tx.trip(*((ACTS[action], {"ids": canonical_json(named)}) for action, named in wanted.items()))
    return {(action, row.id): row for action, rows in zip(wanted, answers, strict=True) for row in rows}


def _difference(entry: Row, row: Row) -> str | None:
    """Say in what a row is not what its entry says; an entry of an earlier version says less."""
    try:
        data = json.loads(entry.data)
    except ValueError:
        return None  # the chain is broken here, and says so
    said = {"at": entry.at} | {name: value for name, value in data.items() if name in row._fields}
    if row.by is not None:
        said["by"] = entry.actor_id
    if entry.number_value is not None:
        said["value_of_number"] = entry.number_value
        if (shape := data.get("number_format")) is not None:
            said["printed_number"] = _printed(shape, entry.number_value)
    for name, value in said.items():
        if getattr(row, name) != value:
            return f"{name} is {getattr(row, name)}, the audit trail says {value}"
    return None


def _printed(shape: str, value: int) -> str | None:
    try:
        return numbers.render(numbers.parse_format(shape, numbers.Reset.NEVER), value, "")
    except (Invalid, ValueError):
        return None
