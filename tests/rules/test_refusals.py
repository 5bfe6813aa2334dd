"""What people read when the rules refuse something: every sentence as a whole, its code, and its facts. Long input is cut to 40 characters."""

from collections.abc import Callable
from typing import Any

import pytest

from billing.errors import BillingError
from billing.money import (
    MAX_AMOUNT_MINOR,
    MAX_QUANTITY_MILLI,
    MAX_UNIT_PRICE_E4,
    allocate,
    check_amount,
    check_quantity,
    check_unit_price,
    currency,
    parse_amount,
    parse_quantity,
    parse_rate,
    parse_unit_price,
)
from billing.rules.numbers import Reset, parse_format
from billing.rules.roles import permissions_of
from billing.rules.settlement import OpenItem, Scope, check_scope, due_for_scope, settle
from billing.rules.tenders import CORE_METHODS, Method, Tender, check_tenders
from billing.rules.totals import Adjustment, Line, TaxGroup, check_invoice_totals, compute_totals

LONG = "x" * 60
CUT = repr("x" * 40)
EUR, S10, S19 = currency("EUR"), TaxGroup("S", 1000), TaxGroup("S", 1900)
METHODS = {**CORE_METHODS, "cheque": Method("cheque", needs_reference=True)}
CATEGORIES = "AE, E, G, K, L, M, O, S, Z"
ITEMS = (OpenItem("1", "lab", 100, paid=False), OpenItem("2", "ward", 200, paid=False), OpenItem("3", "desk", 50, paid=True))


def tendering(*tenders: Tender, due: int = 1000, **options: Any) -> object:
    return check_tenders(tenders, due_minor=due, methods=METHODS, currency=EUR, **({"on_account": False} | options))


def refuse(line: Line, *adjustments: Adjustment) -> None:
    check_invoice_totals(compute_totals([line], adjustments), [line])


Case = tuple[Callable[[], object], str, str, dict[str, Any]]

MONEY: dict[str, Case] = {
    "unknown currency": (
        lambda: currency(LONG),
        "unknown_currency",
        f"{CUT} is no currency: give an active ISO 4217 code in capitals, such as EUR.",
        {"currency_code": LONG},
    ),
    "amount beyond bounds": (
        lambda: check_amount(MAX_AMOUNT_MINOR + 1),
        "amount_out_of_bounds",
        "An amount is too large: at most 90000000000000 of the currency's smallest units can be handled. Check the input.",
        {"amount_minor": MAX_AMOUNT_MINOR + 1},
    ),
    "quantity beyond bounds": (
        lambda: check_quantity(-MAX_QUANTITY_MILLI - 1),
        "bad_quantity",
        "A quantity is too large: at most 1000000000 units can be billed on a line.",
        {"quantity_milli": -MAX_QUANTITY_MILLI - 1},
    ),
    "price beyond bounds": (
        lambda: check_unit_price(MAX_UNIT_PRICE_E4 + 1),
        "bad_unit_price",
        "A unit price is too large: at most 90000000000000 of the currency's smallest units can be billed.",
        {"unit_price_e4": MAX_UNIT_PRICE_E4 + 1},
    ),
    "no amount": (
        lambda: parse_amount(LONG, EUR),
        "bad_amount",
        f"{CUT} is no amount in EUR: write plain digits with at most 2 decimals after a point, such as 12.50.",
        {"text": LONG},
    ),
    "decimals of yen": (
        lambda: parse_amount("1.5", currency("JPY")),
        "bad_amount",
        "'1.5' is no amount in JPY: write plain digits with no decimals, such as 1250.",
        {"text": "1.5"},
    ),
    "negative amount": (
        lambda: parse_amount(f"-{'1' * 50}", EUR),
        "bad_amount",
        f"'-{'1' * 39}' is no amount in EUR: it can't be negative.",
        {"text": f"-{'1' * 50}"},
    ),
    "negative price": (
        lambda: parse_unit_price("-1", EUR),
        "bad_unit_price",
        "'-1' is no unit price in EUR: it can't be negative.",
        {"text": "-1"},
    ),
    "negative quantity text": (
        lambda: parse_quantity("-1"),
        "bad_quantity",
        "'-1' is no quantity: it can't be negative.",
        {"text": "-1"},
    ),
    "negative rate": (lambda: parse_rate("-1"), "bad_rate", "'-1' is no tax rate in percent: it can't be negative.", {"text": "-1"}),
    "rate above 100": (
        lambda: parse_rate("1" * 50),
        "bad_rate",
        f"'{'1' * 40}' is no tax rate: it must lie between 0 and 100 percent.",
        {"text": "1" * 50},
    ),
}

TOTALS: dict[str, Case] = {
    "unknown category": (
        lambda: TaxGroup(LONG, 5),
        "bad_tax_group",
        f"{CUT} is no tax category: use one of {CATEGORIES}.",
        {"category": LONG, "rate_bp": 5},
    ),
    "taxed exemption": (
        lambda: TaxGroup("E", 750),
        "bad_tax_group",
        "The tax rate of category E must be 0 percent, not 7.5.",
        {"category": "E", "rate_bp": 750},
    ),
    "rate of a group above 100": (
        lambda: TaxGroup("S", 10_001),
        "bad_tax_group",
        "The tax rate of category S must lie between 0 and 100 percent, not 100.01.",
        {"category": "S", "rate_bp": 10_001},
    ),
    "no base quantity": (
        lambda: Line(1000, 1, S10, price_base_quantity_milli=0),
        "bad_quantity",
        "A price base quantity must be above zero.",
        {"quantity_milli": 0},
    ),
    "negative discount": (
        lambda: Adjustment(charge=False, amount_minor=-1, tax=S10),
        "bad_amount",
        "An allowance or charge can't be negative: give it as the other one.",
        {"amount_minor": -1},
    ),
    "credit": (
        lambda: refuse(Line(-1000, 10_000, S10)),
        "negative_quantity",
        "Line 1 has a negative quantity: correct an issued invoice with a credit note.",
        {"line": 1},
    ),
    "line below zero": (
        lambda: refuse(Line(1000, 10_000, S10, allowance_minor=2)),
        "negative_total",
        "Line 1 comes to less than zero: lower its discount or correct its price.",
        {"line": 1},
    ),
    "discount on no line": (
        lambda: refuse(Line(1000, 10_000, S10), Adjustment(charge=True, amount_minor=1, tax=S19)),
        "adjustment_without_lines",
        "A discount or charge names the tax group S 19 %, but no line has it: name the tax of a line.",
        {"tax": S19},
    ),
    "discount above its group": (
        lambda: refuse(Line(1000, 10_000, S10), Adjustment(charge=False, amount_minor=2, tax=S10)),
        "negative_total",
        "The discount on tax group S 10 % is larger than what is billed there: lower it.",
        {"tax": S10},
    ),
}

SETTLEMENT: dict[str, Case] = {
    "no scope": (Scope.of, "bad_scope", "A payment needs a scope: name a department, ALL or ON_ACCOUNT.", {"text": ""}),
    "no department code": (
        lambda: Scope.of("lab", "X" * 60),
        "bad_scope",
        f"{'X' * 40!r} is no department code: name departments, split by commas, or one of ALL and ON_ACCOUNT.",
        {"text": f"lab,{'X' * 60}"},
    ),
    "unknown department": (
        lambda: check_scope(Scope.of("moon"), ITEMS, department_order=["spa"]),
        "unknown_department",
        "'moon' is no department of this clinic: choose from desk, lab, spa, ward, or ALL.",
        {"department": "moon"},
    ),
    "nothing unpaid": (
        lambda: due_for_scope(ITEMS[2:], Scope.all(), amount_due_minor=0),
        "already_paid",
        "This invoice is already paid: nothing is due, so look at its receipts.",
        {},
    ),
    "nothing of the scope": (
        lambda: due_for_scope(ITEMS, Scope.of("desk"), amount_due_minor=300),
        "nothing_to_pay",
        "Nothing is left to pay for desk: what is unpaid is in lab, ward.",
        {"scope": "desk"},
    ),
    "written off": (
        lambda: settle(
            ITEMS,
            scope=Scope.of("ward"),
            applied_minor=150,
            total_minor=350,
            amount_paid_minor=50,
            department_order=["lab"],
            written_off_minor=150,
        ),
        "part_written_off",
        "Part of this invoice was written off, so ward can't be settled whole: take the money on account instead.",
        {"scope": "ward", "short_minor": 50},
    ),
}

TENDERS: dict[str, Case] = {
    "unknown method": (
        lambda: tendering(Tender(LONG, 1000)),
        "unknown_method",
        f"{CUT} is no payment method here: choose from card, cash, cheque, transfer, wallet.",
        {"method": LONG},
    ),
    "no reference": (
        lambda: tendering(Tender("cheque", 1000, " ")),
        "reference_missing",
        "A payment by cheque needs a reference: give the one of its slip or statement.",
        {"method": "cheque"},
    ),
    "negative tender": (
        lambda: tendering(Tender("card", -1)),
        "bad_payment_amount",
        "An amount by card must be above zero and at most 900000000000.00: a payment is never negative.",
        {"amount_minor": -1},
    ),
    "zero tender": (
        lambda: tendering(Tender("card", 1000), Tender("cash", 0)),
        "bad_payment_amount",
        "An amount of zero pays nothing: leave this tender out, or give its amount.",
        {"amount_minor": 0},
    ),
    "too much on account": (
        lambda: tendering(Tender("card", 1001), on_account=True),
        "bad_payment_amount",
        "10.01 EUR can't be taken on account: it must be above zero and at most 10.00 EUR, which is due on the invoice.",
        {"amount_minor": 1001, "due_minor": 1000},
    ),
    "underpaid": (
        lambda: tendering(Tender("card", 999)),
        "underpaid",
        "9.99 EUR is less than 10.00 EUR, which is due: take 0.01 EUR more, or a smaller amount on account.",
        {"due_minor": 1000, "tendered_minor": 999},
    ),
    "overpaid": (
        lambda: tendering(Tender("card", 1001)),
        "overpaid",
        (
            "10.01 EUR is more than 10.00 EUR, which is due, and this can't be given back as change: take the exact amount; "
            "`billing wallet top-up` keeps the rest for the client."
        ),
        {"due_minor": 1000, "tendered_minor": 1001},
    ),
}


def _bad_format(text: str, reset: Reset, reason: str) -> Case:
    sentence = f"The number format {text!r} can't be used: {reason}. An example: INV-{{year}}-{{number:05}}."
    return lambda: parse_format(text, reset), "bad_number_format", sentence, {"text": text}


NUMBERS: dict[str, Case] = {
    "no number": _bad_format("INV-", Reset.NEVER, "it needs {number} or {number:05} exactly once"),
    "too long": _bad_format(f"{'I' * 33}{{number}}", Reset.NEVER, "it has more than 40 characters"),
    "too many digits": _bad_format("{number:013}", Reset.NEVER, "a number has at most 12 digits"),
    "other signs": _bad_format(
        "€{number}",
        Reset.NEVER,
        "around the number only A-Z, a-z, 0-9, the signs - / . _ and the fields {year} and {month} are allowed",
    ),
    "bad beginning": _bad_format(
        "-{number}",
        Reset.NEVER,
        "it must begin with a letter, a digit or a field, and hold no '..', to be safe in file names and spreadsheets",
    ),
    "no period": _bad_format("{number}", Reset.MONTH, "it resets by month, so without {month} and {year} its numbers would repeat"),
    "needless period": _bad_format(
        "{year}{month}{number}", Reset.NEVER, "it has {month} and {year}, but the reset 'never': choose the reset that goes with it"
    ),
}

ROLES: dict[str, Case] = {
    "unknown role": (
        lambda: permissions_of(LONG, plugin_grants={"nurse": ()}),
        "unknown_role",
        f"{CUT} is no role: choose from admin, auditor, cashier, clinician, importer, manager, nurse, operator.",
        {"role": LONG},
    )
}

CASES = MONEY | TOTALS | SETTLEMENT | TENDERS | NUMBERS | ROLES


@pytest.mark.parametrize("case", CASES)
def test_refusal_says_the_whole_sentence_with_its_code_and_facts(case: str) -> None:
    act, code, sentence, facts = CASES[case]

    with pytest.raises(BillingError) as caught:
        act()

    assert (caught.value.code, caught.value.sentence, caught.value.facts) == (code, sentence, facts)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "scope with an amount": (
        lambda: tendering(Tender("card", 1000), applied_minor=1000),
        "what is due is 0 or more, and only a payment on account names its amount",
    ),
    "negative weights": (lambda: allocate(1, [1, -1]), "weights must not be negative"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_of_a_caller_is_told_in_full(mistake: str) -> None:
    act, sentence = MISTAKES[mistake]

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared whole
        act()

    assert str(caught.value) == sentence
