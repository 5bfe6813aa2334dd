"""F17: a plugin's own unit misuses its session. It is refused or found out; what it had not committed itself is undone.

Hooks get no session at all; commands, routes and told-hooks get a `tx`. Ends by name and by SQL are in the kernel's tests of misbehaviour.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.errors import BillingError
from billing.model import Client, new_id
from billing.testing.world import World
from billing.transaction import Transaction


def _client(tx: Transaction, name: str, **values: Any) -> Client:
    made = Client(id=new_id(), name=name, created_at=tx.at, **values)
    tx.session.add(made)
    return made


def _expire(tx: Transaction) -> None:
    tx.session.expire_all()


def _savepoint_that_is_undone(tx: Transaction) -> None:
    savepoint = tx.session.begin_nested()
    _client(tx, "undone")
    tx.session.flush()
    savepoint.rollback()


HARMLESS = [_expire, _savepoint_that_is_undone]


def _swallow_a_flush_error(tx: Transaction) -> None:
    first = _client(tx, "twice")
    tx.session.flush()
    tx.session.expunge(first)
    tx.session.add(Client(id=first.id, name="twice", created_at=tx.at))
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        tx.session.flush()


def _close_the_connection(tx: Transaction) -> None:
    tx.session.connection().close()


def _invalidate_the_connection(tx: Transaction) -> None:
    tx.session.connection().invalidate()


def _close_the_drivers_connection(tx: Transaction) -> None:
    tx.session.connection().connection.driver_connection.close()  # type: ignore[union-attr]


def _roll_the_connection_back(tx: Transaction) -> None:
    transaction = tx.session.connection().get_transaction()
    assert transaction is not None
    transaction.rollback()


def _commit_by_name(tx: Transaction) -> None:
    tx.session.commit()


def _commit_by_name_and_swallow_the_refusal(tx: Transaction) -> None:
    try:
        tx.session.commit()
    except BillingError:
        raise ValueError("the plugin says something else") from None


UNDONE = [
    _swallow_a_flush_error,
    _close_the_connection,
    _invalidate_the_connection,
    _close_the_drivers_connection,
    _roll_the_connection_back,
    _commit_by_name,
    _commit_by_name_and_swallow_the_refusal,
]


def _names(world: World) -> list[str]:
    return sorted(world.read(lambda tx: tx.session.scalars(select(Client.name)).all()))


def _around(misuse: Callable[[Transaction], None]) -> Callable[[Transaction], None]:
    def unit(tx: Transaction) -> None:
        _client(tx, "before")
        tx.session.flush()
        misuse(tx)
        _client(tx, "behind")

    return unit


@pytest.mark.parametrize("use", HARMLESS)
def test_what_does_no_harm_is_allowed(use: Callable[[Transaction], None], world: World) -> None:
    world.run(_around(use))

    assert _names(world) == ["before", "behind"]


@pytest.mark.parametrize("misuse", UNDONE)
def test_misused_session_fails_the_unit_and_nothing_stays(misuse: Callable[[Transaction], None], world: World) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - of many kinds: what counts is that it does not look like a success
        world.run(_around(misuse))

    assert _names(world) == []
    world.run(lambda tx: _client(tx, "next"))
    assert _names(world) == ["next"]


def _commit_by_the_driver(driver: Any) -> None:
    driver.commit()


def _roll_back_by_the_driver(driver: Any) -> None:
    driver.rollback()


def _commit_and_begin_again_by_the_driver(driver: Any) -> None:
    driver.execute("COMMIT")
    driver.execute("BEGIN")


@pytest.mark.parametrize("end", [_commit_by_the_driver, _roll_back_by_the_driver, _commit_and_begin_again_by_the_driver])
@pytest.mark.parametrize("goes_on", [True, False])
def test_end_behind_the_boundarys_back_is_found_out(end: Callable[[Any], None], goes_on: bool, world: World) -> None:
    """What the driver has been made to commit is durable, and no library can take that back; but nobody is told that all went well."""

    def unit(tx: Transaction) -> None:
        _client(tx, "before")
        tx.session.flush()
        end(tx.session.connection().connection.driver_connection)
        if goes_on:
            _client(tx, "behind")

    with pytest.raises(BillingError) as caught:
        world.run(unit)

    assert caught.value.code == "plugin_violation"


def test_thread_of_its_own_that_goes_on_behind_the_unit_books_nothing(world: World) -> None:
    kept: list[Transaction] = []
    failed: list[BaseException] = []
    world.run(kept.append)

    def late() -> None:
        try:
            kept[0].session.add(Client(id=new_id(), name="late", created_at=kept[0].at))
            kept[0].session.flush()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            failed.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()

    assert _names(world) == []
    assert world.read(lambda tx: tx.session.scalars(select(func.count()).select_from(Client)).one()) == 0
