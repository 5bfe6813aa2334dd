"""The world of the public cases: the clinics North and South with the departments that ship. Its books are examined after every case.

A case is a real bug of another billing program, told in public. `@pytest.mark.case("P01")` says which one a test shows; catalogue.py
lists all of them.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from billing_laboratory.catalogue import add_analyte, add_test
from billing_laboratory.model import LabOrder
from billing_pharmacy.queries import list_batches
from billing_pharmacy.services import receive_stock
from click.testing import CliRunner, Result
from sqlalchemy import func, select, text

from billing import registry
from billing.errors import BillingError
from billing.interfaces.cli.frame import Frame
from billing.money import parse_unit_price
from billing.services import clinics, doctor, invoice_steps, prices, reading, staff
from billing.services.audit import verify_chain
from billing.services.invoices import InvoiceMade
from billing.services.quotation import NewItem
from billing.testing.world import World
from billing.transaction import Transaction

ROLES = {
    "north": {"c1": "cashier", "c2": "cashier", "m1": "manager", "v1": "clinician", "v2": "clinician", "au": "auditor", "ad": "admin"},
    "south": {"sc1": "cashier", "sm1": "manager", "sv1": "clinician"},
}
PRICES = {"AMOX": ("pharmacy", "30.00"), "GLU": ("laboratory", "40.00"), "VISIT": ("consultation", "40.00")}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker: markers are strict."""
    config.addinivalue_line("markers", "case(number): the public case that a test shows")


class CaseWorld(World):
    """North and South: euros, Berlin, tax 10 %, the departments that ship.

    Staff of North: cashiers c1 c2, manager m1, clinicians v1 v2, auditor au, admin ad; of South: sc1, sm1, sv1. On both price lists, without
    tax: AMOX 30.00, of which 10 are on hand in the batch AMOX-1; the test GLU 40.00; VISIT 40.00. What names no clinic happens in North.
    """

    def __init__(self, url: str, **plugins: Any) -> None:
        installed = (*registry.load().plugins, *registry.of_modules(plugins).plugins)
        super().__init__(url, plugins=registry.Registry(installed))
        self.found("south")
        for clinic in ROLES:
            self.run(_set_up, clinic=clinic)

    def n1(self, *, issued: bool = True, clinic: str | None = None, patient_id: str | None = None) -> InvoiceMade:
        """Return a new invoice N1: pharmacy 66.00 (2 x AMOX), laboratory 44.00, consultation 44.00, total 154.00."""
        return self.bill("AMOX:2", "GLU", "VISIT", issued=issued, clinic=clinic, patient_id=patient_id)

    def bill(self, *items: str | NewItem, issued: bool = True, clinic: str | None = None, **options: Any) -> InvoiceMade:
        """Return a new invoice, issued unless told otherwise."""
        made = self.invoice(*items, clinic=clinic, **options)
        if issued:
            self.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id), clinic=clinic)
        return made

    def choose(self, **policy: Any) -> None:
        """Set what the clinic chooses, as in `choose(numbers_at="issue")`."""
        self.run(lambda tx: clinics.update_clinic(tx, changes={"policy": policy}))

    def seen(self, invoice_id: str, *, clinic: str | None = None) -> reading.InvoiceSeen:
        """Return an invoice with all that belongs to it."""
        return self.read(lambda tx: reading.read_invoice(tx, invoice=invoice_id), clinic=clinic)

    def stock(self, lot: str = "AMOX-1", *, clinic: str | None = None) -> int:
        """Return what a batch holds, in thousandths; 0 for one that is used up."""
        return sum(each.on_hand_milli for each in self.read(list_batches, clinic=clinic) if each.lot == lot)

    def lab_orders(self, *, clinic: str | None = None) -> int:
        """Count the laboratory's orders."""
        return self.read(lambda tx: tx.session.scalar(select(func.count(LabOrder.id))), clinic=clinic) or 0

    def counts(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        return {name: len(rows) for name, rows in self.dump().items()}

    @staticmethod
    def refused(call: Callable[[], Any]) -> str:
        """Return the code of the refusal that a call ends with."""
        with pytest.raises(BillingError) as caught:
            call()
        return caught.value.code

    def tamper(self, *statements: str) -> None:
        """Change rows behind everybody's back."""
        with self.database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def check_books(self) -> None:
        """Fail unless the doctor finds nothing at all, in any clinic and in the installation, and every audit chain is whole."""
        for clinic in [each.code for each in self.read_anywhere(clinics.list_clinics)]:
            broken = [(each.name, each.violations, each.error) for each in self.read(doctor.examine, clinic=clinic).broken]
            assert broken == [], f"the books of {clinic} are broken"
            assert self.read(verify_chain, clinic=clinic).intact, f"the audit chain of {clinic} is broken"
        broken = [
            (each.name, each.violations, each.error) for each in doctor.examine_installation(self.database, plugins=self.registry).broken
        ]
        assert broken == [], "the installation is broken"


def _set_up(tx: Transaction) -> None:
    for login, role in ROLES[tx.clinic.code].items():
        staff.add_staff(tx, login=login, name=login.upper(), role=role)
    for code, (department, price) in PRICES.items():
        prices.add_service(
            tx,
            code=code,
            department=department,
            description=f"Service {code}",
            unit_price_e4=parse_unit_price(price, tx.clinic.currency),
            tax_category="S",
            tax_rate_bp=1000,
        )
    receive_stock(
        tx,
        service_code="AMOX",
        lot="AMOX-1",
        expires_on=tx.business_date + timedelta(days=300),
        quantity_milli=10_000,
        unit_cost_e4=parse_unit_price("12.00", tx.clinic.currency),
    )
    add_analyte(tx, loinc="2345-7", name="Glucose", unit="mg/dL")
    add_test(tx, service_code="GLU", loinc="2345-7", specimen="serum", analytes=["2345-7"])


@pytest.fixture
def open_world(database_url: str) -> Iterator[Callable[..., CaseWorld]]:
    """Open North and South on a fresh database of each kind, with more plugins if given by name; afterwards their books must be well."""
    yield from _opening(database_url)


@pytest.fixture
def world(open_world: Callable[..., CaseWorld]) -> CaseWorld:
    """Open North and South with the departments that ship; afterwards their books must be well."""
    return open_world()


@pytest.fixture
def postgresql_world(postgresql_url: str) -> Iterator[CaseWorld]:
    """Open them on PostgreSQL, for what only a server can do; afterwards their books must be well."""
    for open_one in _opening(postgresql_url):
        yield open_one()


@pytest.fixture
def world_on() -> Callable[[str], CaseWorld]:
    """Open them on this database, for a test whose books are meant to be broken: nobody examines them."""
    return CaseWorld


def _opening(url: str) -> Iterator[Callable[..., CaseWorld]]:
    opened: list[CaseWorld] = []

    def open_one(**plugins: Any) -> CaseWorld:
        opened.append(CaseWorld(url, **plugins))
        return opened[-1]

    yield open_one
    for each in opened:
        each.check_books()
        each.dispose()


@pytest.fixture
def billing(world: CaseWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line in this process, for North and as the operator unless it says otherwise: `billing("pay", number, "--cash", "1")`."""
    monkeypatch.setenv("BILLING_DATABASE_URL", world.url)
    monkeypatch.setenv("BILLING_CLINIC", "north")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner(catch_exceptions=False).invoke(Frame(), list(args), input=stdin)

    return run


@pytest.fixture
def asked(billing: Callable[..., Result]) -> Callable[..., Any]:
    """Run a command line with --json, and return what it printed: the result, or of a refusal its code."""

    def run(*args: str, stdin: str | bytes | None = None) -> Any:
        result = billing("--json", *args, stdin=stdin)
        if result.exit_code:
            return json.loads(result.stderr)["error"]["code"]
        return json.loads(result.stdout)

    return run
