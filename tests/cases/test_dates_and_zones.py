"""Dates and zones: a clinic's day begins and ends on its own clocks, wherever the server stands."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from billing import clock
from billing.services import doctor, documents, exports, invoice_steps, listing, reading
from billing.services.invoices import InvoiceMade

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

DUE = date(2026, 11, 20)

# The first and the last second of the twentieth of November in Los Angeles, eight hours behind Greenwich.
FIRST_SECOND = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)
LAST_SECOND = datetime(2026, 11, 21, 7, 59, 59, tzinfo=UTC)


def _clinic_in(world: "CaseWorld", time_zone: str) -> str:
    world.found("west", time_zone=time_zone)
    world.service("VIS", department="consultation", clinic="west")
    return "west"


def _issued(world: "CaseWorld", clinic: str, due_date: date) -> InvoiceMade:
    made = world.invoice("VIS", clinic=clinic)
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id, due_date=due_date), clinic=clinic)
    return made


def _status(world: "CaseWorld", clinic: str, invoice: InvoiceMade) -> str:
    return world.read(lambda tx: reading.read_invoice(tx, invoice=invoice.id), clinic=clinic).invoice.status


@pytest.mark.case("P31")
@pytest.mark.parametrize("at", [FIRST_SECOND, FIRST_SECOND + timedelta(hours=12), LAST_SECOND])
def test_due_day_is_the_same_day_everywhere_and_lasts_until_local_midnight(
    world: "CaseWorld", asked: Callable[..., Any], at: datetime
) -> None:
    """odoo/odoo#236769: a due date was shown a day early west of Greenwich."""
    west = _clinic_in(world, "America/Los_Angeles")
    with clock.fixed(FIRST_SECOND - timedelta(days=10)):
        bill = _issued(world, west, DUE)

    with clock.fixed(at):
        seen = world.read(lambda tx: reading.read_invoice(tx, invoice=bill.id), clinic=west).invoice
        told = asked("invoice", "show", str(bill.number), "--clinic", west)
        sheet = io.StringIO()
        world.read(lambda tx: exports.write_csv(exports.export_invoices(tx), sheet), clinic=west)
        page = world.run(lambda tx: documents.print_invoice(tx, invoice_id=bill.id, form="a4"), clinic=west)
        paper = world.run(lambda tx: documents.print_invoice(tx, invoice_id=bill.id, form="text"), clinic=west)
        today = world.read(lambda tx: tx.business_date, clinic=west)

    assert (seen.due_date, seen.status, today) == (DUE, "sent", DUE)
    assert told["due_date"] == "2026-11-20"
    assert [row["due_date"] for row in csv.DictReader(io.StringIO(sheet.getvalue()))] == ["2026-11-20"]
    assert "Nov 20, 2026" in page.content
    assert "Nov 20, 2026" in paper.content
    with clock.fixed(LAST_SECOND + timedelta(seconds=1)):
        assert _status(world, west, bill) == "overdue"
    assert world.read(doctor.examine, clinic=west).healthy


@pytest.mark.case("P32")
@pytest.mark.parametrize("at", [datetime(2026, 6, 30, 22, 0, tzinfo=UTC), datetime(2026, 7, 1, 21, 59, 59, tzinfo=UTC)])
def test_only_what_was_due_before_today_is_overdue(world: "CaseWorld", asked: Callable[..., Any], at: datetime) -> None:
    """NangoHQ/nango#7168: invoices that were not due yet were flagged."""
    today = date(2026, 7, 1)  # in Berlin, from 22:00 to 22:00 in Greenwich
    with clock.fixed(datetime(2026, 6, 20, 9, 0, tzinfo=UTC)):
        bills = {days: _issued_in_north(world, today + timedelta(days=days)) for days in (-1, 0, 1)}

    with clock.fixed(at):
        overdue = world.read(lambda tx: listing.list_invoices(tx, status="overdue"))
        listed = asked("invoice", "list", "--status", "overdue")
        shown = {days: world.seen(bill.id).invoice.status for days, bill in bills.items()}

    assert [row.id for row in overdue] == [bills[-1].id]
    assert [row["id"] for row in listed] == [bills[-1].id]
    assert shown == {-1: "overdue", 0: "sent", 1: "sent"}


def _issued_in_north(world: "CaseWorld", due_date: date) -> InvoiceMade:
    made = world.invoice("VISIT")
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id, due_date=due_date))
    return made


@pytest.mark.case("P34")
def test_due_today_is_accepted_where_greenwich_has_tomorrow_already(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """hackclub/hcb#11055: tomorrow was refused as being in the past."""
    west = _clinic_in(world, "Pacific/Honolulu")
    with clock.fixed(datetime(2026, 11, 21, 9, 30, tzinfo=UTC)):  # 23:30 of the twentieth in Honolulu
        accepted, refused = world.invoice("VIS", clinic=west), world.invoice("VIS", clinic=west)

        issued = asked("invoice", "issue", str(accepted.number), "--due-date", "2026-11-20", "--clinic", west)
        code = asked("invoice", "issue", str(refused.number), "--due-date", "2026-11-19", "--clinic", west)
        statuses = [_status(world, west, bill) for bill in (accepted, refused)]

    assert issued["due_date"] == "2026-11-20"
    assert code == "bad_due_date"
    assert statuses == ["sent", "draft"]
    assert world.read(doctor.examine, clinic=west).healthy
