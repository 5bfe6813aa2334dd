"""Reports and reminders by commands alone: tables, JSON, CSV, and bars where somebody looks."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from billing import clock
from billing.interfaces.cli.charts import bar, bars

Asked = Callable[..., Any]
Billing = Callable[..., Result]

DAY = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def client(asked: Asked, database: str) -> str:
    """Add a client with a dog, and two days of work; return the client's id."""
    made = asked("client", "add", "--name", "=1+1 Owner")["id"]
    asked("price", "add", "--code", "WASH", "--department", "grooming", "--description", "Wash", "--price", "100.00", "--tax", "S:19")
    patient = asked("patient", "add", "--name", "Rex", "--species", "Dog", "--client", made)["id"]
    for days, paid in ((0, "119.00"), (1, "238.00")):
        with clock.fixed(DAY + timedelta(days=days)):
            bill = asked("invoice", "create", "--patient", patient, "--item", f"WASH:{days + 1}")["number"]
            asked("pay", bill, "--card", paid)
    with clock.fixed(DAY + timedelta(days=1, hours=1)):
        asked("invoice", "issue", asked("invoice", "create", "--patient", patient, "--item", "WASH")["number"])
    return str(made)


def test_reports_are_json_with_decimal_texts(asked: Asked, client: str) -> None:
    assert [(row["key"], row["net"]) for row in asked("report", "takings")] == [("2026-11-02", "119.00"), ("2026-11-03", "238.00")]
    assert [(row["name"], row["net"]) for row in asked("report", "takings", "--by", "department")] == [("Grooming", "357.00")]
    assert asked("report", "takings", "--from", "2026-11-03", "--until", "2026-11-04", "--by", "method") == [
        {"key": "card", "name": "card", "received": "238.00", "returned": "0.00", "net": "238.00"}
    ]
    assert asked("report", "tax") == [{"category": "S", "rate": "19", "taxable": "400.00", "tax": "76.00"}]
    assert asked("report", "voids") == asked("report", "discounts") == asked("report", "shifts") == []
    assert [(row["id"], row["total"]) for row in asked("report", "receivables")] == [(client, "119.00")]
    assert asked("report", "receivables", "--by", "payer") == []
    assert [(row["kind"], row["documents"], row["complete"]) for row in asked("report", "gaps")] == [
        ("invoice", 3, True),
        ("receipt", 2, True),
    ]
    told = asked("report", "statement", client, "--from", "2026-11-03")
    assert (told["opening_owed"], told["closing_owed"], [line["kind"] for line in told["lines"]]) == (
        "0.00",
        "119.00",
        ["issue", "payment", "issue"],
    )


def test_reports_are_csv_that_no_spreadsheet_computes(billing: Billing, client: str) -> None:
    def read(*line: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(billing("report", *line, "--csv").stdout, newline="")))

    assert read("takings") == [
        ["key", "name", "received", "returned", "net"],
        ["2026-11-02", "2026-11-02", "119.00", "0.00", "119.00"],
        ["2026-11-03", "2026-11-03", "238.00", "0.00", "238.00"],
    ]
    assert read("receivables")[1][0] == "'=1+1 Owner"
    lines = read("statement", client)
    assert lines[0][:4] == ["date", "at", "kind", "document"]
    assert [line[4] for line in lines[1:]] == ["119.00", "-119.00", "238.00", "-238.00", "119.00"]
    assert read("gaps")[1][6:] == ["yes", "", "", ""]
    for name in ("tax", "voids", "discounts", "shifts"):
        assert len(read(name)) >= 1


def test_bars_are_for_terminals_alone(billing: Billing, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "█" not in billing("report", "takings").stdout

    monkeypatch.setattr("billing.interfaces.cli.charts.on_terminal", lambda: True)

    shown = billing("report", "takings").stdout.splitlines()[-2:]
    assert shown == [f"2026-11-02  119.00  {'█' * 20}", f"2026-11-03  238.00  {'█' * 40}"]
    for line in (["--json"], ["--csv"], ["--no-chart"], ["--by", "method"]):
        assert "█" not in billing("report", "takings", *line).stdout


def test_statement_for_people_says_what_was_and_what_is_owed(billing: Billing, client: str) -> None:
    shown = billing("report", "statement", client).stdout

    assert "closing owed    119.00" in shown
    assert "R-2026-00001" in shown


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**12), st.integers(1, 80))
def test_bar_is_as_long_as_its_part(amount: int, most: int, width: int) -> None:
    length = len(bar(min(amount, most), most, width))

    assert length <= width
    assert (length > 0) or min(amount, most) * width * 16 < most
    assert bar(most, most, width) == "█" * width


def test_bars_of_nothing_are_none() -> None:
    assert bars([]) == []
    assert bars([("a", 0, "0.00"), ("b", -5, "-0.05")]) == ["a   0.00", "b  -0.05"]


def test_reminders_are_told_once(billing: Billing, asked: Asked, client: str) -> None:
    with clock.fixed(DAY + timedelta(days=1 + 14 + 7)):
        told = asked("remind")
        again = asked("remind")

    assert [(each["level"], each["due"], each["fee"], each["client_id"]) for each in told] == [(1, "119.00", "0.00", client)]
    assert again == []
    assert [each["topic"] for each in asked("events", "list")].count("invoice.reminded") == 1
    assert "nothing to show" in billing("remind").stdout
