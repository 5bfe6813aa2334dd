"""One payment over several invoices: in their order, whole as long as the money lasts, and every cent is accounted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import Currency, currency, round_cash
from billing.rules.groups import Share, distribute
from billing.rules.tenders import CORE_METHODS, Method, Tender, Underpaid, UnknownMethod, check_tenders

EUR, CHF = currency("EUR"), currency("CHF")
METHODS = {**CORE_METHODS, "voucher": Method("voucher", gives_change=True)}


def shared(dues: list[int], *tenders: Tender, money: Currency = EUR) -> list[Share]:
    return distribute(dues, tenders, methods=METHODS, currency=money)


def test_exact_methods_are_used_up_before_cash_and_change_comes_with_the_last() -> None:
    shares = shared([4_000, 3_000, 2_000], Tender("cash", 6_000), Tender("card", 5_000, "C-1"))

    assert shares == [
        Share(0, (Tender("card", 4_000, "C-1"),)),
        Share(1, (Tender("cash", 2_000), Tender("card", 1_000, "C-1"))),
        Share(2, (Tender("cash", 4_000),)),
    ]


def test_first_invoice_that_is_not_covered_gets_the_rest_on_account() -> None:
    assert shared([4_000, 3_000, 2_000], Tender("card", 5_000)) == [
        Share(0, (Tender("card", 4_000),)),
        Share(1, (Tender("card", 1_000),), on_account_minor=1_000),
    ]
    assert shared([4_000, 3_000], Tender("card", 4_000)) == [Share(0, (Tender("card", 4_000),))]


def test_less_than_the_first_invoice_is_refused() -> None:
    with pytest.raises(Underpaid) as refusal:
        shared([4_000, 1_000], Tender("card", 3_999))

    assert refusal.value.facts == {"due_minor": 4_000, "tendered_minor": 3_999}


def test_unknown_method_is_refused() -> None:
    with pytest.raises(UnknownMethod):
        shared([4_000], Tender("shells", 4_000))


def test_each_receipt_rounds_its_own_cash() -> None:
    assert shared([1_337, 2_002], Tender("cash", 3_335), money=CHF) == [
        Share(0, (Tender("cash", 1_335),)),
        Share(1, (Tender("cash", 2_000),)),
    ]


_tenders = st.lists(
    st.builds(Tender, st.sampled_from(["cash", "card", "transfer", "voucher"]), st.integers(1, 20_000), st.sampled_from([None, "R-1"])),
    min_size=1,
    max_size=4,
)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=5), _tenders, st.sampled_from([EUR, CHF]))
def test_nothing_of_what_is_handed_over_is_lost_and_whole_shares_pay_their_invoice(
    dues: list[int], tenders: list[Tender], money: Currency
) -> None:
    try:
        shares = distribute(dues, tenders, methods=METHODS, currency=money)
    except Underpaid:
        return

    assert [share.invoice for share in shares] == list(range(len(shares)))
    assert sum(t.amount_minor for share in shares for t in share.tenders) <= sum(t.amount_minor for t in tenders)
    if shares[-1].on_account_minor is not None or len(shares) == len(dues):
        assert sum(t.amount_minor for share in shares for t in share.tenders) == sum(t.amount_minor for t in tenders)
    for share in shares[:-1]:
        assert share.on_account_minor is None
        checked = check_tenders(
            share.tenders,
            due_minor=dues[share.invoice],
            methods=METHODS,
            currency=money,
            on_account=False,
        )
        cash = sum(t.amount_minor for t in share.tenders if t.method == "cash")
        assert checked.change_minor == 0
        assert cash == (round_cash(dues[share.invoice] - sum(t.amount_minor for t in share.tenders) + cash, money) if cash else 0)
