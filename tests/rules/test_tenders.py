"""Tenders: enough, too much, change, cash rounding, and money on account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError, Invalid, Refused
from billing.money import MAX_AMOUNT_MINOR, Currency, round_cash
from billing.rules.tenders import (
    CORE_METHODS,
    BadPaymentAmount,
    Method,
    Overpaid,
    ReferenceMissing,
    Tender,
    Tendered,
    Underpaid,
    UnknownMethod,
    check_tenders,
)

EURO = Currency("EUR", 2, 1)
FRANC = Currency("CHF", 2, 5)
YEN = Currency("JPY", 0, 1)
METHODS = {**CORE_METHODS, "cheque": Method("cheque", needs_reference=True), "voucher": Method("voucher", gives_change=True)}


def cash(amount_minor: int) -> Tender:
    return Tender("cash", amount_minor)


def card(amount_minor: int) -> Tender:
    return Tender("card", amount_minor)


def check(*tenders: Tender, due: int, currency: Currency = EURO, on_account: bool = False, applied: int | None = None) -> Tendered:
    return check_tenders(tenders, due_minor=due, methods=METHODS, currency=currency, on_account=on_account, applied_minor=applied)


def test_core_methods_say_what_they_may() -> None:
    cash_method = Method("cash", gives_change=True, rounds_cash=True)

    wallet_method = Method("wallet", moves_wallet=True)
    assert dict(CORE_METHODS) == {"cash": cash_method, "card": Method("card"), "transfer": Method("transfer"), "wallet": wallet_method}
    assert not any(method.needs_reference for method in CORE_METHODS.values())


# --- a scope's due --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cash", "card", "transfer", "voucher"])
def test_exact_amount_is_accepted_by_every_method(method: str) -> None:
    tendered = check(Tender(method, 15_400), due=15_400)

    assert tendered == Tendered(applied_minor=15_400, tendered_minor=15_400, change_minor=0, rounding_minor=0)


@pytest.mark.parametrize(
    ("tenders", "change"),
    [
        ([cash(20_000)], 4_600),
        ([card(10_000), cash(6_000)], 600),
        ([cash(6_000), card(10_000)], 600),
        ([cash(10_000), cash(10_000)], 4_600),
        ([card(15_399), cash(100)], 99),
        ([card(15_400), cash(100)], 100),
        ([Tender("voucher", 16_000)], 600),
        ([card(15_000), Tender("voucher", 300), cash(200)], 100),
    ],
)
def test_change_is_what_is_handed_over_above_the_due(tenders: list[Tender], change: int) -> None:
    tendered = check(*tenders, due=15_400)

    assert tendered.change_minor == change
    assert tendered.applied_minor == 15_400


@pytest.mark.parametrize(
    ("tenders", "given_minor"),
    [([cash(15_399)], 15_399), ([card(1)], 1), ([], 0), ([card(10_000), cash(5_000)], 15_000), ([Tender("transfer", 15_000)], 15_000)],
)
def test_less_than_due_is_refused_whatever_the_method(tenders: list[Tender], given_minor: int) -> None:
    with pytest.raises(Underpaid) as refusal:
        check(*tenders, due=15_400)

    assert refusal.value.code == "underpaid"
    assert (refusal.value.due_minor, refusal.value.tendered_minor) == (15_400, given_minor)


def test_underpaid_says_how_much_is_missing() -> None:
    with pytest.raises(Underpaid) as refusal:
        check(cash(15_000), due=15_400)

    assert refusal.value.sentence == "150.00 EUR is less than 154.00 EUR, which is due: take 4.00 EUR more, or a smaller amount on account."


@pytest.mark.parametrize(
    "tenders",
    [
        [card(15_401)],
        [Tender("transfer", 20_000)],
        [card(15_400), card(1)],
        [card(15_600), cash(100)],
        [card(15_500), Tender("voucher", 99)],
        [Tender("cheque", 15_401, "4711")],
    ],
)
def test_more_than_due_is_refused_where_it_can_not_be_given_back(tenders: list[Tender]) -> None:
    with pytest.raises(Overpaid, match="which is due, and this can't be given back as change") as refusal:
        check(*tenders, due=15_400)

    assert refusal.value.code == "overpaid"
    assert refusal.value.due_minor == 15_400
    assert refusal.value.tendered_minor == sum(tender.amount_minor for tender in tenders)


def test_sentences_have_the_digits_of_the_currency() -> None:
    with pytest.raises(Underpaid, match=r"^1200 JPY is less than 1240 JPY"):
        check(cash(1_200), due=1_240, currency=YEN)
    with pytest.raises(Underpaid, match=r"^1\.200 KWD is less than 1\.240 KWD"):
        check(cash(1_200), due=1_240, currency=Currency("KWD", 3, 1))


def test_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownMethod, match="card, cash, cheque, transfer, voucher") as refusal:
        check(Tender("shells", 100), due=100)

    assert refusal.value.code == "unknown_method"
    assert refusal.value.method == "shells"


@pytest.mark.parametrize("reference", [None, "", " \t"])
def test_method_that_needs_a_reference_is_refused_without(reference: str | None) -> None:
    with pytest.raises(ReferenceMissing) as refusal:
        check(Tender("cheque", 100, reference), due=100)

    assert refusal.value.code == "reference_missing"
    assert refusal.value.method == "cheque"


def test_method_that_needs_a_reference_is_accepted_with_one() -> None:
    assert check(Tender("cheque", 100, "4711"), due=100).applied_minor == 100


@pytest.mark.parametrize("amount", [-1, -15_400, MAX_AMOUNT_MINOR + 1, 2**63])
@pytest.mark.parametrize("on_account", [False, True])
def test_negative_and_huge_amounts_are_refused(amount: int, *, on_account: bool) -> None:
    with pytest.raises(BadPaymentAmount) as refusal:
        check(cash(amount), due=15_400, on_account=on_account)

    assert refusal.value.code == "bad_payment_amount"
    assert refusal.value.amount_minor == amount


def test_largest_amount_is_accepted() -> None:
    assert check(card(MAX_AMOUNT_MINOR), due=MAX_AMOUNT_MINOR).applied_minor == MAX_AMOUNT_MINOR


def test_negative_tender_can_not_take_back_another() -> None:
    with pytest.raises(BadPaymentAmount):
        check(card(15_500), cash(-100), due=15_400)


@pytest.mark.parametrize("tenders", [[cash(0)], [card(15_400), cash(0)], [card(0), card(0)]])
def test_tender_of_zero_pays_nothing(tenders: list[Tender]) -> None:
    with pytest.raises(BadPaymentAmount, match="pays nothing") as refusal:
        check(*tenders, due=15_400)

    assert refusal.value.amount_minor == 0


@pytest.mark.parametrize("tenders", [[], [cash(0)], [card(0)]])
def test_due_of_zero_takes_no_tender_or_one_of_zero(tenders: list[Tender]) -> None:
    assert check(*tenders, due=0) == Tendered(0, 0, 0, 0)


def test_due_of_zero_takes_not_two_tenders_of_zero() -> None:
    with pytest.raises(BadPaymentAmount):
        check(cash(0), card(0), due=0)


def test_due_of_zero_gives_cash_back_and_refuses_a_card() -> None:
    assert check(cash(500), due=0).change_minor == 500
    with pytest.raises(Overpaid):
        check(card(500), due=0)


def test_negative_due_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        check(due=-1)


# --- cash rounding --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "given_minor", "change", "rounding"),
    [
        (1_232, 1_230, 0, -2),
        (1_233, 1_235, 0, 2),
        (1_235, 1_235, 0, 0),
        (1_232, 2_000, 770, -2),
        (1_233, 2_000, 765, 2),
        (1_232, 1_232, 2, -2),
        (2, 0, 0, -2),
        (3, 5, 0, 2),
    ],
)
def test_cash_is_rounded_to_the_smallest_coin_and_the_difference_kept(due: int, given_minor: int, change: int, rounding: int) -> None:
    tendered = check(cash(given_minor), due=due, currency=FRANC)

    assert tendered == Tendered(applied_minor=due, tendered_minor=given_minor, change_minor=change, rounding_minor=rounding)


def test_cash_below_the_rounded_due_is_refused_with_the_rounded_due() -> None:
    with pytest.raises(Underpaid) as refusal:
        check(cash(1_233), due=1_233, currency=FRANC)

    assert refusal.value.due_minor == 1_235


@pytest.mark.parametrize("method", ["card", "transfer", "voucher"])
def test_other_methods_are_taken_to_the_last_cent(method: str) -> None:
    assert check(Tender(method, 1_232), due=1_232, currency=FRANC) == Tendered(1_232, 1_232, 0, 0)
    with pytest.raises(Underpaid):
        check(Tender(method, 1_230), due=1_232, currency=FRANC)


@pytest.mark.parametrize(
    ("tenders", "change", "rounding"),
    [
        ([card(1_000), cash(230)], 0, -2),
        ([card(1_001), cash(230)], 0, -1),
        ([card(1_004), cash(230)], 0, 2),
        ([card(1_000), cash(500)], 270, -2),
        ([card(1_000), cash(200), cash(30)], 0, -2),
        ([card(1_232), cash(500)], 500, 0),
        ([Tender("voucher", 1_000), cash(230)], 0, -2),
    ],
)
def test_only_the_part_left_to_cash_is_rounded(tenders: list[Tender], change: int, rounding: int) -> None:
    tendered = check(*tenders, due=1_232, currency=FRANC)

    assert (tendered.change_minor, tendered.rounding_minor) == (change, rounding)
    assert tendered.applied_minor == 1_232


def test_due_that_rounds_to_nothing_still_needs_cash_to_say_so() -> None:
    with pytest.raises(Underpaid):
        check(due=2, currency=FRANC)
    with pytest.raises(BadPaymentAmount):
        check(card(0), due=2, currency=FRANC)


# --- on account -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1, 5_000, 15_400])
def test_sum_of_the_tenders_is_taken_on_account(amount: int) -> None:
    assert check(cash(amount), due=15_400, on_account=True) == Tendered(amount, amount, 0, 0)


def test_tenders_of_several_methods_are_taken_on_account_together() -> None:
    assert check(card(3_000), cash(2_000), due=15_400, on_account=True).applied_minor == 5_000


@pytest.mark.parametrize("tenders", [[], [cash(0)], [cash(15_401)], [card(15_401)], [card(10_000), cash(6_000)]])
def test_nothing_and_more_than_due_is_not_taken_on_account(tenders: list[Tender]) -> None:
    with pytest.raises(BadPaymentAmount, match=r"on account: it must be above zero and at most 154\.00 EUR") as refusal:
        check(*tenders, due=15_400, on_account=True)

    assert refusal.value.amount_minor == sum(tender.amount_minor for tender in tenders)
    assert refusal.value.due_minor == 15_400


@pytest.mark.parametrize("applied", [0, -1, 15_401])
def test_named_amount_on_account_has_the_same_bounds(applied: int) -> None:
    with pytest.raises(BadPaymentAmount):
        check(cash(20_000), due=15_400, on_account=True, applied=applied)


def test_cash_above_the_named_amount_is_change() -> None:
    assert check(cash(10_000), due=15_400, on_account=True, applied=6_000) == Tendered(6_000, 10_000, 4_000, 0)


def test_card_above_the_named_amount_is_refused() -> None:
    with pytest.raises(Overpaid):
        check(card(6_001), due=15_400, on_account=True, applied=6_000)


def test_less_than_the_named_amount_is_refused() -> None:
    with pytest.raises(Underpaid):
        check(cash(5_999), due=15_400, on_account=True, applied=6_000)


def test_named_amount_in_cash_is_rounded() -> None:
    assert check(cash(1_230), due=15_400, currency=FRANC, on_account=True, applied=1_232) == Tendered(1_232, 1_230, 0, -2)


def test_amount_that_is_not_named_is_taken_as_it_lies_there() -> None:
    assert check(cash(1_233), due=15_400, currency=FRANC, on_account=True) == Tendered(1_233, 1_233, 0, 0)


def test_scope_does_not_name_its_amount() -> None:
    with pytest.raises(ValueError, match="only a payment on account"):
        check(cash(100), due=100, applied=100)


@pytest.mark.parametrize(
    ("error", "code", "family"),
    [
        (Underpaid, "underpaid", Refused),
        (Overpaid, "overpaid", Refused),
        (UnknownMethod, "unknown_method", Invalid),
        (ReferenceMissing, "reference_missing", Invalid),
        (BadPaymentAmount, "bad_payment_amount", Invalid),
    ],
)
def test_errors_have_stable_codes(error: type[BillingError], code: str, family: type[BillingError]) -> None:
    assert error.code == code
    assert issubclass(error, family)


# --- properties -----------------------------------------------------------------------------------------------------------------------

AMOUNTS = st.integers(0, 60)
TENDERS = st.lists(st.builds(Tender, st.sampled_from(["cash", "card", "voucher"]), AMOUNTS), max_size=4)
CURRENCIES = st.sampled_from([EURO, FRANC, Currency("DKK", 2, 50), YEN])


def changeable(tenders: list[Tender]) -> int:
    return sum(tender.amount_minor for tender in tenders if METHODS[tender.method].gives_change)


@given(TENDERS, AMOUNTS, CURRENCIES, st.booleans(), st.none() | AMOUNTS)
def test_accepted_tenders_always_balance(
    tenders: list[Tender],
    due: int,
    currency: Currency,
    on_account: bool,
    named: int | None,
) -> None:
    named = named if on_account else None

    try:
        tendered = check(*tenders, due=due, currency=currency, on_account=on_account, applied=named)
    except (Underpaid, Overpaid, BadPaymentAmount):
        return

    assert tendered.tendered_minor - tendered.change_minor - tendered.rounding_minor == tendered.applied_minor
    assert tendered.tendered_minor == sum(tender.amount_minor for tender in tenders)
    assert 0 <= tendered.change_minor <= changeable(tenders)
    assert abs(tendered.rounding_minor) * 2 <= currency.cash_step_minor
    assert tendered.applied_minor <= due
    assert tendered.applied_minor == due or on_account
    if named is not None:
        assert tendered.applied_minor == named


@given(TENDERS.filter(bool), AMOUNTS)
def test_tenders_are_refused_exactly_when_short_zero_or_not_changeable(tenders: list[Tender], due: int) -> None:
    total = sum(tender.amount_minor for tender in tenders)
    zero = any(tender.amount_minor == 0 for tender in tenders) and not (due == 0 and len(tenders) == 1)
    expected = BadPaymentAmount if zero else Underpaid if total < due else Overpaid if total - due > changeable(tenders) else None

    try:
        check(*tenders, due=due)
    except (Underpaid, Overpaid, BadPaymentAmount) as refusal:
        raised: type[BillingError] | None = type(refusal)
    else:
        raised = None

    assert raised is expected


@given(st.lists(st.integers(1, 60).map(card), max_size=2), st.integers(1, 300), st.integers(1, 40), CURRENCIES)
def test_change_in_coins_is_payable_in_coins(cards: list[Tender], due: int, coins: int, currency: Currency) -> None:
    try:
        tendered = check(*cards, cash(coins * currency.cash_step_minor), due=due, currency=currency)
    except (Underpaid, Overpaid):
        return

    assert round_cash(tendered.change_minor, currency) == tendered.change_minor or sum(each.amount_minor for each in cards) > due


@given(TENDERS, AMOUNTS, CURRENCIES)
def test_order_of_the_tenders_does_not_matter(tenders: list[Tender], due: int, currency: Currency) -> None:
    def outcome(given_tenders: list[Tender]) -> object:
        try:
            return check(*given_tenders, due=due, currency=currency)
        except (Underpaid, Overpaid, BadPaymentAmount) as refusal:
            return type(refusal)

    assert outcome(tenders) == outcome(tenders[::-1])
