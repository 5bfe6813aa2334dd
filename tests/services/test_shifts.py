"""Shifts: one for each cashier and drawer, cash only in one's own, counted blind, closed once; what they should hold is what the journal says."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.model import JournalLine, Payment, Shift, ShiftCount
from billing.services import cash_moves, shift_report, shifts, staff, z_report
from billing.services.cash_moves import AnsweredAlready, BadCash, DrawerTooLow, NoSuchReceiver, NotYourMove, UnknownMove
from billing.services.shift_report import NoSuchReport
from billing.services.shifts import BadCount, CashierHasShift, DrawerTaken, HandOverOpen, NotYourShift, ShiftIsClosed, UnknownShift
from billing.services.tills import NoShift, ShiftClosed, join
from billing.testing.world import World


@pytest.fixture
def desk(database_url: str) -> Iterator[World]:
    world = World(database_url, policy={"cash_needs_shift": True})
    for login, role in (("lena", "cashier"), ("paul", "cashier"), ("mia", "manager")):
        world.run(lambda tx, login=login, role=role: staff.add_staff(tx, login=login, name=login.title(), role=role))  # type: ignore[misc]
    world.service("VIS", price="40.00")
    yield world
    books_balance(world)
    world.dispose()


def books_balance(world: World) -> None:
    entries = select(func.sum(JournalLine.amount_minor)).group_by(JournalLine.action_id, JournalLine.kind)
    assert set(world.read(lambda tx: tx.session.scalars(entries).all())) <= {0}


def opened(world: World, login: str = "lena", drawer: str = "front", float_minor: int = 10_000) -> shifts.ShiftRow:
    return world.run(lambda tx: shifts.open_shift(tx, drawer=drawer, float_minor=float_minor), actor=login)


def closed(world: World, login: str = "lena", **count: Any) -> shift_report.ShiftReport:
    return world.run(lambda tx: shifts.close_shift(tx, **{"counted": {}, **count}), actor=login)


def cash_in(world: World, shift_id: str) -> int:
    cash = select(func.sum(JournalLine.amount_minor)).where(JournalLine.shift_id == shift_id, JournalLine.account == "cash")
    return int(world.read(lambda tx: tx.session.scalar(cash)) or 0)


def test_cash_moves_only_in_ones_own_open_shift(desk: World) -> None:
    invoice = desk.invoice("VIS").id

    with pytest.raises(NoShift, match="lena has no open shift") as refusal:
        desk.pay(invoice, "cash 50", actor="lena")
    opened(desk, "paul")
    with pytest.raises(NoShift):
        desk.pay(invoice, "cash 50", actor="lena")
    shift = opened(desk, drawer="back")
    desk.pay(invoice, "cash 50", actor="lena")

    assert refusal.value.code == "no_shift"
    assert desk.read(lambda tx: tx.session.scalars(select(Payment.shift_id)).all()) == [shift.id]
    assert cash_in(desk, shift.id) == 10_000 + 4_000


def test_card_needs_no_shift_and_joins_one_that_is_open(desk: World) -> None:
    desk.pay(desk.invoice("VIS").id, "card 40", actor="lena")
    shift = opened(desk)
    desk.pay(desk.invoice("VIS").id, "card 40", actor="lena")

    assert desk.read(lambda tx: tx.session.scalars(select(Payment.shift_id).order_by(Payment.id)).all()) == [None, shift.id]


def test_policy_may_let_cash_move_without_a_shift(world: World) -> None:
    world.service("VIS", price="40.00")

    assert world.pay(world.invoice("VIS").id, "cash 50").change_minor == 1_000


def test_cashier_and_drawer_have_one_open_shift(desk: World) -> None:
    first = opened(desk)

    with pytest.raises(CashierHasShift) as twice:
        opened(desk, drawer="back")
    with pytest.raises(DrawerTaken):
        opened(desk, "paul")
    closed(desk, counted={10_000: 1})
    again = opened(desk)

    assert twice.value.facts == {"shift": first.id}
    assert again.id != first.id


@pytest.mark.parametrize("float_minor", [-1, 10**17])
def test_float_that_cannot_be_is_refused(desk: World, float_minor: int) -> None:
    with pytest.raises(BadCount):
        opened(desk, float_minor=float_minor)


def test_closing_books_the_difference_and_empties_the_drawer(desk: World) -> None:
    shift = opened(desk)
    desk.pay(desk.invoice("VIS").id, "cash 50", actor="lena")
    desk.pay(desk.invoice("VIS").id, "card 40", actor="lena")

    report = closed(desk, counted={5_000: 2, 1_000: 3, 50: 19}, other={"card": 4_100})

    assert report.expected == {"cash": 14_000, "card": 4_000}
    assert report.counted == {"cash": 13_950, "card": 4_100}
    assert report.differences == {"cash": -50, "card": 100}
    assert (report.receipts, report.first_receipt, report.last_receipt) == (2, "R-2026-00001", "R-2026-00002")
    counts = desk.read(lambda tx: {row.method: row.difference_minor for row in tx.session.scalars(select(ShiftCount))})
    assert counts == {"cash": -50, "card": 100}
    assert cash_in(desk, shift.id) == 0
    lines = select(JournalLine.account, func.sum(JournalLine.amount_minor)).group_by(JournalLine.account)
    balances = {account: int(amount) for account, amount in desk.read(lambda tx: tx.session.execute(lines).all())}
    assert balances["safe"] == -10_000 + 13_950
    assert balances["shift_difference"] == 50 - 100


def test_method_that_was_not_counted_is_taken_as_it_should_be_and_cash_never_is(desk: World) -> None:
    opened(desk)
    desk.pay(desk.invoice("VIS").id, "card 40", actor="lena")

    report = closed(desk)

    assert report.differences == {"cash": -10_000, "card": 0}


@pytest.mark.parametrize(
    "count", [{"counted": {0: 1}}, {"counted": {-5: 1}}, {"counted": {5: -1}}, {"counted": {}, "other": {"voucher": 5}}]
)
def test_count_that_cannot_be_is_refused(desk: World, count: dict[str, Any]) -> None:
    opened(desk)

    with pytest.raises(BadCount):
        closed(desk, **count)


def test_closed_shift_is_never_opened_again(desk: World) -> None:
    shift = opened(desk)
    closed(desk, counted={10_000: 1})

    with pytest.raises(ShiftIsClosed):
        closed(desk, "mia", shift_id=shift.id)
    with pytest.raises(UnknownShift):
        closed(desk)
    with pytest.raises(UnknownShift):
        closed(desk, "mia", shift_id="01900000-0000-7000-8000-000000000000")
    with pytest.raises(NoShift):
        desk.pay(desk.invoice("VIS").id, "cash 50", actor="lena")


def test_shift_that_is_closed_under_an_act_refuses_it(desk: World) -> None:
    """The act began while the shift was open; what it writes finds it closed."""
    shift = opened(desk)
    closed(desk, counted={10_000: 1})

    with pytest.raises(ShiftClosed, match="closed in the meantime"):
        desk.run(lambda tx: join(tx, shift.id))


def test_manager_closes_the_shift_of_somebody_who_left(desk: World) -> None:
    shift = opened(desk)

    with pytest.raises(NotYourShift):
        closed(desk, "paul", shift_id=shift.id)
    report = closed(desk, "mia", shift_id=shift.id, counted={10_000: 1})

    assert report.differences == {"cash": 0}
    assert desk.read(lambda tx: tx.session.scalars(select(Shift.cashier)).all()) == ["Lena"]


def test_cash_is_paid_in_and_out_with_a_reason(desk: World) -> None:
    shift = opened(desk)

    desk.run(lambda tx: cash_moves.pay_in(tx, amount_minor=2_000, reason="change from the bank"), actor="lena")
    desk.run(lambda tx: cash_moves.pay_out_cash(tx, amount_minor=500, reason="stamps"), actor="lena")
    with pytest.raises(DrawerTooLow) as too_much:
        desk.run(lambda tx: cash_moves.pay_out_cash(tx, amount_minor=11_501, reason="all of it"), actor="lena")
    with pytest.raises(BadCash):
        desk.run(lambda tx: cash_moves.pay_in(tx, amount_minor=0, reason="nothing"), actor="lena")
    with pytest.raises(NoShift):
        desk.run(lambda tx: cash_moves.pay_in(tx, amount_minor=1, reason="x"), actor="paul")

    assert cash_in(desk, shift.id) == 11_500
    assert too_much.value.facts == {"wanted_minor": 11_501}


def test_cash_that_is_handed_over_moves_when_it_is_accepted(desk: World) -> None:
    lena, paul = opened(desk), opened(desk, "paul", "back", 0)

    offer = desk.run(lambda tx: cash_moves.hand_over(tx, to_login="paul", amount_minor=3_000, reason="change"), actor="lena")
    assert (cash_in(desk, lena.id), cash_in(desk, paul.id)) == (10_000, 0)
    with pytest.raises(HandOverOpen):
        closed(desk, counted={10_000: 1})
    with pytest.raises(HandOverOpen):
        closed(desk, "paul")
    with pytest.raises(NotYourMove):
        desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=True), actor="lena")
    desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=True), actor="paul")
    with pytest.raises(AnsweredAlready):
        desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=False), actor="paul")

    assert (cash_in(desk, lena.id), cash_in(desk, paul.id)) == (7_000, 3_000)
    assert closed(desk, counted={1_000: 7}).differences == {"cash": 0}
    assert closed(desk, "paul", counted={1_000: 3}).differences == {"cash": 0}


def test_cash_that_is_refused_never_left(desk: World) -> None:
    lena = opened(desk)
    opened(desk, "paul", "back", 0)
    offer = desk.run(lambda tx: cash_moves.hand_over(tx, to_login="paul", amount_minor=3_000, reason="change"), actor="lena")

    desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=False), actor="paul")

    assert cash_in(desk, lena.id) == 10_000


@pytest.mark.parametrize("login", ["lena", "mia"])
def test_offer_is_taken_back_by_who_made_it_or_by_a_manager(desk: World, login: str) -> None:
    lena = opened(desk)
    opened(desk, "paul", "back", 0)
    offer = desk.run(lambda tx: cash_moves.hand_over(tx, to_login="paul", amount_minor=3_000, reason="change"), actor="lena")

    with pytest.raises(NotYourMove):
        desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=True), actor="mia")
    ended = desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=False), actor=login)

    assert ended.status == "refused"
    assert cash_in(desk, lena.id) == 10_000
    assert closed(desk, counted={10_000: 1}).differences == {"cash": 0}


def test_cash_goes_to_somebody_who_has_a_shift(desk: World) -> None:
    opened(desk)

    for login in ("paul", "lena", "nobody"):
        with pytest.raises(NoSuchReceiver):
            desk.run(lambda tx, login=login: cash_moves.hand_over(tx, to_login=login, amount_minor=1, reason="x"), actor="lena")  # type: ignore[misc]
    with pytest.raises(UnknownMove):
        desk.run(lambda tx: cash_moves.answer_hand_over(tx, move_id="x", accept=True), actor="lena")


def test_own_open_shift_is_counted_blind(desk: World) -> None:
    shift = opened(desk)
    desk.pay(desk.invoice("VIS").id, "cash 50", actor="lena")

    own = desk.read(shift_report.read_shift_report, actor="lena")
    managers = desk.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift.id), actor="mia")
    with pytest.raises(NoSuchReport):
        desk.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift.id), actor="paul")

    assert (own.expected, own.moves, own.receipts) == (None, (), 1)
    assert managers.expected == {"cash": 14_000}


def test_report_is_kept_as_it_was(desk: World) -> None:
    shift = opened(desk)
    desk.pay(desk.invoice("VIS").id, "cash 50", actor="lena")
    made = closed(desk, counted={5_000: 2, 1_000: 4})
    desk.pay(desk.invoice("VIS").id, "card 40", actor="lena")

    again = desk.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift.id), actor="mia")

    assert again == made


def test_report_is_printed_as_text_and_as_a_page(desk: World) -> None:
    shift = opened(desk)
    desk.pay(desk.invoice("VIS").id, "cash 50", actor="lena")
    closed(desk, counted={5_000: 2, 1_000: 3})

    text = desk.read(lambda tx: z_report.print_shift_report(tx, shift_id=shift.id), actor="lena").content
    page = desk.read(lambda tx: z_report.print_shift_report(tx, shift_id=shift.id, form="html"), actor="lena").content

    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "Z-REPORT",
        "Float (1) 100.00",
        "Payments (1) 40.00",
        "Cash, expected 140.00",
        "Cash, counted 130.00",
        "Cash, difference -10.00",
    ):
        assert line in lines
    assert max(map(len, text.splitlines())) <= 42
    assert "<h1>Z-REPORT</h1>" in page
    assert "-10.00" in page


def test_lists_show_ones_own_shifts_and_managers_all(desk: World) -> None:
    opened(desk)
    opened(desk, "paul", "back")

    assert [row.cashier for row in desk.read(shifts.list_shifts, actor="lena")] == ["Lena"]
    assert [row.cashier for row in desk.read(shifts.list_shifts, actor="mia")] == ["Paul", "Lena"]
    first = desk.read(lambda tx: shifts.list_shifts(tx, limit=1), actor="mia")
    assert [row.cashier for row in desk.read(lambda tx: shifts.list_shifts(tx, after=first[0]), actor="mia")] == ["Lena"]
