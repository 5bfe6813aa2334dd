"""The way back of money: void, refund, return, cancellation after payment, write-off. What departments did is undone exactly, or nothing happens."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from billing.errors import Refused
from billing.facts import RefundedItem
from billing.model import Event, InvoiceItem, JournalLine, Reversal, ReversalItem, Staff, Takings, Wallet
from billing.plugin import Declaration, Department, effect, hookimpl
from billing.rules.reversing import ChooseMethod, MoreThanPaid, MoreThanSold, NotThatMethod
from billing.rules.statuses import InvoiceAlreadyPaid, InvoiceCancelled, InvoiceNotIssued, InvoiceNotPaid
from billing.services import approvals, doctor, invoice_steps, reading, reversal_preview, reversals, shifts, staff
from billing.services.approvals import ApprovalMissing
from billing.services.keys import KeyReused
from billing.services.reading import UnknownPayment
from billing.services.reversal_writes import Reversed
from billing.services.reversals import (
    AlreadyVoided,
    BadCondition,
    ItemNotPaid,
    NotInShift,
    RefundedSince,
    Returned,
    UnknownItem,
    VoidLatestFirst,
)
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World
from billing.transaction import PermissionMissing


class Laboratory:
    """A department that refuses to take back what it has begun."""

    begun = False

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("lab", "Lab"),))

    @hookimpl
    def on_items_paid(self, items: Any) -> Iterator[Any]:
        for item in items:
            yield effect(item, "lab.ordered", quantity_milli=item.quantity_milli)

    @hookimpl
    def before_items_refunded(self, items: tuple[RefundedItem, ...]) -> None:
        if self.begun:
            raise Refused("The sample is in the laboratory already: it can't be given back.", item=items[0].id)

    @hookimpl
    def on_items_refunded(self, items: tuple[RefundedItem, ...]) -> Iterator[Any]:
        for item in items:
            yield effect(item, "lab.undone", quantity_milli=item.quantity_milli)


@pytest.fixture
def lab() -> Laboratory:
    return Laboratory()


@pytest.fixture
def shop(database_url: str, lab: Laboratory) -> Iterator[World]:
    world = World(database_url, plugins={"shelf": Shelf(), "desk": Desk(), "lab": lab})
    world.stock = world.lot(world.service("AMX", department="shelf", price="10.00", tax="S 1900"), "100")  # type: ignore[attr-defined]
    world.service("VIS", price="40.00")
    world.service("BLOOD", department="lab", price="21.05", tax="S 700")
    for login, role in (("lena", "cashier"), ("mia", "manager"), ("max", "manager")):
        world.run(lambda tx, login=login, role=role: staff.add_staff(tx, login=login, name=login.title(), role=role))  # type: ignore[misc]
    yield world
    assert broken(world) == []
    world.dispose()


def broken(world: World) -> list[Any]:
    entries = select(func.sum(JournalLine.amount_minor)).group_by(JournalLine.action_id, JournalLine.kind)
    assert set(world.read(lambda tx: tx.session.scalars(entries).all())) <= {0}
    return [(check.name, check.violations, check.error) for check in world.read(doctor.examine).broken]


def on_hand(world: World) -> int:
    return world.on_hand(world.stock)  # type: ignore[attr-defined]


def paid(world: World, *items: str, by: tuple[str, ...] = ("card 96.75",), **options: Any) -> tuple[str, dict[str, str]]:
    """Return a paid invoice with the ids of its items by code."""
    invoice = world.invoice(*(items or ("AMX:3", "VIS", "BLOOD"))).id
    world.pay(invoice, *by, **options)
    return invoice, items_of(world, invoice)


def items_of(world: World, invoice: str) -> dict[str, str]:
    seen = world.read(lambda tx: reading.read_invoice(tx, invoice=invoice))
    return {item.code: item.id for item in seen.items}


def refund(world: World, invoice: str, *items: Returned, actor: str | None = None, **options: Any) -> Reversed:
    asked = {"reason": "not wanted", **options}
    return world.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice, items=items, **asked), actor=actor)


TOTAL = 3_570 + 4_000 + 2_252
WHOLE = ("card 98.22",)


def test_part_of_a_quantity_comes_back_with_its_tax_and_the_same_lot(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)
    assert on_hand(shop) == 97_000

    done = refund(shop, invoice, Returned(items["AMX"], 1_000))

    assert (done.credited_minor, done.refunded_minor, done.tenders) == (1_190, 1_190, (("card", 1_190),))
    assert (done.number, done.status, done.amount_paid_minor, done.amount_due_minor) == ("CN-2026-00001", "paid", TOTAL - 1_190, 0)
    assert on_hand(shop) == 98_000
    row = shop.read(lambda tx: tx.session.scalars(select(ReversalItem)).one())
    assert (row.taxable_minor, row.tax_minor, row.quantity_milli, row.settled) == (1_000, 190, 1_000, True)


def test_paying_and_refunding_everything_restores_all_balances(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)

    for code, quantity in (("AMX", 1_000), ("VIS", None), ("AMX", 2_000), ("BLOOD", None)):
        done = refund(shop, invoice, Returned(items[code], quantity))

    assert (done.status, done.amount_paid_minor, done.amount_due_minor) == ("cancelled", 0, 0)
    assert on_hand(shop) == 100_000
    accounts = select(JournalLine.account, func.sum(JournalLine.amount_minor)).group_by(JournalLine.account)
    assert {int(amount) for _, amount in shop.read(lambda tx: tx.session.execute(accounts).all())} == {0}
    taken = select(Takings.department, func.sum(Takings.amount_minor)).group_by(Takings.department)
    assert {int(amount) for _, amount in shop.read(lambda tx: tx.session.execute(taken).all())} == {0}
    numbers = shop.read(lambda tx: tx.session.scalars(select(Reversal.number_value).order_by(Reversal.number_value)).all())
    assert numbers == [1, 2, 3, 4]


def test_no_more_comes_back_than_was_sold(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)
    refund(shop, invoice, Returned(items["AMX"], 2_000))

    with pytest.raises(MoreThanSold):
        refund(shop, invoice, Returned(items["AMX"], 2_000))
    assert refund(shop, invoice, Returned(items["AMX"])).credited_minor == 1_190
    with pytest.raises(MoreThanSold):
        refund(shop, invoice, Returned(items["AMX"]))


def test_department_that_refuses_stops_all_of_it(shop: World, lab: Laboratory) -> None:
    invoice, items = paid(shop, by=WHOLE)
    lab.begun = True
    before = shop.dump()

    with pytest.raises(Refused, match="in the laboratory already") as refusal:
        refund(shop, invoice, Returned(items["AMX"]), Returned(items["BLOOD"]))

    assert refusal.value.facts["plugin"] == "lab"
    assert shop.dump() == before


def test_goods_that_were_destroyed_do_not_come_back(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)

    refund(shop, invoice, Returned(items["AMX"], 1_000, "destroyed"), kind="return")

    assert on_hand(shop) == 97_000
    assert shop.read(lambda tx: tx.session.scalars(select(Reversal.kind)).all()) == ["return"]


def test_money_goes_back_by_its_method_or_to_the_wallet(shop: World) -> None:
    invoice, items = paid(shop, by=("cash 50.00", "card 48.22"))

    with pytest.raises(ChooseMethod):
        refund(shop, invoice, Returned(items["VIS"]))
    with pytest.raises(NotThatMethod):
        refund(shop, invoice, Returned(items["AMX"]), Returned(items["BLOOD"]), to="card")
    card = refund(shop, invoice, Returned(items["VIS"]), to="card")
    wallet = refund(shop, invoice, Returned(items["AMX"]), to="wallet")

    assert card.tenders == (("card", 4_000),)
    assert wallet.tenders == (("wallet", 3_570),)
    assert shop.read(lambda tx: tx.session.scalars(select(Wallet.balance_minor)).all()) == [3_570]


def test_money_goes_back_by_several_methods(shop: World) -> None:
    invoice, items = paid(shop, by=("cash 50.00", "card 48.22"))

    with pytest.raises(MoreThanPaid):
        refund(shop, invoice, Returned(items["VIS"]), to=[("cash", 1_000), ("card", 1_000)])
    done = refund(shop, invoice, Returned(items["VIS"]), to=[("cash", 1_000), ("card", 3_000)])

    assert done.tenders == (("cash", 1_000), ("card", 3_000))


def test_cash_that_goes_back_is_rounded_and_the_rounding_booked(database_url: str) -> None:
    world = World(database_url, clinic="berne", currency="CHF")
    world.service("VIS", price="40.02")
    invoice = world.invoice("VIS").id
    taken = world.pay(invoice, "cash 40.00")

    done = world.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="not wanted"))

    assert (taken.rounding_minor, taken.applied_minor) == (-2, 4_002)
    assert (done.refunded_minor, done.rounding_minor, done.tenders) == (4_002, -2, (("cash", 4_000),))
    assert broken(world) == []
    world.dispose()


def test_unpaid_item_is_credited_whole_and_no_money_moves(shop: World) -> None:
    invoice = shop.invoice("AMX:3", "VIS").id
    shop.pay(invoice, "card 40", scope="desk")
    items = items_of(shop, invoice)

    with pytest.raises(ItemNotPaid):
        refund(shop, invoice, Returned(items["AMX"], 1_000))
    done = refund(shop, invoice, Returned(items["AMX"]))

    assert (done.credited_minor, done.refunded_minor, done.status, done.amount_due_minor) == (3_570, 0, "paid", 0)
    with pytest.raises(InvoiceAlreadyPaid):
        shop.pay(invoice, "card 35.70")
    assert on_hand(shop) == 100_000


def test_money_on_account_goes_back_without_a_credit_note(shop: World) -> None:
    invoice = shop.invoice("AMX:3", "VIS").id
    shop.pay(invoice, "card 30.00", scope="ON_ACCOUNT")

    with pytest.raises(MoreThanPaid):
        shop.run(lambda tx: reversals.refund_on_account(tx, invoice_id=invoice, amount_minor=3_001, reason="x"))
    done = shop.run(lambda tx: reversals.refund_on_account(tx, invoice_id=invoice, amount_minor=1_000, reason="changed their mind"))

    assert (done.number, done.credited_minor, done.refunded_minor, done.amount_due_minor) == (None, 0, 1_000, 5_570)


def test_paid_invoice_is_cancelled_whole(shop: World) -> None:
    invoice = shop.invoice("AMX:3", "VIS").id
    shop.pay(invoice, "card 40", scope="desk")
    shop.pay(invoice, "card 5", scope="ON_ACCOUNT")

    done = shop.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="wrong patient"))

    assert (done.status, done.refunded_minor, done.credited_minor, done.amount_due_minor) == ("cancelled", 4_500, 7_570, 0)
    with pytest.raises(InvoiceCancelled):
        shop.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="again"))


def test_rest_is_written_off(shop: World) -> None:
    invoice = shop.invoice("AMX:3", "VIS").id
    shop.pay(invoice, "card 40", scope="desk")

    done = shop.run(lambda tx: reversals.write_off(tx, invoice_id=invoice, reason="moved away"), actor="mia")

    assert (done.status, done.written_off_minor, done.amount_due_minor, done.number) == ("paid", 3_570, 0, None)
    with pytest.raises(InvoiceAlreadyPaid):
        shop.run(lambda tx: reversals.write_off(tx, invoice_id=invoice, reason="again"))


def test_what_has_no_payment_is_not_refunded(shop: World) -> None:
    draft = shop.invoice("VIS").id
    sent = shop.invoice("VIS").id
    shop.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=sent))

    for invoice in (draft, sent):
        with pytest.raises(InvoiceNotPaid):
            shop.run(lambda tx, invoice=invoice: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="x"))  # type: ignore[misc]
    with pytest.raises(InvoiceNotIssued):
        shop.run(lambda tx: reversals.write_off(tx, invoice_id=draft, reason="x"))


@pytest.mark.parametrize("wrong", [[], ["none"], ["twice"], ["other"]])
def test_items_are_of_the_invoice_each_once(shop: World, wrong: list[str]) -> None:
    invoice, items = paid(shop, by=WHOLE)
    _, others = paid(shop, by=WHOLE)
    named = {"none": [Returned("nothing")], "twice": [Returned(items["VIS"])] * 2, "other": [Returned(others["VIS"])]}

    with pytest.raises(UnknownItem):
        refund(shop, invoice, *(named[wrong[0]] if wrong else []))


def test_condition_and_kind_are_known_ones(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)

    with pytest.raises(BadCondition):
        refund(shop, invoice, Returned(items["AMX"], 1_000, "eaten"))
    with pytest.raises(BadCondition):
        refund(shop, invoice, Returned(items["AMX"]), kind="gift")


def test_same_key_refunds_once(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)

    first = refund(shop, invoice, Returned(items["AMX"], 1_000), key="k")
    again = refund(shop, invoice, Returned(items["AMX"], 1_000), key="k")
    with pytest.raises(KeyReused):
        refund(shop, invoice, Returned(items["AMX"], 2_000), key="k")

    assert (again.replayed, again.number, again.id, again.items) == (True, first.number, first.id, first.items)
    assert on_hand(shop) == 98_000


# --- voids ---


def voided(world: World, payment: str, actor: str | None = None, **options: Any) -> Reversed:
    return world.run(lambda tx: reversals.void_payment(tx, payment_id=payment, reason="wrong button", **options), actor=actor)


@pytest.fixture
def till(shop: World) -> World:
    shop.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000))
    return shop


def test_voided_payment_is_as_if_it_had_not_been(till: World) -> None:
    invoice = till.invoice("AMX:3", "VIS", "BLOOD").id
    payment = till.pay(invoice, "cash 100")

    done = voided(till, payment.id)

    assert (done.status, done.amount_paid_minor, done.amount_due_minor, done.number) == ("sent", 0, TOTAL, None)
    assert done.tenders == (("cash", TOTAL),)
    assert on_hand(till) == 100_000
    assert till.read(lambda tx: tx.session.scalars(select(InvoiceItem.id).where(InvoiceItem.payment_id.is_not(None))).all()) == []
    report = till.run(lambda tx: shifts.close_shift(tx, counted={10_000: 1}))
    assert report.differences == {"cash": 0}
    assert [each["kind"] for each in report.reversals] == ["void"]


def test_what_was_voided_can_be_paid_again(till: World) -> None:
    invoice = till.invoice("AMX:3", "VIS").id
    voided(till, till.pay(invoice, "cash 100").id)

    again = till.pay(invoice, "card 75.70")

    assert (again.receipt_number, again.status) == ("R-2026-00002", "paid")
    assert on_hand(till) == 97_000


def test_latest_payment_is_voided_first_and_each_once(till: World) -> None:
    invoice = till.invoice("AMX:3", "VIS").id
    first, second = till.pay(invoice, "card 40", scope="desk"), till.pay(invoice, "card 35.70")

    with pytest.raises(VoidLatestFirst) as refusal:
        voided(till, first.id)
    voided(till, second.id)
    with pytest.raises(AlreadyVoided):
        voided(till, second.id)
    voided(till, first.id)

    assert refusal.value.facts["latest"] == second.id


def test_payment_is_voided_in_its_open_shift_only(shop: World) -> None:
    outside = shop.pay(shop.invoice("VIS").id, "card 40")
    shop.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0))
    inside = shop.pay(shop.invoice("VIS").id, "card 40")
    shop.run(lambda tx: shifts.close_shift(tx, counted={}))

    for payment in (outside, inside):
        with pytest.raises(NotInShift):
            voided(shop, payment.id)
    with pytest.raises(UnknownPayment):
        voided(shop, "01900000-0000-7000-8000-000000000000")


def test_payment_of_which_something_came_back_is_not_voided(till: World) -> None:
    invoice, items = paid(till, by=WHOLE)
    payment = till.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).payments[0].id
    refund(till, invoice, Returned(items["VIS"]))

    with pytest.raises(RefundedSince):
        voided(till, payment)


# --- who may ---


def test_cashier_needs_somebody_elses_approval(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE, actor="lena")

    with pytest.raises(ApprovalMissing):
        refund(shop, invoice, Returned(items["VIS"]), actor="lena")
    shop.run(
        lambda tx: approvals.give_approval(tx, permission="payments.refund", subject_id=invoice, reason="agreed", most_minor=4_000),
        actor="mia",
    )
    with pytest.raises(ApprovalMissing):
        refund(shop, invoice, Returned(items["VIS"]), Returned(items["AMX"]), actor="lena")
    refund(shop, invoice, Returned(items["VIS"]), actor="lena")
    with pytest.raises(ApprovalMissing):
        refund(shop, invoice, Returned(items["AMX"]), actor="lena")

    people = shop.read(lambda tx: {row.login: row.id for row in tx.session.scalars(select(Staff))})
    assert shop.read(lambda tx: tx.session.scalars(select(Reversal.approved_by)).all()) == [people["mia"]]


def test_policy_asks_for_a_second_person_who_did_not_take_the_money(database_url: str) -> None:
    world = World(database_url, policy={"second_person": True})
    world.service("VIS", price="40.00")
    for login in ("mia", "max"):
        world.run(lambda tx, login=login: staff.add_staff(tx, login=login, name=login.title(), role="manager"))  # type: ignore[misc]
    invoice = world.invoice("VIS").id
    world.pay(invoice, "card 40")

    def cancel(actor: str) -> Any:
        return world.run(lambda tx: reversals.cancel_paid_invoice(tx, invoice_id=invoice, reason="x"), actor=actor)

    def approve(actor: str) -> None:
        world.run(lambda tx: approvals.give_approval(tx, permission="payments.refund", subject_id=invoice, reason="agreed"), actor=actor)

    with pytest.raises(ApprovalMissing):
        cancel("max")
    approve("operator")  # who took the money
    with pytest.raises(ApprovalMissing):
        cancel("max")
    approve("max")
    with pytest.raises(ApprovalMissing):
        cancel("max")  # by oneself
    assert cancel("mia").status == "cancelled"
    world.dispose()


def test_who_may_not_reverse_is_refused(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)
    shop.run(lambda tx: staff.add_staff(tx, login="ines", name="Ines", role="clinician"))

    with pytest.raises(PermissionMissing):
        refund(shop, invoice, Returned(items["VIS"]), actor="ines")


# --- what is told ---


def test_preview_says_what_would_come_back_and_who_objects(shop: World, lab: Laboratory) -> None:
    invoice, items = paid(shop, by=WHOLE)
    lab.begun = True
    before = shop.dump()

    one = shop.read(lambda tx: reversal_preview.preview_refund(tx, invoice_id=invoice, items=[Returned(items["AMX"], 1_000)]))
    everything = shop.read(lambda tx: reversal_preview.preview_refund(tx, invoice_id=invoice))

    assert (one.credited_minor, one.refunded_minor, one.methods, one.objections) == (1_190, 1_190, (("card", TOTAL),), ())
    assert (everything.refunded_minor, len(everything.objections)) == (TOTAL, 1)
    assert shop.dump() == before


def test_reversal_is_audited_and_told(shop: World) -> None:
    invoice, items = paid(shop, by=WHOLE)

    done = refund(shop, invoice, Returned(items["AMX"], 1_000))

    events = shop.read(lambda tx: [(e.topic, e.data) for e in tx.session.scalars(select(Event).where(Event.subject_id == done.id))])
    assert [topic for topic, _ in events] == ["reversal.refund"]
    assert events[0][1]["credited_minor"] == 1_190


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_refunds_leave_the_books_whole(shop: World, data: st.DataObject) -> None:
    """However an invoice is paid and refunded, nothing is lost: the credit notes sum to it, stock and accounts are restored."""
    stock = on_hand(shop)
    quantity = data.draw(st.integers(1, 5_000))
    invoice = shop.invoice(f"AMX:{quantity // 1000}.{quantity % 1000:03}", "VIS").id
    total = shop.read(lambda tx: reading.read_invoice(tx, invoice=invoice)).invoice.total_minor
    shop.pay(invoice, f"card {total // 100}.{total % 100:02}")
    item, left, credited = items_of(shop, invoice)["AMX"], quantity, 0

    for last in (False, False, True):
        part = left if last else data.draw(st.integers(1, max(1, left // 2)))
        credited += refund(shop, invoice, Returned(item, part)).credited_minor
        left -= part
        if not left:
            break

    assert credited == total - 4_000
    assert on_hand(shop) == stock
