"""Discounts by percentage and amount: parts sum to the whole, stay within what there is, and limits are never rounded up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.discounting import BadDiscount, beyond_limit, check_discount, discount_by_group, discount_of, limit_of
from billing.rules.totals import TaxGroup

FULL, LOW, NONE = TaxGroup("S", 1900), TaxGroup("S", 700), TaxGroup("E", 0)


def test_percentage_is_rounded_half_up_by_tax_group() -> None:
    nets = {FULL: 1_005, LOW: 995, NONE: 4}

    assert discount_by_group(nets, percent_bp=1_000, amount_minor=None) == {LOW: 100, FULL: 101}
    assert discount_of(1_005, percent_bp=1_000, amount_minor=None) == 101


def test_amount_is_shared_out_in_proportion() -> None:
    assert discount_by_group({FULL: 2_000, LOW: 1_000}, percent_bp=None, amount_minor=100) == {FULL: 67, LOW: 33}


@pytest.mark.parametrize(("percent", "amount"), [(None, None), (100, 100), (0, None), (-1, None), (10_001, None), (None, 0), (None, -5)])
def test_discount_that_cannot_be_is_refused(percent: int | None, amount: int | None) -> None:
    with pytest.raises(BadDiscount):
        check_discount(percent, amount)


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(BadDiscount):
        discount_by_group({FULL: 60, LOW: 40}, percent_bp=None, amount_minor=101)
    with pytest.raises(BadDiscount):
        discount_of(100, percent_bp=None, amount_minor=101)


@given(
    st.dictionaries(st.sampled_from([FULL, LOW, NONE]), st.integers(0, 10**9), min_size=1),
    st.integers(1, 10_000),
    st.integers(1, 10**9),
)
def test_parts_stay_within_their_group_and_sum_to_what_is_given(nets: dict[TaxGroup, int], percent: int, amount: int) -> None:
    by_percent = discount_by_group(nets, percent_bp=percent, amount_minor=None)
    assert all(0 < part <= nets[group] for group, part in by_percent.items())
    assert abs(sum(by_percent.values()) * 10_000 - sum(nets.values()) * percent) <= 5_000 * len(nets)

    if amount <= sum(nets.values()):
        by_amount = discount_by_group(nets, percent_bp=None, amount_minor=amount)
        assert sum(by_amount.values()) == amount
        assert all(0 < part <= nets[group] for group, part in by_amount.items())


@given(st.integers(0, 10**9), st.integers(0, 10_000))
def test_limit_is_never_more_than_its_percentage(base: int, limit: int) -> None:
    assert limit_of(base, limit) * 10_000 <= base * limit < (limit_of(base, limit) + 1) * 10_000


def test_limit_holds_for_the_sum_and_lets_stand_what_was_given_before() -> None:
    assert not beyond_limit([300, 200], before_minor=0, base_minor=10_000, limit_bp=500)
    assert beyond_limit([300, 201], before_minor=300, base_minor=10_000, limit_bp=500)
    assert not beyond_limit([5_000], before_minor=5_000, base_minor=10_000, limit_bp=500)
    assert not beyond_limit([5_000], before_minor=0, base_minor=10_000, limit_bp=None)
    assert beyond_limit([1], before_minor=0, base_minor=10_000, limit_bp=0)
