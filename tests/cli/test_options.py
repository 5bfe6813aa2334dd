import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from billing.errors import Invalid
from billing.interfaces.cli import invoice_content
from billing.interfaces.cli.files import CanNotWrite, writing
from billing.interfaces.cli.invoice_content import Item
from billing.interfaces.cli.options import BadOption, pairs, parse_tax, parse_value, split

Asked = Callable[..., Any]
Billing = Callable[..., Result]


@pytest.mark.parametrize(
    ("text", "category", "rate_bp"),
    [("S:19", "S", 1_900), ("19", "S", 1_900), ("7.5", "S", 750), ("0", "Z", 0), ("0.00", "Z", 0), ("e", "E", 0), ("O", "O", 0)],
)
def test_tax_is_read(text: str, category: str, rate_bp: int) -> None:
    tax = parse_tax(text)

    assert (tax.category, tax.rate_bp) == (category, rate_bp)


@pytest.mark.parametrize("text", ["", "X:19", "S:101", "S:nan", "E:19", "-7", "S:1:2"])
def test_tax_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_tax(text)


@pytest.mark.parametrize(
    ("text", "code", "quantity"),
    [
        ("V1", "V1", "1"),
        ("V1:2.5", "V1", "2.5"),
        ("LOINC:2345-7", "LOINC:2345-7", "1"),
        ("LOINC:2345-7:3", "LOINC:2345-7", "3"),
        ("X:10=1", "X:10", "1"),
        ("V1=nan", "V1", "nan"),
    ],
)
def test_item_is_a_code_with_a_quantity(text: str, code: str, quantity: str) -> None:
    content = invoice_content.read({"items": (text,)})

    assert content.items == (Item(code=code, quantity=quantity),)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("grooming:Wash:12.50", ("grooming", "Wash", "12.50", None)),
        ("grooming:Wash:12.50:19", ("grooming", "Wash", "12.50", "19")),
        ("grooming:Wash: with foam:12.50:S:19", ("grooming", "Wash: with foam", "12.50", "S:19")),
        ("grooming:Wash:12:E", ("grooming", "Wash", "12", "E")),
    ],
)
def test_free_text_is_department_description_price_and_perhaps_tax(text: str, parts: tuple[str | None, ...]) -> None:
    (item,) = invoice_content.read({"texts": (text,)}).items or ()

    assert (item.department, item.description, item.price, item.tax) == parts


@pytest.mark.parametrize("text", ["", "grooming", "grooming:Wash", "grooming:Wash:cheap", "grooming:Wash:-5", ":Wash:5"])
def test_free_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadOption):
        invoice_content.read({"texts": (text,)})


@pytest.mark.parametrize("name", ["total", "tax", "status", "number", "subtotal", "net", "clinic", "date"])
def test_file_that_says_what_is_computed_here_is_refused(name: str) -> None:
    file = BytesIO(json.dumps({"patient": "p", "items": [{"code": "V1"}], name: "1.00"}).encode())

    with pytest.raises(BadOption, match=f"{name}: it can't be given"):
        invoice_content.read({"file": file})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"items": [{"code": "V1", "total": "1"}]}',
        '{"items": [{"code": "V1", "quantity": 2.5}]}',
        '{"items": {"code": "V1"}}',
    ],
)
def test_file_that_is_no_invoice_is_refused(text: str) -> None:
    with pytest.raises(BadOption):
        invoice_content.read({"file": BytesIO(text.encode())})


def test_file_and_options_do_not_mix() -> None:
    with pytest.raises(BadOption):
        invoice_content.read({"file": BytesIO(b"{}"), "note": "hello"})


def test_values_are_json_or_text_and_never_floats() -> None:
    read = [parse_value(text) for text in ("true", "30", '["a"]', "plain", '"2.50"')]

    assert read == [True, 30, ["a"], "plain", "2.50"]
    with pytest.raises(BadOption):
        parse_value("2.50")


def test_pairs_and_parts_say_how_they_are_written() -> None:
    assert pairs(("a=1", "b=x=y"), "the policy") == {"a": "1", "b": "x=y"}
    assert split("5.00:a good: friend", "--discount", "amount:reason", least=2) == ["5.00", "a good: friend"]
    with pytest.raises(BadOption, match="write it like name=value"):
        pairs(("a",), "the policy")
    with pytest.raises(BadOption, match="write it like amount:reason"):
        split("5.00", "--discount", "amount:reason", least=2)


def test_file_stands_only_when_it_is_complete(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "list.csv") as stream:
            stream.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    left = list(tmp_path.iterdir())
    with writing(tmp_path / "list.csv") as stream:
        stream.write("whole")

    assert left == []
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("list.csv", "whole")]


def test_file_that_can_not_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CanNotWrite), writing(tmp_path / "nowhere" / "list.csv"):
        pass


@pytest.mark.parametrize("day", ["2027-02-30", "20270131", "today", "2027-1-31"])
def test_day_is_written_in_one_way(day: str, billing: Billing) -> None:
    result = billing("patient", "add", "--name", "Rex", "--birth-date", day)

    assert result.exit_code == 2
    assert "write it like 2027-01-31" in result.stderr
