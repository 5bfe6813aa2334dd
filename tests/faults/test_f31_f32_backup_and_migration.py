"""F31, F32: a backup while the till is busy is one moment of it; a migration that is killed at any statement leaves the old or the new version."""

import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from billing import migrations, registry
from billing.services import backup
from billing.testing.crew import Crew
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
