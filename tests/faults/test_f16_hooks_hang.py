"""F16: a hook does not come back. The act fails, its locks are given free, and those who have nothing to do with it go on."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from billing.changes.failures import Busy
from billing.errors import PluginViolation
from billing.registry import Registry
from billing.services.installation import open_database
from billing.settings import Settings
from billing.testing.crew import Crew, Outcome
from billing.testing.postgres import SUPERUSER
from billing.testing.race import Bill, Pay
from billing.testing.saboteur import ACTS, Saboteur, WaitOnce, await_file, saboteurs
from billing.testing.world import World

HOOKS = ("before_items_paid", "on_invoice_issued", "on_items_paid")


def _world(url: str, plugins: Registry) -> World:
    world = World(url, plugins=plugins)
    world.service("SAB", department="sabotage")
    return world


def _sleep() -> None:
    time.sleep(0.03)


def _spin() -> None:
    while True:
        pass


def _spin_deaf_to_exceptions() -> None:
    while True:
        try:
            time.sleep(0.001)
        except Exception:  # noqa: BLE001 - it is the point of it
            continue


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_that_comes_back_late_fails_the_payment(hook: str, database_url: str) -> None:
    world = _world(database_url, saboteurs(hook, _sleep, budget_seconds=0.01)())
    invoice = world.invoice("SAB").id
    before = world.dump()

    with pytest.raises(PluginViolation, match=r"the budget is 0\.0 s"):
        world.pay(invoice, "cash 10")

    assert world.dump() == before
    world.dispose()


@pytest.mark.parametrize("hang", [_spin, _spin_deaf_to_exceptions])
@pytest.mark.parametrize(
    "hook", ["before_items_paid", *(hook for hook in ACTS if hook not in {"on_invoice_cancelled", "on_invoice_changed"})]
)
def test_alarm_of_a_command_ends_a_hook_that_never_comes_back(hook: str, hang: Callable[[], None], sqlite_url: str) -> None:
    plugins = saboteurs("", None, alarm_seconds=0.05)()
    world = _world(sqlite_url, plugins)
    patient = world.patient()
    invoice = world.invoice("SAB", patient_id=patient).id
    saboteur: Saboteur = plugins.plugin("sabotage").module
    saboteur.hook, saboteur.fault = hook, hang
    before = world.dump()

    with pytest.raises(PluginViolation, match="no answer after"):
        world.invoice("SAB", patient_id=patient) if hook in {"quote_lines", "on_invoice_created"} else world.pay(invoice, "cash 10")

    assert world.dump() == before
    world.dispose()


@contextmanager
def _hanging(world: World, invoice: str, folder: Path, **chosen: Any) -> Iterator[Future[list[list[Outcome]]]]:
    """Let a process pay and hang in its hook while the block runs, and let it go on behind the block."""
    plugins = saboteurs("on_items_paid", WaitOnce(folder), budget_seconds=60)
    settings = Settings(idle_timeout_seconds=0.5, **chosen)
    with Crew(world.url, 1, plugins=plugins, settings=settings) as crew, ThreadPoolExecutor() as pool:
        paying = pool.submit(crew.race, [[Pay(invoice, ("cash 10",), key="hung")]])
        try:
            await_file(folder / "entered")
            yield paying
        finally:
            (folder / "released").touch()


@pytest.mark.parametrize("carrier", ["direct", "pipeline"])
def test_server_ends_a_unit_whose_hook_hangs_and_the_next_cashier_is_served(
    carrier: str, postgresql_url: str, tmp_path: Path, told: Callable[..., None]
) -> None:
    world = _world(postgresql_url, saboteurs("", None)())
    invoice = world.invoice("SAB").id

    with _hanging(world, invoice, tmp_path, carrier=carrier) as paying:
        served = world.pay(invoice, "cash 10", key="served")  # waits for the lock, until the server takes it from the other

    assert served.receipt_number.endswith("-00001")
    assert [outcome.code for outcome in paying.result()[0]] == ["database_unavailable"]
    assert len(world.dump()["payment"]) == 1
    told("F16", carrier=carrier, hung=1, ended_by_the_server=1, served_meanwhile=1)
    world.dispose()


def test_other_clinics_go_on_while_a_hook_hangs(database_url: str, tmp_path: Path, told: Callable[..., None]) -> None:
    world = _world(database_url, saboteurs("", None)())
    world.found("south")
    world.service("VIS", clinic="south")
    north = world.invoice("SAB").id
    south = Bill(world.patient(clinic="south"), ("VIS",))
    quick = open_database(database_url, plugins=world.registry, settings=Settings(lock_timeout_seconds=0.1))

    with _hanging(world, north, tmp_path):
        if world.database.dialect == "sqlite":  # one writer for the whole file: the other clinic hears so, and may try again
            with pytest.raises(Busy):
                quick.run(south, clinic="south", actor=world.actor)
        else:
            assert quick.run(south, clinic="south", actor=world.actor).number.endswith("-00001")

    assert world.run(south, clinic="south").number.endswith("-00001" if world.database.dialect == "sqlite" else "-00002")
    told("F16", hung=1)
    quick.dispose()
    world.dispose()


@pytest.mark.parametrize("carrier", ["direct", "pipeline"])
@pytest.mark.parametrize("hook", HOOKS)
def test_hook_that_waits_for_its_own_payments_lock_is_ended(hook: str, carrier: str, database_url: str) -> None:
    """An engine of its own is nothing that a hook may have; one that has it all the same must not stop the till for ever."""
    written: list[str] = []

    def write_beside() -> None:
        url = make_url(database_url)
        if url.get_backend_name() == "sqlite":
            connection: Any = sqlite3.connect(str(url.database), timeout=0.1)
        else:
            connection = psycopg.connect(host=str(url.query["host"]), user=SUPERUSER, dbname=url.database)
        try:
            connection.execute("UPDATE invoice SET note = 'mine'")
            connection.commit()
            written.append("mine")
        finally:
            connection.close()

    world = World(database_url, plugins=saboteurs(hook, write_beside, budget_seconds=60)())
    world.service("SAB", department="sabotage")
    impatient = open_database(database_url, plugins=world.registry, settings=Settings(idle_timeout_seconds=0.3, carrier=carrier))
    invoice = world.invoice("SAB").id

    with pytest.raises(Exception, match=r"database is locked|can't do this now") as caught:
        impatient.run(Pay(invoice, ("cash 10",)), clinic="north", actor=world.actor)

    assert getattr(caught.value, "code", "") in {"plugin_violation", "database_unavailable"}
    assert world.dump()["payment"] == []
    assert written == (
        [] if world.database.dialect == "sqlite" else ["mine"]
    )  # the server has ended the payment, and the other write goes on
    world.dispose()
    impatient.dispose()
