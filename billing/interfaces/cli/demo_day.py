"""A day at the till of the demonstration clinic: departments one by one, all at once, instalments, refusals. It tells each step as it happens.

It knows the services that a till uses, and no department: it takes what the clinic has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.errors import BillingError, Invalid, Refused
from billing.interfaces.cli.console import Console
from billing.money import Currency, format_amount
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import payment_preview, payments, reading
from billing.services.demo import CASHIER, DemoVisit, NothingToShow
from billing.services.payments import PaymentTaken
from billing.transaction import Transaction

NOTE_MINOR = 50_00
"""Who pays in cash at the demonstration hands over notes of fifty."""


@dataclass(slots=True)
class Day:
    """The till, and what was told of it so far, for those who read JSON."""

    console: Console
    currency: Currency
    steps: list[dict[str, Any]] = field(default_factory=list)
    taken: list[PaymentTaken] = field(default_factory=list)

    def run(self, visits: Sequence[DemoVisit]) -> None:
        """Run the whole day. A visit that no plugin has brought is left out. Raises `NothingToShow` if nothing could be paid."""
        acts = {
            "1": ("Department by department.", self._by_department),
            "2": ("Everything at once, in cash, with change; the cashier presses the key twice.", self._all_in_cash),
            "3": ("In three instalments: a department is settled as soon as the money covers it whole.", self._in_instalments),
            "4": ("All at once; if one department refuses, nothing is taken. Then one by one.", self._past_a_refusal),
            "5": ("All at once; a follow-up may cost nothing.", self._all_by_card),
            "6": ("Too little is handed over; then enough.", self._too_little_first),
        }
        for visit in visits:
            what, act = acts[visit.number]
            number, due_minor = self._read(visit)
            self.console.say(f"\n{visit.patient}, seen by {visit.provider}: {number}, {self._money(due_minor)} due")
            self.console.say(f"  {what}")
            act(visit)
        if not self.taken:
            raise NothingToShow("Every payment was refused, so there is nothing more to show: the reasons stand above.")

    def _by_department(self, visit: DemoVisit) -> None:
        for code in self._unpaid(visit):
            scope = Scope.of(code)
            self._pay(visit, scope, "card", self._due(visit, scope))

    def _all_in_cash(self, visit: DemoVisit) -> None:
        tendered_minor = (self._due(visit, Scope.all()) // NOTE_MINOR + 1) * NOTE_MINOR
        for _ in range(2):
            self._pay(visit, Scope.all(), "cash", tendered_minor, key=f"demo-till:{visit.number}")

    def _in_instalments(self, visit: DemoVisit) -> None:
        for still_to_come in (3, 2, 1):
            due_minor = self._due(visit, Scope.all())
            self._pay(visit, Scope.on_account(), "transfer", due_minor // still_to_come)

    def _past_a_refusal(self, visit: DemoVisit) -> None:
        if self._pay(visit, Scope.all(), "card", self._due(visit, Scope.all())):
            return
        for code in self._unpaid(visit):
            scope = Scope.of(code)
            self._pay(visit, scope, "card", self._due(visit, scope))

    def _too_little_first(self, visit: DemoVisit) -> None:
        due_minor = self._due(visit, Scope.all())
        self._pay(visit, Scope.all(), "cash", due_minor // NOTE_MINOR * NOTE_MINOR)
        self._pay(visit, Scope.all(), "card", due_minor)

    def _all_by_card(self, visit: DemoVisit) -> None:
        self._pay(visit, Scope.all(), "card", self._due(visit, Scope.all()))

    def _pay(self, visit: DemoVisit, scope: Scope, method: str, amount_minor: int, *, key: str | None = None) -> bool:
        """Take a payment and tell what it settled, or who refused it and why; say whether it was taken."""
        tenders = [Tender(method, amount_minor)] if amount_minor else []
        try:
            taken = self.console.database.run(
                lambda tx: payments.take_payment(tx, invoice_id=visit.invoice_id, scope=scope, tenders=tenders, key=key),
                actor=CASHIER,
                clinic=self.console.clinic,
            )
        except (Refused, Invalid) as refusal:
            self._tell_refusal(visit, scope, refusal)
            return False
        self._tell_taken(visit, taken, method)
        return True

    def _tell_taken(self, visit: DemoVisit, taken: PaymentTaken, method: str) -> None:
        settled = ", ".join(dict.fromkeys(item.department for item in taken.items)) or "nothing yet"
        self.console.say(
            f"  {taken.receipt_number}  {taken.scope}: {self._money(taken.tendered_minor)} by {method}"
            + (f", {self._money(taken.change_minor)} change" if taken.change_minor else "")
            + (" - the same receipt: the key was used before" if taken.replayed else f"; settled: {settled}")
            + (f"; {self._money(taken.amount_due_minor)} still due" if taken.amount_due_minor else "; the invoice is paid")
        )
        self.steps.append(
            {
                "visit": visit.number,
                "scope": taken.scope,
                "receipt_number": taken.receipt_number,
                "method": method,
                "tendered": format_amount(taken.tendered_minor, self.currency),
                "change": format_amount(taken.change_minor, self.currency),
                "amount_due": format_amount(taken.amount_due_minor, self.currency),
                "settled": sorted({item.department for item in taken.items}),
                "status": taken.status,
                "replayed": taken.replayed,
            }
        )
        if not taken.replayed:
            self.taken.append(taken)

    def _tell_refusal(self, visit: DemoVisit, scope: Scope, refusal: BillingError) -> None:
        by = refusal.facts.get("plugin")
        self.console.say(f"  refused{f' by {by}' if by else ''}  {scope}: {refusal.sentence}")
        self.steps.append({"visit": visit.number, "scope": str(scope), "refused": refusal.code, "plugin": by, "message": refusal.sentence})

    def _due(self, visit: DemoVisit, scope: Scope) -> int:
        seen = self._as_cashier(lambda tx: payment_preview.preview_payment(tx, invoice_id=visit.invoice_id, scope=scope))
        return int(seen.due_minor)

    def _unpaid(self, visit: DemoVisit) -> list[str]:
        """Return the departments that have something to settle, in the clinic's order."""

        def unit(tx: Transaction) -> list[str]:
            unpaid = {item.department for item in reading.read_invoice(tx, invoice=visit.invoice_id).items if item.payment_id is None}
            return [each.code for each in tx.clinic.departments if each.code in unpaid]

        found: list[str] = self._as_cashier(unit)
        return found

    def _read(self, visit: DemoVisit) -> tuple[str, int]:
        seen = self._as_cashier(lambda tx: reading.read_invoice(tx, invoice=visit.invoice_id)).invoice
        return str(seen.number), seen.amount_due_minor

    def _as_cashier(self, unit: Any) -> Any:
        return self.console.database.read(unit, actor=CASHIER, clinic=self.console.clinic)

    def _money(self, minor: int) -> str:
        return f"{format_amount(minor, self.currency)} {self.currency.code}"
