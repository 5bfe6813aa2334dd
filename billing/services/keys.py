"""Idempotency keys: the same key with the same request gives the same answer again, however often; with another request it is refused.

The key's row is part of the act's own transaction: rolled back with it, the key is free again; committed, the answer stands.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, column, select, text

from billing.errors import Invalid
from billing.model import CLINIC, IdempotencyKey, canonical_json
from billing.model.types import IdType, InstantType
from billing.model.writes import ChangedRow, ChangeRows
from billing.services.inputs import check_line
from billing.transaction import Transaction
from billing.trips import Preparable, Query


class KeyReused(Invalid):
    """The key was used for another request before. Facts: `key`."""

    code = "key_reused"


_CLAIM = Query(
    text(
        "INSERT INTO idempotency_key (clinic_id, actor_id, key, action, request_hash, answer, at) "
        "VALUES (:clinic_id, :actor_id, :key, :action, :request_hash, 'null', :at) "
        "ON CONFLICT (clinic_id, actor_id, key) DO NOTHING RETURNING key"
    )
    .bindparams(bindparam("clinic_id", type_=IdType()), bindparam("actor_id", type_=IdType()), bindparam("at", type_=InstantType()))
    .columns(column("key", Text()))
)
_FIND = Query(
    select(IdempotencyKey.action, IdempotencyKey.request_hash, IdempotencyKey.answer).where(
        IdempotencyKey.clinic_id == CLINIC,
        IdempotencyKey.actor_id == bindparam("actor_id", type_=IdType()),
        IdempotencyKey.key == bindparam("key", type_=Text()),
    )
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key with what is asked under it. Without a key (None) the act is done as often as it is asked for."""

    key: str | None
    action: str
    request: Mapping[str, Any]

    @property
    def request_hash(self) -> str:
        """The hash of the request: the same for the same request only."""
        return hashlib.sha256(canonical_json([self.action, dict(self.request)]).encode("ascii")).hexdigest()

    def claim(self, tx: Transaction) -> list[tuple[Preparable, Mapping[str, Any]]]:
        """Return the call that claims the key, for the unit's first trip; none without a key. Raises `BadText`."""
        if self.key is None:
            return []
        check_line(self.key, "The idempotency key", longest=255)
        tx.repeatable = True
        values = {"actor_id": tx.actor.id, "key": self.key, "action": self.action, "request_hash": self.request_hash, "at": tx.at}
        return [(_CLAIM, values)]

    def answer_before(self, tx: Transaction, claimed: Sequence[Any]) -> Any:
        """Return the answer given before, or None if the claim won (or there is no key). Raises `KeyReused`."""
        if self.key is None or claimed:
            return None
        row = tx.row(_FIND, actor_id=tx.actor.id, key=self.key)
        assert row is not None, "a key that can't be claimed stands"
        if row.request_hash != self.request_hash:
            raise KeyReused("This idempotency key was used for another request: use a new key for a new request.", key=self.key)
        return row.answer

    def keep(self, tx: Transaction, answer: Any) -> None:
        """Store the answer with the act."""
        if self.key is not None:
            row = ChangedRow({"actor_id": tx.actor.id, "key": self.key}, {}, {"answer": answer})
            tx.write(ChangeRows(IdempotencyKey.__table__, [row]))  # type: ignore[arg-type]


def once(tx: Transaction, *, key: str | None, action: str, request: Mapping[str, Any], work: Callable[[], Any]) -> Any:
    """Do `work` unless the key was used for this request before; return its answer (JSON values), the stored one in that case."""
    asked = Key(key, action, request)
    calls = asked.claim(tx)
    before = asked.answer_before(tx, tx.trip(*calls)[0] if calls else [])
    if before is not None:
        return before
    answer = work()
    asked.keep(tx, answer)
    return answer
