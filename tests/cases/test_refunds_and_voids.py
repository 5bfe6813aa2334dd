"""Refunds and voids: nothing comes back that was not paid, nothing twice, and a voided payment is as if it had not been."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from billing_laboratory.model import LabOrder
from billing_laboratory.services import receive_order
from sqlalchemy import select

from billing import clock
from billing.model import Invoice, InvoiceItem, Reversal, Wallet
from billing.services import reversals, shifts, staff
from billing.services.audit import list_entries
from billing.services.reversals import Returned
from billing.testing.race import Refund, Void, race

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


def void(world: "CaseWorld", payment_id: str, actor: str = "m1") -> Any:
    return world.run(lambda tx: reversals.void_payment(tx, payment_id=payment_id, reason="wrong button"), actor=actor)


def refund(world: "CaseWorld", invoice_id: str, *items: Returned, actor: str = "m1", **options: Any) -> Any:
    return world.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice_id, items=items, reason="not wanted", **options), actor=actor)


def open_till(world: "CaseWorld") -> None:
    world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000), actor="c1")


def orders(world: "CaseWorld") -> list[str]:
    return world.read(lambda tx: list(tx.session.scalars(select(LabOrder.status).order_by(LabOrder.ordered_at, LabOrder.id))))


@pytest.mark.case("P07")
def test_two_managers_void_a_receipt_at_once_and_one_does(world: "CaseWorld") -> None:
    """getlago/lago-api#5495: two calls that void both ran the path that voids."""
    world.run(lambda tx: staff.add_staff(tx, login="m2", name="M2", role="manager"))
    open_till(world)
    bill = world.n1()
    paid = world.pay(bill.id, "cash 200", actor="c1")

    outcomes = race(world.url, [[Void(paid.id)], [Void(paid.id)]], actors=["m1", "m2"], installed=True)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "already_voided": 1}
    assert (world.stock(), orders(world)) == (10_000, ["cancelled"])
    entries = world.read(lambda tx: list_entries(tx, action="reversal.void", limit=10))
    assert len(entries) == 1
    assert world.seen(bill.id).invoice.amount_paid_minor == 0


@pytest.mark.case("P25")
def test_no_more_is_refunded_than_was_paid(world: "CaseWorld") -> None:
    """getlago/lago-api#4805: refunds were allowed for unpaid invoices."""
    unpaid, bill = world.n1(), world.n1()
    drugs, *others = bill.item_ids
    world.pay(bill.id, "card 66", scope="pharmacy", actor="c1")
    before = world.dump()

    of_nothing = world.refused(lambda: refund(world, unpaid.id, Returned(unpaid.item_ids[0])))
    beyond = world.refused(lambda: refund(world, bill.id, Returned(drugs), to=[("card", 8_000)]))
    to_wallet = world.refused(lambda: refund(world, bill.id, Returned(drugs), to=[("wallet", 8_000)]))
    on_account = world.refused(
        lambda: world.run(lambda tx: reversals.refund_on_account(tx, invoice_id=bill.id, amount_minor=8_000, reason="x"))
    )
    unchanged = world.dump() == before
    done = refund(world, bill.id, Returned(drugs), to=[("card", 6_600)])

    assert (of_nothing, beyond, to_wallet, on_account, unchanged) == (
        "invoice_not_paid",
        "not_that_method",
        "more_than_paid",
        "more_than_paid",
        True,
    )
    assert (done.refunded_minor, done.tenders) == (6_600, (("card", 6_600),))
    assert refund(world, bill.id, Returned(others[0])).refunded_minor == 0, "what was not paid is credited, and no money goes back"


BOXES_FOR_40 = 1_212
"""Thousandths of the two boxes for 66.00 that come to 40.00."""


@pytest.mark.case("P26")
def test_partial_refunds_do_not_exceed_what_was_sold_one_after_the_other(world: "CaseWorld") -> None:
    """ingenesis/shopp#3205: partial refunds together exceeded the order."""
    bill = world.bill("AMOX:2")
    world.pay(bill.id, "card 66", actor="c1")
    back = Returned(bill.item_ids[0], BOXES_FOR_40)

    first = refund(world, bill.id, back)
    second = world.refused(lambda: refund(world, bill.id, back))

    assert (first.refunded_minor, second) == (4_000, "more_than_sold")
    assert refund(world, bill.id, Returned(bill.item_ids[0])).refunded_minor == 2_600


@pytest.mark.case("P26")
def test_partial_refunds_do_not_exceed_what_was_sold_at_once(world: "CaseWorld") -> None:
    """ingenesis/shopp#3205: partial refunds together exceeded the order."""
    bill = world.bill("AMOX:2")
    world.pay(bill.id, "card 66", actor="c1")
    act = Refund(bill.id, bill.item_ids[0], BOXES_FOR_40)

    outcomes = race(world.url, [[act], [act]], actors=["m1"], installed=True)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "more_than_sold": 1}
    assert world.seen(bill.id).invoice.amount_paid_minor == 2_600
    assert world.stock() == 8_000 + BOXES_FOR_40


@pytest.mark.case("P27")
def test_no_more_is_returned_than_was_sold(world: "CaseWorld") -> None:
    """hmislk/hmis#15927: ten were returned of five that were sold."""
    open_till(world)
    bill = world.bill("AMOX:2")
    world.pay(bill.id, "cash 70", actor="c1")
    world.run(lambda tx: staff.change_role(tx, member="c1", role="manager"))
    before = world.dump()

    code = world.refused(lambda: refund(world, bill.id, Returned(bill.item_ids[0], 3_000), kind="return", actor="c1"))

    assert code == "more_than_sold"
    assert world.dump() == before, "stock, money and drawer are as they were"


@pytest.mark.case("P28")
def test_invoice_of_which_the_only_payment_is_voided_is_open_again(world: "CaseWorld") -> None:
    """openstudioproject/openstudio#315: the invoice stayed paid after its payment had been removed."""
    open_till(world)
    bill = world.n1()
    paid = world.pay(bill.id, "cash 154", actor="c1")

    void(world, paid.id)

    seen = world.seen(bill.id)
    assert (seen.invoice.status, seen.invoice.amount_paid_minor, seen.invoice.amount_due_minor) == ("sent", 0, 15_400)
    assert [each.payment_id for each in seen.items] == [None] * 3
    assert seen.invoice.due_date is not None
    with clock.fixed(clock.now() + timedelta(days=400)):
        assert world.seen(bill.id).invoice.status == "overdue"


@pytest.mark.case("P29")
def test_when_an_item_was_paid_is_forgotten_with_the_payment(world: "CaseWorld") -> None:
    """LanternOps/breeze#4542: the time of payment survived a reversal."""
    open_till(world)
    bill = world.n1()

    def paid_at() -> list[Any]:
        times = select(InvoiceItem.paid_at).where(InvoiceItem.invoice_id == bill.id).order_by(InvoiceItem.position)
        return world.read(lambda tx: list(tx.session.scalars(times)))

    first = world.pay(bill.id, "cash 154", actor="c1")
    once = paid_at()
    void(world, first.id)
    voided = paid_at()
    world.pay(bill.id, "cash 154", actor="c1")
    again = paid_at()

    assert voided == [None] * 3
    assert None not in once
    assert None not in again
    assert min(again) > max(once)
    assert world.read(lambda tx: tx.session.scalars(select(Invoice.status)).all()) == ["paid"]


@pytest.mark.case("P28")
def test_all_three_departments_work_again_when_a_voided_invoice_is_paid_again(world: "CaseWorld") -> None:
    """openstudioproject/openstudio#315: what belongs to a payment goes with it, and comes again with the next one."""
    open_till(world)
    bill = world.n1()
    stocks = []
    for _ in range(3):
        paid = world.pay(bill.id, "cash 154", actor="c1")
        stocks.append(world.stock())
        void(world, paid.id)
        stocks.append(world.stock())
        world.check_books()

    last = world.pay(bill.id, "card 154", actor="c1")

    assert stocks == [8_000, 10_000] * 3
    assert (world.stock(), orders(world)) == (8_000, ["cancelled"] * 3 + ["ordered"])
    assert last.receipt_number[-5:] == "00004", "receipts of voided payments keep their numbers"
    assert [each.kind for each in world.seen(bill.id).reversals] == ["void"] * 3


@pytest.mark.case("P42")
def test_payment_of_what_the_laboratory_has_received_is_not_voided(world: "CaseWorld") -> None:
    """hmislk/hmis#15878: billing could cancel an investigation that had been received already."""
    open_till(world)
    bill = world.n1()
    paid = world.pay(bill.id, "cash 154", actor="c1")
    order = world.read(lambda tx: tx.session.scalars(select(LabOrder.id)).one())
    world.run(lambda tx: receive_order(tx, order_id=order), actor="v1")
    before = world.dump()

    with pytest.raises(Exception, match=order) as refusal:
        void(world, paid.id)
    refunded = world.refused(lambda: refund(world, bill.id, Returned(bill.item_ids[1]), to="wallet"))

    assert (refusal.value.code, refusal.value.facts["order"], refunded) == ("lab_order_started", order, "lab_order_started")  # type: ignore[attr-defined]
    assert world.dump() == before
    assert world.read(lambda tx: tx.session.scalars(select(Reversal.id)).all()) == []
    assert world.read(lambda tx: tx.session.scalars(select(Wallet.balance_minor)).all()) == []
