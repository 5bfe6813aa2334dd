"""A clinic as it should be, in plain integers and lists: what every act does, or the code with which it is refused.

It is the judge of the real one, so it shares no arithmetic with it. Amounts are rappen (the clinic counts in CHF and rounds cash to 5),
quantities thousandths, prices ten-thousandths of a rappen.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from tests.model.asked import FOLLOW_UP_DAYS, FOLLOW_UP_PRICE, FOLLOW_UP_VISITS, PAYMENT_DAYS, SHARE_BP, ZONE, Discount, Line


class Refusal(Exception):
    """The act must be refused with this code, and change nothing."""


@dataclass
class Item:
    line: Line
    price: int
    net: int
    taxable: int = 0
    tax: int = 0
    share: int = 0
    reservation: str | None = None
    receipt: str | None = None

    @property
    def total(self) -> int:
        return self.taxable + self.tax


@dataclass
class Invoice:
    patient: str
    rounding: str
    items: list[Item]
    discounts: Sequence[Discount]
    number: str | None = None
    status: str = "draft"
    paid: int = 0
    due_date: date | None = None

    @property
    def due(self) -> int:
        return total(self.items) - self.paid

    @property
    def unpaid(self) -> list[Item]:
        return [item for item in self.items if item.receipt is None]


@dataclass
class Batch:
    service: str
    lot: str
    expires: date
    on_hand: int


def total(items: Sequence[Item]) -> int:
    return sum(item.total for item in items)


def half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def parts(whole: int, numerators: Sequence[int], denominator: int) -> list[int]:
    """Cut every share, then give what is missing to the largest rests, the first of equals first."""
    cut = [each // denominator for each in numerators]
    by_rest = sorted(range(len(cut)), key=lambda place: -(numerators[place] % denominator))
    for place in by_rest[: whole - sum(cut)]:
        cut[place] += 1
    return cut


def one_test_per_line(items: Sequence[Item]) -> None:
    if any(item.line.service.analytes and item.line.quantity != 1000 for item in items):
        raise Refusal("one_lab_test_per_line")


class ModelClinic:
    def __init__(self, at: datetime) -> None:
        self.at = at
        self.numbers_at, self.rounding = "creation", "document"
        self.order = ["consultation", "laboratory", "pharmacy"]
        self.invoices: list[Invoice] = []
        self.payments: list[tuple[str | int | date, ...]] = []
        self.counters: dict[tuple[str, str], int] = defaultdict(int)
        self.products: set[str] = set()
        self.batches: list[Batch] = []
        self.windows: dict[tuple[str, str | None], tuple[date, date, int]] = {}
        """Of a patient with a provider: the days on which visits are follow-ups, first and last, and how many are left."""

    @property
    def today(self) -> date:
        return self.at.astimezone(ZONE).date()

    def _number(self, series: str, prefix: str) -> str:
        year = str(self.today.year)
        self.counters[series, year] += 1
        return f"{prefix}-{year}-{self.counters[series, year]:05}"

    def create(self, patient: str, lines: Sequence[Line], discounts: Sequence[Discount]) -> None:
        made = self._draft(patient, self.rounding, lines, discounts, self.claims())
        made.number = self._number("invoice", "INV") if self.numbers_at == "creation" else None
        self.invoices.append(made)

    def edit(self, place: int, lines: Sequence[Line] | None, discounts: Sequence[Discount] | None) -> None:
        before = self._in(place, "draft", refusal="invoice_not_draft")
        chosen = [item.line for item in before.items] if lines is None else lines
        kept = before.discounts if discounts is None else discounts
        made = self._draft(before.patient, before.rounding, chosen, kept, self.claims(but=before))
        made.number = before.number
        self.invoices[place] = made

    def issue(self, place: int) -> None:
        invoice = self._in(place, "draft", refusal="invoice_not_draft")
        one_test_per_line(invoice.items)
        self._issue(invoice)

    def cancel(self, place: int) -> None:
        invoice = self._in(place, "draft", "sent", refusal="invoice_has_payments")
        invoice.status = "cancelled"
        self._reserve(invoice, "released")

    def claims(self, but: Invoice | None = None) -> set[str]:
        live = (item for each in self.invoices if each is not but and each.status != "cancelled" for item in each.items)
        return {item.line.source for item in live if item.line.source}

    def _in(self, place: int, *statuses: str, refusal: str) -> Invoice:
        invoice = self.invoices[place]
        if invoice.status not in statuses:
            raise Refusal("invoice_cancelled" if invoice.status == "cancelled" else refusal)
        return invoice

    def _issue(self, invoice: Invoice) -> None:
        invoice.status, invoice.due_date = "sent", self.today + timedelta(days=PAYMENT_DAYS)
        invoice.number = invoice.number or self._number("invoice", "INV")

    def _draft(self, patient: str, rounding: str, lines: Sequence[Line], discounts: Sequence[Discount], claimed: set[str]) -> Invoice:
        made = Invoice(patient, rounding, self._quote(patient, lines), discounts)
        if any(item.net < 0 for item in made.items):
            raise Refusal("negative_total")
        for tax in sorted({line.service.tax for line in lines} | {each.tax for each in discounts}):
            self._total_group(made, tax)
        sources = [line.source for line in lines if line.source]
        if len(set(sources)) < len(sources) or claimed & set(sources):
            raise Refusal("source_already_billed")
        self._reserve(made, "held")
        return made

    def _quote(self, patient: str, lines: Sequence[Line]) -> list[Item]:
        used: dict[str | None, int] = defaultdict(int)
        items = []
        for line in lines:
            item = Item(line, line.service.price, 0)
            if line.service.visit and self._covers(patient, line.provider, used[line.provider] + item.line.visits):
                used[line.provider] += item.line.visits
                item.price = min(item.price, FOLLOW_UP_PRICE)
            item.price = item.price if line.price is None else line.price
            items.append(replace(item, net=half_up(line.quantity * item.price, 10_000_000) - line.allowance))
        return items

    def _covers(self, patient: str, provider: str | None, visits: int) -> bool:
        opened, through, left = self.windows.get((patient, provider), (date.max, date.min, 0))
        return left >= visits and opened <= self.today <= through

    @staticmethod
    def _total_group(invoice: Invoice, tax: tuple[str, int]) -> None:
        items = [item for item in invoice.items if item.line.service.tax == tax]
        adjusted = sum(each.amount for each in invoice.discounts if each.tax == tax)
        if not items or sum(item.net for item in items) + adjusted < 0:
            raise Refusal("negative_total" if items else "adjustment_without_lines")
        large_first = sorted(items, key=lambda item: -item.net)
        weights = [item.net for item in large_first] if any(item.net for item in items) else [1] * len(items)
        shares = parts(abs(adjusted), [abs(adjusted) * each for each in weights], sum(weights))
        for item, share in zip(large_first, shares, strict=True):
            item.taxable = item.net + (share if adjusted > 0 else -share)
        taxed = [item.taxable * tax[1] for item in items]
        once = parts(half_up(sum(taxed), 10_000), taxed, 10_000)
        taxes = [half_up(each, 10_000) for each in taxed] if invoice.rounding == "line" else once
        for item, part in zip(items, taxes, strict=True):
            item.tax = part

    def _reserve(self, invoice: Invoice, status: str) -> None:
        for item in invoice.items:
            if item.line.service.code in self.products:
                item.reservation = status

    def due_for(self, place: int, scope: str) -> int:
        invoice = self._in(place, "draft", "sent", "partial", refusal="already_paid")
        named = [item for item in invoice.unpaid if scope in {"ALL", item.line.service.department}]
        if scope == "ON_ACCOUNT":
            return invoice.due
        if not named:
            raise Refusal("nothing_to_pay")
        return min(total(named), invoice.due)

    def pay(self, place: int, scope: str, tenders: Sequence[tuple[str, int]]) -> None:
        invoice, due = self.invoices[place], self.due_for(place, scope)
        applied, rounding = self._tender(due, scope, tenders)
        settled = self._settled(invoice, scope, applied)
        dispensed = self._check_departments(settled)
        if invoice.status == "draft":
            one_test_per_line(invoice.items)
            self._issue(invoice)
        receipt = self._number("receipt", "R")
        self._settle(invoice.patient, settled, receipt, dispensed)
        invoice.paid += applied
        invoice.status = "partial" if invoice.due or invoice.unpaid else "paid"
        change = sum(amount for _, amount in tenders) - applied - rounding
        self.payments.append((receipt, place, scope, due, change, rounding, applied, self.today))

    @staticmethod
    def _tender(due: int, scope: str, tenders: Sequence[tuple[str, int]]) -> tuple[int, int]:
        tendered = sum(amount for _, amount in tenders)
        cash = [amount for method, amount in tenders if method == "cash"]
        if scope == "ON_ACCOUNT":
            if not 0 < tendered <= due:
                raise Refusal("bad_payment_amount")
            due, rounding = tendered, 0
        else:
            left_to_cash = due - tendered + sum(cash)
            rounding = half_up(left_to_cash, 5) * 5 - left_to_cash if cash and left_to_cash > 0 else 0
        if any(amount == 0 for _, amount in tenders) and (len(tenders) > 1 or due + rounding):
            raise Refusal("bad_payment_amount")
        over = tendered - due - rounding
        if not 0 <= over <= sum(cash):
            raise Refusal("underpaid" if over < 0 else "overpaid")
        return due, rounding

    def _settled(self, invoice: Invoice, scope: str, applied: int) -> list[Item]:
        unpaid = {code: [item for item in invoice.unpaid if item.line.service.department == code] for code in self.order}
        chosen = [code for code in self.order if scope in {"ALL", code}]
        used = total(invoice.items) - total(invoice.unpaid) + sum(total(unpaid[code]) for code in chosen)
        money = invoice.paid + applied - used
        for code in self.order:
            if code not in chosen:
                money -= total(unpaid[code])
                if money < 0:
                    break
                chosen.append(code)
        return [item for item in invoice.unpaid if item.line.service.department in chosen]

    def _check_departments(self, settled: list[Item]) -> dict[int, int]:
        """Refuse as the laboratory would, then as the pharmacy; return how much every batch gives, the one that expires first before others."""
        one_test_per_line(settled)
        sold = [item.line for item in settled if item.line.service.department == "pharmacy"]
        if any(line.service.code not in self.products for line in sold):
            raise Refusal("not_a_product")
        given: dict[int, int] = defaultdict(int)
        for code in {line.service.code for line in sold}:
            missing = sum(line.quantity for line in sold if line.service.code == code)
            fresh = [place for place, batch in enumerate(self.batches) if batch.service == code and batch.expires >= self.today]
            for place in sorted(fresh, key=lambda place: self.batches[place].expires):
                given[place] = min(missing, self.batches[place].on_hand)
                missing -= given[place]
            if missing:
                raise Refusal("out_of_stock")
        return given

    def _settle(self, patient: str, settled: list[Item], receipt: str, dispensed: dict[int, int]) -> None:
        for place, quantity in dispensed.items():
            self.batches[place].on_hand -= quantity
        for item in settled:
            item.receipt = receipt
            if item.line.service.department == "pharmacy":
                item.reservation = "dispensed"
            if item.line.service.department == "consultation" and item.line.provider:
                item.share = half_up(item.taxable * SHARE_BP, 10_000)
        visits = [item for item in settled if item.line.service.visit and item.line.provider]
        for provider in [item.line.provider for item in visits if not self._used_up(patient, item)]:
            self.windows[patient, provider] = (self.today, self.today + timedelta(days=FOLLOW_UP_DAYS), FOLLOW_UP_VISITS)

    def _used_up(self, patient: str, item: Item) -> bool:
        """Count a follow-up down from its window; say whether the visit was one, or too cheap to open another window."""
        if item.price <= FOLLOW_UP_PRICE and self._covers(patient, item.line.provider, 1):
            opened, through, left = self.windows[patient, item.line.provider]
            self.windows[patient, item.line.provider] = (opened, through, max(left - item.line.visits, 0))
            return True
        return item.price <= FOLLOW_UP_PRICE or item.taxable == 0

    def receive(self, service: str, lot: str, expires: date, quantity: int) -> None:
        batch = next((each for each in self.batches if (each.service, each.lot) == (service, lot)), Batch(service, lot, expires, 0))
        if expires < self.today:
            raise Refusal("expired_on_arrival")
        if batch.expires != expires:
            raise Refusal("lot_has_other_expiry")
        self.products.add(service)
        batch.on_hand += quantity
        self.batches += [] if batch in self.batches else [batch]

    def write_off_expired(self) -> None:
        for batch in self.batches:
            batch.on_hand = 0 if batch.expires < self.today else batch.on_hand
