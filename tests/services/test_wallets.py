"""Wallets: topped up and paid out with a receipt, paid from and refunded to, never below nothing, and every move on the statement."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.model import JournalLine, Takings, Wallet, WalletMove
from billing.rules.tenders import BadPaymentAmount, Overpaid, ReferenceMissing, UnknownMethod
from billing.services import approvals, clinics, doctor, reading, reversals, shifts, staff, wallets
from billing.services.approvals import ApprovalMissing
from billing.services.keys import KeyReused
from billing.services.patients import UnknownClient
from billing.services.tills import NoShift
from billing.services.wallet_rows import WalletTooLow
from billing.services.wallets import BadRange, WalletMoved
from billing.testing.world import World, tenders_of


@pytest.fixture
def desk(world: World) -> Iterator[World]:
    for login, role in (("lena", "cashier"), ("mia", "manager")):
        world.run(lambda tx, login=login, role=role: staff.add_staff(tx, login=login, name=login.title(), role=role))  # type: ignore[misc]
    world.service("VIS", price="40.00")
    yield world
    entries = select(func.sum(JournalLine.amount_minor)).group_by(JournalLine.action_id, JournalLine.kind)
    assert set(world.read(lambda tx: tx.session.scalars(entries).all())) <= {0}
    owed = select(func.sum(JournalLine.amount_minor)).where(JournalLine.account == "wallet")
    held, moved = select(func.sum(Wallet.balance_minor)), select(func.sum(WalletMove.amount_minor))
    sums = world.read(lambda tx: [tx.session.scalar(each) or 0 for each in (owed, held, moved)])
    assert sums == [-sums[1], sums[1], sums[1]]


def client_of(world: World, patient_id: str) -> str:
    from billing.services import patients

    found = world.read(lambda tx: patients.read_patient(tx, patient_id=patient_id).client_id)
    assert found is not None
    return found


def topped(world: World, client: str, tender: str, actor: str = "lena", **options: Any) -> WalletMoved:
    return world.run(lambda tx: wallets.top_up(tx, client_id=client, tender=tenders_of(tx, [tender])[0], **options), actor=actor)


def paid_out(world: World, client: str, amount: int, actor: str = "lena", **options: Any) -> WalletMoved:
    asked = {"method": "cash", "reason": "moves away"} | options
    return world.run(lambda tx: wallets.pay_out(tx, client_id=client, amount_minor=amount, **asked), actor=actor)


def balance(world: World, client: str) -> int:
    return world.read(lambda tx: wallets.read_wallet(tx, client_id=client)).balance_minor


def books(world: World) -> dict[str, int]:
    lines = select(JournalLine.account, func.sum(JournalLine.amount_minor)).group_by(JournalLine.account)
    return {account: int(amount) for account, amount in world.read(lambda tx: tx.session.execute(lines).all()) if amount}


def test_top_up_has_a_receipt_of_the_receipts_series_and_gives_change(desk: World) -> None:
    client = client_of(desk, desk.patient())

    first = topped(desk, client, "transfer 30.00 T-1", reason="deposit")
    second = topped(desk, client, "cash 50", amount_minor=2_000)
    receipt = desk.pay(desk.invoice("VIS").id, "cash 40", actor="lena").receipt_number

    assert (first.receipt_number, second.receipt_number, receipt) == ("R-2026-00001", "R-2026-00002", "R-2026-00003")
    assert (second.amount_minor, second.change_minor) == (2_000, 3_000)
    assert balance(desk, client) == 5_000
    assert books(desk)["wallet"] == -5_000
    assert books(desk)["method:transfer"] == 3_000
    taken = desk.read(lambda tx: tx.session.execute(select(Takings.method, Takings.amount_minor).where(Takings.kind == "top_up")).all())
    assert sorted(map(tuple, taken)) == [("cash", 2_000), ("transfer", 3_000)]


def test_cash_is_rounded_and_the_rounding_is_its_own_amount(world: World) -> None:
    world.found("alps", currency="CHF", time_zone="Europe/Zurich")
    world.clinic = "alps"
    client = client_of(world, world.patient())

    moved = topped(world, client, "cash 15", actor=world.actor, amount_minor=1_337)
    out = paid_out(world, client, 1_337, actor=world.actor)

    assert (moved.amount_minor, moved.rounding_minor, moved.change_minor) == (1_337, -2, 165)
    assert (out.amount_minor, out.tendered_minor, out.rounding_minor) == (-1_337, 1_335, -2)
    assert balance(world, client) == 0
    assert books(world) == {}


def test_top_up_under_a_key_is_done_once(desk: World) -> None:
    client = client_of(desk, desk.patient())

    first = topped(desk, client, "cash 20", key="k")
    again = topped(desk, client, "cash 20", key="k")
    with pytest.raises(KeyReused):
        topped(desk, client, "cash 21", key="k")

    assert (again.id, again.replayed, again.receipt_number) == (first.id, True, first.receipt_number)
    assert balance(desk, client) == 2_000


@pytest.mark.parametrize(
    ("tender", "amount", "refusal"),
    [
        ("cash 0", None, BadPaymentAmount),
        ("cash 20", 0, BadPaymentAmount),
        ("cash 20", -100, BadPaymentAmount),
        ("card 20", 1_000, Overpaid),
        ("wallet 20", None, UnknownMethod),
    ],
)
def test_top_up_that_cannot_be_is_refused(desk: World, tender: str, amount: int | None, refusal: type[Exception]) -> None:
    client = client_of(desk, desk.patient())

    with pytest.raises(refusal):
        topped(desk, client, tender, amount_minor=amount)

    assert balance(desk, client) == 0


def test_nobody_else_has_a_wallet(desk: World) -> None:
    for client in ("nobody", "00000000-0000-0000-0000-00000000dead"):
        with pytest.raises(UnknownClient):
            topped(desk, client, "cash 20")
        with pytest.raises(UnknownClient):
            desk.read(lambda tx, client=client: wallets.read_wallet(tx, client_id=client))  # type: ignore[misc]


def test_cash_goes_in_and_out_of_ones_own_shift(database_url: str) -> None:
    world = World(database_url, policy={"cash_needs_shift": True})
    client = client_of(world, world.patient())

    with pytest.raises(NoShift):
        topped(world, client, "cash 20", actor=world.actor)
    shift = world.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0))
    topped(world, client, "cash 20", actor=world.actor)
    paid_out(world, client, 500, actor=world.actor)

    cash = select(func.sum(JournalLine.amount_minor)).where(JournalLine.shift_id == shift.id, JournalLine.account == "cash")
    assert world.read(lambda tx: tx.session.scalar(cash)) == 1_500
    world.dispose()


def test_wallet_pays_together_with_other_methods_and_never_below_nothing(desk: World) -> None:
    patient = desk.patient()
    client = client_of(desk, patient)
    topped(desk, client, "card 30")
    made = desk.invoice("VIS", patient_id=patient)
    other = desk.invoice("VIS", patient_id=patient)

    with pytest.raises(WalletTooLow) as short:
        desk.pay(made.id, "wallet 40", actor="lena")
    with pytest.raises(WalletTooLow):
        desk.pay(desk.invoice("VIS").id, "wallet 40", actor="lena")
    paid = desk.pay(made.id, "wallet 30", "cash 20", actor="lena")
    with pytest.raises(WalletTooLow):
        desk.pay(other.id, "wallet 40", actor="lena")

    assert short.value.code == "wallet_too_low"
    assert (paid.change_minor, paid.status) == (1_000, "paid")
    assert balance(desk, client) == 0
    moves = desk.read(lambda tx: tx.session.execute(select(WalletMove.kind, WalletMove.amount_minor, WalletMove.action_id)).all())
    assert ("payment", -3_000, paid.id) in [tuple(row) for row in moves]


def test_wallet_gives_no_change(desk: World) -> None:
    patient = desk.patient()
    topped(desk, client_of(desk, patient), "card 100")

    with pytest.raises(Overpaid):
        desk.pay(desk.invoice("VIS", patient_id=patient).id, "wallet 50", actor="lena")


def test_pay_out_needs_somebody_elses_consent_and_money_that_is_there(desk: World) -> None:
    client = client_of(desk, desk.patient())
    topped(desk, client, "card 30")

    with pytest.raises(ApprovalMissing):
        paid_out(desk, client, 1_000)
    desk.run(
        lambda tx: approvals.give_approval(tx, permission="payments.refund", subject_id=client, reason="moves away", most_minor=1_000),
        actor="mia",
    )
    with pytest.raises(ApprovalMissing):
        paid_out(desk, client, 1_001)
    out = paid_out(desk, client, 1_000)
    with pytest.raises(ApprovalMissing):
        paid_out(desk, client, 1_000)
    with pytest.raises(WalletTooLow):
        paid_out(desk, client, 2_001, actor="mia")
    paid_out(desk, client, 2_000, actor="mia", method="transfer", reference="T-9")

    assert (out.amount_minor, out.receipt_number) == (-1_000, "R-2026-00002")
    assert balance(desk, client) == 0
    assert books(desk) == {"method:card": 3_000, "cash": -1_000, "method:transfer": -2_000}


def test_second_person_is_asked_of_the_manager_too(desk: World) -> None:
    client = client_of(desk, desk.patient())
    topped(desk, client, "card 30")
    desk.run(lambda tx: clinics.update_clinic(tx, changes={"policy": {"second_person": True}}))

    with pytest.raises(ApprovalMissing):
        paid_out(desk, client, 1_000, actor="mia")


def test_policy_asks_for_references_of_methods(desk: World) -> None:
    patient = desk.patient()
    client = client_of(desk, patient)
    desk.run(lambda tx: clinics.update_clinic(tx, changes={"policy": {"reference_for": ["transfer", "nothing"]}}))
    made = desk.invoice("VIS", patient_id=patient)

    for act in (lambda: desk.pay(made.id, "transfer 40", actor="lena"), lambda: topped(desk, client, "transfer 40")):
        with pytest.raises(ReferenceMissing):
            act()

    assert desk.pay(made.id, "transfer 40 T-1", actor="lena").status == "paid"
    seen = desk.read(lambda tx: reading.read_invoice(tx, invoice=made.id))
    assert seen.payments[0].receipt_number == "R-2026-00001"


def test_statement_goes_from_the_balance_before_to_the_balance_after(desk: World) -> None:
    patient = desk.patient()
    client = client_of(desk, patient)
    days = [datetime(2026, 3, day, 9, tzinfo=UTC) for day in (1, 2, 3)]
    for at, amount in zip(days, ("10", "20", "30"), strict=True):
        desk.run(lambda tx, amount=amount: wallets.top_up(tx, client_id=client, tender=tenders_of(tx, [f"card {amount}"])[0]), at=at)  # type: ignore[misc]
    desk.pay(desk.invoice("VIS", patient_id=patient).id, "wallet 40")

    whole = desk.read(lambda tx: wallets.wallet_statement(tx, client_id=client))
    part = desk.read(lambda tx: wallets.wallet_statement(tx, client_id=client, from_date=date(2026, 3, 2), until_date=date(2026, 3, 2)))
    with pytest.raises(BadRange):
        desk.read(lambda tx: wallets.wallet_statement(tx, client_id=client, from_date=date(2026, 3, 2), until_date=date(2026, 3, 1)))

    assert [(line.kind, line.amount_minor, line.balance_minor) for line in whole.lines] == [
        ("top_up", 1_000, 1_000),
        ("top_up", 2_000, 3_000),
        ("top_up", 3_000, 6_000),
        ("payment", -4_000, 2_000),
    ]
    assert (whole.opening_minor, whole.closing_minor) == (0, 2_000)
    assert (part.opening_minor, [line.amount_minor for line in part.lines], part.closing_minor) == (1_000, [2_000], 3_000)


def test_what_is_refunded_or_voided_comes_back_into_the_wallet(desk: World) -> None:
    patient = desk.patient()
    client = client_of(desk, patient)
    topped(desk, client, "card 60")
    desk.run(lambda tx: shifts.open_shift(tx, drawer="front", float_minor=0), actor="mia")
    desk.run(lambda tx: shifts.open_shift(tx, drawer="back", float_minor=0), actor="lena")
    by_cash, by_wallet = (desk.invoice("VIS", patient_id=patient) for _ in range(2))
    desk.pay(by_cash.id, "cash 40", actor="lena")
    paid = desk.pay(by_wallet.id, "wallet 40", actor="lena")

    desk.run(
        lambda tx: reversals.refund_items(
            tx, invoice_id=by_cash.id, items=[reversals.Returned(by_cash.item_ids[0])], reason="returned", to="wallet"
        ),
        actor="mia",
    )
    desk.run(lambda tx: reversals.void_payment(tx, payment_id=paid.id, reason="wrong client"), actor="mia")

    seen = desk.read(lambda tx: wallets.wallet_statement(tx, client_id=client))
    assert [(line.kind, line.amount_minor, line.balance_minor) for line in seen.lines] == [
        ("top_up", 6_000, 6_000),
        ("payment", -4_000, 2_000),
        ("refund", 4_000, 6_000),
        ("void", 4_000, 10_000),
    ]
    assert desk.read(doctor.examine).broken == ()
