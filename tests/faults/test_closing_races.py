"""Who closes a shift or a month races those who book there, as processes: what was first is counted, what comes after is refused, nothing in between."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from billing.model import JournalLine, Payment, Period, Shift, ShiftCount
from billing.services import cash_moves, clinics, shifts, staff
from billing.testing.crew import Crew
from billing.testing.race import At, Bill, CloseMonth, CloseShift, HandOver, Pay
from billing.testing.world import World
from billing.transaction import Transaction

JANUARY = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def desk(world: World) -> World:
    world.run(lambda tx: clinics.update_clinic(tx, changes={"policy": {"cash_needs_shift": True}}))
    for login in ("lena", "paul"):
        world.run(lambda tx, login=login: staff.add_staff(tx, login=login, name=login.title(), role="cashier"))  # type: ignore[misc]
    world.service("VIS", price="44.00")
    return world


def _cash_of(world: World, shift_id: str) -> int:
    """Return what the shift's payments brought in cash, change taken off; every one of them was paid so."""
    applied = select(func.coalesce(func.sum(Payment.applied_minor), 0)).where(Payment.shift_id == shift_id)
    return int(world.read(lambda tx: tx.session.scalars(applied).one()))


def test_shift_is_closed_against_payments(desk: World, size: Callable[[int], int], told: Callable[..., None]) -> None:
    """Lena's logins at four tills pay in cash while one of them closes her shift."""
    patient, rounds, tills = desk.patient(), max(3, size(30)), 4
    counted = Counter[str | None]()

    with Crew(desk.url, tills + 1) as crew:
        for _ in range(rounds):
            shift = desk.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=10_000), actor="lena").id
            bills = [[desk.invoice("VIS", patient_id=patient).id for _ in range(4)] for _ in range(tills)]
            acts = [[Pay(bill, ("cash 50",)) for bill in own] for own in bills]

            *paid, (closed,) = crew.race([*acts, [CloseShift({100: 0})]], actors=["lena"])

            codes = Counter(outcome.code for own in paid for outcome in own)
            counted += codes
            assert set(codes) <= {None, "no_shift", "shift_closed"}
            assert closed.code is None
            assert _cash_of(desk, shift) == 4_400 * codes[None]
            assert closed.number == str(10_000 + 4_400 * codes[None])
            desk.read(_nothing_is_left_in_closed_drawers)

    told("F01", act="a shift closed against payments", rounds=rounds, paid=counted[None], refused=counted.total() - counted[None])


def test_only_one_closes_a_shift(desk: World, size: Callable[[int], int]) -> None:
    with Crew(desk.url, 4) as crew:
        for _ in range(max(3, size(20))):
            desk.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=5_000), actor="lena")

            codes = [outcome.code for (outcome,) in crew.race([[CloseShift({5_000: 1})]] * 4, actors=["lena"])]

            assert codes.count(None) == 1
            assert set(codes) <= {None, "shift_is_closed", "unknown_shift", "shift_closed"}

    differences = select(func.sum(ShiftCount.difference_minor))
    assert desk.read(lambda tx: tx.session.scalars(differences).one()) == 0


def test_cash_on_its_way_keeps_both_shifts_open_or_never_left(desk: World, size: Callable[[int], int]) -> None:
    """Lena offers Paul cash while he closes: either he must answer first, or there is nobody to offer it to."""
    with Crew(desk.url, 2) as crew:
        for _ in range(max(5, size(40))):
            desk.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=5_000), actor="lena")
            desk.run(lambda tx: shifts.open_shift(tx, drawer="back", float_minor=0), actor="paul")

            (offered,), (closed,) = crew.race([[HandOver("paul", 1_000)], [CloseShift({100: 0})]], actors=["lena", "paul"])

            assert (offered.code, closed.code) in {(None, "hand_over_open"), ("shift_closed", None), ("no_such_receiver", None)}
            if offered.code is None:
                desk.run(lambda tx, move=offered.id: cash_moves.answer_hand_over(tx, move_id=move or "", accept=True), actor="paul")  # type: ignore[misc]
                desk.run(lambda tx: shifts.close_shift(tx, counted={1_000: 1}), actor="paul")
            left = 4 if offered.code is None else 5
            desk.run(lambda tx, left=left: shifts.close_shift(tx, counted={1_000: left}), actor="lena")  # type: ignore[misc]
            desk.read(_nothing_is_left_in_closed_drawers)

    assert desk.read(lambda tx: tx.session.scalars(select(func.sum(ShiftCount.difference_minor))).one()) == 0


def test_month_is_closed_against_what_is_booked_there(world: World, size: Callable[[int], int], told: Callable[..., None]) -> None:
    world.service("VIS", price="44.00")
    patient, tills, each = world.patient(), 3, max(5, size(40))
    bills = [[world.invoice("VIS", patient_id=patient).id for _ in range(each)] for _ in range(tills)]
    acts: list[list[At | CloseMonth]] = [[At(JANUARY, Pay(bill, ("card 44 C-1",))) for bill in own] for own in bills]
    acts[0][1:1] = [At(JANUARY, Bill(patient, ("VIS",), issue=True))]

    with Crew(world.url, tills + 1) as crew:
        *booked, (closed,) = crew.race([*acts, [CloseMonth("2026-01")]])

    codes = Counter(outcome.code for own in booked for outcome in own)
    assert set(codes) <= {None, "period_closed"}
    assert closed.code is None
    stood = world.read(lambda tx: tx.session.scalars(select(Period.balances)).one())
    lines = select(JournalLine.account, func.sum(JournalLine.amount_minor)).group_by(JournalLine.account)
    assert {account: int(amount) for account, amount in world.read(lambda tx: tx.session.execute(lines).all())} == stood
    for own in booked:  # a till that was refused once is refused from then on
        refused = [outcome.code is not None for outcome in own]
        assert refused == sorted(refused)
    told("F01", act="a month closed against payments", booked=codes[None], refused=codes["period_closed"])


def _nothing_is_left_in_closed_drawers(tx: Transaction) -> None:
    left = (
        select(JournalLine.shift_id, func.sum(JournalLine.amount_minor))
        .join(Shift, (Shift.clinic_id == JournalLine.clinic_id) & (Shift.id == JournalLine.shift_id))
        .where(JournalLine.account == "cash", Shift.closed_at.is_not(None))
        .group_by(JournalLine.shift_id)
        .having(func.sum(JournalLine.amount_minor) != 0)
    )
    assert tx.session.execute(left).all() == []
