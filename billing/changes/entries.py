"""Audit entries on their way into the chain: what is hashed of them, and their columns. The same for every database."""

from typing import Any

from billing.model.writes import AuditRow
from billing.rules import chain


def content_of(clinic_id: str, entry: AuditRow) -> bytes:
    """Return the bytes of an entry that its hash covers."""
    return chain.content(
        clinic_id=clinic_id,
        at=entry.at,
        actor_id=entry.actor_id,
        action=entry.action,
        subject=entry.subject,
        subject_id=entry.subject_id,
        data=entry.data,
    )


def entry_row(entry: AuditRow) -> dict[str, Any]:
    """Return the columns of an entry that don't depend on its place in the chain."""
    return {
        "at": entry.at,
        "actor_id": entry.actor_id,
        "action": entry.action,
        "subject": entry.subject,
        "subject_id": entry.subject_id,
        "data": entry.data,
    }
