"""What racing processes do, as acts for a crew: pay, bill. Exact winners, exact losers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.services import invoices, payments
from billing.testing.crew import Crew, Outcome
from billing.testing.world import items_of, tenders_of
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Pay:
    """Take a payment."""

    invoice_id: str
    tenders: tuple[str, ...]
    scope: str = "ALL"
    key: str | None = None

    def __call__(self, tx: Transaction) -> Any:
        """Return the taken payment."""
        return payments.take_payment(
            tx, invoice_id=self.invoice_id, scope=Scope.parse(self.scope), tenders=tenders_of(tx, self.tenders), key=self.key
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """Create an invoice; with `fail`, undo it after the number was taken."""

    patient_id: str
    items: tuple[str, ...]
    fail: bool = False
    key: str | None = None

    def __call__(self, tx: Transaction) -> Any:
        """Return the made invoice."""
        made = invoices.create_invoice(tx, patient_id=self.patient_id, items=items_of(self.items), key=self.key)
        tx.flush()  # the number is taken here, so that the failure comes after it
        if self.fail:
            raise Undone("undone on purpose")
        return made


class Undone(BillingError):
    """A unit undone on purpose."""

    code = "undone"


def race(url: str, acts: Sequence[Sequence[Any]], *, clinic: str = "north", seconds: float = 120) -> list[list[Outcome]]:
    """Run each list of acts in a process of its own, all from the same moment on; return their outcomes in order."""
    with Crew(url, len(acts), clinic=clinic, seconds=seconds) as crew:
        return crew.race(acts)
