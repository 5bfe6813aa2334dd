"""The Z-report on paper: as text for a receipt printer, and as a page of HTML. Both say the same lines; neither computes anything."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Literal, get_args

from billing import clock
from billing.money import currency, format_amount
from billing.services.documents import BadForm, Document
from billing.services.documents.text import between, plain, wrap
from billing.services.documents.web import template
from billing.services.shift_report import ShiftReport, read_shift_report
from billing.transaction import ClinicFacts, Transaction

ReportForm = Literal["text", "html"]

COLUMNS = 42

_KINDS = {
    "shift_opened": "Float",
    "payment": "Payments",
    "void": "Voids",
    "refund": "Refunds",
    "top_up": "Wallets, paid in",
    "pay_out": "Wallets, paid out",
    "paid_in": "Paid in",
    "paid_out": "Paid out",
    "hand_over": "Handed over",
}

Part = Iterator[tuple[str, str]]
"""Lines: words on the left, an amount or nothing on the right."""


def print_shift_report(tx: Transaction, *, shift_id: str | None = None, form: str = "text") -> Document:
    """Return the report of a shift (default: one's own open one) as text or as a page of HTML. Raises `NoSuchReport`, `BadForm`."""
    tx.require("invoices.read")
    if form not in get_args(ReportForm):
        raise BadForm(f"{form[:40]!r} is no form of a report: choose from {', '.join(get_args(ReportForm))}.", form=form)
    report = read_shift_report(tx, shift_id=shift_id)
    name = f"z-report-{report.shift_id}"
    if form == "html":
        return Document(_html(report, tx.clinic), "text/html", f"{name}.html", 0)
    return Document(_text(report, tx.clinic), "text/plain", f"{name}.txt", 0)


def _text(report: ShiftReport, clinic: ClinicFacts) -> str:
    lines = [plain(clinic.name), _title(report)]
    for part in _parts(report, clinic):
        lines.append("")
        for left, right in part:
            indent = "  " if left.startswith("  ") else ""
            room = COLUMNS - len(indent)
            lines += [indent + each for each in (between(left.strip(), right, room) if right else wrap(left.strip(), room))]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _html(report: ShiftReport, clinic: ClinicFacts) -> str:
    parts = [list(part) for part in _parts(report, clinic)]
    return template("z_report.html").render(clinic=clinic.name, title=_title(report), parts=parts)


def _title(report: ShiftReport) -> str:
    return "Z-REPORT" if report.closed_at else "SHIFT, STILL OPEN"


def _parts(report: ShiftReport, clinic: ClinicFacts) -> Iterator[Part]:
    def amount(minor: int) -> str:
        return format_amount(minor, currency(report.currency))

    def local(text: str) -> str:
        return clock.local(datetime.fromisoformat(text), clinic.time_zone).strftime("%Y-%m-%d %H:%M")

    yield _head(report, local)
    yield from (_moves(report, method, amount) for method in sorted({each["method"] for each in report.moves}))
    yield from (_count(report, method, amount) for method in sorted(report.expected or {}))
    if report.denominations:
        yield _pieces(report, amount)
    if report.reversals:
        yield _reversals(report, amount, local)
    yield iter([(f"Audit entry {report.anchor['position']}: {report.anchor['hash'][:16]}", "")])


def _head(report: ShiftReport, local: Callable[[str], str]) -> Part:
    yield f"Cashier: {report.cashier}", ""
    yield f"Drawer: {report.drawer}", ""
    yield f"Opened: {local(report.opened_at)}", ""
    if report.closed_at:
        yield f"Closed: {local(report.closed_at)}", ""
    yield f"Receipts: {report.receipts}", ""
    if report.first_receipt:
        yield f"{report.first_receipt} to {report.last_receipt}", ""


def _moves(report: ShiftReport, method: str, amount: Callable[[int], str]) -> Part:
    yield f"{method.capitalize()} ({report.currency})", ""
    for each in report.moves:
        if each["method"] == method:
            yield f"  {_KINDS.get(each['kind'], each['kind'])} ({each['acts']})", amount(each["amount_minor"])


def _count(report: ShiftReport, method: str, amount: Callable[[int], str]) -> Part:
    named = method.capitalize()
    yield f"{named}, expected", amount((report.expected or {})[method])
    if report.counted is not None:
        yield f"{named}, counted", amount(report.counted[method])
        yield f"{named}, difference", amount(report.differences[method])


def _pieces(report: ShiftReport, amount: Callable[[int], str]) -> Part:
    yield "Counted", ""
    for value, number in sorted(report.denominations.items(), key=lambda each: -int(each[0])):
        yield f"  {number} x {amount(int(value))}", amount(int(value) * number)


def _reversals(report: ShiftReport, amount: Callable[[int], str], local: Callable[[str], str]) -> Part:
    yield "Voids and refunds", ""
    for each in report.reversals:
        yield f"  {local(each['at'])} {each['kind']}, {each['person']}: {each['reason']}", amount(each["refunded_minor"])
