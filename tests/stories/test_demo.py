"""The demonstration: what a newcomer sees first, with all departments."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from billing.interfaces.cli.frame import Frame

Billing = Callable[..., Result]


@pytest.fixture
def billing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Billing:
    """Run a command line in this process, with a database, a cache and a folder for passing files of its own."""
    monkeypatch.setenv("BILLING_DATABASE_URL", f"sqlite:///{tmp_path / 'mine.sqlite3'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    passing = tmp_path / "passing"
    passing.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(passing))
    return lambda *args: CliRunner(catch_exceptions=False).invoke(Frame(), list(args))


def test_day_at_the_till_is_told_to_programs(billing: Billing, tmp_path: Path) -> None:
    result = billing("demo", "--json")

    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    invoices = {each["patient"]: (each["status"], each["amount_due"]) for each in shown["invoices"]}
    assert len(shown["invoices"]) == 6
    assert {patient for patient, (status, _) in invoices.items() if status != "paid"} == {"Minka (cat of Tomas Ruiz)"}
    assert shown["doctor"]["healthy"]
    assert set(shown["lists"]) == {"fee list", "lab worklist", "stock list"}
    assert {each["plugin"] for each in shown["effects"]} == {"consultation", "laboratory", "pharmacy"}
    assert not (tmp_path / "mine.sqlite3").exists()
    assert list((tmp_path / "passing").iterdir()) == []


def test_each_way_to_pay_and_each_refusal_is_shown(billing: Billing) -> None:
    till = json.loads(billing("--json", "demo").stdout)["till"]

    by_visit: dict[str, list[dict[str, Any]]] = {}
    for step in (each for each in till if "visit" in each):
        by_visit.setdefault(step["visit"], []).append(step)
    assert [step["scope"] for step in by_visit["1"]] == ["consultation", "laboratory", "pharmacy"]
    first, again = by_visit["2"]
    assert (first["replayed"], again["replayed"], first["receipt_number"]) == (False, True, again["receipt_number"])
    assert first["change"] != "0.00"
    assert [step["scope"] for step in by_visit["3"]] == ["ON_ACCOUNT"] * 3
    assert (by_visit["3"][0]["settled"], by_visit["3"][-1]["status"]) == ([], "paid")
    assert [step.get("refused") for step in by_visit["4"]] == ["out_of_stock", None, None, "out_of_stock"]
    assert (by_visit["4"][0]["plugin"], "expired" in by_visit["4"][0]["message"]) == ("pharmacy", True)
    assert [step.get("refused") for step in by_visit["6"]] == ["underpaid", None]
    assert [step["act"] for step in till if "act" in step] == ["void", "refund", "top_up", "claims", "shift_closed"]
    assert till[-1]["differences"]["cash"] == "-0.50"


def test_receipts_have_no_gap_although_some_payments_were_refused(billing: Billing) -> None:
    till = json.loads(billing("--json", "demo").stdout)["till"]

    numbers = list(dict.fromkeys(step["receipt_number"] for step in till if "receipt_number" in step))
    again = [step["paid_again"] for step in till if step.get("act") == "void"]

    assert sorted(int(number.rsplit("-", 1)[1]) for number in [*numbers, *again]) == list(range(1, 14))


def test_day_is_told_to_people_line_by_line(billing: Billing) -> None:
    result = billing("demo")

    assert result.exit_code == 0
    for told in (
        "Balu (dog of Ada Okafor), seen by Dr. Paul Brandt: INV-",
        "the same receipt: the key was used before",
        "refused by pharmacy  ALL: Not enough in stock",
        "RECEIPT R-",
        "billing stock list",
        "billing lab worklist",
        "everything is as it must be",
    ):
        assert told in result.stdout


def test_database_can_be_kept_and_looked_into(billing: Billing, tmp_path: Path) -> None:
    kept = tmp_path / "kept.sqlite3"

    assert f"billing --database sqlite:///{kept} invoice list" in billing("demo", "--keep", str(kept)).stdout

    listed = json.loads(billing("--json", "--database", f"sqlite:///{kept}", "invoice", "list", "--all").stdout)
    assert len(listed) == 6
    again = billing("demo", "--keep", str(kept))
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_one_department_alone_is_enough(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PLUGINS", "consultation")

    shown = json.loads(billing("demo", "--json").stdout)

    assert {each["status"] for each in shown["invoices"]} == {"paid", "cancelled"}  # one is refunded whole
    assert shown["doctor"]["healthy"]


def test_without_departments_it_says_what_is_missing(billing: Billing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PLUGINS", "")

    result = billing("demo")

    assert (result.exit_code, "No plugin brings anything to show" in result.stderr) == (6, True)
