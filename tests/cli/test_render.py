import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import pytest

from billing.interfaces.cli import render
from billing.money import currency


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Part:
    quantity_milli: int
    unit_price_e4: int


@dataclass(frozen=True, slots=True)
class Whole:
    total_minor: int
    limit_minor: int | None
    tax_rate_bp: int
    colour: Colour
    parts: tuple[Part, ...]
    data: dict[str, Any]
    count: int
    done: bool


WHOLE = Whole(14_676, None, 1_900, Colour.RED, (Part(2_500, 125),), {"share_minor": 5}, 3, done=True)


@pytest.mark.parametrize(
    ("code", "total", "unit_price", "share"),
    [("EUR", "146.76", "0.000125", "0.05"), ("JPY", "14676", "0.0125", "5"), ("KWD", "14.676", "0.0000125", "0.005")],
)
def test_amounts_have_the_currencys_digits_and_names_without_units(code: str, total: str, unit_price: str, share: str) -> None:
    shown = render.fields(WHOLE, currency(code))

    assert shown == {
        "total": total,
        "limit": None,
        "tax_rate": "19",
        "colour": "red",
        "parts": [{"quantity": "2.5", "unit_price": unit_price}],
        "data": {"share": share},
        "count": 3,
        "done": True,
    }


def test_table_puts_numbers_to_the_right_and_keeps_every_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, str | None]] = [
        {"name": "[red]Rex[/red]", "amount": "5.00"},
        {"name": "Ann :smile:", "amount": "1200.50"},
        {"name": "x" * 300, "amount": None},
    ]

    render.print_table(rows, ["name", "amount"], "UTC")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"name{' ' * 299}amount"
    assert lines[1].split() == ["[red]Rex[/red]", "5.00"]
    assert lines[2].split() == ["Ann", ":smile:", "1200.50"]
    assert len(lines[1]) == len(lines[2])
    assert lines[3] == "x" * 300


def test_table_shows_instants_by_the_clinics_clocks(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"at": datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "day": date(2026, 12, 31), "yes": True, "none": None, "list": ["a", 1]}]

    render.print_table(rows, ["at", "day", "yes", "none", "list"], "Europe/Berlin")

    assert capsys.readouterr().out.splitlines()[1].split("  ") == ["2027-01-01 00:30:00", "2026-12-31", "yes", "", "", "", "a, 1"]


def test_json_has_instants_in_iso_and_utc() -> None:
    assert json.loads(render.as_json({"at": datetime(2026, 12, 31, 23, 30, tzinfo=UTC)})) == {"at": "2026-12-31T23:30:00+00:00"}


def test_pages_become_one_array_and_are_drawn_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    printed_before_third = []

    def pages() -> Iterator[list[dict[str, Any]]]:
        yield [{"n": 1}, {"n": 2}]
        yield [{"n": 3}]
        printed_before_third.append(capsys.readouterr().out)
        yield [{"n": 4}]

    render.print_json_rows(pages())

    assert '{"n": 3}' in printed_before_third[0]
    assert json.loads(printed_before_third[0] + capsys.readouterr().out) == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]


def test_no_page_becomes_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_json_rows(iter([]))

    assert json.loads(capsys.readouterr().out) == []
