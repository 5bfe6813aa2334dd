"""Credit notes in any partition sum to the item; money goes back by the methods that it came by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.reversing import ChooseMethod, MoreThanPaid, MoreThanSold, NotThatMethod, by_method, clients_part, credit_of, money_back

AMOUNT = st.integers(0, 10**7)


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    taxable, tax = draw(AMOUNT), draw(AMOUNT)
    return {
        "id": "i",
        "code": "AMX",
        "quantity_milli": draw(st.integers(1, 10**5)),
        "credited_milli": 0,
        "credited_minor": 0,
        "taxable_minor": taxable,
        "tax_minor": tax,
        "total_minor": taxable + tax,
        "payer_minor": draw(st.integers(0, taxable + tax)),
        "allowance_minor": draw(AMOUNT),
        "adjustment_minor": -draw(AMOUNT),
        "tax_rate_bp": draw(st.sampled_from([0, 700, 1900])),
    }


@given(items(), st.data(), st.booleans())
def test_credit_notes_in_any_partition_sum_to_the_item(item: dict[str, Any], data: st.DataObject, included: bool) -> None:
    billed = dict(item)
    made = []
    while item["credited_milli"] < item["quantity_milli"]:
        left = item["quantity_milli"] - item["credited_milli"]
        wanted = data.draw(st.one_of(st.none(), st.integers(1, left)))
        credit = credit_of(item, wanted, prices_include_tax=included)
        made.append(credit)
        item["credited_milli"] += credit.quantity_milli
        item["credited_minor"] += credit.total_minor
        item["payer_minor"] -= credit.payer_minor
        assert 0 <= credit.payer_minor <= credit.total_minor
        assert 0 <= item["payer_minor"] <= item["total_minor"] - item["credited_minor"]

    whole = credit_of(billed, None, prices_include_tax=included)
    assert sum(each.taxable_minor for each in made) == billed["taxable_minor"]
    assert sum(each.tax_minor for each in made) == billed["tax_minor"]
    assert sum(each.discount_minor for each in made) == whole.discount_minor
    assert sum(each.payer_minor for each in made) == billed["payer_minor"]
    assert clients_part(made) == billed["total_minor"] - billed["payer_minor"]


def sold(**columns: Any) -> dict[str, Any]:
    one = {
        "id": "i",
        "code": "AMX",
        "quantity_milli": 3000,
        "credited_milli": 0,
        "credited_minor": 0,
        "taxable_minor": 1000,
        "tax_minor": 0,
    }
    return one | {"total_minor": 1000, "payer_minor": 0, "allowance_minor": 0, "adjustment_minor": 0, "tax_rate_bp": 0} | columns


def test_thirds_of_ten_are_rounded_so_that_they_sum() -> None:
    first = credit_of(sold(), 1000, prices_include_tax=False)
    second = credit_of(sold(credited_milli=1000, credited_minor=333), 1000, prices_include_tax=False)
    third = credit_of(sold(credited_milli=2000, credited_minor=667), None, prices_include_tax=False)

    assert [each.total_minor for each in (first, second, third)] == [333, 334, 333]


@pytest.mark.parametrize("wanted", [0, -1, 3001])
def test_no_more_comes_back_than_was_sold(wanted: int) -> None:
    with pytest.raises(MoreThanSold, match="AMX: 3 of 3 can still come back"):
        credit_of(sold(), wanted, prices_include_tax=False)


def test_item_that_came_back_cannot_come_back_again() -> None:
    with pytest.raises(MoreThanSold, match="0 of 3"):
        credit_of(sold(credited_milli=3000, credited_minor=1000), None, prices_include_tax=False)


def test_money_goes_back_for_what_was_paid() -> None:
    assert money_back(settled_minor=500, credited_minor=500, due_minor=0, arrears_minor=0) == 500
    assert money_back(settled_minor=500, credited_minor=500, due_minor=0, arrears_minor=80) == 500
    assert money_back(settled_minor=500, credited_minor=500, due_minor=80, arrears_minor=80) == 420
    assert money_back(settled_minor=0, credited_minor=300, due_minor=300, arrears_minor=0) == 0
    assert money_back(settled_minor=0, credited_minor=300, due_minor=100, arrears_minor=0) == 200


def test_money_goes_back_by_the_method_that_it_came_by() -> None:
    assert by_method(500, None, {"cash": 700, "card": 0}) == [("cash", 500)]
    assert by_method(500, "card", {"cash": 100, "card": 500}) == [("card", 500)]
    assert by_method(500, [("cash", 100), ("card", 400)], {"cash": 100, "card": 500}) == [("cash", 100), ("card", 400)]
    assert by_method(500, "wallet", {"cash": 1}) == [("wallet", 500)]
    assert by_method(0, None, {}) == []


def test_what_cannot_go_back_that_way_is_refused() -> None:
    with pytest.raises(ChooseMethod) as several:
        by_method(500, None, {"cash": 700, "card": 700})
    with pytest.raises(ChooseMethod):
        by_method(500, None, {"cash": 499})
    with pytest.raises(NotThatMethod) as more:
        by_method(500, "cash", {"cash": 499, "card": 1})
    with pytest.raises(NotThatMethod):
        by_method(500, [("cash", 500), ("card", 0)], {"cash": 500, "card": 5})
    with pytest.raises(MoreThanPaid):
        by_method(500, [("cash", 400)], {"cash": 500})

    assert several.value.facts == {"methods": {"cash": 700, "card": 700}}
    assert more.value.facts == {"method": "cash", "most_minor": 499}
