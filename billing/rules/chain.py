"""The audit chain's arithmetic: what of an entry is hashed, and how one entry is chained to the one before. Knows no table."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

GENESIS = "0" * 64
"""The hash before the first entry of a clinic."""


def content(*, clinic_id: str, at: datetime, actor_id: str, action: str, subject: str, subject_id: str, data: Mapping[str, Any]) -> bytes:
    """Return the bytes of an entry that are hashed: canonical JSON, ASCII, the instant with microseconds in UTC."""
    parts = [clinic_id, at.astimezone(UTC).isoformat(timespec="microseconds"), actor_id, action, subject, subject_id, data]
    # Days and instants among the data are hashed as the text that they are stored as.
    return _JSON.encode(parts).encode("ascii")


def link(previous_hash: str, entry: bytes, number_value: int | None) -> str:
    """Return the hash of an entry: SHA-256 over the previous hash (as hex), the content, and the digits of its document number, if any."""
    digits = b"" if number_value is None else str(number_value).encode("ascii")
    return hashlib.sha256(previous_hash.encode("ascii") + entry + digits).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an audit entry")


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_text)
