"""Visits from the bill to the books and back, on both databases."""

from datetime import date
from typing import Any

from billing_consultation.model import FollowUp, Share
from sqlalchemy import select

from billing.model import Event

FIRST_DAY, LAST_DAY = date(2026, 11, 22), date(2026, 12, 6)


def price_and_reason(practice: Any, invoice: Any) -> list[tuple[int, str]]:
    return [(item.total_minor, item.price_reason) for item in practice.items(invoice)]


def test_a_visit_costs_the_fee_of_its_provider_for_its_kind(practice: Any) -> None:
    practice.fee("70.00", provider="Ben", kind="home")
    practice.fee("60.00", provider="Ben")
    practice.fee("50.00", kind="home")

    bills = [
        practice.bill("VISIT", provider=practice.ben, kind="home"),
        practice.bill("VISIT", provider=practice.ben),
        practice.bill("VISIT", kind="home"),
        practice.bill("VISIT"),
        practice.bill("VISIT", provider=None),
    ]

    assert [price_and_reason(practice, bill)[0] for bill in bills] == [
        (7000, "fee of the provider for home"),
        (6000, "fee of the provider"),
        (5000, "fee for home"),
        (4500, ""),
        (4500, ""),
    ]


def test_a_fee_holds_from_its_first_day_until_before_its_last(practice: Any, days_later: Any) -> None:
    practice.fee("50.00", provider="Ada")
    practice.fee("30.00", provider="Ada", valid_from_date=date(2026, 11, 23), valid_until_date=date(2026, 11, 25))

    totals = []
    for days in range(4):
        with days_later(days):
            totals.append(practice.bill("VISIT").total_minor)

    assert totals == [5000, 3000, 3000, 5000]


def test_a_paid_visit_makes_the_next_one_to_the_same_provider_free_and_not_the_one_after(practice: Any, days_later: Any) -> None:
    practice.agree()
    practice.paid("VISIT")

    with days_later(14):
        with_other = practice.bill("VISIT", provider=practice.ben)
        follow_up = practice.paid("VISIT")
        after = practice.bill("VISIT")

    assert price_and_reason(practice, follow_up) == [(0, "follow-up until 2026-12-06")]
    assert (with_other.total_minor, after.total_minor) == (4500, 4500)
    assert [(each.provider_id, each.free_from_date, each.free_through_date, each.visits_left) for each in practice.windows()] == [
        (practice.ada, FIRST_DAY, LAST_DAY, 0)
    ]
    assert practice.broken() == set()


def test_a_visit_after_the_window_costs_its_price_and_opens_the_next(practice: Any, days_later: Any) -> None:
    practice.agree()
    practice.paid("VISIT")

    with days_later(15):
        later = practice.paid("VISIT")

    assert later.total_minor == 4500
    assert [(each.item_id, each.visits_left) for each in practice.windows()] == [(later.item_ids[0], 1)]


def test_a_draft_opens_no_window(practice: Any) -> None:
    practice.agree()
    practice.bill("VISIT")

    assert practice.bill("VISIT").total_minor == 4500
    assert practice.windows() == []


def test_calls_and_procedures_take_no_part_in_follow_ups(practice: Any) -> None:
    practice.agree()
    practice.paid("CALL", "XRAY")

    assert practice.windows() == []
    assert practice.bill("VISIT").total_minor == 4500


def test_reduced_follow_ups_do_not_chain(practice: Any, days_later: Any) -> None:
    practice.agree(price="20.00")
    practice.paid("VISIT")

    with days_later(10):
        reduced, twin = practice.bill("VISIT"), practice.bill("VISIT")
        practice.run(practice.paying(reduced))
        practice.run(practice.paying(twin))

    assert (reduced.total_minor, twin.total_minor) == (2000, 2000)
    assert [(each.free_through_date, each.visits_left) for each in practice.windows()] == [(LAST_DAY, 0)]


def test_two_free_drafts_that_are_paid_at_once_use_one_visit_up_and_both_stay_free(practice: Any) -> None:
    practice.agree()
    practice.paid("VISIT")
    drafts = [practice.bill("VISIT"), practice.bill("VISIT")]

    taken = practice.at_once(*(practice.paying(draft) for draft in drafts))

    assert [each.applied_minor for each in taken] == [0, 0]
    used = [done.data.get("visits", 0) for draft in drafts for done in practice.effects(draft)]
    assert sorted(used) == [0, 1]
    assert [each.visits_left for each in practice.windows()] == [0]


def test_every_item_has_its_effect_and_its_share_by_the_providers_terms(practice: Any) -> None:
    practice.agree(share_bp=4000)
    practice.agree(provider="Ben", share_bp=5000)

    by_ada = practice.paid("VISIT", "XRAY")
    by_ben = practice.paid("XRAY", provider=practice.ben)
    by_nobody = practice.paid("XRAY", provider=None)

    assert sorted(practice.shares()) == [("Ada", 1800), ("Ada", 2400), ("Ben", 3000)]
    kinds = [sorted(done.kind for done in practice.effects(invoice)) for invoice in (by_ada, by_ben, by_nobody)]
    assert kinds == [["procedure.paid", "visit.paid"], ["procedure.paid"], ["procedure.paid"]]


def test_issuing_tells_of_visits(practice: Any) -> None:
    paid = practice.paid("VISIT", "XRAY")

    told = practice.read(lambda tx: [each.data for each in tx.session.scalars(select(Event).where(Event.topic == "visit.billed"))])

    visit = practice.items(paid)[0]
    assert told == [{"invoice_id": paid.id, "patient_id": practice.rex, "consultation_id": None, "item_ids": [visit.id]}]


def test_refunding_the_paying_visit_closes_its_window_and_takes_the_share_back(practice: Any) -> None:
    practice.agree()
    first = practice.paid("VISIT")

    practice.refund(first)

    assert practice.bill("VISIT").total_minor == 4500
    assert [(each.visits_left, each.closed_at is not None) for each in practice.windows()] == [(0, True)]
    assert practice.shares() == [("Ada", 1800), ("Ada", -1800)]
    assert [done.kind for done in practice.effects(first)] == ["visit.paid", "visit.refunded"]
    assert practice.broken() == set()


def test_refunding_a_follow_up_makes_the_next_one_free_again(practice: Any) -> None:
    practice.agree()
    practice.paid("VISIT")
    follow_up = practice.paid("VISIT")

    practice.refund(follow_up)

    assert practice.bill("VISIT").total_minor == 0


def test_refunds_in_parts_take_back_exactly_the_share(practice: Any) -> None:
    practice.agree(share_bp=3333)
    visits = practice.paid("VISIT:3")

    for _ in range(3):
        practice.refund(visits, quantity_milli=1000)

    assert [amount for _, amount in practice.shares()] == [4500, -1500, -1500, -1500]
    assert [each.visits_left for each in practice.windows()] == [0]
    assert practice.broken() == set()


def test_the_doctor_finds_a_share_that_was_taken_back_twice_and_one_that_changed_hands(practice: Any) -> None:
    practice.agree()
    first = practice.paid("VISIT")
    practice.refund(first)

    def tamper(tx: Any) -> None:
        share = tx.session.scalars(select(Share).where(Share.amount_minor < 0)).one()
        share.amount_minor, share.provider_id = -1801, practice.ben

    practice.run(tamper)

    assert practice.broken() == {"consultation_share_balance", "consultation_share_provider"}


def test_the_doctor_finds_a_closed_window_with_visits_left(practice: Any) -> None:
    practice.agree()
    practice.refund(practice.paid("VISIT"))

    def tamper(tx: Any) -> None:
        tx.session.scalars(select(FollowUp)).one().visits_left = 1

    practice.run(tamper)

    assert practice.broken() == {"consultation_follow_up_window"}
