"""What runs daily does each thing once on the clinic's own day, however often it is started."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from billing import clock
from billing.model import Event, Reminder
from billing.services import clinics
from billing.services.reminders import remind

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

ISSUED = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAYMENT_DAYS = 14


@pytest.mark.case("P33")
def test_hourly_job_reminds_once_on_each_local_day(world: "CaseWorld") -> None:
    """getlago/lago-api#879: whether today was done already was asked in the wrong zone, and twice was billed."""
    levels = [{"days": days} for days in (7, 8, 9)]
    world.run(lambda tx: clinics.update_clinic(tx, changes={"time_zone": "Pacific/Tongatapu", "policy": {"reminders": levels}}))
    with clock.fixed(ISSUED):
        invoices = sorted(world.bill("VISIT").id for _ in range(2))
    midnight = ISSUED.replace(hour=11) + timedelta(days=PAYMENT_DAYS + 7 - 1)  # in Tongatapu, 13 hours ahead

    for hour in range(3 * 24):
        with clock.fixed(midnight + timedelta(hours=hour, minutes=5)):
            world.run(remind)

    rows = world.read(lambda tx: tx.session.execute(select(Reminder.invoice_id, Reminder.level, Reminder.business_date)).all())
    due = ISSUED.date() + timedelta(days=PAYMENT_DAYS)
    assert sorted((row.invoice_id, row.level, row.business_date) for row in rows) == [
        (invoice, level, due + timedelta(days=6 + level)) for invoice in invoices for level in (1, 2, 3)
    ]
    events = world.read(lambda tx: tx.session.execute(select(Event.subject_id).where(Event.topic == "invoice.reminded")).all())
    assert len(events) == 6
