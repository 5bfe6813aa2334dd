"""Paying for tests on real databases: an order per item, exactly once, or nothing at all."""

from typing import Any

import pytest
from billing_laboratory import catalogue, hooks

from billing.plugin import BillingError, NewItem, NotFound, TaxGroup


def test_paying_orders_each_test_with_a_pending_result_per_analyte(lab: Any) -> None:
    patient = lab.person()
    invoice = lab.issue("ELEC", "COV", "K", patient_id=patient)

    lab.run(lab.paying(invoice))

    orders = lab.orders(invoice)
    assert [(each.status, each.priority, each.patient_id) for each in orders] == [("ordered", "routine", patient)] * 3
    assert [each.item_id for each in orders] == list(invoice.item_ids)
    assert [[(row.position, row.status, row.unit) for row in lab.results(each.id)] for each in orders] == [
        [(1, "pending", "mmol/L"), (2, "pending", "mmol/L")],
        [(1, "pending", "")],
        [(1, "pending", "mmol/L")],
    ]
    assert lab.broken() == set()


def test_nothing_is_ordered_before_it_is_paid(lab: Any) -> None:
    lab.issue("ELEC")

    assert lab.orders() == []
    assert lab.waiting() == []


def test_a_dry_run_says_what_would_be_ordered_and_orders_nothing(lab: Any) -> None:
    invoice = lab.issue("ELEC", "K")

    preview = lab.preview(invoice)

    assert [(each.item_id, each.kind) for each in preview.effects] == [(item, "lab.ordered") for item in invoice.item_ids]
    assert lab.orders() == []


def test_other_departments_order_nothing(lab: Any) -> None:
    lab.service("DESK")
    invoice = lab.issue("DESK", "K")

    lab.pay(invoice.id, "cash 10.00", scope="desk")

    assert lab.orders() == []


def test_two_cashiers_order_once(lab: Any) -> None:
    invoice = lab.issue("K")

    answers = lab.at_once(lab.paying(invoice), lab.paying(invoice))

    assert [each.code for each in answers if isinstance(each, BillingError)] == ["already_paid"]
    assert len(lab.orders(invoice)) == 1


def test_an_item_that_names_no_test_is_not_issued(lab: Any) -> None:
    draft = lab.invoice("NEW", patient_id=lab.person())
    before = lab.dump()

    with pytest.raises(hooks.NoSuchTest, match="NEW"):
        lab.run(lab.paying(draft))

    assert lab.dump() == before


def test_a_free_text_of_the_laboratory_is_not_issued(lab: Any) -> None:
    item = NewItem(description="Some test", department="laboratory", unit_price_e4=1_000_000, tax=TaxGroup("O", 0))
    draft = lab.invoice(item, patient_id=lab.person())

    with pytest.raises(hooks.NoSuchTest):
        lab.run(lab.paying(draft))


def test_a_test_that_was_retired_since_is_not_paid(lab: Any) -> None:
    invoice = lab.issue("K", "COV")
    lab.run(lambda tx: catalogue.retire_test(tx, service_code="K"), actor="mona")
    before = lab.dump()

    with pytest.raises(hooks.RetiredTest):
        lab.run(lab.paying(invoice))

    assert lab.dump() == before
    assert [each.code for each in lab.preview(invoice).vetoes] == ["lab_test_retired"]


def test_two_of_a_test_on_one_line_are_not_issued(lab: Any) -> None:
    draft = lab.invoice("K:2", patient_id=lab.person())

    with pytest.raises(hooks.OneTestPerLine):
        lab.run(lab.paying(draft))


def test_two_lines_of_a_test_are_two_orders(lab: Any) -> None:
    invoice = lab.issue("K", "K")

    lab.run(lab.paying(invoice))

    assert len({each.item_id for each in lab.orders(invoice)}) == 2


def test_another_clinics_tests_are_its_own(lab: Any) -> None:
    lab.found("south")
    lab.service("K", department="laboratory", price="5.00", clinic="south")

    assert lab.read(catalogue.list_tests, clinic="south") == []
    with pytest.raises(NotFound):
        lab.run(lambda tx: catalogue.add_test(tx, service_code="K", loinc="2823-3", specimen="serum"), clinic="south")
