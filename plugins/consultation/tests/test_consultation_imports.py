"""Records of visits and procedures as items, and the demonstration's: no database."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

import pytest
from billing_consultation import hooks, needs
from billing_consultation.imports import IncompleteRecord
from billing_consultation.model import Terms, Visit
from billing_consultation.rules import AgreedTerms

from billing.plugin import Claim, ImportedItem, ImportFacts, Invalid, Need, QuotingClinic, Record, Records, currency, insert, put

AT = datetime(1992, 11, 4, 18, 59, tzinfo=UTC)
IMPORT = ImportFacts(visit_id="visit 1", business_date=date(1992, 11, 4), at=AT, actor_id="importer")
DEMO = QuotingClinic(id="north", currency=currency("EUR"), business_date=date(2026, 11, 22), at=datetime(2026, 11, 22, 9, tzinfo=UTC))


def visit(**changed: str) -> Record:
    row = {"ENCOUNTERCLASS": "wellness", "CODE": "410620009", "DESCRIPTION": "Well child visit", "BASE_ENCOUNTER_COST": "146.76"}
    return Record("visit", row | changed, AT)


def procedure(**changed: str) -> Record:
    return Record("procedure", {"CODE": "65200003", "DESCRIPTION": "Insertion", "BASE_COST": "9750.79"} | changed, AT)


def claims(*rows: Record, currency_code: str = "USD") -> list[Claim]:
    return list(hooks.import_records(Records("visit 1", AT, currency(currency_code), rows, "importer", "verifier")))


def imported(*items: ImportedItem, **found: Any) -> list[Any]:
    known: Mapping[Need, tuple[Any, ...]] = {
        need: tuple(found.get(name, ())) for name, need in vars(needs).items() if isinstance(need, Need)
    }
    return list(hooks.on_records_imported(IMPORT, items, known))


def imported_item(service_id: str, given: Mapping[str, Any]) -> ImportedItem:
    return ImportedItem(service_id, "consultation", "CODE", "Description", 1000, given)


def test_a_visit_is_claimed_at_its_own_price() -> None:
    record = visit()

    assert claims(record) == [
        Claim(record, "consultation", "VISIT-410620009", "Well child visit", 146_76_0000, 1000, {"visit": "wellness"}),
    ]


def test_each_procedure_is_an_item_of_its_own_though_rows_repeat() -> None:
    twice = [procedure(), procedure()]

    made = claims(*twice)

    assert made == [Claim(record, "consultation", "PROC-65200003", "Insertion", 9750_79_0000, 1000, {}) for record in twice]


def test_records_of_other_kinds_are_left_to_others() -> None:
    others = [Record(kind, {"CODE": "1"}, AT) for kind in ("medication", "immunization", "observation")]

    assert claims(*others) == []


def test_the_price_is_read_in_the_clinics_currency() -> None:
    assert claims(procedure(BASE_COST="1250"), currency_code="JPY")[0].unit_price_e4 == 1250_0000


@pytest.mark.parametrize("column", ["CODE", "DESCRIPTION", "BASE_ENCOUNTER_COST"])
@pytest.mark.parametrize("text", ["", "  "])
def test_a_visit_without_what_its_item_needs_is_refused_by_column(column: str, text: str) -> None:
    with pytest.raises(IncompleteRecord, match=f"A visit of visit visit 1 has no {column}") as refusal:
        claims(visit(**{column: text}))

    assert refusal.value.column == column


@pytest.mark.parametrize("price", ["NaN", "-1", "1e3", "12,50", "9" * 30])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(Invalid):
        claims(procedure(BASE_COST=price))


def test_services_of_imported_visits_are_marked_as_visits_once() -> None:
    items = [imported_item("new", {"visit": "wellness"}), imported_item("new", {"visit": ""}), imported_item("proc", {})]

    assert imported(*items) == [put(Visit, {"service_id": "new"}, follow_up=True)]


def test_a_visit_that_the_clinic_has_marked_stays_as_it_marked_it() -> None:
    marked = type("Row", (), {"service_id": "old", "follow_up": False})

    assert imported(imported_item("old", {"visit": "wellness"}), IMPORTED_VISITS=[marked]) == []


TERMS = {"share_bp": 4000, "follow_up_days": 14, "follow_up_price_e4": 0, "follow_up_visits": 1}


def test_terms_that_records_bring_are_agreed_where_the_clinic_has_none() -> None:
    items = [imported_item("new", {"visit": "", "terms": TERMS})] * 2

    assert imported(*items)[1:] == [insert(Terms, provider_id=None, **TERMS)]


def test_terms_that_records_bring_do_not_replace_the_clinics() -> None:
    assert imported(imported_item("old", {"visit": "", "terms": TERMS}), CLINIC_TERMS=[object()])[1:] == []


def test_the_demonstration_brings_six_visits_and_procedures_that_can_all_be_billed() -> None:
    records = tuple(hooks.demo_records(DEMO))

    made = list(hooks.import_records(Records("demo", DEMO.at, DEMO.currency, records, "importer", "verifier")))

    assert [record.row["VISIT"] for record in records if record.kind == "visit"] == ["1", "2", "3", "4", "5", "6"]
    assert {record.row["VISIT"] for record in records if record.kind == "procedure"} >= {"3", "4", "6"}
    assert len(made) == len(records)
    assert {record.at for record in records} == {DEMO.at}
    assert made[0].given["terms"] == TERMS
    assert set(TERMS) == {field.name for field in fields(AgreedTerms)}


def test_the_demonstrations_fifth_visit_is_the_first_ones_service_for_nothing() -> None:
    first, *_, fifth, _ = [claim for claim in claims(*hooks.demo_records(DEMO), currency_code="EUR") if claim.code.startswith("VISIT-")]

    assert fifth.code == first.code
    assert (first.unit_price_e4, fifth.unit_price_e4) == (45_00_0000, 0)
