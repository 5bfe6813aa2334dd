"""The audit trail: read, and its chain verified from the rows as they stand. It mends nothing and knows no interface.

The chain shows that no entry was changed, deleted, inserted, swapped or cut off. Somebody who may write the database could compute a whole
new chain; so keep a hash elsewhere now and then (on a printed report) and hand it to `verify_chain` as an anchor.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Text, bindparam, func, select, type_coerce

from billing.model import CLINIC, AuditEntry, AuditHead, Staff, canonical_json
from billing.model.types import WholeType
from billing.rules import chain
from billing.services.inputs import check_limit
from billing.transaction import Transaction
from billing.trips import Query, Row

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit entry: who (`actor` is a login) did what to which row. `data` holds ids, codes and amounts."""

    position: int
    at: datetime
    actor: str
    action: str
    subject: str
    subject_id: str
    number_value: int | None
    data: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Breach:
    """The first place where a chain does not hold, and why."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What verifying found. `checked` entries were recomputed; `position` and `hash` are the chain's end, worth keeping as an anchor."""

    checked: int
    position: int
    hash: str
    breach: Breach | None = None

    @property
    def intact(self) -> bool:
        """Whether the whole chain holds."""
        return self.breach is None


_END = Query(
    select(
        AuditHead.position,
        AuditHead.hash,
        select(func.max(AuditEntry.position)).where(AuditEntry.clinic_id == CLINIC).scalar_subquery().label("latest"),
    ).where(AuditHead.clinic_id == CLINIC)
)
# Instant and data are read as they are stored: one that was written over with rubbish is a finding, not an error of a decoder.
_ENTRIES = Query(
    select(
        AuditEntry.clinic_id,
        AuditEntry.position,
        type_coerce(AuditEntry.at, Text).label("at"),
        AuditEntry.actor_id,
        AuditEntry.action,
        AuditEntry.subject,
        AuditEntry.subject_id,
        type_coerce(AuditEntry.data, Text).label("data"),
        AuditEntry.number_value,
        AuditEntry.previous_hash,
        AuditEntry.hash,
    )
    .where(AuditEntry.clinic_id == CLINIC, AuditEntry.position > bindparam("after", type_=WholeType()))
    .order_by(AuditEntry.position)
    .limit(bindparam("limit", type_=WholeType()))
    .offset(0)
)


def verify_chain(tx: Transaction, *, anchors: Mapping[int, str] = MappingProxyType({})) -> ChainReport:
    """Recompute the clinic's whole chain and report its first breach. Needs `audit.verify`.

    `anchors` are hashes by position that were noted earlier, outside the database: the entries there must still have them.
    """
    tx.require("audit.verify")
    return recompute(tx, anchors=anchors)


def recompute(tx: Transaction, *, anchors: Mapping[int, str] = MappingProxyType({})) -> ChainReport:
    """Do what `verify_chain` does, for those who have asked for a permission of their own."""
    # The end is read first, in one statement: entries that others append meanwhile stand behind it and don't count.
    end = tx.row(_END)
    walk = _Walk(anchors=anchors)
    for row in _entries(tx):
        if end is not None and row.position > end.position:
            break
        if breach := walk.step(row):
            return ChainReport(walk.checked, walk.position, walk.hash, breach)
    return ChainReport(walk.checked, walk.position, walk.hash, walk.end(end))


def list_entries(
    tx: Transaction, *, action: str | None = None, subject_id: str | None = None, after: int | None = None, limit: int = 50
) -> list[Entry]:
    """Return entries, latest first, narrowed to an action or a row. For the next page, `after` is the last position shown.

    Needs `audit.read`. Raises `BadLimit`.
    """
    tx.require("audit.read")
    statement = (
        select(
            AuditEntry.position,
            AuditEntry.at,
            func.coalesce(Staff.login, "").label("actor"),
            AuditEntry.action,
            AuditEntry.subject,
            AuditEntry.subject_id,
            AuditEntry.number_value,
            AuditEntry.data,
            AuditEntry.hash,
        )
        .outerjoin(Staff, Staff.id == AuditEntry.actor_id)
        .order_by(AuditEntry.position.desc())
        .limit(check_limit(limit))
    )
    if action is not None:
        statement = statement.where(AuditEntry.action == action)
    if subject_id is not None:
        statement = statement.where(AuditEntry.subject_id == subject_id)
    if after is not None:
        statement = statement.where(AuditEntry.position < after)
    return [Entry(*row) for row in tx.session.execute(statement)]


def _entries(tx: Transaction) -> Iterator[Row]:
    after = -(2**62)  # positions count from 1; one that was inserted in front is to be seen
    while rows := tx.rows(_ENTRIES, after=after, limit=BATCH):
        yield from rows
        after = rows[-1].position


@dataclass(slots=True)
class _Walk:
    """How far the chain was found to hold: the latest good position and its hash."""

    anchors: Mapping[int, str]
    checked: int = 0
    position: int = 0
    hash: str = chain.GENESIS

    def step(self, row: Row) -> Breach | None:
        """Go on by one entry, or say what is wrong with it."""
        if row.position != self.position + 1:
            return Breach(self.position + 1, f"the entry is missing: {row.position} follows {self.position}")
        self.checked += 1
        if row.previous_hash != self.hash:
            return Breach(row.position, "it does not follow from the entry before: entries were exchanged, inserted or chained anew")
        try:
            content = _content(row)
        except (ValueError, TypeError) as error:
            return Breach(row.position, f"its content was changed: {error}")
        if chain.link(self.hash, content, row.number_value) != row.hash:
            return Breach(row.position, "its content was changed: the hash is another one")
        if self.anchors.get(row.position, row.hash) != row.hash:
            return Breach(row.position, "the chain up to here was written anew: it does not have the hash that was noted")
        self.position, self.hash = row.position, row.hash
        return None

    def end(self, head: Row | None) -> Breach | None:
        """Compare where the walk ended with where the chain is said to end."""
        if head is None:
            return Breach(self.position, "the end of the chain is not recorded: the clinic's row in audit_head is missing")
        if head.position > self.position:
            return Breach(self.position + 1, f"the entry is missing: the chain goes on to {head.position}")
        if head.latest is not None and head.latest > head.position:
            return Breach(head.position + 1, "the entry stands behind the recorded end of the chain")
        if head.hash != self.hash:
            return Breach(self.position, "the recorded end of the chain is not this entry's hash")
        if noted := [position for position in self.anchors if position > self.position]:
            return Breach(min(noted), "the entry is missing: a hash of it was noted")
        return None


def _content(row: Row) -> bytes:
    """Return what was hashed of an entry. Raises ValueError or TypeError for what no entry is stored like."""
    data = json.loads(row.data)
    if canonical_json(data) != row.data:
        raise ValueError("its data is not written as it was")
    return chain.content(
        clinic_id=row.clinic_id,
        at=_instant(row.at),
        actor_id=row.actor_id,
        action=row.action,
        subject=row.subject,
        subject_id=row.subject_id,
        data=data,
    )


def _instant(stored: Any) -> datetime:
    if isinstance(stored, datetime):
        return stored
    at = datetime.fromisoformat(stored)
    if at.tzinfo != UTC or at.isoformat(timespec="microseconds") != stored:
        raise ValueError("its instant is not written as it was")
    return at
