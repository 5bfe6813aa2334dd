"""F08: while cashiers take money and cancel invoices, a reader sums up all books in one snapshot, all the time. They agree to the last cent.

What is compared are amounts: of invoices, payments, tenders, journal and takings with each other at every moment, and in the end with the
amounts that the cashiers were told they have taken, method by method.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import case, func, select

from billing.model import Invoice, JournalLine, Payment, Takings, Tender
from billing.testing.crew import Crew
from billing.testing.race import Cancel, Pay
from billing.testing.world import World
from billing.transaction import Transaction

WRITERS = 3
VIS_MINOR, AMX_MINOR = 497, 633
STEP_MINOR = 5
"""The smallest coin of Swiss francs: cash is rounded to it, and every cashier gives change."""

_LIVE = case((Invoice.cancelled_at.is_(None), 1), else_=0)
_ISSUED = case((Invoice.issued_at.is_not(None), 1), else_=0)
_DUE = Invoice.total_minor - Invoice.amount_paid_minor


def _text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


@dataclass(frozen=True, slots=True)
class Move:
    """An act, and what by method stays in the drawers if it is done; what nobody owes any more if it was a cancellation."""

    act: Any
    kept: dict[str, int]
    cancelled_minor: int = 0


def _moves(bill: str, shelf: int, desk: int, chance: random.Random) -> Iterator[Move]:
    """Yield what happens to an invoice with so much for either department; who comes too late is refused."""
    due, cash = shelf + desk, (shelf + desk + STEP_MINOR // 2) // STEP_MINOR * STEP_MINOR
    match chance.randrange(5):
        case 0:  # a banknote, and change
            yield Move(Pay(bill, (f"cash {_text(cash + 1000)}",)), {"cash": cash})
        case 1:  # by department, from two tills; the second one may be first
            yield Move(Pay(bill, (f"card {_text(shelf)}",), scope="shelf"), {"card": shelf})
            yield Move(Pay(bill, (f"transfer {_text(desk)}",), scope="desk"), {"transfer": desk})
        case 2:  # instalments, and more of them than are owed
            for _ in range(4):
                part = chance.randrange(1, due // 2)
                yield Move(Pay(bill, (f"transfer {_text(part)}",), scope="ON_ACCOUNT"), {"transfer": part})
        case 3:  # two cashiers at once, by different methods
            yield Move(Pay(bill, (f"card {_text(due)}",)), {"card": due})
            yield Move(Pay(bill, (f"cash {_text(cash)}",)), {"cash": cash})
        case _:  # cancelled by one, paid by the other in part by card
            yield Move(Cancel(bill), {}, due)
            rest = (due - 100 + STEP_MINOR // 2) // STEP_MINOR * STEP_MINOR
            yield Move(Pay(bill, ("card 1", f"cash {_text(rest + 5)}")), {"card": 100, "cash": rest})


@dataclass(frozen=True, slots=True)
class Books:
    """All sums of one moment, in minor units."""

    billed: int
    cancelled: int
    due: int
    due_of_issued: int
    applied: int
    kept: int
    tendered: int
    change: int
    journal: dict[str, int]
    takings: dict[str, int]

    def agree(self, total: int) -> None:
        """Check each sum against the others."""
        assert self.billed == total
        assert self.due + self.applied + self.cancelled == total
        assert self.tendered - self.change == self.kept == sum(self.takings.values())
        assert sum(self.journal.values()) == 0
        money = {account: amount for account, amount in self.journal.items() if account == "cash" or account.startswith("method:")}
        assert {account.removeprefix("method:"): amount for account, amount in money.items()} == self.takings
        assert self.journal.get("receivable:client", 0) == self.due_of_issued


def _books(tx: Transaction) -> Books:
    """Read in many statements, so that only a snapshot of the whole unit gives figures that belong together."""

    def sums(*columns: Any) -> list[int]:
        return [int(each) for each in tx.session.execute(select(*(func.coalesce(func.sum(column), 0) for column in columns))).one()]

    def by(name: Any, amount: Any) -> dict[str, int]:
        found = {row[0]: int(row[1]) for row in tx.session.execute(select(name, func.sum(amount)).group_by(name))}
        return {key: minor for key, minor in found.items() if minor}

    billed, cancelled, due, due_of_issued = sums(
        Invoice.total_minor, Invoice.total_minor * (1 - _LIVE), _DUE * _LIVE, _DUE * _LIVE * _ISSUED
    )
    journal = by(JournalLine.account, JournalLine.amount_minor)
    applied, kept, change = sums(Payment.applied_minor, Payment.applied_minor + Payment.rounding_minor, Payment.change_minor)
    (tendered,) = sums(Tender.amount_minor)
    return Books(billed, cancelled, due, due_of_issued, applied, kept, tendered, change, journal, by(Takings.method, Takings.amount_minor))


def test_every_read_sees_books_that_agree_and_the_drawers_hold_what_cashiers_were_told(
    database_url: str,
    chance: random.Random,
    size: Callable[[int], int],
    told: Callable[..., None],
    books_are_well: Callable[[World], None],
) -> None:
    world = World(database_url, currency="CHF")
    world.lot(world.service("AMX", department="shelf", price=_text(AMX_MINOR)), "1000000")
    world.service("VIS", price=_text(VIS_MINOR))
    patient, total, moves = world.patient(), 0, list[list[Move]]()
    for _ in range(size(600)):
        shelf, desk = chance.randrange(1, 10), chance.randrange(1, 10)
        bill = world.invoice(f"AMX:{shelf}", f"VIS:{desk}", patient_id=patient)
        total += bill.total_minor
        moves.append([*_moves(bill.id, shelf * AMX_MINOR, desk * VIS_MINOR, chance)])
    # What happens to one invoice happens in several processes, at about the same time.
    own: list[list[Move]] = [[] for _ in range(WRITERS)]
    for number, of_bill in enumerate(moves):
        for place, move in enumerate(of_bill):
            own[(number + place) % WRITERS].append(move)

    reads, moments = 0, set[int]()
    with Crew(world.url, WRITERS) as crew, ThreadPoolExecutor() as pool:
        acting = pool.submit(crew.race, [[move.act for move in each] for each in own])
        while not acting.done() or reads == 0:
            books = world.read(_books)
            books.agree(total)
            moments.add(books.kept)
            reads += 1
        outcomes = acting.result()

    drawers, cancelled, refusals = Counter[str](), 0, Counter[str]()
    for mine, ended in zip_longest(own, outcomes):
        for move, outcome in zip_longest(mine, ended):
            if outcome.code is None:
                drawers.update(move.kept)
                cancelled += move.cancelled_minor
            else:
                refusals[outcome.code] += 1
    books = world.read(_books)
    books.agree(total)
    assert books.takings == drawers
    assert books.cancelled == cancelled
    assert set(refusals) <= {"already_paid", "bad_payment_amount", "invoice_cancelled", "invoice_has_payments"}, refusals
    books_are_well(world)
    world.dispose()
    told(
        "F08",
        acts=sum(map(len, own)),
        refused=sum(refusals.values()),
        kept_minor=books.kept,
        reads=reads,
        different_moments=len(moments),
        wrong_sums=0,
    )
