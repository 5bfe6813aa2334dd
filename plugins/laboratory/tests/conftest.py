"""A clinic with a laboratory on a real database, and short words for what happens in it."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from threading import Barrier, Thread
from typing import TypeVar

import pytest
from billing_laboratory import catalogue, hooks, queries, services
from billing_laboratory.invariants import INVARIANTS
from billing_laboratory.model import LabOrder, LabResult
from billing_laboratory.report import Report
from billing_laboratory.rules import Range
from sqlalchemy import select, text

from billing import clock
from billing.model import InvoiceItem, Patient
from billing.plugin import BillingError, InvoiceMade, NewItem, PaymentTaken, Scope, Tender, Transaction, take_payment
from billing.services.audit import list_entries
from billing.services.invoice_steps import issue_invoice
from billing.services.payment_preview import PaymentPreview, preview_payment
from billing.services.prices import add_service
from billing.services.staff import add_staff
from billing.testing.shelf import Desk
from billing.testing.world import World
from billing.trips import Query

T = TypeVar("T")

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Lab(World):
    """A clinic, north. Of its laboratory: K (potassium), ELEC (sodium, potassium) and COV (a finding), 5.00 each.

    anna and bert are clinicians, mona manages, carl is a cashier. It is the first of March.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, plugins={"laboratory": hooks, "desk": Desk()})
        self.run(_set_up)

    def person(self, *, species: str | None = None, sex: str = "female", birth_date: date | None = date(1980, 5, 17)) -> str:
        """Return the id of a new patient."""
        patient_id = self.patient(kind="animal" if species else "person", species=species)

        def unit(tx: Transaction) -> None:
            patient = tx.session.scalars(select(Patient).where(Patient.id == patient_id)).one()
            patient.sex, patient.birth_date = sex, birth_date

        self.run(unit)
        return patient_id

    def issue(self, *items: str | NewItem, patient_id: str | None = None) -> InvoiceMade:
        """Return a new issued invoice."""
        made = self.invoice(*items, patient_id=patient_id or self.person())
        self.run(lambda tx: issue_invoice(tx, invoice_id=made.id))
        return made

    def order(self, *items: str, patient_id: str | None = None) -> str:
        """Return the id of the first order of these items, paid."""
        made = self.issue(*items, patient_id=patient_id)
        self.run(self.paying(made))
        return self.orders(made)[0].id

    @staticmethod
    def paying(invoice: InvoiceMade) -> Callable[[Transaction], PaymentTaken]:
        """Return the unit that pays all of an invoice."""
        return lambda tx: take_payment(tx, scope=Scope.all(), invoice_id=invoice.id, tenders=[Tender("card", invoice.total_minor)])

    def preview(self, invoice: InvoiceMade) -> PaymentPreview:
        return self.read(lambda tx: preview_payment(tx, scope=Scope.all(), invoice_id=invoice.id))

    def orders(self, invoice: InvoiceMade | None = None) -> list[LabOrder]:
        """Return the orders of an invoice, or all, in the order of their items."""
        statement = select(LabOrder).join(InvoiceItem, (InvoiceItem.clinic_id == LabOrder.clinic_id) & (InvoiceItem.id == LabOrder.item_id))
        if invoice is not None:
            statement = statement.where(InvoiceItem.invoice_id == invoice.id)
        return list(self.read(lambda tx: tx.session.scalars(statement.order_by(InvoiceItem.position, LabOrder.id)).all()))

    def results(self, order_id: str) -> list[LabResult]:
        """Return an order's results, as on its report."""
        statement = select(LabResult).where(LabResult.order_id == order_id).order_by(LabResult.position, LabResult.id)
        return list(self.read(lambda tx: tx.session.scalars(statement).all()))

    def status(self, order_id: str) -> str:
        return next(each.status for each in self.orders() if each.id == order_id)

    def collect(self, order_id: str) -> None:
        self.run(lambda tx: services.collect_order(tx, order_id=order_id), actor="anna")

    def enter(self, order_id: str, analyte: str, value: str, *, by: str = "anna") -> None:
        self.run(lambda tx: services.enter_result(tx, order_id=order_id, analyte_code=analyte, value=value), actor=by)

    def verify(self, order_id: str, analyte: str, *, by: str = "bert") -> None:
        self.run(lambda tx: services.verify_result(tx, order_id=order_id, analyte_code=analyte), actor=by)

    def amend(self, order_id: str, analyte: str, value: str, *, reason: str = "haemolysed", by: str = "anna") -> None:
        self.run(lambda tx: services.amend_result(tx, order_id=order_id, analyte_code=analyte, value=value, reason=reason), actor=by)

    def measured(self, order_id: str, analyte: str, value: str) -> LabResult:
        """Collect, enter and verify one value; return its row."""
        self.collect(order_id)
        self.enter(order_id, analyte, value)
        self.verify(order_id, analyte)
        return next(row for row in self.results(order_id) if row.value == value)

    def waiting(self) -> list[tuple[str, int, int]]:
        """Return the worklist as (code, to enter, to verify)."""
        return [(row.code, row.to_enter, row.to_verify) for row in self.read(queries.worklist, actor="anna")]

    def report(self, order_id: str) -> Report:
        return self.read(lambda tx: queries.report(tx, order_id=order_id), actor="anna")

    def broken(self) -> set[str]:
        """Name the laboratory's invariants that do not hold."""
        return self.read(lambda tx: {each.name for each in INVARIANTS if tx.rows(Query(each.violations))})

    def audited(self) -> list[str]:
        """Name the laboratory's acts that were audited, in order."""
        return [each.action for each in reversed(self.read(lambda tx: list_entries(tx, limit=500))) if each.action.startswith("lab.")]

    def tamper(self, *statements: str) -> None:
        """Change rows behind everybody's back, SQLite's foreign keys aside."""
        with self.admin.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def at_once(self, *units: Callable[[Transaction], T], actors: tuple[str, ...] = ()) -> list[T | BillingError]:
        """Run units at the same time and return what each returned or was refused with."""
        answers: list[T | BillingError] = []
        start = Barrier(len(units))

        def go(unit: Callable[[Transaction], T], actor: str) -> None:
            start.wait()
            try:
                answers.append(self.run(unit, actor=actor))
            except BillingError as error:
                answers.append(error)

        threads = [Thread(target=go, args=each) for each in zip(units, actors or [self.actor] * len(units), strict=True)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return answers


def _set_up(tx: Transaction) -> None:
    for login, role in (("anna", "clinician"), ("bert", "clinician"), ("mona", "manager"), ("carl", "cashier")):
        add_staff(tx, login=login, name=login.title(), role=role)
    for code in ("K", "ELEC", "COV", "NEW"):
        add_service(tx, code=code, department="laboratory", description=f"Service {code}", unit_price_e4=5_000_000)
    catalogue.add_analyte(tx, loinc="2823-3", name="Potassium", unit="mmol/L", decimals=1)
    catalogue.add_analyte(tx, loinc="2951-2", name="Sodium", unit="mmol/L")
    catalogue.add_analyte(tx, loinc="94500-6", name="SARS-CoV-2 RNA", value_kind="text")
    catalogue.add_range(tx, analyte_code="2823-3", limits=Range(low="3.5", high="5.1", critical_low="2.5", critical_high="6.5"))
    catalogue.add_range(tx, analyte_code="2823-3", limits=Range(species="Dog", low="3.9", high="5.8"))
    catalogue.add_range(tx, analyte_code="2823-3", limits=Range(age_until_days=28, low="3.7", high="5.9"))
    catalogue.add_range(tx, analyte_code="94500-6", limits=Range(normal_text="Not detected"))
    catalogue.add_test(tx, service_code="K", loinc="2823-3", specimen="serum")
    catalogue.add_test(tx, service_code="ELEC", loinc="24326-1", name="Electrolytes", specimen="serum", analytes=["2951-2", "2823-3"])
    catalogue.add_test(tx, service_code="COV", loinc="94500-6", specimen="nasal swab")


@pytest.fixture
def lab(database_url: str) -> Iterator[Lab]:
    """Open the laboratory on a fresh database, of each kind."""
    with clock.fixed(AT):
        opened = Lab(database_url)
        yield opened
        opened.dispose()
