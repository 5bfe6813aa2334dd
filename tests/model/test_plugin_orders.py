"""The order in which plugins act must not matter: the same story leaves the same rows. Ids and hashes are made anew by every run."""

import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count, permutations
from typing import Any

import pytest
from billing_consultation.services import mark_visit, set_terms
from billing_laboratory.catalogue import add_analyte, add_test
from billing_pharmacy.services import receive_stock
from sqlalchemy import MetaData, select, text

from billing import registry
from billing.database import over_all_clinics
from billing.model import InvoiceItem, Membership, new_id
from billing.plugin import Allowance, Declaration, Department, effect, hookimpl, tell
from billing.registry import Plugin, Registry
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import clinics, invoice_steps, invoices, patients, payments, prices, staff
from billing.services.quotation import NewItem
from billing.testing.shelf import Shelf, ShelfLot
from billing.testing.world import World
from billing.transaction import Transaction

AT = datetime(2024, 2, 28, 22, tzinfo=UTC)
REAL = ("consultation", "laboratory", "pharmacy")
SMALL = ("shelf", *(f"small{number}" for number in range(9)))
SAMPLES = 200 if os.environ.get("BILLING_FAULTS") == "full" else 4

Row = tuple[tuple[str, str], ...]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Small:
    """A department that lowers prices, states effects and tells, each in its own words."""

    def __init__(self, department: str) -> None:
        self.department = department

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department(self.department, self.department.title()),))

    @hookimpl
    def quote_lines(self, lines: Sequence[Any]) -> Iterator[Any]:
        for line in lines:
            yield Allowance(line.position, 1 + len(self.department), f"of {self.department}")

    @hookimpl
    def on_items_paid(self, items: Sequence[Any]) -> Iterator[Any]:
        for item in items:
            yield effect(item, f"{self.department}.done", quantity_milli=item.quantity_milli)
            yield tell(f"{self.department}.told", code=item.code)


@pytest.fixture
def in_given_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plugins act in the order in which they are registered, instead of that of their names."""
    monkeypatch.setattr("billing.registry.registry.in_order", list)


def test_every_order_of_the_departments_that_ship_leaves_the_same_rows(database_url: str, in_given_order: None) -> None:
    modules = {plugin.name: plugin for plugin in registry.load(only=REAL).plugins}
    left = [
        _rows_of_a_story(database_url, [modules[name] for name in order], f"order-{place}", _prepare_real)
        for place, order in enumerate(permutations(REAL))
    ]

    assert len(left) == 6
    assert [_differing(rows, left[0]) for rows in left] == [[]] * 6


def test_sampled_orders_of_ten_plugins_leave_the_same_rows(database_url: str, in_given_order: None) -> None:
    modules = {name: Plugin(name, module=Shelf() if name == "shelf" else Small(name)) for name in SMALL}
    orders = [SMALL, *(random.sample(SMALL, len(SMALL)) for _ in range(SAMPLES))]
    left = [
        _rows_of_a_story(database_url, [modules[name] for name in order], f"order-{place}", _prepare_small)
        for place, order in enumerate(orders)
    ]

    assert [_differing(rows, left[0]) for rows in left] == [[]] * len(orders), orders


def _rows_of_a_story(url: str, plugins: Sequence[Plugin], clinic: str, prepare: Callable[[Transaction], list[str]]) -> Counter[Row]:
    world = World(url, plugins=Registry(plugins), clinic=clinic)
    codes = world.run(prepare, at=AT)
    patient = world.run(lambda tx: patients.add_patient(tx, name="Ann").id, at=AT)
    _tell_story(world, patient, codes)
    rows = _rows_of(world, world.read(lambda tx: tx.clinic_id))
    world.dispose()
    return rows


def _tell_story(world: World, patient: str, codes: list[str]) -> None:
    """Pay a draft whole, an issued invoice department by department and on account, and cancel a third one."""
    at = count(1)

    def run(unit: Callable[[Transaction], Any]) -> Any:
        return world.run(unit, at=AT + timedelta(hours=next(at)))

    def bill(tx: Transaction) -> Any:
        return invoices.create_invoice(tx, patient_id=patient, items=[NewItem(code, provider_id=_provider(tx)) for code in codes])

    def pay(invoice_id: str, scope: str, amount: int) -> None:
        tenders = [Tender("transfer", amount)]
        run(lambda tx: payments.take_payment(tx, invoice_id=invoice_id, scope=Scope.parse(scope), tenders=tenders, key=f"{tx.at}"))

    whole, in_parts, unwanted = run(bill), run(bill), run(bill)
    pay(whole.id, "ALL", whole.total_minor)
    run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=in_parts.id))
    last = world.read(lambda tx: sorted(each.code for each in tx.clinic.departments))[-1]
    cost = sum(item.total_minor for item in _items(world, in_parts.id) if item.department == last)
    pay(in_parts.id, last, cost)
    pay(in_parts.id, "ON_ACCOUNT", (in_parts.total_minor - cost) // 2)
    pay(in_parts.id, "ON_ACCOUNT", in_parts.total_minor - cost - (in_parts.total_minor - cost) // 2)
    run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=unwanted.id, reason="not wanted"))


def _items(world: World, invoice_id: str) -> Sequence[InvoiceItem]:
    return world.read(lambda tx: tx.session.scalars(select(InvoiceItem).where(InvoiceItem.invoice_id == invoice_id)).all())


def _provider(tx: Transaction) -> str:
    return tx.session.scalars(select(Membership.id).where(Membership.provider)).one()


def _prepare_real(tx: Transaction) -> list[str]:
    services = {"VISIT": "consultation", "TALK": "consultation", "AMX": "pharmacy", "VAC": "pharmacy", "GLU": "laboratory"}
    _add_services(tx, services)
    mark_visit(tx, service="VISIT")
    set_terms(tx, share_bp=3000, follow_up_days=9, follow_up_visits=1)
    add_analyte(tx, loinc="2345-7", name="Glucose")
    add_test(tx, service_code="GLU", loinc="2345-7", specimen="serum")
    for code, lot in (("AMX", "A"), ("VAC", "A"), ("AMX", "B")):
        receive_stock(tx, service_code=code, lot=lot, expires_on=date(2024, 4, 1), quantity_milli=1_500, unit_cost_e4=1)
    receive_stock(tx, service_code="VAC", lot="B", expires_on=date(2024, 3, 9), quantity_milli=1_500, unit_cost_e4=1)
    return list(services)


def _prepare_small(tx: Transaction) -> list[str]:
    services = {f"S{place}": code for place, code in enumerate([*SMALL, "shelf", "small1"])}
    _add_services(tx, services)
    for code in ("S0", "S10"):
        lots = [ShelfLot(id=new_id(), service_id=prices.find_service(tx, code).id, on_hand_milli=1_500, note=None) for _ in "ab"]
        tx.session.add_all(lots)
    return list(services)


def _add_services(tx: Transaction, services: dict[str, str]) -> None:
    for number, (code, department) in enumerate(services.items(), start=1):
        prices.add_service(tx, code=code, department=department, description=code, unit_price_e4=number * 12_345_678)
    clinics.order_departments(tx, codes=sorted(each.code for each in tx.clinic.departments))
    staff.add_provider(tx, name="Dr. Ada")


def _differing(rows: Counter[Row], others: Counter[Row]) -> list[Row]:
    return [*(rows - others), *(others - rows)]


def _rows_of(world: World, clinic_id: str) -> Counter[Row]:
    """Return the clinic's rows without times and hashes. An id is told apart by all that stands around it, not by what it is."""
    rows = [*_raw_rows(world, clinic_id)]
    told: dict[str, str] = {}
    for _ in range(4):  # so many references lie between any two rows
        around: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            for column, value in row:
                for each in set(_ID.findall(value)):
                    around[each].append(f"{column}: {_without_ids(row, told)}")
        told = {each: str(hash(tuple(sorted(places)))) for each, places in around.items()}
    return Counter(_without_ids(row, told) for row in rows)


def _without_ids(row: Row, told: dict[str, str]) -> Row:
    return tuple((column, _ID.sub(lambda found: told.get(found[0], "id"), value)) for column, value in row)


def _raw_rows(world: World, clinic_id: str) -> Iterator[Row]:
    tables = MetaData()
    with over_all_clinics(world.database.engine, writing=False) as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if "clinic_id" not in table.columns or table.name.startswith("clinic"):
                continue
            names = [column.name for column in table.columns if not re.search(r"(^at|_at|hash)$", column.name)]
            found = text(f"SELECT {', '.join(names)} FROM {table.name} WHERE clinic_id = :clinic_id")
            for values in connection.execute(found, {"clinic_id": clinic_id}):
                yield tuple(
                    (f"{table.name}.{name}", re.sub(world.clinic, "here", _told(value), flags=re.IGNORECASE))
                    for name, value in zip(names, values, strict=True)
                )


def _told(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else str(value)
