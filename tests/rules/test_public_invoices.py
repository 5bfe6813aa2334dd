"""Public example invoices come out to the cent, and their file format and command refuse what can't be understood."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from billing.interfaces.cli.frame import Frame
from billing.rules.cases import BadCaseFile, Case, read_cases
from billing.rules.totals import AdjustmentWithoutLines, check_invoice_totals

PUBLIC_INVOICES = 33

EXAMPLE = {
    "source": "example",
    "kind": "invoice",
    "currency": "EUR",
    "lines": [
        {
            "description": "Visit",
            "quantity": "2",
            "unit_price": "30.0000000000",
            "price_base_quantity": "1",
            "allowances": ["1.00"],
            "charges": ["0.50"],
            "tax_category": "S",
            "tax_rate": "19.00",
            "net": "59.50",
        },
    ],
    "document": [{"charge": False, "amount": "9.50", "tax_category": "S", "tax_rate": "19"}],
    "expected": {
        "line_total": "59.50",
        "allowance_total": "9.50",
        "charge_total": "0",
        "net_total": "50.00",
        "tax_total": "9.50",
        "gross_total": "59.50",
        "prepaid": "20.00",
        "rounding": "-0.50",
        "payable": "39.00",
        "tax": [{"category": "S", "rate": "19", "taxable": "50.00", "tax": "9.50"}],
    },
}


@pytest.fixture(scope="module")
def public_invoices() -> list[Case]:
    folder = os.environ.get("BILLING_SHARED_DATA")
    if not folder:
        pytest.skip("BILLING_SHARED_DATA is not set: it names the folder with en16931/totals.json, the public example invoices")
    return read_cases(Path(folder) / "en16931" / "totals.json")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[object], list[Case]]:
    """Read what is given (text as it is, anything else as JSON) through a file."""

    def write_and_read(content: object) -> list[Case]:
        return read_cases(write(tmp_path, content))

    return write_and_read


def write(folder: Path, content: object) -> Path:
    file = folder / "cases.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def example(*path: str | int, put: object) -> list[object]:
    """Give the example with one part of it replaced; None removes it."""
    changed = copy.deepcopy(EXAMPLE)
    *way, last = path
    part: object = changed
    for step in way:
        part = part[step]  # type: ignore[index]
    if put is None:
        del part[last]  # type: ignore[attr-defined]
    else:
        part[last] = put  # type: ignore[index]
    return [changed]


def run(folder: Path, content: object, *options: str) -> Result:
    return CliRunner().invoke(Frame(), ["totals", str(write(folder, content)), *options])


def test_all_public_invoices_are_there(public_invoices: list[Case]) -> None:
    assert len({case.source for case in public_invoices}) == PUBLIC_INVOICES


@pytest.mark.parametrize("number", range(PUBLIC_INVOICES))
def test_public_invoice_comes_out_to_the_cent(public_invoices: list[Case], number: int) -> None:
    case = public_invoices[number]

    totals = case.compute()

    assert (case.source, case.differences(totals)) == (case.source, [])
    assert case.expected is not None
    assert case.expected.amounts.keys() == case.amounts(totals).keys() - {"prepaid", "rounding"}
    assert case.expected.taxes
    assert None not in case.line_nets


@pytest.mark.parametrize("number", range(PUBLIC_INVOICES))
def test_lines_of_a_public_invoice_sum_to_it_unless_an_adjustment_has_no_line(public_invoices: list[Case], number: int) -> None:
    case = public_invoices[number]
    groups = {line.tax for line in case.lines}
    stray = [each for each in case.adjustments if each.tax not in groups]

    totals = case.compute()

    stray_minor = sum(each.amount_minor if each.charge else -each.amount_minor for each in stray)
    assert sum(part.total_minor for part in totals.lines) == totals.gross_total_minor - stray_minor
    if stray and all(line.quantity_milli >= 0 for line in case.lines):
        with pytest.raises(AdjustmentWithoutLines):
            check_invoice_totals(totals, case.lines)


def test_example_is_computed_as_it_states(read: Callable[[object], list[Case]]) -> None:
    (case,) = read([EXAMPLE])

    totals = case.compute()

    assert case.differences(totals) == []
    assert (totals.gross_total_minor, case.payable_minor(totals)) == (5950, 3900)


@pytest.mark.parametrize(
    ("path", "difference"),
    [
        (("lines", 0, "net"), "net of line 1 is 59.50, expected 77.77"),
        (("expected", "line_total"), "line_total is 59.50, expected 77.77"),
        (("expected", "allowance_total"), "allowance_total is 9.50, expected 77.77"),
        (("expected", "charge_total"), "charge_total is 0.00, expected 77.77"),
        (("expected", "net_total"), "net_total is 50.00, expected 77.77"),
        (("expected", "tax_total"), "tax_total is 9.50, expected 77.77"),
        (("expected", "gross_total"), "gross_total is 59.50, expected 77.77"),
        (("expected", "payable"), "payable is 39.00, expected 77.77"),
        (("expected", "prepaid"), "payable is -18.77, expected 39.00"),
        (("expected", "rounding"), "payable is 117.27, expected 39.00"),
        (("expected", "tax", 0, "taxable"), "taxable amount of S 19 % is 50.00, expected 77.77"),
        (("expected", "tax", 0, "tax"), "tax of S 19 % is 9.50, expected 77.77"),
    ],
)
def test_every_stated_amount_is_compared(read: Callable[[object], list[Case]], path: tuple[str | int, ...], difference: str) -> None:
    (case,) = read(example(*path, put="77.77"))

    assert case.differences(case.compute()) == [difference]


def test_tax_group_that_only_one_side_has_is_a_difference(read: Callable[[object], list[Case]]) -> None:
    (case,) = read(example("expected", "tax", 0, "rate", put="7"))

    assert case.differences(case.compute()) == [
        "taxable amount of S 7 % is missing, expected 50.00",
        "tax of S 7 % is missing, expected 9.50",
        "taxable amount of S 19 % is 50.00, expected missing",
        "tax of S 19 % is 9.50, expected missing",
    ]


@pytest.mark.parametrize("path", [("expected",), ("expected", "tax"), ("expected", "gross_total"), ("lines", 0, "net")])
def test_what_is_not_stated_is_not_compared(read: Callable[[object], list[Case]], path: tuple[str | int, ...]) -> None:
    (case,) = read(example(*path, put=None))

    assert case.differences(case.compute()) == []


def test_currency_and_lines_are_enough_for_a_case(read: Callable[[object], list[Case]]) -> None:
    (case,) = read([{"currency": "JPY", "lines": [{"quantity": "1", "unit_price": "1127", "tax_category": "S", "tax_rate": "10"}]}])

    totals = case.compute()

    assert (case.source, case.kind, totals.gross_total_minor, case.payable_minor(totals)) == ("case 1", "invoice", 1240, 1240)


@pytest.mark.parametrize(
    ("path", "put", "sentence"),
    [
        (("lines", 0, "quantity"), "NaN", "case 1 (example), lines 1, quantity: 'NaN' is no quantity"),
        (("lines", 0, "quantity"), "1e3", "lines 1, quantity: '1e3' is no quantity"),
        (("lines", 0, "quantity"), float("nan"), "lines 1, quantity: this must be a text in quotes"),
        (("lines", 0, "quantity"), 2, "lines 1, quantity: this must be a text in quotes"),
        (("lines", 0, "quantity"), "9" * 20, "lines 1, quantity: A quantity is too large"),
        (("lines", 0, "quantity"), None, "lines 1: the field 'quantity' is missing"),
        (("lines", 0, "unit_price"), "-30", "lines 1, unit_price: '-30' is no unit price in EUR: it can't be negative"),
        (("lines", 0, "unit_price"), "900000000000", "example: An amount is too large"),
        (("lines", 0, "price_base_quantity"), "0", "lines 1: A price base quantity must be above zero"),
        (("lines", 0, "allowances"), ["1.005"], "lines 1, allowances 1: '1.005' is no amount in EUR"),
        (("lines", 0, "charges"), "1.00", "lines 1: charges must be a list"),
        (("lines", 0, "tax_category"), "VAT", "lines 1: 'VAT' is no tax category"),
        (("lines", 0, "tax_category"), "E", "lines 1: The tax rate of category E must be 0 percent, not 19"),
        (("lines", 0, "tax_rate"), "101", "lines 1, tax_rate: '101' is no tax rate"),
        (("lines", 0, "net"), "59,50", "lines 1, net: '59,50' is no amount in EUR"),
        (("lines", 0), [], "lines 1: this must be an object with named fields"),
        (("lines",), None, "case 1 (example): there must be at least one line"),
        (("lines",), {}, "case 1 (example): lines must be a list"),
        (("currency",), "EURO", "case 1 (example), currency: 'EURO' is no currency"),
        (("currency",), "JPY", "charges 1: '0.5' is no amount in JPY"),
        (("currency",), ["EUR"], "currency: this must be a text in quotes"),
        (("source",), "a\nb", "source: this must be one line without control characters"),
        (("document", 0, "charge"), "false", "document 1, charge: this must be true or false"),
        (("document", 0, "amount"), "-1.00", "document 1, amount: '-1' is no amount in EUR: it can't be negative"),
        (("expected",), "59.50", "expected: this must be an object with named fields"),
        (("expected", "gros_total"), "59.50", "expected: there is no total named 'gros_total'"),
        (("expected", "tax", 0, "taxable"), "Infinity", "expected, tax 1, taxable: 'Infinity' is no amount in EUR"),
        (("expected", "tax"), [EXAMPLE["expected"]["tax"][0]] * 2, "expected: a tax group stands in it twice"),  # type: ignore[index]
    ],
)
def test_bad_field_is_refused_by_its_name(tmp_path: Path, path: tuple[str | int, ...], put: object, sentence: str) -> None:
    answer = run(tmp_path, example(*path, put=put))

    assert sentence in answer.stderr
    assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is no JSON file"),
        ("[1,", "is no JSON file"),
        ("[" * 100_000, "is no JSON file"),
        ("1" * 5000, "is no JSON file"),
        ("{}", "holds no cases"),
        ("NaN", "holds no cases"),
        ("[]", "holds no cases"),
        ("[null]", "case 1: this must be an object with named fields"),
    ],
)
def test_file_that_is_no_list_of_cases_is_refused(read: Callable[[object], list[Case]], content: str, sentence: str) -> None:
    with pytest.raises(BadCaseFile) as refused:
        read(content)

    assert sentence in str(refused.value)
    assert refused.value.code == "bad_case_file"


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCaseFile, match="can't be read: No such file"):
        read_cases(tmp_path / "nowhere.json")


def test_file_of_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "latin.json"
    file.write_bytes('[{"source": "Käse"}]'.encode("latin-1"))

    with pytest.raises(BadCaseFile, match="is no JSON file"):
        read_cases(file)


def test_command_prints_totals_and_ok(tmp_path: Path) -> None:
    answer = run(tmp_path, [EXAMPLE])

    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[0] == "example (invoice, EUR)"
    assert [line.split() for line in answer.stdout.splitlines()[1:3]] == [
        ["tax", "S", "19", "%", "9.50", "on", "50.00"],
        ["line", "total", "59.50"],
    ]
    assert answer.stdout.endswith("  ok\n\n1 computed, 0 with differences.\n")


def test_command_says_what_differs_and_exits_with_1(tmp_path: Path) -> None:
    answer = run(tmp_path, [EXAMPLE, *example("expected", "payable", put="39.01")])

    assert answer.exit_code == 1
    assert "  differs: payable is 39.00, expected 39.01\n" in answer.stdout
    assert answer.stdout.endswith("2 computed, 1 with differences.\n")


def test_command_prints_json_with_decimal_texts(tmp_path: Path) -> None:
    answer = run(tmp_path, example("expected", "payable", put="39.01"), "--json")

    assert answer.exit_code == 1
    (document,) = json.loads(answer.stdout)
    assert document["lines"] == [{"net": "59.50", "adjustment": "-9.50", "taxable": "50.00", "tax": "9.50", "total": "59.50"}]
    assert document["tax"] == [{"category": "S", "rate": "19", "taxable": "50.00", "tax": "9.50"}]
    assert (document["gross_total"], document["payable"], document["ok"]) == ("59.50", "39.00", False)
    assert document["differences"] == ["payable is 39.00, expected 39.01"]
