"""F13, F14 on PostgreSQL: the server's disk fails or is full, or no room is left for sorting. No answered payment is lost, none taken twice.

How PostgreSQL itself outlives a power cut is its own affair; here is shown what the tills make of what it says.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, func, select, text

from billing import migrations, registry
from billing.errors import BillingError
from billing.services import listing
from billing.testing.crew import Crew
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, as_role, give_away, running_postgres
from billing.testing.race import Pay
from billing.testing.world import World
from billing.transaction import Transaction

SECONDS = 60


@contextmanager
def _administering(url: str) -> Iterator[Connection]:
    engine = create_engine(as_role(url, SUPERUSER), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


# --- F13: the disk fails under the server -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def durable_url() -> Iterator[str]:
    """Name a database of a server that really writes: its write-ahead log goes to the disk with each commit."""
    with running_postgres(durable=True) as server:
        server.create_roles()
        server.create_database("till", owner=OWNER)
        migrations.upgrade(server.url("till", role=OWNER), registry=registry.load(), grant_to=APPLICATION)
        yield server.url("till", role=APPLICATION)


@contextmanager
def _breaking(backends: list[int], call: str, when: str) -> Iterator[None]:
    """Let a system call of these servers' processes fail."""
    strace = shutil.which("strace")
    if strace is None and not os.environ.get("CI"):
        pytest.skip("strace is not installed: a failing disk can't be tried here (apt-get install strace)")
    assert strace is not None, "strace is needed in CI: apt-get install strace"
    named = [word for pid in backends for word in ("-p", str(pid))]
    command = [strace, *named, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={when}"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for _ in backends:
        assert "attached" in running.stderr.readline()
    try:
        yield
    finally:
        running.terminate()
        running.communicate(timeout=SECONDS)


def _backends(url: str) -> list[int]:
    with _administering(url) as connection:
        return list(connection.execute(text("SELECT pid FROM pg_stat_activity WHERE usename = :role"), {"role": APPLICATION}).scalars())


def _wait_until_back(url: str) -> None:
    until = time.monotonic() + SECONDS
    while True:
        try:
            with _administering(url) as connection:
                connection.execute(text("SELECT 1"))
                return
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_log_that_can_not_be_written_fails_payments_cleanly_and_loses_none(
    call: str,
    durable_url: str,
    chance: random.Random,
    size: Callable[[int], int],
    told: Callable[..., None],
    books_are_well: Callable[[World], None],
) -> None:
    world = World(durable_url)
    world.service(f"VIS-{call}")
    patient, tills, paid, refused = world.patient(), 2, 0, 0
    for _ in range(size(20)):
        warm, bills = ([world.invoice(f"VIS-{call}", patient_id=patient).id for _ in range(count)] for count in (tills, 20))
        acts = [[Pay(bill, ("cash 10",), key=bill) for bill in bills[place::tills]] for place in range(tills)]
        world.database.dispose()
        with Crew(world.url, tills) as crew:
            crew.race([[Pay(bill, ("cash 10",))] for bill in warm])  # all are connected now
            with _breaking(_backends(durable_url), call, f"{chance.randrange(2, 9)}"):
                first = [outcome for own in crew.race(acts) for outcome in own]
        _wait_until_back(durable_url)
        with Crew(world.url, tills) as crew:
            again = [outcome for own in crew.race(acts) for outcome in own]

        assert {outcome.code for outcome in first} <= {None, "database_unavailable", "outcome_unknown"}
        assert [outcome.code for outcome in again] == [None] * len(bills)
        assert all(one.code or one.id == two.id for one, two in zip(first, again, strict=True)), "an answered payment is another one now"
        paid += sum(outcome.code is None for outcome in first)
        refused += sum(outcome.code is not None for outcome in first)
        books_are_well(world)

    assert refused, "no till has noticed anything"
    world.dispose()
    told("F13", database="postgresql", call=call, error="EIO", answered=paid, refused=refused, lost=0)


# --- F14: no room is left -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(postgresql_url: str) -> Iterator[tuple[str, Path]]:
    """Mount a disk of half a megabyte as a tablespace of the server; return its name and its folder."""
    folder, name = Path(tempfile.mkdtemp(prefix="billing-disk-")), f"small_{postgresql_url.partition('test_')[2].partition('?')[0]}"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], check=False).returncode:
        folder.rmdir()
        pytest.skip("only root can mount a small disk")
    try:
        give_away(folder)
        with _administering(postgresql_url) as connection:
            connection.execute(text(f"CREATE TABLESPACE {name} LOCATION '{folder}'"))
            yield name, folder
            for table in ("payment", "tender", "audit_entry"):
                connection.execute(text(f"ALTER TABLE {table} SET TABLESPACE pg_default"))
            connection.execute(text(f"DROP TABLESPACE {name}"))
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk is not full")


@pytest.mark.parametrize("table", ["payment", "tender", "audit_entry"])
def test_full_disk_refuses_payments_lets_read_and_goes_on_once_there_is_room(
    table: str, postgresql_url: str, small_disk: tuple[str, Path], books_are_well: Callable[[World], None], told: Callable[..., None]
) -> None:
    space, folder = small_disk
    world = World(postgresql_url)
    world.service("VIS")
    patient = world.patient()
    bills = [world.invoice("VIS", patient_id=patient).id for _ in range(120)]
    with _administering(postgresql_url) as connection:
        connection.execute(text(f"ALTER TABLE {table} SET TABLESPACE {space}"))
    assert [_paid(world, bill) for bill in bills[:3]] == [None] * 3
    filler = _fill(folder)

    ended = [_paid(world, bill) for bill in bills]

    refused = [code for code in ended if code]
    assert ended[3] is None, "there is room on the page for some more"
    assert set(refused) == {"database_unavailable"}
    assert len(world.read(lambda tx: listing.list_payments(tx, limit=200))) == ended.count(None)
    books_are_well(world)

    filler.unlink()
    assert [_paid(world, bill) for bill in bills] == [None] * len(bills)
    assert len(world.read(lambda tx: listing.list_payments(tx, limit=200))) == len(bills)
    books_are_well(world)
    world.dispose()
    told("F14", database="postgresql", place=table, payments=len(bills), refused=len(refused), lost=0)


def _paid(world: World, bill: str) -> str | None:
    try:
        world.pay(bill, "cash 10", key=bill)
    except BillingError as error:
        return error.code
    return None


def test_report_that_finds_no_room_to_sort_fails_in_words_and_payments_go_on(
    postgresql_url: str, books_are_well: Callable[[World], None], told: Callable[..., None]
) -> None:
    world = World(postgresql_url)
    world.service("VIS")
    bill = world.invoice("VIS").id
    database = world.database.engine.url.database
    with _administering(postgresql_url) as connection:
        for setting in ("temp_file_limit = 0", "work_mem = '64kB'"):
            connection.execute(text(f"ALTER ROLE {APPLICATION} IN DATABASE {database} SET {setting}"))
    world.database.dispose()  # new connections have the limits

    def report(tx: Transaction) -> list[Any]:
        numbers = func.generate_series(1, 100_000).table_valued("value").render_derived()
        return list(tx.session.execute(select(numbers.c.value).order_by(func.md5(func.text(numbers.c.value)))))

    with pytest.raises(BillingError, match="temporary file size exceeds") as refusal:
        world.read(report)

    assert refusal.value.code == "database_unavailable"
    assert world.pay(bill, "cash 10").receipt_number
    world.dispose()
    told("F14", database="postgresql", place="room for sorting", payments=1, refused=0, lost=0)
