"""The commands of accounts, balances, closed months and the journal, as people and programs call them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from beancount import loader
from click.testing import Result

from billing.services import invoice_steps

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

Billing = Callable[..., Result]


@pytest.fixture
def sold(world: "CaseWorld") -> "CaseWorld":
    world.pay(world.n1().id, "cash 200")
    bill = world.bill("VISIT", issued=False).id
    world.run(lambda tx: invoice_steps.issue_invoice(tx, invoice_id=bill), at=datetime(2026, 1, 14, 9, tzinfo=UTC))
    return world


def test_chart_is_listed_and_named(sold: "CaseWorld", asked: Callable[..., Any]) -> None:
    assert asked("account", "set", "revenue:pharmacy", "--code", "8400", "--name", "Income:Drugs") == {
        "account": "revenue:pharmacy",
        "code": "8400",
        "name": "Income:Drugs",
        "own": True,
    }
    assert {"account": "cash", "code": "1000", "name": "Assets:Cash:Drawers", "own": False} in asked("account", "list")
    assert asked("account", "set", "nothing", "--code", "1") == "unknown_account"
    assert asked("account", "set", "cash", "--name", "Kasse") == "bad_account_name"


def test_balances_are_shown_for_some_days_or_all(sold: "CaseWorld", asked: Callable[..., Any], billing: Billing) -> None:
    everything = {row["name"]: row for row in asked("balances")}
    january = {row["name"]: row["closing"] for row in asked("balances", "--from", "2026-01-01", "--until", "2026-02-01")}

    assert everything["Assets:Cash:Drawers"]["closing"] == "154.00"
    assert january == {
        "Assets:Receivable:Clients": "44.00",
        "Income:Revenue:Consultation": "-40.00",
        "Liabilities:Tax:S-1000": "-4.00",
    }
    assert "Assets:Cash:Drawers" in billing("balances").stdout
    assert asked("balances", "--from", "2026-02-01", "--until", "2026-01-01") == "bad_range"


def test_month_is_closed_and_listed(sold: "CaseWorld", asked: Callable[..., Any]) -> None:
    (closed,) = asked("period", "close", "2026-01")

    assert (closed["month"], closed["until_date"]) == ("2026-01", "2026-01-31")
    assert [row["month"] for row in asked("period", "list")] == ["2026-01"]
    assert asked("period", "close", "2026-01") == "period_closed"
    assert asked("period", "close", "9999-01") == "month_not_over"


def test_journal_is_written_in_each_form(sold: "CaseWorld", billing: Billing, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    said = billing("export", "journal", "--form", "beancount", "--out", str(file))
    table = billing("export", "journal", "--from", "2026-01-01", "--until", "2026-02-01").stdout
    ledger = billing("export", "journal", "--form", "hledger").stdout

    entries, errors, _ = loader.load_string(file.read_text(encoding="utf-8"))
    assert errors == []
    assert entries
    assert said.stdout == f"3 entries written to {file}.\n"
    assert len(table.splitlines()) == 1 + 3
    assert ledger.startswith("; North\ndecimal-mark .\ncommodity 1000.00 EUR\n")
