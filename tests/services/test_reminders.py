"""Reminders: each level of the policy once for an invoice, at most one a day, one event each, however often and wherever it is run."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing import clock
from billing.model import Event, Reminder
from billing.services import clinics, invoice_steps, reminders, reversals
from billing.services.reminders import Reminded
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

ISSUED = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = {"reminders": [{"days": 7}, {"days": 21, "fee_minor": 500}]}
PAYMENT_DAYS = 14


@pytest.fixture
def shop(world: World) -> World:
    world.service("VIS", price="40.00")
    world.run(lambda tx: clinics.update_clinic(tx, changes={"policy": POLICY}))
    return world


def issued(world: World, *, later: int = 0) -> str:
    with clock.fixed(ISSUED + timedelta(days=later)):
        made = world.invoice("VIS").id
        world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made))
    return made


def run(world: World, *, overdue: int, **options: Any) -> list[Reminded]:
    """Remind so many days after the first invoice was due."""
    told: list[Reminded] = []
    with clock.fixed(ISSUED + timedelta(days=PAYMENT_DAYS + overdue)):
        after = None
        while True:
            done = world.run(lambda tx, after=after: reminders.remind(tx, after=after, **options))  # type: ignore[misc]
            told += done.reminders
            after = done.after
            if after is None:
                return told


def events(world: World) -> list[tuple[str, int, int]]:
    found = world.read(lambda tx: tx.session.execute(select(Event.subject_id, Event.data).where(Event.topic == "invoice.reminded")).all())
    return sorted((subject, data["level"], data["fee_minor"]) for subject, data in found)


def test_each_level_is_told_once_on_its_day(shop: World) -> None:
    invoice = issued(shop)

    told = {day: [(each.level, each.due_minor, each.fee_minor) for each in run(shop, overdue=day)] for day in (6, 7, 8, 20, 21, 22, 90)}

    assert told == {6: [], 7: [(1, 4_000, 0)], 8: [], 20: [], 21: [(2, 4_000, 500)], 22: [], 90: []}
    assert events(shop) == [(invoice, 1, 0), (invoice, 2, 500)]


def test_levels_that_were_missed_come_one_a_day(shop: World) -> None:
    issued(shop)

    assert [[each.level for each in run(shop, overdue=day)] for day in (40, 40, 41, 41, 42)] == [[1], [], [2], [], []]


def test_what_is_paid_written_off_or_cancelled_is_not_reminded_of(shop: World) -> None:
    invoices = [issued(shop) for _ in range(5)]
    shop.pay(invoices[0], "card 40")
    shop.run(lambda tx: reversals.write_off(tx, invoice_id=invoices[1], reason="lost"))
    shop.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=invoices[2], reason="wrong"))
    shop.pay(invoices[3], "card 15", scope="ON_ACCOUNT")
    shop.invoice("VIS")

    told = run(shop, overdue=10)

    assert sorted((each.invoice_id, each.due_minor) for each in told) == sorted([(invoices[3], 2_500), (invoices[4], 4_000)])


def test_any_number_of_invoices_is_walked_through_page_by_page(shop: World) -> None:
    invoices = [issued(shop, later=day // 3) for day in range(7)]

    told = run(shop, overdue=20, limit=2)

    assert sorted(each.invoice_id for each in told) == sorted(invoices)
    assert run(shop, overdue=20, limit=2) == []


def test_two_runs_at_once_tell_each_reminder_once(
    shop: World, beside: Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]
) -> None:
    invoices = sorted(issued(shop) for _ in range(3))
    today = ISSUED + timedelta(days=PAYMENT_DAYS + 8)

    def one(tx: Transaction) -> Any:
        tx.at, tx._business_date = today, None  # noqa: SLF001 - a thread's clock is its own
        return reminders.remind(tx)

    other = beside(one, one)

    assert other.result().reminders == ()
    assert [invoice for invoice, _, _ in events(shop)] == invoices
    rows = shop.read(lambda tx: tx.session.execute(select(Reminder.invoice_id, Reminder.level)).all())
    assert sorted((row.invoice_id, row.level) for row in rows) == [(invoice, 1) for invoice in invoices]


def test_reminders_are_audited_and_their_fee_is_not_booked(shop: World) -> None:
    invoice = issued(shop)
    before = shop.dump()
    run(shop, overdue=30)
    (told,) = run(shop, overdue=31)

    assert told.fee_minor == 500
    after = shop.dump()
    assert {table for table in before if before[table] != after[table]} == {"audit_entry", "audit_head", "event", "reminder"}
    assert len(after["audit_entry"]) - len(before["audit_entry"]) == 2
    assert [row for row in after["invoice"] if invoice in map(str, row)] == [row for row in before["invoice"] if invoice in map(str, row)]


def test_clinic_without_levels_reminds_of_nothing(shop: World) -> None:
    issued(shop)
    shop.run(lambda tx: clinics.update_clinic(tx, changes={"policy": {"reminders": []}}))

    assert run(shop, overdue=100) == []


def test_who_may_not_remind_is_refused(shop: World, hire: Callable[[str], str]) -> None:
    cashier = hire("cashier")

    with pytest.raises(PermissionMissing):
        shop.run(reminders.remind, actor=cashier)
