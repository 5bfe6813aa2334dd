"""A clinic with a pharmacy on a real database, and short words for what happens at its shelf."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from billing import clock
from billing.plugin import BillingError, Transaction, parse_quantity
from billing.rules.settlement import Scope
from billing.services.invoice_steps import cancel_invoice
from billing.services.invoices import InvoiceMade, edit_invoice
from billing.services.payments import PaymentPreview, PaymentTaken, preview_payment, take_payment
from billing.services.staff import add_staff
from billing.testing.world import World, items_of, tenders_of
from billing.trips import Query
from billing_pharmacy import hooks
from billing_pharmacy.invariants import INVARIANTS
from billing_pharmacy.queries import list_batches
from billing_pharmacy.services import Booked, receive_stock

T = TypeVar("T")

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


class House(World):
    """Two clinics, north and south. On the price lists of both: AMOX and CARP of the pharmacy, 1.00 each. It is the first of March."""

    def __init__(self, url: str) -> None:
        super().__init__(url, plugins={"pharmacy": hooks})
        self.found("south")
        for clinic in ("north", "south"):
            for code in ("AMOX", "CARP"):
                self.service(code, department="pharmacy", price="1.00", clinic=clinic)

    def employ(self, login: str, role: str) -> None:
        self.run(lambda tx: add_staff(tx, login=login, name=login.title(), role=role))

    def receive(self, code: str, lot: str, quantity: str, *, days: int = 100, cost_e4: int = 0, **options: Any) -> Booked:
        """Receive a lot that expires so many days from today."""
        return self.run(receiving(code, lot, quantity, days=days, cost_e4=cost_e4), **options)

    def on_shelf(self, *, clinic: str = "north") -> dict[tuple[str, str], int]:
        """Return what lies on the shelf, (code, lot) -> thousandths."""
        return {(each.code, each.lot): each.on_hand_milli for each in self.read(list_batches, clinic=clinic)}

    def edit(self, invoice: InvoiceMade, *items: str) -> InvoiceMade:
        return self.run(lambda tx: edit_invoice(tx, invoice_id=invoice.id, items=items_of(items)))

    def cancel(self, invoice: InvoiceMade) -> None:
        self.run(lambda tx: cancel_invoice(tx, invoice_id=invoice.id, reason="not wanted"))

    def preview(self, invoice: InvoiceMade) -> PaymentPreview:
        return self.read(lambda tx: preview_payment(tx, scope=Scope.all(), invoice_id=invoice.id))

    def broken(self, *, clinic: str = "north") -> set[str]:
        """Name the pharmacy's invariants that do not hold."""
        return self.read(lambda tx: {each.name for each in INVARIANTS if tx.rows(Query(each.violations))}, clinic=clinic)

    def tamper(self, *statements: str) -> None:
        """Change rows behind everybody's back."""
        with self.database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def at_once(self, *units: Callable[[Transaction], T]) -> list[T | BillingError]:
        """Run units at the same time and return what each returned or was refused with."""
        answers: list[T | BillingError] = []
        start = Barrier(len(units))

        def go(unit: Callable[[Transaction], T]) -> None:
            start.wait()
            try:
                answers.append(self.run(unit, at=AT))
            except BillingError as error:
                answers.append(error)

        threads = [Thread(target=go, args=(unit,)) for unit in units]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return answers


def receiving(code: str, lot: str, quantity: str, *, days: int = 100, cost_e4: int = 0, **options: Any) -> Callable[[Transaction], Booked]:
    """Return the unit that receives a lot."""
    return lambda tx: receive_stock(
        tx,
        service_code=code,
        lot=lot,
        expires_on=AT.date() + timedelta(days),
        quantity_milli=parse_quantity(quantity),
        unit_cost_e4=cost_e4,
        allow_expired=options.pop("allow_expired", days < 0),
        **options,
    )


def paying(invoice: InvoiceMade) -> Callable[[Transaction], PaymentTaken]:
    """Return the unit that pays all of an invoice in cash."""
    return lambda tx: take_payment(
        tx, scope=Scope.all(), invoice_id=invoice.id, tenders=tenders_of(tx, [f"cash {invoice.total_minor / 100:.2f}"])
    )


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """Open the house on a fresh database, of each kind."""
    with clock.fixed(AT):
        opened = House(database_url)
        yield opened
        opened.dispose()
