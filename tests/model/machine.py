"""The real clinic and the model, told the same: every act must come to the same in both, and be refused with the same code."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from billing_consultation.services import mark_visit, set_terms
from billing_laboratory.catalogue import add_analyte, add_test
from billing_pharmacy.services import receive_stock, write_off_expired
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.rules.totals import TaxGroup
from billing.services import clinics, consultations, doctor, invoice_steps, invoices, patients, payments, prices, staff
from billing.services.quotation import NewAdjustment, NewItem
from billing.testing.world import World
from billing.transaction import Transaction
from tests.model import seen
from tests.model.asked import CATALOGUE, FOLLOW_UP_DAYS, FOLLOW_UP_PRICE, FOLLOW_UP_VISITS, PAYMENT_DAYS, SHARE_BP, ZONE, Discount, Line
from tests.model.clinic import ModelClinic, Refusal

START = datetime(1996, 12, 20, 9, tzinfo=UTC)
A_WHILE = timedelta(minutes=7)
LATEST = datetime(2025, 1, 1, tzinfo=UTC)  # a clinic's day never comes after the machine's own
PATIENTS, PROVIDERS, SOURCES = ("Ann", "Rex"), ("Dr. Early", "Dr. Late"), tuple(f"rx:{number}" for number in range(9))
LOINC = ("2345-7", "2951-2", "2823-3")
TAXES = tuple(sorted({service.tax for service in CATALOGUE}))
STOCKED = tuple(service.code for service in CATALOGUE if service.department == "pharmacy")

lines = st.lists(
    st.builds(
        Line,
        st.sampled_from(CATALOGUE),
        quantity=st.sampled_from([*[1000] * 6, 2500]),
        price=st.sampled_from([*[None] * 6, 0, 7_770_000]),
        allowance=st.sampled_from([*[0] * 8, 1, 333]),
        provider=st.sampled_from([None, *PROVIDERS]),
        source=st.sampled_from([*[None] * 30, *SOURCES]),
    ),
    min_size=1,
    max_size=4,
)
amounts = st.sampled_from([-1, -100, -777, 50])


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[Line], list[Discount]]:
    """Draw lines, and discounts that mostly fall on one of their tax groups."""
    asked = draw(lines)
    taxes = st.sampled_from([*(line.service.tax for line in asked), draw(st.sampled_from(TAXES))])
    return asked, draw(st.just([]) | st.lists(st.builds(Discount, amounts, taxes), max_size=2))


scopes = st.sampled_from(["ALL", "ALL", "ON_ACCOUNT", "ON_ACCOUNT", "consultation", "laboratory", "pharmacy"])
ways_to_pay = st.sampled_from(["exact", "cash", "change", "two", "short", "over", "nothing"])
places = st.integers(0, 50)

_clinics = count(1)


class ClinicMachine(RuleBasedStateMachine):
    """A clinic of its own for every history; all of them stand in one database, so that no clinic may see another's rows."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.clinic = f"c{next(_clinics)}"
        self.model = ModelClinic(START)
        self.drawn: list[tuple[str, bool]] = []
        """Every invoice with whether it was made in a visit."""
        self.taken: list[dict[str, Any]] = []
        """Every payment as it was asked for."""

    @initialize(first=documents(), second=documents())
    def found(self, first: tuple[list[Line], list[Discount]], second: tuple[list[Line], list[Discount]]) -> None:
        self.world.found(self.clinic, currency="CHF", time_zone=str(ZONE), payment_days=PAYMENT_DAYS)
        self._run(self._prepare)
        self.take_stock_in(service="AMX", lot="B", days=9, units=3)
        self.take_stock_in(service="AMX", lot="A", days=20, units=9)
        self.take_stock_in(service="GIFT", lot="A", days=400, units=9)
        self.create(patient="Ann", document=first, visit=False)
        self.create(patient="Rex", document=second, visit=True)

    def _prepare(self, tx: Transaction) -> None:
        for each in CATALOGUE:
            prices.add_service(
                tx,
                code=each.code,
                department=each.department,
                description=each.code,
                unit_price_e4=each.price,
                tax_category=each.tax[0],
                tax_rate_bp=each.tax[1],
            )
        for code in LOINC:
            add_analyte(tx, loinc=code, name=f"Analyte {code}")
        for each in CATALOGUE:
            if each.visit:
                mark_visit(tx, service=each.code)
            if each.analytes:
                add_test(tx, service_code=each.code, loinc=LOINC[0], specimen="serum", analytes=LOINC[: each.analytes])
        set_terms(
            tx,
            share_bp=SHARE_BP,
            follow_up_days=FOLLOW_UP_DAYS,
            follow_up_price_e4=FOLLOW_UP_PRICE,
            follow_up_visits=FOLLOW_UP_VISITS,
        )
        self.providers = {name: staff.add_provider(tx, name=name).id for name in PROVIDERS}
        self.patients = {name: patients.add_patient(tx, name=name).id for name in PATIENTS}

    # --- acts ---

    @rule(patient=st.sampled_from(PATIENTS), document=documents(), visit=st.booleans())
    def create(self, patient: str, document: tuple[list[Line], list[Discount]], visit: bool) -> None:
        asked, discounts = document
        made: list[str] = []

        def unit(tx: Transaction) -> None:
            opened = self._open_visit(tx, patient) if visit else None
            chosen: dict[str, Any] = {
                "patient_id": self.patients[patient],
                "items": self._items(asked),
                "adjustments": _adjustments(discounts),
            }
            made.append(invoices.create_invoice(tx, consultation_id=opened, **chosen).id)

        if self._both(unit, lambda: self.model.create(patient, _in_visit(asked, visit=visit), discounts)):
            self.drawn.append((made[-1], visit))

    @precondition(lambda self: self.drawn)
    @rule(place=places, document=documents(), keep=st.sampled_from(["items", "discounts", "neither"]))
    def edit(self, place: int, document: tuple[list[Line], list[Discount]], keep: str) -> None:
        place %= len(self.drawn)
        invoice_id, visit = self.drawn[place]
        asked, discounts = (None if keep == "items" else document[0]), (None if keep == "discounts" else document[1])
        items = None if asked is None else self._items(asked)
        adjustments = None if discounts is None else _adjustments(discounts)
        known = None if asked is None else _in_visit(asked, visit=visit)
        self._both(
            lambda tx: invoices.edit_invoice(tx, invoice_id=invoice_id, items=items, adjustments=adjustments),
            lambda: self.model.edit(place, known, discounts),
        )

    @precondition(lambda self: self.drawn)
    @rule(place=places)
    def issue(self, place: int) -> None:
        place %= len(self.drawn)
        self._both(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=self.drawn[place][0]), lambda: self.model.issue(place))

    @precondition(lambda self: self.drawn)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        place %= len(self.drawn)
        self._both(
            lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=self.drawn[place][0], reason="not wanted"),
            lambda: self.model.cancel(place),
        )

    @precondition(lambda self: self.drawn)
    @rule(place=places, scope=scopes)
    def pay_what_is_due(self, place: int, scope: str) -> None:
        self._pay(place % len(self.drawn), scope, "exact", divisor=2)

    @precondition(lambda self: self.drawn)
    @rule(place=places, scope=scopes, how=ways_to_pay, divisor=st.integers(1, 3))
    def pay_in_any_way(self, place: int, scope: str, how: str, divisor: int) -> None:
        self._pay(place % len(self.drawn), scope, how, divisor)

    @precondition(lambda self: self.taken)
    @rule(place=places)
    def send_a_payment_again(self, place: int) -> None:
        place %= len(self.taken)

        again = self._run(lambda tx: payments.take_payment(tx, **self.taken[place]))

        assert (again.replayed, again.receipt_number) == (True, self.model.payments[place][0])
        self._compare()

    @rule(service=st.sampled_from(STOCKED), lot=st.sampled_from("ABC"), days=st.sampled_from([-1, 0, 1, 9, 400]), units=st.integers(1, 9))
    def take_stock_in(self, service: str, lot: str, days: int, units: int) -> None:
        self.model.at += A_WHILE
        expires = self.model.today + timedelta(days=days)
        delivery: dict[str, Any] = {"service_code": service, "lot": lot, "expires_on": expires, "quantity_milli": units * 1000}
        self._both(
            lambda tx: receive_stock(tx, unit_cost_e4=10_000, **delivery),
            lambda: self.model.receive(service, lot, expires, units * 1000),
        )

    @rule()
    def write_expired_stock_off(self) -> None:
        self._both(write_off_expired, self.model.write_off_expired)

    @rule(days=st.sampled_from([1, 1, 10, 20, 0]))
    def sleep(self, days: int) -> None:
        """Wait for another day; 0 for New Year's Eve: the next act but one is the first of the year."""
        new_year = datetime(self.model.today.year + 1, 1, 1, tzinfo=ZONE).astimezone(UTC)
        asleep = self.model.at + timedelta(days=days) if days else new_year - A_WHILE * 1.5
        if self.model.at < asleep < LATEST:
            self.model.at = asleep
        self._compare()

    @rule(
        numbers_at=st.sampled_from(["creation", "issue"]),
        rounding=st.sampled_from(["document", "line"]),
        order=st.permutations(["consultation", "laboratory", "pharmacy"]),
    )
    def choose_other_policies(self, numbers_at: str, rounding: str, order: list[str]) -> None:
        def unit(tx: Transaction) -> None:
            clinics.update_clinic(tx, changes={"policy": {"numbers_at": numbers_at}, "rounding": rounding})
            clinics.order_departments(tx, codes=order)

        self._run(unit)
        self.model.numbers_at, self.model.rounding, self.model.order = numbers_at, rounding, order

    # --- what all acts do ---

    def _pay(self, place: int, scope: str, how: str, divisor: int) -> None:
        tenders = self._tenders(place, scope, how, divisor)
        asked: dict[str, Any] = {
            "invoice_id": self.drawn[place][0],
            "scope": Scope.parse(scope),
            "tenders": [Tender(*each) for each in tenders],
            "key": f"k{len(self.taken)}-{self.model.at}",
        }
        if self._both(lambda tx: payments.take_payment(tx, **asked), lambda: self.model.pay(place, scope, tenders)):
            self.taken.append(asked)

    def _both(self, unit: Callable[[Transaction], Any], act: Callable[[], None]) -> bool:
        """Do the same in both clinics, and compare; say whether it was done."""
        self.model.at += A_WHILE
        expected = found = None
        try:
            act()
        except Refusal as refusal:
            expected = str(refusal)
        try:
            self._run(unit)
        except BillingError as error:
            found = error.code
        assert found == expected
        self._compare()
        return expected is None

    def _run(self, unit: Callable[[Transaction], Any]) -> Any:
        return self.world.run(unit, clinic=self.clinic, at=self.model.at)

    def _compare(self) -> None:
        database, actor = self.world.database, self.world.actor
        assert database.read(seen.of_clinic, clinic=self.clinic, actor=actor, at=self.model.at) == seen.of_model(self.model)

    def _open_visit(self, tx: Transaction, patient: str) -> str:
        return consultations.open_consultation(tx, patient_id=self.patients[patient], provider_id=self.providers[PROVIDERS[0]]).id

    def _items(self, asked: Sequence[Line]) -> list[NewItem]:
        return [
            NewItem(
                line.service.code,
                quantity_milli=line.quantity,
                unit_price_e4=line.price,
                allowances=((line.allowance, "regular"),) if line.allowance else (),
                provider_id=self.providers[line.provider] if line.provider else None,
                source=line.source,
            )
            for line in asked
        ]

    def _tenders(self, place: int, scope: str, how: str, divisor: int) -> list[tuple[str, int]]:
        try:
            due = self.model.due_for(place, scope)
        except Refusal:
            due = 1000
        due = due // divisor if scope == "ON_ACCOUNT" else due
        half, in_cash = due // 2, (due + 2) // 5 * 5
        return {
            "exact": [("transfer", due)],
            "cash": [("cash", in_cash)],
            "change": [("cash", in_cash + 500)],
            "two": [("card", half), ("cash", (due - half + 2) // 5 * 5)],
            "short": [("card", max(due - 1, 0))],
            "over": [("card", due + 1)],
            "nothing": [],
        }[how]

    def teardown(self) -> None:
        report = self.world.read(doctor.examine, clinic=self.clinic)
        assert [(check.name, check.violations, check.error) for check in report.broken] == []


def _in_visit(asked: Sequence[Line], *, visit: bool) -> list[Line]:
    """Return the lines as a visit knows them: the provider who was visited is that of every line which names none."""
    return [replace(line, provider=PROVIDERS[0]) if visit and line.provider is None else line for line in asked]


def _adjustments(document: Sequence[Discount]) -> list[NewAdjustment]:
    return [NewAdjustment(each.amount > 0, abs(each.amount), "goodwill", TaxGroup(*each.tax)) for each in document]
