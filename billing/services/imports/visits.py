"""One imported visit in one unit: its closed consultation, the services that it needs, what plugins need first, and its invoice.

It takes claims, not files: the demonstration's visits go the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from billing import registry
from billing.changes.kernel import Plan
from billing.errors import Conflict
from billing.facts import Claim, ImportedItem, ImportFacts
from billing.model import CLINIC, Consultation, Service, canonical_json, new_id
from billing.model.lists import texts
from billing.model.writes import InsertRows
from billing.services.acting import ask, by_plugin, facts_for, need_calls, parts_of, write_plan
from billing.services.inputs import check_line
from billing.services.invoices import create_invoice
from billing.services.keys import once
from billing.services.prices import add_service
from billing.services.quotation import NewItem
from billing.transaction import Transaction
from billing.trips import Query

CONSULTATION: Any = Consultation.__table__


class ServiceElsewhere(Conflict):
    """The price list has the code in another department than the one that claims the record. Facts: `service`, `department`."""

    code = "service_in_another_department"


@dataclass(frozen=True, slots=True)
class VisitToBill:
    """A visit of the past, and what the plugins have claimed of it. `source` is what invoice and consultation come from."""

    source: str
    patient_id: str
    provider_id: str
    kind: str
    ended_at: datetime
    claims: tuple[Claim, ...]
    expected_total_minor: int | None = None


@dataclass(frozen=True, slots=True)
class KnownService:
    """An entry of the price list."""

    id: str
    department: str


@dataclass(frozen=True, slots=True)
class VisitBilled:
    """The draft of a visit, in minor units, and the services that it uses by code (none for a visit that was billed before)."""

    invoice_id: str
    total_minor: int
    services: Mapping[str, KnownService] = field(default_factory=dict)


_SERVICES = Query(
    select(Service.code, Service.id, Service.department).where(Service.clinic_id == CLINIC, Service.code.op("IN")(texts("codes")))
)


def bill_visit(
    tx: Transaction, *, visit: VisitToBill, services: Mapping[str, KnownService] | None = None, key: str | None = None
) -> VisitBilled:
    """Keep the visit, which began at `tx.at`, as a closed consultation and bill it; under a `key` once.

    Every claim is an item at its own price; services that the price list lacks are added, untaxed, at the price of the first of them.
    `services` are some that are known to be there.
    Raises `ServiceElsewhere`, `TotalDiffers`, what `create_invoice` raises, and what plugins refuse with.
    """
    tx.require("imports.run")
    used: dict[str, KnownService] = {}

    def work() -> dict[str, Any]:
        used.update(_services(tx, visit.claims, services or {}))
        prepared = _ask_plugins(tx, visit, used)
        # Written behind the reads above, so that consultation and plugins' rows are one trip.
        consultation_id = _keep_consultation(tx, visit)
        write_plan(tx, prepared, action="on_records_imported", action_id=consultation_id)
        made = create_invoice(
            tx,
            patient_id=visit.patient_id,
            items=[_item(claim) for claim in visit.claims],
            consultation_id=consultation_id,
            provider_id=visit.provider_id,
            source=visit.source,
            expected_total_minor=visit.expected_total_minor,
        )
        return {"invoice_id": made.id, "total_minor": made.total_minor}

    answer = once(tx, key=key, action="import.visit", request={"source": visit.source}, work=work)
    return VisitBilled(**answer, services=used)


def _services(tx: Transaction, claims: tuple[Claim, ...], known: Mapping[str, KnownService]) -> dict[str, KnownService]:
    """Return the services of the claims by code; those that the price list lacks are put on it."""
    first = {claim.code: claim for claim in reversed(claims)}
    found = {code: known[code] for code in first if code in known}
    if unknown := sorted(set(first) - set(found)):
        rows = tx.rows(_SERVICES, codes=canonical_json(unknown))
        found |= {row.code: KnownService(row.id, row.department) for row in rows}
    for code, claim in first.items():
        if code not in found:
            added = add_service(
                tx, code=code, department=claim.department, description=claim.description, unit_price_e4=claim.unit_price_e4
            )
            found[code] = KnownService(added.id, added.department)
    for claim in claims:
        here = found[claim.code].department
        if here != claim.department:
            raise ServiceElsewhere(
                f"{claim.code} is on the price list of {here}, not of {claim.department}: move the service, then import again.",
                service=claim.code,
                department=here,
            )
    return found


def _keep_consultation(tx: Transaction, visit: VisitToBill) -> str:
    consultation_id = new_id()
    row = {
        "id": consultation_id,
        "patient_id": visit.patient_id,
        "provider_id": visit.provider_id,
        "kind": check_line(visit.kind, "The kind of visit", longest=60),
        "status": "closed",
        "at": tx.at,
        "planned_at": None,
        "opened_at": tx.at,
        "closed_at": visit.ended_at,
        "cancelled_at": None,
        "reason": "",
        "source": visit.source,
        "created_at": tx.at,
    }
    tx.write(InsertRows(CONSULTATION, [row]))
    tx.audit("consultation.imported", "consultation", consultation_id, source=visit.source, provider_id=visit.provider_id)
    return consultation_id


def _ask_plugins(tx: Transaction, visit: VisitToBill, services: Mapping[str, KnownService]) -> Plan:
    """Return what the plugins want to stand before the items are billed."""
    plugins = registry.of(tx)
    items = [
        ImportedItem(services[each.code].id, each.department, each.code, each.description, each.quantity_milli, each.given)
        for each in visit.claims
    ]
    facts = ImportFacts(visit_id=visit.source, business_date=tx.business_date, at=tx.at, actor_id=tx.actor.id)
    rows = canonical_json([_need_row(item, visit.provider_id) for item in items])
    needs = need_calls(tx, [plugin for plugin, _ in by_plugin(tx, items).values()], "importing", rows=rows)
    parts = parts_of(tx, items, needs, tx.trip(*(call for _, call in needs)) if needs else [])
    return ask(
        parts,
        "on_records_imported",
        lambda part: plugins.on_records_imported(part.plugin, facts_for(tx, part.plugin, facts), part.items, part.known),
    )


def _need_row(item: ImportedItem, provider_id: str) -> dict[str, Any]:
    """Return an item as a row of the source that needs join: it has no id yet, and no patient."""
    return {
        "item_id": None,
        "department": item.department,
        "service_id": item.service_id,
        "quantity_milli": item.quantity_milli,
        "provider_id": provider_id,
        "patient_id": None,
        "sex": None,
        "birth_date": None,
        "species": None,
    }


def _item(claim: Claim) -> NewItem:
    return NewItem(
        code=claim.code,
        quantity_milli=claim.quantity_milli,
        description=claim.description,
        unit_price_e4=claim.unit_price_e4,
        given=claim.given,
    )
