"""Tenders as people write them: `METHOD=AMOUNT[:REFERENCE]`. Knows no service."""

from collections.abc import Iterator, Mapping, Sequence

from billing.interfaces.cli.options import BadOption
from billing.money import Currency, parse_amount
from billing.rules.tenders import Tender

METHODS = ("cash", "card", "transfer")
"""Those that have an option of their own."""


def tender_texts(named: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the tenders of the options `--cash`, `--card`, `--transfer` and `--tender`, in that order."""
    for method in METHODS:
        for text in named.get(method, ()):
            yield f"{method}={text}"
    yield from named.get("tender", ())


def parse_tender(text: str, currency: Currency) -> Tender:
    """Read one tender. Raises `BadOption`, `BadAmount`."""
    method, equals, rest = text.partition("=")
    if not (method.strip() and equals):
        raise BadOption(f"{text[:60]!r} can't be read: write it like METHOD=AMOUNT:REFERENCE.", option="--tender", text=text)
    amount, _, reference = rest.partition(":")
    return Tender(method.strip(), parse_amount(amount.strip(), currency), reference.strip() or None)
