"""A throw-away pair of PostgreSQL servers for tests: a primary, and a synchronous standby that can take its place. Knows nothing of our tables."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from billing.testing.postgres import _memory, _readable, _wait_until_ready, find_binaries, give_away

Waits = Literal["on", "remote_apply"]
"""What a commit waits for: the standby has it on disk, or shows it to its readers too."""

# The whole life of both servers, told by words on standard input; they end, and their folders go, when that closes.
# $1: binaries, $2: sockets and logs, $3: data, $4: options.
LIFE = """
stop() { for one in primary standby; do "$1/pg_ctl" -D "$3/$one" -s -m immediate stop 2>/dev/null; done; rm -rf "$2" "$3"; }
trap 'stop "$@"' EXIT
set -e
mkdir "$2/primary" "$2/standby"
"$1/initdb" -D "$3/primary" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log"
"$1/pg_ctl" -D "$3/primary" -s -w -l "$2/log" -o "$4 -k '$2/primary' -c synchronous_standby_names='*'" start || { cat "$2/log"; exit 1; }
"$1/pg_basebackup" -h "$2/primary" -U postgres -D "$3/standby" -R -X stream -c fast --no-sync || { cat "$2/log"; exit 1; }
"$1/pg_ctl" -D "$3/standby" -s -w -l "$2/log" -o "$4 -k '$2/standby'" start || { cat "$2/log"; exit 1; }
echo ready
while read -r word; do
    case $word in
        kill) "$1/pg_ctl" -D "$3/primary" -s -m immediate stop ;;
        promote) "$1/pg_ctl" -D "$3/standby" -s -w promote ;;
    esac
    echo ready
done
"""

# fsync is about power cuts: a server that is stopped at once leaves what it wrote to the system.
OPTIONS = "-c listen_addresses='' -c fsync=off -c max_connections=100 -c shared_buffers=32MB -c timezone=UTC"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its synchronous standby, reached through the sockets in their folder only."""

    folder: Path
    life: subprocess.Popen[str]

    def url(self, dbname: str) -> str:
        """Say where a database is, whichever of the two servers takes writes just then."""
        hosts = quote(f"{self.folder / 'primary'},{self.folder / 'standby'}")
        return f"postgresql+psycopg://postgres@/{dbname}?host={hosts}&target_session_attrs=read-write"

    def kill_primary(self) -> None:
        """Stop the primary at once, whatever it is doing; it stays away."""
        self._tell("kill")

    def promote_standby(self) -> None:
        """Make the standby the one that takes writes."""
        self._tell("promote")

    def _tell(self, word: str) -> None:
        assert self.life.stdin is not None
        self.life.stdin.write(f"{word}\n")
        self.life.stdin.flush()
        _wait_until_ready(self.life)


@contextmanager
def running_pair(waits: Waits) -> Iterator[Pair]:
    """Run a primary and its standby for the length of a `with` block. Raises `NoPostgres`."""
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-"))
    data = Path(tempfile.mkdtemp(prefix="billing-pg-", dir=_memory()))
    try:
        binaries = _readable(binaries, folder)
        life = subprocess.Popen(
            ["/bin/sh", "-c", LIFE, "postgres", binaries, folder, data, f"{OPTIONS} -c synchronous_commit={waits}"],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests; the servers go when they are done
            **give_away(folder, data),
        )
        try:
            _wait_until_ready(life)
            yield Pair(folder, life)
        finally:
            life.communicate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
