"""What the database refuses and what the invariants find when somebody changes rows behind everybody's back."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

K = "2823-3"


def test_the_books_of_a_busy_day_hold(lab: Any) -> None:
    lab.order("ELEC", "COV")
    lab.measured(lab.order("K"), K, "4.2")
    amended = lab.order("K")
    lab.measured(amended, K, "7.1")
    lab.amend(amended, K, "5.2")

    assert lab.broken() == set()


def test_an_item_has_one_live_order(lab: Any) -> None:
    lab.order("K", "COV")
    copied = "item_id = (SELECT MIN(CAST(item_id AS TEXT)) FROM laboratory_order)"

    with pytest.raises(IntegrityError):
        lab.tamper(
            f"UPDATE laboratory_order SET {copied}" if lab.database.dialect == "sqlite" else f"UPDATE laboratory_order SET {uuid(copied)}"
        )


def uuid(assignment: str) -> str:
    name, _, value = assignment.partition(" = ")
    return f"{name} = CAST({value} AS uuid)"


@pytest.mark.parametrize(
    "change",
    [
        "verified_by = entered_by",
        "verified_by = NULL",
        "value = NULL",
        "status = 'amended'",
        "status = 'pending'",
        "status = 'done'",
        "flag = 'X'",
        "position = 0",
    ],
)
def test_a_verified_result_can_only_be_whole(lab: Any, change: str) -> None:
    lab.measured(lab.order("K"), K, "4.2")

    with pytest.raises(IntegrityError):
        lab.tamper(f"UPDATE laboratory_result SET {change}")


@pytest.mark.parametrize("change", ["status = 'lost'", "priority = 'whenever'", "status = 'cancelled'", "collected_at = NULL"])
def test_an_order_can_only_be_whole(lab: Any, change: str) -> None:
    lab.measured(lab.order("K"), K, "4.2")

    with pytest.raises(IntegrityError):
        lab.tamper(f"UPDATE laboratory_order SET {change}")


def test_a_result_is_open_once(lab: Any) -> None:
    lab.order("ELEC")
    one = "(SELECT MIN(CAST(analyte_id AS TEXT)) FROM laboratory_result)"
    same = one if lab.database.dialect == "sqlite" else f"CAST({one} AS uuid)"

    with pytest.raises(IntegrityError):
        lab.tamper(f"UPDATE laboratory_result SET analyte_id = {same}")


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["DROP INDEX uq_laboratory_order_live", "UPDATE laboratory_order SET item_id = {some_item}"], "lab_order_once"),
        (["DELETE FROM laboratory_result", "DELETE FROM laboratory_order"], "lab_order_of_paid_item"),
        (["UPDATE invoice_item SET payment_id = NULL, paid_at = NULL"], "lab_order_is_paid"),
        (["DELETE FROM laboratory_result"], "lab_order_has_results"),
        (["UPDATE laboratory_order SET status = 'final'"], "lab_order_final"),
        (["DELETE FROM laboratory_panel_member"], "lab_test_measures"),
    ],
)
def test_the_invariants_find_what_is_wrong(lab: Any, statements: list[str], broken: str) -> None:
    lab.order("K", "COV")
    some = "(SELECT MIN(CAST(item_id AS TEXT)) FROM laboratory_order)"
    some_item = some if lab.database.dialect == "sqlite" else f"CAST({some} AS uuid)"

    lab.tamper(*(each.format(some_item=some_item) for each in statements))

    assert broken in lab.broken()
