"""What the hooks yield for facts and what their needs found, compared as values: no database."""

from collections import namedtuple
from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from billing_consultation import hooks, invariants, needs
from billing_consultation.model import FollowUp, Share
from billing_consultation.rules import ListedFee, Window

from billing.plugin import (
    BilledItem,
    DoneFor,
    InvoiceFacts,
    Need,
    PatientFacts,
    PaymentFacts,
    Price,
    QuotedLine,
    QuotingClinic,
    RefundedItem,
    RefundFacts,
    StoredEffect,
    Tell,
    currency,
    effect,
    insert,
    put,
    tell,
)

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
TODAY = date(2026, 11, 22)
EUR = currency("EUR")
REX = PatientFacts(id="rex", client_id="kim", kind="animal", sex="male", species="dog")
EUR_10, EUR_38, EUR_45, EUR_60 = 10_00_0000, 38_00_0000, 45_00_0000, 60_00_0000

CLINIC = QuotingClinic(id="north", currency=EUR, business_date=TODAY, at=AT)
INVOICE = InvoiceFacts(id="invoice", patient=REX, currency=EUR, business_date=TODAY, at=AT, actor_id="cat", consultation_id="consultation")
PAYMENT = PaymentFacts(
    id="payment",
    invoice_id="invoice",
    patient=REX,
    currency=EUR,
    scope="ALL",
    applied_minor=0,
    business_date=TODAY,
    at=AT,
    actor_id="cat",
)
REFUND = RefundFacts(
    id="refund",
    invoice_id="invoice",
    payment_id="payment",
    patient=REX,
    currency=EUR,
    reason="not done",
    business_date=TODAY,
    at=AT,
    actor_id="cat",
)
WINDOW = Window(
    patient_id="rex",
    provider_id="ada",
    free_from_date=TODAY - timedelta(days=3),
    free_through_date=TODAY + timedelta(days=11),
    visits_left=1,
    unit_price_e4=0,
    item_id="first visit",
    payment_id="first payment",
)


class VisitRow(NamedTuple):
    service_id: str
    follow_up: bool


class TermsRow(NamedTuple):
    provider_id: str | None
    share_bp: int
    follow_up_days: int
    follow_up_price_e4: int
    follow_up_visits: int


WindowRow: Any = namedtuple("WindowRow", [field.name for field in fields(Window)])  # type: ignore[misc]  # noqa: PYI024

VISIT = VisitRow("visit", follow_up=True)
CALL = VisitRow("call", follow_up=False)
CLINICS_TERMS = TermsRow(None, 4000, 14, 0, 1)


def known(**found: Any) -> Mapping[Need, tuple[Any, ...]]:
    return {need: tuple(found.get(name, ())) for name, need in vars(needs).items() if isinstance(need, Need)}


def row(window: Window) -> Any:
    return WindowRow(*astuple(window))


def line(position: int = 1, **changed: Any) -> QuotedLine:
    facts: dict[str, Any] = {
        "position": position,
        "department": "consultation",
        "code": "VISIT",
        "service_id": "visit",
        "quantity_milli": 1000,
        "unit_price_e4": EUR_45,
        "patient": REX,
        "provider_id": "ada",
        "visit": "home",
    }
    return QuotedLine(**(facts | changed))


def item(item_id: str = "visit item", *, price: int = EUR_45, quantity_milli: int = 1000, **changed: Any) -> BilledItem:
    taxable_minor = price * quantity_milli // 10_000_000
    facts: dict[str, Any] = {
        "id": item_id,
        "position": 1,
        "department": "consultation",
        "code": "VISIT",
        "description": "Visit",
        "quantity_milli": quantity_milli,
        "unit_price_e4": price,
        "taxable_minor": taxable_minor,
        "tax_minor": taxable_minor // 10,
        "total_minor": taxable_minor + taxable_minor // 10,
        "service_id": "visit",
        "provider_id": "ada",
    }
    return BilledItem(**(facts | changed))


def quoted(*lines: QuotedLine, **found: Any) -> list[Any]:
    return list(hooks.quote_lines(CLINIC, lines, known(**found)))


def paid(*items: BilledItem, **found: Any) -> list[Any]:
    return list(hooks.on_items_paid(PAYMENT, items, known(**found)))


def refunded(*items: RefundedItem, **found: Any) -> list[Any]:
    return list(hooks.on_items_refunded(REFUND, items, known(**found)))


def effects(changes: list[Any]) -> tuple[StoredEffect, ...]:
    return tuple(StoredEffect(each.kind, each.row, each.quantity_milli, each.data) for each in changes if isinstance(each, DoneFor))


def put_window(window: Window) -> Any:
    columns = {field.name: getattr(window, field.name) for field in fields(Window)}
    return put(FollowUp, {name: columns.pop(name) for name in ("patient_id", "provider_id")}, **columns)


# --- needs and declaration -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "value"),
    [(needs.QUOTED_FEES, ListedFee), (needs.QUOTED_WINDOWS, Window), (needs.PAID_WINDOWS, Window), (needs.REFUNDED_WINDOWS, Window)],
)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_needs_rows_are_the_fields_of_its_value_in_order(need: Need, value: Any, dialect: str) -> None:
    prepared = need.prepared(dialect)

    assert prepared.row is not None
    assert prepared.row._fields == tuple(field.name for field in fields(value))  # type: ignore[attr-defined]


def test_all_needs_and_invariants_are_declared() -> None:
    declaration = hooks.declare()

    assert set(declaration.needs) == {need for need in vars(needs).values() if isinstance(need, Need)}
    assert declaration.invariants == invariants.ALL


def test_windows_that_a_payment_or_a_refund_may_change_are_locked() -> None:
    assert [need for need in needs.ALL if need.lock is FollowUp] == [needs.PAID_WINDOWS, needs.REFUNDED_WINDOWS]


# --- quoting -------------------------------------------------------------------------------------------------------------------------


def test_a_visit_costs_its_list_price_where_no_fee_is_set() -> None:
    assert quoted(line(), QUOTED_VISITS=[VISIT]) == []


def test_a_visit_costs_the_fee_that_fits_best_and_says_why() -> None:
    fees = [ListedFee("visit", None, "home", EUR_60, TODAY), ListedFee("visit", "ada", "", EUR_38, TODAY)]

    quotes = quoted(line(1), line(2, provider_id="ben"), QUOTED_VISITS=[VISIT], QUOTED_FEES=map(astuple, fees))

    assert quotes == [Price(1, EUR_38, "fee of the provider"), Price(2, EUR_60, "fee for home")]


def test_a_fee_of_another_service_does_not_count() -> None:
    other = ListedFee("call", "ada", "", EUR_10, TODAY)

    assert quoted(line(), QUOTED_VISITS=[VISIT, CALL], QUOTED_FEES=[astuple(other)]) == []


def test_a_procedure_keeps_its_list_price_in_a_window() -> None:
    assert quoted(line(service_id="x-ray"), line(2, service_id=None), QUOTED_WINDOWS=[row(WINDOW)]) == []


def test_a_visit_in_a_window_is_a_follow_up_whatever_its_fee() -> None:
    fees = [astuple(ListedFee("visit", "ada", "", EUR_38, TODAY))]

    quotes = quoted(line(), QUOTED_VISITS=[VISIT], QUOTED_FEES=fees, QUOTED_WINDOWS=[row(WINDOW)])

    assert quotes == [Price(1, 0, "follow-up until 2026-12-03")]


def test_a_reduced_follow_up_never_costs_more_than_the_visit() -> None:
    window = row(replace(WINDOW, unit_price_e4=EUR_10, visits_left=2))

    quotes = quoted(line(1), line(2, unit_price_e4=5), QUOTED_VISITS=[VISIT], QUOTED_WINDOWS=[window])

    assert [quote.unit_price_e4 for quote in quotes] == [EUR_10, 5]


def test_lines_of_one_bill_use_a_window_up_in_their_order() -> None:
    quotes = quoted(line(2), line(1), QUOTED_VISITS=[VISIT], QUOTED_WINDOWS=[row(WINDOW)])

    assert quotes == [Price(1, 0, "follow-up until 2026-12-03")]


def test_a_line_of_more_visits_than_are_left_is_no_follow_up() -> None:
    assert quoted(line(quantity_milli=2000), QUOTED_VISITS=[VISIT], QUOTED_WINDOWS=[row(WINDOW)]) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"provider_id": "ben"},
        {"provider_id": None},
        {"patient": replace(REX, id="cat")},
        {"service_id": "call"},
    ],
)
def test_a_window_covers_only_its_patient_its_provider_and_visits_that_take_part(changed: dict[str, Any]) -> None:
    assert quoted(line(**changed), QUOTED_VISITS=[VISIT, CALL], QUOTED_WINDOWS=[row(WINDOW)]) == []


# --- issuing -------------------------------------------------------------------------------------------------------------------------


def test_issuing_tells_of_the_visits_on_the_invoice() -> None:
    items = (item("one"), item("x-ray", service_id="x-ray"), item("two"))

    changes = list(hooks.on_invoice_issued(INVOICE, items, known(BILLED_VISITS=[VISIT])))

    assert changes == [
        tell("visit.billed", invoice_id="invoice", patient_id="rex", consultation_id="consultation", item_ids=["one", "two"])
    ]


def test_issuing_an_invoice_without_a_visit_tells_nothing() -> None:
    changes: list[Tell] = list(hooks.on_invoice_issued(INVOICE, (item(service_id="x-ray"),), known()))  # type: ignore[arg-type]

    assert changes == []


# --- paying --------------------------------------------------------------------------------------------------------------------------


def test_a_paid_visit_gives_its_provider_a_share_of_the_net_amount_and_opens_a_window() -> None:
    changes = paid(item(), PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS])

    opened = Window("rex", "ada", TODAY, TODAY + timedelta(days=14), 1, 0, "visit item", "payment")
    assert changes == [
        put_window(opened),
        insert(Share, provider_id="ada", item_id="visit item", action_id="payment", amount_minor=1800, at=AT, business_date=TODAY),
        effect(item(), "visit.paid", row="ada", quantity_milli=1000, share_minor=1800),
    ]


def test_a_procedure_gives_a_share_and_opens_no_window() -> None:
    x_ray = item("x-ray", service_id="x-ray")

    changes = paid(x_ray, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS])

    assert changes == [
        insert(Share, provider_id="ada", item_id="x-ray", action_id="payment", amount_minor=1800, at=AT, business_date=TODAY),
        effect(x_ray, "procedure.paid", row="ada", quantity_milli=1000, share_minor=1800),
    ]


def test_a_visit_that_takes_no_part_in_follow_ups_opens_no_window_and_uses_none() -> None:
    call, free_call = item("call", service_id="call"), item("free call", service_id="call", price=0)

    changes = paid(call, free_call, PAID_VISITS=[CALL], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(WINDOW)])

    assert [type(change).__name__ for change in changes] == ["Insert", "DoneFor", "DoneFor"]


def test_a_providers_own_terms_come_before_the_clinics() -> None:
    own = TermsRow("ada", 5000, 0, 0, 0)

    changes = paid(item(), item("other", provider_id="ben"), PAID_VISITS=[], PAID_TERMS=[CLINICS_TERMS, own])

    assert [each.data["share_minor"] for each in changes if isinstance(each, DoneFor)] == [2250, 1800]


@pytest.mark.parametrize(
    ("changed", "terms"), [({"provider_id": None}, [CLINICS_TERMS]), ({}, []), ({}, [TermsRow("ben", 5000, 14, 0, 1)])]
)
def test_without_a_provider_or_terms_an_item_has_its_effect_and_nothing_else(changed: dict[str, Any], terms: list[Any]) -> None:
    visit = item(**changed)

    changes = paid(visit, PAID_VISITS=[VISIT], PAID_TERMS=terms)

    assert changes == [effect(visit, "visit.paid", row=visit.provider_id, quantity_milli=1000, share_minor=0)]


def test_a_free_follow_up_counts_its_window_down_without_a_share() -> None:
    free = item("second", price=0)

    changes = paid(free, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(WINDOW)])

    assert changes == [
        put_window(replace(WINDOW, visits_left=0)),
        effect(free, "visit.paid", row="ada", quantity_milli=1000, share_minor=0, follow_up_of="first visit", visits=1),
    ]


def test_a_free_visit_whose_window_was_used_up_meanwhile_stays_as_billed() -> None:
    free = item("third", price=0)

    changes = paid(free, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(replace(WINDOW, visits_left=0))])

    assert changes == [effect(free, "visit.paid", row="ada", quantity_milli=1000, share_minor=0)]


def test_visits_to_two_providers_open_two_windows() -> None:
    changes = paid(item("one"), item("two", provider_id="ben"), PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS])

    assert [change.key["provider_id"] for change in changes if getattr(change, "table", None) is FollowUp] == ["ada", "ben"]


# --- refunding -----------------------------------------------------------------------------------------------------------------------


def test_refunding_the_paying_visit_takes_its_share_back_and_closes_its_window() -> None:
    visit = item("first visit")
    stored = effects(paid(visit, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS]))

    changes = refunded(RefundedItem(visit, 1000, stored), REFUNDED_WINDOWS=[row(WINDOW)])

    assert changes == [
        insert(Share, provider_id="ada", item_id="first visit", action_id="refund", amount_minor=-1800, at=AT, business_date=TODAY),
        effect(visit, "visit.refunded", row="ada", quantity_milli=1000, share_minor=-1800),
        put_window(replace(WINDOW, visits_left=0, closed_at=AT)),
    ]


def test_a_part_refund_takes_back_a_part_and_leaves_the_window_open() -> None:
    visits = item("first visit", quantity_milli=3000)
    stored = effects(paid(visits, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS]))

    changes = refunded(RefundedItem(visits, 1000, stored), REFUNDED_WINDOWS=[row(WINDOW)])

    assert changes == [
        insert(Share, provider_id="ada", item_id="first visit", action_id="refund", amount_minor=-1800, at=AT, business_date=TODAY),
        effect(visits, "visit.refunded", row="ada", quantity_milli=1000, share_minor=-1800),
    ]


def test_refunds_in_parts_take_back_exactly_the_share_and_the_last_one_closes_the_window() -> None:
    visits = item("first visit", quantity_milli=3000, taxable_minor=100)
    stored = effects(paid(visits, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS]))
    taken_back = []

    for _ in range(3):
        changes = refunded(RefundedItem(visits, 1000, stored), REFUNDED_WINDOWS=[row(WINDOW)])
        taken_back += [each.row["amount_minor"] for each in changes if getattr(each, "table", None) is Share]
        stored += effects(changes)

    assert taken_back == [-13, -14, -13]
    assert put_window(replace(WINDOW, visits_left=0, closed_at=AT)) in changes


def test_refunding_a_follow_up_gives_its_visit_back_to_the_window() -> None:
    free = item("second", price=0)
    stored = effects(paid(free, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(WINDOW)]))

    changes = refunded(RefundedItem(free, 1000, stored), REFUNDED_WINDOWS=[row(replace(WINDOW, visits_left=0))])

    assert changes == [effect(free, "visit.refunded", row="ada", quantity_milli=1000, share_minor=0), put_window(WINDOW)]


def test_a_visit_is_not_given_back_to_a_window_that_another_visit_has_opened_since() -> None:
    free = item("second", price=0)
    stored = effects(paid(free, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(WINDOW)]))

    changes = refunded(RefundedItem(free, 1000, stored), REFUNDED_WINDOWS=[row(replace(WINDOW, item_id="third"))])

    assert changes == [effect(free, "visit.refunded", row="ada", quantity_milli=1000, share_minor=0)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_paying_visit_and_its_follow_up_refunded_together_leave_the_window_closed(reverse: bool) -> None:
    first, free = item("first visit"), item("second", price=0)
    of_first = effects(paid(first, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS]))
    of_free = effects(paid(free, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS], PAID_WINDOWS=[row(WINDOW)]))
    both = [RefundedItem(first, 1000, of_first), RefundedItem(free, 1000, of_free)]

    changes = refunded(*(both[::-1] if reverse else both), REFUNDED_WINDOWS=[row(replace(WINDOW, visits_left=0))])

    assert changes[-1] == put_window(replace(WINDOW, visits_left=0, closed_at=AT))


def test_an_item_without_a_provider_is_refunded_with_its_effect_alone() -> None:
    visit = item(provider_id=None)
    stored = effects(paid(visit, PAID_VISITS=[VISIT], PAID_TERMS=[CLINICS_TERMS]))

    changes = refunded(RefundedItem(visit, 1000, stored), REFUNDED_WINDOWS=[])

    assert changes == [effect(visit, "visit.refunded", quantity_milli=1000, share_minor=0)]
