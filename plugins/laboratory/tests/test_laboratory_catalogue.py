"""Tests, analytes and ranges: set up by those who manage the laboratory, on real databases."""

from typing import Any

import pytest
from billing_laboratory import catalogue
from billing_laboratory.rules import ImpossibleRange, Range, UnreadableLoinc, UnreadableText

from billing.plugin import Forbidden, Invalid, NotFound, new_id

K = "2823-3"


def test_a_panel_keeps_the_order_of_its_analytes(lab: Any) -> None:
    rows = {row.service: row for row in lab.read(catalogue.list_tests, actor="mona")}

    assert (rows["ELEC"].name, rows["ELEC"].analytes) == ("Electrolytes", ("2951-2", K))
    assert (rows["K"].name, rows["K"].analytes, rows["K"].active) == ("Service K", (K,), True)


def test_a_retired_test_stays_on_the_list(lab: Any) -> None:
    lab.run(lambda tx: catalogue.retire_test(tx, service_code="K"), actor="mona")

    assert {row.service: row.active for row in lab.read(catalogue.list_tests)} == {"K": False, "ELEC": True, "COV": True}
    with pytest.raises(catalogue.UnknownTest):
        lab.run(lambda tx: catalogue.retire_test(tx, service_code="K"), actor="mona")


def add_test(lab: Any, **given: Any) -> None:
    lab.run(lambda tx: catalogue.add_test(tx, **{"service_code": "NEW", "loinc": "24326-1", "specimen": "serum", "analytes": [K], **given}))


def test_what_does_not_fit_makes_no_test(lab: Any) -> None:
    lab.service("DESK")
    before = len(lab.read(catalogue.list_tests))

    for wrong, error in (
        ({"service_code": "NONE"}, NotFound),
        ({"service_code": "DESK"}, catalogue.OtherDepartment),
        ({"service_code": "K"}, catalogue.TestTaken),
        ({"loinc": "24326-2"}, UnreadableLoinc),
        ({"specimen": ""}, UnreadableText),
        ({"name": "x" * 201}, UnreadableText),
        ({"analytes": ["718-7"]}, catalogue.UnknownAnalyte),
        ({"analytes": [K, K]}, catalogue.ImpossiblePanel),
        ({"analytes": [K] * 101}, catalogue.ImpossiblePanel),
        ({"analytes": []}, catalogue.UnknownAnalyte),
    ):
        with pytest.raises(error):
            add_test(lab, **wrong)

    assert len(lab.read(catalogue.list_tests)) == before


def test_an_analyte_is_known_once(lab: Any) -> None:
    with pytest.raises(catalogue.AnalyteTaken):
        lab.run(lambda tx: catalogue.add_analyte(tx, loinc=K, name="Kalium"))


def test_what_does_not_fit_makes_no_analyte(lab: Any) -> None:
    for wrong in ({"value_kind": "colour"}, {"decimals": 10}, {"decimals": -1}, {"value_kind": "text", "decimals": 1}, {"name": " "}):
        given = {"loinc": "718-7", "name": "Hemoglobin", **wrong}
        with pytest.raises(Invalid):
            lab.run(lambda tx, given=given: catalogue.add_analyte(tx, **given))

    assert {row.loinc for row in lab.read(catalogue.list_analytes)} == {K, "2951-2", "94500-6"}


def test_ranges_are_listed_as_they_apply(lab: Any) -> None:
    rows = lab.read(lambda tx: catalogue.list_ranges(tx, analyte_code=K))

    assert [(row.species, row.sex, row.age_until_days, row.normal, row.critical_high) for row in rows] == [
        ("person", "any", None, "3.5 - 5.1", "6.5"),
        ("dog", "any", None, "3.9 - 5.8", ""),
        ("person", "any", 28, "3.7 - 5.9", ""),
    ]


def test_a_retired_range_judges_nothing_any_more_and_rewrites_nothing(lab: Any) -> None:
    before = lab.measured(lab.order("K"), K, "5.2")
    range_id = lab.read(lambda tx: catalogue.list_ranges(tx, analyte_code=K))[0].id

    lab.run(lambda tx: catalogue.retire_range(tx, range_id=range_id), actor="mona")
    after = lab.measured(lab.order("K"), K, "5.3")

    assert (before.flag, lab.results(before.order_id)[0].range_text) == ("H", "3.5 - 5.1")
    assert (after.flag, after.range_text) == ("", "")


def test_a_range_that_is_not_there_is_not_retired(lab: Any) -> None:
    for named in ("nonsense", "", new_id()):
        with pytest.raises(catalogue.UnknownRange):
            lab.run(lambda tx, named=named: catalogue.retire_range(tx, range_id=named))


def test_a_range_must_suit_its_analyte(lab: Any) -> None:
    with pytest.raises(ImpossibleRange):
        lab.run(lambda tx: catalogue.add_range(tx, analyte_code=K, limits=Range(normal_text="Negative")))
    with pytest.raises(catalogue.UnknownAnalyte):
        lab.run(lambda tx: catalogue.add_range(tx, analyte_code="718-7", limits=Range(low="1")))


def test_only_who_manages_the_laboratory_sets_it_up(lab: Any) -> None:
    for login in ("anna", "carl"):
        with pytest.raises(Forbidden):
            lab.run(lambda tx: catalogue.add_analyte(tx, loinc="718-7", name="Hemoglobin"), actor=login)
        with pytest.raises(Forbidden):
            lab.run(lambda tx: catalogue.add_range(tx, analyte_code=K, limits=Range(low="1")), actor=login)
        with pytest.raises(Forbidden):
            lab.run(lambda tx: catalogue.retire_test(tx, service_code="K"), actor=login)
