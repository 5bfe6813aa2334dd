"""Which observations become laboratory items, and which tests they bring along."""

import csv
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from billing_laboratory import demo, hooks, imports
from billing_laboratory.imports import UnreadableObservation
from billing_laboratory.model import Analyte, LabTest, PanelMember, ReferenceRange
from billing_laboratory.needs import ANALYTES, IMPORTED_PANELS, IMPORTED_RANGES
from billing_laboratory.rules import ImpossibleRange, UnreadableValue, read_loinc

from billing.plugin import Claim, ImportedItem, ImportFacts, Known, QuotingClinic, Record, Records, currency

AT = datetime(2013, 9, 11, 17, 54, 8, tzinfo=UTC)
IMPORT = ImportFacts(visit_id="v1", business_date=AT.date(), at=AT, actor_id="importer")
POTASSIUM = {
    "DATE": "2013-09-11T17:54:08Z",
    "CODE": "2823-3",
    "DESCRIPTION": "Potassium [Moles/volume] in Serum or Plasma",
    "VALUE": "4.8",
    "UNITS": "mmol/L",
    "TYPE": "numeric",
}


def records(*rows: dict[str, str], kind: str = "observation") -> Records:
    made = tuple(Record(kind=kind, row=row, at=AT) for row in rows)
    return Records(visit_id="v1", at=AT, currency=currency("EUR"), rows=made, entered_by="importer", verified_by="checker")


def claims(*rows: dict[str, str]) -> list[Claim]:
    return list(hooks.import_records(records(*rows)))


def imported(claim: Claim, service: str = "s1") -> ImportedItem:
    return ImportedItem(
        service_id=service,
        department=claim.department,
        code=claim.code,
        description=claim.description,
        quantity_milli=claim.quantity_milli,
        given=claim.given,
    )


def known(*, panels: tuple[Any, ...] = (), analytes: tuple[Any, ...] = (), ranges: tuple[Any, ...] = ()) -> Known:
    return {IMPORTED_PANELS: panels, ANALYTES: analytes, IMPORTED_RANGES: ranges}


def new_tests(*items: ImportedItem, **found: tuple[Any, ...]) -> list[Any]:
    return list(hooks.on_records_imported(IMPORT, items, known(**found)))


def made(changes: list[Any], table: type[Any]) -> list[dict[str, Any]]:
    return [dict(each.row) for each in changes if each.table is table]


# --- claims -------------------------------------------------------------------------------------------------------------------------


def test_a_number_becomes_a_free_item_that_carries_its_result() -> None:
    claim = claims(POTASSIUM)[0]

    assert (claim.department, claim.code, claim.unit_price_e4, claim.quantity_milli) == ("laboratory", "LAB-2823-3", 0, 1000)
    assert claim.description == "Potassium [Moles/volume] in Serum or Plasma"
    assert claim.given == {
        "loinc": "2823-3",
        "name": "Potassium [Moles/volume] in Serum or Plasma",
        "specimen": "serum or plasma",
        "unit": "mmol/L",
        "value_kind": "numeric",
        "value": "4.8",
        "measured_at": "2013-09-11T17:54:08Z",
        "entered_by": "importer",
        "verified_by": "checker",
    }


def test_an_analyte_that_repeats_in_a_visit_is_claimed_each_time() -> None:
    assert [claim.given["value"] for claim in claims(POTASSIUM, {**POTASSIUM, "VALUE": "4.9"}, POTASSIUM)] == ["4.8", "4.9", "4.8"]


def test_a_finding_in_words_is_claimed_as_it_is_written() -> None:
    row = {**POTASSIUM, "CODE": "94531-1", "VALUE": "Not detected (qualifier value)", "UNITS": "n/a", "TYPE": "text"}

    claim = claims(row)[0]

    assert (claim.given["value"], claim.given["unit"], claim.given["value_kind"]) == ("Not detected (qualifier value)", "", "text")


@pytest.mark.parametrize(
    "row",
    [
        {"CODE": "56799-0", "DESCRIPTION": "What address do you live at?", "VALUE": "206 Lakin Club", "UNITS": "", "TYPE": "text"},
        {"CODE": "88020-3", "DESCRIPTION": "Functional capacity NYHA", "VALUE": "Class III", "UNITS": "", "TYPE": "text"},
        {"CODE": "10230-1", "DESCRIPTION": "Left ventricular Ejection fraction", "VALUE": "25.1", "UNITS": "%", "TYPE": "numeric"},
        {"CODE": "QALY", "DESCRIPTION": "QALY", "VALUE": "12.0", "UNITS": "a", "TYPE": "numeric"},
        {**POTASSIUM, "TYPE": ""},
    ],
)
def test_what_is_no_laboratory_result_is_left_alone(row: dict[str, str]) -> None:
    assert claims(row) == []


def test_other_records_are_left_alone() -> None:
    assert list(hooks.import_records(records(POTASSIUM, kind="procedure"))) == []


def test_a_row_may_have_a_price() -> None:
    assert claims({**POTASSIUM, "BASE_COST": "5.40"})[0].unit_price_e4 == 5_400_000


def test_a_row_without_a_value_is_only_ordered() -> None:
    assert "value" not in claims({**POTASSIUM, "VALUE": ""})[0].given


@pytest.mark.parametrize("value", ["NaN", "Infinity", "4,8", "high"])
def test_a_number_that_is_none_stops_the_import(value: str) -> None:
    with pytest.raises(UnreadableValue):
        claims({**POTASSIUM, "VALUE": value})


def test_a_row_without_a_description_stops_the_import() -> None:
    with pytest.raises(UnreadableObservation, match="2823-3"):
        claims({**POTASSIUM, "DESCRIPTION": " "})


def test_limits_that_contradict_each_other_stop_the_import() -> None:
    with pytest.raises(ImpossibleRange):
        claims({**POTASSIUM, "LOW": "5", "HIGH": "4"})


@pytest.mark.parametrize(
    ("name", "specimen"),
    [
        ("Hemoglobin [Mass/volume] in Blood", "blood"),
        ("Fibrin D-dimer FEU [Mass/volume] in Platelet poor plasma", "plasma"),
        ("Peanut IgE Ab in Serum", "serum"),
        ("Drugs of abuse 5 panel - Urine by Screen method", "urine"),
        ("Glucose", "unspecified"),
    ],
)
def test_the_specimen_is_read_from_the_name(name: str, specimen: str) -> None:
    assert claims({**POTASSIUM, "DESCRIPTION": name})[0].given["specimen"] == specimen


def test_every_laboratory_row_of_a_real_export_is_claimed(shared_data: Path) -> None:
    with (shared_data / "synthea" / "lab_observations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    claimed = claims(*rows)

    skipped = Counter(row["CODE"] for row in rows)
    skipped.subtract(Counter(claim.record.row["CODE"] for claim in claimed))
    assert +skipped == {"56799-0": 192, "10230-1": 2, "88020-3": 1, "88021-1": 1}
    assert all(claim.given["value"] == claim.record.row["VALUE"] for claim in claimed)


# --- new tests ----------------------------------------------------------------------------------------------------------------------


def test_a_new_service_brings_its_test_and_analyte() -> None:
    changes = new_tests(imported(claims(POTASSIUM)[0]))

    analyte, test, member = made(changes, Analyte)[0], made(changes, LabTest)[0], made(changes, PanelMember)[0]
    assert len(changes) == 3
    assert (analyte["loinc"], analyte["unit"], analyte["value_kind"], analyte["decimals"]) == ("2823-3", "mmol/L", "numeric", None)
    assert (test["service_id"], test["loinc"], test["specimen"], test["active"]) == ("s1", "2823-3", "serum or plasma", True)
    assert member == {"test_id": test["id"], "analyte_id": analyte["id"], "position": 1}


def test_two_items_of_one_new_service_bring_one_test() -> None:
    claim = claims(POTASSIUM)[0]

    changes = new_tests(imported(claim), imported(claim))

    assert (len(made(changes, Analyte)), len(made(changes, LabTest)), len(made(changes, PanelMember))) == (1, 1, 1)


def test_a_service_that_has_its_test_brings_nothing() -> None:
    standing = SimpleNamespace(service_id="s1", loinc="2823-3", analyte_id="a1")

    assert new_tests(imported(claims(POTASSIUM)[0]), panels=(standing,)) == []


def test_an_analyte_that_the_laboratory_knows_is_not_made_again() -> None:
    changes = new_tests(imported(claims(POTASSIUM)[0]), analytes=(SimpleNamespace(id="a1", loinc="2823-3"),))

    assert made(changes, Analyte) == []
    assert [row["analyte_id"] for row in made(changes, PanelMember)] == ["a1"]


def test_limits_of_a_row_become_a_range_once_for_each_species() -> None:
    dog = {**POTASSIUM, "LOW": "3.9", "HIGH": "5.8", "SPECIES": "Dog", "CRITICAL_LOW": "2.5"}
    cat = {**POTASSIUM, "LOW": "3.5", "HIGH": "5.8", "SPECIES": "cat"}

    changes = new_tests(*(imported(claim) for claim in claims(dog, dog, cat)))

    shown = [(row["species"], row["position"], row["low"], row["critical_low"]) for row in made(changes, ReferenceRange)]
    assert shown == [("dog", 1, "3.9", "2.5"), ("cat", 2, "3.5", None)]


def test_a_range_that_the_laboratory_has_is_kept() -> None:
    standing = SimpleNamespace(service_id="s1", loinc="2823-3", analyte_id="a1")
    names = ("sex", "species", "age_until_days", "low", "high", "critical_low", "critical_high", "normal_text")
    own = SimpleNamespace(**{**dict.fromkeys(names), "analyte_id": "a1", "position": 4, "age_from_days": 0, "low": "3.6"})
    claim = claims({**POTASSIUM, "LOW": "3.5"})[0]
    for_dogs = claims({**POTASSIUM, "LOW": "3.9", "SPECIES": "dog"})[0]

    changes = new_tests(imported(claim), imported(for_dogs), panels=(standing,), ranges=(own,))

    assert [(row["species"], row["position"]) for row in made(changes, ReferenceRange)] == [("dog", 5)]


def test_ranges_of_an_analyte_that_other_tests_measure_are_not_guessed_at() -> None:
    claim = claims({**POTASSIUM, "LOW": "3.5"})[0]

    changes = new_tests(imported(claim), analytes=(SimpleNamespace(id="a1", loinc="2823-3"),))

    assert made(changes, ReferenceRange) == []


# --- the demonstration --------------------------------------------------------------------------------------------------------------


def test_the_demonstration_goes_the_way_of_an_import() -> None:
    clinic = QuotingClinic(id="c", currency=currency("EUR"), business_date=AT.date(), at=AT)
    shown = tuple(hooks.demo_records(clinic))

    claimed = list(hooks.import_records(Records("v", AT, currency("EUR"), shown, entered_by="importer", verified_by="checker")))
    changes = new_tests(*(imported(claim, service=claim.code) for claim in claimed))

    assert len(claimed) == len(shown)
    assert {row.row["VISIT"] for row in shown} == {"1", "2", "3", "4", "5", "6"}
    assert {read_loinc(row.row["CODE"]) for row in shown} == {row["loinc"] for row in made(changes, Analyte)}
    assert {row["species"] for row in made(changes, ReferenceRange)} == {None, "dog", "cat", "horse"}
    assert any("value" not in claim.given for claim in claimed)


def test_the_demonstration_has_one_price_for_each_test() -> None:
    clinic = QuotingClinic(id="c", currency=currency("JPY"), business_date=AT.date(), at=AT)

    prices = {(row.row["CODE"], row.row["BASE_COST"]) for row in demo.records(clinic)}

    assert len(prices) == len({code for code, _ in prices})


def test_records_are_read_without_being_changed() -> None:
    row = dict(POTASSIUM)

    list(imports.claims(records(row)))

    assert row == POTASSIUM
