"""Plugins that end the transaction, crashes right behind it, and wrappers: a payment is whole or was never there."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import InvalidRequestError

from billing.errors import BillingError, PluginViolation
from billing.model import Event, Payment
from billing.plugin import Declaration, Department, hookimpl
from billing.services import doctor
from billing.testing.shelf import Act, Desk, Shelf, sell
from billing.testing.world import World
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


def _driver(tx: Transaction) -> Any:
    return tx.session.connection().connection.driver_connection


def _end_and_begin(tx: Transaction) -> None:
    _driver(tx).execute("COMMIT")
    _driver(tx).execute("BEGIN")


# What is refused by name where it is called; what is found out before the next row is written; and what looks like an open transaction.
NAMED: dict[str, Callable[[Transaction], Any]] = {
    "commit of the session": lambda tx: tx.session.commit(),
    "rollback of the session": lambda tx: tx.session.rollback(),
    "begin of the session": lambda tx: tx.session.begin(),
    "close of the session": lambda tx: tx.session.close(),
    "begin of the connection": lambda tx: tx.session.connection().begin(),
    "COMMIT": lambda tx: tx.session.connection().execute(text("COMMIT")),
    "ROLLBACK": lambda tx: tx.session.connection().execute(text(" rollback;")),
    "COMMIT behind a comment": lambda tx: tx.session.connection().exec_driver_sql("/* now */ -- really\n COMMIT"),
    "COMMIT behind a statement": lambda tx: tx.session.connection().exec_driver_sql("SELECT 1; COMMIT"),
    "COMMIT behind nothing": lambda tx: tx.session.connection().exec_driver_sql(";;COMMIT"),
    "COMMIT and BEGIN": lambda tx: tx.session.connection().exec_driver_sql("COMMIT; BEGIN"),
}
FOUND_OUT: dict[str, Callable[[Transaction], Any]] = {
    "commit of the connection": lambda tx: tx.session.connection().commit(),
    "rollback of the connection": lambda tx: tx.session.connection().rollback(),
    "close of the connection": lambda tx: tx.session.connection().close(),
    "commit of the connection's transaction": lambda tx: tx.session.connection().get_transaction().commit(),  # type: ignore[union-attr]
    "close of the connection's transaction": lambda tx: tx.session.connection().get_transaction().close(),  # type: ignore[union-attr]
    "invalidation of the connection": lambda tx: tx.session.connection().invalidate(),
    "commit of the driver": lambda tx: _driver(tx).commit(),
    "rollback of the driver": lambda tx: _driver(tx).rollback(),
    "COMMIT of the driver": lambda tx: _driver(tx).execute("COMMIT"),
}


def _reach() -> Transaction:
    """Find the open transaction as no plugin should: in the frames of its callers."""
    frame = sys._getframe()  # noqa: SLF001 - that is the misbehaviour
    while not isinstance(frame.f_locals.get("tx"), Transaction):
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_locals["tx"]  # type: ignore[no-any-return]


def _acting(end: Callable[[Transaction], Any], *, first: bool) -> Act:
    def act(payment: Any, items: Any, known: Any) -> Iterator[Any]:
        if first:
            end(_reach())
        yield from sell(payment, items, known)
        if not first:
            end(_reach())

    return act


@pytest.fixture
def shop(database_url: str) -> Iterator[Callable[[Act], World]]:
    """Open a clinic whose shelf acts so; one invoice waits there to be paid."""
    made: list[World] = []

    def make(act: Act) -> World:
        world = World(database_url, plugins={"shelf": Shelf(act=act), "desk": Desk()})
        made.append(world)
        world.lot(world.service("AMX", department="shelf"), "10")
        world.service("VIS")
        return world

    yield make
    for world in made:
        world.dispose()


def _broken(world: World) -> list[str]:
    return [check.name for check in world.read(doctor.examine).broken]


@pytest.mark.case("P57")
@pytest.mark.parametrize("first", [True, False], ids=["before its changes", "after its changes"])
@pytest.mark.parametrize("end", NAMED)
def test_hook_that_ends_the_transaction_fails_the_payment_and_is_named(shop: Callable[[Act], World], end: str, first: bool) -> None:
    """frappe/frappe#25256: hooks committed in the middle, so failures left half a document."""
    world = shop(_acting(NAMED[end], first=first))
    bill = world.invoice("VIS", "AMX")
    before = world.dump()

    with pytest.raises(PluginViolation) as caught:
        world.pay(bill.id, "cash 20", key="k")

    assert caught.value.facts["plugin"] == "shelf"
    assert world.dump() == before
    assert _broken(world) == []


@pytest.mark.case("P57")
@pytest.mark.parametrize("first", [True, False], ids=["before its changes", "after its changes"])
@pytest.mark.parametrize("end", FOUND_OUT)
def test_transaction_that_was_ended_below_is_found_out_before_anything_is_booked(
    shop: Callable[[Act], World], end: str, first: bool
) -> None:
    """hybrowlabs/ERPNext-India-Payroll#135: a commit in the driver can't be kept from happening; it must not make half a payment."""
    world = shop(_acting(FOUND_OUT[end], first=first))
    bill = world.invoice("VIS", "AMX")
    before = world.dump()

    with pytest.raises(PluginViolation, match="ended its own transaction"):
        world.pay(bill.id, "cash 20", key="k")

    # Where a commit got through, it can have made durable only what stood before the write: the claimed key, which the doctor reports.
    after = world.dump()
    changed = [name for name in after if after[name] != before[name]]
    assert changed in ([], ["idempotency_key"])
    assert _broken(world) == ["key_answered"] * len(changed)


@pytest.mark.case("P57")
def test_driver_that_commits_and_begins_anew_is_found_out(shop: Callable[[Act], World]) -> None:
    """It looks like an open transaction; but the savepoint of the unit is gone with the one that was ended."""
    world = shop(_acting(_end_and_begin, first=True))
    bill, kept = world.invoice("VIS", "AMX"), world.invoice("VIS", "AMX:11")

    with pytest.raises(PluginViolation):
        world.pay(bill.id, "cash 20", key="k")
    with pytest.raises(BillingError):
        world.pay(kept.id, "cash 120")

    assert world.read(lambda tx: tx.session.scalar(select(func.count(Payment.id)))) == 0


@pytest.mark.case("P57")
def test_unit_of_a_plugins_command_can_not_make_half_of_its_work_durable(shop: Callable[[Act], World]) -> None:
    world = shop(sell)
    lot = world.lot(world.service("BMX", department="shelf"), "7")
    before = world.dump()

    def unit(tx: Transaction, end: Callable[[Transaction], Any]) -> None:
        tx.audit("shelf.emptied", "shelf_lot", lot)
        end(tx)

    for end in NAMED.values():
        with pytest.raises((BillingError, InvalidRequestError)):
            world.run(lambda tx, end=end: unit(tx, end))  # type: ignore[misc]

    assert world.dump() == before
    assert _broken(world) == []


CRASH = """
import os, sys
from billing.interfaces.cli.frame import Frame

def pay(invoice, crash_at):
    calls = None

    def count(frame, event, _):
        nonlocal calls
        if calls is None and event == "return" and frame.f_code.co_name == "take_payment":
            calls = 0
        elif calls is not None and event in ("call", "c_call"):
            calls += 1
            if calls == crash_at:
                os._exit(9)

    sys.setprofile(count)
    try:
        Frame().main(["--json", "pay", invoice, "--card", "110", "--key", invoice])
    except SystemExit as end:
        sys.setprofile(None)
        assert end.code == 0
    return calls

rehearsed, *invoices = sys.argv[1:]
pay(rehearsed, None)
calls = pay(invoices[0], None)  # now with everything imported
ends = [0]
for place, invoice in enumerate(invoices[1:]):
    child = os.fork()
    if child == 0:
        pay(invoice, 1 + place * calls // (len(invoices) - 5))
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*ends, file=sys.stderr)
"""
"""Pays each invoice in a process that ends hard at a later and later call behind the service: in the write, the commit, or the printing."""


@pytest.mark.case("P58")
def test_crash_at_any_step_behind_the_service_leaves_all_or_nothing(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """shopperlabs/shopper#612: a row was written after the commit and lost in a crash."""
    patient = world.patient()
    bills = [world.bill("GLU", "VISIT", "VISIT:0.5", patient_id=patient).id for _ in range(30)]

    ended = subprocess.run([sys.executable, "-c", CRASH, *bills], check=True, capture_output=True, text=True).stderr.split()

    booked = {row.invoice_id for row in world.read(lambda tx: tx.session.scalars(select(Payment)).all())}
    crashed = [bill for bill, end in zip(bills[1:], ended, strict=True) if end == "9"]
    assert set(ended) == {"0", "9"}, "the last ones must come to their end"
    assert set(crashed) - booked, "some must crash before the commit"
    assert set(crashed) & booked, "and some behind it"
    # The event was there with the payment, for whoever sends it later; and the key gives each cashier the one receipt.
    told = world.read(lambda tx: tx.session.scalars(select(Event.subject_id).where(Event.topic == "payment.taken")).all())
    assert len(told) == len(booked)
    world.check_books()
    receipts = [asked("pay", bill, "--card", "110", "--key", bill) for bill in bills]
    assert [receipt["replayed"] for receipt in receipts] == [bill in booked for bill in bills]
    assert sorted(int(receipt["receipt_number"][-5:]) for receipt in receipts) == list(range(1, len(bills) + 1))


class Wrapping:
    """A department whose wrapper would swallow what another one refuses. `style` is pluggy's word for it."""

    def __init__(self, style: str) -> None:
        def around(payment: Any) -> Iterator[Any]:
            try:
                yield
            except BillingError:
                return None
            return None

        self.on_items_paid = hookimpl(wrapper=style == "wrapper", hookwrapper=style == "hookwrapper")(around)

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("spa", "Spa"),))


@pytest.mark.case("P59")
@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_wrapper_around_a_payment_is_refused_when_it_is_loaded(database_url: str, style: str) -> None:
    """pytest-dev/pluggy#244: an error in one wrapper's teardown skipped the others."""
    world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk(), "spa": Wrapping(style)})
    lot = world.lot(world.service("AMX", department="shelf"), "1")
    bill = world.invoice("AMX:2")

    with pytest.raises(BillingError) as caught:
        world.pay(bill.id, "cash 20")

    assert caught.value.code == "shelf_empty"
    assert "is a wrapper" in (world.registry.plugin("spa").error or "")
    assert world.on_hand(lot) == 1000
    assert [check.name for check in world.read(doctor.examine).broken if check.plugin is None] == []
    world.dispose()
