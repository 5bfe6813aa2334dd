"""Acts for races, beside those of race.py: small units that a process of its own can be handed."""

from dataclasses import dataclass

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
