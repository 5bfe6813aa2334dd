"""An invoice's rows: from what was quoted to what is written. Decides nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing.facts import BilledItem
from billing.model import Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, SourceClaim, new_id
from billing.model.writes import DeleteRows, InsertRows, Number, NumberText, NumberValue, Write
from billing.rules.statuses import InvoiceStatus
from billing.services.open_invoice import OpenInvoice
from billing.services.quotation import Quotation, Reduction
from billing.transaction import Transaction

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
ADJUSTMENT: Any = InvoiceAdjustment.__table__
TAX: Any = InvoiceTax.__table__
CLAIM: Any = SourceClaim.__table__


def new_row(tx: Transaction, invoice_id: str, quotation: Quotation, number: Number | None) -> dict[str, Any]:
    """Return a draft's row, its note and source aside."""
    return amounts(quotation) | {
        "id": invoice_id,
        "patient_id": quotation.patient.id,
        "client_id": quotation.patient.client_id,
        "consultation_id": quotation.consultation_id,
        "provider_id": quotation.provider_id,
        "series": number.series if number else None,
        "number_period": number.period if number else None,
        "number_value": NumberValue(number) if number else None,
        "number": NumberText(number) if number else None,
        "status": InvoiceStatus.DRAFT.value,
        "currency": tx.clinic.currency.code,
        "rounding": tx.clinic.rounding,
        "prices_include_tax": tx.clinic.prices_include_tax,
        "amount_paid_minor": 0,
        "written_off_minor": 0,
        "credited_minor": 0,
        "payer_id": None,
        "coverage_id": None,
        "payer_minor": 0,
        "version": 1,
        "created_at": tx.at,
        "created_by": tx.actor.id,
        "issued_at": None,
        "issue_date": None,
        "due_date": None,
        "cancelled_at": None,
        "cancel_reason": None,
        "printed": None,
        "content_hash": None,
    }


def amounts(quotation: Quotation) -> dict[str, Any]:
    """Return the columns that totals fill."""
    totals = quotation.totals
    return {
        "line_total_minor": totals.line_total_minor,
        "allowance_minor": totals.allowance_total_minor,
        "charge_minor": totals.charge_total_minor,
        "net_minor": totals.net_total_minor,
        "tax_minor": totals.tax_total_minor,
        "total_minor": totals.gross_total_minor,
    }


def content_rows(invoice_id: str, quotation: Quotation, source: str | None) -> list[Write]:
    """Return items, tax groups, reductions and claims of an invoice."""
    off = _own_reductions(quotation.reductions)
    items = [
        {
            "id": item.id,
            "invoice_id": invoice_id,
            "position": item.position,
            "department": item.department,
            "service_id": item.service_id,
            "code": item.code,
            "description": item.description,
            "unit": item.unit,
            "quantity_milli": item.quantity_milli,
            "unit_price_e4": item.unit_price_e4,
            "price_reason": item.price_reason,
            "person_price": item.person_price,
            "allowance_minor": off.get((item.position, False), 0),
            "charge_minor": off.get((item.position, True), 0),
            "net_minor": line.net_minor,
            "adjustment_minor": line.adjustment_minor,
            "taxable_minor": line.taxable_minor,
            "tax_category": item.tax.category,
            "tax_rate_bp": item.tax.rate_bp,
            "tax_minor": line.tax_minor,
            "total_minor": line.total_minor,
            "provider_id": item.provider_id,
            "source": item.source,
            "given": dict(item.given),
            "payment_id": None,
            "paid_at": None,
        }
        for item, line in zip(quotation.items, quotation.totals.lines, strict=True)
    ]
    taxes = [
        {
            "invoice_id": invoice_id,
            "tax_category": row.tax.category,
            "tax_rate_bp": row.tax.rate_bp,
            "taxable_minor": row.taxable_minor,
            "tax_minor": row.tax_minor,
        }
        for row in quotation.totals.taxes
    ]
    by_position = {item.position: item.id for item in quotation.items}
    adjustments = [
        {
            "id": new_id(),
            "invoice_id": invoice_id,
            "item_id": by_position.get(each.position) if each.position is not None else None,
            "charge": each.charge,
            "amount_minor": each.amount_minor,
            "tax_category": each.tax.category,
            "tax_rate_bp": each.tax.rate_bp,
            "reason": each.reason,
            "plugin": each.plugin,
            "given_by": each.given_by,
            "approved_by": each.approved_by,
            "code_id": each.code_id,
        }
        for each in quotation.reductions
    ]
    claims = [{"source": each, "invoice_id": invoice_id} for each in (source, *(item.source for item in quotation.items)) if each]
    sets = ((ITEM, items), (TAX, taxes), (ADJUSTMENT, adjustments), (CLAIM, claims))
    return [InsertRows(table, rows) for table, rows in sets if rows]


def _own_reductions(reductions: Sequence[Reduction]) -> Mapping[tuple[int, bool], int]:
    off: dict[tuple[int, bool], int] = {}
    for each in reductions:
        if each.position is not None:
            off[each.position, each.charge] = off.get((each.position, each.charge), 0) + each.amount_minor
    return off


def deletions(opened: OpenInvoice) -> list[Write]:
    """Return what takes a draft's content away, claims included."""
    taxes = {(row.tax_category, row.tax_rate_bp) for row in opened.items}
    sources = [each for each in (opened.row.source, *(row.source for row in opened.items)) if each]
    writes: list[Write] = [DeleteRows(ADJUSTMENT, [{"invoice_id": opened.id}]), DeleteRows(ITEM, [{"id": row.id} for row in opened.items])]
    writes.append(DeleteRows(TAX, [{"invoice_id": opened.id, "tax_category": c, "tax_rate_bp": r} for c, r in sorted(taxes)]))
    return writes + ([DeleteRows(CLAIM, [{"source": each} for each in sources])] if sources else [])


def billed(quotation: Quotation) -> list[BilledItem]:
    """Return the items as hooks see them."""
    return [
        BilledItem(
            id=item.id,
            position=item.position,
            department=item.department,
            code=item.code,
            description=item.description,
            quantity_milli=item.quantity_milli,
            unit_price_e4=item.unit_price_e4,
            taxable_minor=line.taxable_minor,
            tax_minor=line.tax_minor,
            total_minor=line.total_minor,
            service_id=item.service_id,
            provider_id=item.provider_id,
            source=item.source,
            given=item.given,
        )
        for item, line in zip(quotation.items, quotation.totals.lines, strict=True)
    ]
