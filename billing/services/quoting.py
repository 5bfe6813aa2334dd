"""From what is ordered to what it costs: services and free text, plugins' prices, totals. Writes nothing and takes no number."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select

from billing.errors import Conflict, Invalid, Refused
from billing.facts import PatientFacts
from billing.model import CLINIC, Consultation, Membership, Patient, Service, canonical_json, new_id
from billing.model.lists import ids, texts
from billing.model.types import IdType
from billing.money import check_amount, check_quantity, check_unit_price, format_amount
from billing.rules.totals import Adjustment, Line, Rounding, TaxGroup, Totals, check_invoice_totals, compute_totals
from billing.services.acting import Call
from billing.services.consultations import UnknownConsultation
from billing.services.inputs import check_line
from billing.services.patients import UnknownPatient
from billing.services.price_answers import ask_prices
from billing.services.prices import UnknownService
from billing.services.quotation import UNTAXED, NewAdjustment, NewItem, Quotation, QuotedItem, Reduction, Wanted
from billing.services.staff import UnknownProvider
from billing.transaction import Transaction
from billing.trips import Query, Row

MOST_ITEMS = 10_000


class NoItems(Invalid):
    """An invoice has no items, or too many. Facts: `items`."""

    code = "bad_item_count"


class BadItem(Invalid):
    """An item is neither a service nor a free text, or both. Facts: `position`."""

    code = "bad_item"


class ServiceRetired(Refused):
    """The service is not sold any more. Facts: `service`."""

    code = "service_retired"


class TotalDiffers(Conflict):
    """The total is not the expected one: look at the invoice again. Facts: `total_minor`, `expected_minor`."""

    code = "total_differs"


_PATIENT = Query(
    select(Patient.id, Patient.client_id, Patient.kind, Patient.sex, Patient.birth_date, Patient.species, Patient.breed).where(
        Patient.clinic_id == CLINIC, Patient.id == bindparam("patient_id", type_=IdType())
    )
)
_SERVICES = Query(select(*Service.__table__.columns).where(Service.clinic_id == CLINIC, Service.code.op("IN")(texts("codes"))))
_PROVIDERS = Query(
    select(Membership.id, Membership.active).where(
        Membership.clinic_id == CLINIC, Membership.provider, Membership.id.op("IN")(ids("providers"))
    )
)
_consultation = select(Consultation.id, Consultation.patient_id, Consultation.provider_id, Consultation.kind, Consultation.status).where(
    Consultation.clinic_id == CLINIC, Consultation.id == bindparam("consultation_id", type_=IdType())
)
_SEE_CONSULTATION = Query(_consultation)
_HOLD_CONSULTATION = Query(_consultation.with_for_update(read=True))
"""Held while an invoice is made for it, so that nobody cancels it in between."""


def price_calls(wanted: Wanted) -> list[Call]:
    """Return the calls that read what prices depend on, for the first trip of a unit. Raises `NoItems`."""
    items = wanted.items
    if not 1 <= len(items) <= MOST_ITEMS:
        raise NoItems(f"An invoice has 1 to {MOST_ITEMS} items, not {len(items)}.", items=len(items))
    codes = sorted({item.code for item in items if item.code is not None})
    return [
        (_PATIENT, {"patient_id": wanted.patient_id}),
        (_SERVICES, {"codes": canonical_json(codes)}),
        (_PROVIDERS, {"providers": canonical_json(_named_providers(wanted))}),
        (_HOLD_CONSULTATION if wanted.hold else _SEE_CONSULTATION, {"consultation_id": wanted.consultation_id}),
    ]


def quote(tx: Transaction, wanted: Wanted, rows: Sequence[Sequence[Row]] | None = None, *, hook: str | None = None) -> Quotation:
    """Price the items and compute all totals. `rows` are what `price_calls` found, if a trip of the caller's has read it already.

    `hook` is the step of the invoice that will be asked next: its needs are read together with those of the prices.
    Raises what is wrong with an item, naming its position, and what a plugin refuses with.
    """
    patients, services, providers, consultations = tx.trip(*price_calls(wanted)) if rows is None else rows
    if not patients:
        raise UnknownPatient(f"There is no patient {wanted.patient_id!r} in this clinic.", patient=wanted.patient_id)
    if missing := sorted(set(_named_providers(wanted)) - {row.id for row in providers if row.active or row.id in wanted.kept_providers}):
        raise UnknownProvider(f"There is no provider {missing[0]!r} in this clinic.", provider=missing[0])
    patient = PatientFacts(*patients[0])
    visit = _visit(consultations, wanted.consultation_id, patient)
    provider = wanted.provider_id or (visit.provider_id if visit else None)
    by_code = {row.code: row for row in services}
    priced = [_priced(tx, item, position, by_code, provider) for position, item in enumerate(wanted.items, start=1)]
    answered = ask_prices(tx, priced, patient, visit.kind if visit else None, hook)
    reductions = answered.reductions + [
        Reduction(charge, check_amount(amount), check_line(reason, "The reason"), answered.items[position].tax, position + 1)
        for position, item in enumerate(wanted.items)
        for charge, amount, reason in [*((False, *each) for each in item.allowances), *((True, *each) for each in item.charges)]
    ]
    reductions += [_on_document(each, answered.items) for each in wanted.adjustments]
    totals = _totals(
        answered.items,
        reductions,
        rounding=Rounding(wanted.rounding or tx.clinic.rounding),
        prices_include_tax=tx.clinic.prices_include_tax if wanted.prices_include_tax is None else wanted.prices_include_tax,
    )
    return Quotation(
        patient,
        wanted.consultation_id,
        provider,
        tuple(answered.items),
        tuple(reductions),
        totals,
        needs=answered.needs,
        found=answered.found,
    )


def _named_providers(wanted: Wanted) -> list[str]:
    return sorted({each for each in (wanted.provider_id, *(item.provider_id for item in wanted.items)) if each})


def check_expected(tx: Transaction, quotation: Quotation, expected_minor: int | None) -> None:
    """Raise `TotalDiffers` with the true total unless it is as expected (None expects nothing)."""
    total = quotation.totals.gross_total_minor
    if expected_minor is not None and expected_minor != total:
        shown = format_amount(total, tx.clinic.currency)
        raise TotalDiffers(
            f"The total is {shown} {tx.clinic.currency.code}, not {format_amount(expected_minor, tx.clinic.currency)}.",
            total_minor=total,
            total=shown,
            expected_minor=expected_minor,
        )


def _visit(rows: Sequence[Row], consultation_id: str | None, patient: PatientFacts) -> Row | None:
    if consultation_id is None:
        return None
    if not rows or rows[0].patient_id != patient.id or rows[0].status == "cancelled":
        raise UnknownConsultation(f"This patient has no live consultation {consultation_id!r}.", consultation=consultation_id)
    return rows[0]


def _priced(tx: Transaction, item: NewItem, position: int, services: Mapping[str, Row], provider_id: str | None) -> QuotedItem:
    _check_amounts(item, position)
    if item.given:
        tx.require("imports.run")  # it reaches the department unseen: an import's results, say, which nobody else may hand in
    service = _service(item, position, services)
    if service is None:
        tx.require("invoices.free_text")
        if item.department is None or not item.description or item.unit_price_e4 is None:
            raise BadItem(f"Item {position}: a free text needs a department, a description and a price.", position=position)
        code, unit, listed, tax = "", "", item.unit_price_e4, item.tax or UNTAXED
    else:
        if item.department not in (None, service.department) or item.tax is not None:
            raise BadItem(f"Item {position}: department and tax of {service.code} come from the price list.", position=position)
        if item.unit_price_e4 is not None:
            tx.require("prices.override")
        code, unit, listed = service.code, service.unit, service.unit_price_e4
        tax = TaxGroup(service.tax_category, service.tax_rate_bp)
    by_person = item.unit_price_e4 is not None
    return QuotedItem(
        id=new_id(),
        position=position,
        department=service.department if service else str(item.department),
        service_id=service.id if service else None,
        code=code,
        description=check_line(item.description or service.description, f"Item {position}: the description", longest=500),  # type: ignore[union-attr]
        unit=unit,
        quantity_milli=item.quantity_milli,
        unit_price_e4=item.unit_price_e4 if item.unit_price_e4 is not None else listed,
        price_reason="",
        person_price=by_person,
        tax=tax,
        provider_id=item.provider_id or provider_id,
        source=check_line(item.source, f"Item {position}: the source") if item.source else None,
        given=item.given,
    )


def _check_amounts(item: NewItem, position: int) -> None:
    check_quantity(item.quantity_milli)
    if item.quantity_milli <= 0:
        raise BadItem(f"Item {position}: the quantity must be above zero.", position=position)
    for amount, _ in (*item.allowances, *item.charges):
        if check_amount(amount) <= 0:
            raise BadItem(f"Item {position}: an allowance or a charge must be above zero.", position=position)
    if item.unit_price_e4 is not None:
        check_unit_price(item.unit_price_e4)
        if item.unit_price_e4 < 0:
            raise BadItem(f"Item {position}: the price can't be negative.", position=position)


def _service(item: NewItem, position: int, services: Mapping[str, Row]) -> Row | None:
    if item.code is None:
        return None
    if item.code not in services:
        raise UnknownService(
            f"Item {position}: there is no service {item.code[:60]!r} on the price list.", service=item.code, position=position
        )
    if not services[item.code].active:
        raise ServiceRetired(f"Item {position}: {item.code} is retired: choose another service.", service=item.code, position=position)
    return services[item.code]


def _on_document(adjustment: NewAdjustment, quoted: Sequence[QuotedItem]) -> Reduction:
    groups = sorted({item.tax for item in quoted})
    if adjustment.tax is None and len(groups) > 1:
        named = ", ".join(map(str, groups))
        raise BadItem(f"The items have several tax groups ({named}): say on which one the discount or charge falls.", position=None)
    if check_amount(adjustment.amount_minor) <= 0:
        raise BadItem("A discount or charge must be above zero.", position=None)
    reason = check_line(adjustment.reason, "The reason of the discount or charge")
    return Reduction(adjustment.charge, adjustment.amount_minor, reason, adjustment.tax or groups[0])


def _totals(quoted: Sequence[QuotedItem], reductions: Sequence[Reduction], *, rounding: Rounding, prices_include_tax: bool) -> Totals:
    off: dict[tuple[int, bool], int] = {}
    for each in reductions:
        if each.position is not None:
            off[each.position, each.charge] = off.get((each.position, each.charge), 0) + each.amount_minor
    lines = [
        Line(
            quantity_milli=item.quantity_milli,
            unit_price_e4=item.unit_price_e4,
            tax=item.tax,
            allowance_minor=off.get((item.position, False), 0),
            charge_minor=off.get((item.position, True), 0),
        )
        for item in quoted
    ]
    document = [Adjustment(each.charge, each.amount_minor, each.tax) for each in reductions if each.position is None]
    totals = compute_totals(lines, document, rounding=rounding, prices_include_tax=prices_include_tax)
    check_invoice_totals(totals, lines)
    return totals
