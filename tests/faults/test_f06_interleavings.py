"""F06: two sessions, one step at a time, in every order of up to two pre-emptions and in random ones. Each history ends as some serial one.

A step is what lies between two failpoints. Only one session runs at a time; one that waits for the other's lock is left waiting.
"""

import random
import threading
from collections.abc import Callable, Iterator
from itertools import combinations, count
from typing import Any

import pytest
from sqlalchemy import text

from billing import failpoints
from billing.errors import BillingError
from billing.services import invoice_steps, invoices
from billing.testing.race import Pay
from billing.testing.world import World, items_of

SECONDS = 60
STEPS = 24
"""About as many steps as two payments have together; a pre-emption behind the end of a history changes nothing."""


class Session(threading.Thread):
    """One act, held at each failpoint until it is told to go on."""

    def __init__(self, world: World, act: Callable[[Any], Any]) -> None:
        super().__init__(daemon=True)
        self._world, self._act = world, act
        self._go = threading.Semaphore(0)
        self.paused = threading.Event()
        self.at = ""
        self.code: str | None = None

    def run(self) -> None:
        self.pause("start")
        try:
            self._world.run(self._act)
        except BillingError as error:
            self.code = error.code
        except BaseException as error:  # noqa: BLE001 - shown as what the act came to
            self.code = repr(error)
        self.at = "end"
        self.paused.set()

    def pause(self, point: str) -> None:
        """Stop here until `go_on`."""
        self.at = point
        self.paused.set()
        assert self._go.acquire(timeout=SECONDS), "nobody lets this session go on"

    def go_on(self) -> None:
        """Let the session run to its next point."""
        self.paused.clear()
        self._go.release()


class Scheduler:
    """Runs two sessions; at the steps in `switches` the other one gets its turn."""

    def __init__(self, world: World, acts: list[Callable[[Any], Any]], switches: tuple[int, ...]) -> None:
        self._world, self._switches = world, switches
        self._sessions = [Session(world, act) for act in acts]
        self._by_thread: dict[int, Session] = {}

    def run(self) -> list[str | None]:
        """Return what each session came to."""
        failpoints.listen(self._reached)
        try:
            for session in self._sessions:
                session.start()
                self._by_thread[session.ident or 0] = session
                assert session.paused.wait(SECONDS)
            turn, step = self._sessions[0], 0
            while any(session.at != "end" or not session.paused.is_set() for session in self._sessions):
                if step in self._switches or not self._can_run(turn):
                    turn = next((each for each in self._sessions if each is not turn and self._can_run(each)), turn)
                if self._can_run(turn):
                    turn.go_on()
                self._wait(turn)
                step += 1
        finally:
            failpoints.listen(None)
        for session in self._sessions:
            session.join(SECONDS)
        return [session.code for session in self._sessions]

    def _reached(self, point: str) -> None:
        session = self._by_thread.get(threading.get_ident())
        if session is not None:
            session.pause(point)

    def _can_run(self, session: Session) -> bool:
        if session.at == "end" or not session.paused.is_set():
            return False
        if self._world.database.dialect == "sqlite" and session.at == "unit.begin":
            # The file has one writer: who begins beside it would only wait.
            return all(other is session or other.at in {"start", "unit.begin", "commit.after", "end"} for other in self._sessions)
        return True

    def _wait(self, session: Session) -> None:
        """Wait until the session is at its next point, or waits for a lock."""
        for _ in range(SECONDS * 50):
            if session.paused.wait(0.02):
                return
            if any(each is not session and each.paused.is_set() and each.at != "end" for each in self._sessions) and self._somebody_waits():
                return
        raise AssertionError("a session neither goes on nor waits for a lock")

    def _somebody_waits(self) -> bool:
        if self._world.database.dialect == "sqlite":
            return False
        with self._world.database.engine.connect() as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return bool(connection.execute(text(waiting)).scalar_one())


Case = tuple[list[Callable[[Any], Any]], list[str]]
"""Two acts, and the invoices whose state counts."""


def _two_cashiers(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    return [Pay(invoice, ("card 110",)), Pay(invoice, ("card 66",), scope="shelf")], [invoice]


def _pay_and_cancel(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    return [Pay(invoice, ("card 110",)), lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoice, reason="no")], [invoice]


def _pay_and_edit(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    return [Pay(invoice, ("card 110",)), lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["VIS"]))], [invoice]


def _instalment_and_all(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    return [Pay(invoice, ("transfer 60",), scope="ON_ACCOUNT"), Pay(invoice, ("card 110",))], [invoice]


def _one_key(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    return [Pay(invoice, ("card 110",), key=invoice)] * 2, [invoice]


def _last_unit(world: World, lot: str) -> Case:
    code = f"L{next(_codes)}"
    world.lot(world.service(code, department="shelf", price="9.00"), "1")
    bills = [world.invoice(code).id for _ in range(2)]
    return [Pay(bill, ("cash 9",)) for bill in bills], bills


_codes = count(1)

CASES = [_two_cashiers, _pay_and_cancel, _pay_and_edit, _instalment_and_all, _one_key, _last_unit]


def _state(world: World, invoices_: list[str]) -> list[Any]:
    """Return what counts of invoices when all is done, without ids, numbers and instants."""
    statements = (
        "SELECT status, total_minor, amount_paid_minor FROM invoice WHERE id = :id",
        "SELECT department, payment_id IS NOT NULL FROM invoice_item WHERE invoice_id = :id ORDER BY position",
        "SELECT scope, applied_minor FROM payment WHERE invoice_id = :id ORDER BY 1, 2",
        "SELECT kind, quantity_milli FROM effect WHERE item_id IN (SELECT id FROM invoice_item WHERE invoice_id = :id) ORDER BY 1, 2",
    )
    with world.database.engine.connect() as connection:
        found = [[[tuple(row) for row in connection.execute(text(each), {"id": one})] for each in statements] for one in invoices_]
    return [found, sum(len(each[2]) for each in found)]


def _orders(chance: random.Random, wanted: int) -> Iterator[tuple[int, ...]]:
    """Yield orders of up to two pre-emptions, all of them if there is room, then random ones."""
    systematic = [(), *((one,) for one in range(STEPS)), *combinations(range(STEPS), 2)]
    yield from systematic if wanted >= len(systematic) else chance.sample(systematic, wanted)
    for _ in range(wanted - len(systematic)):
        yield tuple(step for step in range(STEPS) if chance.random() < 0.4)


@pytest.mark.parametrize("case", CASES)
def test_every_interleaving_ends_as_some_serial_order(
    case: Callable[[World, str], Case], world: World, chance: random.Random, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    lot = world.lot(world.service("AMX", department="shelf", price="66.00"), "1000000")
    world.service("VIS", price="44.00")
    serial = []
    for order in ((0, 1), (1, 0)):
        acts, watched = case(world, lot)
        codes: list[str | None] = [None, None]
        for place in order:
            try:
                world.run(acts[place])
            except BillingError as error:
                codes[place] = error.code
        serial.append((codes, _state(world, watched)))

    orders = size(340)
    for switches in _orders(chance, orders):
        acts, watched = case(world, lot)
        ended = (Scheduler(world, acts, switches).run(), _state(world, watched))
        assert ended in serial, f"pre-empted at {switches}: {ended}, serial: {serial}"

    told("F06", case=case.__name__.strip("_").replace("_", " "), orders=orders)
