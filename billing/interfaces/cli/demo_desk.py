"""After the payment, at the demonstration: a payer's part, a void, a refund to the wallet, money put into it, and the shift that is closed.

It knows the services of the money desk, and no department: what is refunded is what a department lets go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from billing.errors import Invalid, Refused
from billing.interfaces.cli.demo_day import Day
from billing.money import format_amount
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import approvals, claims, covering, payers, payments, reading, reversals, shifts, wallets, z_report
from billing.services.covering import Cover
from billing.services.demo import CASHIER, DemoVisit
from billing.services.payments import PaymentTaken
from billing.services.reversals import Returned
from billing.services.setup import OPERATOR_LOGIN

FLOAT_MINOR, SHORT_MINOR, TOP_UP_MINOR = 100_00, 50, 20_00
COVERED_VISIT, PAYER = "5", "CARE"


@dataclass(slots=True)
class MoneyDesk:
    """The cashier's shift around the day, and what comes after its payments."""

    day: Day

    def open(self, visits: Sequence[DemoVisit]) -> None:
        """Open the shift, and let a payer answer for a part of one bill."""
        self._as(CASHIER, lambda tx: shifts.open_shift(tx, drawer="front", float_minor=FLOAT_MINOR))
        self._say(f"Lena opens her shift at the drawer front, with {self._money(FLOAT_MINOR)} in it.")
        for visit in visits:
            if visit.number == COVERED_VISIT:
                self._cover(visit)

    def afterwards(self) -> None:
        """Void and pay again, refund to the wallet, top it up, collect from the payer."""
        self._say("\nAfter the payment")
        any(self._voided(taken) for taken in reversed(self.day.taken))
        any(self._refunded(taken, item.id) for taken in self.day.taken for item in taken.items if item.total_minor)
        self._collect()

    def close(self) -> None:
        """Count the drawer, fifty short, and close the shift."""
        report = self._as(CASHIER, lambda tx: shifts.close_shift(tx, counted={self._expected(tx) - SHORT_MINOR: 1}))
        text = self.day.console.read(lambda tx: z_report.print_shift_report(tx, shift_id=report.shift_id)).content
        self._say(f"\nThe shift's Z-report\n\n{text.rstrip()}")
        self._step(
            "shift_closed", differences={name: format_amount(amount, self.day.currency) for name, amount in report.differences.items()}
        )

    def _expected(self, tx: Any) -> int:
        from billing.services.shift_report import cash_of_shift

        return cash_of_shift(tx, tx.actor.shift.id)

    def _cover(self, visit: DemoVisit) -> None:
        self._as(OPERATOR_LOGIN, lambda tx: payers.add_payer(tx, code=PAYER, name="Care Insurance"))
        client = self._as(CASHIER, lambda tx: reading.read_invoice(tx, invoice=visit.invoice_id)).invoice.client_id
        terms = self._as(OPERATOR_LOGIN, lambda tx: payers.add_coverage(tx, payer=PAYER, client_id=client, percent_bp=8000))
        cover = Cover(coverage_id=terms.id)
        done = self._as(OPERATOR_LOGIN, lambda tx: covering.cover_invoice(tx, invoice_id=visit.invoice_id, cover=cover))
        self._say(f"{PAYER} covers 80 % of {visit.patient}'s bill: {self._money(done.payer_minor)} are its part.")

    def _voided(self, taken: PaymentTaken) -> bool:
        """Void a payment, unless a department has begun to work for it; pay again by card."""
        self._approve("payments.void", taken.id)
        try:
            done = self._as(CASHIER, lambda tx: reversals.void_payment(tx, payment_id=taken.id, reason="wrong card"))
        except (Refused, Invalid) as refusal:
            self._say(f"  refused: {refusal.sentence}")
            return False
        again = self._as(
            CASHIER,
            lambda tx: payments.take_payment(
                tx, invoice_id=taken.invoice_id, scope=Scope.all(), tenders=[Tender("card", done.amount_due_minor)]
            ),
        )
        self._say(f"  {taken.receipt_number} is voided, the operator has approved it; paid again: {again.receipt_number}")
        self._step("void", receipt_number=taken.receipt_number, paid_again=again.receipt_number)
        return True

    def _refunded(self, taken: PaymentTaken, item_id: str) -> bool:
        """Refund an item to the client's wallet, unless its department does not let it go; put more into the wallet."""
        self._approve("payments.refund", taken.invoice_id)
        try:
            done = self._as(
                CASHIER,
                lambda tx: reversals.refund_items(
                    tx, invoice_id=taken.invoice_id, items=[Returned(item_id)], reason="not wanted", to="wallet"
                ),
            )
        except (Refused, Invalid) as refusal:
            self._say(f"  refused: {refusal.sentence}")
            return False
        client = self._as(CASHIER, lambda tx: reading.read_invoice(tx, invoice=taken.invoice_id)).invoice.client_id
        self._say(f"  {done.number}: {self._money(done.refunded_minor)} go to the client's wallet")
        self._step("refund", number=done.number, refunded=format_amount(done.refunded_minor, self.day.currency))
        made = self._as(CASHIER, lambda tx: wallets.top_up(tx, client_id=client, tender=Tender("cash", TOP_UP_MINOR)))
        self._say(f"  {made.receipt_number}: {self._money(TOP_UP_MINOR)} more are put into it")
        self._step("top_up", receipt_number=made.receipt_number)
        return True

    def _collect(self) -> None:
        open_ = self._as(OPERATOR_LOGIN, lambda tx: claims.list_claims(tx, only_open=True))
        if not open_:
            return
        owed = sum(each.open_minor for each in open_)
        self._as(OPERATOR_LOGIN, lambda tx: claims.submit_claims(tx, payer=PAYER))
        self._as(OPERATOR_LOGIN, lambda tx: claims.pay_claims(tx, payer=PAYER, amount_minor=owed, reference="CARE-2026-1"))
        self._say(f"  {PAYER} is asked for its part, and pays {self._money(owed)} by one transfer")
        self._step("claims", payer=PAYER, paid=format_amount(owed, self.day.currency))

    def _approve(self, permission: str, subject_id: str) -> None:
        self._as(OPERATOR_LOGIN, lambda tx: approvals.give_approval(tx, permission=permission, subject_id=subject_id, reason="seen"))

    def _as(self, login: str, unit: Callable[[Any], Any]) -> Any:
        return self.day.console.database.run(unit, actor=login, clinic=self.day.console.clinic)

    def _money(self, minor: int) -> str:
        return f"{format_amount(minor, self.day.currency)} {self.day.currency.code}"

    def _say(self, sentence: str) -> None:
        self.day.console.say(sentence)

    def _step(self, act: str, **said: Any) -> None:
        self.day.steps.append({"act": act, **said})
