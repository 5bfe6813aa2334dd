"""Invoices: preview, create, and edit while a draft. A number is taken by the write itself, so a failure uses none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import bindparam, select

from billing import registry
from billing.changes.failures import explains
from billing.errors import Conflict, Refused
from billing.model import CLINIC, Invoice, InvoiceAdjustment, canonical_json, new_id
from billing.model.types import IdType
from billing.model.writes import ChangedRow, ChangeRows, InsertRows, Number
from billing.rules.statuses import Action
from billing.rules.texts import check_text
from billing.rules.totals import TaxGroup
from billing.services.acting import ask, facts_for, heard, parts_of, write_plan
from billing.services.discount_limits import Standing, settle_discounts, standing_of
from billing.services.inputs import check_source
from billing.services.invoice_rows import INVOICE, amounts, billed, content_rows, deletions, new_row
from billing.services.keys import Key
from billing.services.numbering import next_number
from billing.services.open_invoice import OpenInvoice, invoice_facts, open_invoice
from billing.services.quotation import NewAdjustment, NewItem, Quotation, Wanted
from billing.services.quoting import check_expected, price_calls, quote
from billing.transaction import Transaction
from billing.trips import Query, Row


@explains("pk_source_claim", "What this comes from is billed already on another invoice: cancel that one first.")
class SourceAlreadyBilled(Conflict):
    """A source (an encounter, a prescription) is claimed by a live invoice."""

    code = "source_already_billed"


class InvoiceChanged(Conflict):
    """Somebody else has changed the draft since it was read. Facts: `version`."""

    code = "invoice_changed"


class InvoiceCovered(Refused):
    """A draft that a payer answers for in part is not edited. Facts: `payer`."""

    code = "invoice_covered"


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
        InvoiceAdjustment.given_by,
        InvoiceAdjustment.approved_by,
        InvoiceAdjustment.code_id,
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
    return quote(tx, Wanted(patient_id, items, adjustments, consultation_id, provider_id))


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
    series: str | None = None,
    key: str | None = None,
) -> InvoiceMade:
    """Create a draft; with its number, unless the clinic numbers at issue. Items, prices and totals are the server's.

    `series` is another than the clinic's standard one for invoices (a clinic that numbers at issue names it there).
    `source` (an encounter) and the items' sources are claimed: one live invoice each. `expected_total_minor`, where given, must be the total.
    Raises what `quote` raises, `DiscountAboveLimit`, `TotalDiffers`, `SourceAlreadyBilled`, `KeyReused`, and what a plugin refuses with.
    """
    tx.require("invoices.create")
    request = _request(patient_id, items, adjustments, consultation_id, provider_id, note, source, series) if key is not None else {}
    asked = Key(key, "invoice.create", request)
    wanted = Wanted(patient_id, items, adjustments, consultation_id, provider_id, hold=True)
    claims = asked.claim(tx)
    rows = tx.trip(*claims, *price_calls(wanted))
    if claims and (before := asked.answer_before(tx, rows[0])):
        row = tx.row(_NUMBER, invoice_id=before["id"])
        return InvoiceMade(**{**before, "item_ids": tuple(before["item_ids"])}, numbered=row.number if row else None)
    quotation = quote(tx, wanted, rows[len(claims) :], hook="on_invoice_created")
    check_expected(tx, quotation, expected_total_minor)
    quotation, _ = settle_discounts(tx, quotation)
    invoice_id = new_id()
    number = next_number(tx, kind="invoice", series=series) if tx.clinic.policy.get("numbers_at", "creation") == "creation" else None
    row = new_row(tx, invoice_id, quotation, number) | {
        "note": check_text(note, "The note", longest=2000, empty=True),
        "source": check_source(source),
    }
    # Plugins are asked first: what they need is read before anything is written, so that all is written at once.
    _act(tx, "on_invoice_created", invoice_id, quotation)
    tx.write(InsertRows(INVOICE, [row]), *content_rows(invoice_id, quotation, row["source"]))
    made = _made(row, quotation, number)
    tx.audit("invoice.created", "invoice", invoice_id, number=number, total_minor=made.total_minor, items=len(quotation.items))
    tx.emit("invoice.created", invoice_id, total_minor=made.total_minor, patient_id=patient_id)
    asked.keep(tx, {each.name: getattr(made, each.name) for each in fields(made) if each.name != "numbered"})
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

    `version`, where given, must be the draft's. Raises `InvoiceNotDraft`, `InvoiceCovered`, `InvoiceChanged`, and what `create_invoice` raises.
    """
    tx.require("invoices.create")
    return rewrite_draft(tx, open_draft(tx, invoice_id, version), items=items, adjustments=adjustments, note=note)


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft behind its lock: its items and discounts as they could be given again, and who gave those."""

    opened: OpenInvoice
    items: Sequence[NewItem]
    adjustments: Sequence[NewAdjustment]
    standing: Standing


def open_draft(tx: Transaction, invoice_id: str, version: int | None) -> Draft:
    """Lock a draft, to write it anew. Raises `InvoiceNotDraft`, `InvoiceCovered`, `InvoiceChanged`."""
    opened = open_invoice(tx, invoice_id, action=Action.EDIT).opened
    if version is not None and version != opened.row.version:
        raise InvoiceChanged("Somebody else has changed this draft: look at it again, then edit.", version=opened.row.version)
    if opened.row.payer_id is not None:
        raise InvoiceCovered(
            "This draft has a payer, whose part depends on the items: take the payer off, edit, then cover it again.",
            payer=opened.row.payer_id,
        )
    kept = tx.rows(_ADJUSTMENTS, invoice_id=opened.id)
    return Draft(opened, *_as_given(opened, kept), standing_of(opened, kept))


def rewrite_draft(
    tx: Transaction,
    draft: Draft,
    *,
    items: Sequence[NewItem] | None = None,
    adjustments: Sequence[NewAdjustment] | None = None,
    note: str | None = None,
) -> InvoiceMade:
    """Write a draft anew with these items and discounts; what is not given stays. Raises `DiscountAboveLimit`, and what `quote` raises."""
    opened = draft.opened
    wanted = Wanted(
        patient_id=opened.row.patient_id,
        items=draft.items if items is None else items,
        adjustments=draft.adjustments if adjustments is None else adjustments,
        consultation_id=opened.row.consultation_id,
        provider_id=opened.row.provider_id,
        rounding=opened.row.rounding,
        prices_include_tax=opened.row.prices_include_tax,
        kept_providers=frozenset(each for each in (opened.row.provider_id, *(row.provider_id for row in opened.items)) if each),
        hold=True,
    )
    quotation, approved = settle_discounts(tx, quote(tx, wanted, hook="on_invoice_changed"), draft.standing)
    changed = amounts(quotation) | {"version": opened.row.version + 1}
    if note is not None:
        changed["note"] = check_text(note, "The note", longest=2000, empty=True)
    _act(tx, "on_invoice_changed", opened.id, quotation)
    approved.use(tx, used_for=opened.id)
    tx.write(
        *deletions(opened),
        ChangeRows(INVOICE, [ChangedRow({"id": opened.id}, {"version": opened.row.version, "status": "draft"}, changed)]),
        *content_rows(opened.id, quotation, opened.row.source),
    )
    made = _made({**opened.row._asdict(), **changed}, quotation, opened.row.number)
    tx.audit("invoice.changed", "invoice", opened.id, total_minor=made.total_minor, items=len(quotation.items))
    tx.emit("invoice.changed", opened.id, total_minor=made.total_minor)
    return made


def _act(tx: Transaction, hook: str, invoice_id: str, quotation: Quotation) -> None:
    plugins = registry.of(tx)
    facts = invoice_facts(tx, invoice_id=invoice_id, patient=quotation.patient, consultation_id=quotation.consultation_id)
    parts = parts_of(tx, heard(tx, billed(quotation), hook), quotation.needs, quotation.found)
    made = ask(
        parts, hook, lambda part: plugins.act_on_invoice(part.plugin, hook, facts_for(tx, part.plugin, facts), part.items, part.known)
    )
    write_plan(tx, made, action=hook, action_id=invoice_id)


def _as_given(opened: OpenInvoice, kept: Sequence[Row]) -> tuple[list[NewItem], list[NewAdjustment]]:
    """Return the draft's items and document adjustments as they could be given again: plugins' own answers are left to them."""
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
