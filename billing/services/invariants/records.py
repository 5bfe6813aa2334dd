"""What must always hold of the record of acts: each has its audit entry and its event, once, and they name rows that are there."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Subquery, Text, case, cast, func, literal_column, select, union_all

from billing.changes.declare import Invariant
from billing.model import (
    CLINIC,
    AuditEntry,
    Client,
    Consultation,
    Event,
    Invoice,
    Membership,
    Patient,
    Payment,
    Service,
)

_ACTS = (
    ("invoice.created", "Every invoice was created", Invoice, None),
    ("invoice.issued", "Every issued invoice was issued", Invoice, Invoice.issued_at.is_not(None)),
    ("invoice.cancelled", "Every cancelled invoice was cancelled", Invoice, Invoice.cancelled_at.is_not(None)),
    ("payment.taken", "Every payment was taken", Payment, None),
)
"""Action and topic, the sentence's beginning, the table, and of which rows it is told."""

# As text, since ids are uuid on PostgreSQL and what an entry names is text. DISTINCT or UNION keep SQLite from flattening these into the
# join, where it would have no index to find them by.
_SUBJECTS = (
    union_all(
        *(
            select(literal_column(f"'{subject}'", Text()).label("subject"), cast(table.id, Text).label("row_id")).where(table.clinic_id == CLINIC)
            for subject, table in {
                "client": Client,
                "consultation": Consultation,
                "invoice": Invoice,
                "membership": Membership,
                "patient": Patient,
                "payment": Payment,
                "service": Service,
            }.items()
        )
    )
).subquery("subjects")


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
    rows = {
        table: select(cast(table.id, Text).label("row_id")).where(table.clinic_id == CLINIC).distinct().subquery(f"{table.__tablename__}_ids")
        for table in (Invoice, Payment)
    }
    for act, _, table, _ in _ACTS:
        yield Invariant(
            f"{act.replace('.', '_')}_event_names_its_row",
            f"Every event {act} is about a row that is there.",
            select(Event.id, Event.subject_id)
            .outerjoin(rows[table], rows[table].c.row_id == Event.subject_id)
            .where(Event.clinic_id == CLINIC, Event.topic == act, rows[table].c.row_id.is_(None)),
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
            AuditEntry.subject.in_(["client", "consultation", "invoice", "membership", "patient", "payment", "service"]),
            _SUBJECTS.c.row_id.is_(None),
        ),
    ),
)
"""The record's invariants."""
