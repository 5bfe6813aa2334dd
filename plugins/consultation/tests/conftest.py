"""A practice with two providers and a patient on a real database, and short words for what happens there."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any, TypeVar

import pytest
from billing_consultation import hooks, services
from billing_consultation.invariants import ALL as INVARIANTS
from billing_consultation.model import FollowUp
from sqlalchemy import select

from billing import clock, registry
from billing.changes import kernel
from billing.model import Effect, InvoiceItem, canonical_json
from billing.plugin import BilledItem, PatientFacts, RefundedItem, RefundFacts, StoredEffect, Transaction, new_id, parse_unit_price
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services.acting import item_rows, known_of, need_calls, write_plan
from billing.services.consultations import open_consultation
from billing.services.invoices import InvoiceMade
from billing.services.payments import PaymentTaken, take_payment
from billing.services.staff import add_provider, add_staff
from billing.testing.world import World
from billing.trips import Query

T = TypeVar("T")

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


class Practice(World):
    """One clinic with the providers Ada and Ben and one patient. On the price list: VISIT 45.00 and CALL 10.00, both visits (a call takes
    no part in follow-ups), and XRAY 60.00, a procedure. It is the 22nd of November 2026.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, plugins={"consultation": hooks})
        for code, price in (("VISIT", "45.00"), ("CALL", "10.00"), ("XRAY", "60.00")):
            self.service(code, department="consultation", price=price)
        self.ada = self.run(lambda tx: add_provider(tx, name="Ada")).id
        self.ben = self.run(lambda tx: add_provider(tx, name="Ben")).id
        self.rex = self.patient(kind="animal", species="dog")
        self.run(lambda tx: services.mark_visit(tx, service="VISIT"))
        self.run(lambda tx: services.mark_visit(tx, service="CALL", follow_up=False))

    def employ(self, role: str) -> str:
        """Return the login of a new member with this role."""
        self.run(lambda tx: add_staff(tx, login=f"the-{role}", name=role.title(), role=role))
        return f"the-{role}"

    def fee(self, price: str, *, service: str = "VISIT", **scope: Any) -> None:
        """Set a fee; the price as people write it."""
        self.run(lambda tx: services.set_fee(tx, service=service, unit_price_e4=parse_unit_price(price, tx.clinic.currency), **scope))

    def agree(self, *, provider: str | None = None, share_bp: int = 4000, days: int = 14, visits: int = 1, price: str = "0") -> None:
        """Agree terms; the price of a follow-up as people write it."""
        self.run(
            lambda tx: services.set_terms(
                tx,
                provider=provider,
                share_bp=share_bp,
                follow_up_days=days,
                follow_up_visits=visits,
                follow_up_price_e4=parse_unit_price(price, tx.clinic.currency),
            )
        )

    def bill(self, *codes: str, provider: str | None = "", kind: str | None = None) -> InvoiceMade:
        """Return a new draft of the patient, by Ada unless said; with a `kind`, of a visit of that kind."""
        who = self.ada if provider == "" else provider
        visit = None
        if kind is not None:
            visit = self.run(lambda tx: open_consultation(tx, patient_id=self.rex, provider_id=who or self.ada, kind=kind)).id
        return self.invoice(*codes, patient_id=self.rex, provider_id=who, consultation_id=visit)

    @staticmethod
    def paying(invoice: InvoiceMade) -> Callable[[Transaction], PaymentTaken]:
        """Return the unit that pays all of an invoice."""
        tenders = [Tender("card", invoice.total_minor)] if invoice.total_minor else []
        return lambda tx: take_payment(tx, scope=Scope.all(), invoice_id=invoice.id, tenders=tenders)

    def paid(self, *codes: str, **options: Any) -> InvoiceMade:
        """Return a new invoice that has been paid in full."""
        made = self.bill(*codes, **options)
        self.run(self.paying(made))
        return made

    def items(self, invoice: InvoiceMade) -> list[InvoiceItem]:
        """Return the items of an invoice as they are stored."""
        here = select(InvoiceItem).where(InvoiceItem.invoice_id == invoice.id).order_by(InvoiceItem.position)
        return self.read(lambda tx: list(tx.session.scalars(here)))

    def effects(self, invoice: InvoiceMade) -> list[Effect]:
        """Return what was done for the items of an invoice, in order."""
        here = select(Effect).where(Effect.item_id.in_(invoice.item_ids)).order_by(Effect.id)
        return self.read(lambda tx: list(tx.session.scalars(here)))

    def windows(self) -> list[FollowUp]:
        """Return all follow-up windows."""
        return self.read(lambda tx: list(tx.session.scalars(select(FollowUp))))

    def shares(self) -> list[tuple[str, int]]:
        """Return all shares as (provider, minor units), oldest first."""
        return [(each.provider, each.amount_minor) for each in self.read(services.list_shares).entries]

    def refund(self, invoice: InvoiceMade, *, quantity_milli: int = 1000) -> None:
        """Give so much of every item of an invoice back, as far as the department is concerned."""
        found = [(_billed(item), quantity_milli, self.effects(invoice)) for item in self.items(invoice)]
        items = tuple(
            RefundedItem(item, milli, tuple(_stored(each) for each in done if each.item_id == item.id)) for item, milli, done in found
        )
        self.run(lambda tx: _give_back(tx, invoice, items, PatientFacts(self.rex, "", "animal", "female", species="dog")))

    def broken(self) -> set[str]:
        """Name the department's invariants that do not hold."""
        return self.read(lambda tx: {each.name for each in INVARIANTS if tx.rows(Query(each.violations))})

    def at_once(self, *units: Callable[[Transaction], T]) -> list[T]:
        """Run units at the same time and return what each returned."""
        answers: list[T] = []
        start = Barrier(len(units))

        def go(unit: Callable[[Transaction], T]) -> None:
            start.wait()
            answers.append(self.run(unit, at=AT))

        threads = [Thread(target=go, args=(unit,)) for unit in units]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return answers


@pytest.fixture
def practice(database_url: str) -> Iterator[Practice]:
    """Open the practice on a fresh database, of each kind."""
    with clock.fixed(AT):
        opened = Practice(database_url)
        yield opened
        opened.dispose()


@pytest.fixture
def days_later(practice: Practice) -> Callable[[int], Any]:
    """Return the clock of so many days later, for a `with` block."""
    del practice
    return lambda days: clock.fixed(AT + timedelta(days=days))


def _give_back(tx: Transaction, invoice: InvoiceMade, items: tuple[RefundedItem, ...], patient: PatientFacts) -> None:
    plugins = registry.of(tx)
    plugin = plugins.plugin("consultation")
    given_back = {"kind": "", "row_id": ""}
    rows = [row | given_back for row in item_rows([each.item for each in items], patient)]
    calls = need_calls(tx, [plugin], "refunding", rows=canonical_json(rows))
    known = known_of(plugin, calls, tx.trip(*(call for _, call in calls)))
    refund = RefundFacts(
        id=new_id(),
        invoice_id=invoice.id,
        payment_id="",
        patient=patient,
        currency=tx.clinic.currency,
        reason="not done",
        business_date=tx.business_date,
        at=tx.at,
        actor_id=tx.actor.id,
    )
    asked = kernel.Asked(
        plugin=plugin.name,
        hook="on_items_refunded",
        tables=plugin.tables,
        item_ids=tuple(each.id for each in items),
        known=known,
        changes=plugins.on_items_refunded(plugin, refund, items, known),
        needs_effect=frozenset(each.id for each in items),
    )
    write_plan(tx, kernel.plan([asked]), action="refund", action_id=refund.id)


def _billed(item: InvoiceItem) -> BilledItem:
    return BilledItem(
        id=item.id,
        position=item.position,
        department=item.department,
        code=item.code,
        description=item.description,
        quantity_milli=item.quantity_milli,
        unit_price_e4=item.unit_price_e4,
        taxable_minor=item.taxable_minor,
        tax_minor=item.tax_minor,
        total_minor=item.total_minor,
        service_id=item.service_id,
        provider_id=item.provider_id,
    )


def _stored(done: Effect) -> StoredEffect:
    return StoredEffect(done.kind, done.row_key, done.quantity_milli, done.data)
