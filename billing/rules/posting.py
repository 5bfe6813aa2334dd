"""How acts of money are booked: balanced entries over accounts. Pure; knows no tables.

An account is a stable key: `cash`, `safe`, `method:CODE`, `wallet`, `receivable:client`, `receivable:payer`, `revenue:DEPARTMENT`,
`discount:DEPARTMENT`, `tax:CATEGORY:RATE`, `rounding`, `write_off`, `shift_difference`, `cash_transfer`. Revenue is booked when an invoice is issued,
against what client and payer then owe; a payment moves what is owed into a drawer. Amounts are minor units: debit above zero, credit below.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from billing.rules.tenders import Method

CASH = "cash"
SAFE = "safe"
WALLET = "wallet"
CLIENTS = "receivable:client"
PAYERS = "receivable:payer"
ROUNDING = "rounding"
WRITE_OFF = "write_off"
SHIFT_DIFFERENCE = "shift_difference"
CASH_TRANSFER = "cash_transfer"


class Line(NamedTuple):
    """One line of an entry, and whose money it is about where that matters."""

    account: str
    amount_minor: int
    client_id: str | None = None
    payer_id: str | None = None
    shift_id: str | None = None


class Part(NamedTuple):
    """What is billed, or credited, of one item: `total = taxable + tax`, of which `payer` is the payer's; `discount` is what it was lowered by."""

    department: str
    tax_category: str
    tax_rate_bp: int
    taxable_minor: int
    tax_minor: int
    discount_minor: int
    payer_minor: int


def account_of(method: Method) -> str:
    """Return the account that a method's money is on."""
    if method.moves_wallet:
        return WALLET
    return CASH if method.rounds_cash else f"method:{method.code}"


def discount_of(item: Mapping[str, Any], *, prices_include_tax: bool) -> int:
    """Compute what an item's stored allowances lowered its taxable amount by; where prices include tax, less the tax in it (half up)."""
    lowered: int = item["allowance_minor"] + max(0, -item["adjustment_minor"])
    if not prices_include_tax:
        return lowered
    rate: int = 10000 + item["tax_rate_bp"]
    return (lowered * 10000 * 2 + rate) // (rate * 2)


def part_of(item: Mapping[str, Any], *, prices_include_tax: bool) -> Part:
    """Return the whole of a stored item."""
    return Part(
        item["department"],
        item["tax_category"],
        item["tax_rate_bp"],
        item["taxable_minor"],
        item["tax_minor"],
        discount_of(item, prices_include_tax=prices_include_tax),
        item["payer_minor"],
    )


def issued(parts: Iterable[Part], *, client_id: str, payer_id: str | None) -> list[Line]:
    """Book what is billed: client and payer owe it, departments have earned it, the tax is owed on."""
    parts = list(parts)
    payer = sum(each.payer_minor for each in parts)
    total = sum(each.taxable_minor + each.tax_minor for each in parts)
    lines = [Line(CLIENTS, total - payer, client_id=client_id), Line(PAYERS, payer, payer_id=payer_id)]
    for each in parts:
        lines += [
            Line(f"revenue:{each.department}", -(each.taxable_minor + each.discount_minor)),
            Line(f"discount:{each.department}", each.discount_minor),
            Line(f"tax:{each.tax_category}:{each.tax_rate_bp}", -each.tax_minor),
        ]
    return merged(lines)


def credited(parts: Iterable[Part], *, client_id: str, payer_id: str | None) -> list[Line]:
    """Book what is credited: the mirror of what was billed for it."""
    return mirrored(issued(parts, client_id=client_id, payer_id=payer_id))


def paid(
    received: Sequence[tuple[str, int]], *, applied_minor: int, rounding_minor: int, client_id: str, shift_id: str | None
) -> list[Line]:
    """Book a payment: by account what stays of what was handed over (change is taken off), against what the client owed."""
    lines = [_money(account, amount, client_id, shift_id) for account, amount in received]
    return merged([*lines, Line(CLIENTS, -applied_minor, client_id=client_id), Line(ROUNDING, -rounding_minor)])


def refunded(
    handed: Sequence[tuple[str, int]], *, refunded_minor: int, rounding_minor: int, client_id: str, shift_id: str | None
) -> list[Line]:
    """Book money handed back: by account what went out, which is what was refunded and the cash rounding."""
    lines = [_money(account, -amount, client_id, shift_id) for account, amount in handed]
    return merged([*lines, Line(CLIENTS, refunded_minor, client_id=client_id), Line(ROUNDING, rounding_minor)])


def topped_up(
    received: Sequence[tuple[str, int]], *, amount_minor: int, rounding_minor: int, client_id: str, shift_id: str | None
) -> list[Line]:
    """Book money that a client leaves in the wallet (or, with amounts below zero, takes out of it)."""
    lines = [_money(account, amount, client_id, shift_id) for account, amount in received]
    return merged([*lines, Line(WALLET, -amount_minor, client_id=client_id), Line(ROUNDING, -rounding_minor)])


def written_off(amount_minor: int, *, client_id: str) -> list[Line]:
    """Book what a client will not pay any more."""
    return merged([Line(WRITE_OFF, amount_minor), Line(CLIENTS, -amount_minor, client_id=client_id)])


def claimed(amount_minor: int, *, client_id: str, payer_id: str) -> list[Line]:
    """Book that the payer owes this instead of the client; below zero, that it is the client's again (a rejection)."""
    return merged([Line(PAYERS, amount_minor, payer_id=payer_id), Line(CLIENTS, -amount_minor, client_id=client_id)])


def claim_paid(account: str, amount_minor: int, *, payer_id: str) -> list[Line]:
    """Book money from a payer."""
    return merged([Line(account, amount_minor), Line(PAYERS, -amount_minor, payer_id=payer_id)])


def cash_moved(amount_minor: int, *, to: str, out_of: str, to_shift: str | None = None, from_shift: str | None = None) -> list[Line]:
    """Book cash that moves between a drawer, the safe and elsewhere."""
    return [
        line for line in (Line(to, amount_minor, shift_id=to_shift), Line(out_of, -amount_minor, shift_id=from_shift)) if line.amount_minor
    ]


def mirrored(lines: Iterable[Line]) -> list[Line]:
    """Return the entry that takes these lines back."""
    return [line._replace(amount_minor=-line.amount_minor) for line in lines]


def merged(lines: Iterable[Line]) -> list[Line]:
    """Return the lines with one for each account and person, in their order, and none of nothing."""
    found: dict[tuple[Any, ...], Line] = {}
    for line in lines:
        key = (line.account, *line[2:])
        before = found[key].amount_minor if key in found else 0
        found[key] = line._replace(amount_minor=before + line.amount_minor)
    return [line for line in found.values() if line.amount_minor]


def _money(account: str, amount_minor: int, client_id: str, shift_id: str | None) -> Line:
    return Line(account, amount_minor, client_id=client_id if account == WALLET else None, shift_id=None if account == WALLET else shift_id)
