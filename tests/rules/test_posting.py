"""Entries balance, whatever is booked, and credit notes take back what was billed."""

from hypothesis import given
from hypothesis import strategies as st

from billing.rules import posting
from billing.rules.posting import Line, Part
from billing.rules.tenders import CORE_METHODS, Method

AMOUNT = st.integers(0, 10**9)


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        taxable, tax = draw(AMOUNT), draw(AMOUNT)
        department, group = draw(st.sampled_from(["a", "b"])), draw(st.sampled_from([("S", 1900), ("S", 700), ("E", 0)]))
        found.append(Part(department, *group, taxable, tax, draw(AMOUNT), draw(st.integers(0, taxable + tax))))
    return found


def balance(lines: list[Line], account: str) -> int:
    return sum(line.amount_minor for line in lines if line.account == account)


@given(parts())
def test_what_is_billed_balances_and_each_account_stands_once(billed: list[Part]) -> None:
    lines = posting.issued(billed, client_id="c", payer_id="p")

    assert sum(line.amount_minor for line in lines) == 0
    assert len({line.account for line in lines}) == len(lines)
    assert all(line.amount_minor for line in lines)
    assert balance(lines, "receivable:payer") == sum(each.payer_minor for each in billed)
    assert balance(lines, "receivable:client") + balance(lines, "receivable:payer") == sum(p.taxable_minor + p.tax_minor for p in billed)
    assert balance(lines, "revenue:a") + balance(lines, "discount:a") == -sum(p.taxable_minor for p in billed if p.department == "a")
    assert balance(lines, "tax:S:1900") == -sum(p.tax_minor for p in billed if p.tax_rate_bp == 1900)


@given(parts())
def test_credit_note_of_everything_leaves_nothing(billed: list[Part]) -> None:
    both = [*posting.issued(billed, client_id="c", payer_id="p"), *posting.credited(billed, client_id="c", payer_id="p")]

    assert posting.merged(both) == []


@given(st.integers(0, 10**6), st.integers(-2, 2), AMOUNT)
def test_payment_and_its_refund_balance_and_leave_nothing(cash: int, rounding: int, card: int) -> None:
    received = [("cash", cash), ("method:card", card)]
    applied = cash + card - rounding

    taken = posting.paid(received, applied_minor=applied, rounding_minor=rounding, client_id="c", shift_id="s")
    back = posting.refunded(received, refunded_minor=applied, rounding_minor=rounding, client_id="c", shift_id="s")

    assert sum(line.amount_minor for line in taken) == 0
    assert posting.merged([*taken, *back]) == []


def test_lines_say_whose_money_it_is() -> None:
    received = [("cash", 500), ("wallet", 300)]
    lines = posting.paid(received, applied_minor=799, rounding_minor=1, client_id="c", shift_id="s")

    assert lines == [
        Line("cash", 500, shift_id="s"),
        Line("wallet", 300, client_id="c"),
        Line("receivable:client", -799, client_id="c"),
        Line("rounding", -1),
    ]


def test_wallet_cash_and_claims_are_booked() -> None:
    assert posting.topped_up([("cash", 505)], amount_minor=503, rounding_minor=2, client_id="c", shift_id="s") == [
        Line("cash", 505, shift_id="s"),
        Line("wallet", -503, client_id="c"),
        Line("rounding", -2),
    ]
    assert posting.written_off(7, client_id="c") == [Line("write_off", 7), Line("receivable:client", -7, client_id="c")]
    assert posting.claimed(-7, client_id="c", payer_id="p") == [
        Line("receivable:payer", -7, payer_id="p"),
        Line("receivable:client", 7, client_id="c"),
    ]
    assert posting.claim_paid("method:transfer", 9, payer_id="p") == [
        Line("method:transfer", 9),
        Line("receivable:payer", -9, payer_id="p"),
    ]
    assert posting.cash_moved(5, to="cash", out_of="cash", to_shift="a", from_shift="b") == [
        Line("cash", 5, shift_id="a"),
        Line("cash", -5, shift_id="b"),
    ]
    assert posting.cash_moved(0, to="cash", out_of="safe") == []


def test_account_of_a_method() -> None:
    assert posting.account_of(CORE_METHODS["cash"]) == "cash"
    assert posting.account_of(CORE_METHODS["card"]) == "method:card"
    assert posting.account_of(Method("wallet", moves_wallet=True)) == "wallet"


def test_discount_is_what_the_taxable_amount_was_lowered_by() -> None:
    item = {"allowance_minor": 100, "adjustment_minor": -19, "tax_rate_bp": 1900}

    assert posting.discount_of(item, prices_include_tax=False) == 119
    assert posting.discount_of(item, prices_include_tax=True) == 100
    assert posting.discount_of(item | {"adjustment_minor": 50}, prices_include_tax=False) == 100
