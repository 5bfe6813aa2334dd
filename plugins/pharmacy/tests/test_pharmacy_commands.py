"""The commands of the group `stock`: from words on a line to rows, on both databases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from billing_pharmacy import hooks
from click.testing import CliRunner

from billing.plugin import Invalid


class Desk:
    """What the core hands to commands: it runs units in the house and keeps what is shown."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.shown: Any = None

    def run(self, unit: Any) -> Any:
        return self.house.run(unit)

    def read(self, unit: Any) -> Any:
        return self.house.read(unit)

    def show(self, data: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, columns: Sequence[str] | None = None) -> None:
        rows = [data] if isinstance(data, Mapping) else data
        assert all(set(columns or ()) <= set(row) for row in rows)
        self.shown = data

    def say(self, sentence: str) -> None:
        raise AssertionError(sentence)


@pytest.fixture
def billing(house: Any) -> Any:
    """Run a line such as `stock list` and return what it shows."""
    cli = click.Group()
    hooks.register_commands(cli)
    desk = Desk(house)

    def run(*words: str) -> Any:
        desk.shown = None
        CliRunner().invoke(cli, list(words), obj=desk, catch_exceptions=False)
        return desk.shown

    return run


def receive(billing: Any, lot: str, expires: str, quantity: str = "10", *more: str) -> Any:
    words = ("stock", "receive", "AMOX", "--lot", lot, "--expires", expires, "--quantity", quantity, "--unit-cost", "0.45")
    return billing(*words, *more)


def test_stock_is_received_and_listed(billing: Any) -> None:
    booked = receive(billing, "A1", "2026-05-30", "12.5")

    assert booked == {"code": "AMOX", "lot": "A1", "quantity": "12.5", "on_hand": "12.5"}
    assert billing("stock", "list") == [
        {
            "code": "AMOX",
            "name": "Service AMOX",
            "on_hand": "12.5",
            "sellable": "12.5",
            "reserved": "0",
            "next_expires_on": "2026-05-30",
            "reorder_level": "0",
            "to_order": False,
            "controlled": False,
        }
    ]
    assert billing("stock", "list", "--batches", "--code", "AMOX") == [
        {
            "code": "AMOX",
            "name": "Service AMOX",
            "lot": "A1",
            "expires_on": "2026-05-30",
            "on_hand": "12.5",
            "unit_cost": "0.45",
            "state": "fresh",
        }
    ]


def test_a_product_is_added(billing: Any) -> None:
    made = billing("stock", "product", "add", "AMOX", "--controlled", "--reorder-level", "5")

    assert made == {"code": "AMOX", "name": "Service AMOX", "controlled": True, "reorder_level": "5"}


def test_a_lot_is_adjusted_and_its_moves_are_listed(billing: Any) -> None:
    receive(billing, "A1", "2026-05-30")

    booked = billing("stock", "adjust", "AMOX", "--lot", "A1", "--quantity=-2", "--reason", "broken", "--key", "k1")

    assert booked["on_hand"] == "8"
    assert [(each["quantity"], each["reason"], each["note"]) for each in billing("stock", "moves", "--code", "AMOX", "--limit", "5")] == [
        ("-2", "adjustment", "broken"),
        ("10", "receipt", ""),
    ]


def test_what_has_expired_is_shown_and_written_off(billing: Any) -> None:
    receive(billing, "OLD", "2026-02-28", "3", "--allow-expired")
    receive(billing, "SOON", "2026-03-31")
    receive(billing, "LATE", "2026-04-01")

    expiring = billing("stock", "expiring", "--days", "30")
    written_off = billing("stock", "write-off")

    assert [(each["lot"], each["state"]) for each in expiring] == [("OLD", "expired"), ("SOON", "fresh")]
    assert written_off == [{"code": "AMOX", "lot": "OLD", "quantity": "-3", "on_hand": "0"}]
    assert billing("stock", "write-off") == []


def test_a_file_is_imported_once(billing: Any, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    file.write_text(
        "\ufeffservice_code,lot,expires_on,quantity,unit_cost\nAMOX,A1,2027-01-31,10,0.45\nCARP,C1,2027-01-31,5,1\n", encoding="utf-8"
    )

    first = billing("stock", "import", str(file))
    again = billing("stock", "import", str(file))

    assert (first, again) == ({"new": 2, "known": 0}, {"new": 0, "known": 2})


def test_what_is_no_csv_is_refused(billing: Any, tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", b'service_code,lot\n"open'):
        file = tmp_path / "stock.csv"
        file.write_bytes(content)

        with pytest.raises(Invalid, match="CSV"):
            billing("stock", "import", str(file))


@pytest.mark.parametrize(("expires", "quantity"), [("soon", "1"), ("2027-01-31", "many"), ("2027-01-31", "-1")])
def test_words_that_are_no_day_or_quantity_are_refused(billing: Any, expires: str, quantity: str) -> None:
    with pytest.raises(Invalid):
        receive(billing, "A1", expires, quantity)
