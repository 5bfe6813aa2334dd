"""Double charge and lost update: what only one can have, one gets, however many ask and however often."""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from billing.testing.race import Pay, race

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld


@pytest.mark.case("P01")
def test_ten_full_payments_at_once_are_one_payment(world: "CaseWorld") -> None:
    """idurar/idurar-erp-crm#1424: ten parallel full payments were all accepted."""
    bill = world.n1()

    outcomes = race(world.url, [[Pay(bill.id, ("card 154",), key=f"k{each}")] for each in range(10)], actors=["c1", "c2"], installed=True)

    assert Counter(each.code for (each,) in outcomes) == {None: 1, "already_paid": 9}
    assert [each.number[-5:] for (each,) in outcomes if each.number] == ["00001"]
    assert world.seen(bill.id).invoice.amount_paid_minor == 15400
    assert world.stock() == 8000
    assert world.lab_orders() == 1
