"""Who takes cash and wants to keep some: each trick of the threat model that the desk stands against, tried as the one who would try it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from billing_laboratory.queries import worklist
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from billing.changes.failures import PeriodClosed
from billing.errors import BillingError, Forbidden
from billing.model import Payment, Shift, ShiftCount
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import balances, cash_moves, doctor, journal_export, payments, periods, shift_report, shifts
from billing.services.cash_moves import DrawerTooLow
from billing.services.shifts import NotYourShift, ShiftIsClosed
from billing.services.tills import NoShift
from billing.transaction import PermissionMissing, Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


@pytest.fixture
def till(world: "CaseWorld") -> "CaseWorld":
    world.choose(cash_needs_shift=True)
    return world


def _open(world: "CaseWorld", login: str, drawer: str = "front", float_minor: int = 10_000) -> str:
    return world.run(lambda tx: shifts.open_shift(tx, drawer=drawer, float_minor=float_minor), actor=login).id


def _refused(world: "CaseWorld", act: Callable[[Transaction], Any], login: str, at: datetime | None = None) -> BillingError:
    with pytest.raises(BillingError) as refusal:
        world.run(act, actor=login, at=at)
    return refusal.value


def test_t02_without_a_payment_nothing_leaves_and_nothing_is_tested(till: "CaseWorld") -> None:
    """Takes cash and never records it: then the client has nothing to fetch, and no sample is drawn."""
    bill = till.n1()
    before = till.stock()

    assert (before, till.read(worklist)) == (10_000, [])
    _open(till, "c1")
    till.pay(bill.id, "cash 154", actor="c1")

    assert till.stock() == before - 2_000
    assert len(till.read(worklist)) == 1


def test_t02_cashier_counts_before_anybody_tells_what_should_be_there(till: "CaseWorld") -> None:
    """Takes cash and never records it: who knows what the drawer should hold would take the rest before counting."""
    _open(till, "c1")
    till.pay(till.n1().id, "cash 200", actor="c1")

    seen = till.read(shift_report.read_shift_report, actor="c1")
    (listed,) = till.read(shifts.list_shifts, actor="c1")
    too_much = _refused(till, lambda tx: cash_moves.pay_out_cash(tx, amount_minor=10**9, reason="x"), "c1")
    books: list[Callable[[Transaction], Any]] = [balances.balances, journal_export.export_journal, doctor.examine]
    refused = [_refused(till, book, "c1") for book in books]

    assert (seen.expected, seen.moves, listed.difference_minor) == (None, (), None)
    assert isinstance(too_much, DrawerTooLow)
    assert too_much.facts == {"wanted_minor": 10**9}
    assert {type(each) for each in refused} == {PermissionMissing}
    report = till.run(lambda tx: shifts.close_shift(tx, counted={100: 254}), actor="c1")
    assert report.expected == {"cash": 25_400}


def test_t02_receipts_have_no_gap_in_which_a_payment_could_be_missing(till: "CaseWorld") -> None:
    _open(till, "c1")
    for _ in range(3):
        till.pay(till.n1().id, "cash 154", actor="c1")
    with pytest.raises(BillingError):
        till.pay(till.n1().id, "cash 1", actor="c1")  # too little: its number is not used up

    report = till.run(lambda tx: shifts.close_shift(tx, counted={100: 562}), actor="c1")

    numbers = till.read(lambda tx: tx.session.scalars(select(Payment.receipt_number).order_by(Payment.id)).all())
    assert [int(each.rsplit("-", 1)[1]) for each in numbers] == [1, 2, 3]
    assert (report.receipts, report.first_receipt, report.last_receipt) == (3, numbers[0], numbers[-1])


def test_t04_money_goes_into_no_shift_but_ones_own(till: "CaseWorld") -> None:
    """Hides a shortage in somebody else's session."""
    first = _open(till, "c1")

    assert isinstance(_refused(till, _paying(till, 15_400), "c2"), NoShift)
    other = _open(till, "c2", "back")
    till.pay(till.n1().id, "cash 154", actor="c2")
    foreign = [_refused(till, lambda tx: shifts.close_shift(tx, counted={}, shift_id=first), login) for login in ("c2", "v1", "au")]

    assert till.read(lambda tx: tx.session.scalars(select(Payment.shift_id)).all()) == [other]
    assert {each.http_status for each in foreign} == {403}
    assert isinstance(foreign[0], NotYourShift)
    assert isinstance(foreign[0], Forbidden)


def test_t04_what_was_counted_stays(till: "CaseWorld") -> None:
    """Hides a shortage by later entries, a second count, or another float."""
    shift = _open(till, "c1")
    till.pay(till.n1().id, "cash 154", actor="c1")
    till.run(lambda tx: shifts.close_shift(tx, counted={100: 204}), actor="c1")
    paying = _paying(till, 15_400)
    before = till.dump()

    again = _refused(till, lambda tx: shifts.close_shift(tx, counted={100: 254}, shift_id=shift), "c1")
    late = [
        _refused(till, lambda tx: cash_moves.pay_in(tx, amount_minor=5_000, reason="found"), "c1"),
        _refused(till, paying, "c1"),
    ]

    assert isinstance(again, ShiftIsClosed)
    assert {each.code for each in late} == {"no_shift"}
    after = till.dump()
    assert {name: after[name] for name in ("shift", "shift_count", "journal_line", "cash_move")} == {
        name: before[name] for name in ("shift", "shift_count", "journal_line", "cash_move")
    }
    assert till.read(lambda tx: tx.session.scalars(select(ShiftCount.difference_minor)).all()) == [-5_000]


def test_t04_application_itself_may_not_change_a_count(postgresql_world: "CaseWorld") -> None:
    world = postgresql_world
    shift = _open(world, "c1")
    world.run(lambda tx: shifts.close_shift(tx, counted={100: 99}), actor="c1")

    for statement in (
        "UPDATE shift_count SET counted_minor = expected_minor, difference_minor = 0",
        "DELETE FROM shift_count",
        "DELETE FROM shift",
        "UPDATE journal_line SET amount_minor = 1",
        "DELETE FROM journal_line",
        "DELETE FROM period",
    ):
        with pytest.raises(DBAPIError, match="permission denied"), world.database.engine.begin() as connection:
            connection.execute(text(statement))

    assert world.read(lambda tx: tx.session.scalars(select(Shift.id)).all()) == [shift]


def test_t05_only_a_right_of_its_own_gives_an_act_another_instant(till: "CaseWorld") -> None:
    """Moves money between shifts and months by its date."""
    _open(till, "c1")
    yesterday, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))

    for at in (yesterday, tomorrow):
        for login in ("c1", "m1", "ad"):
            refusal = _refused(till, _paying(till, 15_400), login, at)
            assert isinstance(refusal, PermissionMissing)
            assert refusal.facts["permission"] == "dates.backdate"


def test_t05_payment_before_its_shift_is_found_by_the_doctor(world_on: Callable[[str], "CaseWorld"], sqlite_url: str) -> None:
    """Moves money between shifts by its date: who may give dates is still found out."""
    world = world_on(sqlite_url)
    world.choose(cash_needs_shift=True)
    _open(world, world.actor)

    world.pay(world.n1().id, "cash 154", at=datetime.now(UTC) - timedelta(days=40))

    (check,) = world.read(lambda tx: doctor.examine(tx, only=["payment_in_its_shift"])).checks
    world.dispose()
    assert check.count == 1


def test_t05_closed_month_takes_nothing_more_from_anybody(till: "CaseWorld") -> None:
    january = datetime(2026, 1, 31, 22, 59, tzinfo=UTC)
    till.run(lambda tx: periods.close_period(tx, month="2026-01"), actor="m1")

    refusal = _refused(till, _paying(till, 15_400, "card"), till.actor, january)

    assert isinstance(refusal, PeriodClosed)
    assert refusal.http_status == 409
    for login in ("c1", "v1", "au", "ad"):
        assert isinstance(_refused(till, lambda tx: periods.close_period(tx, month="2026-02"), login), PermissionMissing)


def _paying(world: "CaseWorld", amount_minor: int, method: str = "cash") -> Callable[[Transaction], Any]:
    bill = world.n1().id
    return lambda tx: payments.take_payment(tx, invoice_id=bill, scope=Scope.all(), tenders=[Tender(method, amount_minor)])
