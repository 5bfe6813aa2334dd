"""Invoices: preview, create, and edit while a draft. A number is taken by the write itself, so a failure uses none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.changes.failures import explains
from billing.errors import Conflict
from billing.facts import BilledItem, PatientFacts
from billing.model import CLINIC, Invoice, InvoiceAdjustment, InvoiceItem, InvoiceTax, SourceClaim, canonical_json, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, DeleteRows, InsertRows, Number, NumberText, NumberValue, Write
from billing.rules.statuses import Action, InvoiceStatus
from billing.rules.texts import check_text
from billing.rules.totals import TaxGroup
from billing.services.acting import ask, facts_for, item_rows, parts_of_rows, write_plan
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.open_invoice import OpenInvoice, invoice_facts, open_invoice
from billing.services.quoting import NewAdjustment, NewItem, Quotation, Reduction, check_expected, quote
from billing.transaction import Transaction
from billing.trips import Query

INVOICE: Any = Invoice.__table__
ITEM: Any = InvoiceItem.__table__
ADJUSTMENT: Any = InvoiceAdjustment.__table__
TAX: Any = InvoiceTax.__table__
CLAIM: Any = SourceClaim.__table__


@explains("pk_source_claim", "What this comes from is billed already on another invoice: cancel that one first.")
class SourceAlreadyBilled(Conflict):
    """A source (an encounter, a prescription) is claimed by a live invoice."""

    code = "source_already_billed"


class InvoiceChanged(Conflict):
    """Somebody else has changed the draft since it was read. Facts: `version`."""

    code = "invoice_changed"


@dataclass(frozen=True, slots=True)
class InvoiceMade:
    """An invoice that was created, edited or previewed. Amounts are minor units of `currency`; a preview has no number."""

    id: str
    status: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    version: int
    item_ids: tuple[str, ...]
    numbered: Number | str | None = None

    @property
    def number(self) -> str | None:
        """The printed number, if the invoice has one yet."""
        return self.numbered.text if isinstance(self.numbered, Number) else self.numbered


_ADJUSTMENTS = Query(
    select(
        InvoiceAdjustment.item_id,
        InvoiceAdjustment.charge,
        InvoiceAdjustment.amount_minor,
        InvoiceAdjustment.reason,
        InvoiceAdjustment.tax_category,
        InvoiceAdjustment.tax_rate_bp,
        InvoiceAdjustment.plugin,
    )
    .where(InvoiceAdjustment.clinic_id == CLINIC, InvoiceAdjustment.invoice_id == bindparam("invoice_id", type_=IdType()))
    .order_by(InvoiceAdjustment.id)
)
_NUMBER = Query(select(Invoice.number).where(Invoice.clinic_id == CLINIC, Invoice.id == bindparam("invoice_id", type_=IdType())))


def preview_invoice(
    tx: Transaction,
    *,
    patient_id: str,
    items: Sequence[NewItem],
    adjustments: Sequence[NewAdjustment] = (),
    consultation_id: str | None = None,
    provider_id: str | None = None,
) -> Quotation:
    """Compute prices and totals as `create_invoice` would; nothing is stored."""
    tx.require("invoices.create")
    return quote(
        tx,
        patient_id=patient_id,
        items=items,
        adjustments=adjustments,
        consultation_id=consultation_id,
        provider_id=provider_id,
    )


def create_invoice(
    tx: Transaction,
    *,
    patient_id: str,
    items: Sequence[NewItem],
    adjustments: Sequence[NewAdjustment] = (),
    consultation_id: str | None = None,
    provider_id: str | None = None,
    note: str = "",
    source: str | None = None,
    expected_total_minor: int | None = None,
    key: str | None = None,
) -> InvoiceMade:
    """Create a draft; with its number, unless the clinic numbers at issue. Items, prices and totals are the server's.

    `source` (an encounter) and the items' sources are claimed: one live invoice each. `expected_total_minor`, where given, must be the total.
    Raises what `quote` raises, `TotalDiffers`, `SourceAlreadyBilled`, `KeyReused`, and what a plugin refuses with.
    """
    tx.require("invoices.create")
    asked = Key(key, "invoice.create", _request(patient_id, items, adjustments, consultation_id, provider_id, note, source))
    calls = asked.claim(tx)
    if before := asked.answer_before(tx, tx.trip(*calls)[0] if calls else []):
        row = tx.row(_NUMBER, invoice_id=before["id"])
        return InvoiceMade(**{**before, "item_ids": tuple(before["item_ids"])}, numbered=row.number if row else None)
    quotation = quote(
        tx, patient_id=patient_id, items=items, adjustments=adjustments, consultation_id=consultation_id, provider_id=provider_id
    )
    check_expected(tx, quotation, expected_total_minor)
    invoice_id = new_id()
    number = next_number(tx, kind="invoice") if tx.clinic.policy.get("numbers_at", "creation") == "creation" else None
    row = _new_row(tx, invoice_id, quotation, number) | {
        "note": check_text(note, "The note", longest=2000, empty=True),
        "source": check_text(source, "The source") if source else None,
    }
    tx.write(InsertRows(INVOICE, [row]), *_content_rows(invoice_id, quotation, row["source"]))
    _act(tx, "on_invoice_created", invoice_id, quotation.patient, consultation_id, _billed(quotation))
    made = _made(row, quotation, number)
    tx.audit("invoice.created", "invoice", invoice_id, number=number, total_minor=made.total_minor, items=len(quotation.items))
    tx.emit("invoice.created", invoice_id, total_minor=made.total_minor, patient_id=patient_id)
    answer = asdict(made)
    del answer["numbered"]
    asked.keep(tx, answer)
    return made


def edit_invoice(
    tx: Transaction,
    *,
    invoice_id: str,
    items: Sequence[NewItem] | None = None,
    adjustments: Sequence[NewAdjustment] | None = None,
    note: str | None = None,
    version: int | None = None,
) -> InvoiceMade:
    """Replace the items, the document's discounts, or the note of a draft; what is not given stays.

    `version`, where given, must be the draft's. Raises `InvoiceNotDraft`, `InvoiceChanged`, and what `create_invoice` raises.
    """
    tx.require("invoices.create")
    opened = open_invoice(tx, invoice_id, action=Action.EDIT)
    if version is not None and version != opened.row.version:
        raise InvoiceChanged("Somebody else has changed this draft: look at it again, then edit.", version=opened.row.version)
    kept_items, kept_adjustments = _as_given(tx, opened)
    quotation = quote(
        tx,
        patient_id=opened.row.patient_id,
        items=kept_items if items is None else items,
        adjustments=kept_adjustments if adjustments is None else adjustments,
        consultation_id=opened.row.consultation_id,
        provider_id=opened.row.provider_id,
        rounding=opened.row.rounding,
        prices_include_tax=opened.row.prices_include_tax,
    )
    changed = _amounts(quotation) | {"version": opened.row.version + 1}
    if note is not None:
        changed["note"] = check_text(note, "The note", longest=2000, empty=True)
    tx.write(
        *_deletions(opened),
        ChangeRows(INVOICE, [ChangedRow({"id": invoice_id}, {"version": opened.row.version, "status": "draft"}, changed)]),
        *_content_rows(invoice_id, quotation, opened.row.source),
    )
    _act(tx, "on_invoice_changed", invoice_id, quotation.patient, opened.row.consultation_id, _billed(quotation))
    made = _made({**opened.row._asdict(), **changed}, quotation, opened.row.number)
    tx.audit("invoice.changed", "invoice", invoice_id, total_minor=made.total_minor, items=len(quotation.items))
    tx.emit("invoice.changed", invoice_id, total_minor=made.total_minor)
    return made


def _act(
    tx: Transaction,
    hook: str,
    invoice_id: str,
    patient: PatientFacts,
    consultation_id: str | None,
    items: Sequence[BilledItem],
) -> None:
    listening = registry.of(tx)
    facts = invoice_facts(tx, invoice_id=invoice_id, patient=patient, consultation_id=consultation_id)
    heard = [each for each in items if (plugin := listening.of_department(tx.clinic, each.department)) and listening.listens(plugin, hook)]
    if not heard:
        return
    parts = parts_of_rows(tx, heard, "billing", item_rows(heard, patient))
    made = ask(
        parts, hook, lambda part: listening.act_on_invoice(part.plugin, hook, facts_for(tx, part.plugin, facts), part.items, part.known)
    )
    write_plan(tx, made, action=hook, action_id=invoice_id)


def _new_row(tx: Transaction, invoice_id: str, quotation: Quotation, number: Number | None) -> dict[str, Any]:
    return _amounts(quotation) | {
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


def _amounts(quotation: Quotation) -> dict[str, Any]:
    totals = quotation.totals
    return {
        "line_total_minor": totals.line_total_minor,
        "allowance_minor": totals.allowance_total_minor,
        "charge_minor": totals.charge_total_minor,
        "net_minor": totals.net_total_minor,
        "tax_minor": totals.tax_total_minor,
        "total_minor": totals.gross_total_minor,
    }


def _content_rows(invoice_id: str, quotation: Quotation, source: str | None) -> list[Write]:
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


def _deletions(opened: OpenInvoice) -> list[Write]:
    taxes = {(row.tax_category, row.tax_rate_bp) for row in opened.items}
    sources = [each for each in (opened.row.source, *(row.source for row in opened.items)) if each]
    writes: list[Write] = [DeleteRows(ADJUSTMENT, [{"invoice_id": opened.id}]), DeleteRows(ITEM, [{"id": row.id} for row in opened.items])]
    writes.append(DeleteRows(TAX, [{"invoice_id": opened.id, "tax_category": c, "tax_rate_bp": r} for c, r in sorted(taxes)]))
    return writes + ([DeleteRows(CLAIM, [{"source": each} for each in sources])] if sources else [])


def _as_given(tx: Transaction, opened: OpenInvoice) -> tuple[list[NewItem], list[NewAdjustment]]:
    """Return the draft's items and document adjustments as they could be given again: plugins' own answers are left to them."""
    kept = tx.rows(_ADJUSTMENTS, invoice_id=opened.id)
    by_item: dict[tuple[str, bool], list[tuple[int, str]]] = {}
    for row in kept:
        if row.item_id is not None and row.plugin is None:
            by_item.setdefault((row.item_id, row.charge), []).append((row.amount_minor, row.reason))
    items = [
        NewItem(
            code=row.code or None,
            quantity_milli=row.quantity_milli,
            description=row.description,
            department=row.department,
            unit_price_e4=row.unit_price_e4 if row.person_price else None,
            tax=None if row.code else TaxGroup(row.tax_category, row.tax_rate_bp),
            allowances=tuple(by_item.get((row.id, False), ())),
            charges=tuple(by_item.get((row.id, True), ())),
            provider_id=row.provider_id,
            source=row.source,
            given=row.given,
        )
        for row in opened.items
    ]
    document = [
        NewAdjustment(row.charge, row.amount_minor, row.reason, TaxGroup(row.tax_category, row.tax_rate_bp))
        for row in kept
        if row.item_id is None
    ]
    return items, document


def _billed(quotation: Quotation) -> list[BilledItem]:
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


def _made(row: Mapping[str, Any], quotation: Quotation, numbered: Number | str | None) -> InvoiceMade:
    return InvoiceMade(
        id=row["id"],
        status=row["status"],
        currency=row["currency"],
        net_minor=row["net_minor"],
        tax_minor=row["tax_minor"],
        total_minor=row["total_minor"],
        version=row["version"],
        item_ids=tuple(item.id for item in quotation.items),
        numbered=numbered,
    )


def _request(patient_id: str, items: Sequence[NewItem], adjustments: Sequence[NewAdjustment], *rest: Any) -> dict[str, Any]:
    return {
        "patient_id": patient_id,
        "items": canonical_json([asdict(item) for item in items]),
        "adjustments": canonical_json([asdict(each) for each in adjustments]),
        "rest": list(rest),
    }
