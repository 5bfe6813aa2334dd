"""The payer's and the client's part of a bill sum to it, and no item's part is more than the item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.coverage import BadCover, Terms, split, split_exactly

TOTALS = st.lists(st.integers(0, 10**7), min_size=1, max_size=8)
TERMS = st.builds(
    Terms, st.integers(0, 10_000), st.integers(0, 5_000), st.integers(0, 20_000), st.one_of(st.none(), st.integers(-5, 10**7))
)


@given(TOTALS, TERMS)
def test_parts_stay_within_items_and_terms(totals: list[int], terms: Terms) -> None:
    parts = split(totals, terms)

    assert all(0 <= part <= total for part, total in zip(parts, totals, strict=True))
    assert terms.cap_minor is None or sum(parts) <= max(0, terms.cap_minor)


@given(TOTALS, st.data())
def test_exact_amount_is_split_exactly(totals: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(totals)))
    parts = split_exactly(totals, amount)

    assert sum(parts) == amount
    assert all(0 <= part <= total for part, total in zip(parts, totals, strict=True))


def test_percent_copays_and_cap() -> None:
    assert split([10_000, 5_000], Terms(8_000)) == [8_000, 4_000]
    assert split([10_000, 5_000], Terms(8_000, item_copay_minor=1_000)) == [7_200, 3_200]
    assert split([10_000, 5_000], Terms(8_000, visit_copay_minor=3_000)) == [6_000, 3_000]
    assert split([10_000, 5_000], Terms(8_000, cap_minor=6_000)) == [4_000, 2_000]
    assert split([333], Terms(5_000)) == [167]


@pytest.mark.parametrize("amount", [-1, 101])
def test_amount_beyond_the_bill_is_refused(amount: int) -> None:
    with pytest.raises(BadCover):
        split_exactly([60, 40], amount)
