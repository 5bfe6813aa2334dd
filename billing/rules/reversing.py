"""What is credited when items come back, and what money goes back for it. Pure; knows no tables and no departments.

A part of an item is credited by cumulative rounding of the item's stored amounts: what is credited for the first n of q is half_up(x * n / q),
so however an item is credited, in whatever parts, its credit notes sum to the item, to the last minor unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from billing.errors import Refused
from billing.rules.posting import Part, discount_of


class MoreThanSold(Refused):
    """More of an item would come back than was sold and has not come back yet. Facts: `item`, `left_milli`, `wanted_milli`."""

    code = "more_than_sold"


class MoreThanPaid(Refused):
    """More money would go back than there is on account. Facts: `amount_minor`, `most_minor`."""

    code = "more_than_paid"


class ChooseMethod(Refused):
    """The money came by several methods, so somebody has to say how it goes back. Facts: `methods`."""

    code = "choose_method"


class NotThatMethod(Refused):
    """More would go back by a method than came by it; the wallet always takes it. Facts: `method`, `most_minor`."""

    code = "not_that_method"


class Credit(NamedTuple):
    """What is credited of one item: `total = taxable + tax`, of which `payer` is the payer's. Minor units."""

    item_id: str
    quantity_milli: int
    discount_minor: int
    taxable_minor: int
    tax_minor: int
    payer_minor: int

    @property
    def total_minor(self) -> int:
        """The part with its tax."""
        return self.taxable_minor + self.tax_minor

    @property
    def client_minor(self) -> int:
        """The client's part."""
        return self.total_minor - self.payer_minor


def credit_of(item: Mapping[str, Any], quantity_milli: int | None, *, prices_include_tax: bool) -> Credit:
    """Return what is credited for a quantity of an item (None: all that has not come back yet). Raises `MoreThanSold`.

    The payer's part is a share of the payer's rest, kept within what the rest of the item can still carry and what is credited now.
    """
    whole, done = item["quantity_milli"], item["credited_milli"]
    left = whole - done
    wanted = left if quantity_milli is None else quantity_milli
    if not 0 < wanted <= left:
        raise MoreThanSold(
            f"{item['code']}: {_shown(left)} of {_shown(whole)} can still come back, not {_shown(wanted)}.",
            item=item["id"],
            left_milli=left,
            wanted_milli=wanted,
        )

    def part(amount: int) -> int:
        return _half_up(amount * (done + wanted), whole) - _half_up(amount * done, whole)

    taxable, tax = part(item["taxable_minor"]), part(item["tax_minor"])
    rest, payers = item["total_minor"] - item["credited_minor"], item["payer_minor"]
    payer = max(_half_up(payers * wanted, left), payers - (rest - taxable - tax), 0)
    return Credit(
        item["id"],
        wanted,
        part(discount_of(item, prices_include_tax=prices_include_tax)),
        taxable,
        tax,
        min(payer, taxable + tax, payers),
    )


def part_of_credit(item: Mapping[str, Any], credit: Credit) -> Part:
    """Return a credit as it is booked."""
    return Part(
        item["department"],
        item["tax_category"],
        item["tax_rate_bp"],
        credit.taxable_minor,
        credit.tax_minor,
        credit.discount_minor,
        credit.payer_minor,
    )


def money_back(*, settled_minor: int, credited_minor: int, due_minor: int, arrears_minor: int) -> int:
    """Compute what goes back for a credit note: what its client had paid for, and never so little that less than nothing would be due.

    `settled_minor` is the client's part of the credited items that were paid, `credited_minor` of all credited ones, `due_minor` what was
    due before, `arrears_minor` what of settled items the client has not paid.
    """
    return max(settled_minor - arrears_minor, credited_minor - due_minor, 0)


def by_method(
    amount_minor: int, wanted: Sequence[tuple[str, int]] | str | None, came: Mapping[str, int], *, wallet: str = "wallet"
) -> list[tuple[str, int]]:
    """Say by which methods an amount goes back. `came` is what came by each and has not gone back; `wanted` a method, parts, or nothing.

    By each method goes back at most what came by it; to the wallet all may go. Raises `ChooseMethod`, `NotThatMethod`, `MoreThanPaid`.
    """
    left = {method: most for method, most in came.items() if most > 0}
    if amount_minor == 0:
        return []
    if wanted is None:
        enough = [method for method, most in left.items() if most >= amount_minor]
        if len(left) != 1 or not enough:
            raise ChooseMethod(
                f"The money came by {', '.join(left) or 'no method that it could go back by'}: say by which it goes back, or {wallet}.",
                methods=dict(left),
            )
        wanted = enough[0]
    parts = [(wanted, amount_minor)] if isinstance(wanted, str) else list(wanted)
    for method, part in parts:
        if part <= 0 or (method != wallet and part > left.get(method, 0)):
            raise NotThatMethod(
                f"By {method[:40]} no more can go back than came by it: choose another method, or the wallet.",
                method=method,
                most_minor=left.get(method, 0),
            )
    if (total := sum(part for _, part in parts)) != amount_minor:
        raise MoreThanPaid("What goes back by all methods is not what is given back.", amount_minor=total, most_minor=amount_minor)
    return parts


def clients_part(parts: Iterable[Credit]) -> int:
    """Return the client's part of several credits."""
    return sum(each.client_minor for each in parts)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _shown(milli: int) -> str:
    whole, part = divmod(milli, 1000)
    return f"{whole}.{part:03}".rstrip("0").rstrip(".")
