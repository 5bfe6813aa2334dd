"""Reads documents and the totals that they state from a JSON file and compares them with ours; knows nothing of tables or clinics.

The file is a list of cases. A case has a currency and lines (quantity, unit_price, tax_category, tax_rate; and perhaps description,
price_base_quantity, allowances, charges, net), and perhaps a source, a kind, document allowances and charges, and `expected` totals.
Every number is a text such as "12.50". `prepaid` and `rounding` under `expected` are inputs; what is not stated is not compared.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from billing.errors import Invalid
from billing.money import Currency, currency, format_amount, parse_amount, parse_quantity, parse_rate, parse_unit_price
from billing.rules.totals import Adjustment, Line, TaxGroup, TaxTotal, Totals, compute_totals

_TOTALS = ("line_total", "allowance_total", "charge_total", "net_total", "tax_total", "gross_total")
_EXPECTED = {*_TOTALS, "payable", "prepaid", "rounding", "tax"}
_SUPERFLUOUS_ZEROS = re.compile(r"(-?[0-9]+)\.0+|(-?[0-9]+\.[0-9]*[1-9])0+")


class BadCaseFile(Invalid):
    """The file can't be read, or a part of it can't be understood. Facts: `place`."""

    code = "bad_case_file"


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Put the place in front of errors that don't name theirs."""
    try:
        yield
    except BadCaseFile:
        raise
    except Invalid as error:
        raise BadCaseFile(f"{place}: {error}", place=place) from error


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of the file together with the place where it stands, so that every error can name it."""

    value: object
    place: str

    def fail(self, sentence: str) -> BadCaseFile:
        return BadCaseFile(f"{self.place}: {sentence}", place=self.place)

    def fields(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.fail("this must be an object with named fields.")
        return self.value

    def get(self, name: str) -> "_Node | None":
        value = self.fields().get(name)
        return None if value is None else _Node(value, f"{self.place}, {name}")

    def __getitem__(self, name: str) -> "_Node":
        node = self.get(name)
        if node is None:
            raise self.fail(f"the field {name!r} is missing.")
        return node

    def items(self, name: str) -> "list[_Node]":
        """Give the items of the list `name`; one that is missing is empty."""
        node = self.get(name)
        values = [] if node is None else node.value
        if not isinstance(values, list):
            raise self.fail(f"{name} must be a list.")
        return [_Node(value, f"{self.place}, {name} {number}") for number, value in enumerate(values, start=1)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail('this must be a text in quotes, such as "12.50".')
        if not self.value.isprintable():  # It is shown on terminals, which obey control characters.
            raise self.fail("this must be one line without control characters.")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail("this must be true or false.")
        return self.value

    def number(self, parse: Callable[[str], int]) -> int:
        """Read a number, taking "30.0000000" for "30": XML decimals may be longer than their value needs."""
        text = self.text()
        shorter = _SUPERFLUOUS_ZEROS.fullmatch(text)
        with _naming(self.place):
            return parse((shorter[1] or shorter[2]) if shorter else text)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a document states: `amounts` in minor units by name, and its tax breakdown, None if it states none."""

    amounts: Mapping[str, int]
    taxes: tuple[TaxTotal, ...] | None


@dataclass(frozen=True, slots=True)
class Case:
    """One document: what to compute from, and what to compare with (`line_nets` holds None where a line states none)."""

    source: str
    kind: str
    currency: Currency
    lines: tuple[Line, ...]
    adjustments: tuple[Adjustment, ...]
    prepaid_minor: int
    rounding_minor: int
    line_nets: tuple[int | None, ...]
    expected: Expected | None

    def compute(self) -> Totals:
        """Compute the document's totals; raises BadCaseFile, naming the case, if they are out of bounds."""
        with _naming(self.source):
            return compute_totals(self.lines, self.adjustments)

    def payable_minor(self, totals: Totals) -> int:
        """Compute what remains to be paid, in minor units: gross total - prepaid + rounding."""
        return totals.gross_total_minor - self.prepaid_minor + self.rounding_minor

    def amounts(self, totals: Totals) -> dict[str, int]:
        """Give the document's own amounts in minor units, by the names that they have in the file."""
        found: dict[str, int] = {name: getattr(totals, f"{name}_minor") for name in _TOTALS}
        return found | {"prepaid": self.prepaid_minor, "rounding": self.rounding_minor, "payable": self.payable_minor(totals)}

    def differences(self, totals: Totals) -> list[str]:
        """Say in words where the totals differ from what the document states; an empty list if nowhere."""
        return [
            f"{name} is {self._show(found)}, expected {self._show(stated)}"
            for name, found, stated in self._pairs(totals)
            if found != stated
        ]

    def _pairs(self, totals: Totals) -> Iterator[tuple[str, int | None, int | None]]:
        """Give name, computed and stated amount of everything that the document states."""
        for number, (part, net_minor) in enumerate(zip(totals.lines, self.line_nets, strict=True), start=1):
            if net_minor is not None:
                yield f"net of line {number}", part.net_minor, net_minor
        if self.expected is None:
            return
        amounts = self.amounts(totals)
        for name, stated_minor in self.expected.amounts.items():
            yield name, amounts[name], stated_minor
        if self.expected.taxes is None:
            return
        found = {row.tax: (row.taxable_minor, row.tax_minor) for row in totals.taxes}
        stated = {row.tax: (row.taxable_minor, row.tax_minor) for row in self.expected.taxes}
        for group in sorted(found.keys() | stated.keys()):
            taxable, tax = found.get(group, (None, None))
            stated_taxable, stated_tax = stated.get(group, (None, None))
            yield f"taxable amount of {group}", taxable, stated_taxable
            yield f"tax of {group}", tax, stated_tax

    def _show(self, minor: int | None) -> str:
        return "missing" if minor is None else format_amount(minor, self.currency)


def read_cases(path: Path) -> list[Case]:
    """Read all cases of a file; raises BadCaseFile, naming case and field, for anything that can't be understood."""
    try:
        content: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadCaseFile(f"{path} can't be read: {error.strerror}.", place=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise BadCaseFile(f"{path} is no JSON file: {error}.", place=str(path)) from error
    if not isinstance(content, list) or not content:
        raise BadCaseFile(f"{path} holds no cases: it must be a list with at least one.", place=str(path))
    return [_read_case(_Node(value, f"case {number}")) for number, value in enumerate(content, start=1)]


def _read_case(node: _Node) -> Case:
    given = node.get("source")
    source = given.text() if given else node.place
    node = _Node(node.value, f"{node.place} ({source})") if given else node
    with _naming(f"{node.place}, currency"):
        money = currency(node["currency"].text())
    amount = partial(parse_amount, currency=money)
    signed = partial(parse_amount, currency=money, negative=True)
    kind, expected = node.get("kind"), node.get("expected")
    lines = node.items("lines")
    if not lines:
        raise node.fail("there must be at least one line in 'lines'.")
    return Case(
        source=source,
        kind=kind.text() if kind else "invoice",
        currency=money,
        lines=tuple(_read_line(line, money) for line in lines),
        adjustments=tuple(
            Adjustment(each["charge"].flag(), each["amount"].number(amount), _read_tax(each, "tax_category", "tax_rate"))
            for each in node.items("document")
        ),
        prepaid_minor=_optional(expected, "prepaid", signed) or 0,
        rounding_minor=_optional(expected, "rounding", signed) or 0,
        line_nets=tuple(_optional(line, "net", signed) for line in lines),
        expected=_read_expected(expected, signed) if expected else None,
    )


def _optional(node: _Node | None, name: str, parse: Callable[[str], int]) -> int | None:
    field = node.get(name) if node else None
    return field.number(parse) if field else None


def _read_line(node: _Node, money: Currency) -> Line:
    amount = partial(parse_amount, currency=money)
    quantity_milli = node["quantity"].number(partial(parse_quantity, negative=True))
    unit_price_e4 = node["unit_price"].number(partial(parse_unit_price, currency=money))
    base_milli = _optional(node, "price_base_quantity", parse_quantity)
    allowance_minor = sum(each.number(amount) for each in node.items("allowances"))
    charge_minor = sum(each.number(amount) for each in node.items("charges"))
    tax = _read_tax(node, "tax_category", "tax_rate")
    with _naming(node.place):
        return Line(
            quantity_milli=quantity_milli,
            unit_price_e4=unit_price_e4,
            tax=tax,
            price_base_quantity_milli=1000 if base_milli is None else base_milli,
            allowance_minor=allowance_minor,
            charge_minor=charge_minor,
        )


def _read_tax(node: _Node, category: str, rate: str) -> TaxGroup:
    rate_bp = node[rate].number(parse_rate)
    with _naming(node.place):
        return TaxGroup(node[category].text(), rate_bp)


def _read_expected(node: _Node, signed: Callable[[str], int]) -> Expected:
    if unknown := node.fields().keys() - _EXPECTED:
        # A misspelt total would be compared with nothing and look right.
        raise node.fail(f"there is no total named {min(unknown)!r}: use {', '.join(sorted(_EXPECTED))}.")
    rows = node.items("tax")
    taxes = tuple(TaxTotal(_read_tax(row, "category", "rate"), row["taxable"].number(signed), row["tax"].number(signed)) for row in rows)
    if len({row.tax for row in taxes}) < len(taxes):
        raise node.fail("a tax group stands in it twice.")
    return Expected(
        amounts={name: node[name].number(signed) for name in (*_TOTALS, "payable") if node.get(name)},
        taxes=taxes if node.get("tax") else None,
    )
