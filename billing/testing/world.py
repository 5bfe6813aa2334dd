"""A small clinic for tests: builders whose defaults are valid and boring, so that a test shows only what matters."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine, MetaData, Table, inspect, select, text

from billing import registry
from billing.database import Database, over_all_clinics
from billing.engine import open_engine
from billing.migrations import cluster, privileges, row_security
from billing.model import Base, Client, Patient, Service, new_id
from billing.money import parse_amount, parse_quantity, parse_unit_price
from billing.registry import Registry
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.rules.totals import TaxGroup
from billing.services import clinics, invoices, payments, setup
from billing.services.installation import open_database
from billing.services.quotation import NewItem
from billing.settings import Settings, read_settings
from billing.testing.partitions import PART
from billing.testing.postgres import APPLICATION, OWNER, SUPERUSER, as_role
from billing.testing.shelf import Desk, Shelf, ShelfLot
from billing.transaction import Transaction

T = TypeVar("T")


class World:
    """A database with clinics on it, and short words for what happens there. Money and quantities are texts, as people write them."""

    def __init__(
        self, url: str, *, plugins: Mapping[str, Any] | Registry | None = None, clinic: str = "north", **clinic_options: Any
    ) -> None:
        made = plugins if isinstance(plugins, Registry) else registry.of_modules(plugins or {"shelf": Shelf(), "desk": Desk()})
        self.registry = made
        self.url = url
        self.database = open_database(url, plugins=made, settings=read_settings())
        self.admin = _open_for_admin(self.database, url)
        self.clinic = clinic
        self.actor = setup.OPERATOR_LOGIN
        own = [plugin for plugin in made.plugins if plugin.declaration.migrations is None]
        create_tables(url, [table for plugin in own for table in plugin.tables])
        self.database.set_up(setup.make_operator)
        if not any(row.code == clinic for row in self.read_anywhere(clinics.list_clinics)):
            self.found(clinic, **clinic_options)

    def found(self, code: str, *, currency: str = "EUR", time_zone: str = "Europe/Berlin", **options: Any) -> None:
        """Found a clinic; its cash needs no shift unless its policy says so."""
        options["policy"] = {"cash_needs_shift": False, **(options.get("policy") or {})}
        self.database.run(
            lambda tx: clinics.create_clinic(tx, code=code, name=code.title(), currency_code=currency, time_zone=time_zone, **options),
            actor=self.actor,
        )

    def run(
        self, unit: Callable[[Transaction], T], *, at: datetime | None = None, clinic: str | None = None, actor: str | None = None
    ) -> T:
        """Run a unit in the world's clinic."""
        return self.database.run(unit, clinic=clinic or self.clinic, actor=actor or self.actor, at=at)

    def read(self, unit: Callable[[Transaction], T], *, clinic: str | None = None, actor: str | None = None) -> T:
        """Run a unit that reads."""
        return self.database.read(unit, clinic=clinic or self.clinic, actor=actor or self.actor)

    def read_anywhere(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit outside of clinics."""
        return self.database.read(unit, actor=self.actor)

    def patient(self, *, kind: str = "person", species: str | None = None, clinic: str | None = None) -> str:
        """Return the id of a new patient, who pays for themselves."""

        def unit(tx: Transaction) -> str:
            client = Client(id=new_id(), name="Ada Client", created_at=tx.at)
            patient = Patient(id=new_id(), client_id=client.id, kind=kind, name="Ada", sex="female", species=species, created_at=tx.at)
            tx.session.add(client)
            tx.session.flush()  # the patient refers to the client
            tx.session.add(patient)
            return patient.id

        return self.run(unit, clinic=clinic)

    def service(self, code: str, *, department: str = "desk", price: str = "10.00", tax: str = "O 0", clinic: str | None = None) -> str:
        """Return the id of a new service; `tax` like "S 1000": category and basis points."""
        category, rate = tax.split()

        def unit(tx: Transaction) -> str:
            group = TaxGroup(category, int(rate))
            service = Service(
                id=new_id(),
                code=code,
                department=department,
                description=f"Service {code}",
                unit="each",
                unit_price_e4=parse_unit_price(price, tx.clinic.currency),
                tax_category=group.category,
                tax_rate_bp=group.rate_bp,
                created_at=tx.at,
            )
            tx.session.add(service)
            return service.id

        return self.run(unit, clinic=clinic)

    def lot(self, service_id: str, quantity: str, *, clinic: str | None = None) -> str:
        """Return the id of a new lot on the shelf."""

        def unit(tx: Transaction) -> str:
            lot = ShelfLot(id=new_id(), service_id=service_id, on_hand_milli=parse_quantity(quantity), note=None)
            tx.session.add(lot)
            return lot.id

        return self.run(unit, clinic=clinic)

    def on_hand(self, lot_id: str) -> int:
        """Return what a lot holds, in thousandths."""
        return self.read(lambda tx: tx.session.scalars(select(ShelfLot.on_hand_milli).where(ShelfLot.id == lot_id)).one())

    def invoice(
        self, *items: str | NewItem, patient_id: str | None = None, clinic: str | None = None, actor: str | None = None, **options: Any
    ) -> invoices.InvoiceMade:
        """Return a new draft; items are written like "AMX" or "AMX:2.5"."""
        patient = patient_id or self.patient(clinic=clinic)
        return self.run(
            lambda tx: invoices.create_invoice(tx, patient_id=patient, items=items_of(items), **options), clinic=clinic, actor=actor
        )

    def pay(
        self,
        invoice_id: str,
        *tenders: str,
        scope: str = "ALL",
        at: datetime | None = None,
        clinic: str | None = None,
        actor: str | None = None,
        **options: Any,
    ) -> payments.PaymentTaken:
        """Take a payment; tenders are written like "cash 50" or "transfer 10.00 T-1"."""
        return self.run(
            lambda tx: payments.take_payment(
                tx, invoice_id=invoice_id, scope=Scope.parse(scope), tenders=tenders_of(tx, tenders), **options
            ),
            at=at,
            clinic=clinic,
            actor=actor,
        )

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table: two equal dumps mean that nothing has happened in between."""
        found = MetaData()
        with self.admin.connect() as connection:
            found.reflect(connection, only=lambda name, _: not PART.fullmatch(name))  # a part's rows are the whole's
            return {name: _rows(connection, table) for name, table in sorted(found.tables.items())}

    def dispose(self) -> None:
        """Close the connections."""
        self.database.dispose()
        self.admin.dispose()


def create_tables(url: str, tables: Sequence[Table]) -> None:
    """Create tables of plugins that bring no migrations, unless they stand; as their owner, as migrations do."""
    engine = open_engine(as_role(url, OWNER), Settings())
    with over_all_clinics(engine, writing=True) as connection, cluster.spreading(connection):
        there = inspect(connection)
        if missing := [table for table in tables if not there.has_table(table.name)]:
            Base.metadata.create_all(connection, tables=missing, checkfirst=False)
            row_security.protect(connection)
            if engine.url.username == OWNER:
                privileges.grant(connection, APPLICATION, Settings())
    engine.dispose()


def items_of(texts: Sequence[str | NewItem]) -> list[NewItem]:
    """Return items written like "AMX" or "AMX:2.5"."""
    found = []
    for each in texts:
        if isinstance(each, NewItem):
            found.append(each)
            continue
        code, _, quantity = each.partition(":")
        found.append(NewItem(code, parse_quantity(quantity or "1")))
    return found


def tenders_of(tx: Transaction, texts: Sequence[str]) -> list[Tender]:
    """Return tenders written like "cash 50" or "transfer 10.00 T-1"."""
    found = []
    for each in texts:
        method, amount, *reference = each.split()
        found.append(Tender(method, parse_amount(amount, tx.clinic.currency), reference[0] if reference else None))
    return found


def _open_for_admin(database: Database, url: str) -> Engine:
    """Open the database as its administrator, for whom no policy and no privilege holds: to see all rows, or to change them unseen."""
    return database.engine if database.dialect == "sqlite" else open_engine(as_role(url, SUPERUSER), Settings())


def _rows(connection: Any, table: Table) -> list[tuple[Any, ...]]:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    rows = connection.execute(text(f'SELECT {names} FROM "{table.name}"'))  # noqa: S608 - names out of the database itself
    return sorted((tuple(row) for row in rows), key=repr)
