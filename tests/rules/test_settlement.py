"""Which items a payment settles: cases from the till, then properties over any invoice and any sequence of payments."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.settlement import (
    BadScope,
    NothingToPay,
    OpenItem,
    PartWrittenOff,
    Scope,
    ScopeKind,
    Settlement,
    UnknownDepartment,
    check_scope,
    due_for_scope,
    settle,
)
from billing.rules.statuses import InvoiceAlreadyPaid, amount_due

ALL, ON_ACCOUNT = Scope.all(), Scope.on_account()
ORDER = ("visit", "dental", "imaging")


def item(item_id: str, department: str, total_minor: int, *, paid: bool = False) -> OpenItem:
    return OpenItem(id=item_id, department=department, total_minor=total_minor, paid=paid)


# An invoice of 154.00: visit 44.00, dental 66.00 in two items, imaging 44.00.
ITEMS = (item("1", "visit", 4_400), item("2", "dental", 6_000), item("3", "dental", 600), item("4", "imaging", 4_400))


def pay(items: Sequence[OpenItem], scope: Scope, applied: int, *, paid: int = 0, order: Sequence[str] = ORDER) -> Settlement:
    """Settle on an invoice of which nothing is written off or credited."""
    total = sum(each.total_minor for each in items)
    return settle(items, scope=scope, applied_minor=applied, total_minor=total, amount_paid_minor=paid, department_order=order)


def settled(items: Sequence[OpenItem], settlement: Settlement) -> tuple[OpenItem, ...]:
    """The items as they are after the payment."""
    return tuple(replace(each, paid=each.paid or each.id in settlement.item_ids) for each in items)


# --- scopes ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("ALL", ALL),
        ("all", ALL),
        (" All ", ALL),
        ("ON_ACCOUNT", ON_ACCOUNT),
        ("on_account", ON_ACCOUNT),
        ("dental", Scope.of("dental")),
        ("dental,visit", Scope.of("dental", "visit")),
        (" visit , dental ", Scope.of("dental", "visit")),
        ("dental,dental", Scope.of("dental")),
        ("x-ray_2", Scope.of("x-ray_2")),
    ],
)
def test_scope_is_read_from_text(text: str, scope: Scope) -> None:
    assert Scope.parse(text) == scope


@pytest.mark.parametrize(
    "text", ["", " ", ",", "dental,", "dental,,visit", "Dental", "dental visit", "2nd", "dental,ALL", "all,visit", "ünit", "x" * 41]
)
def test_bad_scope_is_refused(text: str) -> None:
    with pytest.raises(BadScope) as refusal:
        Scope.parse(text)

    assert refusal.value.code == "bad_scope"
    assert "ON_ACCOUNT" in refusal.value.sentence


@pytest.mark.parametrize("codes", [(), ("all",), ("on_account",), ("visit", "all"), ("a,b",), ("",), ("visit\n",)])
def test_scope_of_what_is_no_department_code_is_refused(codes: tuple[str, ...]) -> None:
    with pytest.raises(BadScope):
        Scope.of(*codes)


@pytest.mark.parametrize(
    ("scope", "text"), [(ALL, "ALL"), (ON_ACCOUNT, "ON_ACCOUNT"), (Scope.of("visit", "dental", "visit"), "dental,visit")]
)
def test_scope_has_one_text(scope: Scope, text: str) -> None:
    assert str(scope) == text
    assert Scope.parse(text) == scope


def test_scopes_are_made_by_their_names() -> None:
    assert Scope.all() == Scope(ScopeKind.ALL)
    assert Scope.on_account() == Scope(ScopeKind.ON_ACCOUNT)
    assert Scope.of("visit") == Scope(ScopeKind.DEPARTMENTS, ("visit",))


def test_scope_may_name_the_clinics_departments_and_those_of_the_items() -> None:
    retired = (item("1", "acupuncture", 100),)

    check_scope(Scope.of("visit", "acupuncture"), retired, department_order=ORDER)
    with pytest.raises(UnknownDepartment, match="acupuncture, dental, imaging, visit, or ALL") as refusal:
        check_scope(Scope.of("visit", "astrology"), retired, department_order=ORDER)

    assert refusal.value.code == "unknown_department"
    assert refusal.value.department == "astrology"


# --- what is due ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "amount_due_minor", "due_minor"),
    [
        (Scope.of("dental"), 15_400, 6_600),
        (Scope.of("dental", "imaging"), 15_400, 11_000),
        (ALL, 15_400, 15_400),
        (ON_ACCOUNT, 15_400, 15_400),
        (Scope.of("dental"), 6_600, 6_600),
        (Scope.of("dental"), 6_599, 6_599),
        (Scope.of("dental"), 0, 0),
        (ALL, 12_400, 12_400),
        (ON_ACCOUNT, 12_400, 12_400),
    ],
)
def test_due_is_the_smaller_of_the_scopes_items_and_the_invoices_due(scope: Scope, amount_due_minor: int, due_minor: int) -> None:
    assert due_for_scope(ITEMS, scope, amount_due_minor=amount_due_minor) == due_minor


def test_paid_items_are_not_due() -> None:
    items = (item("1", "dental", 6_000, paid=True), item("2", "dental", 600), item("3", "visit", 4_400))

    assert due_for_scope(items, Scope.of("dental"), amount_due_minor=5_000) == 600


def test_scope_without_unpaid_items_has_nothing_to_pay() -> None:
    items = (item("1", "dental", 6_000, paid=True), item("2", "visit", 4_400))

    for refused in (
        lambda: due_for_scope(items, Scope.of("dental"), amount_due_minor=4_400),
        lambda: pay(items, Scope.of("dental"), 0, paid=6_000),
    ):
        with pytest.raises(NothingToPay, match="Nothing is left to pay for dental: what is unpaid is in visit") as refusal:
            refused()

        assert refusal.value.code == "nothing_to_pay"
        assert refusal.value.scope == "dental"


@pytest.mark.parametrize("scope", [ALL, ON_ACCOUNT, Scope.of("dental"), Scope.of("imaging")])
def test_invoice_without_unpaid_items_is_already_paid(scope: Scope) -> None:
    items = tuple(replace(each, paid=True) for each in ITEMS)

    with pytest.raises(InvoiceAlreadyPaid):
        due_for_scope(items, scope, amount_due_minor=0)
    with pytest.raises(InvoiceAlreadyPaid):
        pay(items, scope, 0, paid=15_400)


# --- settling -------------------------------------------------------------------------------------------------------------------------


def test_department_is_settled_whole_whatever_stands_before_it() -> None:
    settlement = pay(ITEMS, Scope.of("dental"), 6_600)

    assert settlement == Settlement(
        applied_minor=6_600,
        item_ids=("2", "3"),
        departments=("dental",),
        amount_paid_minor=6_600,
        amount_due_minor=8_800,
        due_minor=6_600,
        on_account_minor=0,
    )


def test_all_settles_every_item_in_the_clinics_order() -> None:
    settlement = pay(ITEMS, ALL, 15_400, order=("imaging", "visit", "dental"))

    assert settlement.item_ids == ("4", "1", "2", "3")
    assert settlement.departments == ("imaging", "visit", "dental")
    assert (settlement.amount_due_minor, settlement.on_account_minor) == (0, 0)


@pytest.mark.parametrize(
    ("applied", "departments", "on_account"),
    [
        (1, (), 1),
        (4_399, (), 4_399),
        (4_400, ("visit",), 0),
        (10_999, ("visit",), 6_599),
        (11_000, ("visit", "dental"), 0),
        (15_399, ("visit", "dental"), 4_399),
        (15_400, ("visit", "dental", "imaging"), 0),
    ],
)
def test_money_on_account_settles_departments_whole_and_in_order(applied: int, departments: tuple[str, ...], on_account: int) -> None:
    settlement = pay(ITEMS, ON_ACCOUNT, applied)

    assert settlement.departments == departments
    assert settlement.on_account_minor == on_account
    assert settlement.due_minor == 15_400


def test_smaller_department_does_not_overtake_one_that_is_not_covered() -> None:
    settlement = pay(ITEMS, ON_ACCOUNT, 4_400, order=("dental", "visit", "imaging"))

    assert settlement.departments == ()


def test_instalments_add_up() -> None:
    first = pay(ITEMS, ON_ACCOUNT, 3_000)
    second = pay(settled(ITEMS, first), ON_ACCOUNT, 8_000, paid=3_000)

    assert first.departments == ()
    assert second.departments == ("visit", "dental")
    assert second.on_account_minor == 0


def test_department_is_paid_in_full_while_earlier_money_stays_on_account() -> None:
    settlement = pay(ITEMS, Scope.of("dental"), 6_600, paid=3_000)

    assert settlement.departments == ("dental",)
    assert settlement.on_account_minor == 3_000
    assert settlement.amount_due_minor == 5_800


def test_last_department_takes_the_money_on_account() -> None:
    items = settled(ITEMS, pay(ITEMS, Scope.of("dental", "imaging"), 11_000, paid=3_000))

    settlement = pay(items, Scope.of("visit"), 1_400, paid=14_000)

    assert settlement.due_minor == 1_400
    assert settlement.item_ids == ("1",)
    assert (settlement.amount_due_minor, settlement.on_account_minor) == (0, 0)


def test_scope_limited_by_the_amount_due_settles_the_others_too() -> None:
    # 50.00 lies on account, held up by dental (66.00), which comes before the visit (44.00).
    items = (item("1", "visit", 4_400), item("2", "dental", 6_600))

    settlement = pay(items, Scope.of("dental"), 6_000, paid=5_000, order=("dental", "visit"))

    assert settlement.due_minor == 6_000
    assert settlement.departments == ("dental", "visit")
    assert (settlement.amount_due_minor, settlement.on_account_minor) == (0, 0)


def test_payment_of_a_department_frees_the_money_that_it_held_up() -> None:
    items = (item("1", "dental", 6_000), item("2", "visit", 700), item("3", "imaging", 900))
    order = ("dental", "visit", "imaging")

    held_up = pay(items, ON_ACCOUNT, 700, order=order)
    freed = pay(items, Scope.of("dental"), 6_000, paid=700, order=order)

    assert held_up.departments == ()
    assert freed.departments == ("dental", "visit")
    assert (freed.amount_due_minor, freed.on_account_minor) == (900, 0)


def test_department_that_owes_nothing_is_settled_in_its_turn() -> None:
    items = (item("1", "visit", 0), item("2", "dental", 600), item("3", "imaging", 0))

    before_dental = pay(items, ON_ACCOUNT, 599)
    with_dental = pay(items, ON_ACCOUNT, 600)

    assert before_dental.departments == ("visit",)
    assert with_dental.departments == ("visit", "dental", "imaging")


def test_free_item_waits_for_the_rest_of_its_department() -> None:
    items = (item("1", "visit", 0), item("2", "visit", 600), item("3", "dental", 600))

    settlement = pay(items, ON_ACCOUNT, 599)

    assert settlement.item_ids == ()


@pytest.mark.parametrize("scope", [ALL, Scope.of("visit")])
def test_invoice_of_nothing_is_settled_by_a_payment_of_nothing(scope: Scope) -> None:
    settlement = pay((item("1", "visit", 0),), scope, 0)

    assert settlement.item_ids == ("1",)
    assert (settlement.due_minor, settlement.applied_minor, settlement.amount_paid_minor) == (0, 0, 0)


def test_free_department_is_settled_by_itself_while_others_owe() -> None:
    items = (item("1", "visit", 500), item("2", "dental", 0))

    settlement = pay(items, Scope.of("dental"), 0)

    assert settlement.departments == ("dental",)
    assert settlement.amount_due_minor == 500


def test_departments_outside_the_order_come_last_by_code() -> None:
    items = (item("1", "zoo", 100), item("2", "acupuncture", 100), item("3", "visit", 100))

    settlement = pay(items, ON_ACCOUNT, 200)

    assert settlement.departments == ("visit", "acupuncture")


def test_paid_items_may_be_left_out() -> None:
    items = settled(ITEMS, pay(ITEMS, Scope.of("dental"), 6_600))
    instalment = partial(settle, scope=ON_ACCOUNT, applied_minor=4_400, total_minor=15_400, amount_paid_minor=6_600, department_order=ORDER)

    with_paid = instalment(items)
    without_paid = instalment([each for each in items if not each.paid])

    assert with_paid == without_paid
    assert with_paid.departments == ("visit",)


def test_unknown_department_is_refused_before_anything_is_settled() -> None:
    with pytest.raises(UnknownDepartment):
        pay(ITEMS, Scope.of("astrology"), 0)


@pytest.mark.parametrize(
    ("scope", "applied"),
    [
        (ALL, 15_399),
        (ALL, 15_401),
        (Scope.of("dental"), 6_599),
        (Scope.of("dental"), 0),
        (ON_ACCOUNT, 0),
        (ON_ACCOUNT, -1),
        (ON_ACCOUNT, 15_401),
    ],
)
def test_amount_that_the_tenders_could_not_give_is_an_error_of_the_caller(scope: Scope, applied: int) -> None:
    with pytest.raises(ValueError, match="can't be applied"):
        pay(ITEMS, scope, applied)


def test_arrears_are_paid_with_all_or_on_account() -> None:
    # A payer has rejected 80 of a visit that is settled: its client owes them, and nothing is unpaid.
    settled = (item("1", "visit", 500, paid=True),)
    arrears = partial(settle, settled, total_minor=500, amount_paid_minor=420, department_order=ORDER)

    all_of_it = arrears(scope=ALL, applied_minor=80)
    some = arrears(scope=ON_ACCOUNT, applied_minor=30)
    with pytest.raises(NothingToPay, match="what is unpaid is in arrears, which ALL pays"):
        arrears(scope=Scope.of("visit"), applied_minor=80)

    assert (all_of_it.item_ids, all_of_it.due_minor, all_of_it.amount_due_minor, all_of_it.on_account_minor) == ((), 80, 0, 0)
    assert (some.item_ids, some.amount_due_minor, some.on_account_minor) == ((), 50, 0)


def test_department_is_settled_beside_arrears_and_money_on_account_pays_them_first() -> None:
    items = (item("1", "visit", 500, paid=True), item("2", "dental", 600))
    arrears = partial(settle, items, total_minor=1_100, amount_paid_minor=420, department_order=ORDER)

    dental = arrears(scope=Scope.of("dental"), applied_minor=600)
    enough_for_dental = arrears(scope=ON_ACCOUNT, applied_minor=679)
    everything = arrears(scope=ALL, applied_minor=680)

    assert (dental.item_ids, dental.amount_due_minor, dental.on_account_minor) == (("2",), 80, 0)
    assert (enough_for_dental.item_ids, enough_for_dental.on_account_minor) == ((), 599)
    assert (everything.item_ids, everything.amount_due_minor) == (("2",), 0)


def test_books_with_more_items_than_their_total_are_an_error() -> None:
    with pytest.raises(ValueError, match="unpaid items are worth 1 more than the invoice"):
        settle(ITEMS, scope=ON_ACCOUNT, applied_minor=1, total_minor=15_399, amount_paid_minor=0, department_order=ORDER)


def test_scope_that_money_does_not_cover_after_a_write_off_is_refused() -> None:
    # 50.00 of 154.00 was paid and the rest written off; then that payment was voided, so 50.00 is due again.
    again = partial(settle, ITEMS, total_minor=15_400, amount_paid_minor=0, written_off_minor=10_400, department_order=ORDER)

    with pytest.raises(PartWrittenOff, match="dental can't be settled whole: take the money on account") as refusal:
        again(scope=Scope.of("dental"), applied_minor=5_000)
    visit = again(scope=Scope.of("visit"), applied_minor=4_400)
    instalment = again(scope=ON_ACCOUNT, applied_minor=5_000)

    assert refusal.value.code == "part_written_off"
    assert refusal.value.short_minor == 1_600
    assert visit.departments == instalment.departments == ("visit",)
    assert (visit.amount_due_minor, instalment.amount_due_minor) == (600, 0)


def test_credit_on_an_unpaid_item_lowers_what_has_to_be_paid() -> None:
    items = (item("1", "visit", 4_400), item("2", "dental", 1_600))  # 50.00 of dental's 66.00 was credited

    settlement = settle(
        items, scope=ALL, applied_minor=6_000, total_minor=11_000, amount_paid_minor=0, credited_minor=5_000, department_order=ORDER
    )

    assert settlement.departments == ("visit", "dental")
    assert settlement.amount_due_minor == 0


def test_refunded_item_takes_no_money_of_the_others() -> None:
    # Dental was paid (66.00) and refunded, with a credit note; 10.00 lies on account.
    items = (item("1", "visit", 4_400), item("2", "dental", 6_600, paid=True))

    settlement = settle(
        items, scope=ALL, applied_minor=3_400, total_minor=11_000, amount_paid_minor=1_000, credited_minor=6_600, department_order=ORDER
    )

    assert settlement.item_ids == ("1",)
    assert (settlement.amount_due_minor, settlement.on_account_minor) == (0, 0)


# --- properties -----------------------------------------------------------------------------------------------------------------------

CODES = ("visit", "dental", "imaging", "acupuncture")
TOTALS = st.just(0) | st.integers(0, 12)
INVOICES = st.lists(st.tuples(st.sampled_from(CODES), TOTALS), min_size=1, max_size=7).map(
    lambda rows: tuple(item(f"{number}", department, total) for number, (department, total) in enumerate(rows))
)
ORDERS = st.permutations(CODES).flatmap(lambda codes: st.integers(0, len(codes)).map(lambda length: tuple(codes[:length])))
SCOPES = st.just(ALL) | st.just(ON_ACCOUNT) | st.sets(st.sampled_from(CODES), min_size=1).map(lambda codes: Scope.of(*codes))
WISHES = st.lists(st.tuples(SCOPES, st.integers(1, 100)), max_size=8)


def sum_of(items: Iterable[OpenItem]) -> int:
    return sum(each.total_minor for each in items)


class NaiveInvoice:
    """The rules as a clerk would follow them with a pencil: item by item, going through all departments after every payment."""

    def __init__(self, items: Sequence[OpenItem], order: Sequence[str]) -> None:
        self.items = tuple(items)
        self.turns = [*order, *sorted({each.department for each in items} - set(order))]
        self.amount_paid = 0

    @property
    def amount_due(self) -> int:
        return amount_due(sum_of(self.items), self.amount_paid, 0, 0)

    @property
    def on_account(self) -> int:
        return self.amount_paid - sum_of(each for each in self.items if each.paid)

    def unpaid(self, department: str) -> list[OpenItem]:
        return [each for each in self.items if each.department == department and not each.paid]

    def _mark(self, department: str) -> None:
        self.items = tuple(replace(each, paid=each.paid or each.department == department) for each in self.items)

    def pay(self, scope: Scope, amount: int) -> None:
        self.amount_paid += amount
        for department in self.turns:
            if scope == ALL or department in scope.departments:
                self._mark(department)
        for department in self.turns:
            if sum_of(self.unpaid(department)) > self.on_account:
                return
            self._mark(department)


def affordable(items: Sequence[OpenItem], scope: Scope, percent: int, amount_due_minor: int, order: Sequence[str]) -> int | None:
    """The amount of a wish: what is due for its scope, or a part of the amount due on account; None where nothing can be paid."""
    try:
        check_scope(scope, items, department_order=order)
        due = due_for_scope(items, scope, amount_due_minor=amount_due_minor)
    except (UnknownDepartment, NothingToPay, InvoiceAlreadyPaid):
        return None
    if scope != ON_ACCOUNT:
        return due
    return max(1, due * percent // 100) if due else None


@given(INVOICES, ORDERS, WISHES)
def test_any_sequence_of_payments_goes_like_the_naive_model(
    items: tuple[OpenItem, ...], order: tuple[str, ...], wishes: list[tuple[Scope, int]]
) -> None:
    model = NaiveInvoice(items, order)

    for scope, percent in wishes:
        applied = affordable(model.items, scope, percent, model.amount_due, order)
        if applied is None:
            continue
        before = model.items
        settlement = pay(before, scope, applied, paid=model.amount_paid, order=order)
        model.pay(scope, applied)

        assert settled(before, settlement) == model.items
        assert settlement.amount_paid_minor == model.amount_paid <= sum_of(items)
        assert settlement.amount_due_minor == model.amount_due >= 0
        assert settlement.on_account_minor == model.on_account >= 0
        for department in CODES:
            assert len({each.paid for each in model.items if each.department == department}) <= 1
        for code in {each.department for each in before} & set(scope.departments):
            assert not model.unpaid(code)
        if model.amount_due == 0:
            assert all(each.paid for each in model.items)


@given(INVOICES, ORDERS, WISHES)
def test_books_balance_after_every_payment(items: tuple[OpenItem, ...], order: tuple[str, ...], wishes: list[tuple[Scope, int]]) -> None:
    paid, total = 0, sum_of(items)

    for scope, percent in wishes:
        applied = affordable(items, scope, percent, total - paid, order)
        if applied is None:
            continue
        settlement = pay(items, scope, applied, paid=paid, order=order)
        newly = [each for each in items if each.id in settlement.item_ids]
        items, paid = settled(items, settlement), settlement.amount_paid_minor

        assert sum_of(each for each in items if each.paid) + settlement.on_account_minor == paid
        assert settlement.amount_due_minor == total - paid
        assert set(settlement.departments) == {each.department for each in newly}
        assert len(newly) == len(settlement.item_ids)


@given(INVOICES, ORDERS, SCOPES, st.integers(1, 100), st.randoms(use_true_random=False))
def test_order_of_the_items_does_not_matter(
    items: tuple[OpenItem, ...], order: tuple[str, ...], scope: Scope, percent: int, rng: random.Random
) -> None:
    applied = affordable(items, scope, percent, sum_of(items), order)
    shuffled = rng.sample(items, len(items))

    if applied is not None:
        assert pay(items, scope, applied, order=order) == pay(shuffled, scope, applied, order=order)


@given(INVOICES, ORDERS, st.lists(st.integers(1, 30), max_size=6))
def test_instalments_settle_what_one_payment_of_their_sum_settles(
    items: tuple[OpenItem, ...], order: tuple[str, ...], amounts: list[int]
) -> None:
    paid, total, current = 0, sum_of(items), items

    for amount in amounts:
        if amount <= total - paid:
            settlement = pay(current, ON_ACCOUNT, amount, paid=paid, order=order)
            current, paid = settled(current, settlement), settlement.amount_paid_minor

    if paid:
        assert current == settled(items, pay(items, ON_ACCOUNT, paid, order=order))


@given(INVOICES, ORDERS, SCOPES, st.data())
def test_money_on_account_is_never_negative_after_a_write_off(
    items: tuple[OpenItem, ...], order: tuple[str, ...], scope: Scope, data: st.DataObject
) -> None:
    total = sum_of(items)
    written_off = data.draw(st.integers(0, total), label="written off")
    applied = affordable(items, scope, 100, total - written_off, order)
    if applied is None:
        return

    pay_again = partial(
        settle,
        items,
        scope=scope,
        applied_minor=applied,
        total_minor=total,
        amount_paid_minor=0,
        department_order=order,
        written_off_minor=written_off,
    )

    short = sum_of(each for each in items if scope.names(each.department)) - applied
    if short > 0:
        with pytest.raises(PartWrittenOff) as refusal:
            pay_again()
        assert refusal.value.short_minor == short
        assert short <= written_off
    else:
        settlement = pay_again()
        assert settlement.on_account_minor >= 0
        assert settlement.amount_due_minor >= 0


@given(INVOICES, ORDERS, SCOPES, st.integers(1, 100), st.integers(1, 50))
def test_credited_amounts_do_not_count(
    items: tuple[OpenItem, ...], order: tuple[str, ...], scope: Scope, percent: int, credited: int
) -> None:
    applied = affordable(items, scope, percent, sum_of(items), order)
    if applied is None:
        return

    with_credit = settle(
        items,
        scope=scope,
        applied_minor=applied,
        total_minor=sum_of(items) + credited,
        credited_minor=credited,
        amount_paid_minor=0,
        department_order=order,
    )

    assert with_credit == pay(items, scope, applied, order=order)


@given(st.sets(st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True), min_size=1, max_size=5))
def test_scope_survives_its_text(codes: set[str]) -> None:
    if codes & {"all", "on_account"}:
        return
    scope = Scope.of(*codes)

    assert Scope.parse(str(scope)) == scope


@given(st.text(max_size=30) | st.text("abAL,_- \n", max_size=12))
def test_any_text_is_a_scope_or_refused(text: str) -> None:
    try:
        scope = Scope.parse(text)
    except BadScope:
        return

    assert Scope.parse(str(scope)) == scope
