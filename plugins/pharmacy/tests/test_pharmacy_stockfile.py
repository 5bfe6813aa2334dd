"""Stock from files, on both databases: all or nothing, and once."""

from typing import Any

import pytest
from billing_pharmacy import stockfile
from billing_pharmacy.queries import list_moves
from billing_pharmacy.stockfile import BadStockFile, StockImport, import_stock

Row = dict[str, str | None]


def row(code: str = "AMOX", lot: str = "A1", expires_on: str = "2027-01-31", quantity: str = "10", unit_cost: str = "0.45") -> Row:
    return {"service_code": code, "lot": lot, "expires_on": expires_on, "quantity": quantity, "unit_cost": unit_cost}


def importing(*rows: Row, **options: Any) -> Any:
    return lambda tx: import_stock(tx, rows, **options)


def test_a_file_is_received(house: Any) -> None:
    done = house.run(importing(row(), row(lot="A2", quantity="2.5"), row("CARP", unit_cost="1.2")))

    assert done == StockImport(new=3, known=0)
    assert house.on_shelf() == {("AMOX", "A1"): 10_000, ("AMOX", "A2"): 2_500, ("CARP", "A1"): 10_000}
    assert house.broken() == set()


def test_the_same_file_again_adds_nothing(house: Any) -> None:
    file = [row(), row(), row("CARP")]
    house.run(importing(*file))

    again = house.run(importing(*file))

    assert again == StockImport(new=0, known=3)
    assert house.on_shelf() == {("AMOX", "A1"): 20_000, ("CARP", "A1"): 10_000}


def test_a_file_that_has_grown_adds_what_is_new(house: Any) -> None:
    house.run(importing(row(), row("CARP")))

    done = house.run(importing(row(), row("CARP"), row(), row(lot="A2")))

    assert done == StockImport(new=2, known=2)
    assert house.on_shelf() == {("AMOX", "A1"): 20_000, ("AMOX", "A2"): 10_000, ("CARP", "A1"): 10_000}


def test_another_person_importing_it_adds_nothing_either(house: Any) -> None:
    house.employ("max", "manager")
    house.run(importing(row()))

    assert house.run(importing(row()), actor="max") == StockImport(new=0, known=1)


def test_the_same_file_imported_at_once_is_booked_once(house: Any) -> None:
    answers = house.at_once(*[importing(row(), row(lot="A2"), row("CARP"))] * 4)

    assert sorted(each.new for each in answers) == [0, 0, 0, 3]
    assert house.on_shelf() == {("AMOX", "A1"): 10_000, ("AMOX", "A2"): 10_000, ("CARP", "A1"): 10_000}
    assert house.broken() == set()


def test_a_file_that_was_received_stays_known_when_its_lots_have_expired(house: Any) -> None:
    file = [row(expires_on="2026-02-01")]
    house.run(importing(*file, allow_expired=True))

    assert house.run(importing(*file)) == StockImport(new=0, known=1)


BAD_ROWS: list[tuple[Row, str]] = [
    (row("NOTHING"), "row 2"),
    (row(""), "row 2: there is no service_code"),
    (row(lot=""), "row 2"),
    (row(quantity="NaN"), "row 2: 'NaN' is no quantity"),
    (row(quantity="0"), "row 2"),
    (row(quantity="-1"), "row 2"),
    (row(quantity="9" * 20), "row 2"),
    (row(unit_cost="1e3"), "row 2"),
    (row(expires_on="31.01.2027"), "row 2: '31.01.2027' is no day"),
    (row(lot="A2", expires_on="2026-02-28"), "row 2: AMOX, lot A2: it has expired"),
    (row(expires_on="2027-02-28"), "row 2: AMOX, lot A1: it expires on 2027-01-31 here"),
    ({**row(), "lot": None}, "row 2"),
]


def test_one_bad_row_stores_nothing_and_is_named(house: Any) -> None:
    for bad, told in BAD_ROWS:
        with pytest.raises(BadStockFile) as refused:
            house.run(importing(row(), bad, row("CARP")))

        assert told in str(refused.value)
        assert house.on_shelf() == {}
        assert house.read(list_moves) == ()


def test_all_bad_rows_are_named(house: Any) -> None:
    with pytest.raises(BadStockFile) as refused:
        house.run(importing(row(quantity="x"), row(), row(unit_cost="y")))

    assert isinstance(refused.value.problems, list)
    assert [each.split(":")[0] for each in refused.value.problems] == ["row 1", "row 3"]


def test_a_missing_column_is_named(house: Any) -> None:
    with pytest.raises(BadStockFile, match="lot, unit_cost"):
        house.run(importing({"service_code": "AMOX", "expires_on": "2027-01-31", "quantity": "1"}))


def test_an_empty_file_adds_nothing(house: Any) -> None:
    assert house.run(importing()) == StockImport(new=0, known=0)


def test_a_file_of_too_many_rows_is_refused(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stockfile, "MOST_ROWS", 2)

    with pytest.raises(BadStockFile, match="more than 2 rows"):
        house.run(importing(row(), row(), row()))
