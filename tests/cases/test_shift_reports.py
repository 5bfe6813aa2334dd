"""Shift reports: what a cashier is held to is what the payments of the shift come to, method by method, to the cent."""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from billing.model import JournalLine, Payment, Reversal, ReversalTender, Tender
from billing.rules.tenders import Tender as Handed
from billing.services import approvals, cash_moves, reversals, shift_report, shifts, wallets, z_report
from billing.services.shift_report import ShiftReport
from billing.transaction import Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


def _open(world: "CaseWorld", login: str = "c1", drawer: str = "front", float_minor: int = 10_000) -> str:
    return world.run(lambda tx: shifts.open_shift(tx, drawer=drawer, float_minor=float_minor), actor=login).id


def _close(world: "CaseWorld", login: str = "c1", **count: Any) -> ShiftReport:
    return world.run(lambda tx: shifts.close_shift(tx, **{"counted": {}, **count}), actor=login)


def _by_documents(tx: Transaction, shift_id: str) -> dict[str, int]:
    """Sum up what documents say of a shift: tenders, less change, less what went back; and no line of the journal."""
    found: Counter[str] = Counter()
    taken = select(Tender.method, func.sum(Tender.amount_minor)).join(
        Payment, (Payment.clinic_id == Tender.clinic_id) & (Payment.id == Tender.payment_id)
    )
    for method, amount in tx.session.execute(taken.where(Payment.shift_id == shift_id).group_by(Tender.method)):
        found[method] += int(amount)
    change = select(func.coalesce(func.sum(Payment.change_minor), 0)).where(Payment.shift_id == shift_id)
    found["cash"] -= int(tx.session.scalars(change).one())
    back = select(ReversalTender.method, func.sum(ReversalTender.amount_minor)).join(
        Reversal, (Reversal.clinic_id == ReversalTender.clinic_id) & (Reversal.id == ReversalTender.reversal_id)
    )
    for method, amount in tx.session.execute(back.where(Reversal.shift_id == shift_id).group_by(ReversalTender.method)):
        found[method] -= int(amount)
    return {method: amount for method, amount in found.items() if amount}


def _in_the_journal(tx: Transaction, shift_id: str) -> dict[str, int]:
    lines = select(JournalLine.account, func.sum(JournalLine.amount_minor)).where(JournalLine.shift_id == shift_id)
    return {account.removeprefix("method:"): int(amount) for account, amount in tx.session.execute(lines.group_by(JournalLine.account))}


@pytest.fixture
def till(world: "CaseWorld") -> "CaseWorld":
    world.choose(cash_needs_shift=True)
    return world


@pytest.mark.case("P73")
def test_shift_report_is_its_payments_and_what_the_drawer_should_hold(till: "CaseWorld") -> None:
    """hmislk/hmis#4993: one bill was counted twice in the cashier's summary."""
    shift = _open(till)
    till.pay(till.n1().id, "cash 100", "transfer 54 T-1", actor="c1")  # exact
    till.pay(till.n1().id, "cash 200", actor="c1")  # 46.00 change
    void = till.pay(till.n1().id, "card 54 C-1", "cash 120", actor="c1")  # 20.00 change, and then it was the wrong client
    till.run(lambda tx: approvals.give_approval(tx, permission="payments.void", subject_id=void.id, reason="wrong client"), actor="m1")
    till.run(lambda tx: reversals.void_payment(tx, payment_id=void.id, reason="wrong client"), actor="c1")
    bill = till.n1()
    till.pay(bill.id, "cash 70", scope="pharmacy", actor="c1")  # 66.00 and 4.00 change
    item = next(each for each in till.seen(bill.id).items if each.department == "pharmacy")
    till.run(lambda tx: approvals.give_approval(tx, permission="payments.refund", subject_id=bill.id, reason="one box"), actor="m1")
    back = [reversals.Returned(item.id, 1000)]
    till.run(lambda tx: reversals.refund_items(tx, invoice_id=bill.id, items=back, reason="one box", to="cash"), actor="c1")
    till.run(lambda tx: cash_moves.pay_in(tx, amount_minor=500, reason="coins"), actor="c1")
    till.run(lambda tx: cash_moves.pay_out_cash(tx, amount_minor=250, reason="stamps"), actor="c1")

    documents = till.read(lambda tx: _by_documents(tx, shift))
    journal = till.read(lambda tx: _in_the_journal(tx, shift))
    report = _close(till, counted={10_000: 3, 1_000: 8, 50: 1})

    assert documents == {"cash": 10_000 + 15_400 + 6_600 - 3_300, "transfer": 5_400}
    assert journal == {"card": 0, "transfer": 5_400, "cash": 10_000 + documents["cash"] + 500 - 250}
    assert report.expected == journal
    assert report.differences == {"cash": 38_050 - journal["cash"], "transfer": 0, "card": 0}
    assert report.receipts == 4
    assert [(each["kind"], each["refunded_minor"], each["reason"]) for each in report.reversals] == [
        ("void", 15_400, "wrong client"),
        ("refund", 3_300, "one box"),
    ]


@pytest.mark.case("P73")
def test_three_forms_of_the_report_say_the_same_and_never_change(till: "CaseWorld", asked: Any) -> None:
    shift = _open(till)
    till.pay(till.n1().id, "cash 200", actor="c1")
    _close(till, counted={10_000: 2, 5_000: 1})

    def forms() -> tuple[str, str, Any]:
        def of(form: str) -> str:
            return till.read(lambda tx: z_report.print_shift_report(tx, shift_id=shift, form=form)).content

        return of("text"), of("html"), asked("shift", "report", shift)

    text, page, data = forms()
    _open(till, float_minor=7_777)
    till.pay(till.n1().id, "cash 154", actor="c1")

    assert forms() == (text, page, data)
    assert (data["expected"], data["counted"]) == ({"cash": 25_400}, {"cash": 25_000})
    for amount in ("254.00", "250.00", "-4.00", "154.00", "100.00"):
        assert amount in text
        assert amount in page.replace("\N{MINUS SIGN}", "-")


@pytest.mark.case("P73")
def test_each_act_is_in_one_shift_only(till: "CaseWorld") -> None:
    """hmislk/hmis#4993: one bill was counted twice in the cashier's summary."""
    first, second = _open(till), _open(till, "c2", "back", 0)
    till.pay(till.n1().id, "cash 154", actor="c1")
    till.pay(till.n1().id, "cash 160", actor="c2")
    offer = till.run(lambda tx: cash_moves.hand_over(tx, to_login="c2", amount_minor=5_000, reason="change"), actor="c1")
    till.run(lambda tx: cash_moves.answer_hand_over(tx, move_id=offer.id, accept=True), actor="c2")

    own, other = _close(till, counted={100: 204}), _close(till, "c2", counted={100: 204})

    assert (own.expected, other.expected) == ({"cash": 10_000 + 15_400 - 5_000}, {"cash": 15_400 + 5_000})
    assert (own.receipts, other.receipts) == (1, 1)
    assert own.first_receipt != other.first_receipt
    for shift in (first, second):
        assert till.read(lambda tx, shift=shift: _by_documents(tx, shift)) == {"cash": 15_400}  # type: ignore[misc]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["cash", "card", "mixed", "part", "void", "refund", "top up", "pay in", "pay out"]),
        st.integers(0, 99),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.case("P73")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_whatever_happens_in_a_shift_it_is_held_to_what_happened(sqlite_till: "CaseWorld", acts: list[tuple[str, int, bool]]) -> None:
    world = sqlite_till
    shift = _open(world, world.actor)
    client = world.seen(world.n1().id).invoice.client_id
    paid: list[tuple[str, str]] = []
    topped = 0
    moved = 0
    for act, number, _ in acts:
        if act in {"cash", "card", "mixed", "part"}:
            bill = world.bill("GLU").id
            tender = {
                "cash": ["cash 50"],
                "card": ["card 44 C-1"],
                "mixed": ["card 4 C-1", "cash 45"],
                "part": [f"cash {number + 1}.0{number % 10}"],
            }
            if act == "part" and number > 40:
                continue
            taken = world.pay(bill, *tender[act], scope="ON_ACCOUNT" if act == "part" else "ALL", actor=world.actor)
            if act != "part":
                paid.append((bill, taken.id))
        elif act == "void" and paid:
            _, payment = paid.pop(number % len(paid))
            world.run(lambda tx, payment=payment: reversals.void_payment(tx, payment_id=payment, reason="wrong"), actor=world.actor)  # type: ignore[misc]
        elif act == "refund" and paid:
            bill, _ = paid.pop(number % len(paid))
            (item,) = world.seen(bill).items
            back = [reversals.Returned(item.id)]
            world.run(
                lambda tx, bill=bill, back=back: reversals.refund_items(tx, invoice_id=bill, items=back, reason="no", to="wallet"),  # type: ignore[misc]
                actor=world.actor,
            )
        elif act == "top up":
            handed = Handed("cash", 100 + number)
            world.run(partial(wallets.top_up, client_id=client, tender=handed), actor=world.actor)
            topped += 100 + number
        elif act in {"pay in", "pay out"}:
            verb = cash_moves.pay_in if act == "pay in" else cash_moves.pay_out_cash
            world.run(lambda tx, verb=verb, number=number: verb(tx, amount_minor=number + 1, reason="x"), actor=world.actor)  # type: ignore[misc]
            moved += number + 1 if act == "pay in" else -number - 1

    documents = Counter(world.read(lambda tx: _by_documents(tx, shift)))
    documents["cash"] += 10_000 + topped + moved
    seen = world.read(lambda tx: shift_report.read_shift_report(tx, shift_id=shift), actor="au")
    report = _close(world, world.actor)

    wallet = documents.pop("wallet", 0)
    assert wallet <= 0
    assert {method: amount for method, amount in (report.expected or {}).items() if amount} == {
        method: amount for method, amount in documents.items() if amount
    }
    assert seen.expected == report.expected


@pytest.fixture(scope="module")
def sqlite_till(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import shutil

    from tests.cases.conftest import CaseWorld

    path = tmp_path_factory.mktemp("till") / "billing.sqlite3"
    shutil.copyfile(sqlite_template, path)
    world = CaseWorld(f"sqlite:///{path}")
    world.choose(cash_needs_shift=True)
    yield world
    world.check_books()
    world.dispose()
