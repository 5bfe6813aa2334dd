"""Migrations under a full database: whatever state and kind a row has, it is there afterwards, to the cent."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from billing_laboratory import services as laboratory
from billing_laboratory.model import LabOrder
from billing_pharmacy.services import adjust_stock
from sqlalchemy import select, text

from billing import migrations
from billing.database import over_all_clinics
from billing.engine import open_engine
from billing.migrations import CORE, _config, _lineages, row_security
from billing.model import Invoice
from billing.rules.totals import TaxGroup
from billing.services import backup, clinics, consultations, doctor, documents, invoice_steps, patients, prices, staff
from billing.services.audit import verify_chain
from billing.services.quotation import NewAdjustment, NewItem
from billing.settings import Settings
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, as_role
from billing.testing.world import World
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

PAYMENTS = ("cash 200", "card 154", "transfer 154 T-1")
SUMS = (
    "SELECT business_date, scope, count(*), sum(applied_minor), sum(tendered_minor), sum(change_minor) FROM payment GROUP BY 1, 2",
    "SELECT method, count(*), sum(amount_minor) FROM tender GROUP BY 1",
    "SELECT status, count(*), sum(total_minor), sum(amount_paid_minor), sum(tax_minor) FROM invoice GROUP BY 1",
    "SELECT department, count(*), sum(total_minor), sum(quantity_milli) FROM invoice_item GROUP BY 1",
    "SELECT clinic_id, max(position), count(*) FROM audit_entry GROUP BY 1",
    "SELECT series, period, latest_value FROM number_counter",
    "SELECT lot, on_hand_milli FROM pharmacy_batch",
    "SELECT status, count(*) FROM laboratory_order GROUP BY 1",
    "SELECT kind, count(*), sum(quantity_milli) FROM effect GROUP BY 1",
)
BOOKED = (
    (
        "SELECT action_id, kind, business_date, at, account, amount_minor, invoice_id, client_id, actor_id FROM journal_line "
        "WHERE kind IN ('issue', 'cancel', 'payment')"
    ),
    "SELECT clinic_id, business_date, cashier_id, kind, department, provider_id, method, amount_minor, acts FROM takings",
    "SELECT id, amount_due_minor, on_account_minor FROM payment",
)
"""What the services book, and what a migration books for the documents of before: the same."""


def _fill(world: "CaseWorld") -> None:
    """Make an invoice in every status, with every kind of payment, patient, item and consultation."""
    world.run(lambda tx: adjust_stock(tx, service_code="AMOX", lot="AMOX-1", quantity_milli=40_000, reason="found"))
    animal = world.patient(kind="animal", species="dog")
    world.n1(issued=False)
    world.n1(patient_id=animal)
    for tender in PAYMENTS:
        world.pay(world.n1().id, tender, actor="c1", key=tender)
    world.pay(world.n1().id, "cash 66", scope="pharmacy")
    world.pay(world.n1().id, "card 100", "cash 54")
    world.pay(world.n1().id, "card 10", scope="ON_ACCOUNT")
    free = NewItem(description="Free of charge", department="consultation", unit_price_e4=0)
    world.pay(world.bill(free).id)
    for issued in (False, True):
        wrong = world.n1(issued=issued)
        world.run(lambda tx, wrong=wrong: invoice_steps.cancel_invoice(tx, invoice_id=wrong.id, reason="wrong"))  # type: ignore[misc]
    world.bill("GLU", "VISIT", adjustments=[NewAdjustment(charge=False, amount_minor=500, reason="friend")], source="encounter:1")
    world.choose(numbers_at="issue")
    world.n1(issued=False)
    world.n1()
    world.pay(world.n1(clinic="south").id, "card 154", clinic="south", actor="sc1")
    world.run(_fill_departments)
    _fill_swiss(world)


def _fill_swiss(world: "CaseWorld") -> None:
    """Make invoices where prices include tax and cash is rounded: discounts, money on account that is used up later, several methods."""
    world.found("swiss", currency="CHF", prices_include_tax=True, time_zone="Pacific/Auckland")
    world.run(lambda tx: staff.add_staff(tx, login="sc2", name="Urs", role="cashier"), clinic="swiss")
    provider = world.run(lambda tx: staff.add_provider(tx, name="Dr. Berg"), clinic="swiss").id
    reduced, full = TaxGroup("S", 260), TaxGroup("S", 810)
    items = [
        NewItem(description="Ointment", department="consultation", unit_price_e4=13_370_000, tax=reduced, allowances=((333, "friend"),)),
        NewItem(description="Cast", department="consultation", unit_price_e4=99_990_000, tax=full, provider_id=provider),
        NewItem(description="Walk", department="consultation", unit_price_e4=10_010_000, tax=full, charges=((50, "dark"),)),
    ]
    discounts = [NewAdjustment(charge=False, amount_minor=777, reason="loyal", tax=full)]
    used: list[list[tuple[str, ...]]] = [
        [("ALL", "cash 200")],
        [("ALL", "card 60", "cash 60")],
        [("ON_ACCOUNT", "card 50"), ("ALL", "cash 80")],
        [("ON_ACCOUNT", "transfer 100 T-1"), ("ALL", "card 7.77", "cash 10")],
        [("ON_ACCOUNT", "card 1.01", "transfer 2 T-2")],
    ]
    for payments in used:
        made = world.bill(*items, clinic="swiss", adjustments=discounts)
        for scope, *tenders in payments:
            world.pay(made.id, *tenders, scope=scope, clinic="swiss", actor="sc2")
    wrong = world.bill(*items, clinic="swiss").id
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=wrong, reason="wrong"), clinic="swiss")


def _fill_departments(tx: Transaction) -> None:
    client = patients.add_client(tx, name="Zoë O'Neil", phone="+49 30 123")
    patient = patients.add_patient(tx, name="Rex", kind="animal", species="Dog", client_id=client.id).id
    provider = staff.add_provider(tx, name="Dr. Who").id
    planned = consultations.plan_consultation(tx, patient_id=patient, provider_id=provider, planned_at=tx.at)
    consultations.open_planned_consultation(tx, consultation_id=planned.id)
    closed = consultations.open_consultation(tx, patient_id=patient, provider_id=provider)
    consultations.close_consultation(tx, consultation_id=closed.id)
    cancelled = consultations.open_consultation(tx, patient_id=patient, provider_id=provider)
    consultations.cancel_consultation(tx, consultation_id=cancelled.id, reason="did not come")
    adjust_stock(tx, service_code="AMOX", lot="AMOX-1", quantity_milli=-1, reason="broken")
    prices.add_service(tx, code="OLD", department="consultation", description="Old", unit_price_e4=1)
    prices.retire_service(tx, code="OLD")
    staff.deactivate_membership(tx, member="c2")
    order = tx.session.scalars(select(LabOrder.id).order_by(LabOrder.id)).first()
    laboratory.collect_order(tx, order_id=str(order))
    clinics.set_plugin(tx, name="consultation", enabled=False)
    clinics.set_plugin(tx, name="consultation", enabled=True)
    paid = tx.session.scalars(select(Invoice.id).where(Invoice.status == "paid")).first()
    documents.print_invoice(tx, invoice_id=str(paid))


def _state(url: str) -> list[Any]:
    """Return what must be the same before and after: the rows of each table, and sums by day, method, status and department."""
    engine = open_engine(as_role(url, SUPERUSER), Settings())
    with over_all_clinics(engine, writing=False) as connection:
        found: list[Any] = [sorted(map(str, connection.execute(text(sums)))) for sums in (*SUMS, *BOOKED)]
    engine.dispose()
    return found


def _counts(world: World) -> dict[str, int]:
    return {name: len(rows) for name, rows in world.dump().items() if not name.startswith("alembic") and name != "migration_lock"}


def _healthy(world: World) -> bool:
    return all(
        world.read(doctor.examine, clinic=each).healthy and world.read(verify_chain, clinic=each).intact
        for each in ("north", "south", "swiss")
    )


def _older(world: World) -> Iterator[tuple[str, str]]:
    """Yield every lineage with each of its released revisions, the latest first."""
    with world.database.engine.connect() as connection:
        for name, location in reversed(_lineages(world.registry.healthy)):
            script = ScriptDirectory.from_config(_config(connection, name, location))
            for revision in script.walk_revisions():
                yield name, revision.revision


def _downgrade(world: World, lineage: str, revision: str) -> None:
    world.database.dispose()
    owners = open_engine(as_role(world.url, OWNER), Settings())
    with over_all_clinics(owners, writing=True) as connection:
        row_security.lift(connection)
        location = dict(_lineages(world.registry.healthy))[lineage]
        command.downgrade(_config(connection, lineage, location), revision)
    owners.dispose()


@pytest.mark.case("P60")
def test_upgrade_from_each_released_version_keeps_every_row(world: "CaseWorld") -> None:
    """OCA/bank-payment#1363: a migration dropped payments in some states."""
    _fill(world)
    statuses = {row.status for row in world.read(lambda tx: tx.session.scalars(select(Invoice)).all())}
    counts, state = _counts(world), _state(world.url)
    released = [*_older(world)]

    for lineage, revision in released:
        _downgrade(world, lineage, revision)
        migrations.upgrade(as_role(world.url, OWNER), registry=world.registry, grant_to=APPLICATION)
        assert (_counts(world), _state(world.url)) == (counts, state), f"{lineage} from {revision}"
        assert _healthy(world)

    assert statuses == {"draft", "sent", "partial", "paid", "cancelled"}
    assert {lineage for lineage, _ in released} == {CORE, *(plugin.name for plugin in world.registry.plugins)}


@pytest.mark.case("P60")
def test_database_that_was_taken_back_to_nothing_is_restored_from_its_backup(world: "CaseWorld", tmp_path: Path) -> None:
    """OCA/bank-payment#1363: where a downgrade loses rows, a restore brings all of them back."""
    _fill(world)
    before, state = world.dump(), _state(world.url)
    file = tmp_path / "before.backup"
    backup.back_up(world.database, actor=world.actor, target=file)
    for lineage in [*reversed([plugin.name for plugin in world.registry.plugins]), CORE]:
        _downgrade(world, lineage, "base")

    backup.restore(as_role(world.url, OWNER), source=file, plugins=world.registry, grant_to=APPLICATION)

    assert world.dump() == before
    assert _state(world.url) == state
    assert _healthy(world)
