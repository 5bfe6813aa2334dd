"""F06: two or three sessions, one step at a time, in every order of up to two pre-emptions and in random ones. Each ends as some serial order.

A step is what lies between two failpoints. One session is let go at a time; one that then waits for another's lock is left waiting.
The full run tries all orders of up to two pre-emptions of two sessions, and random ones; each run of the tests tries some of both.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, count, permutations, product
from typing import Any

import pytest
from sqlalchemy import text

from billing import failpoints
from billing.errors import BillingError
from billing.services import invoice_steps, invoices
from billing.testing.race import Pay
from billing.testing.world import World, items_of

SECONDS = 60
POLL_SECONDS = 0.005


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


Switches = Mapping[int, int]
"""Where a session is pre-empted, by the number of the step, and which of the others has its turn then."""


class Scheduler:
    """Runs sessions; at the steps in `switches` another one gets its turn. `history` is which of them went on, and from where."""

    def __init__(self, world: World, acts: list[Callable[[Any], Any]], switches: Switches) -> None:
        self._world, self._switches = world, switches
        self._sessions = [Session(world, act) for act in acts]
        self._by_thread: dict[int, Session] = {}
        self.history: list[tuple[int, str]] = []

    def run(self) -> list[str | None]:
        """Return what each session came to."""
        failpoints.listen(self._reached)
        try:
            for session in self._sessions:
                session.start()
                self._by_thread[session.ident or 0] = session
                assert session.paused.wait(SECONDS)
            turn = self._sessions[0]
            while ready := self._settled():
                others = [each for each in ready if each is not turn]
                if others and (len(self.history) in self._switches or turn not in ready):
                    turn = others[self._switches.get(len(self.history), 0) % len(others)]
                self.history.append((self._sessions.index(turn), turn.at))
                turn.go_on()
        finally:
            failpoints.listen(None)
        for session in self._sessions:
            session.join(SECONDS)
        return [session.code for session in self._sessions]

    def _reached(self, point: str) -> None:
        session = self._by_thread.get(threading.get_ident())
        if session is not None:
            session.pause(point)

    def _settled(self) -> list[Session]:
        """Return the sessions that can go on, once each is at a point or waits for a lock; none when all are at their end."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            running = [each for each in self._sessions if not each.paused.is_set()]
            if running:
                running[0].paused.wait(POLL_SECONDS)
            if all(each.paused.is_set() or each in running for each in self._sessions):
                running = [each for each in running if not each.paused.is_set()]
                ready = [each for each in self._sessions if self._can_run(each)]
                if not running or (ready and self._waiting() >= len(running)):
                    return ready
        raise AssertionError(f"a session neither goes on nor waits for a lock, after {self.history}")

    def _can_run(self, session: Session) -> bool:
        if session.at == "end" or not session.paused.is_set():
            return False
        if self._world.database.dialect == "sqlite" and session.at == "unit.begin":
            # The file has one writer: who begins beside it would only wait.
            return all(other is session or other.at in {"start", "unit.begin", "commit.after", "end"} for other in self._sessions)
        return True

    def _waiting(self) -> int:
        """Return how many sessions wait for a lock."""
        if self._world.database.dialect == "sqlite":
            return 0
        with self._world.database.engine.connect() as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return int(connection.execute(text(waiting)).scalar_one())


Case = tuple[list[Callable[[Any], Any]], list[str]]
"""The acts, and the invoices whose state counts."""


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


def _three_scopes(world: World, lot: str) -> Case:
    invoice = world.invoice("AMX", "VIS").id
    acts = [Pay(invoice, ("card 110",)), Pay(invoice, ("card 66",), scope="shelf"), Pay(invoice, ("transfer 60",), scope="ON_ACCOUNT")]
    return [*acts], [invoice]


def _two_cashiers_and_one_who_cancels(world: World, lot: str) -> Case:
    acts, invoices_ = _two_cashiers(world, lot)
    return [*acts, lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoices_[0], reason="no")], invoices_


def _last_two_units(world: World, lot: str) -> Case:
    code = f"L{next(_codes)}"
    world.lot(world.service(code, department="shelf", price="9.00"), "2")
    bills = [world.invoice(code).id for _ in range(3)]
    return [Pay(bill, ("cash 9",)) for bill in bills], bills


_codes = count(1)

CASES = [_two_cashiers, _pay_and_cancel, _pay_and_edit, _instalment_and_all, _one_key, _last_unit]
CASES_OF_THREE = [_three_scopes, _two_cashiers_and_one_who_cancels, _last_two_units]


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


def _orders(chance: random.Random, steps: int, sessions: int, wanted: int, *, all_pre_empted: bool) -> Iterator[Switches]:
    """Yield orders of up to two pre-emptions, all of them or so many by chance, and as many random ones."""
    turns = range(sessions - 1)
    places = [(), *((one,) for one in range(steps)), *combinations(range(steps), 2)]
    pre_empted = [dict(zip(place, chosen, strict=True)) for place in places for chosen in product(turns, repeat=len(place))]
    yield from pre_empted if all_pre_empted else chance.sample(pre_empted, min(wanted, len(pre_empted)))
    for _ in range(wanted):
        often = chance.choice([1, 2, 4])
        yield {step: chance.choice(turns) for step in range(steps) if chance.randrange(10) < often}


def _serial(world: World, lot: str, case: Callable[[World, str], Case]) -> tuple[list[Any], int]:
    """Return how the case may end, one act after another in whatever order, and how many steps it takes."""
    found, steps = [], 0
    for order in permutations(range(len(case(world, lot)[0]))):
        acts, watched = case(world, lot)
        codes: list[str | None] = [None] * len(acts)
        for place in order:
            try:
                world.run(acts[place])
            except BillingError as error:
                codes[place] = error.code
        found.append((codes, _state(world, watched)))
        scheduler = Scheduler(world, case(world, lot)[0], {})
        scheduler.run()
        steps = max(steps, len(scheduler.history))
    return found, steps


@pytest.mark.parametrize("case", [*CASES, *CASES_OF_THREE])
def test_every_interleaving_ends_as_some_serial_order(
    case: Callable[[World, str], Case],
    world: World,
    chance: random.Random,
    full: bool,
    size: Callable[[int], int],
    told: Callable[..., None],
) -> None:
    lot = world.lot(world.service("AMX", department="shelf", price="66.00"), "1000000")
    world.service("VIS", price="44.00")
    serial, steps = _serial(world, lot, case)
    histories, orders, sessions = set(), 0, len(serial[0][0])

    # Two sessions have some 800 orders of up to two pre-emptions, three have ten times as many: of those, so many by chance.
    for switches in _orders(chance, steps, sessions, size(200), all_pre_empted=full and sessions == 2):
        acts, watched = case(world, lot)
        scheduler = Scheduler(world, acts, switches)
        ended = (scheduler.run(), _state(world, watched))
        assert ended in serial, f"pre-empted at {switches}: {ended}, serial: {serial}, history: {scheduler.history}"
        histories.add(tuple(scheduler.history))
        orders += 1

    told("F06", case=case.__name__.strip("_").replace("_", " "), steps=steps, orders=orders, different_histories=len(histories))
