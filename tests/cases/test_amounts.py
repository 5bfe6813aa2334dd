"""Amounts that are handed over, and currencies whose minor unit is no hundredth."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import pytest

from billing import registry
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services.documents import print_invoice, print_receipt
from billing.services.patients import read_patient
from billing.services.payments import take_payment
from billing.services.wallets import top_up
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

Asked = Callable[..., Any]


@pytest.mark.case("P21")
def test_exact_amount_is_accepted_by_every_method_and_scope(world: "CaseWorld", asked: Asked) -> None:
    """third-culture-software/bhima#814: paying exactly the total raised an error."""
    methods = world.read(lambda tx: list(registry.of(tx).methods(tx.clinic)))
    patient = world.patient()
    client = world.read(lambda tx: read_patient(tx, patient_id=patient).client_id)
    world.run(lambda tx: top_up(tx, client_id=str(client), tender=Tender("card", 24_200)))  # what the wallet pays with
    one, two = ([world.bill("AMOX", "GLU", "VISIT", patient_id=patient) for _ in methods] for _ in range(2))

    whole = [world.pay(bill.id, f"{method} 121") for method, bill in zip(methods, one, strict=True)]
    parts = [
        asked("pay", bill.number, "--scope", scope, "--tender", f"{method}={amount}")
        for method, bill in zip(methods, two, strict=True)
        for scope, amount in (("laboratory", "44.00"), ("pharmacy", "33.00"), ("ALL", "44.00"))
    ]

    assert set(methods) >= {"cash", "card", "transfer", "wallet"}
    assert {(each.change_minor, each.status) for each in whole} == {(0, "paid")}
    assert {each["change"] for each in parts} == {"0.00"}
    assert [each["status"] for each in parts] == ["partial", "partial", "paid"] * len(methods)


@pytest.mark.case("P23")
@pytest.mark.parametrize("scope", ["ALL", "on-account"])
def test_amounts_that_are_none_are_refused_by_the_server(scope: str, world: "CaseWorld", asked: Asked, billing: Callable[..., Any]) -> None:
    """openemr/openemr#10013: negative amounts were accepted because only the browser checked."""
    unreadable = ["-30", "-0.01", "-0", "1e3", "0x9a", "154.000", "NaN", "Infinity", ""]
    expected = {**dict.fromkeys(unreadable, "bad_amount"), "0": "bad_payment_amount", "99999999999999999999": "amount_out_of_bounds"}
    bill = world.n1()
    before = world.dump()

    answers = {text: asked("pay", bill.number, "--scope", scope, f"--cash={text}") for text in expected}
    missing = [billing("pay", bill.number, "--scope", scope, *line).exit_code for line in ([], ["--cash"], ["--tender", "cash"])]

    assert answers == expected
    assert missing == [2, 2, 2]
    assert world.dump() == before


@pytest.mark.case("P23")
def test_amounts_that_are_none_are_refused_in_python_too(world: "CaseWorld") -> None:
    """openemr/openemr#10013: the rule is the service's, whoever calls it."""
    scopes = (Scope.all(), Scope.on_account(), Scope.of("pharmacy"))
    bill = world.n1()
    before = world.dump()

    def pay(scope: Scope, *tenders: Tender) -> str:
        return world.refused(lambda: world.run(lambda tx: take_payment(tx, invoice_id=bill.id, scope=scope, tenders=tenders)))

    answers = {pay(scope, Tender("card", amount)) for scope in scopes for amount in (-3000, -15400, 0, 2**63)}
    beside = {pay(scope, Tender("card", 4400), Tender("cash", amount)) for scope in scopes for amount in (-3000, 0)}

    assert answers == beside == {"bad_payment_amount"}
    assert [pay(scope) for scope in scopes] == ["underpaid", "bad_payment_amount", "underpaid"]
    assert world.dump() == before


@pytest.mark.case("P24")
@pytest.mark.parametrize(
    ("currency", "price", "tax", "total", "tendered", "change"),
    [
        ("JPY", "1127", "113", "1240", "2000", "760"),
        ("KWD", "1.127", "0.113", "1.240", "2.000", "0.760"),
        ("EUR", "11.27", "1.13", "12.40", "20.00", "7.60"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(
    currency: str, price: str, tax: str, total: str, tendered: str, change: str, world: "CaseWorld", asked: Asked
) -> None:
    """alexmorrisnz/moodle-paygw_stripe#2, frappe/books#1449: yen were multiplied by 100, and shown with decimals."""
    world.found("abroad", currency=currency)
    world.service("TALK", department="consultation", price=price, tax="S 1000", clinic="abroad")
    patient = world.patient(clinic="abroad")

    made = asked("invoice", "create", "--clinic", "abroad", "--patient", patient, "--item", "TALK")
    paid = asked("pay", made["number"], "--clinic", "abroad", "--cash", tendered)

    assert (made["net"], made["tax"], made["total"]) == (price, tax, total)
    assert (paid["due"], paid["applied"], paid["tendered"], paid["change"]) == (total, total, tendered, change)
    for document in papers(world, made["id"], paid["id"]):
        assert (total if "." in total else f"{int(total):,}") in document
        assert "1,240.00" not in document


def papers(world: "CaseWorld", invoice_id: str, payment_id: str) -> list[str]:
    """Return invoice and receipt, as text and as pages."""

    def unit(tx: Transaction) -> list[str]:
        forms: tuple[Literal["text", "a4"], ...] = ("text", "a4")
        invoices = [print_invoice(tx, invoice_id=invoice_id, form=form) for form in forms]
        return [each.content for each in (*invoices, *(print_receipt(tx, payment_id=payment_id, form=form) for form in forms))]

    return world.run(unit, clinic="abroad")
