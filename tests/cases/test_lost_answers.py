"""The answer gets lost after the commit: who asks again with the same key hears what was done, and it is not done again."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from billing.database import ATTEMPTS
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services.installation import open_database
from billing.services.payments import PaymentTaken, take_payment

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
"""The server's message that a transaction is committed, wherever in a pipeline it stands."""

SOCKET = ".s.PGSQL.5432"

# The program as it is, killed at the moment when the unit has committed and nothing is printed yet.
KILLED_AFTER_COMMIT = """
import os, signal
from billing.database import Database
from billing.interfaces.cli import main

run = Database.run

def run_and_die(*args, **options):
    run(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

Database.run = run_and_die
main()
"""


class Proxy:
    """Stands between a client and the server, and hangs up instead of passing on that a transaction is committed, `drops` times."""

    def __init__(self, folder: Path, server: str) -> None:
        self.drops = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen()
        self._threads = [Thread(target=self._serve)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up, once the clients have."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # closed: no client comes any more
            while True:
                client, _ = self._listener.accept()
                thread = Thread(target=self._carry, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(client)
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.connect(self._server)
            asking = Thread(target=_pass_on, args=(client, server))
            asking.start()
            self._answer(server, client)
            for each in (client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        tail = b""
        while data := server.recv(65536):
            tail += data
            if COMMITTED in tail and self.drops:
                self.drops -= 1
                return
            tail = tail[1 - len(COMMITTED) :]
            client.sendall(data)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_to(url: str) -> Iterator[tuple[Proxy, str]]:
    """Give a proxy before the server of this address, and the address that leads through it."""
    address = make_url(url)
    folder = Path(tempfile.mkdtemp(prefix="billing-proxy-"))  # a socket's path must be short
    proxy = Proxy(folder, f"{address.query['host']}/{SOCKET}")
    try:
        yield proxy, address.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
    finally:
        proxy.close()
        shutil.rmtree(folder)


def pay_through_a_proxy(world: "CaseWorld", invoice_id: str, *, drops: int, key: str | None) -> PaymentTaken:
    """Pay N1, while so many answers to a commit get lost."""
    with proxy_to(world.url) as (proxy, url):
        database = open_database(url, plugins=world.registry)
        database.read(lambda tx: tx.clinic_id, clinic="north", actor="c1")  # what a first connection commits is not meant
        proxy.drops = drops
        try:
            return database.run(
                lambda tx: take_payment(tx, invoice_id=invoice_id, scope=Scope.all(), tenders=[Tender("cash", 16000)], key=key),
                clinic="north",
                actor="c1",
            )
        finally:
            assert proxy.drops == 0
            database.dispose()


@pytest.mark.case("P05")
def test_answer_lost_on_the_way_is_found_again_under_the_key(postgresql_world: "CaseWorld") -> None:
    """odoo/odoo#40567: the server committed, the client timed out, the resend made a second order."""
    world = postgresql_world
    bill = world.n1()

    taken = pay_through_a_proxy(world, bill.id, drops=1, key="k")
    stored = world.counts()
    again = world.pay(bill.id, "cash 160", key="k", actor="c1")

    assert (taken.replayed, taken.change_minor, taken.receipt_number[-5:]) == (True, 600, "00001")
    assert again == taken
    assert world.counts() == stored
    assert stored["payment"] == 1


@pytest.mark.case("P05")
@pytest.mark.parametrize(("drops", "key"), [(ATTEMPTS, "k"), (1, None)])
def test_answer_that_stays_lost_is_an_error_that_says_so(drops: int, key: str | None, postgresql_world: "CaseWorld") -> None:
    """odoo/odoo#40567: the client that gives up is told that it may have happened; without a key nothing is tried again on its own."""
    world = postgresql_world
    bill = world.n1()

    code = world.refused(lambda: pay_through_a_proxy(world, bill.id, drops=drops, key=key))

    stored = world.counts()
    if key:
        assert world.pay(bill.id, "cash 160", key=key, actor="c1").replayed
    else:
        assert world.refused(lambda: world.pay(bill.id, "cash 160", actor="c1")) == "already_paid"
    assert code == "outcome_unknown"
    assert world.counts() == stored
    assert stored["payment"] == 1


@pytest.mark.case("P05")
def test_program_killed_after_the_commit_is_called_again(world: "CaseWorld", billing: Any, asked: Callable[..., Any]) -> None:
    """odoo/odoo#40567: the cashier's program dies before it prints, and is called again with the same key."""
    bill = world.n1()
    command = ["pay", str(bill.number), "--cash", "160", "--key", "k", "--as", "c1"]

    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_COMMIT, *command], capture_output=True, text=True, check=False)
    stored = world.counts()
    again = asked(*command)

    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, "", "")
    assert (again["replayed"], again["change"], again["receipt_number"][-5:]) == (True, "6.00", "00001")
    assert world.counts() == stored
    assert stored["payment"] == 1
