"""A month that is closed: no entry point reaches it, directly or in two steps. Every service is tried, those that ship with plugins too."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from billing.changes.failures import PeriodClosed
from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import cash_moves, clinics, invoice_steps, invoices, payments, periods, reading, shifts
from billing.services.quotation import NewItem
from billing.testing.surface import Service
from billing.testing.world import items_of
from billing.transaction import Transaction
from tests.cases import test_permissions_and_tenants as tenants

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

JANUARY = datetime(2026, 1, 31, 22, 59, 59, tzinfo=UTC)
"""A second before it was over in Berlin."""
FEBRUARY = JANUARY + timedelta(seconds=1)

Act = Callable[[Transaction], Any]


def _close(world: "CaseWorld") -> None:
    world.run(lambda tx: periods.close_period(tx, month="2026-01"), actor="m1")


def _values(service: Service, own: Mapping[str, str]) -> dict[str, Any]:
    """Return what the service can work with, as far as that is known."""
    kinds, good = tenants.KINDS, tenants.GOOD
    stubs = tenants._stubs(service)  # noqa: SLF001 - the same values by which clinics are kept apart
    return {name: good.get(name, own.get(kinds.get(f"{service.name}.{name}", kinds.get(name, "")), value)) for name, value in stubs.items()}


def _outcome(world: "CaseWorld", service: Service, own: Mapping[str, str], at: datetime | None) -> str:
    try:
        world.run(lambda tx: tenants._answer(tx, service, _values(service, own)), at=at)  # noqa: SLF001 - likewise
    except BillingError as error:
        return error.code
    except Exception:  # noqa: BLE001 - values that don't fit, refused in whatever way
        return "no fitting values"  # it has asked for its permission and done nothing
    return "done"


@pytest.mark.case("P74")
def test_no_service_writes_into_a_closed_month(world: "CaseWorld") -> None:
    """odoo/odoo#1633: a closed period could be reached by editing in two steps."""
    own = tenants._founded(world, "north")  # noqa: SLF001 - something of each kind
    _close(world)
    before = world.dump()

    outcomes = {service.name: _outcome(world, service, own, JANUARY) for service in tenants.SERVICES}

    after = world.dump()
    assert {name: [row for row in after[name] if row not in before[name]] for name in after if after[name] != before[name]} == {}
    closed = {name for name, outcome in outcomes.items() if outcome == "period_closed"}
    assert closed >= {
        *("cash_moves.pay_in", "consultations.open_consultation", "invoice_steps.cancel_invoice", "invoice_steps.issue_invoice"),
        *("invoices.create_invoice", "invoices.edit_invoice", "patients.add_client", "patients.add_patient"),
        "staff.add_staff",
    }, sorted(outcomes.items())


@pytest.mark.case("P74")
@pytest.mark.parametrize("step", ["create", "edit", "issue", "cancel", "pay", "pay a draft", "open a shift", "pay in", "close a shift"])
def test_document_does_not_come_into_a_closed_month_step_by_step(world: "CaseWorld", step: str) -> None:
    """odoo/odoo#1633: a closed period could be reached by editing in two steps."""
    patient = world.patient()
    draft, sent = world.bill("VISIT", issued=False, patient_id=patient).id, world.bill("VISIT", patient_id=patient).id
    if step != "open a shift":
        world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0), at=FEBRUARY)
    _close(world)
    before = world.dump()
    acts: dict[str, Act] = {
        "create": lambda tx: invoices.create_invoice(tx, patient_id=patient, items=items_of(["VISIT"])),
        "edit": lambda tx: invoices.edit_invoice(tx, invoice_id=draft, items=[NewItem("VISIT", 2000)]),
        "issue": lambda tx: invoice_steps.issue_invoice(tx, invoice_id=draft),
        "cancel": lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=sent, reason="moved"),
        "pay": lambda tx: payments.take_payment(tx, invoice_id=sent, scope=Scope.all(), tenders=[Tender("cash", 5000)]),
        "pay a draft": lambda tx: payments.take_payment(tx, invoice_id=draft, scope=Scope.all(), tenders=[Tender("cash", 5000)]),
        "open a shift": lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0),
        "pay in": lambda tx: cash_moves.pay_in(tx, amount_minor=100, reason="change"),
        "close a shift": lambda tx: shifts.close_shift(tx, counted={}),
    }

    with pytest.raises(PeriodClosed) as refusal:
        world.run(acts[step], at=JANUARY)
    assert world.dump() == before
    world.run(acts[step], at=FEBRUARY)

    assert refusal.value.http_status == 409


@pytest.mark.case("P74")
def test_two_steps_in_one_unit_do_not_reach_it_either(world: "CaseWorld") -> None:
    """odoo/odoo#1633: a closed period could be reached by editing in two steps."""
    draft = world.bill("VISIT", issued=False).id
    _close(world)
    before = world.dump()

    def unit(tx: Transaction) -> None:
        invoice_steps.issue_invoice(tx, invoice_id=draft)
        tx.flush()  # the first step has been taken by the clock of February
        tx.at, tx._business_date = JANUARY, None  # noqa: SLF001 - as a plugin might try to
        payments.take_payment(tx, invoice_id=draft, scope=Scope.all(), tenders=[Tender("card", 4400)])

    with pytest.raises(PeriodClosed):
        world.run(unit, at=FEBRUARY)

    assert world.dump() == before


@pytest.mark.case("P74")
def test_what_is_of_a_closed_month_is_read_and_paid_today(world: "CaseWorld") -> None:
    patient = world.patient()
    made = world.run(lambda tx: invoices.create_invoice(tx, patient_id=patient, items=items_of(["VISIT"])), at=JANUARY)
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id), at=JANUARY)
    _close(world)

    world.pay(made.id, "card 44 C-1")

    seen = world.read(lambda tx: reading.read_invoice(tx, invoice=made.id))
    assert (seen.invoice.status, str(seen.invoice.issue_date)) == ("paid", "2026-01-31")


@pytest.mark.case("P74")
def test_policy_of_the_clinic_opens_no_month(world: "CaseWorld") -> None:
    bill = world.n1().id
    _close(world)

    world.run(lambda tx: clinics.update_clinic(tx, changes={"time_zone": "America/New_York"}))

    with pytest.raises(PeriodClosed):
        world.pay(bill, "card 154 C-1", at=JANUARY)
