"""Takings keep the sums by department and by method, to the last minor unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.takings import spread

ROWS = st.dictionaries(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from(["p", "q"])), st.integers(-500, 1000), min_size=1)


@given(ROWS, st.lists(st.integers(0, 1000), min_size=1, max_size=3))
def test_sums_by_department_and_by_method_are_kept(rows: dict[tuple[str, str], int], amounts: list[int]) -> None:
    columns = {f"m{place}": amount for place, amount in enumerate(amounts)}
    columns["m0"] += sum(rows.values()) - sum(amounts)

    cells = spread(rows, columns)

    assert all(cells.values())
    for (department, provider), amount in rows.items():
        assert sum(part for place, part in cells.items() if place[:2] == (department, provider)) == amount
    for method, amount in columns.items():
        assert sum(part for place, part in cells.items() if place[2] == method) == amount


def test_methods_pay_for_departments_in_order() -> None:
    assert spread({("a", ""): 60, ("b", ""): 40}, {"cash": 70, "card": 30}) == {
        ("a", "", "cash"): 60,
        ("b", "", "cash"): 10,
        ("b", "", "card"): 30,
    }


def test_sums_that_differ_are_a_program_error() -> None:
    with pytest.raises(ValueError, match="rows sum to 1, columns to 2"):
        spread({("a", ""): 1}, {"cash": 2})
