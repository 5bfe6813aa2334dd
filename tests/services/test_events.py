"""The outbox: what is read from it, in which order, and that it is on disk before anybody is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from billing.errors import Forbidden
from billing.services import staff
from billing.services.events import read_outbox
from billing.testing.world import World


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    made.service("VIS")
    yield made
    made.dispose()


def outbox(world: World, **page: Any) -> list[tuple[str, str]]:
    found = read_outbox(world.database, clinic="north", actor=world.actor, **page)
    return [(each.id, each.topic) for each in found]


def test_outbox_tells_what_happened_oldest_first_and_in_pages(world: World) -> None:
    world.pay(world.invoice("VIS").id, "cash 10")

    whole = outbox(world)
    first = outbox(world, limit=2)

    assert [topic for _, topic in whole] == ["invoice.created", "invoice.issued", "payment.taken"]
    assert whole == first + outbox(world, after=first[-1][0])


def test_reading_the_outbox_needs_a_permission(world: World) -> None:
    world.run(lambda tx: staff.add_staff(tx, login="carl", name="Carl", role="cashier", provider=False))

    with pytest.raises(Forbidden):
        read_outbox(world.database, clinic="north", actor="carl")


def test_disk_is_waited_for_behind_the_reading(postgresql_url: str) -> None:
    world = World(postgresql_url, policy={"early_lock_release": True})
    world.service("VIS")
    world.invoice("VIS")
    sent: list[str] = []
    event.listen(world.database.engine, "before_cursor_execute", lambda c, cursor, statement, *_: sent.append(statement))

    read_outbox(world.database, clinic="north", actor=world.actor)

    assert ["FROM event" in sent[-2], "pg_logical_emit_message" in sent[-1]] == [True, True]
    world.dispose()
