"""Rounding, tax and discounts: one rule, the same cents in the answer, on the invoice's page and in its text."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from billing.plugin import Allowance, Declaration, Department, QuotedLine, hookimpl
from billing.services.documents import print_invoice
from billing.services.quotation import NewAdjustment, NewItem

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

Asked = Callable[..., Any]
Billing = Callable[..., Any]


def totals(answer: Any) -> tuple[str, ...]:
    """Return what an answer says that an invoice comes to."""
    return tuple(answer[each] for each in ("net", "tax", "total"))


def printed(world: "CaseWorld", invoice_id: str) -> list[str]:
    """Return an issued invoice as text and as a page, both as the words that a reader sees."""

    def words(form: Literal["text", "a4"]) -> str:
        document = world.run(lambda tx: print_invoice(tx, invoice_id=invoice_id, form=form))
        return " ".join(re.sub(r"<style>.*</style>|<[^>]*>", " ", document.content, flags=re.DOTALL).split())

    return [words("text"), words("a4")]


@pytest.mark.case("P16")
def test_tax_is_rounded_once_and_the_lines_add_up_to_it(world: "CaseWorld", asked: Asked) -> None:
    """invoiceninja/invoiceninja#4370: tax of the lines and of the document differed by a cent."""
    world.service("DOT", department="consultation", price="0.05", tax="S 1000")

    made = asked("invoice", "create", "--patient", world.patient(), "--item", "DOT", "--item", "DOT", "--item", "DOT")

    shown = world.seen(made["id"])
    assert totals(made) == ("0.15", "0.02", "0.17")
    assert [each.tax_minor for each in shown.taxes] == [2]
    assert sorted(each.tax_minor for each in shown.items) == [0, 1, 1]
    assert sum(each.total_minor for each in shown.items) == shown.invoice.total_minor


@pytest.mark.case("P17")
def test_discount_then_tax_is_exact_wherever_it_is_shown(world: "CaseWorld", asked: Asked, billing: Billing) -> None:
    """invoiceninja/invoiceninja#10856: 8,500 less 7,500 plus 19 % came out a cent off."""
    content = ["--text", "consultation:Work:8500.00:19", "--discount", "7500.00:regular customer"]

    made = asked("invoice", "create", "--patient", world.patient(), *content, "--expected-total", "1190.00")
    asked("invoice", "issue", made["id"])

    assert totals(made) == ("1000.00", "190.00", "1190.00")
    assert totals(asked("invoice", "show", made["id"])) == ("1000.00", "190.00", "1190.00")
    assert "1190.00" in billing("invoice", "show", made["id"]).stdout
    for document in printed(world, made["id"]):
        assert all(amount in document for amount in ("8,500.00", "7,500.00", "1,000.00", "190.00", "1,190.00"))


@pytest.mark.case("P18")
def test_tax_is_on_what_is_left_after_the_discount(world: "CaseWorld", asked: Asked) -> None:
    """crater-invoice-inc/crater#889: tax was taken before the discount."""
    world.service("WORK", department="consultation", price="45.00", tax="S 2100")

    made = asked("invoice", "create", "--patient", world.patient(), "--item", "WORK:3", "--discount", "60.00:regular customer")

    assert totals(made) == ("75.00", "15.75", "90.75")


@pytest.mark.case("P19")
def test_printed_tax_is_the_rate_of_the_printed_base(world: "CaseWorld", asked: Asked) -> None:
    """crater-invoice-inc/crater#1227: a discount on the document beside taxes on the items."""
    world.service("ONE", department="consultation", price="60.00", tax="S 1000")
    world.service("TWO", department="laboratory", price="50.00", tax="S 1000")
    made = asked("invoice", "create", "--patient", world.patient(), "--item", "ONE", "--item", "TWO", "--discount", "10.00:staff")

    asked("invoice", "issue", made["id"])

    (group,) = asked("invoice", "show", made["id"])["taxes"]
    assert totals(made) == ("100.00", "10.00", "110.00")
    assert (group["tax_rate"], group["taxable"], group["tax"]) == ("10", "100.00", "10.00")
    text, page = printed(world, made["id"])
    assert "Tax 10%, Taxable amount 100.00 10.00" in text
    assert "10% 100.00 10.00" in page


@pytest.mark.case("P20")
def test_price_with_tax_keeps_its_tax(world: "CaseWorld", asked: Asked) -> None:
    """awesomemotive/easy-digital-downloads#1554: a price that includes tax lost it."""
    world.found("gross", prices_include_tax=True)
    world.service("BIG", department="consultation", price="20000.00", tax="S 1000", clinic="gross")

    made = asked("invoice", "create", "--clinic", "gross", "--patient", world.patient(clinic="gross"), "--item", "BIG")

    assert totals(made) == ("18181.82", "1818.18", "20000.00")


class Generous:
    """A department that gives more off than a line costs."""

    @hookimpl
    def declare(self) -> Declaration:
        return Declaration(departments=(Department("generous", "Generous", effects=False),))

    @hookimpl
    def quote_lines(self, lines: tuple[QuotedLine, ...]) -> Iterator[Allowance]:
        yield from (Allowance(line.position, 4001, "for you") for line in lines)


@pytest.mark.case("P22")
def test_no_discount_makes_a_total_negative(open_world: Callable[..., "CaseWorld"]) -> None:
    """AyeCode/invoicing#75, wp-erp/wp-erp#343: a discount above the price gave a negative total. Here asked for in Python, and by a plugin."""
    world = open_world(generous=Generous())
    world.service("GIFT", department="generous", price="40.00", tax="S 1000")
    patient = world.patient()
    before = world.dump()

    def answer(item: NewItem, *adjustments: NewAdjustment) -> str:
        return world.refused(lambda: world.invoice(item, patient_id=patient, adjustments=adjustments))

    assert answer(NewItem("VISIT", allowances=((4001, "on the item"),))) == "negative_total"
    assert answer(NewItem("VISIT"), NewAdjustment(charge=False, amount_minor=4001, reason="on all")) == "negative_total"
    assert answer(NewItem("VISIT"), NewAdjustment(charge=False, amount_minor=8000, reason="200 percent")) == "negative_total"
    assert answer(NewItem("VISIT"), NewAdjustment(charge=True, amount_minor=-4001, reason="a charge below zero")) == "bad_item"
    assert answer(NewItem("VISIT", unit_price_e4=-1)) == "bad_item"
    assert answer(NewItem("GIFT")) == "negative_total"
    assert world.dump() == before


@pytest.mark.case("P22")
def test_no_discount_of_a_command_makes_a_total_negative(world: "CaseWorld", asked: Asked) -> None:
    """AyeCode/invoicing#75, wp-erp/wp-erp#343: the same from the command line, when an invoice is created and when it is edited."""
    discounts = ["40.01:too much", "80.00:200 percent", "99999999.99:all"]
    patient = world.patient()
    draft = world.invoice("VISIT", patient_id=patient)
    before = world.dump()

    created = {asked("invoice", "create", "--patient", patient, "--item", "VISIT", "--discount", each) for each in discounts}
    edited = {asked("invoice", "edit", draft.id, "--discount", each) for each in discounts}

    assert created == edited == {"negative_total"}
    assert world.dump() == before
