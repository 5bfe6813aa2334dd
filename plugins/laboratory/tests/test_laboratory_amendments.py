"""A verified value is amended, never edited: the old row stays, and two people stand behind the new one."""

from typing import Any

import pytest
from billing_laboratory import services
from billing_laboratory.rules import UnreadableText

K = "2823-3"


def test_a_verified_value_is_not_entered_again(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "4.2")

    with pytest.raises(services.AlreadyFinal, match="lab amend"):
        lab.enter(order, K, "4.3")


def test_an_amendment_keeps_the_old_row_and_stands_once_somebody_else_verifies_it(lab: Any) -> None:
    order = lab.order("K")
    old = lab.measured(order, K, "7.1")

    lab.amend(order, K, "5.2", by="bert")
    waiting = (lab.status(order), lab.waiting(), [line.value for line in lab.report(order).lines])
    lab.verify(order, K, by="anna")

    first, second = lab.results(order)
    assert waiting == ("final", [("K", 0, 1)], ["7.1"])
    assert (first.id, first.value, first.flag, first.status) == (old.id, "7.1", "HH", "final")
    assert (second.supersedes_id, second.value, second.flag, second.status, second.reason) == (old.id, "5.2", "H", "amended", "haemolysed")
    assert second.measured_at == first.measured_at
    assert lab.status(order) == "amended"
    assert [line.value for line in lab.report(order).lines] == ["5.2"]
    assert lab.broken() == set()


def test_an_amendment_takes_two_people_too(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "7.1")
    lab.amend(order, K, "5.2", by="bert")

    with pytest.raises(services.SamePerson):
        lab.verify(order, K, by="bert")


def test_an_amendment_is_amended_again(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "7.1")
    lab.amend(order, K, "5.2")
    lab.verify(order, K)

    lab.amend(order, K, "5.3", reason="mistyped")
    lab.verify(order, K)

    rows = lab.results(order)
    assert [row.supersedes_id for row in rows] == [None, rows[0].id, rows[1].id]
    assert [line.value for line in lab.report(order).lines] == ["5.3"]


def test_one_amendment_at_a_time(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "7.1")
    lab.amend(order, K, "5.2")

    with pytest.raises(services.AmendmentOpen):
        lab.amend(order, K, "5.3")


def test_an_amendment_that_waits_may_be_entered_again(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "7.1")
    lab.amend(order, K, "5.2")

    lab.enter(order, K, "5.3")
    lab.verify(order, K)

    assert [(row.value, row.status) for row in lab.results(order)] == [("7.1", "final"), ("5.3", "amended")]


def test_what_is_not_verified_is_not_amended(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)
    lab.enter(order, K, "7.1")

    with pytest.raises(services.NotEntered, match="enter it again"):
        lab.amend(order, K, "5.2")


def test_an_amendment_gives_a_reason(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "7.1")

    with pytest.raises(UnreadableText, match="reason"):
        lab.amend(order, K, "5.2", reason=" ")
