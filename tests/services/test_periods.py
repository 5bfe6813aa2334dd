"""Closed months: nothing enters them by any path, in flight or late; what stood is kept; they are never opened again."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.changes.failures import PeriodClosed
from billing.model import AuditEntry, AuditHead, Event, JournalLine, Payment, Period
from billing.services import balances, invoice_steps, invoices, periods, shifts
from billing.services.audit import verify_chain
from billing.services.periods import BadMonth, MonthNotOver, ShiftStillOpen
from billing.testing.world import World, items_of

JANUARY = datetime(2026, 1, 14, 9, 30, tzinfo=UTC)
LAST_MOMENT = datetime(2026, 1, 31, 22, 59, 59, 999999, tzinfo=UTC)
"""23:59 in Berlin, where the clinic is; an hour before it is over by UTC."""
FEBRUARY = LAST_MOMENT + timedelta(microseconds=1)


def close(world: World, month: str, at: datetime | None = None) -> list[periods.PeriodView]:
    return world.run(lambda tx: periods.close_period(tx, month=month), at=at)


def sell(world: World, at: datetime, tender: str = "card 44 C-1") -> str:
    patient = world.patient()
    made = world.run(lambda tx: invoices.create_invoice(tx, patient_id=patient, items=items_of(["VIS"])), at=at)
    world.pay(made.id, tender, at=at)
    return made.id


@pytest.fixture
def sold(world: World) -> World:
    """Return a clinic that has sold on the last moment of January and on the first of February."""
    world.service("VIS", price="44.00")
    sell(world, JANUARY)
    sell(world, LAST_MOMENT)
    sell(world, FEBRUARY)
    return world


def test_month_ends_at_midnight_of_the_clinic(sold: World) -> None:
    close(sold, "2026-01")
    open_one = sold.invoice("VIS").id
    before = sold.dump()

    with pytest.raises(PeriodClosed, match="2026-01-31 is in a month that is closed"):
        sold.pay(open_one, "card 44 C-1", at=LAST_MOMENT)
    assert sold.dump() == before
    sold.pay(open_one, "card 44 C-1", at=FEBRUARY)

    assert sold.read(lambda tx: tx.session.scalars(select(AuditHead.closed_through)).one()) == date(2026, 1, 31)


def test_closed_month_keeps_what_stood_when_it_ended(sold: World) -> None:
    (closed,) = close(sold, "2026-01")

    assert (closed.month, closed.from_date, closed.until_date, closed.closed_by) == (
        "2026-01",
        date(2026, 1, 1),
        date(2026, 1, 31),
        sold.actor,
    )
    kept = sold.read(lambda tx: tx.session.scalars(select(Period.balances)).one())
    assert kept == {"method:card": 8_800, "receivable:client": 0, "revenue:desk": -8_800}
    then = sold.read(lambda tx: balances.balances(tx, until_date=date(2026, 2, 1)))
    assert {each.account: each.closing_minor for each in then} == kept
    entry = sold.read(lambda tx: tx.session.scalars(select(AuditEntry).where(AuditEntry.action == "period.closed")).one())
    assert (entry.subject, entry.subject_id, entry.data["balances"]) == ("period", "2026-01", kept)
    assert sold.read(lambda tx: tx.session.scalars(select(Event.subject_id).where(Event.topic == "period.closed")).all()) == ["2026-01"]
    assert sold.read(verify_chain).intact


def test_open_months_before_are_closed_with_it_oldest_first(sold: World) -> None:
    closed = close(sold, "2026-03")
    later = close(sold, "2026-04")

    assert [each.month for each in (*closed, *later)] == ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert [each.month for each in sold.read(periods.list_periods)] == ["2026-04", "2026-03", "2026-02", "2026-01"]
    stood = sold.read(lambda tx: tx.session.scalars(select(Period.balances).order_by(Period.until_date)).all())
    assert [each["method:card"] for each in stood] == [8_800, 13_200, 13_200, 13_200]


def test_month_without_an_entry_can_be_closed(world: World) -> None:
    assert [each.month for each in close(world, "2026-02")] == ["2026-02"]


def test_month_is_closed_when_it_is_over(world: World) -> None:
    with pytest.raises(MonthNotOver, match="from 2026-02-01 on"):
        close(world, "2026-01", at=LAST_MOMENT)

    assert close(world, "2026-01", at=FEBRUARY)


def test_month_is_closed_once(world: World) -> None:
    close(world, "2026-02")
    before = world.dump()

    for month in ("2026-02", "2026-01", "2025-12"):
        with pytest.raises(PeriodClosed, match="closed through 2026-02-28"):
            close(world, month)

    assert world.dump() == before


@pytest.mark.parametrize("text", ["", "2026", "2026-1", "2026-13", "2026-00", "0000-01", "2026-01-01", "January", "２０２６-01"])
def test_what_is_no_month_is_refused(world: World, text: str) -> None:
    with pytest.raises(BadMonth):
        close(world, text)


def test_month_with_an_open_shift_stays_open(world: World) -> None:
    shift = world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0), at=LAST_MOMENT)

    with pytest.raises(ShiftStillOpen) as refusal:
        close(world, "2026-01")
    world.run(lambda tx: shifts.close_shift(tx, counted={}), at=FEBRUARY)
    close(world, "2026-01")

    assert refusal.value.facts == {"shifts": [shift.id]}


def test_shift_of_a_later_month_does_not_keep_it_open(world: World) -> None:
    world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0), at=FEBRUARY)

    assert close(world, "2026-01")


def test_what_was_in_flight_when_the_month_was_closed_is_refused(postgresql_url: str) -> None:
    world, other = World(postgresql_url), World(postgresql_url)
    world.service("VIS", price="44.00")
    bill = world.invoice("VIS").id
    before = world.dump()

    def unit(tx: Any) -> None:
        invoice_steps.issue_invoice(tx, invoice_id=bill)  # locked and decided, nothing written
        close(other, "2026-01")

    with pytest.raises(PeriodClosed):
        world.run(unit, at=LAST_MOMENT)

    after = world.dump()
    assert {name for name in after if after[name] != before[name]} == {"audit_entry", "audit_head", "clinic", "event", "period"}
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=bill), at=FEBRUARY)
    world.dispose()
    other.dispose()


def test_what_was_first_is_in_the_balances(sold: World) -> None:
    sell(sold, LAST_MOMENT, "card 44 C-1")
    close(sold, "2026-01")

    assert sold.read(lambda tx: tx.session.scalars(select(Period.balances)).one())["method:card"] == 13_200


def test_clinics_close_by_themselves(world: World) -> None:
    world.service("VIS", price="44.00", clinic="south")
    close(world, "2026-01")
    bill = world.invoice("VIS", clinic="south").id

    world.pay(bill, "card 44 C-1", at=JANUARY, clinic="south")

    assert world.read(periods.list_periods, clinic="south") == []
    assert world.read(lambda tx: tx.session.scalars(select(Payment.business_date)).all(), clinic="south") == [date(2026, 1, 14)]
    assert world.read(lambda tx: tx.session.scalars(select(JournalLine.action_id)).all()) == []
