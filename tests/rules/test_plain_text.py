"""Names and entries of plain-text accounting: whatever keys and documents are called, both programs read the same accounts and amounts."""

from datetime import date
from typing import Any

import pytest
from beancount import loader
from beancount.core import data
from hypothesis import given
from hypothesis import strategies as st

from billing.money import currency
from billing.rules import plain_text
from billing.rules.plain_text import Entry, Posting

EUR, JPY, TND = currency("EUR"), currency("JPY"), currency("TND")
DAY = date(2026, 11, 20)

KEYS = st.one_of(
    st.sampled_from(plain_text.STANDING),
    st.builds(
        "{}:{}".format,
        st.sampled_from(["method", "revenue", "discount", "tax", "revenue:", "other"]),
        st.text(max_size=80),
    ),
    st.text(max_size=90),
)


def read(text: str) -> tuple[list[Any], list[Any]]:
    """Read a ledger by beancount itself; returns its entries and what it complains about."""
    entries, errors, _ = loader.load_string(text)
    return list(entries), list(errors)


@pytest.mark.parametrize(
    ("key", "code", "name"),
    [
        ("cash", "1000", "Assets:Cash:Drawers"),
        ("receivable:payer", "1210", "Assets:Receivable:Payers"),
        ("method:card", "1100", "Assets:Methods:Card"),
        ("method:bank_transfer", "1100", "Assets:Methods:Bank-transfer"),
        ("tax:S:1900", "2200", "Liabilities:Tax:S-1900"),
        ("revenue:pharmacy", "4000", "Income:Revenue:Pharmacy"),
        ("discount:pharmacy", "4100", "Income:Discounts:Pharmacy"),
        ("revenue:", "4000", "Income:Revenue:Unnamed"),
        ("voucher", "9000", "Equity:Other:Voucher"),
    ],
)
def test_account_has_a_default_number_and_name(key: str, code: str, name: str) -> None:
    assert plain_text.default_of(key) == (code, name)


@given(KEYS)
def test_every_default_is_a_name(key: str) -> None:
    assert plain_text.is_name(plain_text.default_of(key)[1])


@pytest.mark.parametrize("text", ["", "Assets", "Assets:", "Assets:cash", "Cash:Drawers", "Assets:Cash:", "Assets:Ca sh", "Assets:Cash\n"])
def test_what_is_no_name_is_found(text: str) -> None:
    assert not plain_text.is_name(text)


@given(st.from_regex(r"(Assets|Liabilities|Equity|Income|Expenses)(:[A-Z0-9][A-Za-z0-9-]{0,9}){1,3}", fullmatch=True))
def test_beancount_takes_what_we_call_a_name(name: str) -> None:
    assert plain_text.is_name(name)

    entries, errors = read(plain_text.beancount_account(DAY, "1000", name, EUR))

    assert errors == []
    assert [each.account for each in entries] == [name]


@given(st.lists(KEYS, max_size=12))
def test_no_two_accounts_have_one_name(keys: list[str]) -> None:
    own = {key: f"Assets:Own{place}" for place, key in enumerate(sorted(set(keys))[::3])}

    names = plain_text.names_of(keys, own)

    assert set(names) == set(keys)
    assert len(set(names.values())) == len(names)
    assert all(names[key] == name for key, name in own.items())
    assert all(map(plain_text.is_name, names.values()))


def test_keys_that_look_alike_keep_apart() -> None:
    names = plain_text.names_of(["revenue:x_ray", "revenue:x-ray"], {})

    assert names == {"revenue:x-ray": "Income:Revenue:X-ray", "revenue:x_ray": "Income:Revenue:X-ray-2"}


def test_entry_as_both_write_it() -> None:
    entry = Entry(
        DAY, "payment", "R-2026-00017", "a1", [Posting("Assets:Cash:Drawers", 15400), Posting("Assets:Receivable:Clients", -15400)]
    )

    assert plain_text.beancount_entry(entry, EUR) == (
        '2026-11-20 * "payment" "R-2026-00017"\n'
        '  action: "a1"\n'
        "  Assets:Cash:Drawers  154.00 EUR\n"
        "  Assets:Receivable:Clients  -154.00 EUR\n"
    )
    assert plain_text.hledger_entry(entry, EUR) == (
        "2026-11-20 * (R-2026-00017) payment  ; action:a1\n"
        "    Assets:Cash:Drawers  154.00 EUR\n"
        "    Assets:Receivable:Clients  -154.00 EUR\n"
    )


def test_hledger_is_told_the_decimals_of_the_currency() -> None:
    assert [plain_text.hledger_head(each, "North").splitlines()[-1] for each in (EUR, JPY, TND)] == [
        "commodity 1000.00 EUR",
        "commodity 1000. JPY",
        "commodity 1000.000 TND",
    ]


@given(
    st.lists(st.integers(-(9 * 10**13), 9 * 10**13).filter(bool), min_size=1, max_size=6),
    st.sampled_from([EUR, JPY, TND]),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_beancount_reads_back_what_was_booked(amounts: list[int], money: Any, title: str, document: str) -> None:
    names = [f"Assets:Part{place}" for place in range(len(amounts) + 1)]
    postings = [Posting(name, amount) for name, amount in zip(names, [*amounts, -sum(amounts)], strict=True)]
    text = plain_text.beancount_head(money, title)
    text += "".join(plain_text.beancount_account(DAY, "1", name, money) for name in names)
    text += plain_text.beancount_entry(Entry(DAY, "payment", document, "a1", postings), money)

    entries, errors = read(text)

    assert errors == []
    (booked,) = [each for each in entries if isinstance(each, data.Transaction)]
    assert [_cents(each.units, money.exponent) for each in booked.postings] == amounts_of(postings)
    assert [each.account for each in booked.postings] == [each.name for each in postings]


def _cents(units: Any, exponent: int) -> int:
    return int(units.number.scaleb(exponent))


def amounts_of(postings: list[Posting]) -> list[int]:
    return [each.amount_minor for each in postings]
