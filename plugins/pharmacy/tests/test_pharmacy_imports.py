"""Records of another system as items and stock of the pharmacy; no database."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from billing_pharmacy import hooks
from billing_pharmacy.imports import BadRecord
from billing_pharmacy.model import Batch, Move, Product
from billing_pharmacy.needs import IMPORTED_BATCHES, IMPORTED_PRODUCTS

from billing.plugin import (
    Adjust,
    Change,
    Claim,
    ImportedItem,
    ImportFacts,
    Insert,
    Invalid,
    Known,
    Put,
    QuotingClinic,
    Record,
    Records,
    currency,
    parse_unit_price,
)

AT = datetime(1992, 11, 4, 19, tzinfo=UTC)
USD = currency("USD")
IMPORTED = ImportFacts("visit-1", date(1992, 11, 4), AT, "staff1")


class ProductRow(NamedTuple):
    service_id: str


class BatchRow(NamedTuple):
    id: str
    service_id: str
    lot: str


def medication(**columns: str) -> Record:
    row = {"CODE": "2001499", "DESCRIPTION": "Vitamin B 12 5 MG/ML Injectable Solution", "BASE_COST": "3.47", "DISPENSES": "357"}
    return Record("medication", {**row, **columns}, AT)


def claims(*rows: Record) -> list[Claim]:
    return list(hooks.import_records(Records("visit-1", AT, USD, rows, "staff1", "staff2")))


def imported(service: str, quantity: int, stock: list[dict[str, Any]] | None = None) -> ImportedItem:
    return ImportedItem(service, "pharmacy", f"RX-{service}", f"{service} tablet", quantity, {"stock": stock} if stock else {})


def knowing(products: tuple[str, ...] = (), batches: tuple[BatchRow, ...] = ()) -> Known:
    return {IMPORTED_PRODUCTS: tuple(ProductRow(each) for each in products), IMPORTED_BATCHES: batches}


def received(known: Known, *items: ImportedItem) -> list[Change]:
    return list(hooks.on_records_imported(IMPORTED, items, known))


def rows_of(table: type[Any], changes: list[Change]) -> list[Any]:
    return [each.row for each in changes if isinstance(each, Insert) and each.table is table]


def test_a_medication_is_billed_by_what_was_dispensed() -> None:
    (claim,) = claims(medication())

    assert (claim.department, claim.code, claim.description) == ("pharmacy", "RX-2001499", "Vitamin B 12 5 MG/ML Injectable Solution")
    assert (claim.quantity_milli, claim.unit_price_e4, claim.given) == (357_000, 3_470_000, {})


def test_an_immunization_is_billed_once() -> None:
    row = Record("immunization", {"CODE": "140", "DESCRIPTION": "Influenza", "BASE_COST": "136.00"}, AT)

    (claim,) = claims(row)

    assert (claim.code, claim.quantity_milli, claim.unit_price_e4) == ("CVX-140", 1_000, 136_000_000)


def test_repeated_rows_are_claimed_each() -> None:
    assert len(claims(medication(), medication())) == 2


def test_what_is_not_the_pharmacys_or_was_not_dispensed_is_left_alone() -> None:
    assert claims(Record("procedure", {}, AT), medication(DISPENSES="0")) == []


@pytest.mark.parametrize(
    "columns", [{"CODE": ""}, {"BASE_COST": "much"}, {"DISPENSES": "-3"}, {"DISPENSES": "NaN"}, {"STOCK": "only-a-lot"}]
)
def test_a_record_that_makes_no_sense_stops_the_import(columns: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        claims(medication(**columns))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(BadRecord, match="DESCRIPTION"):
        claims(Record("immunization", {"CODE": "140", "BASE_COST": "136.00"}, AT))


def test_stock_that_a_row_names_is_handed_on() -> None:
    (claim,) = claims(medication(STOCK="A1 2026-01-31 12; B2 2027-01-31 2.5"))

    assert claim.given == {
        "stock": [
            {"lot": "A1", "expires_on": "2026-01-31", "quantity_milli": 12_000},
            {"lot": "B2", "expires_on": "2027-01-31", "quantity_milli": 2_500},
        ]
    }


def test_every_medication_and_immunization_of_a_real_export_is_claimed_at_its_price(shared_data: Path) -> None:
    for kind, prefix in (("medication", "RX-"), ("immunization", "CVX-")):
        with (shared_data / "synthea" / f"{kind}s.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))

        found = claims(*(Record(kind, row, AT) for row in rows))

        assert [claim.code for claim in found] == [prefix + row["CODE"] for row in rows]
        assert [claim.unit_price_e4 for claim in found] == [parse_unit_price(row["BASE_COST"], USD) for row in rows]
        assert [claim.quantity_milli for claim in found] == [int(row.get("DISPENSES", "1")) * 1_000 for row in rows]


def test_new_services_become_products_once() -> None:
    changes = received(knowing(products=("b12",)), imported("b12", 1_000), imported("amox", 1_000), imported("amox", 2_000))

    (product,) = [each for each in changes if isinstance(each, Put)]
    assert (product.table, product.key) == (Product, {"service_id": "amox"})
    assert (product.set["code"], product.set["name"]) == ("RX-amox", "amox tablet")


def test_a_visit_receives_exactly_what_it_needs_of_each_product() -> None:
    changes = received(knowing(), imported("amox", 1_000), imported("b12", 5_000), imported("amox", 2_000))

    batches = {row["service_id"]: row for row in rows_of(Batch, changes)}
    assert {service: (row["lot"], row["expires_on"], row["on_hand_milli"]) for service, row in batches.items()} == {
        "amox": ("IMPORT", date.max, 3_000),
        "b12": ("IMPORT", date.max, 5_000),
    }
    moves = {row["batch_id"]: (row["quantity_milli"], row["reason"], row["business_date"]) for row in rows_of(Move, changes)}
    assert moves == {
        batches["amox"]["id"]: (3_000, "receipt", date(1992, 11, 4)),
        batches["b12"]["id"]: (5_000, "receipt", date(1992, 11, 4)),
    }


def test_the_import_batch_is_filled_up_by_the_next_visit() -> None:
    changes = received(knowing(("amox",), (BatchRow("batch1", "amox", "IMPORT"),)), imported("amox", 2_000))

    (filled,) = [each for each in changes if isinstance(each, Adjust)]
    assert (filled.table, filled.key, filled.deltas) == (Batch, "batch1", {"on_hand_milli": 2_000})
    assert [(row["batch_id"], row["quantity_milli"]) for row in rows_of(Move, changes)] == [("batch1", 2_000)]
    assert rows_of(Batch, changes) == []


def test_named_batches_are_received_unless_they_stand() -> None:
    stock = [
        {"lot": "A1", "expires_on": "2026-01-31", "quantity_milli": 12_000},
        {"lot": "B2", "expires_on": "2027-01-31", "quantity_milli": 2_500},
    ]

    changes = received(knowing(("amox",), (BatchRow("batch1", "amox", "A1"),)), imported("amox", 2_000, stock))

    assert [(row["lot"], row["expires_on"], row["on_hand_milli"]) for row in rows_of(Batch, changes)] == [("B2", date(2027, 1, 31), 2_500)]
    assert [row["quantity_milli"] for row in rows_of(Move, changes)] == [2_500]
    assert not [each for each in changes if isinstance(each, Adjust)]


def test_the_demonstration_splits_one_medicine_over_two_batches_and_has_only_expired_stock_of_another() -> None:
    today = date(2026, 3, 1)
    brought = list(hooks.demo_records(QuotingClinic("c1", USD, today, AT)))

    by_visit = {each.record.row["VISIT"]: each for each in claims(*brought) if each.record.kind == "medication"}

    def usable(claim: Claim) -> list[int]:
        return [each["quantity_milli"] for each in claim.given["stock"] if date.fromisoformat(each["expires_on"]) >= today]

    assert set(by_visit) == {"1", "2", "3", "4", "5", "6"}
    assert usable(by_visit["3"])[0] < by_visit["3"].quantity_milli <= sum(usable(by_visit["3"]))
    assert usable(by_visit["4"]) == []
    assert all(sum(usable(claim)) >= claim.quantity_milli for visit, claim in by_visit.items() if visit != "4")


def test_the_demonstration_is_relative_to_the_clinics_day() -> None:
    def expiries(today: date) -> list[int]:
        brought = claims(*hooks.demo_records(QuotingClinic("c1", USD, today, AT)))
        return [(date.fromisoformat(batch["expires_on"]) - today).days for each in brought for batch in each.given["stock"]]

    assert expiries(date(2026, 3, 1)) == expiries(date(2028, 12, 31))
