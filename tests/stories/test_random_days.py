"""Random days at a clinic with the departments that ship: whatever is tried, in whatever order, the books are well afterwards.

The seed of a failing run is in its message: set it in `SEEDS` to keep it.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import registry
from billing.errors import BillingError, Conflict, Invalid, NotFound, Refused
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import clinics, consultations, doctor, invoice_steps, invoices, listing, patients, payments, prices, reading, staff
from billing.services.audit import verify_chain
from billing.services.quotation import NewAdjustment, NewItem
from billing.testing.world import World
from billing.transaction import Transaction

pytestmark = pytest.mark.every_database

SEEDS = [1, 20261122]
STEPS = 60


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url, plugins=registry.load())
    yield made
    made.dispose()


class Days:
    """A clinic's days, one random act after another. Every refusal must be one of the families meant for people."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.at = datetime.now(UTC) - timedelta(days=40)
        self.drafts: list[str] = []
        self.codes: list[str] = []
        self.refused: list[str] = []
        self.run(self._prepare)

    def run(self, unit: Any) -> Any:
        self.at += timedelta(minutes=self.chance.randrange(1, 600))
        return self.world.run(unit, at=self.at)

    def _prepare(self, tx: Transaction) -> None:
        for place, department in enumerate(tx.clinic.departments):
            for number in range(3):
                code = f"S{place}{number}"
                price = self.chance.choice([0, 1, 333_333, 12_345_678, 99_999_999])
                tax = self.chance.choice([(None, None), ("S", 1900), ("S", 700)])
                prices.add_service(
                    tx,
                    code=code,
                    department=department.code,
                    description=f"Service {code}",
                    unit_price_e4=price,
                    tax_category=tax[0],
                    tax_rate_bp=tax[1],
                )
                self.codes.append(code)
        self._stock_up(tx)
        self.provider = staff.add_provider(tx, name="Dr. Random").id
        self.patients = [
            patients.add_patient(tx, name="Ann").id,
            patients.add_patient(tx, name="Rex", kind="animal", species="dog", client_id=patients.add_client(tx, name="Joe").id).id,
        ]

    def _stock_up(self, tx: Transaction) -> None:
        from billing_laboratory.catalogue import add_analyte, add_test
        from billing_pharmacy.services import add_product

        add_analyte(tx, loinc="2345-7", name="Glucose", unit="mg/dL")
        for code in self._of(tx, "laboratory"):
            add_test(tx, service_code=code, loinc="2345-7", specimen="serum", analytes=["2345-7"])
        for code in self._of(tx, "pharmacy"):
            add_product(tx, service_code=code)

    def step(self) -> None:
        pays, bills, stocks = [self.pay] * 8, [self.bill] * 4, [self.stock] * 3
        act = self.chance.choice([*pays, *bills, *stocks, self.edit, self.edit, self.issue, self.cancel, self.policy])
        try:
            self.run(act)
        except (Refused, Invalid, Conflict, NotFound) as refusal:
            self.refused.append(refusal.code)

    def _items(self) -> list[NewItem]:
        chosen = self.chance.choices(self.codes, k=self.chance.randrange(1, 4))
        return [
            NewItem(
                code,
                quantity_milli=self.chance.choice([1000, 1000, 1000, 1000, 2500]),
                unit_price_e4=self.chance.choice([None, None, None, 55_555_555]),
                allowances=((self.chance.randrange(1, 200), "regular"),) if self.chance.random() < 0.2 else (),
                provider_id=self.chance.choice([None, self.provider]),
                source=self.chance.choice([None, None, f"rx:{self.chance.randrange(12)}"]),
            )
            for code in chosen
        ]

    def bill(self, tx: Transaction) -> None:
        patient = self.chance.choice(self.patients)
        visit = None
        if self.chance.random() < 0.3:
            visit = consultations.open_consultation(tx, patient_id=patient, provider_id=self.provider).id
        discount = [NewAdjustment(charge=self.chance.random() < 0.5, amount_minor=self.chance.randrange(1, 500), reason="goodwill")]
        made = invoices.create_invoice(
            tx,
            patient_id=patient,
            items=self._items(),
            adjustments=discount if self.chance.random() < 0.3 else (),
            consultation_id=visit,
            key=f"k{self.chance.randrange(10**6)}",
        )
        self.drafts.append(made.id)

    def _one(self, tx: Transaction) -> str:
        rows = listing.list_invoices(tx, limit=30)
        return self.chance.choice([row.id for row in rows] or ["00000000-0000-7000-8000-000000000000"])

    def edit(self, tx: Transaction) -> None:
        items = self._items() if self.chance.random() < 0.7 else None
        invoices.edit_invoice(tx, invoice_id=self._one(tx), items=items, note=self.chance.choice([None, "seen"]))

    def issue(self, tx: Transaction) -> None:
        invoice_steps.issue_invoice(tx, invoice_id=self._one(tx))

    def cancel(self, tx: Transaction) -> None:
        invoice_steps.cancel_invoice(tx, invoice_id=self._one(tx), reason="not wanted")

    def policy(self, tx: Transaction) -> None:
        codes = [each.code for each in tx.clinic.departments]
        self.chance.shuffle(codes)
        clinics.order_departments(tx, codes=codes)
        changes = {
            "policy": {"numbers_at": self.chance.choice(["creation", "issue"])},
            "rounding": self.chance.choice(["document", "line"]),
        }
        clinics.update_clinic(tx, changes=changes)

    def stock(self, tx: Transaction) -> None:
        from billing_pharmacy.services import receive_stock, write_off_expired

        if self.chance.random() < 0.1:
            write_off_expired(tx)
            return
        receive_stock(
            tx,
            service_code=self.chance.choice(self._of(tx, "pharmacy")),
            lot=f"L{self.chance.randrange(20)}",
            expires_on=tx.business_date + timedelta(days=self.chance.choice([-1, 0, 3, 30, 400])),
            quantity_milli=self.chance.choice([1000, 5000, 50_000]),
            unit_cost_e4=10_000,
            allow_expired=self.chance.random() < 0.5,
        )

    def _of(self, tx: Transaction, department: str) -> list[str]:
        return [code for code in self.codes if prices.find_service(tx, code).department == department]

    def pay(self, tx: Transaction) -> None:
        invoice_id = self._one(tx)
        due = reading.read_invoice(tx, invoice=invoice_id).invoice.amount_due_minor
        kind = self.chance.choice(["all", "all", "some", "account", "short"])
        if kind == "account" and due:
            amount = self.chance.randrange(1, due + 1)
            payments.take_payment(
                tx, invoice_id=invoice_id, scope=Scope.on_account(), tenders=[Tender("transfer", amount)], key=f"a{self.at}"
            )
            return
        code = self.chance.choice(tx.clinic.departments).code
        scope = Scope.of(code) if kind == "some" else Scope.all()
        amount = due - 1 if kind == "short" else due + self.chance.choice([0, 500])
        tenders = [Tender("cash", amount)] if amount > 0 else []
        payments.take_payment(tx, invoice_id=invoice_id, scope=scope, tenders=tenders, key=f"p{self.at}")


def _seed() -> int:
    return random.SystemRandom().randrange(10**9)


@pytest.mark.parametrize("seed", [*SEEDS, None])
def test_books_are_well_after_any_days(seed: int | None, world: World) -> None:
    chosen = _seed() if seed is None else seed
    days = Days(world, chosen)

    for _ in range(STEPS):
        try:
            days.step()
        except BillingError as error:
            raise AssertionError(f"seed {chosen}: {error!r} {error.facts}") from error

    broken = [(check.name, check.violations, check.error) for check in world.read(doctor.examine).broken]
    assert broken == [], f"seed {chosen}"
    assert world.read(verify_chain).intact, f"seed {chosen}"
    taken = world.read(lambda tx: len(listing.list_payments(tx, limit=500)))
    assert taken > 0, f"seed {chosen} has paid nothing: {days.refused}"
