"""Laboratory: a prescription is billed once, and a test that was paid is ordered once."""

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from billing_laboratory import hooks
from billing_laboratory.catalogue import add_analyte, add_test
from billing_laboratory.model import LabOrder, LabResult
from sqlalchemy import func, select

from billing.errors import PluginViolation
from billing.plugin import hookimpl
from billing.services import doctor, invoice_steps
from billing.services.quotation import NewItem
from billing.testing.race import Pay, race
from billing.testing.world import World

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

PRESCRIBED = NewItem("GLU", source="rx:1")


@pytest.mark.case("P43")
def test_prescription_is_on_one_live_invoice_at_a_time(world: "CaseWorld") -> None:
    """frappe/erpnext#19054: the same prescription could be invoiced repeatedly."""
    first, other = world.bill(PRESCRIBED), world.bill("VISIT", issued=False)

    anew = world.refused(lambda: world.invoice(PRESCRIBED))
    twice = world.refused(lambda: world.invoice(NewItem("GLU", source="rx:2"), NewItem("GLU", source="rx:2")))
    added = world.refused(lambda: world.run(lambda tx: _edit(tx, other.id)))
    world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=first.id, reason="wrong patient"), actor="m1")
    again = world.bill(PRESCRIBED)

    assert (anew, twice, added) == ("source_already_billed",) * 3
    assert world.pay(again.id, "card 44").status == "paid"
    assert world.lab_orders() == 1


def _edit(tx: Any, invoice_id: str) -> Any:
    from billing.services.invoices import edit_invoice

    return edit_invoice(tx, invoice_id=invoice_id, items=[PRESCRIBED])


@pytest.mark.case("P44")
def test_payment_that_is_sent_again_orders_nothing_again(world: "CaseWorld") -> None:
    """drajer-health/eCRNow#1130, hmislk/hmis#209: each result appeared twice."""
    bill = world.bill("GLU", "GLU", "VISIT")
    failed = world.refused(lambda: world.pay(bill.id, "card 1", actor="c1", key="k"))

    outcomes = race(world.url, [[Pay(bill.id, ("card 132",), key="k")] * 2 for _ in range(3)], actors=["c1"], installed=True)
    replayed = world.pay(bill.id, "card 132", actor="c1", key="k")

    assert failed == "underpaid"
    assert len({each.number for own in outcomes for each in own} | {replayed.receipt_number}) == 1
    assert sorted(each.replayed for own in outcomes for each in own) == [False] + [True] * 5
    assert world.lab_orders() == 2
    assert world.read(lambda tx: tx.session.scalar(select(func.count(LabResult.id)))) == 2


@hookimpl
def _order_twice(payment: Any, items: Any, known: Any) -> Iterator[Any]:
    yield from hooks.on_items_paid(payment, items, known)
    yield from hooks.on_items_paid(payment, items, known)


@pytest.mark.case("P44")
def test_hook_that_is_called_twice_can_not_order_twice(database_url: str) -> None:
    """drajer-health/eCRNow#1130: whoever calls the laboratory's hook a second time fails the payment."""
    twice = ModuleType("twice")
    vars(twice).update(vars(hooks), on_items_paid=_order_twice)
    world = World(database_url, plugins={"laboratory": twice})
    world.service("GLU", department="laboratory")
    world.run(lambda tx: add_analyte(tx, loinc="2345-7", name="Glucose", unit="mg/dL"))
    world.run(lambda tx: add_test(tx, service_code="GLU", loinc="2345-7", specimen="serum", analytes=["2345-7"]))
    bill = world.invoice("GLU")
    before = world.dump()

    with pytest.raises(PluginViolation) as caught:
        world.pay(bill.id, "cash 10")

    assert caught.value.facts["plugin"] == "laboratory"
    assert world.dump() == before
    assert world.read(lambda tx: tx.session.scalar(select(func.count(LabOrder.id)))) == 0
    assert world.read(doctor.examine).healthy
    world.dispose()
