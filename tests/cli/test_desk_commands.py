"""Wallets, one payment over several invoices, and discounts, by commands alone."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

Asked = Callable[..., Any]
Billing = Callable[..., Result]


@pytest.fixture
def owner(asked: Asked, database: str) -> str:
    """Add a client with a dog and a service; return the client's id."""
    client = asked("client", "add", "--name", "Ms Owner")["id"]
    asked("price", "add", "--code", "WASH", "--department", "grooming", "--description", "Wash", "--price", "100.00")
    asked("patient", "add", "--name", "Rex", "--species", "Dog", "--client", client)
    return str(client)


def draft(asked: Asked) -> str:
    patient = asked("patient", "list")[0]["id"]
    return str(asked("invoice", "create", "--patient", patient, "--item", "WASH")["number"])


def test_wallet_is_topped_up_paid_from_and_paid_out(billing: Billing, asked: Asked, owner: str) -> None:
    up = asked("wallet", "top-up", owner, "cash=200", "--amount", "150", "--reason", "deposit")
    again = [asked("wallet", "top-up", owner, "transfer=10:T-1", "--key", "k")["replayed"] for _ in range(2)]
    asked("pay", draft(asked), "--tender", "wallet=60", "--card", "40")
    out = asked("wallet", "pay-out", owner, "20", "--reason", "asked for it")

    assert (up["amount"], up["change"], up["receipt_number"]) == ("150.00", "50.00", "R-2026-00001")
    assert again == [False, True]
    assert (out["amount"], out["receipt_number"]) == ("-20.00", "R-2026-00004")
    assert asked("wallet", "show", owner)["balance"] == "80.00"
    seen = asked("wallet", "statement", owner)
    assert [(line["kind"], line["amount"], line["balance"]) for line in seen["lines"]] == [
        ("top_up", "150.00", "150.00"),
        ("top_up", "10.00", "160.00"),
        ("payment", "-60.00", "100.00"),
        ("pay_out", "-20.00", "80.00"),
    ]
    assert "deposit" in billing("wallet", "statement", owner, "--from", "2026-01-01").stdout
    refused = billing("--json", "wallet", "pay-out", owner, "80.01", "--reason", "too much")
    assert json.loads(refused.stderr or refused.stdout)["error"]["code"] == "wallet_too_low"
    assert billing("wallet", "top-up", owner, "cash").exit_code == 2


def test_several_invoices_are_paid_at_once(billing: Billing, asked: Asked, owner: str) -> None:
    first, second = draft(asked), draft(asked)

    taken = asked("pay-all", first, second, "--card", "150:C-1", "--cash", "30")
    asked("pay-all", "--client", owner, "--cash", "50")

    assert [(part["scope"], part["applied"], part["receipt_number"]) for part in taken["parts"]] == [
        ("ALL", "100.00", "R-2026-00001"),
        ("ON_ACCOUNT", "80.00", "R-2026-00002"),
    ]
    assert {each["status"] for each in asked("invoice", "list")} == {"paid"}
    assert billing("pay-all", "--cash", "1").exit_code == 2
    assert billing("pay-all", first).exit_code == 2


def test_discounts_are_given_approved_and_redeemed(billing: Billing, asked: Asked, owner: str) -> None:
    asked("staff", "add", "--login", "carl", "--name", "Carl", "--role", "clinician")
    number = draft(asked)
    asked("discount", "add", "spring", "25%", "--uses", "1", "--reason", "Spring")
    as_carl = ("--as", "carl")

    assert asked(*as_carl, "discount", "give", number, "10%", "--reason", "regular")["total"] == "90.00"
    refused = billing("--json", *as_carl, "discount", "give", number, "5.00", "--item", "1", "--reason", "scratch")
    asked("approve", "discount", number, "--reason", "it is scratched", "--most", "15.00")
    given = asked(*as_carl, "discount", "give", number, "5.00", "--item", "1", "--reason", "scratch")
    redeemed = asked(*as_carl, "discount", "redeem", number, "SPRING")

    assert json.loads(refused.stderr or refused.stdout)["error"]["code"] == "discount_above_limit"
    assert given["total"] == "85.00"
    assert redeemed["total"] == "61.25"
    assert [(each["code"], each["uses"], each["uses_left"]) for each in asked("discount", "list")] == [("SPRING", 1, 0)]
    assert asked("discount", "end", "spring")["active"] is False
    assert billing("discount", "give", number, " ", "--reason", "x").exit_code == 2
