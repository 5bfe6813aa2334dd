"""Threats from inside: what a cashier or two could try with money that is back or never there, and what stops or shows it."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from billing import clock
from billing.model import JournalLine, Reversal
from billing.services import approvals, documents, reversals, shift_report, shifts, staff
from billing.services.audit import list_entries
from billing.services.reversals import Returned

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


def open_till(world: "CaseWorld", cashier: str = "c1", drawer: str = "front") -> str:
    return world.run(lambda tx: shifts.open_shift(tx, drawer=drawer, float_minor=10_000), actor=cashier).id


def void(world: "CaseWorld", payment_id: str, actor: str) -> Any:
    return world.run(lambda tx: reversals.void_payment(tx, payment_id=payment_id, reason="wrong button"), actor=actor)


def approve(world: "CaseWorld", subject: str, actor: str = "m1", permission: str = "payments.void", most: int | None = None) -> str:
    return world.run(
        lambda tx: approvals.give_approval(tx, permission=permission, subject_id=subject, reason="seen it", most_minor=most), actor=actor
    ).id


def refund(world: "CaseWorld", invoice_id: str, *items: Returned, actor: str = "m1", **options: Any) -> Any:
    return world.run(lambda tx: reversals.refund_items(tx, invoice_id=invoice_id, items=items, reason="not wanted", **options), actor=actor)


# --- T01: a cashier voids after the client has left, and keeps the cash ---


def test_t01_cashier_voids_nothing_alone(world: "CaseWorld") -> None:
    open_till(world)
    paid = world.pay(world.bill("VISIT").id, "cash 44", actor="c1")
    before = world.dump()

    alone = world.refused(lambda: void(world, paid.id, "c1"))
    by_themselves = world.refused(lambda: approve(world, paid.id, actor="c1"))

    assert (alone, by_themselves) == ("approval_missing", "permission_missing")
    grown = {name for name, rows in world.dump().items() if rows != before[name]}
    assert grown <= {"audit_entry", "audit_head"}, "a refusal leaves its entry in the audit trail and nothing else"


def test_t01_void_needs_a_reason_and_another_person_and_is_listed_at_close(world: "CaseWorld") -> None:
    shift = open_till(world)
    paid = world.pay(world.bill("VISIT").id, "cash 44", actor="c1")
    approve(world, paid.id)

    without_reason = world.refused(lambda: world.run(lambda tx: reversals.void_payment(tx, payment_id=paid.id, reason=" "), actor="c1"))
    done = void(world, paid.id, "c1")
    report = world.run(lambda tx: shifts.close_shift(tx, counted={10_000: 1}), actor="c1")

    assert without_reason == "bad_text"
    row = world.read(lambda tx: tx.session.scalars(select(Reversal).where(Reversal.id == done.id)).one())
    assert row.approved_by not in (None, row.done_by)
    (listed,) = report.reversals
    assert (listed["kind"], listed["refunded_minor"], listed["reason"], listed["person"]) == ("void", 4_400, "wrong button", "C1")
    assert listed["approved_by"] == row.approved_by
    kept = world.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift), actor="m1")
    assert kept.reversals == report.reversals
    receipt = world.run(lambda tx: documents.print_receipt(tx, payment_id=paid.id, form="text")).content
    assert paid.receipt_number in receipt
    assert "VOID" in receipt


def test_t01_manager_who_took_the_money_does_not_void_it_alone(world: "CaseWorld") -> None:
    world.choose(second_person=True)
    open_till(world)
    paid = world.pay(world.bill("VISIT").id, "cash 44", actor="c1")
    world.run(lambda tx: staff.change_role(tx, member="c1", role="manager"))

    alone = world.refused(lambda: void(world, paid.id, "c1"))
    approve(world, paid.id, actor="c1")
    own_consent = world.refused(lambda: void(world, paid.id, "c1"))
    consent_of_who_took_it = world.refused(lambda: void(world, paid.id, "m1"))
    approve(world, paid.id, actor="m1")

    assert (alone, own_consent, consent_of_who_took_it) == ("approval_missing",) * 3
    assert void(world, paid.id, "c1").status == "sent"


# --- T04: a shortage is hidden by later entries, or with the float ---


def test_t04_correction_is_a_document_of_its_own_in_the_shift_of_who_gives_it(world: "CaseWorld") -> None:
    world.choose(cash_needs_shift=True)
    first = open_till(world)
    bill = world.bill("VISIT")
    world.pay(bill.id, "cash 44", actor="c1")
    world.run(lambda tx: shifts.close_shift(tx, counted={10_000: 1, 100: 44}), actor="c1")
    frozen = world.read(lambda tx: shift_report.read_shift_report(tx, shift_id=first), actor="m1")
    second = open_till(world, "c2", "back")
    approve(world, bill.id, permission="payments.refund")

    done = refund(world, bill.id, Returned(bill.item_ids[0]), actor="c2")

    assert done.number is not None
    sums = (
        select(JournalLine.shift_id, func.sum(JournalLine.amount_minor)).where(JournalLine.account == "cash").group_by(JournalLine.shift_id)
    )
    assert {row[0]: int(row[1]) for row in world.read(lambda tx: tx.session.execute(sums).all())} == {first: 0, second: 5_600}
    assert world.read(lambda tx: shift_report.read_shift_report(tx, shift_id=first), actor="m1") == frozen


# --- T07: more cash back than was sold, goods that were never sold ---


def test_t07_refund_is_of_what_was_sold_by_its_method_and_approved(world: "CaseWorld") -> None:
    open_till(world)
    bill = world.n1()
    drugs, blood, visit = bill.item_ids
    other = world.bill("AMOX:1")
    world.pay(bill.id, "card 66", scope="pharmacy", actor="c1")
    before = world.dump()

    codes = [
        world.refused(lambda: refund(world, bill.id, Returned(drugs), to="cash")),
        world.refused(lambda: refund(world, bill.id, Returned(drugs), to="transfer")),
        world.refused(lambda: refund(world, bill.id, Returned(drugs, 2_001))),
        world.refused(lambda: refund(world, bill.id, Returned(drugs, -1_000))),
        world.refused(lambda: refund(world, bill.id, Returned(other.item_ids[0]))),
        world.refused(lambda: refund(world, other.id, Returned(other.item_ids[0]), kind="return")),
        world.refused(lambda: refund(world, bill.id, Returned(blood, 500))),
        world.refused(lambda: refund(world, bill.id, Returned(drugs), to=[("card", 6_601)])),
    ]

    assert codes == [
        *("not_that_method", "not_that_method", "more_than_sold", "more_than_sold", "unknown_item"),
        *("invoice_not_paid", "item_not_paid", "not_that_method"),
    ]
    assert world.dump() == before
    assert world.refused(lambda: refund(world, bill.id, Returned(drugs), actor="c1")) == "approval_missing"
    assert refund(world, bill.id, Returned(drugs, 1_000), to="wallet").tenders == (("wallet", 3_300),)
    assert refund(world, bill.id, Returned(drugs)).tenders == (("card", 3_300),)
    assert world.seen(bill.id).items[2].id == visit
    assert world.stock() == 10_000


def test_t07_approval_is_for_the_amount_that_its_giver_has_seen(world: "CaseWorld") -> None:
    bill = world.bill("AMOX:2")
    world.pay(bill.id, "card 66", actor="c1")
    approve(world, bill.id, permission="payments.refund", most=3_300)

    whole = world.refused(lambda: refund(world, bill.id, Returned(bill.item_ids[0]), actor="c1"))

    assert whole == "approval_missing"
    assert refund(world, bill.id, Returned(bill.item_ids[0], 1_000), actor="c1").refunded_minor == 3_300
    assert world.refused(lambda: refund(world, bill.id, Returned(bill.item_ids[0]), actor="c1")) == "approval_missing", "it is used up"


# --- T09: two logins, one person: who approves is another, and still may ---


@pytest.mark.parametrize("change", ["demoted", "deactivated", "next day", "of another receipt", "other act"])
def test_t09_approval_is_good_only_while_its_giver_may_give_it(world: "CaseWorld", change: str) -> None:
    open_till(world)
    bill, other = world.bill("VISIT"), world.bill("VISIT")
    paid, second = world.pay(bill.id, "cash 44", actor="c1"), world.pay(other.id, "cash 44", actor="c1")
    if change == "other act":
        approve(world, bill.id, permission="payments.refund")
    else:
        approve(world, second.id if change == "of another receipt" else paid.id)
    if change == "demoted":
        world.run(lambda tx: staff.change_role(tx, member="m1", role="cashier"))
    if change == "deactivated":
        world.run(lambda tx: staff.deactivate_membership(tx, member="m1"))

    with clock.fixed(clock.now() + timedelta(days=1 if change == "next day" else 0, seconds=1)):
        code = world.refused(lambda: void(world, paid.id, "c1"))

    assert code == "approval_missing"


def test_t09_approval_is_used_once_and_the_pair_stays_known(world: "CaseWorld") -> None:
    open_till(world)
    bill = world.bill("VISIT")
    paid = world.pay(bill.id, "cash 44", actor="c1")
    given = approve(world, paid.id)

    done = void(world, paid.id, "c1")
    again = world.pay(bill.id, "cash 44", actor="c1")

    assert world.refused(lambda: void(world, again.id, "c1")) == "approval_missing"
    (seen,) = world.read(approvals.list_approvals)
    assert (seen.id, seen.given_by, seen.used_by) == (given, "m1", "c1")
    (entry,) = world.read(lambda tx: list_entries(tx, action="reversal.void", limit=10))
    row = world.read(lambda tx: tx.session.scalars(select(Reversal).where(Reversal.id == done.id)).one())
    assert entry.data["approved_by"] == row.approved_by


def test_t09_nobody_approves_what_they_do_themselves(world: "CaseWorld") -> None:
    world.choose(second_person=True)
    open_till(world)
    paid = world.pay(world.bill("VISIT").id, "cash 44", actor="c1")
    approve(world, paid.id, actor="m1")

    by_the_same = world.refused(lambda: void(world, paid.id, "m1"))

    assert by_the_same == "approval_missing"
    assert void(world, paid.id, "c1").status == "sent"
