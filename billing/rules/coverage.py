"""How much of a bill a payer answers for. Pure; amounts are minor units."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.errors import Invalid
from billing.money import allocate


class BadCover(Invalid):
    """A payer's part that can't be: below zero, or more than the bill. Facts: `amount_minor`, `most_minor`."""

    code = "bad_cover"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a coverage answers for: a percentage (basis points) of each item less the client's co-pay for it, less a co-pay for the visit.

    `cap_minor` is the most for this bill, whatever caps it comes from; None is no cap.
    """

    percent_bp: int
    item_copay_minor: int = 0
    visit_copay_minor: int = 0
    cap_minor: int | None = None


def split(totals: Sequence[int], terms: Terms) -> list[int]:
    """Return the payer's part of each item. It is never below zero nor above its item, and the parts sum to what the terms give for all."""
    parts = [(max(0, total - terms.item_copay_minor) * terms.percent_bp * 2 + 10000) // 20000 for total in totals]
    whole = max(0, sum(parts) - terms.visit_copay_minor)
    if terms.cap_minor is not None:
        whole = min(whole, max(0, terms.cap_minor))
    return allocate(whole, parts) if whole else [0] * len(parts)


def split_exactly(totals: Sequence[int], amount_minor: int) -> list[int]:
    """Return parts of the items that sum to an exact amount of the payer's. Raises `BadCover`."""
    if not 0 <= amount_minor <= sum(totals):
        raise BadCover("The payer's part is from nothing to the whole bill.", amount_minor=amount_minor, most_minor=sum(totals))
    return allocate(amount_minor, totals) if amount_minor else [0] * len(totals)
