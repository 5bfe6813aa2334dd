"""A cashier as a process of its own, who takes payment after payment and asks again, with the same key, for as long as the database is away."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from billing import registry
from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.services import payments
from billing.services.installation import open_database
from billing.services.setup import OPERATOR_LOGIN
from billing.testing.shelf import Desk, Shelf
from billing.testing.world import tenders_of
from billing.transaction import Transaction

PATIENCE = 600
PAUSE = timedelta(milliseconds=100)
"""Tries for one payment, and the time between them: as much as a busy machine may need until another server takes over."""


def take_payments(url: str, invoices: Sequence[str], answered: Any, results: Any, *, tender: str, clinic: str = "north") -> None:
    """Pay the invoices one after another. `answered` counts, across processes; `results` gets the receipts, and the codes told meanwhile."""
    database = open_database(url, plugins=registry.of_modules({"shelf": Shelf(), "desk": Desk()}))
    receipts: list[tuple[str, str]] = []
    told: set[str] = set()
    for invoice in invoices:

        def unit(tx: Transaction, invoice: str = invoice) -> payments.PaymentTaken:
            return payments.take_payment(
                tx, invoice_id=invoice, scope=Scope.parse("ALL"), tenders=tenders_of(tx, [tender]), key=f"pay-{invoice}"
            )

        for _ in range(PATIENCE):
            try:
                taken = database.run(unit, clinic=clinic, actor=OPERATOR_LOGIN)
            except BillingError as error:
                told.add(error.code)
                time.sleep(PAUSE.total_seconds())
                continue
            receipts.append((invoice, taken.receipt_number))
            with answered.get_lock():
                answered.value += 1
            break
    database.dispose()
    results.put((receipts, told))
