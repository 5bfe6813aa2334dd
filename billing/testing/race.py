"""Races with real processes: each opens the database by itself, waits at the barrier, and does its act. Exact winners, exact losers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from billing import registry
from billing.errors import BillingError
from billing.rules.settlement import Scope
from billing.services import cash_moves, invoice_steps, invoices, payments, periods, reversals, shifts
from billing.services.setup import OPERATOR_LOGIN
from billing.testing.crew import Crew, Outcome, shelf_and_desk
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
    """Create an invoice, and with `issue` issue it; with `fail`, undo it after the number was taken."""

    patient_id: str
    items: tuple[str, ...]
    fail: bool = False
    key: str | None = None
    issue: bool = False

    def __call__(self, tx: Transaction) -> Any:
        """Return the made invoice."""
        made: Any = invoices.create_invoice(tx, patient_id=self.patient_id, items=items_of(self.items), key=self.key)
        if self.issue:
            made = invoice_steps.issue_invoice(tx, invoice_id=made.id)
        tx.flush()  # the number is taken here, so that the failure comes after it
        if self.fail:
            raise Undone("undone on purpose")
        return made


@dataclass(frozen=True, slots=True)
class Issue:
    """Issue a draft."""

    invoice_id: str

    def __call__(self, tx: Transaction) -> Any:
        """Return the issued invoice."""
        return invoice_steps.issue_invoice(tx, invoice_id=self.invoice_id)


@dataclass(frozen=True, slots=True)
class At:
    """Do an act at an instant of the past."""

    at: datetime
    act: Any

    def __call__(self, tx: Transaction) -> Any:
        """Return what the act made."""
        tx.at = self.at
        return self.act(tx)


@dataclass(frozen=True, slots=True)
class CloseMonth:
    """Close a month."""

    month: str

    def __call__(self, tx: Transaction) -> Any:
        """Return the month as something that was made."""
        (*_, closed) = periods.close_period(tx, month=self.month)
        return SimpleNamespace(id=closed.month, number=closed.month)


@dataclass(frozen=True, slots=True)
class CloseShift:
    """Count the own drawer and close the shift."""

    counted: Mapping[int, int]

    def __call__(self, tx: Transaction) -> Any:
        """Return the shift as something that was made, with what it should have had in cash as its number."""
        report = shifts.close_shift(tx, counted=self.counted)
        return SimpleNamespace(id=report.shift_id, number=str((report.expected or {})["cash"]))


@dataclass(frozen=True, slots=True)
class HandOver:
    """Offer cash out of the own drawer to a colleague."""

    to_login: str
    amount_minor: int

    def __call__(self, tx: Transaction) -> Any:
        """Return the offer as something that was made."""
        moved = cash_moves.hand_over(tx, to_login=self.to_login, amount_minor=self.amount_minor, reason="change")
        return SimpleNamespace(id=moved.id, number=moved.status)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an invoice that nobody has paid."""

    invoice_id: str

    def __call__(self, tx: Transaction) -> Any:
        """Return the cancelled invoice."""
        return invoice_steps.cancel_invoice(tx, invoice_id=self.invoice_id, reason="billed by mistake")


@dataclass(frozen=True, slots=True)
class Void:
    """Void a payment."""

    payment_id: str

    def __call__(self, tx: Transaction) -> Any:
        """Return what was done."""
        return reversals.void_payment(tx, payment_id=self.payment_id, reason="wrong button")


@dataclass(frozen=True, slots=True)
class Refund:
    """Take a quantity of an item back."""

    invoice_id: str
    item_id: str
    quantity_milli: int

    def __call__(self, tx: Transaction) -> Any:
        """Return what was done."""
        back = [reversals.Returned(self.item_id, self.quantity_milli)]
        return reversals.refund_items(tx, invoice_id=self.invoice_id, items=back, reason="not wanted")


class Undone(BillingError):
    """A unit undone on purpose."""

    code = "undone"


def race(
    url: str,
    acts: Sequence[Sequence[Any]],
    *,
    clinics: Sequence[str] = ("north",),
    actors: Sequence[str] = (OPERATOR_LOGIN,),
    installed: bool = False,
    seconds: float = 120,
) -> list[list[Outcome]]:
    """Run each list of acts in a process of its own, all from the same moment on; return their outcomes in order.

    The processes take clinics and actors in turn. Shelf and desk are at work, or, with `installed`, the plugins that are installed.
    """
    plugins = registry.load if installed else shelf_and_desk
    with Crew(url, len(acts), clinic=clinics[0], plugins=plugins, seconds=seconds) as crew:
        return crew.race(acts, clinics=clinics, actors=actors)
