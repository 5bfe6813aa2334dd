"""Stock and batches: nothing is sold twice, nothing that has expired, and nothing in silence."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from billing_pharmacy.queries import list_moves
from billing_pharmacy.services import adjust_stock, receive_stock
from sqlalchemy import select

from billing import clock
from billing.errors import BillingError, PluginViolation
from billing.model import InvoiceItem
from billing.rules.settlement import Scope
from billing.services import doctor
from billing.services.payment_preview import preview_payment
from billing.testing.race import Pay, race
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import World

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


def _receive(world: "CaseWorld", lot: str, quantity: int, expires_on: date) -> None:
    world.run(
        lambda tx: receive_stock(
            tx, service_code="AMOX", lot=lot, expires_on=expires_on, quantity_milli=quantity * 1000, unit_cost_e4=0, allow_expired=True
        )
    )


def _sold(world: "CaseWorld") -> dict[str, int]:
    """Return what was sold of each batch, in thousandths."""
    sold: Counter[str] = Counter()
    for move in world.read(list_moves):
        sold[move.lot] -= move.quantity_milli if move.reason == "sale" else 0
    return {lot: milli for lot, milli in sold.items() if milli}


@pytest.mark.case("P35")
def test_twelve_cashiers_sell_the_ten_that_are_there(world: "CaseWorld") -> None:
    """hmislk/hmis#19874: a check of stale objects drove a batch to -144."""
    patient = world.patient()
    bills = [world.bill("AMOX", patient_id=patient).id for _ in range(12)]
    previews = [world.read(lambda tx, bill=bill: preview_payment(tx, scope=Scope.all(), invoice_id=bill)) for bill in bills]  # type: ignore[misc]

    outcomes = race(
        world.url, [[Pay(bill, ("card 33",)) for bill in bills[start::4]] for start in range(4)], actors=["c1", "c2"], installed=True
    )

    assert [preview.vetoes for preview in previews] == [()] * 12, "each was told that there is enough"
    assert Counter(each.code for own in outcomes for each in own) == {None: 10, "out_of_stock": 2}
    assert world.stock() == 0
    assert _sold(world) == {"AMOX-1": 10_000}


@pytest.mark.case("P36")
def test_sale_whose_stock_is_gone_fails_as_a_whole_and_names_the_item(world: "CaseWorld") -> None:
    """hmislk/hmis#19263: the second sale was completed with its quantity silently set to zero."""
    first, second = world.bill("AMOX:6"), world.bill("AMOX:6", "GLU", "VISIT")
    world.pay(first.id, "card 198", actor="c1")
    before = world.dump()

    with pytest.raises(BillingError) as caught:
        world.pay(second.id, "card 286", actor="c2", key="k")

    assert caught.value.code == "out_of_stock"
    facts = {name: caught.value.facts[name] for name in ("item", "item_code", "wanted_milli", "left_milli")}
    assert facts == {"item": second.item_ids[0], "item_code": "AMOX", "wanted_milli": 6000, "left_milli": 4000}
    assert world.dump() == before


@pytest.mark.case("P37")
def test_lines_of_one_batch_are_checked_together(world: "CaseWorld") -> None:
    """third-culture-software/bhima#3834: the same lot on two lines passed each check alone."""
    too_much, enough = world.bill("AMOX:6", "AMOX:6"), world.bill("AMOX:6", "AMOX:4")

    code = world.refused(lambda: world.pay(too_much.id, "card 396"))
    taken = world.pay(enough.id, "card 330")

    assert (code, taken.status) == ("out_of_stock", "paid")
    assert world.stock() == 0


# Half past midnight of the second of March in Berlin; in Greenwich it is still the first.
NIGHT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


@pytest.mark.case("P38")
def test_batch_that_expired_yesterday_is_never_sold_and_the_one_of_today_first(world: "CaseWorld") -> None:
    """hmislk/hmis#4055, hmislk/hmis#4638: expired stock could be sold."""
    with clock.fixed(NIGHT):
        _receive(world, "YESTERDAY", 5, date(2026, 3, 1))
        _receive(world, "TODAY", 3, date(2026, 3, 2))
        bill, greedy = world.bill("AMOX:4"), world.bill("AMOX:10")

        taken = world.pay(bill.id, "card 132")
        code = world.refused(lambda: world.pay(greedy.id, "card 330"))

    assert taken.status == "paid"
    assert _sold(world) == {"TODAY": 3000, "AMOX-1": 1000}
    assert code == "out_of_stock"
    assert world.stock("YESTERDAY") == 5000


@pytest.mark.case("P38")
def test_nobody_can_name_the_batch_that_is_sold(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """hmislk/hmis#4638: the pharmacy chooses by expiry alone, so an expired batch can't be asked for."""
    with clock.fixed(NIGHT):
        _receive(world, "YESTERDAY", 5, date(2026, 3, 1))
        bill = world.bill("AMOX")

        named = world.refused(lambda: world.pay(bill.id, "card 33", given={"pharmacy": {"lot": "YESTERDAY"}}))
        on_the_line = asked("pay", bill.number, "--card", "33", "--given", "pharmacy.lot=YESTERDAY")

    assert (named, on_the_line) == ("bad_plugin_settings", "bad_plugin_settings")
    assert _sold(world) == {}


@pytest.mark.case("P39")
def test_hundred_sales_at_once_take_exactly_what_succeeded(world: "CaseWorld") -> None:
    """django-oscar/django-oscar#2102: concurrent checkouts counted one allocation."""
    _receive(world, "AMOX-2", 50, date(2099, 1, 1))
    patient = world.patient()
    bills = [world.invoice("AMOX", patient_id=patient).id for _ in range(100)]

    outcomes = race(
        world.url, [[Pay(bill, ("card 33",)) for bill in bills[start::4]] for start in range(4)], actors=["c1", "c2"], installed=True
    )

    assert Counter(each.code for own in outcomes for each in own) == {None: 60, "out_of_stock": 40}
    assert (world.stock("AMOX-1"), world.stock("AMOX-2")) == (0, 0)


@pytest.mark.case("P40")
def test_invoice_whose_stock_has_gone_stays_payable_for_the_others(world: "CaseWorld") -> None:
    """django-oscar/django-oscar#4524: a stale basket was sold."""
    bill = world.n1()
    world.run(lambda tx: adjust_stock(tx, service_code="AMOX", lot="AMOX-1", quantity_milli=-10_000, reason="broken"), actor="m1")

    whole = world.refused(lambda: world.pay(bill.id, "card 154", actor="c1"))
    alone = world.refused(lambda: world.pay(bill.id, "card 66", scope="pharmacy", actor="c1"))
    rest = world.pay(bill.id, "card 88", scope="laboratory,consultation", actor="c2")

    assert (whole, alone) == ("out_of_stock", "out_of_stock")
    assert (rest.status, rest.amount_due_minor) == ("partial", 6600)
    unpaid = world.read(lambda tx: tx.session.scalars(select(InvoiceItem.code).where(InvoiceItem.payment_id.is_(None))).all())
    assert unpaid == ["AMOX"]


def _nothing(payment: Any, items: Any, known: Any) -> Iterator[Any]:
    return iter(())


@pytest.mark.case("P41")
def test_department_that_does_nothing_for_its_item_fails_the_payment(database_url: str) -> None:
    """frappe/frappe#40655: a document was submitted with stock switched on but no entry in the ledger."""
    world = World(database_url, plugins={"shelf": Shelf(act=_nothing), "desk": Desk()})
    lot = world.lot(world.service("AMX", department="shelf"), "10")
    world.service("VIS")
    bill = world.invoice("VIS", "AMX")
    before = world.dump()

    with pytest.raises(PluginViolation) as caught:
        world.pay(bill.id, "cash 20")

    assert (caught.value.facts["plugin"], caught.value.facts["item"]) == ("shelf", bill.item_ids[1])
    assert world.dump() == before
    assert world.on_hand(lot) == 10_000
    assert world.read(doctor.examine).healthy
    world.dispose()
