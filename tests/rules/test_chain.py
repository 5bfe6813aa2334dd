"""The audit chain's arithmetic: what an entry's hash covers, and that it is chained to the entry before."""

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from billing.rules import chain

ENTRY: dict[str, Any] = {
    "clinic_id": "c",
    "at": datetime(2026, 11, 22, 9, 30, 0, 5, tzinfo=UTC),
    "actor_id": "a",
    "action": "payment.taken",
    "subject": "payment",
    "subject_id": "p",
    "data": {"applied_minor": 100, "due_date": date(2026, 12, 1)},
}


def hash_of(previous: str = chain.GENESIS, number: int | None = 7, **changed: Any) -> str:
    return chain.link(previous, chain.content(**(ENTRY | changed)), number)


def test_entry_is_hashed_as_canonical_json_behind_the_previous_hash_and_before_its_number() -> None:
    text = '["c","2026-11-22T09:30:00.000005+00:00","a","payment.taken","payment","p",{"applied_minor":100,"due_date":"2026-12-01"}]'

    assert chain.GENESIS == "0" * 64
    assert chain.content(**ENTRY) == text.encode()
    assert hash_of() == hashlib.sha256(f"{'0' * 64}{text}7".encode()).hexdigest()
    assert hash_of(number=None) == hashlib.sha256(f"{'0' * 64}{text}".encode()).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {"previous": "1" * 64},
        {"number": 8},
        {"number": None},
        {"clinic_id": "d"},
        {"at": ENTRY["at"] + timedelta(microseconds=1)},
        {"actor_id": "b"},
        {"action": "payment.voided"},
        {"subject": "invoice"},
        {"subject_id": "q"},
        {"data": ENTRY["data"] | {"applied_minor": 101}},
    ],
    ids=lambda changed: "-".join(map(str, next(iter(changed.items())))),
)
def test_hash_depends_on_all_that_it_covers(changed: dict[str, Any]) -> None:
    assert hash_of(**changed) != hash_of()


def test_hash_depends_neither_on_the_zone_of_the_instant_nor_on_the_order_of_the_data() -> None:
    elsewhere = ENTRY["at"].astimezone(timezone(timedelta(hours=14)))

    assert hash_of(at=elsewhere, data=dict(reversed(ENTRY["data"].items()))) == hash_of()


def test_texts_of_every_script_are_hashed_as_ascii() -> None:
    assert chain.content(**(ENTRY | {"actor_id": "Ä"})).startswith(b'["c","2026-11-22T09:30:00.000005+00:00","\\u00c4"')


def test_what_json_has_no_place_for_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match=r"^object has no place in an audit entry$"):
        chain.content(**(ENTRY | {"data": {"what": object()}}))
