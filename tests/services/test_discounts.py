"""Discounts on items and on the whole, within the limit of a role or by somebody else's consent; codes with so many uses. No path goes around."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from billing.errors import BillingError
from billing.model import DiscountCode, DiscountUse, InvoiceAdjustment, Staff
from billing.rules.discounting import BadDiscount
from billing.rules.statuses import InvoiceNotDraft
from billing.services import approvals, clinics, discount_codes, discounts, invoice_steps, invoices, staff
from billing.services.discount_codes import CodeNotValid, CodeTaken, CodeUsedHere, CodeUsedUp, UnknownCode
from billing.services.discount_limits import DiscountAboveLimit
from billing.services.invoices import InvoiceChanged, InvoiceMade
from billing.services.quotation import NewAdjustment, NewItem
from billing.testing.world import World, items_of
from billing.transaction import Transaction


@pytest.fixture
def desk(world: World) -> World:
    for login, role in (("carl", "clinician"), ("olga", "clinician"), ("mia", "manager")):
        world.run(lambda tx, login=login, role=role: staff.add_staff(tx, login=login, name=login.title(), role=role))  # type: ignore[misc]
    world.service("VIS", price="100.00", tax="S 1900")
    world.service("PEN", price="100.00", tax="S 700")
    return world


def discounted(world: World, invoice: str, actor: str = "carl", **asked: Any) -> InvoiceMade:
    return world.run(lambda tx: discounts.discount_draft(tx, invoice_id=invoice, **({"reason": "friend"} | asked)), actor=actor)


def approved(world: World, invoice: str, most: int | None = None, actor: str = "mia") -> None:
    world.run(
        lambda tx: approvals.give_approval(tx, permission="discounts.approve", subject_id=invoice, reason="ok", most_minor=most),
        actor=actor,
    )


def rows(world: World, invoice: str) -> list[tuple[Any, ...]]:
    """Return amount, reason, giver and approver by login, and code of the invoice's adjustments."""

    def unit(tx: Transaction) -> list[tuple[Any, ...]]:
        logins: dict[str | None, str] = {row.id: row.login for row in tx.session.execute(select(Staff.id, Staff.login))}
        codes: dict[str | None, str] = {row.id: row.code for row in tx.session.execute(select(DiscountCode.id, DiscountCode.code))}
        found = tx.session.scalars(select(InvoiceAdjustment).where(InvoiceAdjustment.invoice_id == invoice).order_by(InvoiceAdjustment.id))
        return sorted(
            (row.amount_minor, row.reason, logins.get(row.given_by), logins.get(row.approved_by), codes.get(row.code_id)) for row in found
        )

    return world.read(unit)


def test_percentage_on_the_whole_falls_on_each_tax_group(desk: World) -> None:
    made = desk.invoice("VIS", "PEN:2", actor="carl")

    done = discounted(desk, made.id, percent_bp=1_000)

    assert done.net_minor == 27_000
    assert done.total_minor == 9_000 + 1_710 + 18_000 + 1_260
    assert rows(desk, made.id) == [(1_000, "friend", "carl", None, None), (2_000, "friend", "carl", None, None)]


def test_amount_on_one_item_and_later_on_the_whole(desk: World) -> None:
    made = desk.invoice("VIS", "PEN", actor="carl")

    discounted(desk, made.id, amount_minor=500, position=2, reason="scratch")
    done = discounted(desk, made.id, amount_minor=1_000, version=2)

    assert done.net_minor == 18_500
    assert [row[:2] for row in rows(desk, made.id)] == [(487, "friend"), (500, "scratch"), (513, "friend")]


@pytest.mark.parametrize(
    "asked",
    [{}, {"percent_bp": 100, "amount_minor": 100}, {"percent_bp": 0}, {"amount_minor": 10_001}, {"percent_bp": 100, "position": 2}],
)
def test_discount_that_cannot_be_is_refused(desk: World, asked: dict[str, int]) -> None:
    made = desk.invoice("VIS")

    with pytest.raises(BadDiscount):
        discounted(desk, made.id, actor=desk.actor, **asked)


def test_only_a_draft_is_discounted_and_only_as_it_was_read(desk: World) -> None:
    made = desk.invoice("VIS")
    with pytest.raises(InvoiceChanged):
        discounted(desk, made.id, percent_bp=100, version=7)
    desk.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=made.id))

    with pytest.raises(InvoiceNotDraft):
        discounted(desk, made.id, percent_bp=100)


def _percent(world: World, invoice: str) -> object:
    return discounted(world, invoice, percent_bp=1_001)


def _on_item(world: World, invoice: str) -> object:
    return discounted(world, invoice, amount_minor=1_001, position=1)


def _twice(world: World, invoice: str) -> object:
    discounted(world, invoice, percent_bp=600)
    return discounted(world, invoice, actor="olga", percent_bp=600)


def _by_edit(world: World, invoice: str) -> object:
    adjustments = [NewAdjustment(charge=False, amount_minor=1_001, reason="friend")]
    return world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, adjustments=adjustments), actor="carl")


def _by_items(world: World, invoice: str) -> object:
    items = [NewItem("VIS", allowances=((1_001, "friend"),))]
    return world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items), actor="carl")


def _hidden_by_a_charge(world: World, invoice: str) -> object:
    items = [NewItem("VIS", allowances=((1_001, "friend"),), charges=((1_001, "fee"),))]
    return world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items), actor="carl")


def _by_creation(world: World, invoice: str) -> object:
    return world.invoice("VIS", adjustments=[NewAdjustment(charge=False, amount_minor=1_001, reason="friend")], actor="carl")


def _by_creation_on_items(world: World, invoice: str) -> object:
    return world.invoice(NewItem("VIS", allowances=((1_001, "friend"),)), actor="carl")


def _of_what_a_manager_gave_on_more(world: World, invoice: str) -> object:
    world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["VIS:10"])))
    discounted(world, invoice, actor=world.actor, percent_bp=5_000)
    return world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["VIS:6"])), actor="carl")


def _of_what_a_code_gave_on_more(world: World, invoice: str) -> object:
    world.run(lambda tx: discount_codes.add_code(tx, code="HALF", reason="half", uses=5, percent_bp=5_000))
    world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["VIS:10"])), actor="carl")
    world.run(lambda tx: discount_codes.redeem_code(tx, invoice_id=invoice, code="half"), actor="carl")
    return world.run(lambda tx: invoices.edit_invoice(tx, invoice_id=invoice, items=items_of(["VIS:6"])), actor="carl")


@pytest.mark.parametrize(
    "path",
    [
        _percent,
        _on_item,
        _twice,
        _by_edit,
        _by_items,
        _hidden_by_a_charge,
        _by_creation,
        _by_creation_on_items,
        _of_what_a_manager_gave_on_more,
        _of_what_a_code_gave_on_more,
    ],
)
def test_t03_no_path_to_a_discount_goes_around_the_limit(desk: World, path: Callable[[World, str], object]) -> None:
    made = desk.invoice("VIS", actor="carl")

    with pytest.raises(DiscountAboveLimit) as refusal:
        path(desk, made.id)

    assert refusal.value.code == "discount_above_limit"
    assert refusal.value.facts["limit_bp"] == 1_000


def test_limit_itself_is_given_alone_and_who_is_not_limited_gives_more(desk: World) -> None:
    assert discounted(desk, desk.invoice("VIS", actor="carl").id, percent_bp=1_000).net_minor == 9_000
    assert discounted(desk, desk.invoice("VIS").id, actor=desk.actor, percent_bp=10_000).net_minor == 0


def test_somebody_elses_consent_lifts_the_limit_once(desk: World) -> None:
    made = desk.invoice("VIS", actor="carl")
    approved(desk, made.id, most=2_000)

    with pytest.raises(DiscountAboveLimit):
        discounted(desk, made.id, amount_minor=2_001)
    discounted(desk, made.id, amount_minor=2_000)
    with pytest.raises(DiscountAboveLimit):
        discounted(desk, made.id, amount_minor=1, reason="more")
    kept = desk.run(lambda tx: invoices.edit_invoice(tx, invoice_id=made.id, note="hello"), actor="olga")

    assert kept.net_minor == 8_000
    assert rows(desk, made.id) == [(2_000, "friend", "carl", "mia", None)]


def test_limits_are_the_clinics(desk: World) -> None:
    made = desk.invoice("VIS", actor="carl")
    desk.run(lambda tx: clinics.update_clinic(tx, changes={"policy": {"discount_limits": {"clinician": 0}}}))

    with pytest.raises(DiscountAboveLimit):
        discounted(desk, made.id, amount_minor=1)


def code_of(world: World, code: str = "SPRING", **asked: Any) -> discount_codes.CodeSeen:
    wanted: dict[str, Any] = {"reason": "spring", "uses": 2} | ({} if "amount_minor" in asked else {"percent_bp": 2_500}) | asked
    return world.run(lambda tx: discount_codes.add_code(tx, code=code, **wanted), actor="mia")


def redeemed(world: World, invoice: str, code: str = "spring", **options: Any) -> InvoiceMade:
    return world.run(lambda tx: discount_codes.redeem_code(tx, invoice_id=invoice, code=code), actor="carl", **options)


def test_code_gives_more_than_a_role_may_and_is_used_up(desk: World) -> None:
    code_of(desk)
    first, second, third = (desk.invoice("VIS", actor="carl").id for _ in range(3))

    done = redeemed(desk, first)
    with pytest.raises(CodeUsedHere):
        redeemed(desk, first)
    redeemed(desk, second, "  Spring ")
    with pytest.raises(CodeUsedUp):
        redeemed(desk, third)
    beside = discounted(desk, first, percent_bp=1_000)

    assert done.net_minor == 7_500
    assert beside.net_minor == 6_500
    assert rows(desk, first) == [(1_000, "friend", "carl", None, None), (2_500, "spring", "carl", None, "SPRING")]
    assert desk.read(lambda tx: tx.session.scalars(select(DiscountCode.uses_left)).all()) == [0]
    assert desk.read(lambda tx: len(tx.session.scalars(select(DiscountUse.invoice_id)).all())) == 2


def test_code_for_an_amount_gives_at_most_what_there_is(desk: World) -> None:
    code_of(desk, "GIFT", amount_minor=30_000)

    assert redeemed(desk, desk.invoice("VIS", "PEN", actor="carl").id, "gift").total_minor == 0


def test_code_is_good_from_a_day_until_before_another(desk: World) -> None:
    code_of(desk, from_date=date(2026, 3, 2), until_date=date(2026, 3, 4), uses=10)
    invoice = desk.invoice("VIS").id

    def on(day: int) -> InvoiceMade:
        at = datetime(2026, 3, day, 12, tzinfo=UTC)
        return desk.run(lambda tx: discount_codes.redeem_code(tx, invoice_id=invoice, code="spring"), at=at)

    for day in (1, 4):
        with pytest.raises(CodeNotValid):
            on(day)
    assert on(3).net_minor == 7_500


def test_ended_and_unknown_codes_are_refused(desk: World) -> None:
    code_of(desk)
    invoice = desk.invoice("VIS", actor="carl").id
    desk.run(lambda tx: discount_codes.end_code(tx, code="spring"), actor="mia")

    with pytest.raises(CodeNotValid):
        redeemed(desk, invoice)
    with pytest.raises(UnknownCode):
        redeemed(desk, invoice, "summer")
    with pytest.raises(UnknownCode):
        desk.run(lambda tx: discount_codes.end_code(tx, code="summer"))
    with pytest.raises(CodeTaken):
        code_of(desk)
    assert [each.active for each in desk.read(discount_codes.list_codes)] == [False]
    assert desk.read(lambda tx: discount_codes.list_codes(tx, after="SPRING")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"percent_bp": None},
        {"percent_bp": 10_001},
        {"amount_minor": 0},
        {"from_date": date(2026, 1, 2), "until_date": date(2026, 1, 2)},
        {"code": ""},
        {"code": "x" * 41},
    ],
)
def test_code_that_cannot_be_is_refused(desk: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(BillingError):
        code_of(desk, **wrong)

    assert desk.read(discount_codes.list_codes) == []
