"""Setting fees and terms, marking visits and reading shares, on both databases; and their commands."""

import json
from datetime import date
from typing import Any

import pytest
from billing_consultation import services
from billing_consultation.commands import fee
from billing_consultation.rules import AgreedTerms, BadTerms
from billing_consultation.services import BadFee, FeeEntry, NoSuchFee, NotAVisit, OtherDepartment, ShareTotal, TermsEntry
from click.testing import CliRunner

from billing.model import Department
from billing.plugin import Forbidden, NotFound

TODAY = date(2026, 11, 22)


def fees(practice: Any) -> list[tuple[str | None, str, int, date | None, date | None]]:
    """The fees of VISIT without its list price."""
    entries: tuple[FeeEntry, ...] = practice.read(lambda tx: services.list_fees(tx, service="VISIT"))
    return [(each.provider, each.kind, each.unit_price_e4, each.valid_from_date, each.valid_until_date) for each in entries[1:]]


def test_the_list_shows_visits_with_their_list_price_and_their_fees(practice: Any) -> None:
    practice.fee("60.00", provider="Ben", kind="home", valid_until_date=date(2027, 1, 1))

    entries = practice.read(services.list_fees)

    assert entries == (
        FeeEntry("CALL", "Service CALL", False, None, "", 10_00_0000, None, None),
        FeeEntry("VISIT", "Service VISIT", True, None, "", 45_00_0000, None, None),
        FeeEntry("VISIT", "Service VISIT", True, "Ben", "home", 60_00_0000, TODAY, date(2027, 1, 1)),
    )


def test_a_fee_set_twice_on_one_day_is_the_later_one(practice: Any) -> None:
    practice.fee("60.00", provider="Ben", valid_until_date=date(2027, 1, 1))
    practice.fee("61.00", provider="Ben")

    assert fees(practice) == [("Ben", "", 61_00_0000, TODAY, None)]


def test_an_ended_fee_gives_way_to_the_price_list(practice: Any) -> None:
    practice.fee("60.00", provider="Ada")
    practice.fee("70.00", provider="Ada", valid_from_date=date(2027, 1, 1))

    practice.run(lambda tx: services.end_fee(tx, service="VISIT", provider="Ada"))

    assert practice.bill("VISIT").total_minor == 4500
    assert [until for *_, until in fees(practice)] == [TODAY, date(2027, 1, 1)]


def test_a_fee_that_is_not_there_can_not_be_ended(practice: Any) -> None:
    practice.fee("60.00", provider="Ada")

    with pytest.raises(NoSuchFee, match="No such fee of VISIT holds on 2026-11-22 or later"):
        practice.run(lambda tx: services.end_fee(tx, service="VISIT", provider="Ben"))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"service": "XRAY"}, NotAVisit),
        ({"service": "NONE"}, NotFound),
        ({"provider": "Nobody"}, NotFound),
        ({"provider": None}, BadFee),
        ({"provider": None, "kind": "  "}, BadFee),
        ({"unit_price_e4": -1}, BadFee),
        ({"valid_until_date": TODAY}, BadFee),
    ],
)
def test_a_fee_that_makes_no_sense_is_refused_and_nothing_is_stored(practice: Any, changed: dict[str, Any], error: Any) -> None:
    before = practice.dump()
    values: dict[str, Any] = {"service": "VISIT", "provider": "Ada", "unit_price_e4": 1} | changed

    with pytest.raises(error):
        practice.run(lambda tx: services.set_fee(tx, **values))

    assert practice.dump() == before


def test_a_service_of_another_department_can_not_be_a_visit(practice: Any) -> None:
    elsewhere = Department(code="elsewhere", plugin="elsewhere", name="Elsewhere", position=9)
    practice.run(lambda tx: tx.session.add(elsewhere))
    practice.service("AMOX", department="elsewhere")

    with pytest.raises(OtherDepartment, match="AMOX belongs to the department elsewhere"):
        practice.run(lambda tx: services.mark_visit(tx, service="AMOX"))


def test_a_visit_can_be_marked_again(practice: Any) -> None:
    practice.run(lambda tx: services.mark_visit(tx, service="VISIT", follow_up=False))

    assert [(each.service, each.follow_up) for each in practice.read(services.list_fees)] == [("CALL", False), ("VISIT", False)]


def test_terms_of_a_provider_begin_as_the_clinics_and_change_by_themselves(practice: Any) -> None:
    practice.agree(share_bp=4000, days=14, visits=2)

    practice.run(lambda tx: services.set_terms(tx, provider="Ben", share_bp=5000))
    practice.run(lambda tx: services.set_terms(tx, follow_up_days=7))

    assert practice.read(services.list_terms) == (
        TermsEntry(None, AgreedTerms(4000, 7, 0, 2)),
        TermsEntry("Ben", AgreedTerms(5000, 14, 0, 2)),
    )


def test_terms_that_do_not_fit_together_are_refused(practice: Any) -> None:
    with pytest.raises(BadTerms, match="Follow-ups need both days and visits"):
        practice.run(lambda tx: services.set_terms(tx, follow_up_days=14))


def test_shares_are_listed_by_provider_and_day_with_totals(practice: Any, days_later: Any) -> None:
    practice.agree()
    first = practice.paid("VISIT")
    practice.paid("XRAY", provider=practice.ben)
    with days_later(1):
        practice.refund(first)
        practice.paid("XRAY")

    def shares(**period: Any) -> Any:
        return practice.read(lambda tx: services.list_shares(tx, **period))

    assert shares().totals == (ShareTotal("Ada", 2400, 2400), ShareTotal("Ben", 2400, 2400))
    assert shares(provider="Ada", until_date=date(2026, 11, 23)).totals == (ShareTotal("Ada", 1800, 1800),)
    assert [each.amount_minor for each in shares(from_date=date(2026, 11, 23)).entries] == [-1800, 2400]
    assert shares(from_date=date(2026, 11, 24)).totals == ()


WRITES: list[Any] = [
    lambda tx: services.mark_visit(tx, service="VISIT"),
    lambda tx: services.set_fee(tx, service="VISIT", provider="Ada", unit_price_e4=1),
    lambda tx: services.end_fee(tx, service="VISIT", provider="Ada"),
    lambda tx: services.set_terms(tx, share_bp=1),
]
MAY: dict[str, set[str]] = {
    "manager": {"write", "fees", "shares"},
    "admin": {"write", "fees", "shares"},
    "auditor": {"fees", "shares"},
    "clinician": {"fees"},
    "cashier": set(),
}


@pytest.mark.parametrize("role", MAY)
def test_each_role_may_do_what_it_was_granted(practice: Any, role: str) -> None:
    practice.fee("60.00", provider="Ada")
    login = practice.employ(role)

    allowed: dict[str, list[Any]] = {
        "write": [*WRITES],
        "fees": [services.list_fees, services.list_terms],
        "shares": [services.list_shares],
    }
    for right, units in allowed.items():
        for unit in units:
            if right in MAY[role]:
                practice.run(unit, actor=login)
            else:
                with pytest.raises(Forbidden):
                    practice.run(unit, actor=login)


# --- commands ------------------------------------------------------------------------------------------------------------------------


class Screen:
    """A console that keeps what was shown."""

    def __init__(self, practice: Any) -> None:
        self.run, self.read = practice.run, practice.read
        self.shown: list[dict[str, Any]] = []
        self.said: list[str] = []

    def show(self, data: Any, *, columns: Any = None) -> None:
        assert all(set(columns) <= set(row) for row in data)
        self.shown = json.loads(json.dumps(data, default=str))

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def command(practice: Any, *words: str) -> Screen:
    screen = Screen(practice)
    result = CliRunner().invoke(fee, words, obj=screen)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return screen


def test_fees_are_set_shown_and_ended_from_the_command_line(practice: Any) -> None:
    command(practice, "visit", "XRAY", "--no-follow-up")
    command(practice, "set", "--service", "XRAY", "--provider", "Ben", "--kind", "home", "--price", "70.00", "--until", "2027-01-01")

    listed = command(practice, "list", "--service", "XRAY").shown
    command(practice, "end", "--service", "XRAY", "--provider", "Ben", "--kind", "home")

    assert [(row["provider"], row["kind"], row["price"], row["from"], row["until"], row["follow_up"]) for row in listed] == [
        (None, None, "60.00", None, None, False),
        ("Ben", "home", "70.00", "2026-11-22", "2027-01-01", False),
    ]
    assert practice.bill("XRAY", provider=practice.ben, kind="home").total_minor == 6000


def test_terms_are_agreed_and_shown_from_the_command_line(practice: Any) -> None:
    agreed = command(practice, "terms", "--share", "37.5", "--follow-up-days", "14", "--follow-up-visits", "2", "--follow-up-price", "5")

    shown = command(practice, "terms")

    assert agreed.shown == shown.shown
    assert shown.shown == [
        {"provider": "(all others)", "share_percent": "37.50", "follow_up_days": 14, "follow_up_visits": 2, "follow_up_price": "5.00"}
    ]


def test_shares_are_shown_from_the_command_line(practice: Any) -> None:
    practice.agree()
    practice.paid("VISIT")

    rows = command(practice, "shares", "--provider", "Ada", "--from", "2026-11-22", "--until", "2026-11-23")
    totals = command(practice, "shares", "--totals")

    assert [(row["date"], row["provider"], row["item"], row["amount"]) for row in rows.shown] == [("2026-11-22", "Ada", "VISIT", "18.00")]
    assert rows.said == ["Ada: 18.00 EUR, of which 18.00 to be paid out."]
    assert totals.shown == [{"provider": "Ada", "amount": "18.00", "open": "18.00", "currency": "EUR"}]
