"""PgBouncer in transaction mode: units of two clinics take turns on two connections to the server, and nothing of one reaches the other."""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from billing import migrations
from billing.services import doctor
from billing.settings import Settings
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, PostgresServer, as_role, give_away
from billing.testing.race import Pay, race
from billing.testing.world import World
from billing.transaction import Transaction

PORT = 6432  # of the socket's name; nothing listens on the network
SERVER_CONNECTIONS = 2

# As the tests' server does, it ends when standard input closes, so also when the tests are killed. $1: binary, $2: settings, $3: log.
LIFE = """
"$1" "$2" 2>"$3" &
trap "kill $!; wait $!" EXIT
cat >/dev/null
"""


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[Path]:
    """Run a pooler in front of the tests' server and return the folder of its socket."""
    binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("pgbouncer is not installed; on Debian: apt-get install pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="billing-pooler-"))
    (folder / "users").write_text("".join(f'"{role}" ""\n' for role in (SUPERUSER, OWNER, APPLICATION)))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={postgres_server.folder}\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\nunix_socket_dir = {folder}\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
        "ignore_startup_parameters = options\n"
    )
    command = ["/bin/sh", "-c", LIFE, "pooler", binary, f"{folder}/pgbouncer.ini", f"{folder}/log"]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **give_away(folder)):
            _wait_until_ready(folder)
            yield folder
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(folder: Path) -> None:
    for _ in range(300):
        if (folder / f".s.PGSQL.{PORT}").exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"the pooler did not start: {(folder / 'log').read_text()}")


@pytest.fixture
def pooled(postgresql_url: str, pooler: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Make two clinics behind the pooler; the limits are the database's own, since the pooler takes none along."""
    monkeypatch.setenv("BILLING_CARRIER", "pipeline")  # this one keeps no prepared statements
    migrations.grant(as_role(postgresql_url, OWNER), role=APPLICATION, settings=Settings())
    made = World(_behind(pooler, postgresql_url))
    made.found("south")
    for clinic in ("north", "south"):
        made.service("VIS", clinic=clinic)
    yield made
    made.dispose()


def _behind(pooler: Path, url: str) -> str:
    return make_url(url).set(query={"host": str(pooler), "port": str(PORT)}).render_as_string(hide_password=False)


def test_cashiers_of_two_clinics_share_two_connections_and_every_payment_is_good(pooled: World) -> None:
    acts = {}
    for clinic in ("north", "south"):
        pooled.clinic = clinic
        acts[clinic] = [[Pay(pooled.invoice("VIS").id, ("cash 10",), key=f"{till}-{n}") for n in range(15)] for till in range(2)]

    with ThreadPoolExecutor(2) as threads:  # each waits for the processes of one clinic
        races = {clinic: threads.submit(race, pooled.url, acts[clinic], clinics=[clinic]) for clinic in acts}

    for clinic, found in races.items():
        outcomes = [outcome for racer in found.result() for outcome in racer]
        assert Counter(outcome.code for outcome in outcomes) == {None: 30}
        assert sorted(str(outcome.number)[-5:] for outcome in outcomes) == [f"{number:05}" for number in range(1, 31)]
        assert pooled.read(doctor.examine, clinic=clinic).broken == ()


def test_statement_that_forgets_the_clinic_never_sees_the_other_through_the_pooler(pooled: World) -> None:
    backends: set[int] = set()

    def unit(tx: Transaction) -> bool:
        backend, owners = tx.session.connection().exec_driver_sql("SELECT pg_backend_pid(), array_agg(clinic_id::text) FROM service").one()
        backends.add(backend)
        return list(owners) == [tx.clinic_id]

    with ThreadPoolExecutor(4) as threads:
        right = list(threads.map(lambda number: pooled.read(unit, clinic="north" if number % 2 else "south"), range(400)))

    assert right == [True] * 400
    assert len(backends) == SERVER_CONNECTIONS


def test_limits_hold_through_the_pooler_and_their_lack_is_found(pooled: World) -> None:
    with_limits = doctor.examine_installation(pooled.database, plugins=pooled.registry)
    with pooled.admin.begin() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{make_url(pooled.url).database}" RESET ALL')
    _let_the_server_forget(pooled)

    without = doctor.examine_installation(pooled.database, plugins=pooled.registry)

    assert with_limits.broken == ()
    assert [(check.name, check.count) for check in without.broken] == [("waits_are_limited", 3)]


def _let_the_server_forget(world: World) -> None:
    """End the connections that the pooler holds: a database's settings are read when one begins."""
    world.database.dispose()
    with world.admin.begin() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (APPLICATION,))
