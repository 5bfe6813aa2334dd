"""Issued invoices and paid lines stay as they are, whoever asks and whichever way: a rule of the services, not of a screen."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from billing.services import invoice_steps
from billing.services.invoices import InvoiceMade, edit_invoice
from billing.services.quotation import NewAdjustment, NewItem
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

EDITS: dict[str, dict[str, Any]] = {
    "items": {"items": [NewItem("VISIT")]},
    "a quantity": {"items": [NewItem("AMOX", 1000), NewItem("GLU"), NewItem("VISIT")]},
    "a price": {"items": [NewItem("VISIT", unit_price_e4=1)]},
    "a discount": {"adjustments": [NewAdjustment(charge=False, amount_minor=100, reason="friend")]},
    "the note": {"note": "changed"},
    "nothing": {},
}
ON_THE_LINE = (
    ["edit", "--item", "VISIT"],
    ["edit", "--discount", "1.00:friend"],
    ["edit", "--note", "changed"],
    ["issue"],
    ["issue", "--due-date", "2099-01-31"],
    ["issue", "--series", "other"],
)


def _issue_again(tx: Transaction, invoice: InvoiceMade) -> Any:
    return invoice_steps.issue_invoice(tx, invoice_id=invoice.id, due_date=date(2099, 1, 31))


def _edit(world: "CaseWorld", invoice: InvoiceMade, changes: dict[str, Any]) -> str:
    return world.refused(lambda: world.run(lambda tx: edit_invoice(tx, invoice_id=invoice.id, **changes)))


def _refusals(world: "CaseWorld", asked: Callable[..., Any], invoice: InvoiceMade, file: Path) -> set[str]:
    """Try to change an invoice in every way there is; return the codes of the refusals."""
    file.write_text(json.dumps({"items": [{"code": "VISIT"}]}))
    codes = {_edit(world, invoice, changes) for changes in EDITS.values()}
    codes.add(world.refused(lambda: world.run(lambda tx: _issue_again(tx, invoice))))
    codes |= {asked("invoice", command, invoice.number, *options) for command, *options in ON_THE_LINE}
    codes.add(asked("invoice", "edit", invoice.number, "--from", str(file)))
    return codes


@pytest.mark.case("P49")
def test_issued_invoice_can_not_be_changed_by_any_way_in(world: "CaseWorld", asked: Callable[..., Any], tmp_path: Path) -> None:
    """FOSSBilling/FOSSBilling#4379: the lock on approved invoices existed only on the screen."""
    bill = world.n1()
    before = world.dump()

    codes = _refusals(world, asked, bill, tmp_path / "edit.json")

    assert codes == {"invoice_not_draft"}
    assert world.dump() == before


@pytest.mark.case("P51")
@pytest.mark.parametrize(("tender", "scope"), [("card 154", "ALL"), ("card 66", "pharmacy"), ("card 10", "ON_ACCOUNT")])
def test_invoice_with_a_payment_can_not_be_changed_or_cancelled(
    world: "CaseWorld", asked: Callable[..., Any], tmp_path: Path, tender: str, scope: str
) -> None:
    """akaunting/akaunting#240: paid bills could be edited and stayed paid."""
    bill = world.n1()
    world.pay(bill.id, tender, scope=scope, actor="c1")
    before = world.dump()

    codes = _refusals(world, asked, bill, tmp_path / "edit.json")
    cancelled = world.refused(lambda: world.run(lambda tx: invoice_steps.cancel_invoice(tx, invoice_id=bill.id, reason="wrong")))
    on_the_line = asked("invoice", "cancel", bill.number, "--reason", "wrong")

    assert codes == {"invoice_not_draft"}
    assert (cancelled, on_the_line) == ("invoice_has_payments", "invoice_has_payments")
    assert world.dump() == before
