"""A clinic with a pharmacy on a real database, and short words for what happens at its shelf."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any, TypeVar

import pytest
from billing_pharmacy import hooks
from billing_pharmacy.invariants import INVARIANTS
from billing_pharmacy.queries import list_batches
from billing_pharmacy.services import Booked, receive_stock
from sqlalchemy import select, text

from billing import clock, registry
from billing.model import Effect, canonical_json
from billing.plugin import (
    BilledItem,
    BillingError,
    ImportedItem,
    ImportFacts,
    PatientFacts,
    RefundedItem,
    RefundFacts,
    StoredEffect,
    Transaction,
    find_service,
    new_id,
    parse_quantity,
)
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import acting
from billing.services.invoice_steps import cancel_invoice
from billing.services.invoices import InvoiceMade, edit_invoice
from billing.services.payment_preview import PaymentPreview, preview_payment
from billing.services.payments import PaymentTaken, take_payment
from billing.services.staff import add_staff
from billing.testing.shelf import Desk
from billing.testing.world import World, items_of
from billing.trips import Query

T = TypeVar("T")

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


class House(World):
    """Two clinics, north and south. On the price lists of both: AMOX and CARP of the pharmacy, 1.00 each. It is the first of March."""

    def __init__(self, url: str) -> None:
        super().__init__(url, plugins={"pharmacy": hooks, "desk": Desk()})
        self.found("south")
        for clinic in ("north", "south"):
            for code in ("AMOX", "CARP"):
                self.service(code, department="pharmacy", price="1.00", clinic=clinic)

    def employ(self, login: str, role: str) -> None:
        self.run(lambda tx: add_staff(tx, login=login, name=login.title(), role=role))

    def receive(self, code: str, lot: str, quantity: str, *, clinic: str = "north", **options: Any) -> Booked:
        """Receive a lot; see `receiving`."""
        return self.run(self.receiving(code, lot, quantity, **options), clinic=clinic)

    @staticmethod
    def receiving(
        code: str, lot: str, quantity: str, *, days: int = 100, cost_e4: int = 0, allow_expired: bool = False, key: str | None = None
    ) -> Callable[[Transaction], Booked]:
        """Return the unit that receives a lot which expires so many days from today."""
        return lambda tx: receive_stock(
            tx,
            service_code=code,
            lot=lot,
            expires_on=AT.date() + timedelta(days),
            quantity_milli=parse_quantity(quantity),
            unit_cost_e4=cost_e4,
            allow_expired=allow_expired,
            key=key,
        )

    @staticmethod
    def paying(invoice: InvoiceMade, *, key: str | None = None) -> Callable[[Transaction], PaymentTaken]:
        """Return the unit that pays all of an invoice."""
        tenders = [Tender("card", invoice.total_minor)]
        return lambda tx: take_payment(tx, scope=Scope.all(), invoice_id=invoice.id, tenders=tenders, key=key)

    def on_shelf(self, *, clinic: str = "north") -> dict[tuple[str, str], int]:
        """Return what lies on the shelf, (code, lot) -> thousandths."""
        return {(each.code, each.lot): each.on_hand_milli for each in self.read(list_batches, clinic=clinic)}

    def edit(self, invoice: InvoiceMade, *items: str) -> InvoiceMade:
        return self.run(lambda tx: edit_invoice(tx, invoice_id=invoice.id, items=items_of(items)))

    def cancel(self, invoice: InvoiceMade) -> None:
        self.run(lambda tx: cancel_invoice(tx, invoice_id=invoice.id, reason="not wanted"))

    def preview(self, invoice: InvoiceMade) -> PaymentPreview:
        return self.read(lambda tx: preview_payment(tx, scope=Scope.all(), invoice_id=invoice.id))

    def give_back(self, invoice: InvoiceMade, quantity: str) -> None:
        """Refund a part of the only item of an invoice, as far as the pharmacy is concerned."""
        self.run(lambda tx: _give_back(tx, invoice, parse_quantity(quantity)))

    def bring_in(self, *items: tuple[str, str, Mapping[str, Any]]) -> None:
        """Import items before they are billed: code, quantity, and what was handed on."""
        self.run(lambda tx: _bring_in(tx, items))

    def broken(self, *, clinic: str = "north") -> set[str]:
        """Name the pharmacy's invariants that do not hold."""
        return self.read(lambda tx: {each.name for each in INVARIANTS if tx.rows(Query(each.violations))}, clinic=clinic)

    def tamper(self, *statements: str) -> None:
        """Change rows behind everybody's back."""
        with self.admin.begin() as connection:
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


def _give_back(tx: Transaction, invoice: InvoiceMade, quantity_milli: int) -> None:
    (item_id,) = invoice.item_ids
    found = tx.session.scalars(select(Effect).where(Effect.item_id == item_id).order_by(Effect.id)).all()
    effects = tuple(StoredEffect(each.kind, each.row_key, each.quantity_milli, each.data) for each in found)
    item = BilledItem(item_id, 1, "pharmacy", "AMOX", "", 0, 0, 0, 0, 0)
    patient = PatientFacts("p1", "c1", "person", "female")
    refund = RefundFacts(new_id(), invoice.id, "pay1", patient, tx.clinic.currency, "came back", tx.business_date, tx.at, tx.actor.id)
    # An effect of another department may name its row in any way: the need must not stumble over it.
    keys = [*((each.kind, each.row) for each in effects), ("visit.paid", "no id")]
    rows = [{"item_id": item_id, "kind": kind, "row_id": row} for kind, row in keys]
    _ask(tx, "refunding", rows, (RefundedItem(item, quantity_milli, effects),), registry.of(tx).on_items_refunded, refund)


def _bring_in(tx: Transaction, items: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
    imported = [
        ImportedItem(find_service(tx, code).id, "pharmacy", code, code, parse_quantity(quantity), handed)
        for code, quantity, handed in items
    ]
    facts = ImportFacts("visit", tx.business_date, tx.at, tx.actor.id)
    rows = [{"service_id": each.service_id} for each in imported]
    _ask(tx, "importing", rows, tuple(imported), registry.of(tx).on_records_imported, facts)


def _ask(tx: Transaction, of: str, rows: Sequence[Mapping[str, Any]], items: tuple[Any, ...], hook: Any, facts: Any) -> None:
    plugin = registry.of(tx).plugin("pharmacy")
    calls = acting.need_calls(tx, [plugin], of, rows=canonical_json(list(rows)))
    part = acting.Part(plugin, items, acting.known_of(plugin, calls, tx.trip(*(call for _, call in calls))))
    plan = acting.ask([part], hook.__name__, lambda own: hook(plugin, facts, own.items, own.known))
    acting.write_plan(tx, plan, action=of, action_id=new_id())


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    """Open the house on a fresh database, of each kind."""
    with clock.fixed(AT):
        opened = House(database_url)
        yield opened
        opened.dispose()
