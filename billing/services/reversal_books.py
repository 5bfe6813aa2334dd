"""What a reversal books beside its own rows: journal, takings, the claim on a payer, the wallet. Decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from billing import registry
from billing.model import Claim
from billing.model.types import NIL_ID
from billing.model.writes import ChangedRow, ChangeRows
from billing.money import round_cash
from billing.rules import posting
from billing.rules.claims import claim_status
from billing.rules.reversing import part_of_credit
from billing.rules.takings import spread
from billing.services.booking import ClaimPaid
from billing.services.journal import post
from billing.services.reversible import Reversible
from billing.services.takings import add_takings
from billing.services.undoing import Taken
from billing.services.wallet_rows import move_wallet
from billing.transaction import Transaction
from billing.trips import Row

CLAIM: Any = Claim.__table__


@dataclass(frozen=True, slots=True)
class Going:
    """What goes back: items, and money by method. `refunded + rounding` is what is handed. Minor units."""

    kind: str
    reason: str
    taken: Sequence[Taken]
    refunded_minor: int = 0
    rounding_minor: int = 0
    written_off_minor: int = 0
    handed: Sequence[tuple[str, int]] = ()
    payment: Row | None = None

    @classmethod
    def handing_back(
        cls, tx: Transaction, kind: str, reason: str, taken: Sequence[Taken], money_minor: int, parts: Sequence[tuple[str, int]]
    ) -> Self:
        """Return money that goes back by these parts; what goes back in cash is rounded."""
        methods, currency = registry.of(tx).methods(tx.clinic), tx.clinic.currency
        handed = [(code, round_cash(part, currency) if code in methods and methods[code].rounds_cash else part) for code, part in parts]
        rounding = sum(amount for _, amount in handed) - money_minor
        return cls(kind, reason, taken, refunded_minor=money_minor, rounding_minor=rounding, handed=tuple(handed))

    @property
    def credited_minor(self) -> int:
        """The total of the credit note."""
        return sum(each.credit.total_minor for each in self.taken)

    @property
    def payer_minor(self) -> int:
        """The payer's part of it."""
        return sum(each.credit.payer_minor for each in self.taken)

    @property
    def credits(self) -> bool:
        """Whether this is a credit note; one of 0.00 is one too."""
        return self.kind != "void" and bool(self.taken)


def book_reversal(tx: Transaction, seen: Reversible, going: Going, reversal_id: str, shift_id: str | None) -> None:
    """Leave with the unit what a reversal changes in the books. Raises `ClaimPaid`."""
    _write_claim(tx, seen, going)
    _write_wallet(tx, seen, going, reversal_id)
    _book_entries(tx, seen, going, reversal_id, shift_id)


def _write_claim(tx: Transaction, seen: Reversible, going: Going) -> None:
    if not going.payer_minor or seen.claim is None:
        return
    claim = seen.claim
    amount = claim.amount_minor - going.payer_minor
    if amount < claim.paid_minor + claim.rejected_minor:
        raise ClaimPaid("The payer has paid its part of this already: credit only what the client has paid.", claim=claim.id)
    status = claim_status(
        amount, paid_minor=claim.paid_minor, rejected_minor=claim.rejected_minor, submitted=claim.submitted_at is not None
    )
    expected = {"amount_minor": claim.amount_minor, "paid_minor": claim.paid_minor}
    tx.write(ChangeRows(CLAIM, [ChangedRow({"id": claim.id}, expected, {"amount_minor": amount, "status": status})]))


def _write_wallet(tx: Transaction, seen: Reversible, going: Going, reversal_id: str) -> None:
    amount = sum(amount for method, amount in going.handed if method == "wallet")
    if amount:
        kind = "void" if going.payment is not None else "refund"
        move_wallet(tx, client_id=seen.opened.row.client_id, kind=kind, amount_minor=amount, action_id=reversal_id)


def _book_entries(tx: Transaction, seen: Reversible, going: Going, reversal_id: str, shift_id: str | None) -> None:
    row = seen.opened.row
    methods = registry.of(tx).methods(tx.clinic)

    def account(code: str) -> str:
        return posting.account_of(methods[code]) if code in methods else f"method:{code}"

    if going.credits:
        parts = [part_of_credit(each.row._asdict(), each.credit) for each in going.taken]
        lines = posting.credited(parts, client_id=row.client_id, payer_id=row.payer_id)
        post(tx, "credit", reversal_id, lines, invoice_id=seen.opened.id)
    if going.written_off_minor:
        post(tx, "write_off", reversal_id, posting.written_off(going.written_off_minor, client_id=row.client_id), invoice_id=seen.opened.id)
    if going.handed or going.refunded_minor:
        kind = "void" if going.payment is not None else "refund"
        lines = posting.refunded(
            [(account(code), amount) for code, amount in going.handed],
            refunded_minor=going.refunded_minor,
            rounding_minor=going.rounding_minor,
            client_id=row.client_id,
            shift_id=shift_id,
        )
        post(tx, kind, reversal_id, lines, invoice_id=seen.opened.id)
        if going.handed:
            add_takings(tx, kind, spread(_by_department(going), {code: -amount for code, amount in _summed(going.handed).items()}))


def _by_department(going: Going) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for each in going.taken:
        if each.settled:
            place = each.row.department, each.row.provider_id or NIL_ID
            billed = each.row.total_minor - each.row.credited_minor - each.row.payer_minor
            found[place] = found.get(place, 0) - (billed if going.payment is not None else each.credit.client_minor)
    found["", NIL_ID] = -sum(amount for _, amount in going.handed) - sum(found.values())
    return found


def _summed(handed: Sequence[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for code, amount in handed:
        found[code] = found.get(code, 0) + amount
    return found
