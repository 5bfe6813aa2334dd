"""The journal as plain text for accounting programs: names of accounts, and entries as beancount and hledger write them. Pure.

A name is what both read: a root, then parts behind colons, each beginning with a capital or a digit and going on with letters, digits and
hyphens. It knows no tables and no clinic.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from billing.money import Currency, format_amount
from billing.rules import posting

ROOTS = ("Assets", "Liabilities", "Equity", "Income", "Expenses")

LONGEST = 120

_NAMED: Mapping[str, tuple[str, str]] = {
    posting.CASH: ("1000", "Assets:Cash:Drawers"),
    posting.SAFE: ("1010", "Assets:Cash:Safe"),
    posting.CLIENTS: ("1200", "Assets:Receivable:Clients"),
    posting.PAYERS: ("1210", "Assets:Receivable:Payers"),
    posting.CASH_TRANSFER: ("1900", "Equity:CashTransfers"),
    posting.WALLET: ("2100", "Liabilities:Wallets"),
    posting.WRITE_OFF: ("6100", "Expenses:WriteOff"),
    posting.ROUNDING: ("6200", "Expenses:CashRounding"),
    posting.SHIFT_DIFFERENCE: ("6300", "Expenses:ShiftDifferences"),
}
_GROUPS: Mapping[str, tuple[str, str]] = {
    "method": ("1100", "Assets:Methods"),
    "tax": ("2200", "Liabilities:Tax"),
    "revenue": ("4000", "Income:Revenue"),
    "discount": ("4100", "Income:Discounts"),
}
_OTHER = ("9000", "Equity:Other")

STANDING = tuple(_NAMED)
"""The accounts that every clinic has; the others come with its methods, departments and taxes."""

_PART = re.compile(r"[A-Z0-9][A-Za-z0-9-]*")


class Posting(NamedTuple):
    """A line of an entry in plain text: the account's name and the amount in minor units."""

    name: str
    amount_minor: int


class Entry(NamedTuple):
    """A balanced entry in plain text. `action` is the id of what was done, `document` its number, where it has one."""

    day: date
    kind: str
    document: str
    action: str
    postings: Sequence[Posting]


def default_of(account: str) -> tuple[str, str]:
    """Return the number and the name of an account by its key, where the clinic has given it none."""
    if account in _NAMED:
        return _NAMED[account]
    group, _, rest = account.partition(":")
    code, name = _GROUPS.get(group, _OTHER)
    return code, f"{name}:{_part(rest if group in _GROUPS else account)}"


def is_name(text: str) -> bool:
    """Say whether both programs take this as an account's name."""
    root, *parts = text.split(":")
    return len(text) <= LONGEST and root in ROOTS and bool(parts) and all(map(_PART.fullmatch, parts))


def names_of(accounts: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the name of every account, its own or the default; two that would be the same get a number behind, so that no balances mix."""
    found: dict[str, str] = {}
    taken = set(own.values())
    for account in sorted(set(accounts)):
        if account in own:
            found[account] = own[account]
            continue
        name = wanted = default_of(account)[1]
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name)
        found[account] = name
    return found


def beancount_head(currency: Currency, title: str) -> str:
    """Return what a beancount file begins with."""
    return f'option "title" {_quoted(title)}\noption "operating_currency" "{currency.code}"\n'


def beancount_account(day: date, code: str, name: str, currency: Currency) -> str:
    """Return the line that opens an account."""
    return f"{day.isoformat()} open {name} {currency.code}\n  code: {_quoted(code)}\n"


def beancount_entry(entry: Entry, currency: Currency) -> str:
    """Return an entry as beancount reads it."""
    head = f"{entry.day.isoformat()} * {_quoted(entry.kind)} {_quoted(entry.document)}\n  action: {_quoted(entry.action)}\n"
    return head + "".join(f"  {each.name}  {format_amount(each.amount_minor, currency)} {currency.code}\n" for each in entry.postings)


def hledger_head(currency: Currency, title: str) -> str:
    """Return what an hledger file begins with: a point divides decimals, and amounts have as many as the currency has."""
    return f"; {_line(title)}\ndecimal-mark .\ncommodity 1000.{'0' * currency.exponent} {currency.code}\n"


def hledger_account(code: str, name: str) -> str:
    """Return the line that declares an account; its root says its type."""
    return f"account {name}  ; code:{_line(code)}\n"


def hledger_entry(entry: Entry, currency: Currency) -> str:
    """Return an entry as hledger reads it."""
    number = f"({_line(entry.document)}) " if entry.document else ""
    head = f"{entry.day.isoformat()} * {number}{_line(entry.kind)}  ; action:{entry.action}\n"
    return head + "".join(f"    {each.name}  {format_amount(each.amount_minor, currency)} {currency.code}\n" for each in entry.postings)


def _part(key: str) -> str:
    """Make a part of a name of any key: what stands between letters and digits becomes one hyphen."""
    words = re.findall(r"[A-Za-z0-9]+", key)
    text = "-".join(words)[: LONGEST // 2].rstrip("-") or "Unnamed"
    return text[0].upper() + text[1:]


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _line(text: str) -> str:
    """Leave out what has a meaning for hledger: comments, payees, and the brackets around a number."""
    return " ".join(re.sub(r"[;|()\n]", " ", text).split())
