"""A second person's approval: given beforehand by who may, for one thing, once, today; checked again when it is used."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing import clock
from billing.errors import Forbidden
from billing.model import Approval, AuditEntry, Client, Staff, new_id
from billing.services import approvals, clinics, staff
from billing.services.approvals import APPROVALS, ApprovalMissing, ApprovalUsed, Approved, BadApproval, UnknownSubject
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

NOON = datetime(2026, 5, 4, 10, tzinfo=UTC)

Hire = Callable[[str], str]


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with clock.fixed(NOON):
        yield


@pytest.fixture
def invoice_id(world: World) -> str:
    world.service("XRAY")
    return world.invoice("XRAY").id


def give(world: World, subject_id: str, by: str, permission: str = "payments.refund", **options: Any) -> approvals.ApprovalSeen:
    return world.run(
        lambda tx: approvals.give_approval(tx, permission=permission, subject_id=subject_id, reason="wrong box", **options), actor=by
    )


def decide(
    world: World, subject_id: str, actor: str, *, use: bool = False, amount: int = 500, permission: str = "payments.refund", **options: Any
) -> Approved:
    def unit(tx: Transaction) -> Approved:
        if taker := options.get("taken_by_login"):
            options["taken_by"] = [_staff_id(tx, taker)]
        rows = tx.rows(APPROVALS, permission=permission, subject_id=subject_id)
        found = approvals.decide(
            tx, rows, permission=permission, subject_id=subject_id, amount_minor=amount, taken_by=options.get("taken_by", ())
        )
        if use:
            found.use(tx, used_for=new_id())
            tx.audit("approval.tried", "invoice", subject_id)
        return found

    return world.run(unit, actor=actor)


def _staff_id(tx: Transaction, login: str) -> str:
    return next(each.id for each in tx.session.scalars(select(Staff)) if each.login == login)


def with_policy(world: World, **policy: Any) -> None:
    world.run(lambda tx: clinics.update_clinic(tx, changes={"policy": policy}))


def refused(world: World, *args: Any, **options: Any) -> bool:
    with pytest.raises(ApprovalMissing) as caught:
        decide(world, *args, **options)
    assert isinstance(caught.value, Forbidden)
    assert "billing approve refund" in caught.value.sentence
    return True


def test_cashier_alone_is_refused_and_acts_with_a_managers_approval_once(world: World, hire: Hire, invoice_id: str) -> None:
    cashier, manager = hire("cashier"), hire("manager")

    assert refused(world, invoice_id, cashier)
    given = give(world, invoice_id, manager)
    used = decide(world, invoice_id, cashier, use=True)

    assert used.approval_id == given.id
    assert refused(world, invoice_id, cashier)
    (seen,) = world.read(approvals.list_approvals)
    assert (seen.given_by, seen.used_by, seen.used_at, seen.reason) == (manager, cashier, NOON, "wrong box")
    assert seen.given_at == NOON


def test_manager_acts_alone_unless_the_clinic_asks_for_a_second_person(world: World, hire: Hire, invoice_id: str) -> None:
    manager = hire("manager")
    world.run(lambda tx: staff.add_staff(tx, login="mia", name="Mia", role="manager"))

    assert decide(world, invoice_id, manager) == Approved()
    with_policy(world, second_person=True)
    assert refused(world, invoice_id, manager)
    give(world, invoice_id, manager)
    assert refused(world, invoice_id, manager)  # one's own
    assert decide(world, invoice_id, "mia").by is not None


def test_who_took_the_money_approves_nothing_of_it(world: World, hire: Hire, invoice_id: str) -> None:
    cashier, manager = hire("cashier"), hire("manager")
    give(world, invoice_id, manager)

    assert refused(world, invoice_id, cashier, taken_by_login=manager)
    assert decide(world, invoice_id, cashier, taken_by_login=cashier).by is not None


def test_approval_is_good_for_its_amount_its_subject_its_act_and_its_day(world: World, hire: Hire, invoice_id: str) -> None:
    cashier, manager = hire("cashier"), hire("manager")
    other = world.invoice("XRAY").id
    give(world, invoice_id, manager, most_minor=500)

    assert refused(world, invoice_id, cashier, amount=501)
    assert refused(world, other, cashier)
    with pytest.raises(ApprovalMissing, match="billing approve write-off"):
        decide(world, invoice_id, cashier, permission="invoices.write_off")
    assert decide(world, invoice_id, cashier, amount=500).by is not None
    with clock.fixed(NOON + timedelta(days=1)):
        assert refused(world, invoice_id, cashier)


@pytest.mark.parametrize("lost", ["role", "membership"])
def test_who_has_lost_the_right_since_has_approved_nothing(world: World, hire: Hire, invoice_id: str, lost: str) -> None:
    cashier, manager = hire("cashier"), hire("manager")
    give(world, invoice_id, manager)

    if lost == "role":
        world.run(lambda tx: staff.change_role(tx, member=manager, role="auditor"))
    else:
        world.run(lambda tx: staff.deactivate_membership(tx, member=manager))

    assert refused(world, invoice_id, cashier)


def test_approval_that_somebody_was_first_to_use_stops_the_other(world: World, hire: Hire, invoice_id: str) -> None:
    cashier, manager = hire("cashier"), hire("manager")
    given = give(world, invoice_id, manager)

    def use(tx: Transaction) -> None:
        Approved("", given.id).use(tx, used_for=new_id())

    world.run(use, actor=cashier)
    with pytest.raises(ApprovalUsed):
        world.run(use, actor=cashier)


@pytest.mark.parametrize("role", ["cashier", "clinician", "auditor", "admin", "importer"])
def test_only_a_manager_approves(world: World, hire: Hire, invoice_id: str, role: str) -> None:
    with pytest.raises(PermissionMissing):
        give(world, invoice_id, hire(role))


def test_nobody_approves_what_they_may_not_do_themselves(world: World, hire: Hire, invoice_id: str) -> None:
    def unit(tx: Transaction) -> Any:
        tx.actor = replace(tx.actor, permissions=tx.actor.permissions - {"payments.refund"})
        return approvals.give_approval(tx, permission="payments.refund", subject_id=invoice_id, reason="x")

    with pytest.raises(PermissionMissing) as caught:
        world.run(unit, actor=hire("manager"))

    assert caught.value.facts["permission"] == "payments.refund"


def test_what_can_be_approved_is_there_and_of_the_right_kind(world: World, hire: Hire, invoice_id: str) -> None:
    manager = hire("manager")
    payment_id = world.pay(invoice_id, "cash 10").id
    client_id = world.read(lambda tx: tx.session.scalars(select(Client.id)).first())

    for permission, subject in [
        ("payments.void", payment_id),
        ("payments.refund", invoice_id),
        ("payments.refund", client_id),
        ("invoices.write_off", invoice_id),
        ("discounts.approve", invoice_id),
    ]:
        assert give(world, str(subject), manager, permission).permission == permission
    for permission, subject in [("payments.void", invoice_id), ("invoices.write_off", payment_id), ("payments.refund", "N1")]:
        with pytest.raises(UnknownSubject):
            give(world, subject, manager, permission)
    with pytest.raises(BadApproval, match="choose from"):
        give(world, invoice_id, manager, "payments.take")
    with pytest.raises(BadApproval, match="above zero"):
        give(world, invoice_id, manager, most_minor=0)


def test_subject_of_another_clinic_is_unknown(world: World, hire: Hire) -> None:
    world.service("XRAY", clinic="south")
    elsewhere = world.invoice("XRAY", clinic="south").id

    with pytest.raises(UnknownSubject):
        give(world, elsewhere, hire("manager"))


def test_giving_is_audited_without_words(world: World, hire: Hire, invoice_id: str) -> None:
    given = give(world, invoice_id, hire("manager"), most_minor=700)

    entry = world.read(lambda tx: tx.session.scalars(select(AuditEntry).where(AuditEntry.action == "approval.given")).one().data)

    assert entry == {"permission": "payments.refund", "approved_id": invoice_id, "most_minor": 700}
    assert world.read(lambda tx: tx.session.scalars(select(Approval.reason).where(Approval.id == given.id)).one()) == "wrong box"


def test_approvals_are_listed_latest_first_a_page_at_a_time(world: World, hire: Hire, invoice_id: str) -> None:
    manager = hire("manager")
    given = [give(world, invoice_id, manager).id for _ in range(3)]

    first = world.read(lambda tx: approvals.list_approvals(tx, limit=2))
    rest = world.read(lambda tx: approvals.list_approvals(tx, limit=2, after=first[-1]))

    assert [each.id for each in [*first, *rest]] == given[::-1]


def test_race_for_one_approval_has_one_winner(world: World, hire: Hire, beside: Any, invoice_id: str) -> None:
    give(world, invoice_id, hire("manager"))
    used: list[str] = []

    def unit(tx: Transaction) -> None:
        rows = tx.rows(APPROVALS, permission="payments.refund", subject_id=invoice_id)
        tx.actor = replace(tx.actor, permissions=frozenset())
        found = approvals.decide(tx, rows, permission="payments.refund", subject_id=invoice_id, amount_minor=1)
        found.use(tx, used_for=new_id())
        used.append(str(found.approval_id))

    other = beside(unit, unit)

    assert isinstance(other.exception(), (ApprovalMissing, ApprovalUsed))
    assert len(set(used)) == 1
