"""What stands on a document, in the clinic's language and in order: texts only, so that page and text form say the same. Knows no layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.model import InvoiceAdjustment, InvoiceItem, ReversalItem
from billing.money import currency
from billing.services.documents.content import CreditNoteContent, InvoiceContent, ReceiptContent
from billing.services.documents.labels import Labels, labels_for
from billing.services.documents.writing import Writer

ONE_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Sum:
    """A line with an amount. `strong`: what a reader looks for."""

    label: str
    amount: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody or something named on the document, with what is said below the name."""

    label: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The upper part of a document. `marks` say what state it is in, `facts` are labels with values."""

    title: str
    number: str
    marks: tuple[str, ...]
    clinic: Party
    facts: tuple[tuple[str, str], ...]
    parties: tuple[Party, ...]


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item of an invoice. `amount` is before its own `reductions`, which follow it, so that the column adds up."""

    position: str
    description: str
    note: str
    quantity: str
    unit: str
    unit_price: str
    tax: str
    amount: str
    reductions: tuple[Sum, ...]


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """An invoice or a credit note. `taxes` are group, taxable amount and tax; `sums` have the total."""

    labels: Labels
    head: Head
    items: tuple[ItemLine, ...]
    sums: tuple[Sum, ...]
    taxes: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DepartmentPart:
    """What a payment settled of a department: description, quantity (empty where it is one) and amount of each item, and their total."""

    name: str
    items: tuple[tuple[str, str, str], ...]
    total: str


@dataclass(frozen=True, slots=True)
class ReceiptPage:
    """A receipt. `sums` are blocks: what it was for, how it was paid, how the invoice stands after it."""

    labels: Labels
    head: Head
    departments: tuple[DepartmentPart, ...]
    sums: tuple[tuple[Sum, ...], ...]
    notes: tuple[str, ...]


def invoice_page(content: InvoiceContent) -> InvoicePage:
    """Say what stands on an invoice."""
    invoice, printed = content.invoice, content.printed
    labels, write = labels_for(printed["language"]), _writer(printed, invoice.currency)
    provider = printed["provider"]
    facts = [(labels.issue_date, invoice.issue_date), (labels.due_date, invoice.due_date)]
    head = Head(
        title=labels.invoice,
        number=invoice.number or "",
        marks=_marks(content, labels),
        clinic=_clinic(printed, labels),
        facts=tuple((label, write.day(day)) for label, day in facts if day is not None),
        parties=(*_parties(printed, labels), *([Party(labels.provider, provider["name"])] if provider else [])),
    )
    return InvoicePage(
        labels=labels,
        head=head,
        items=tuple(_item_line(item, content.adjustments, labels, write) for item in content.items),
        sums=_invoice_sums(content, labels, write),
        taxes=tuple(
            (_tax_group(each.tax_category, each.tax_rate_bp, labels, write), write.amount(each.taxable_minor), write.amount(each.tax_minor))
            for each in content.taxes
        ),
        notes=_notes(invoice.currency, labels, prices_include_tax=invoice.prices_include_tax),
    )


def receipt_page(content: ReceiptContent) -> ReceiptPage:
    """Say what stands on a receipt."""
    payment, printed = content.payment, content.printed
    labels, write = labels_for(printed["language"]), _writer(printed, payment.currency)
    head = Head(
        title=labels.receipt,
        number=payment.receipt_number,
        marks=_void_marks(content, labels, write),
        clinic=_clinic(printed, labels),
        facts=(
            (labels.time, write.time(payment.taken_at)),
            (labels.cashier, payment.cashier),
            (labels.invoice, content.invoice.number or ""),
        ),
        parties=_parties(printed, labels),
    )
    return ReceiptPage(
        labels=labels,
        head=head,
        departments=_departments(content, labels, write),
        sums=(_paid_for(content, labels, write), _paid_how(content, labels, write), _after(content, labels, write)),
        notes=_notes(payment.currency, labels),
    )


def credit_note_page(content: CreditNoteContent) -> InvoicePage:
    """Say what stands on a credit note: what is credited, and how money went back. Its amounts are above zero, as on the invoice."""
    reversal, invoice, printed = content.reversal, content.invoice, content.printed
    labels, write = labels_for(printed["language"]), _writer(printed, reversal.currency)
    head = Head(
        title=labels.credit_note,
        number=reversal.number or "",
        marks=(),
        clinic=_clinic(printed, labels),
        facts=(
            (labels.issue_date, write.day(reversal.business_date)),
            (labels.invoice, invoice.number or ""),
            (labels.reason, reversal.reason),
            (labels.cashier, reversal.person),
        ),
        parties=_parties(printed, labels),
    )
    return InvoicePage(
        labels=labels,
        head=head,
        items=tuple(_credited_line(item, back, labels, write, gross=invoice.prices_include_tax) for item, back in content.items),
        sums=_credit_sums(content, labels, write),
        taxes=_credited_taxes(content, labels, write),
        notes=_notes(reversal.currency, labels, prices_include_tax=invoice.prices_include_tax),
    )


def _writer(printed: Mapping[str, Any], currency_code: str) -> Writer:
    return Writer(language=printed["language"], time_zone=printed["time_zone"], currency=currency(currency_code))


def _clinic(printed: Mapping[str, Any], labels: Labels) -> Party:
    clinic = printed["clinic"]
    tax_number = f"{labels.tax_number}: {clinic['tax_number']}" if clinic["tax_number"] else ""
    return Party("", clinic["name"], "\n".join(filter(None, (clinic["address"], tax_number))))


def _parties(printed: Mapping[str, Any], labels: Labels) -> tuple[Party, ...]:
    client, patient = printed["client"], printed["patient"]
    kind = ", ".join(filter(None, (patient["species"], patient["breed"])))
    return Party(labels.client, client["name"], client["address"]), Party(labels.patient, patient["name"], kind)


def _marks(content: InvoiceContent, labels: Labels) -> tuple[str, ...]:
    invoice = content.invoice
    if invoice.status == "cancelled":
        return (f"{labels.cancelled}: {invoice.cancel_reason}" if invoice.cancel_reason else labels.cancelled,)
    return () if invoice.issued_at else (labels.draft,)


def _void_marks(content: ReceiptContent, labels: Labels, write: Writer) -> tuple[str, ...]:
    void = content.void
    return () if void is None else (f"{labels.voided} {write.day(void.business_date)}: {void.reason}",)


def _item_line(item: InvoiceItem, adjustments: Sequence[InvoiceAdjustment], labels: Labels, write: Writer) -> ItemLine:
    return ItemLine(
        position=str(item.position),
        description=item.description,
        note=item.price_reason,
        quantity=write.quantity(item.quantity_milli),
        unit=labels.units.get(item.unit, item.unit),
        unit_price=write.unit_price(item.unit_price_e4),
        tax=write.rate(item.tax_rate_bp),
        amount=write.amount(item.net_minor + item.allowance_minor - item.charge_minor),
        reductions=tuple(_reduction(each, labels, write) for each in adjustments if each.item_id == item.id),
    )


def _reduction(adjustment: InvoiceAdjustment, labels: Labels, write: Writer) -> Sum:
    label = labels.charge if adjustment.charge else labels.discount
    signed_minor = adjustment.amount_minor if adjustment.charge else -adjustment.amount_minor
    return Sum(f"{label}: {adjustment.reason}", write.amount(signed_minor))


def _invoice_sums(content: InvoiceContent, labels: Labels, write: Writer) -> tuple[Sum, ...]:
    invoice = content.invoice
    on_document = [_reduction(each, labels, write) for each in content.adjustments if each.item_id is None]
    before = [Sum(labels.items_total, write.amount(invoice.line_total_minor)), *on_document] if on_document else []
    total, tax = Sum(labels.total, write.money(invoice.total_minor), strong=True), write.amount(invoice.tax_minor)
    if invoice.prices_include_tax:
        return (*before, total, Sum(labels.tax_included, tax))
    return (*before, Sum(labels.net, write.amount(invoice.net_minor)), Sum(labels.tax, tax), total)


def _tax_group(category: str, rate_bp: int, labels: Labels, write: Writer) -> str:
    return f"{write.rate(rate_bp)} {labels.categories.get(category, '')}".strip()


def _notes(currency_code: str, labels: Labels, *, prices_include_tax: bool = False) -> tuple[str, ...]:
    return (f"{labels.amounts_in} {currency_code}.", *([labels.prices_include_tax] if prices_include_tax else []))


def _departments(content: ReceiptContent, labels: Labels, write: Writer) -> tuple[DepartmentPart, ...]:
    names: dict[str, str] = dict(content.printed["departments"])
    found: dict[str, list[tuple[InvoiceItem, int]]] = {code: [] for code in names}
    for item, amount_minor in content.settled:
        found.setdefault(item.department, []).append((item, amount_minor))
    return tuple(
        DepartmentPart(
            name=names.get(code, code),
            items=tuple((item.description, _quantity(item, labels, write), write.amount(amount_minor)) for item, amount_minor in settled),
            total=write.amount(sum(amount_minor for _, amount_minor in settled)),
        )
        for code, settled in found.items()
        if settled
    )


def _quantity(item: InvoiceItem, labels: Labels, write: Writer) -> str:
    if item.quantity_milli == ONE_MILLI:
        return ""
    return f"× {write.quantity(item.quantity_milli)} {labels.units.get(item.unit, item.unit)}".strip()


def _paid_for(content: ReceiptContent, labels: Labels, write: Writer) -> tuple[Sum, ...]:
    """List what adds up to the amount paid: items, less what earlier money on account covers, or plus what is put there."""
    applied_minor = content.payment.applied_minor
    settled_minor = sum(amount_minor for _, amount_minor in content.settled)
    sums = [Sum(labels.items_total, write.amount(settled_minor))] if content.settled else []
    if applied_minor != settled_minor:
        label = labels.to_account if applied_minor > settled_minor else labels.from_account
        sums.append(Sum(label, write.amount(applied_minor - settled_minor)))
    return (*sums, Sum(labels.paid, write.money(applied_minor), strong=True))


def _paid_how(content: ReceiptContent, labels: Labels, write: Writer) -> tuple[Sum, ...]:
    payment = content.payment
    rounding = [Sum(labels.rounding, write.amount(payment.rounding_minor))] if payment.rounding_minor else []
    tenders = [
        Sum(" ".join(filter(None, (labels.methods.get(each.method, each.method), each.reference))), write.amount(each.amount_minor))
        for each in content.tenders
    ]
    return (
        Sum(labels.due, write.amount(payment.due_minor)),
        *rounding,
        *tenders,
        Sum(labels.received, write.amount(payment.tendered_minor)),
        Sum(labels.change, write.amount(payment.change_minor)),
    )


def _after(content: ReceiptContent, labels: Labels, write: Writer) -> tuple[Sum, ...]:
    on_account = [Sum(labels.on_account, write.amount(content.on_account_minor))] if content.on_account_minor else []
    return (*on_account, Sum(labels.still_due, write.amount(content.amount_due_minor)))


def _credited_line(item: InvoiceItem, back: ReversalItem, labels: Labels, write: Writer, *, gross: bool) -> ItemLine:
    # Where prices include tax, a discount is part of the price: only without its tax is it known what of it is credited.
    discount_minor = 0 if gross else back.discount_minor
    reductions = [Sum(labels.discount, write.amount(-discount_minor))] if discount_minor else []
    return ItemLine(
        position=str(item.position),
        description=item.description,
        note=item.price_reason,
        quantity=write.quantity(back.quantity_milli),
        unit=labels.units.get(item.unit, item.unit),
        unit_price=write.unit_price(item.unit_price_e4),
        tax=write.rate(item.tax_rate_bp),
        amount=write.amount((back.total_minor if gross else back.taxable_minor) + discount_minor),
        reductions=tuple(reductions),
    )


def _credit_sums(content: CreditNoteContent, labels: Labels, write: Writer) -> tuple[Sum, ...]:
    reversal, lines = content.reversal, [back for _, back in content.items]
    total, tax = (
        Sum(labels.credited, write.money(reversal.credited_minor), strong=True),
        write.amount(sum(each.tax_minor for each in lines)),
    )
    net = Sum(labels.net, write.amount(sum(each.taxable_minor for each in lines)))
    sums = (total, Sum(labels.tax_included, tax)) if content.invoice.prices_include_tax else (net, Sum(labels.tax, tax), total)
    payer = [Sum(labels.payers_part, write.amount(reversal.credited_payer_minor))] if reversal.credited_payer_minor else []
    rounding = [Sum(labels.rounding, write.amount(reversal.rounding_minor))] if reversal.rounding_minor else []
    back = [
        Sum(f"{labels.given_back}: {labels.methods.get(each.method, each.method)}", write.amount(each.amount_minor))
        for each in content.tenders
    ]
    return (*sums, *payer, *rounding, *back)


def _credited_taxes(content: CreditNoteContent, labels: Labels, write: Writer) -> tuple[tuple[str, str, str], ...]:
    groups: dict[tuple[str, int], tuple[int, int]] = {}
    for item, back in content.items:
        taxable, tax = groups.get((item.tax_category, item.tax_rate_bp), (0, 0))
        groups[item.tax_category, item.tax_rate_bp] = taxable + back.taxable_minor, tax + back.tax_minor
    return tuple(
        (_tax_group(category, rate_bp, labels, write), write.amount(taxable), write.amount(tax))
        for (category, rate_bp), (taxable, tax) in sorted(groups.items())
    )
