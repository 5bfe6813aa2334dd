"""What a report shows: verified values only, with flags, ranges and amendments."""

from datetime import UTC, date, datetime
from typing import Any

from billing_laboratory.report import Report, ReportedResult, compose

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def result(status: str, value: str | None, **other: Any) -> ReportedResult:
    given: dict[str, Any] = {
        "id": "r1",
        "loinc": "2823-3",
        "name": "Potassium",
        "unit": "mmol/L",
        "flag": "H",
        "range_text": "3.5 - 5.1",
        "reason": "",
        "measured_at": AT,
        "verified_at": AT,
        "supersedes_id": None,
        **other,
    }
    return ReportedResult(status=status, value=value, **given)


def report(*results: ReportedResult, **other: Any) -> Report:
    given: dict[str, Any] = {
        "clinic": "North",
        "zone": "Europe/Berlin",
        "order_id": "o1",
        "status": "in_progress",
        "test": "Electrolytes",
        "specimen": "serum",
        "ordered_at": AT,
        "collected_at": None,
        "patient": "Rex",
        "birth_date": None,
        "species": "dog",
        "sex": "male",
        **other,
    }
    return compose(results=results, **given)


def test_the_header_says_whose_report_it_is_in_the_clinics_time() -> None:
    found = report(result("final", "5.4"), collected_at=AT, birth_date=date(2020, 1, 2))

    assert found.header == (
        "North: laboratory report of order o1 (in progress)",
        "Electrolytes, serum",
        "Rex, dog, male, born 2020-01-02",
        "Ordered 2026-03-01 10:30, collected 2026-03-01 10:30",
    )


def test_what_is_not_known_is_left_out_of_the_header() -> None:
    assert report(result("final", "5.4"), species=None).header[2:] == ("Rex, male", "Ordered 2026-03-01 10:30")


def test_a_verified_value_is_shown_with_its_flag_and_range() -> None:
    line = report(result("final", "5.4")).lines[0]

    assert (line.analyte, line.value, line.unit, line.flag, line.range, line.status) == (
        "Potassium",
        "5.4",
        "mmol/L",
        "H",
        "3.5 - 5.1",
        "final",
    )
    assert line.measured_at == "2026-03-01 10:30"


def test_a_value_that_nobody_has_verified_is_not_shown() -> None:
    found = report(result("preliminary", "5.4", verified_at=None), result("final", "104", loinc="2075-0", name="Chloride", id="r2"))

    assert [(line.value, line.flag, line.status) for line in found.lines] == [("", "", "preliminary"), ("104", "H", "final")]
    assert "Not complete: 1 of 2 results are awaited." in found.notes


def test_an_amended_value_replaces_the_old_one_and_says_why() -> None:
    found = report(result("final", "7.1"), result("amended", "5.4", id="r2", supersedes_id="r1", reason="haemolysed sample"))

    assert [(line.value, line.status) for line in found.lines] == [("5.4", "amended")]
    assert found.notes[0] == "Potassium was amended on 2026-03-01 10:30 from 7.1 to 5.4: haemolysed sample"


def test_the_latest_of_several_amendments_is_shown() -> None:
    rows = (
        result("final", "7.1"),
        result("amended", "5.4", id="r2", supersedes_id="r1", reason="haemolysed"),
        result("amended", "5.5", id="r3", supersedes_id="r2", reason="mistyped"),
    )

    assert [line.value for line in report(*rows).lines] == ["5.5"]


def test_an_amendment_that_waits_leaves_the_verified_value() -> None:
    found = report(result("final", "7.1"), result("preliminary", "5.4", id="r2", supersedes_id="r1", verified_at=None))

    assert [(line.value, line.status) for line in found.lines] == [("7.1", "final")]
    assert found.notes[0] == "Potassium: an amendment waits to be verified."


def test_a_cancelled_order_awaits_nothing() -> None:
    found = report(result("cancelled", None, measured_at=None, verified_at=None), status="cancelled")

    assert found.lines[0].status == "cancelled"
    assert not any("Not complete" in note for note in found.notes)
