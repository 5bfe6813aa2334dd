"""Takings by day: what each act adds to the sums that reports of days read."""

from collections.abc import Mapping
from typing import Any

from billing.model import Takings
from billing.model.writes import AddRows
from billing.transaction import Transaction

TAKINGS: Any = Takings.__table__


def add_takings(tx: Transaction, kind: str, cells: Mapping[tuple[str, str, str], int]) -> None:
    """Add amounts by (department, provider, method) to the actor's takings of the day; `kind` as in `takings.kind`. Minor units."""
    rows = [
        {
            "business_date": tx.business_date,
            "cashier_id": tx.actor.id,
            "kind": kind,
            "department": department,
            "provider_id": provider,
            "method": method,
            "amount_minor": amount,
            "acts": 1,
        }
        for (department, provider, method), amount in sorted(cells.items())
    ]
    if rows:
        tx.write(AddRows(TAKINGS, rows))
