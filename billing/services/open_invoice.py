"""The invoice as a unit works on it: locked, with its items and its patient, read behind the lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from billing.errors import NotFound
from billing.facts import BilledItem, InvoiceFacts, PatientFacts
from billing.model import CLINIC, Client, Invoice, InvoiceItem, Membership, Patient
from billing.model.types import IdType
from billing.rules.statuses import Action, InvoiceStatus, amount_due, check_action
from billing.services.acting import Call, Needs, listening, need_calls
from billing.services.parties import PARTY_COLUMNS
from billing.transaction import Transaction
from billing.trips import Query, Row


class UnknownInvoice(NotFound):
    """There is no such invoice in this clinic. Facts: `invoice`."""

    code = "unknown_invoice"


def select_invoice(which: Any) -> Any:
    """Return the select of the invoice with this id (an expression), its patient and its parties."""
    return (
        select(
            *Invoice.__table__.columns,
            Patient.kind.label("patient_kind"),
            Patient.sex.label("patient_sex"),
            Patient.birth_date.label("patient_birth_date"),
            Patient.species.label("patient_species"),
            Patient.breed.label("patient_breed"),
            *PARTY_COLUMNS,
        )
        .join(Patient, (Patient.clinic_id == Invoice.clinic_id) & (Patient.id == Invoice.patient_id))
        .join(Client, (Client.clinic_id == Invoice.clinic_id) & (Client.id == Invoice.client_id))
        .outerjoin(Membership, (Membership.clinic_id == Invoice.clinic_id) & (Membership.id == Invoice.provider_id))
        .where(Invoice.clinic_id == CLINIC, Invoice.id == which)
    )


def select_items(which: Any) -> Any:
    """Return the select of the items of the invoice with this id (an expression), in their order."""
    of_invoice = select(*InvoiceItem.__table__.columns).where(InvoiceItem.clinic_id == CLINIC, InvoiceItem.invoice_id == which)
    return of_invoice.order_by(InvoiceItem.position)


_WHICH = bindparam("invoice_id", type_=IdType())
SEE_INVOICE = Query(select_invoice(_WHICH))
LOCK_INVOICE = Query(select_invoice(_WHICH).with_for_update(of=Invoice))
ITEMS = Query(select_items(_WHICH))
"""Always a statement of its own behind the lock: read in one statement with it, the items may be older than the wait."""


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice with its items, as rows, and its patient."""

    row: Row
    items: tuple[Row, ...]
    patient: PatientFacts

    @property
    def id(self) -> str:
        """The invoice's id."""
        return str(self.row.id)

    @property
    def status(self) -> InvoiceStatus:
        """The stored status."""
        return InvoiceStatus(self.row.status)

    @property
    def amount_due_minor(self) -> int:
        """What the client still owes, in minor units of the invoice's currency."""
        row = self.row
        return amount_due(row.total_minor, row.amount_paid_minor, row.written_off_minor, row.credited_minor, row.payer_minor)

    @property
    def unpaid(self) -> tuple[Row, ...]:
        """The items that can still be paid: neither paid nor credited away."""
        return tuple(row for row in self.items if row.payment_id is None and row.credited_milli < row.quantity_milli)

    def check(self, action: Action) -> None:
        """Raise unless the invoice's status allows the action."""
        check_action(self.status, action, amount_paid_minor=self.row.amount_paid_minor, number=self.row.number)

    def billed_items(self) -> tuple[BilledItem, ...]:
        """Return the items as hooks see them."""
        return tuple(billed_item(row) for row in self.items)


@dataclass(frozen=True, slots=True)
class Step:
    """An invoice behind its lock, with what the departments that hear of a step want to know."""

    opened: OpenInvoice
    needs: Needs
    found: Sequence[Sequence[Any]]


def open_invoice(tx: Transaction, invoice_id: str, *, action: Action, hooks: Sequence[str] = ()) -> Step:
    """Lock the invoice and read it, with the needs of the plugins that implement one of the step's hooks, in one trip.

    Raises `UnknownInvoice`, or what its status says to the action.
    """
    here = {"invoice_id": invoice_id}
    needs = need_calls(tx, listening(tx, *hooks), "billing", items="stored", invoice_id=invoice_id)
    found, items, *of_needs = tx.trip((LOCK_INVOICE, here), (ITEMS, here), *calls_of(needs))
    opened = from_rows(found, items, invoice_id)
    opened.check(action)
    return Step(opened, needs, of_needs)


def calls_of(needs: Needs) -> list[Call]:
    """Return the calls that run the needs."""
    return [call for _, call in needs]


def from_rows(found: list[Row], items: list[Row], invoice_id: str) -> OpenInvoice:
    """Return the invoice that was read. Raises `UnknownInvoice`."""
    if not found:
        raise UnknownInvoice(
            f"There is no invoice {invoice_id!r} in this clinic: `billing invoice list` shows what there is.", invoice=invoice_id
        )
    row = found[0]
    patient = PatientFacts(
        id=row.patient_id,
        client_id=row.client_id,
        kind=row.patient_kind,
        sex=row.patient_sex,
        birth_date=row.patient_birth_date,
        species=row.patient_species,
        breed=row.patient_breed,
    )
    return OpenInvoice(row, tuple(items), patient)


def clients_part(row: Any) -> int:
    """Return what the client is still billed for an item: less its credit notes and the payer's part."""
    return int(row.total_minor - row.credited_minor - row.payer_minor)


def billed_item(row: Any) -> BilledItem:
    """Return an item's row as the value that hooks get."""
    return BilledItem(
        id=row.id,
        position=row.position,
        department=row.department,
        code=row.code,
        description=row.description,
        quantity_milli=row.quantity_milli,
        unit_price_e4=row.unit_price_e4,
        taxable_minor=row.taxable_minor,
        tax_minor=row.tax_minor,
        total_minor=row.total_minor,
        service_id=row.service_id,
        provider_id=row.provider_id,
        source=row.source,
        given=row.given,
    )


def invoice_facts(tx: Transaction, *, invoice_id: str, patient: PatientFacts, consultation_id: str | None) -> InvoiceFacts:
    """Return the invoice as hooks of its steps see it."""
    return InvoiceFacts(
        id=invoice_id,
        patient=patient,
        currency=tx.clinic.currency,
        business_date=tx.business_date,
        at=tx.at,
        actor_id=tx.actor.id,
        consultation_id=consultation_id,
    )
