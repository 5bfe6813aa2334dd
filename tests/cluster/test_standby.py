"""A primary dies while cashiers take money, its synchronous standby takes over: no payment that was answered is lost, nothing is paid twice."""

import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from billing import migrations, registry
from billing.services import doctor, listing
from billing.services.audit import verify_chain
from billing.testing.standby import Waits, running_pair
from billing.testing.till import take_payments
from billing.testing.world import World

CASHIERS = 3
INVOICES_EACH = 24
ANSWERED_BEFORE_THE_FALL = 20


@pytest.mark.parametrize("waits", ["on", "remote_apply"])
def test_no_answered_payment_is_lost_when_the_standby_takes_over(waits: Waits) -> None:
    with running_pair(waits) as pair:
        world = _clinic(pair.url("clinic"))
        lot = world.lot(world.service("AMX", department="shelf"), "1000")
        patient = world.patient()
        bills = [[world.invoice("AMX", patient_id=patient).id for _ in range(INVOICES_EACH)] for _ in range(CASHIERS)]
        context = multiprocessing.get_context("spawn")
        answered, results = context.Value("i", 0), context.Queue()
        cashiers = [
            context.Process(target=take_payments, args=(world.url, own, answered, results), kwargs={"tender": "cash 20"}) for own in bills
        ]

        for each in cashiers:
            each.start()
        _wait_for(answered, ANSWERED_BEFORE_THE_FALL, cashiers)
        pair.kill_primary()
        before = answered.value
        pair.promote_standby()
        outcomes = [results.get(timeout=120) for _ in cashiers]
        for each in cashiers:
            each.join()

        receipts = {invoice: number for own, _ in outcomes for invoice, number in own}
        stored = world.read(lambda tx: listing.list_payments(tx, limit=1000))
        values = sorted(int(each.receipt_number.rpartition("-")[2]) for each in stored)
        assert {each.invoice_id: each.receipt_number for each in stored} == receipts
        assert len(stored) == len(receipts) == CASHIERS * INVOICES_EACH
        assert values == list(range(1, CASHIERS * INVOICES_EACH + 1))
        assert world.on_hand(lot) == 1_000_000 - 1000 * CASHIERS * INVOICES_EACH
        assert world.read(verify_chain).intact
        assert world.read(doctor.examine).broken == ()
        assert ANSWERED_BEFORE_THE_FALL <= before < CASHIERS * INVOICES_EACH, "it fell in the middle of the work"
        assert {code for _, told in outcomes for code in told} <= {"database_unavailable", "outcome_unknown"}
        world.dispose()


def _clinic(url: str) -> World:
    address = make_url(url)
    engine = create_engine(address.set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {address.database}"))
    migrations.upgrade(url, registry=registry.load())
    return World(url)


def _wait_for(answered: Any, wanted: int, cashiers: Sequence[Any]) -> None:
    while any(each.is_alive() for each in cashiers):
        if answered.value >= wanted:
            return
        time.sleep(0.01)
    raise AssertionError(f"only {answered.value} payments were answered")
