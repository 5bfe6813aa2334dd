"""The audit chain: whatever is done to its rows behind the back of the services is found, with its place."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import text

from billing.errors import Forbidden
from billing.rules import chain
from billing.services import audit
from billing.services.inputs import BadLimit
from billing.testing.world import World
from billing.transaction import Transaction
from billing.trips import Query, Row


@pytest.fixture
def busy(world: World) -> World:
    """Return a clinic with entries of several actions, some of one unit."""
    world.service("VIS", price="44.00")
    for _ in range(3):
        world.pay(world.invoice("VIS").id, "cash 50")
    return world


def _verify(world: World) -> audit.ChainReport:
    return world.read(audit.verify_chain)


def _behind_the_back(world: World, statement: str, **values: object) -> None:
    with world.admin.begin() as connection:
        clinic = connection.execute(text("SELECT clinic_id FROM clinic WHERE code = 'north'")).scalar_one()
        connection.execute(text(statement), {"clinic": clinic, **values})


def test_chain_of_honest_entries_is_intact(busy: World) -> None:
    report = _verify(busy)

    assert report.intact
    assert report.checked == report.position == len(busy.read(lambda tx: audit.list_entries(tx, limit=1000)))
    assert report.checked > 9


def test_changed_entry_is_found_at_its_position(busy: World) -> None:
    changes = [
        "data = '{}'",
        "data = REPLACE(data, ',', ', ')",
        "data = 'rubbish'",
        "action = 'payment.forgotten'",
        "actor_id = '00000000-0000-0000-0000-000000000001'",
        "subject_id = 'another'",
        "number_value = 77",
        "hash = previous_hash",
    ]
    found = []

    for position in range(len(changes), 0, -1):  # the first breach is the one that is reported, so from the end to the beginning
        _behind_the_back(busy, f"UPDATE audit_entry SET {changes[position - 1]} WHERE clinic_id = :clinic AND position = :at", at=position)
        breach = _verify(busy).breach
        found.append(breach and breach.position)

    assert found == list(range(len(changes), 0, -1))


def test_changed_instant_is_found(busy: World) -> None:
    at = "'2020-02-02T02:02:02.000000+00:00'"
    _behind_the_back(busy, f"UPDATE audit_entry SET at = {at} WHERE clinic_id = :clinic AND position = 4")

    breach = _verify(busy).breach

    assert breach is not None
    assert (breach.position, breach.reason) == (4, "its content was changed: the hash is another one")


@pytest.mark.parametrize("at", ["rubbish", "2026-01-01T12:00:00.000000+02:00", "2026-01-01"])
def test_instant_that_was_written_over_with_rubbish_is_a_finding_and_no_error(sqlite_world: World, at: str) -> None:
    _behind_the_back(sqlite_world, "UPDATE audit_entry SET at = :at WHERE clinic_id = :clinic AND position = 1", at=at)

    breach = _verify(sqlite_world).breach

    assert breach is not None
    assert breach.reason.startswith("its content was changed")


@pytest.mark.parametrize("position", [1, 5])
def test_deleted_entry_is_found(busy: World, position: int) -> None:
    _behind_the_back(busy, "DELETE FROM audit_entry WHERE clinic_id = :clinic AND position = :position", position=position)

    breach = _verify(busy).breach

    assert breach == audit.Breach(position, f"the entry is missing: {position + 1} follows {position - 1}")


def test_swapped_entries_are_found(busy: World) -> None:
    for old, new in ((3, -3), (4, 3), (-3, 4)):
        _behind_the_back(busy, "UPDATE audit_entry SET position = :new WHERE clinic_id = :clinic AND position = :old", old=old, new=new)

    breach = _verify(busy).breach

    assert breach is not None
    assert breach.position == 3


def test_inserted_entry_is_found(busy: World) -> None:
    end = _verify(busy).position
    copied = "clinic_id, at, actor_id, action, subject, subject_id, data, number_value, previous_hash, hash"
    _behind_the_back(
        busy,
        f"INSERT INTO audit_entry (position, {copied}) SELECT :position, {copied} FROM audit_entry WHERE clinic_id = :clinic AND position = 5",
        position=end + 1,
    )

    assert _verify(busy).breach == audit.Breach(end + 1, "the entry stands behind the recorded end of the chain")


def test_entry_in_front_of_the_first_one_is_found(busy: World) -> None:
    _behind_the_back(busy, "UPDATE audit_entry SET position = 0 WHERE clinic_id = :clinic AND position = 1")

    breach = _verify(busy).breach

    assert breach is not None
    assert breach.position == 1


def test_cut_off_end_is_found(busy: World) -> None:
    end = _verify(busy).position
    _behind_the_back(busy, "DELETE FROM audit_entry WHERE clinic_id = :clinic AND position > :kept", kept=end - 2)

    assert _verify(busy).breach == audit.Breach(end - 1, f"the entry is missing: the chain goes on to {end}")


def test_end_that_was_moved_to_hide_a_cut_is_found_by_a_noted_hash(busy: World) -> None:
    noted = _verify(busy)
    _behind_the_back(busy, "DELETE FROM audit_entry WHERE clinic_id = :clinic AND position = :position", position=noted.position)
    _behind_the_back(
        busy,
        "UPDATE audit_head SET position = position - 1, "
        "hash = (SELECT hash FROM audit_entry e WHERE e.clinic_id = :clinic AND e.position = audit_head.position - 1) WHERE clinic_id = :clinic",
    )

    with_anchor = busy.read(lambda tx: audit.verify_chain(tx, anchors={noted.position: noted.hash}))

    assert _verify(busy).intact
    assert with_anchor.breach == audit.Breach(noted.position, "the entry is missing: a hash of it was noted")


def test_chain_written_anew_is_found_by_a_noted_hash(busy: World) -> None:
    noted = _verify(busy)
    _write_anew(busy)

    with_anchor = busy.read(lambda tx: audit.verify_chain(tx, anchors={noted.position: noted.hash}))

    assert _verify(busy).intact
    assert with_anchor.breach is not None
    assert with_anchor.breach.position == noted.position


def _write_anew(world: World) -> None:
    entries = reversed(world.read(lambda tx: audit.list_entries(tx, limit=1000)))
    with world.admin.connect() as connection:
        rows = {row.position: row for row in connection.execute(text("SELECT * FROM audit_entry ORDER BY position"))}
        clinic = connection.execute(text("SELECT clinic_id FROM clinic WHERE code = 'north'")).scalar_one()
    latest = chain.GENESIS
    for entry in entries:
        content = chain.content(
            clinic_id=str(clinic),
            at=entry.at,
            actor_id=str(rows[entry.position].actor_id),
            action=entry.action,
            subject=entry.subject,
            subject_id="forged" if entry.position == 2 else entry.subject_id,
            data=entry.data,
        )
        before, latest = latest, chain.link(latest, content, entry.number_value)
        _behind_the_back(
            world,
            "UPDATE audit_entry SET subject_id = CASE position WHEN 2 THEN 'forged' ELSE subject_id END, previous_hash = :before, hash = :latest "
            "WHERE clinic_id = :clinic AND position = :position",
            before=before,
            latest=latest,
            position=entry.position,
        )
    _behind_the_back(world, "UPDATE audit_head SET hash = :latest WHERE clinic_id = :clinic", latest=latest)


def test_missing_and_changed_ends_are_found(busy: World) -> None:
    end = _verify(busy).position
    _behind_the_back(busy, "UPDATE audit_head SET hash = previous_hash WHERE clinic_id = :clinic")
    changed = _verify(busy).breach
    _behind_the_back(busy, "DELETE FROM audit_head WHERE clinic_id = :clinic")
    missing = _verify(busy).breach

    assert changed == audit.Breach(end, "the recorded end of the chain is not this entry's hash")
    assert missing is not None
    assert "is not recorded" in missing.reason


def test_each_clinic_has_a_chain_of_its_own(world: World) -> None:
    world.service("VIS", clinic="south")
    _behind_the_back(world, "UPDATE audit_entry SET action = 'x' WHERE clinic_id = :clinic")

    assert not world.read(audit.verify_chain).intact
    assert world.read(audit.verify_chain, clinic="south").intact


def test_entries_that_others_append_meanwhile_are_no_breach(busy: World) -> None:
    def unit(tx: Transaction) -> audit.ChainReport:
        def row(query: Query) -> Row | None:
            end = tx.row(query)
            busy.invoice("VIS")
            return end

        return audit.recompute(cast("Transaction", SimpleNamespace(row=row, rows=tx.rows)))

    report = busy.read(unit)

    assert report.intact
    assert _verify(busy).position > report.position


def test_long_chain_is_read_in_batches(sqlite_world: World) -> None:
    def many(tx: Transaction) -> None:
        for number in range(2 * audit.BATCH):
            tx.audit("thing.done", "thing", str(number))

    sqlite_world.run(many)

    report = _verify(sqlite_world)

    assert report.intact
    assert report.checked == 2 * audit.BATCH + 1


def test_entries_are_listed_latest_first_page_by_page(busy: World) -> None:
    everything = busy.read(lambda tx: audit.list_entries(tx, limit=1000))
    first = busy.read(lambda tx: audit.list_entries(tx, limit=4))
    second = busy.read(lambda tx: audit.list_entries(tx, limit=4, after=first[-1].position))

    assert first + second == everything[:8]
    assert [entry.position for entry in everything] == list(range(len(everything), 0, -1))
    assert {entry.actor for entry in everything} == {busy.actor}


def test_entries_are_narrowed_to_an_action_and_a_row(busy: World) -> None:
    taken = busy.read(lambda tx: audit.list_entries(tx, action="payment.taken"))
    of_one = busy.read(lambda tx: audit.list_entries(tx, subject_id=taken[0].subject_id))

    assert [entry.number_value for entry in taken] == [3, 2, 1]
    assert of_one == taken[:1]
    assert taken[0].data["applied_minor"] == 4400


def test_a_page_without_rows_is_refused(sqlite_world: World) -> None:
    with pytest.raises(BadLimit):
        sqlite_world.read(lambda tx: audit.list_entries(tx, limit=0))


@pytest.mark.parametrize(("role", "reads", "verifies"), [("auditor", True, True), ("manager", True, False), ("cashier", False, False)])
def test_who_may_read_and_verify(world: World, hire: Callable[[str], str], role: str, reads: bool, verifies: bool) -> None:
    login = hire(role)

    assert _allowed(lambda: world.read(audit.list_entries, actor=login)) == reads
    assert _allowed(lambda: world.read(audit.verify_chain, actor=login)) == verifies


def _allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except Forbidden:
        return False
    return True
