"""From the specimen to the report, on real databases: two people for every value, nothing verified is ever edited."""

from datetime import date, timedelta
from typing import Any

import pytest
from billing_laboratory import queries, services
from billing_laboratory.rules import UnreadableValue

from billing.plugin import BillingError, Forbidden, new_id

K, NA, COV = "2823-3", "2951-2", "94500-6"


# --- the way of an order ------------------------------------------------------------------------------------------------------------


def test_an_order_goes_from_ordered_to_final(lab: Any) -> None:
    order = lab.order("ELEC")
    states = [lab.status(order)]

    lab.collect(order)
    states.append(lab.status(order))
    lab.run(lambda tx: services.receive_order(tx, order_id=order), actor="bert")
    states.append(lab.status(order))
    for step, analyte in ((lab.enter, K), (lab.enter, NA), (lab.verify, K), (lab.verify, NA)):
        step(order, analyte, "4.2") if step == lab.enter else step(order, analyte)
        states.append(lab.status(order))

    assert states == ["ordered", "collected", "received", "in_progress", "preliminary", "preliminary", "final"]
    assert lab.broken() == set()


def test_who_took_and_who_received_the_specimen_is_kept(lab: Any) -> None:
    order = lab.order("K")
    anna, bert = (lab.read(lambda tx: tx.actor.id, actor=login) for login in ("anna", "bert"))

    lab.collect(order)
    lab.run(lambda tx: services.receive_order(tx, order_id=order), actor="bert")

    row = lab.orders()[0]
    assert (row.collected_by, row.received_by) == (anna, bert)
    assert row.collected_at == row.received_at


def test_a_specimen_is_taken_once(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)

    with pytest.raises(services.OrderState, match="collected"):
        lab.collect(order)


def test_a_specimen_may_arrive_without_having_been_taken_here(lab: Any) -> None:
    order = lab.order("K")

    lab.run(lambda tx: services.receive_order(tx, order_id=order), actor="anna")

    assert lab.status(order) == "received"
    with pytest.raises(services.OrderState):
        lab.run(lambda tx: services.receive_order(tx, order_id=order), actor="anna")


def test_nothing_is_entered_before_the_specimen_is_taken(lab: Any) -> None:
    order = lab.order("K")

    with pytest.raises(services.OrderState, match="lab collect"):
        lab.enter(order, K, "4.2")


def test_an_order_of_nobody_is_not_found(lab: Any) -> None:
    with pytest.raises(queries.UnknownOrder):
        lab.collect(new_id())
    with pytest.raises(queries.UnknownOrder):
        lab.report(new_id())


def test_an_analyte_that_the_order_does_not_measure_is_named_with_those_it_does(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)

    with pytest.raises(services.NotInOrder, match="it measures 2823-3"):
        lab.enter(order, NA, "140")


# --- values -------------------------------------------------------------------------------------------------------------------------


def test_a_verified_value_is_judged_by_the_range(lab: Any) -> None:
    row = lab.measured(lab.order("K"), K, "6.6")

    assert (row.status, row.flag, row.range_text) == ("final", "HH", "3.5 - 5.1")


def test_an_animal_is_judged_by_its_species(lab: Any) -> None:
    row = lab.measured(lab.order("K", patient_id=lab.person(species="dog", birth_date=None)), K, "5.5")

    assert (row.flag, row.range_text) == ("N", "3.9 - 5.8")


def test_an_animal_without_a_range_of_its_own_is_not_judged(lab: Any) -> None:
    row = lab.measured(lab.order("K", patient_id=lab.person(species="horse")), K, "5.5")

    assert (row.flag, row.range_text) == ("", "")


@pytest.mark.parametrize(("days", "normal"), [(27, "3.7 - 5.9"), (28, "3.5 - 5.1")])
def test_the_age_counts_on_the_day_of_the_specimen(lab: Any, days: int, normal: str) -> None:
    born = date(2026, 3, 1) - timedelta(days=days)

    assert lab.measured(lab.order("K", patient_id=lab.person(birth_date=born)), K, "4.2").range_text == normal


def test_a_finding_in_words_is_normal_or_abnormal(lab: Any) -> None:
    assert lab.measured(lab.order("COV"), COV, "Detected").flag == "A"
    assert lab.measured(lab.order("COV"), COV, "not detected").flag == "N"


def test_what_is_no_value_of_the_analyte_changes_nothing(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)

    for value in ("NaN", "4,2", "1e1", "4.25"):
        with pytest.raises(UnreadableValue):
            lab.enter(order, K, value)

    assert [(row.status, row.value) for row in lab.results(order)] == [("pending", None)]
    assert lab.status(order) == "collected"


def test_until_it_is_verified_a_value_may_be_entered_again(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)
    lab.enter(order, K, "42")

    lab.enter(order, K, "4.2", by="bert")
    lab.verify(order, K, by="anna")

    assert [(row.value, row.status) for row in lab.results(order)] == [("4.2", "final")]


# --- two people ---------------------------------------------------------------------------------------------------------------------


def test_who_entered_a_value_may_not_verify_it(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)
    lab.enter(order, K, "4.2")

    with pytest.raises(services.SamePerson) as refusal:
        lab.verify(order, K, by="anna")

    assert refusal.value.code == "same_person"
    assert [row.status for row in lab.results(order)] == ["preliminary"]


def test_a_value_that_is_not_there_is_not_verified(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)

    with pytest.raises(services.NotEntered):
        lab.verify(order, K)


def test_a_value_is_verified_once(lab: Any) -> None:
    order = lab.order("K")
    lab.measured(order, K, "4.2")

    with pytest.raises(services.AlreadyFinal):
        lab.verify(order, K)


def test_of_two_who_verify_at_once_one_is_told_so(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)
    lab.enter(order, K, "4.2")

    def verify(tx: Any) -> None:
        services.verify_result(tx, order_id=order, analyte_code=K)

    answers = lab.at_once(verify, verify, actors=("bert", "operator"))

    assert [each.code for each in answers if isinstance(each, BillingError)] == ["lab_result_final"]
    assert lab.audited().count("lab.result.verified") == 1


# --- who may, and what is kept ------------------------------------------------------------------------------------------------------


def test_who_is_no_clinician_enters_nothing(lab: Any) -> None:
    order = lab.order("K")
    lab.collect(order)

    for login in ("carl", "mona"):
        with pytest.raises(Forbidden):
            lab.enter(order, K, "4.2", by=login)
        with pytest.raises(Forbidden):
            lab.verify(order, K, by=login)
        with pytest.raises(Forbidden):
            lab.amend(order, K, "4.2", by=login)


def test_a_cashier_sees_no_results(lab: Any) -> None:
    order = lab.order("K")

    with pytest.raises(Forbidden):
        lab.read(queries.worklist, actor="carl")
    with pytest.raises(Forbidden):
        lab.read(lambda tx: queries.report(tx, order_id=order), actor="carl")


def test_every_act_is_audited_without_names_and_values(lab: Any) -> None:
    order = lab.order("K")
    lab.run(lambda tx: services.receive_order(tx, order_id=order), actor="anna")
    lab.enter(order, K, "7.1")
    lab.verify(order, K)
    lab.amend(order, K, "5.2")

    assert lab.audited()[-4:] == ["lab.order.received", "lab.result.entered", "lab.result.verified", "lab.result.amended"]


# --- finding and listing ------------------------------------------------------------------------------------------------------------


def test_an_order_is_named_by_its_id_or_the_end_of_it(lab: Any) -> None:
    order = lab.order("K")

    found = [lab.read(lambda tx, name=name: queries.find_order(tx, name=name)) for name in (order, order[-8:], order[-12:].upper())]

    assert found == [order] * 3


def test_what_names_no_order_is_told_so(lab: Any) -> None:
    lab.order("K")

    for name in ("", "abc", "%%%%%%%%", "________", "zzzzzzzz", "0123456789ab", "-" * 36, "x" * 5000):
        with pytest.raises(queries.UnknownOrder):
            lab.read(lambda tx, name=name: queries.find_order(tx, name=name))


def test_an_order_of_another_clinic_is_not_found(lab: Any) -> None:
    order = lab.order("K")
    lab.found("south")

    with pytest.raises(queries.UnknownOrder):
        lab.read(lambda tx: queries.find_order(tx, name=order), clinic="south")
    with pytest.raises(queries.UnknownOrder):
        lab.run(lambda tx: services.collect_order(tx, order_id=order), clinic="south")
    assert lab.read(queries.worklist, clinic="south") == []


def test_the_worklist_shows_what_waits_and_for_whom(lab: Any) -> None:
    lab.order("ELEC", patient_id=lab.person(species="dog"))
    done = lab.order("K")
    lab.measured(done, K, "4.2")

    row = lab.read(queries.worklist)[0]

    assert lab.waiting() == [("ELEC", 2, 0)]
    assert (row.status, row.test, row.specimen, row.patient, row.species) == ("ordered", "Electrolytes", "serum", "Ada", "dog")


def test_the_worklist_of_a_state_shows_just_that(lab: Any) -> None:
    lab.order("ELEC")
    lab.measured(lab.order("K"), K, "4.2")

    assert [row.code for row in lab.read(lambda tx: queries.worklist(tx, statuses=["final", "amended"]))] == ["K"]
    with pytest.raises(queries.UnknownStatus):
        lab.read(lambda tx: queries.worklist(tx, statuses=["done"]))
