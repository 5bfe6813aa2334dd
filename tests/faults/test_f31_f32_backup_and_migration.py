"""F31, F32: a backup while the till is busy is one moment of it; a migration that is killed at any statement leaves the old or the new version.

An upgrade takes every table for itself for a moment: tills that pay meanwhile wait, or are told to repeat.
"""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, inspect, select, text

from billing import migrations, registry
from billing.failpoints import EXIT_CODE
from billing.model import Payment
from billing.services import backup
from billing.testing.crew import Crew, shelf_and_desk
from billing.testing.postgres import APPLICATION, as_role
from billing.testing.race import Bill, Pay
from billing.testing.world import World


def test_backup_of_a_busy_till_is_one_moment_and_goes_on_with_the_next_numbers(
    database_url: str, empty_sqlite_url: str, tmp_path: Path, size: Callable[[int], int], told: Callable[..., None],
    books_are_well: Callable[[World], None],
) -> None:  # fmt: skip
    world = World(database_url, plugins=registry.load())
    department = world.read(lambda tx: tx.clinic.departments[0].code)
    world.service("VIS", department=department)
    patient, restored = world.patient(), 0
    times = max(1, size(30) // 10)

    with Crew(world.url, 2, plugins=registry.load) as crew, ThreadPoolExecutor() as pool:
        for number in range(times):
            bills = [world.invoice("VIS", patient_id=patient).id for _ in range(40)]
            acts: list[list[Any]] = [[Pay(bill, ("cash 10",)) for bill in bills], [Bill(patient, ("VIS",)) for _ in range(40)]]
            busy, target = pool.submit(crew.race, acts), tmp_path / f"{number}.backup"
            backup.back_up(world.database, actor=world.actor, target=target)
            assert {outcome.code for own in busy.result() for outcome in own} == {None}

            copy = f"{empty_sqlite_url}{number}"
            backup.restore(copy, source=target, plugins=world.registry)
            other = World(copy, plugins=world.registry)
            books_are_well(other)
            latest = max([0, *(int(row[0]) for row in _values(other))])
            made = other.invoice("VIS", patient_id=patient)
            assert int(str(made.number).rpartition("-")[2]) == latest + 1
            other.dispose()
            restored += 1

    books_are_well(world)
    world.dispose()
    told("F31", backups=restored, restored_and_well=restored)


def _values(world: World) -> list[Any]:
    with world.database.engine.connect() as connection:
        return list(connection.execute(text("SELECT latest_value FROM number_counter WHERE series = 'invoice'")))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migration_that_is_killed_at_any_statement_leaves_nothing_or_all(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    url, plugins = str(request.getfixturevalue(f"empty_{kind}_url")), registry.load()
    statements = _upgrade(url)
    kills = sorted(chance.sample(range(1, statements), min(statements - 1, size(40))))

    for place in kills:
        fresh = f"sqlite:///{tmp_path / f'{place}.sqlite3'}" if kind == "sqlite" else url
        if kind == "postgresql":
            _empty(url)
        _upgrade(fresh, kill_at=place)
        assert _tables(fresh) in ([], ["migration_lock"]), "a killed migration leaves no table"
        migrations.upgrade(fresh, registry=plugins)
        world = World(fresh, plugins=plugins)
        world.service("VIS", department=world.read(lambda tx: tx.clinic.departments[0].code))
        assert world.pay(world.invoice("VIS").id, "cash 10").receipt_number.endswith("-00001")
        world.dispose()

    told("F32", database=kind, statements=statements, kills=len(kills), half_done=0)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_upgrade_among_paying_tills_lets_them_wait_or_repeat_and_loses_no_payment(
    kind: str,
    request: pytest.FixtureRequest,
    chance: random.Random,
    size: Callable[[int], int],
    told: Callable[..., None],
    books_are_well: Callable[[World], None],
) -> None:
    url, installed = str(request.getfixturevalue(f"empty_{kind}_url")), registry.load()
    migrations.upgrade(url, registry=shelf_and_desk(), grant_to=APPLICATION if kind == "postgresql" else None)
    world = World(as_role(url, APPLICATION))
    world.service("VIS")
    patient, refusals, paid, kills, repeated, meanwhile, statements = world.patient(), Counter[str](), 0, 0, 0, 0, 2

    for number in range(max(2, size(20))):
        # Three lineages are new to the database, and every table of clinics is locked on the way.
        bills = [world.invoice("VIS", patient_id=patient).id for _ in range(200)]
        acts = [[Pay(bill, ("cash 10",), key=bill) for bill in bills[place::2]] for place in range(2)]
        kill_at = chance.randrange(1, statements) if number % 2 else 0
        world.database.dispose()
        with Crew(world.url, 2) as crew, ThreadPoolExecutor() as pool, _upgrading(url, kill_at) as go:
            paying = pool.submit(crew.race, acts)
            began = datetime.now(UTC)
            statements = go() or statements
            ended = datetime.now(UTC)
            outcomes = dict(
                zip([act.invoice_id for own in acts for act in own], [each for own in paying.result() for each in own], strict=True)
            )
        kills += kill_at > 0
        while any(each.behind for each in _status(url, installed)):
            migrations.upgrade(url, registry=installed)
            repeated += 1

        taken = world.read(lambda tx: tx.session.scalars(select(Payment.taken_at)).all())
        meanwhile += sum(began <= at <= ended for at in taken)
        assert max(taken) > began, "the tills were done before the upgrade began"
        refused = [bill for bill in bills if outcomes[bill].code]
        refusals.update(str(outcomes[bill].code) for bill in refused)
        assert set(refusals) <= {"busy"}, refusals
        assert [world.pay(bill, "cash 10", key=bill).replayed for bill in refused] == [False] * len(refused)
        assert {bill: world.pay(bill, "cash 10", key=bill).id for bill in bills if bill not in refused} == {
            bill: outcomes[bill].id for bill in bills if bill not in refused
        }
        paid += len(bills)
        assert world.read(lambda tx: tx.session.scalars(select(func.count()).select_from(Payment)).one()) == paid
        books_are_well(world)
        for plugin in installed.healthy:
            migrations.purge(url, plugin=plugin)

    world.dispose()
    told("F32", database=kind, payments=paid, meanwhile=meanwhile, refused=sum(refusals.values()), kills=kills, repeated=repeated, lost=0)


def _status(url: str, plugins: registry.Registry) -> list[migrations.Lineage]:
    engine = create_engine(url)
    found = migrations.status(engine, registry=plugins)
    engine.dispose()
    return found


@contextmanager
def _upgrading(url: str, kill_at: int) -> Iterator[Callable[[], int]]:
    """Make ready a process that upgrades when it is told to; what is yielded tells it, and returns its statements, 0 if it was killed or found no way."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, str(kill_at), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def go() -> int:
        count, said = process.communicate("go\n", timeout=120)
        assert process.returncode == EXIT_CODE if kill_at else process.returncode == 0 or "Busy" in said, said
        return int(count or 0)

    try:
        yield go
    finally:
        process.kill()


PROGRAM = """
import os, sys
from sqlalchemy import Engine, event
from billing import migrations, registry

url, kill_at, count = sys.argv[1], int(sys.argv[2]), 0

def statement(*_):
    global count
    count += 1
    if count == kill_at:
        os._exit(86)

if sys.argv[3:]:
    registry.load()
    print("ready", flush=True)
    input()
event.listen(Engine, "before_cursor_execute", statement)
migrations.upgrade(url, registry=registry.load())
print(count)
"""


def _upgrade(url: str, *, kill_at: int = 0) -> int:
    """Upgrade in a process of its own, which ends before the statement of that number; return how many there were if it came to the end."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, url, str(kill_at)], check=False, capture_output=True, text=True)
    assert ended.returncode == (86 if kill_at else 0), ended.stderr
    return int(ended.stdout or 0)


def _tables(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = sorted(inspect(connection).get_table_names())
    engine.dispose()
    return found


def _empty(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
