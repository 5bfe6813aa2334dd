"""What paying and refunding a test changes, and what is vetoed: hooks as pure functions, without a database."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from billing_laboratory import hooks
from billing_laboratory.imports import UnreadableObservation
from billing_laboratory.model import LabOrder, LabResult
from billing_laboratory.needs import BILLED_PANELS, ORDERS, PANELS, RANGES, RESULTS

from billing.plugin import (
    BilledItem,
    InvoiceFacts,
    Known,
    PatientFacts,
    PaymentFacts,
    RefundedItem,
    RefundFacts,
    StoredEffect,
    change,
    currency,
    effect,
    insert,
)

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
WOMAN = PatientFacts(id="rosa", client_id="c1", kind="person", sex="female", birth_date=date(1980, 5, 17))
DOG = PatientFacts(id="rex", client_id="c2", kind="animal", sex="male", birth_date=date(2020, 5, 17), species="dog")
SHARED: dict[str, Any] = {"invoice_id": "inv", "currency": currency("EUR"), "business_date": AT.date(), "at": AT, "actor_id": "importer"}
INVOICE = InvoiceFacts(id="inv", patient=WOMAN, currency=currency("EUR"), business_date=AT.date(), at=AT, actor_id="anna")
REFUND = RefundFacts(id="ref", payment_id="pay", patient=WOMAN, reason="wrong test", **SHARED)


def payment(patient: PatientFacts = WOMAN) -> PaymentFacts:
    return PaymentFacts(id="pay", patient=patient, scope="ALL", applied_minor=1000, **SHARED)


def item(
    key: str = "i1", service: str | None = "s-potassium", *, quantity_milli: int = 1000, given: Mapping[str, Any] | None = None
) -> BilledItem:
    return BilledItem(
        id=key,
        position=1,
        department="laboratory",
        code="K",
        description="Potassium",
        quantity_milli=quantity_milli,
        unit_price_e4=0,
        taxable_minor=0,
        tax_minor=0,
        total_minor=0,
        service_id=service,
        given=given or {},
    )


def member(analyte: str, loinc: str, *, service: str = "s-potassium", test: str = "t1", position: int = 1, **other: Any) -> Any:
    row = {"service_id": service, "test_id": test, "active": True, "position": position, "analyte_id": analyte, "loinc": loinc}
    return SimpleNamespace(**{**row, "unit": "mmol/L", "value_kind": "numeric", **other})


def limits(analyte: str, **given: Any) -> Any:
    row = dict.fromkeys(("sex", "species", "age_until_days", "low", "high", "critical_low", "critical_high", "normal_text"))
    return SimpleNamespace(**{**row, "analyte_id": analyte, "position": 1, "age_from_days": 0, **given})


POTASSIUM = member("a-k", "2823-3")
PANEL = (member("a-na", "2951-2", service="s-panel", test="t2"), member("a-cl", "2075-0", service="s-panel", test="t2", position=2))


def known(*panels: Any, ranges: tuple[Any, ...] = ()) -> Known:
    return {PANELS: panels, RANGES: ranges}


def measured(**other: Any) -> dict[str, Any]:
    given = {
        "loinc": "2823-3",
        "name": "Potassium",
        "specimen": "serum",
        "unit": "mmol/L",
        "value_kind": "numeric",
        "value": "6.9",
        "measured_at": "2026-03-02T10:00:00Z",
        "entered_by": "importer",
        "verified_by": "checker",
    }
    return {name: value for name, value in {**given, **other}.items() if value is not None}


@pytest.fixture(autouse=True)
def plain_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)
    monkeypatch.setattr(hooks, "new_id", lambda: f"o{next(numbers)}")


def pending(order: str, analyte: str, position: int = 1) -> Any:
    return insert(
        LabResult, order_id=order, analyte_id=analyte, position=position, status="pending", unit="mmol/L", flag="", range_text="", reason=""
    )


def ordered(order: str, item_id: str, test: str = "t1", *, patient: str = "rosa", status: str = "ordered") -> Any:
    return insert(LabOrder, id=order, item_id=item_id, patient_id=patient, test_id=test, status=status, priority="routine", ordered_at=AT)


# --- paying -------------------------------------------------------------------------------------------------------------------------


def test_a_paid_test_is_ordered_with_a_pending_result() -> None:
    paid = item()

    changes = list(hooks.on_items_paid(payment(), (paid,), known(POTASSIUM)))

    assert changes == [ordered("o1", "i1"), pending("o1", "a-k"), effect(paid, "lab.ordered", row="o1", quantity_milli=1000)]


def test_a_panel_has_a_result_for_each_analyte_in_its_order() -> None:
    paid = item(service="s-panel")

    changes = list(hooks.on_items_paid(payment(), (paid,), known(*PANEL)))

    assert changes == [
        ordered("o1", "i1", "t2"),
        pending("o1", "a-na"),
        pending("o1", "a-cl", position=2),
        effect(paid, "lab.ordered", row="o1", quantity_milli=1000),
    ]


def test_two_items_of_one_test_are_two_orders() -> None:
    changes: list[Any] = list(hooks.on_items_paid(payment(), (item("i1"), item("i2")), known(POTASSIUM)))

    assert [each.row["item_id"] for each in changes if getattr(each, "table", None) is LabOrder] == ["i1", "i2"]
    assert [(each.item_id, each.row) for each in changes if hasattr(each, "kind")] == [("i1", "o1"), ("i2", "o2")]


def test_an_imported_result_is_final_and_judged_by_the_patients_range() -> None:
    ranges = (limits("a-k", low="3.5", high="5.1", critical_high="6.5"), limits("a-k", species="dog", low="4.0", high="9.0"))

    changes = list(hooks.on_items_paid(payment(), (item(given=measured()),), known(POTASSIUM, ranges=ranges)))

    at = datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert changes[:2] == [
        ordered("o1", "i1", status="final"),
        insert(
            LabResult,
            order_id="o1",
            analyte_id="a-k",
            position=1,
            status="final",
            unit="mmol/L",
            flag="HH",
            range_text="3.5 - 5.1",
            reason="",
            value="6.9",
            measured_at=at,
            entered_by="importer",
            entered_at=at,
            verified_by="checker",
            verified_at=at,
        ),
    ]


def test_an_imported_result_of_an_animal_is_judged_by_its_species() -> None:
    ranges = (limits("a-k", low="3.5", high="5.1"), limits("a-k", species="dog", low="4.0", high="9.0", position=2))

    changes: list[Any] = list(hooks.on_items_paid(payment(DOG), (item(given=measured()),), known(POTASSIUM, ranges=ranges)))

    assert (changes[1].row["flag"], changes[1].row["range_text"]) == ("N", "4.0 - 9.0")


def test_a_result_without_a_range_has_no_flag() -> None:
    changes: list[Any] = list(hooks.on_items_paid(payment(), (item(given=measured()),), known(POTASSIUM)))

    assert (changes[1].row["flag"], changes[1].row["range_text"]) == ("", "")


def test_what_was_measured_before_the_payment_is_entered_with_it() -> None:
    given = measured(measured_at=(AT - timedelta(days=1)).isoformat())

    changes: list[Any] = list(hooks.on_items_paid(payment(), (item(given=given),), known(POTASSIUM)))

    assert (changes[1].row["measured_at"], changes[1].row["entered_at"]) == (AT - timedelta(days=1), AT)


def test_an_imported_item_without_a_value_is_only_ordered() -> None:
    changes = list(hooks.on_items_paid(payment(), (item(given=measured(value=None)),), known(POTASSIUM)))

    assert changes[:2] == [ordered("o1", "i1"), pending("o1", "a-k")]


def test_an_imported_result_of_a_panel_leaves_the_rest_to_be_done() -> None:
    given = measured(loinc="2075-0", value="104")

    changes: list[Any] = list(hooks.on_items_paid(payment(), (item(service="s-panel", given=given),), known(*PANEL)))

    assert [each.row["status"] for each in changes[:3]] == ["in_progress", "pending", "final"]


# --- vetoes -------------------------------------------------------------------------------------------------------------------------


def check(paid: BilledItem, *panels: Any) -> None:
    hooks.before_items_paid(payment(), (paid,), {PANELS: panels, RANGES: ()})


def test_a_test_that_is_set_up_passes() -> None:
    check(item(), POTASSIUM)
    hooks.before_invoice_issued(INVOICE, (item(),), {BILLED_PANELS: (POTASSIUM,)})


@pytest.mark.parametrize("service", ["s-unknown", None])
def test_an_item_that_names_no_test_is_refused_with_what_to_do(service: str | None) -> None:
    with pytest.raises(hooks.NoSuchTest, match="billing lab test add") as refusal:
        check(item(service=service), POTASSIUM)

    assert refusal.value.facts == {"item": "i1", "item_code": "K"}


def test_an_item_that_names_no_test_is_not_even_issued() -> None:
    with pytest.raises(hooks.NoSuchTest):
        hooks.before_invoice_issued(INVOICE, (item(),), {BILLED_PANELS: ()})


def test_a_retired_test_is_refused() -> None:
    with pytest.raises(hooks.RetiredTest):
        check(item(), member("a-k", "2823-3", active=False))


@pytest.mark.parametrize("quantity_milli", [500, 1001, 2000])
def test_a_test_is_billed_once_per_line(quantity_milli: int) -> None:
    with pytest.raises(hooks.OneTestPerLine, match="line of its own"):
        check(item(quantity_milli=quantity_milli), POTASSIUM)


def test_a_result_of_another_analyte_is_refused() -> None:
    with pytest.raises(hooks.NotMeasured, match="718-7"):
        check(item(given=measured(loinc="718-7")), POTASSIUM)


@pytest.mark.parametrize(
    "given",
    [
        measured(verified_by="importer"),
        measured(measured_at="2026-03-02T10:00:00"),
        measured(measured_at=None),
        measured(unknown="x"),
        {"value": "6.9"},
    ],
)
def test_a_given_result_that_cannot_be_read_is_refused(given: Mapping[str, Any]) -> None:
    with pytest.raises(UnreadableObservation, match="K came with a result"):
        check(item(given=given), POTASSIUM)


# --- refunding ----------------------------------------------------------------------------------------------------------------------


def refunded(*effects: StoredEffect, quantity_milli: int = 1000) -> RefundedItem:
    return RefundedItem(item=item(), quantity_milli=quantity_milli, effects=effects or (StoredEffect("lab.ordered", "o1", 1000),))


def order_rows(status: str, *, results: tuple[str, ...] = ("pending",)) -> Known:
    rows = tuple(SimpleNamespace(id=f"r{place}", order_id="o1", status=each) for place, each in enumerate(results, start=1))
    return {ORDERS: (SimpleNamespace(id="o1", item_id="i1", status=status),), RESULTS: rows}


def test_a_refunded_test_is_cancelled_with_its_results() -> None:
    back = refunded()
    found = order_rows("ordered", results=("pending", "pending"))

    hooks.before_items_refunded(REFUND, (back,), found)
    changes = list(hooks.on_items_refunded(REFUND, (back,), found))

    assert changes == [
        change(LabOrder, "o1", expect={"status": "ordered"}, status="cancelled", cancelled_at=AT),
        change(LabResult, "r1", expect={"status": "pending"}, status="cancelled"),
        change(LabResult, "r2", expect={"status": "pending"}, status="cancelled"),
        effect(back, "lab.cancelled", row="o1", quantity_milli=1000),
    ]


@pytest.mark.parametrize("status", ["collected", "received", "in_progress", "preliminary", "final", "amended"])
def test_what_the_laboratory_has_begun_with_is_not_refunded(status: str) -> None:
    with pytest.raises(hooks.OrderStarted, match="Potassium") as refusal:
        hooks.before_items_refunded(REFUND, (refunded(),), order_rows(status))

    assert (refusal.value.facts["order"], refusal.value.facts["status"]) == ("o1", status)


def test_a_test_is_not_refunded_in_part() -> None:
    with pytest.raises(hooks.OneTestPerLine, match="whole"):
        hooks.before_items_refunded(REFUND, (refunded(quantity_milli=500),), order_rows("ordered"))


def test_an_order_that_was_cancelled_before_is_left_alone() -> None:
    earlier = (StoredEffect("lab.ordered", "o0", 1000), StoredEffect("lab.cancelled", "o0", 1000), StoredEffect("lab.ordered", "o1", 1000))

    changes: list[Any] = list(hooks.on_items_refunded(REFUND, (refunded(*earlier),), order_rows("ordered", results=())))

    assert [each.key for each in changes if hasattr(each, "key")] == ["o1"]


def test_hooks_change_nothing_that_they_were_given() -> None:
    given = measured()
    paid = item(given=given)

    list(hooks.on_items_paid(payment(), (paid,), known(POTASSIUM)))

    assert given == measured()
