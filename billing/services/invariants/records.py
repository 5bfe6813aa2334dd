"""What must always hold of the record of acts: each has its audit entry and its event, once, and they name rows that are there."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Select, Subquery, Text, case, cast, func, literal_column, select, union_all

from billing.changes.declare import Invariant
from billing.model import (
    CLINIC,
    Approval,
    AuditEntry,
    CashMove,
    Client,
    Consultation,
    Event,
    Invoice,
    Membership,
    Patient,
    Payment,
    Service,
    Shift,
    WalletMove,
)

_ACTS = (
    ("invoice.created", "Every invoice was created", Invoice, None),
    ("invoice.issued", "Every issued invoice was issued", Invoice, Invoice.issued_at.is_not(None)),
    ("invoice.cancelled", "Every cancelled invoice was cancelled", Invoice, Invoice.cancelled_at.is_not(None)),
    ("payment.taken", "Every payment was taken", Payment, None),
    ("wallet.topped_up", "Every top-up of a wallet was booked", WalletMove, WalletMove.kind == "top_up"),
    ("wallet.paid_out", "Every pay-out of a wallet was booked", WalletMove, WalletMove.kind == "pay_out"),
    ("shift.opened", "Every shift was opened", Shift, None),
    ("shift.closed", "Every closed shift was closed", Shift, Shift.closed_at.is_not(None)),
)
"""Action and topic, the sentence's beginning, the table, and of which rows it is told."""

_TABLES: Mapping[str, Any] = {
    "approval": Approval,
    "cash_move": CashMove,
    "client": Client,
    "consultation": Consultation,
    "invoice": Invoice,
    "membership": Membership,
    "patient": Patient,
    "payment": Payment,
    "service": Service,
    "wallet_move": WalletMove,
    "shift": Shift,
}
"""The tables of which an audit entry may be about a row, by the entry's subject."""


def _ids(subject: str) -> Select[str, str]:
    """Return a table's ids as text: they are uuid on PostgreSQL, and what an entry names is text."""
    table = _TABLES[subject]
    return select(literal_column(f"'{subject}'", Text()).label("subject"), cast(table.id, Text).label("row_id")).where(
        table.clinic_id == CLINIC
    )


# DISTINCT and UNION keep SQLite from flattening these into the join, where it would have no index to find them by.
_SUBJECTS = union_all(*map(_ids, _TABLES)).subquery("subjects")


def _counted(of: Any, act: Any, text: str) -> Subquery:
    """Return how often an act stands in the audit trail or the outbox, by the id of its row."""
    return (
        select(of.subject_id, func.count().label("times"))
        .where(of.clinic_id == CLINIC, act == text)
        .group_by(of.subject_id)
        .subquery(f"{of.__tablename__}_acts")
    )


def _kept() -> Iterator[Invariant]:
    for act, sentence, table, happened in _ACTS:
        expected = 1 if happened is None else case((happened, 1), else_=0)
        for of, column, place in ((AuditEntry, AuditEntry.action, "audit trail"), (Event, Event.topic, "outbox")):
            found = _counted(of, column, act)
            times = func.coalesce(found.c.times, 0)
            yield Invariant(
                f"{act.replace('.', '_')}_in_{place.replace(' ', '_')}",
                f"{sentence} exactly once by the {place}, and no other was.",
                select(table.id, times.label("times"))
                .outerjoin(found, found.c.subject_id == cast(table.id, Text))
                .where(table.clinic_id == CLINIC, times != expected),
            )


def _named() -> Iterator[Invariant]:
    for act, _, table, _ in _ACTS:
        there = _ids(table.__tablename__).distinct().subquery(f"{table.__tablename__}_ids")
        yield Invariant(
            f"{act.replace('.', '_')}_event_names_its_row",
            f"Every event {act} is about a row that is there.",
            select(Event.id, Event.subject_id)
            .outerjoin(there, there.c.row_id == Event.subject_id)
            .where(Event.clinic_id == CLINIC, Event.topic == act, there.c.row_id.is_(None)),
        )


RECORDS = (
    *_kept(),
    *_named(),
    Invariant(
        "audit_names_its_row",
        "What an audit entry was about is still there.",
        select(AuditEntry.position, AuditEntry.subject, AuditEntry.subject_id)
        .outerjoin(_SUBJECTS, (_SUBJECTS.c.subject == AuditEntry.subject) & (_SUBJECTS.c.row_id == AuditEntry.subject_id))
        .where(
            AuditEntry.clinic_id == CLINIC,
            AuditEntry.subject.in_(sorted(_TABLES)),
            _SUBJECTS.c.row_id.is_(None),
        ),
    ),
)
"""The record's invariants."""
