"""F08: while cashiers pay, a reader sums up receivables and drawers in one snapshot, all the time. The sum never moves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from billing.model import Invoice, Payment
from billing.testing.crew import Crew
from billing.testing.race import Pay
from billing.testing.world import World
from billing.transaction import Transaction


def _receivables_and_drawers(tx: Transaction) -> tuple[int, int]:
    """Read in two statements, so that only a snapshot of the whole unit gives figures that belong together."""
    due = tx.session.scalars(select(func.coalesce(func.sum(Invoice.total_minor - Invoice.amount_paid_minor), 0))).one()
    taken = tx.session.scalars(select(func.coalesce(func.sum(Payment.applied_minor), 0))).one()
    return int(due), int(taken)


def test_every_read_sees_the_same_sum_of_receivables_and_drawers(
    world: World, size: Callable[[int], int], told: Callable[..., None]
) -> None:
    world.lot(world.service("AMX", department="shelf", price="6.00"), "1000000")
    world.service("VIS", price="4.00")
    patient, writers, count = world.patient(), 3, max(30, size(1500))
    bills = [world.invoice("AMX", "VIS", patient_id=patient).id for _ in range(count)]
    acts = [
        Pay(bill, (("cash 10",), ("card 6",), ("transfer 3",))[n % 3], scope=("ALL", "shelf", "ON_ACCOUNT")[n % 3])
        for n, bill in enumerate(bills)
    ]
    total, seen = 1000 * count, set[int]()
    reads = 0

    with Crew(world.url, writers) as crew, ThreadPoolExecutor() as pool:
        paying = pool.submit(crew.race, [acts[place::writers] for place in range(writers)])
        while not paying.done() or reads == 0:
            due, taken = world.read(_receivables_and_drawers)
            assert due + taken == total, f"{due} due and {taken} taken"
            seen.add(taken)
            reads += 1
        outcomes = [outcome.code for own in paying.result() for outcome in own]

    assert outcomes == [None] * count
    assert sum(world.read(_receivables_and_drawers)) == total
    told("F08", payments=count, reads=reads, different_moments=len(seen), wrong_sums=0)
