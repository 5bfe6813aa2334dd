from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from billing import clock
from billing.model import AuditEntry
from billing.money import MAX_UNIT_PRICE_E4, BadUnitPrice
from billing.rules.texts import BadText
from billing.rules.totals import BadTaxGroup
from billing.services import price_checks, prices
from billing.services.clinics import UnknownDepartmentHere
from billing.services.inputs import BadLimit
from billing.services.prices import ServiceFacts
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

HOSTILE = ["", "  ", "a\0b", "a\x1bb", "\ud800", "x" * 1_000_000]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

Beside = Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]


def add(world: World, code: str = "XRAY", *, clinic: str | None = None, **options: Any) -> ServiceFacts:
    given: dict[str, Any] = {"department": "desk", "description": f"Service {code}", "unit_price_e4": 30_000_000} | options
    return world.run(partial(prices.add_service, code=code, **given), clinic=clinic)


def codes(world: World, **options: Any) -> list[str]:
    return [each.code for each in world.read(partial(prices.list_services, **options))]


def test_service_added_is_found_by_its_code(world: World) -> None:
    made = add(world, "XRAY:2.1/a-b_c", unit_price_e4=125, tax_category="S", tax_rate_bp=1900, unit="hour")

    found = world.read(lambda tx: prices.find_service(tx, "XRAY:2.1/a-b_c"))
    expected = ("XRAY:2.1/a-b_c", "desk", "Service XRAY:2.1/a-b_c", "hour", 125, "S", 1900, True)
    assert found == made == ServiceFacts(made.id, *expected)


@pytest.mark.parametrize(
    ("given", "tax"),
    [
        ((None, None), ("O", 0)),
        ((None, 0), ("O", 0)),
        ((None, 700), ("S", 700)),
        (("E", None), ("E", 0)),
        (("S", 0), ("S", 0)),
        (("L", 10_000), ("L", 10_000)),
    ],
)
def test_tax_is_completed_where_it_can_only_be_one(given: tuple[str | None, int | None], tax: tuple[str, int]) -> None:
    chosen = price_checks.choose_tax(*given)

    assert (chosen.category, chosen.rate_bp) == tax


@pytest.mark.parametrize("given", [("S", None), ("X", None), ("X", 0), ("O", 1), ("S", -1), ("S", 10_001), ("", None), (None, -1)])
def test_tax_that_does_not_exist_or_is_half_given_is_refused(given: tuple[str | None, int | None]) -> None:
    with pytest.raises(BadTaxGroup):
        price_checks.choose_tax(*given)


def test_service_is_untaxed_unless_a_tax_is_given(world: World) -> None:
    made = add(world)

    assert (made.tax_category, made.tax_rate_bp, made.unit) == ("O", 0, "each")


def test_code_is_on_the_price_list_once(world: World) -> None:
    add(world)
    add(world, clinic="south")
    world.run(partial(prices.retire_service, code="XRAY"))

    with pytest.raises(prices.ServiceCodeTaken, match="on the price list already"):
        add(world)


def test_code_added_by_two_at_once_is_added_once(world: World, beside: Beside) -> None:
    unit = partial(prices.add_service, code="XRAY", department="desk", description="X-ray", unit_price_e4=1)

    second = beside(unit, unit)

    assert isinstance(second.exception(), prices.ServiceCodeTaken)
    assert codes(world) == ["XRAY"]


def test_price_has_bounds(world: World) -> None:
    for price in (-1, MAX_UNIT_PRICE_E4 + 1, 2**63, 10**40):
        with pytest.raises(BadUnitPrice):
            add(world, unit_price_e4=price)

    assert add(world, "FREE", unit_price_e4=0).unit_price_e4 == 0
    assert add(world, "HUGE", unit_price_e4=MAX_UNIT_PRICE_E4).unit_price_e4 == MAX_UNIT_PRICE_E4


def test_text_that_can_not_be_printed_is_refused(world: World) -> None:
    for text in HOSTILE:
        for field in ("description", "unit"):
            with pytest.raises(BadText):
                add(world, **{field: text})
        with pytest.raises(BadText):
            add(world, text, description="X-ray")

    assert codes(world) == []


def test_code_is_letters_digits_and_a_few_signs(world: World) -> None:
    for code in ("=SUM(A1)", "-X", "X Y", "Ü", "x\n", "X" * 61, "X;Y"):
        with pytest.raises(BadText, match="service code"):
            add(world, code)


def test_department_must_be_one_of_the_clinic(world: World) -> None:
    for department in ("roof", "", "a\0b", "Desk"):
        with pytest.raises(UnknownDepartmentHere, match="the clinic has desk, shelf"):
            add(world, department=department)


def test_formula_and_every_script_may_stand_in_a_description(world: World) -> None:
    for place, text in enumerate(["=cmd|' /C calc'!A0", "@SUM(1)", "Röntgen für 犬", "two\nlines"]):
        add(world, f"S{place}", description=text)
        assert world.read(lambda tx: prices.find_service(tx, f"S{place}")).description == text  # noqa: B023 - run at once


def test_change_of_price_is_kept_with_instant_and_person(world: World) -> None:
    with clock.fixed(NOON):
        add(world, unit_price_e4=100)
    with clock.fixed(NOON + timedelta(days=1)):
        world.run(partial(prices.change_price, code="XRAY", unit_price_e4=200))
        world.run(partial(prices.change_price, code="XRAY", tax_rate_bp=1900))

    history = world.read(partial(prices.price_history, code="XRAY"))
    actor = world.read(lambda tx: tx.actor.id)
    assert history == (
        prices.PriceView(NOON, 100, "O", 0, actor),
        prices.PriceView(NOON + timedelta(days=1), 200, "O", 0, actor),
        prices.PriceView(NOON + timedelta(days=1), 200, "S", 1900, actor),
    )
    now = world.read(lambda tx: prices.find_service(tx, "XRAY"))
    assert (now.unit_price_e4, now.tax_category, now.tax_rate_bp) == (200, "S", 1900)


def test_many_changes_in_one_unit_keep_their_order(world: World) -> None:
    add(world, unit_price_e4=0)

    def unit(tx: Transaction) -> None:
        for price in range(1, 30):
            prices.change_price(tx, code="XRAY", unit_price_e4=price)

    world.run(unit)

    assert [each.unit_price_e4 for each in world.read(partial(prices.price_history, code="XRAY"))] == list(range(30))


def test_change_to_the_same_price_is_refused_and_leaves_no_history(world: World) -> None:
    add(world, tax_category="S", tax_rate_bp=1900)

    unchanged: tuple[dict[str, Any], ...] = ({}, {"unit_price_e4": 30_000_000}, {"tax_rate_bp": 1900})
    for same in unchanged:
        with pytest.raises(prices.ServiceUnchanged, match="XRAY is so already"):
            world.run(partial(prices.change_price, code="XRAY", **same))

    assert len(world.read(partial(prices.price_history, code="XRAY"))) == 1


def test_price_is_not_changed_behind_a_newer_one(world: World) -> None:
    with clock.fixed(NOON):
        add(world)

    with clock.fixed(NOON + timedelta(hours=1)), pytest.raises(prices.PriceInThePast, match="newer price, of 2026-05-01 12:00 UTC"):
        world.run(partial(prices.change_price, code="XRAY", unit_price_e4=1), at=NOON - timedelta(seconds=1))


def test_bad_change_leaves_price_and_history_alone(world: World) -> None:
    made = add(world)

    with pytest.raises(BadUnitPrice):
        world.run(partial(prices.change_price, code="XRAY", unit_price_e4=-1))
    with pytest.raises(BadTaxGroup):
        world.run(partial(prices.change_price, code="XRAY", unit_price_e4=1, tax_category="S"))

    assert world.read(lambda tx: prices.find_service(tx, "XRAY")) == made
    assert len(world.read(partial(prices.price_history, code="XRAY"))) == 1


def test_two_changes_at_once_come_one_after_the_other(world: World, beside: Beside) -> None:
    add(world, unit_price_e4=1)

    second = beside(
        partial(prices.change_price, code="XRAY", unit_price_e4=2), partial(prices.update_service, code="XRAY", description="Better")
    )

    assert second.result().unit_price_e4 == 2
    assert world.read(lambda tx: prices.find_service(tx, "XRAY")).description == "Better"


def test_description_unit_and_department_are_changed_without_history(world: World) -> None:
    made = add(world)

    changed = world.run(partial(prices.update_service, code="XRAY", description="New", unit="film", department="shelf"))

    assert changed == ServiceFacts(made.id, "XRAY", "shelf", "New", "film", 30_000_000, "O", 0, active=True)
    assert len(world.read(partial(prices.price_history, code="XRAY"))) == 1
    with pytest.raises(prices.ServiceUnchanged):
        world.run(partial(prices.update_service, code="XRAY", description="New"))
    with pytest.raises(UnknownDepartmentHere):
        world.run(partial(prices.update_service, code="XRAY", department="roof"))


def test_retired_service_is_listed_only_if_asked_for_and_can_come_back(world: World) -> None:
    add(world)

    world.run(partial(prices.retire_service, code="XRAY"))
    assert codes(world) == []
    assert codes(world, retired=True) == ["XRAY"]
    assert world.read(lambda tx: prices.find_service(tx, "XRAY")).active is False
    with pytest.raises(prices.ServiceUnchanged):
        world.run(partial(prices.retire_service, code="XRAY"))

    world.run(partial(prices.reactivate_service, code="XRAY"))
    assert codes(world) == ["XRAY"]
    with pytest.raises(prices.ServiceUnchanged):
        world.run(partial(prices.reactivate_service, code="XRAY"))


def test_unknown_code_and_another_clinics_are_answered_alike(world: World) -> None:
    add(world, clinic="south")

    for code in [*HOSTILE, "XRAY", "xray", "'; --"]:
        for unit in (
            partial(prices.change_price, code=code, unit_price_e4=1),
            partial(prices.update_service, code=code, unit="film"),
            partial(prices.retire_service, code=code),
            partial(prices.reactivate_service, code=code),
            partial(prices.price_history, code=code),
            lambda tx, code=code: prices.find_service(tx, code),
        ):
            with pytest.raises(prices.UnknownService, match=r"There is no service .* on the price list"):
                world.run(unit)


def test_list_is_narrowed_by_department_and_search(world: World) -> None:
    add(world, "XRAY-1", description="Röntgen Thorax")
    add(world, "XRAY-2", description="Röntgen 100% Pfote", department="shelf")
    add(world, "VAC", description="Vaccination of a cat")
    add(world, "ABROAD", description="Röntgen", clinic="south")

    assert codes(world) == ["VAC", "XRAY-1", "XRAY-2"]
    assert codes(world, department="shelf") == ["XRAY-2"]
    by_search = {
        "xray": ["XRAY-1", "XRAY-2"],
        "röntgen": ["XRAY-1", "XRAY-2"],
        "CAT": ["VAC"],
        "1": ["XRAY-2"],
        "100%": ["XRAY-2"],
        "_": [],
        "ray": [],
    }
    assert {text: codes(world, search=text) for text in by_search} == by_search
    with pytest.raises(UnknownDepartmentHere):
        codes(world, department="roof")
    with pytest.raises(BadText):
        codes(world, search="a\0b")


def test_list_goes_on_behind_a_code(world: World) -> None:
    for code in ("C", "a", "B", "1", "a-1", "a.1"):
        add(world, code)

    pages: list[str] = []
    while page := codes(world, limit=2, after=pages[-1] if pages else None):
        pages += page

    assert pages == codes(world)
    assert len(pages) == 6
    with pytest.raises(BadLimit):
        codes(world, limit=0)


def test_only_who_manages_prices_changes_them_and_all_read_them(world: World, hire: Callable[[str], str]) -> None:
    add(world)

    for role in ("clinician", "cashier", "auditor", "admin"):
        login = hire(role)
        for unit in (
            partial(prices.add_service, code="NEW", department="desk", description="New", unit_price_e4=1),
            partial(prices.change_price, code="XRAY", unit_price_e4=1),
            partial(prices.update_service, code="XRAY", unit="film"),
            partial(prices.retire_service, code="XRAY"),
            partial(prices.reactivate_service, code="XRAY"),
        ):
            with pytest.raises(PermissionMissing):
                world.run(unit, actor=login)
        assert world.read(lambda tx: prices.find_service(tx, "XRAY"), actor=login).code == "XRAY"

    manager = hire("manager")
    assert world.run(partial(prices.change_price, code="XRAY", unit_price_e4=1), actor=manager).unit_price_e4 == 1


def test_every_change_of_the_price_list_is_audited(world: World) -> None:
    add(world, unit_price_e4=100)
    world.run(partial(prices.change_price, code="XRAY", unit_price_e4=200))
    world.run(partial(prices.update_service, code="XRAY", department="shelf"))
    world.run(partial(prices.retire_service, code="XRAY"))
    world.run(partial(prices.reactivate_service, code="XRAY"))

    entries = world.read(
        lambda tx: tx.session.execute(
            select(AuditEntry.action, AuditEntry.data).where(AuditEntry.subject == "service").order_by(AuditEntry.position)
        ).all()
    )
    tax = {"tax_category": "O", "tax_rate_bp": 0}
    assert [tuple(each) for each in entries] == [
        ("service.added", {"code": "XRAY", "department": "desk", "unit_price_e4": 100, **tax}),
        ("price.changed", {"code": "XRAY", "unit_price_e4": 200, **tax, "was": {"unit_price_e4": 100, **tax}}),
        ("service.changed", {"code": "XRAY", "department": "shelf", "was": "desk"}),
        ("service.retired", {"code": "XRAY"}),
        ("service.reactivated", {"code": "XRAY"}),
    ]
