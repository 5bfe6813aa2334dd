"""More than is due: change where it can be given, else a refusal, or money that the client has with the clinic and sees there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from billing.rules.tenders import Overpaid, Tender
from billing.services.documents import print_receipt
from billing.services.patients import read_patient
from billing.services.wallets import read_wallet, top_up

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


@pytest.mark.case("P30")
def test_no_cent_of_an_overpayment_vanishes(world: "CaseWorld", asked: Callable[..., Any]) -> None:
    """Paymenter/Paymenter#1280: an overpayment disappeared."""
    patient = world.patient()
    client = str(world.read(lambda tx: read_patient(tx, patient_id=patient).client_id))
    by_cash, by_transfer = (world.n1(patient_id=patient) for _ in range(2))
    due = by_cash.total_minor

    cash = world.pay(by_cash.id, "cash 200")
    printed = world.run(lambda tx: print_receipt(tx, payment_id=cash.id)).content
    before = world.dump()
    with pytest.raises(Overpaid, match="wallet top-up") as refusal:
        world.pay(by_transfer.id, "transfer 200 T-1")
    unchanged = world.dump() == before
    exact = world.pay(by_transfer.id, f"transfer {due // 100} T-1")
    world.run(lambda tx: top_up(tx, client_id=client, tender=Tender("transfer", 20_000 - due, "T-1")))

    assert (due, cash.change_minor, cash.applied_minor) == (15_400, 4_600, 15_400)
    assert "46.00" in printed
    assert unchanged
    assert refusal.value.facts["due_minor"] == due
    assert exact.status == "paid"
    assert world.read(lambda tx: read_wallet(tx, client_id=client)).balance_minor == 20_000 - due
    assert asked("wallet", "statement", client)["lines"][0]["amount"] == "46.00"
    world.check_books()
