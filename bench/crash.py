"""G5, the other half: the server is stopped as by a power cut while cashiers pay with early lock release; nothing acknowledged may be lost."""

import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from bench.cashiers import ServiceCashier, Work, works
from bench.clinic import database_on, found, open_bench, running_server
from bench.report import Section, Table
from billing.errors import BillingError
from billing.model import CLINIC, Payment
from billing.services import doctor
from billing.services.setup import OPERATOR_LOGIN
from billing.transaction import Transaction

CASHIERS, CRASHES, PAYMENTS = 4, 10, 250
NORTH = "north"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What a run of crashes came to."""

    acknowledged: int
    stored: int
    lost: tuple[str, ...]
    broken: tuple[str, ...]
    """What the doctor found: numbers, chain and all other books are among its checks."""


def measure(rounds: int) -> Section:
    """Return the table of crashes; it does not depend on the rounds."""
    report = crash_under_load(crashes=CRASHES, payments=PAYMENTS, cashiers=CASHIERS)
    row = (str(CRASHES), str(report.acknowledged), str(report.stored), str(len(report.lost)), ", ".join(report.broken) or "nothing")
    return Section(
        "crash",
        f"G5: {CRASHES} immediate stops under load, early lock release on",
        f"{CASHIERS} processes pay without a pause in one clinic; the server is stopped at random moments and recovers.",
        [Table(("stops", "acknowledged", "stored", "lost", "found by the doctor"), [row])],
    )


def crash_under_load(*, crashes: int, payments: int, cashiers: int, seed: int | None = None) -> CrashReport:
    """Stop the server `crashes` times, each time while `cashiers` pay up to `payments` invoices; compare what they were told with what stands."""
    chance = random.Random(seed)
    told: set[str] = set()
    with running_server() as server:
        url = database_on(server, "crash")
        database = open_bench(url)
        clinic = found(database, NORTH, {"early_lock_release": True})
        pieces = works(database, clinic, crashes * payments)
        database.dispose()
        for turn in range(crashes):
            own = pieces[turn * payments : (turn + 1) * payments]
            after = chance.randint(payments // 10, payments // 2)
            told |= _pay_until_the_crash(url, [own[place::cashiers] for place in range(cashiers)], server.crash, after)
        stored = set(database.read(_paid, actor=OPERATOR_LOGIN, clinic=NORTH))
        report = database.read(doctor.examine, actor=OPERATOR_LOGIN, clinic=NORTH)
        database.dispose()
    return CrashReport(len(told), len(stored), tuple(sorted(told - stored)), tuple(check.name for check in report.broken))


def _pay_until_the_crash(url: str, shares: Sequence[Sequence[Work]], crash: Any, after: int) -> set[str]:
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe(duplex=False) for _ in shares]
    count = context.Value("i", 0)
    cashiers = [context.Process(target=_cashier, args=(url, own, end, count)) for own, (_, end) in zip(shares, ends, strict=True)]
    for cashier in cashiers:
        cashier.start()
    while count.value < after and any(cashier.is_alive() for cashier in cashiers):
        time.sleep(0.001)
    crash()
    told: set[str] = set()
    for cashier, (mine, theirs) in zip(cashiers, ends, strict=True):
        cashier.join(timeout=120)
        theirs.close()
        while mine.poll():
            try:
                told.add(mine.recv())
            except EOFError:
                break
    return told


def _cashier(url: str, share: Sequence[Work], told: Any, count: Any) -> None:
    """Pay until the server is gone; say of each payment that it was acknowledged."""
    cashier = ServiceCashier(url)
    for work in share:
        try:
            cashier.do(work)
        except BillingError:
            break
        told.send(work.invoice_id)
        with count.get_lock():
            count.value += 1
    told.close()
    cashier.close()


def _paid(tx: Transaction) -> list[str]:
    return list(tx.session.scalars(select(Payment.invoice_id).where(Payment.clinic_id == CLINIC), {"clinic_id": tx.clinic_id}))
