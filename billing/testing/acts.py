"""Acts for races, beside those of race.py: small units that a process of its own can be handed."""

from dataclasses import dataclass

from billing.services import discount_codes, wallets
from billing.services.invoices import InvoiceMade
from billing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Noted:
    """An audited action of nothing else, as a race tells it."""

    number: str
    id: str


@dataclass(frozen=True, slots=True)
class Note:
    """Audit that somebody was here."""

    writer: int

    def __call__(self, tx: Transaction) -> Noted:
        """Return who it was."""
        tx.audit("test.noted", "clinic", tx.clinic_id, writer=self.writer)
        return Noted(str(self.writer), tx.clinic_id)


@dataclass(frozen=True, slots=True)
class Redeem:
    """Redeem a discount code on a draft."""

    invoice_id: str
    code: str

    def __call__(self, tx: Transaction) -> InvoiceMade:
        """Return the draft as it is then."""
        return discount_codes.redeem_code(tx, invoice_id=self.invoice_id, code=self.code)


@dataclass(frozen=True, slots=True)
class PayOut:
    """Pay out of a client's wallet in cash."""

    client_id: str
    amount_minor: int

    def __call__(self, tx: Transaction) -> Noted:
        """Return the receipt."""
        moved = wallets.pay_out(tx, client_id=self.client_id, amount_minor=self.amount_minor, method="cash", reason="a race")
        tx.flush()  # the receipt's number is known from here on
        return Noted(moved.receipt_number, moved.id)
