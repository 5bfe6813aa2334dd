"""Discounts that people give: what a percentage or an amount comes to, and whether it is within what a role may give. Pure; knows no tables."""

from collections.abc import Mapping, Sequence

from billing.errors import Invalid
from billing.money import allocate, divide_half_up
from billing.rules.totals import TaxGroup

ALL_BP = 10_000


class BadDiscount(Invalid):
    """A discount of neither or both of percentage and amount, of nothing, or of more than there is. Facts: `percent_bp`, `amount_minor`."""

    code = "bad_discount"


def check_discount(percent_bp: int | None, amount_minor: int | None) -> None:
    """Pass exactly one of a percentage (in basis points) and an amount, above nothing. Raises `BadDiscount`."""
    if (percent_bp is None) == (amount_minor is None):
        raise BadDiscount("A discount is a percentage or an amount: give one of them.", percent_bp=percent_bp, amount_minor=amount_minor)
    if percent_bp is not None and not 0 < percent_bp <= ALL_BP:
        raise BadDiscount("A discount is above 0 and at most 100 percent.", percent_bp=percent_bp, amount_minor=None)
    if amount_minor is not None and amount_minor <= 0:
        raise BadDiscount("A discount is above zero.", percent_bp=None, amount_minor=amount_minor)


def discount_of(net_minor: int, *, percent_bp: int | None, amount_minor: int | None) -> int:
    """Compute what is given on one net amount: the percentage, half up, or the amount. Raises `BadDiscount` for more than there is."""
    check_discount(percent_bp, amount_minor)
    given = divide_half_up(net_minor * percent_bp, ALL_BP) if percent_bp is not None else int(amount_minor or 0)
    if given > net_minor:
        raise BadDiscount("The discount is more than there is to be paid.", percent_bp=percent_bp, amount_minor=given)
    return given


def discount_by_group(nets: Mapping[TaxGroup, int], *, percent_bp: int | None, amount_minor: int | None) -> dict[TaxGroup, int]:
    """Share a discount on a whole document out over its tax groups: each group's percentage, or the amount in proportion.

    Groups that get nothing are left out. Raises `BadDiscount` for more than there is.
    """
    check_discount(percent_bp, amount_minor)
    groups = sorted(nets)
    if percent_bp is not None:
        parts = [discount_of(nets[group], percent_bp=percent_bp, amount_minor=None) for group in groups]
    else:
        whole = discount_of(sum(nets.values()), percent_bp=None, amount_minor=amount_minor)
        parts = allocate(whole, [nets[group] for group in groups])
    return {group: part for group, part in zip(groups, parts, strict=True) if part}


def limit_of(base_minor: int, limit_bp: int) -> int:
    """Return the most that may be given away of this amount, in whole minor units (cut, never more than the percentage)."""
    return base_minor * limit_bp // ALL_BP


def beyond_limit(given_minor: Sequence[int], *, before_minor: int, base_minor: int, limit_bp: int | None) -> bool:
    """Say whether discounts that grew go beyond a role's limit; a role without one has none. What others gave before may stand."""
    total = sum(given_minor)
    return limit_bp is not None and total > before_minor and total > limit_of(base_minor, limit_bp)
