"""Fees, shares and follow-up windows as arithmetic: no database, no hooks."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from billing_consultation.rules import (
    AgreedTerms,
    BadShare,
    BadTerms,
    ListedFee,
    PaidVisit,
    Settlement,
    Window,
    check_terms,
    fee_for,
    paid_before,
    settle_visits,
    share_bp_of,
    share_of,
    share_to_reverse,
    visits_in,
)
from hypothesis import given
from hypothesis import strategies as st

from billing.plugin import Invalid, StoredEffect

TODAY = date(2026, 11, 22)
EUR_10, EUR_45 = 10_00_0000, 45_00_0000

TERMS = AgreedTerms(share_bp=4000, follow_up_days=14, follow_up_price_e4=0, follow_up_visits=1)
WINDOW = Window(
    patient_id="rex",
    provider_id="ada",
    free_from_date=TODAY,
    free_through_date=TODAY + timedelta(days=14),
    visits_left=1,
    unit_price_e4=0,
    item_id="first visit",
    payment_id="first payment",
)


def fee(price: int, *, provider: str | None = None, kind: str = "", since: date = TODAY) -> ListedFee:
    return ListedFee("visit", provider, kind, price, since)


def visit(item_id: str, *, price: int = EUR_45, visits: int = 1) -> PaidVisit:
    return PaidVisit(item_id, price, price // 10_000, visits)


def settle(window: Window | None, *visits: PaidVisit, terms: AgreedTerms | None = TERMS, day: date = TODAY) -> Settlement:
    return settle_visits(window, visits, terms=terms, patient_id="rex", provider_id="ada", payment_id="this payment", day=day)


FOR_ALL_RANKS = [fee(1, provider="ada", kind="home"), fee(2, provider="ada"), fee(3, kind="home")]


@pytest.mark.parametrize(
    ("provider", "kind", "price"),
    [
        ("ada", "home", 1),
        ("ada", "urgent", 2),
        ("ada", None, 2),
        ("ben", "home", 3),
        (None, "home", 3),
        ("ben", "urgent", None),
        (None, None, None),
    ],
)
def test_the_fee_of_provider_and_kind_comes_before_the_providers_and_that_before_the_kinds(
    provider: str | None, kind: str | None, price: int | None
) -> None:
    for fees in (FOR_ALL_RANKS, FOR_ALL_RANKS[::-1]):
        chosen = fee_for(fees, provider_id=provider, kind=kind)

        assert (chosen.unit_price_e4 if chosen else None) == price


def test_of_two_fees_of_one_rank_the_one_that_began_latest_counts() -> None:
    fees = [
        fee(1, provider="ada", since=date(2026, 1, 1)),
        fee(2, provider="ada", since=date(2026, 7, 1)),
        fee(3, provider="ada", since=date(2025, 1, 1)),
    ]

    chosen = fee_for(fees, provider_id="ada", kind="home")

    assert chosen == fees[1]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (fee(1, provider="ada", kind="home"), "fee of the provider for home"),
        (fee(1, provider="ada"), "fee of the provider"),
        (fee(1, kind="home"), "fee for home"),
    ],
)
def test_a_fee_says_why_it_is_the_price(chosen: ListedFee, reason: str) -> None:
    assert chosen.reason == reason


@pytest.mark.parametrize(("quantity_milli", "visits"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (3000, 3)])
def test_a_begun_visit_counts_as_one(quantity_milli: int, visits: int) -> None:
    assert visits_in(quantity_milli) == visits


@pytest.mark.parametrize(
    ("taxable_minor", "share_bp", "share_minor"),
    [
        (4500, 4000, 1800),
        (4501, 5000, 2251),
        (1, 5000, 1),
        (1, 4999, 0),
        (0, 10_000, 0),
        (4500, 0, 0),
        (4500, 10_000, 4500),
        (3333, 3333, 1111),
    ],
)
def test_a_share_is_rounded_half_up(taxable_minor: int, share_bp: int, share_minor: int) -> None:
    assert share_of(taxable_minor, share_bp) == share_minor


amounts = st.integers(0, 10**12)


@given(amounts, st.integers(0, 10_000))
def test_a_share_lies_between_nothing_and_all(taxable_minor: int, share_bp: int) -> None:
    assert 0 <= share_of(taxable_minor, share_bp) <= taxable_minor


@given(amounts, st.integers(1, 10**7), st.lists(st.integers(0, 10**7), max_size=12))
def test_returns_in_any_steps_take_back_the_whole_share_and_each_its_part(share_minor: int, paid_milli: int, cuts: list[int]) -> None:
    places = [0, *sorted(cut % (paid_milli + 1) for cut in cuts), paid_milli]

    reversed_minor = [
        share_to_reverse(share_minor, paid_milli=paid_milli, returned_milli=before, returning_milli=after - before)
        for before, after in pairwise(places)
    ]

    assert sum(reversed_minor) == share_minor
    assert min(reversed_minor) >= 0
    for before, after, part in zip(places, places[1:], reversed_minor, strict=False):
        assert abs(part * paid_milli - share_minor * (after - before)) <= paid_milli


@pytest.mark.parametrize(("percent", "share_bp"), [("40", 4000), ("37.5", 3750), ("0", 0), ("100", 10_000), ("33.33", 3333)])
def test_a_share_is_read_from_a_percentage(percent: str, share_bp: int) -> None:
    assert share_bp_of(percent) == share_bp


@pytest.mark.parametrize("percent", ["100.01", "33.333", "-1", "forty", "NaN", "4e1", ""])
def test_what_is_no_percentage_is_refused(percent: str) -> None:
    with pytest.raises(Invalid):
        share_bp_of(percent)


def test_a_share_with_too_many_decimals_says_how_to_write_it() -> None:
    with pytest.raises(BadShare, match=r"'33\.333' is no share: .* such as 37\.5"):
        share_bp_of("33.333")


@pytest.mark.parametrize(
    "changed",
    [
        {"share_bp": -1},
        {"share_bp": 10_001},
        {"follow_up_days": -1},
        {"follow_up_days": 3651},
        {"follow_up_price_e4": -1},
        {"follow_up_visits": -1},
        {"follow_up_visits": 0},
        {"follow_up_days": 0},
    ],
)
def test_terms_that_make_no_sense_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(BadTerms):
        check_terms(replace(TERMS, **changed))


def test_terms_without_follow_ups_can_be_agreed() -> None:
    terms = replace(TERMS, follow_up_days=0, follow_up_visits=0)

    assert check_terms(terms) is terms


@pytest.mark.parametrize(
    ("window", "visits", "day", "covered"),
    [
        (WINDOW, 1, TODAY, True),
        (WINDOW, 1, TODAY + timedelta(days=14), True),
        (WINDOW, 1, TODAY + timedelta(days=15), False),
        (WINDOW, 1, TODAY - timedelta(days=1), False),
        (WINDOW, 2, TODAY, False),
        (replace(WINDOW, visits_left=2), 2, TODAY, True),
        (replace(WINDOW, visits_left=0), 1, TODAY, False),
        (replace(WINDOW, closed_at=datetime(2026, 11, 22, tzinfo=UTC)), 1, TODAY, False),
    ],
)
def test_a_window_covers_its_days_and_its_visits_unless_it_is_closed(window: Window, visits: int, day: date, covered: bool) -> None:
    assert window.covers(visits=visits, day=day) is covered


def test_a_visit_paid_in_full_opens_a_window_and_is_not_counted_itself() -> None:
    settlement = settle(None, visit("first visit"))

    assert settlement == Settlement(replace(WINDOW, payment_id="this payment"), {})


def test_a_follow_up_counts_the_window_down_and_opens_none() -> None:
    settlement = settle(WINDOW, visit("second visit", price=0), day=TODAY + timedelta(days=3))

    assert settlement == Settlement(replace(WINDOW, visits_left=0), {"second visit": 1})


def test_follow_ups_beyond_the_window_stay_as_billed_and_open_none() -> None:
    settlement = settle(WINDOW, visit("second", price=0), visit("third", price=0))

    assert settlement == Settlement(replace(WINDOW, visits_left=0), {"second": 1})


def test_a_line_of_several_follow_ups_uses_up_what_is_left() -> None:
    settlement = settle(replace(WINDOW, visits_left=2), visit("second", price=0, visits=3))

    assert settlement == Settlement(replace(WINDOW, visits_left=0), {"second": 2})


def test_a_reduced_follow_up_counts_the_window_down_though_it_was_paid() -> None:
    reduced = replace(WINDOW, unit_price_e4=EUR_10)

    settlement = settle(reduced, visit("second", price=EUR_10), terms=replace(TERMS, follow_up_price_e4=EUR_10))

    assert settlement == Settlement(replace(reduced, visits_left=0), {"second": 1})


def test_a_reduced_follow_up_that_finds_its_window_used_up_does_not_chain_a_new_one() -> None:
    used_up = replace(WINDOW, unit_price_e4=EUR_10, visits_left=0)

    settlement = settle(used_up, visit("third", price=EUR_10), terms=replace(TERMS, follow_up_price_e4=EUR_10))

    assert settlement == Settlement(used_up, {})


def test_a_visit_paid_in_full_within_a_window_opens_the_next() -> None:
    day = TODAY + timedelta(days=3)

    settlement = settle(WINDOW, visit("second"), day=day)

    assert settlement.used == {}
    assert settlement.window == replace(
        WINDOW, free_from_date=day, free_through_date=day + timedelta(days=14), item_id="second", payment_id="this payment"
    )


@pytest.mark.parametrize("order", [("full", "free"), ("free", "full")])
def test_a_follow_up_paid_together_with_a_full_visit_uses_the_window_before(order: tuple[str, str]) -> None:
    visits = {"full": visit("full"), "free": visit("free", price=0)}

    settlement = settle(WINDOW, *(visits[name] for name in order))

    assert settlement.used == {"free": 1}
    assert settlement.window == replace(WINDOW, item_id="full", payment_id="this payment")


def test_two_full_visits_of_one_payment_open_one_window_that_names_the_later() -> None:
    settlement = settle(None, visit("one"), visit("two"))

    assert settlement.window is not None
    assert settlement.window.item_id == "two"


@pytest.mark.parametrize("terms", [None, replace(TERMS, follow_up_days=0, follow_up_visits=0)])
def test_without_follow_ups_agreed_no_window_is_opened(terms: AgreedTerms | None) -> None:
    assert settle(None, visit("first"), terms=terms) == Settlement(None, {})


def test_a_visit_that_allowances_made_free_opens_no_window() -> None:
    assert settle(None, PaidVisit("first", EUR_45, 0, 1)) == Settlement(None, {})


def test_a_record_of_the_past_does_not_move_a_window_back() -> None:
    assert settle(WINDOW, visit("old"), day=TODAY - timedelta(days=400)) == Settlement(WINDOW, {})


def test_a_record_of_the_past_may_replace_a_later_window_that_is_closed() -> None:
    closed = replace(WINDOW, visits_left=0, closed_at=datetime(2026, 11, 22, tzinfo=UTC))

    settlement = settle(closed, visit("old"), day=TODAY - timedelta(days=400))

    assert settlement.window is not None
    assert settlement.window.item_id == "old"


PAID_ONCE = StoredEffect("visit.paid", "ada", 3000, {"share_minor": 5400})


def test_the_stored_effects_say_what_was_paid_and_what_came_back_since() -> None:
    done = paid_before((PAID_ONCE, StoredEffect("visit.refunded", "ada", 1000, {"share_minor": -1800})))

    assert (done.kind, done.quantity_milli, done.returned_milli, done.share_minor) == ("visit", 3000, 1000, 5400)
    assert done.left_milli(2000) == 0


def test_only_the_latest_payment_of_an_item_counts() -> None:
    voided = StoredEffect("visit.refunded", "ada", 3000, {"share_minor": -5400})

    done = paid_before(
        (PAID_ONCE, voided, StoredEffect("visit.paid", "ada", 3000, {"share_minor": 10, "follow_up_of": "first", "visits": 1}))
    )

    assert (done.returned_milli, done.share_minor, done.follow_up_of, done.visits) == (0, 10, "first", 1)
