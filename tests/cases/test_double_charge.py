"""Double charge and lost update: what only one can have, one gets, however many ask at once."""

import time
from collections import Counter
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from billing.services.audit import list_entries
from billing.testing.race import Issue, Pay, race

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


@pytest.mark.case("P01")
def test_ten_full_payments_at_once_are_one_payment(world: "CaseWorld") -> None:
    """idurar/idurar-erp-crm#1424: ten parallel full payments were all accepted."""
    bill = world.n1()

    outcomes = race(world.url, [[Pay(bill.id, ("card 154",), key=f"k{each}")] for each in range(10)], actors=["c1", "c2"], installed=True)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "already_paid": 9}
    assert [each.number[-5:] for (each,) in outcomes if each.number] == ["00001"]
    assert world.seen(bill.id).invoice.amount_paid_minor == 15400
    assert (world.stock(), world.lab_orders()) == (8000, 1)


@pytest.mark.case("P02")
def test_two_transfers_at_once_are_one_payment_at_every_read(world: "CaseWorld") -> None:
    """InvoicePlane/InvoicePlane#1705: two callbacks with different references both passed the check of the balance."""
    bill = world.n1()
    read: set[int] = set()
    over = Event()

    def watch() -> None:
        while not over.is_set():
            read.add(world.seen(bill.id).invoice.amount_paid_minor)
            time.sleep(0.005)  # the machine has better to do than to look without a pause

    watcher = Thread(target=watch)
    watcher.start()

    try:
        outcomes = race(
            world.url, [[Pay(bill.id, (f"transfer 154 {reference}",))] for reference in ("T1", "T2")], actors=["c1", "c2"], installed=True
        )
    finally:
        over.set()
        watcher.join()
    read.add(world.seen(bill.id).invoice.amount_paid_minor)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "already_paid": 1}
    assert read == {0, 15400}
    assert [each.applied_minor for each in world.seen(bill.id).payments] == [15400]


@pytest.mark.case("P03")
def test_a_form_that_is_sent_twice_at_once_is_answered_twice_with_one_receipt(world: "CaseWorld") -> None:
    """hmislk/hmis#23833: a double submit made two payment rows although the bill was guarded."""
    bill = world.n1()

    outcomes = race(world.url, [[Pay(bill.id, ("cash 160",), key="form-1")] for _ in range(2)], actors=["c1"], installed=True)

    assert {each.code for (each,) in outcomes} == {None}
    assert sorted(each.replayed for (each,) in outcomes) == [False, True]
    assert len({(each.id, each.number) for (each,) in outcomes}) == 1
    assert len(world.seen(bill.id).payments) == 1


@pytest.mark.case("P04")
@pytest.mark.parametrize(
    ("tender", "answers"),
    [
        ("card", [[None, "overpaid"], ["already_paid", None]]),  # exact money: what ALL comes to has changed meanwhile
        ("cash", [[None, None], ["already_paid", None]]),  # cash gives change: ALL is what the pharmacy has left
    ],
)
def test_a_department_and_all_at_once_never_pay_an_item_twice(tender: str, answers: list[Any], world: "CaseWorld") -> None:
    """hmislk/hmis#5506: the same bill could be paid through two screens."""
    bill = world.n1()

    outcomes = race(
        world.url,
        [[Pay(bill.id, (f"{tender} 66",), scope="pharmacy")], [Pay(bill.id, (f"{tender} 154",))]],
        actors=["c1", "c2"],
        installed=True,
    )

    assert [each.code for (each,) in outcomes] in answers
    seen = world.seen(bill.id)
    assert sum(each.applied_minor for each in seen.payments) == seen.invoice.amount_paid_minor
    assert seen.invoice.amount_paid_minor == sum(item.total_minor for item in seen.items if item.receipt_number)
    assert world.stock() == 8000


@pytest.mark.case("P04")
def test_all_after_a_department_is_what_that_has_left(world: "CaseWorld") -> None:
    """hmislk/hmis#5506: the two screens one after the other, in either order."""
    one, other = world.n1(), world.n1()

    world.pay(one.id, "card 66", scope="pharmacy", actor="c1")
    assert world.refused(lambda: world.pay(one.id, "card 154", actor="c2")) == "overpaid"
    rest = world.pay(one.id, "card 88", actor="c2")
    world.pay(other.id, "card 154", actor="c2")
    late = world.refused(lambda: world.pay(other.id, "card 66", scope="pharmacy", actor="c1"))

    assert (rest.due_minor, rest.status, late) == (8800, "paid", "already_paid")
    assert world.stock() == 6000


@pytest.mark.case("P06")
def test_second_of_two_prepared_payments_is_refused(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """frappe/erpnext#21501: two prepared payments for one invoice could both be completed."""
    bill = world.n1()
    screens = [asked("pay", bill.number, "--dry-run", "--as", cashier)["due"] for cashier in ("c1", "c2")]

    first = asked("pay", bill.number, "--transfer", screens[0], "--as", "c1")
    second = asked("pay", bill.number, "--transfer", screens[1], "--as", "c2")

    assert screens == ["154.00", "154.00"]
    assert (first["applied"], first["amount_due"], second) == ("154.00", "0.00", "already_paid")
    assert world.seen(bill.id).invoice.amount_due_minor == 0


@pytest.mark.case("P08")
def test_a_draft_that_eight_issue_at_once_takes_one_number(world: "CaseWorld") -> None:
    """dentalpin/dentalpin#98: concurrent issue of a draft burned a number and chained a second record."""
    world.choose(numbers_at="issue")
    draft = world.n1(issued=False)

    outcomes = race(world.url, [[Issue(draft.id)] for _ in range(8)], actors=["v1", "v2", "c1"], installed=True)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "invoice_not_draft": 7}
    assert [each.number[-5:] for (each,) in outcomes if each.number] == ["00001"]
    following = world.seen(world.n1().id).invoice.number
    assert following is not None
    assert following.endswith("-00002")
    entries = world.read(lambda tx: list_entries(tx, subject_id=draft.id))
    assert [each.action for each in entries].count("invoice.issued") == 1
