"""The trial balance: what stood on every account, what moved on some days, and what stands then. It is the journal and nothing else."""

from dataclasses import dataclass
from datetime import date

from billing.errors import Invalid
from billing.services import ledger
from billing.services.accounts import chart
from billing.transaction import Transaction


class BadRange(Invalid):
    """Days that end before they begin. Facts: `from_date`, `until_date`."""

    code = "bad_range"


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """An account on some days, in minor units: balances are debit above zero, credit below; what moved is above zero on either side."""

    code: str
    name: str
    account: str
    opening_minor: int
    debit_minor: int
    credit_minor: int
    closing_minor: int


def balances(tx: Transaction, *, from_date: date | None = None, until_date: date | None = None) -> list[AccountBalance]:
    """Return the accounts that something stands or has moved on, in the days [from, until); without bounds from the first day to now.

    All closing balances sum to zero. Raises `BadRange`.
    """
    tx.require("journal.read")
    first, end = day_range(from_date, until_date)
    opening = ledger.balances_before(tx, first)
    moved = ledger.moved(tx, from_date=first, until_date=end)
    closing = ledger.added(opening, moved)
    nothing = ledger.Moved(0, 0)
    found = [
        AccountBalance(
            each.code,
            each.name,
            each.account,
            opening.get(each.account, 0),
            *moved.get(each.account, nothing),
            closing.get(each.account, 0),
        )
        for each in chart(tx, closing)
    ]
    return [each for each in found if each.opening_minor or each.debit_minor or each.credit_minor]


def day_range(from_date: date | None, until_date: date | None) -> tuple[date, date]:
    """Return the days [from, until) with the bounds that were not given. Raises `BadRange`."""
    first, end = from_date or ledger.FIRST_DAY, until_date or ledger.LAST_DAY
    if first > end:
        raise BadRange(f"The days from {first} until {end} end before they begin: change one of the two.", from_date=first, until_date=end)
    return first, end
