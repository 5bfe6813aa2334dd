from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any

import pytest

from billing.services import staff
from billing.testing.world import World
from billing.transaction import Transaction

Unit = Callable[[Transaction], Any]
Beside = Callable[[Unit, Unit], Future[Any]]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    made.found("south", currency="CHF")
    yield made
    made.dispose()


@pytest.fixture
def sqlite_world(sqlite_url: str) -> Iterator[World]:
    """Make a clinic for what does not depend on the database."""
    made = World(sqlite_url)
    yield made
    made.dispose()


@pytest.fixture
def hire(world: World) -> Callable[[str], str]:
    """Add a member with this role and return the login."""

    def add(role: str) -> str:
        login = f"the-{role}"
        world.run(lambda tx: staff.add_staff(tx, login=login, name=f"The {role}", role=role))
        return login

    return add


@pytest.fixture
def beside(world: World) -> Beside:
    """Run a unit, and another one that begins before the first one has committed; return what became of the other."""

    def both(first: Unit, second: Unit) -> Future[Any]:
        outcome: Future[Any] = Future()

        def run_second() -> None:
            try:
                outcome.set_result(world.run(second))
            except BaseException as error:  # noqa: BLE001 - whatever it was, the test looks at it
                outcome.set_exception(error)

        other = Thread(target=run_second)

        def unit(tx: Transaction) -> None:
            first(tx)
            tx.flush()
            other.start()
            other.join(timeout=0.3)  # it waits for a lock, or is done where there is none

        world.run(unit)
        other.join()
        return outcome

    return both
