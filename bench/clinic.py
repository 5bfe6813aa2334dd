"""The clinics that are measured: three departments, a price list, deep shelves, patients with an issued invoice each. Measures nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from billing_consultation.services import mark_visit, set_terms
from billing_laboratory.catalogue import add_analyte, add_test
from billing_pharmacy.services import receive_stock

from billing import migrations, registry
from billing.database import Database
from billing.registry import Registry
from billing.services import clinics, invoice_steps, invoices
from billing.services.installation import open_database
from billing.services.patients import add_client, add_patient
from billing.services.prices import add_service
from billing.services.quotation import NewItem
from billing.services.setup import OPERATOR_LOGIN, make_operator
from billing.services.staff import add_staff
from billing.settings import Settings
from billing.testing.postgres import APPLICATION, OWNER, PostgresServer, as_role, running_postgres
from billing.transaction import Transaction

DEPARTMENTS = ("consultation", "pharmacy", "laboratory")
CASHIER, PROVIDER = "lena", "ines"
ANALYTES = ("718-7", "4544-3", "777-3", "2345-7")
PRODUCTS = ("AMOX", "CARP")
FIVE_ITEMS = ("VISIT", "BLOOD", "SUGAR", *PRODUCTS)
"""One visit, a panel of three analytes, a single test, two products."""

ENOUGH_MILLI = 10**12


@dataclass(frozen=True, slots=True)
class BenchClinic:
    """A clinic that is ready to bill, and the patient who gets the invoices."""

    code: str
    id: str
    patient_id: str
    provider_id: str


def departments_that_ship() -> Registry:
    """Return the registry of the standard plugins."""
    return registry.load(only=DEPARTMENTS)


def open_bench(url: str, plugins: Registry | None = None) -> Database:
    """Return the boundary on a database, with the standard plugins unless others are given."""
    return open_database(url, plugins=plugins or departments_that_ship(), settings=Settings(lock_timeout_seconds=30))


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server that really writes, with the roles that a clinic's has."""
    with running_postgres(durable=True) as server:
        server.create_roles()
        yield server


def database_on(server: PostgresServer, name: str) -> str:
    """Make a database as a clinic has it; return its address for the application's role, which owns nothing and is under row level security."""
    server.create_database(name, owner=OWNER)
    url = server.url(name, role=APPLICATION)
    prepare(url)
    return url


def prepare(url: str) -> None:
    """Make all tables, as their owner, and the operator."""
    migrations.upgrade(as_role(url, OWNER), registry=departments_that_ship(), grant_to=None if url.startswith("sqlite") else APPLICATION)
    database = open_bench(url)
    database.set_up(make_operator)
    database.dispose()


def found(database: Database, code: str, policy: dict[str, Any] | None = None) -> BenchClinic:
    """Found a clinic with price list, tests, stock, staff and one patient."""
    made = database.run(
        lambda tx: clinics.create_clinic(tx, code=code, name=code.title(), currency_code="EUR", time_zone="Europe/Berlin", policy=policy),
        actor=OPERATOR_LOGIN,
    )
    return database.run(lambda tx: _furnish(tx, code, made.id), actor=OPERATOR_LOGIN, clinic=code)


def bill(database: Database, clinic: BenchClinic, codes: tuple[str, ...] = FIVE_ITEMS, *, issued: bool = True) -> str:
    """Return the id of a new invoice, issued unless it is to stay a draft."""

    def create(tx: Transaction) -> str:
        items = [NewItem(code, provider_id=clinic.provider_id if code == "VISIT" else None) for code in codes]
        return invoices.create_invoice(tx, patient_id=clinic.patient_id, items=items).id

    invoice_id = database.run(create, actor=OPERATOR_LOGIN, clinic=clinic.code)
    if issued:
        database.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=invoice_id), actor=OPERATOR_LOGIN, clinic=clinic.code)
    return invoice_id


def items_of(count: int) -> tuple[str, ...]:
    """Return the codes of an invoice of so many items, mixed as the five are."""
    return (FIVE_ITEMS * (count // len(FIVE_ITEMS) + 1))[:count]


def _furnish(tx: Transaction, code: str, clinic_id: str) -> BenchClinic:
    for service, department, price_e4, rate_bp in (
        ("VISIT", "consultation", 40_000_000, 0),
        ("BLOOD", "laboratory", 18_000_000, 700),
        ("SUGAR", "laboratory", 6_000_000, 700),
        ("AMOX", "pharmacy", 9_500_000, 1900),
        ("CARP", "pharmacy", 12_000_000, 1900),
    ):
        add_service(
            tx,
            code=service,
            department=department,
            description=f"Service {service}",
            unit_price_e4=price_e4,
            tax_category="S" if rate_bp else None,
            tax_rate_bp=rate_bp or None,
        )
    mark_visit(tx, service="VISIT")
    set_terms(tx, share_bp=4000, follow_up_days=14, follow_up_price_e4=0, follow_up_visits=1)
    for loinc in ANALYTES:
        add_analyte(tx, loinc=loinc, name=f"Analyte {loinc}", unit="g/L")
    add_test(tx, service_code="BLOOD", loinc="58410-2", specimen="blood", analytes=ANALYTES[:3])
    add_test(tx, service_code="SUGAR", loinc=ANALYTES[3], specimen="blood")
    for product in PRODUCTS:
        for lot, expires_on in (("early", date(2090, 1, 1)), ("late", date(2091, 1, 1))):
            receive_stock(tx, service_code=product, lot=lot, expires_on=expires_on, quantity_milli=ENOUGH_MILLI, unit_cost_e4=1_000_000)
    add_staff(tx, login=f"{CASHIER}-{code}", name="Lena Fuchs", role="cashier")
    provider = add_staff(tx, login=f"{PROVIDER}-{code}", name="Dr. Ines Vogel", role="clinician", provider=True)
    client = add_client(tx, name="Mara Lindner")
    patient = add_patient(tx, client_id=client.id, name="Mara Lindner", kind="person", sex="female", birth_date=date(1990, 5, 17))
    return BenchClinic(code, clinic_id, patient.id, provider.id)


def cashier_of(code: str) -> str:
    """Return the login of a clinic's cashier."""
    return f"{CASHIER}-{code}"
