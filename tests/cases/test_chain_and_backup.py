"""The audit chain under eight writers, and a backup that goes on with the next numbers."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from billing.model import AuditEntry
from billing.services import backup, doctor, invoice_steps, staff
from billing.services.audit import verify_chain
from billing.testing.acts import Note
from billing.testing.race import race
from billing.testing.world import World

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

WRITERS, ACTIONS = 8, 125

AT = 2


@pytest.mark.case("P71")
def test_chain_of_a_thousand_actions_of_eight_processes_verifies_from_the_database(world: "CaseWorld") -> None:
    """FootprintAI/Containarium#1326: the hash covered nanoseconds, the column microseconds; and locking the last row stopped no fork."""
    before = _position(world)

    outcomes = race(world.url, [[Note(place)] * ACTIONS for place in range(WRITERS)], actors=["c1", "c2", "v1"], installed=True)

    assert [each.code for own in outcomes for each in own] == [None] * WRITERS * ACTIONS
    again = World(world.url, plugins=world.registry)
    report = again.read(verify_chain)
    again.dispose()
    assert (report.intact, report.position) == (True, before + WRITERS * ACTIONS)


def _position(world: World) -> int:
    return world.read(lambda tx: tx.session.scalar(select(func.max(AuditEntry.position)))) or 0


ENTRY: Any = AuditEntry.__table__

# What is done behind everybody's back at a position, and which position the breach is reported at.
TAMPERINGS: dict[str, tuple[Callable[[int, dict[str, Any]], list[Any]], int]] = {
    "changed": (lambda at, row: [update(ENTRY).where(ENTRY.c.position == at).values(subject="another")], 0),
    "moved by a microsecond": (
        lambda at, row: [update(ENTRY).where(ENTRY.c.position == at).values(at=row["at"] + timedelta(microseconds=1))],
        0,
    ),
    "deleted": (lambda at, row: [delete(ENTRY).where(ENTRY.c.position == at)], 0),
    "inserted": (lambda at, row: [insert(ENTRY).values(**row | {"position": 0})], 1 - AT),
    "reordered": (
        lambda at, row: [
            update(ENTRY).where(ENTRY.c.position == here).values(position=there) for here, there in ((at, -1), (at + 1, at), (-1, at + 1))
        ],
        0,
    ),
}


@pytest.mark.case("P71")
@pytest.mark.parametrize("done", TAMPERINGS)
def test_whatever_is_done_to_a_row_of_the_chain_is_reported_with_its_position(database_url: str, done: str) -> None:
    """FootprintAI/Containarium#1326: a chain is worth what its verification finds."""
    world = World(database_url)
    world.service("VIS")
    for _ in range(3):
        world.invoice("VIS")
    change, moved = TAMPERINGS[done]
    with world.admin.begin() as connection:
        row = dict(connection.execute(select(ENTRY).where(ENTRY.c.position == AT)).mappings().one())
        intact = world.read(verify_chain).intact
        for statement in change(AT, row):
            connection.execute(statement)

    report = world.read(verify_chain)

    assert intact
    assert report.breach is not None
    assert report.breach.position == AT + moved
    world.dispose()


@pytest.mark.case("P72")
@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_restored_clinic_goes_on_with_the_next_numbers(
    world: "CaseWorld", target: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """DeliciousBuding/metapi-go#1217: after a restore the first write failed, because sequences were behind."""
    patient = world.patient()
    for _ in range(2):
        world.pay(world.n1(patient_id=patient).id, "card 154", actor="c1")
    draft = world.n1(issued=False, patient_id=patient)
    file = tmp_path / "clinic.backup"
    backup.back_up(world.database, actor=world.actor, target=file)
    url = request.getfixturevalue(f"empty_{target}_url")

    backup.restore(url, source=file, plugins=world.registry)
    there = World(url, plugins=world.registry)
    healthy = [there.read(doctor.examine, clinic=clinic).healthy for clinic in ("north", "south")]
    bills = [there.invoice("GLU", "VISIT", patient_id=patient) for _ in range(10)]
    taken = [there.pay(bill.id, "card 88") for bill in bills]
    added = [there.run(lambda tx, n=n: staff.add_staff(tx, login=f"new{n}", name=f"New {n}", role="cashier")) for n in range(10)]  # type: ignore[misc]
    there.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=draft.id))

    assert healthy == [True, True]
    assert [int(str(bill.number).rpartition("-")[2]) for bill in bills] == list(range(4, 14))
    assert [int(each.receipt_number.rpartition("-")[2]) for each in taken] == list(range(3, 13))
    assert len({each.id for each in added}) == 10
    assert there.read(doctor.examine).healthy
    assert there.read(verify_chain).intact
    there.dispose()
