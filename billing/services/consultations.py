"""Consultations: visits that are planned, opened, closed or cancelled. Knows nothing of what a visit costs.

planned -> open -> closed
planned, open -> cancelled, with a reason
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select

from billing import clock
from billing.changes.failures import explains
from billing.errors import Conflict, Invalid, NotFound, Refused
from billing.model import Consultation, Invoice, Membership, Patient
from billing.services.inputs import behind, check_limit, check_line, check_source, find_row
from billing.services.patients import read_patient
from billing.services.staff import UnknownProvider
from billing.transaction import Transaction

STATUSES = ("planned", "open", "closed", "cancelled")
PLANNED_AHEAD = timedelta(days=3653)


class UnknownConsultation(NotFound):
    """There is no such consultation in this clinic. Facts: `consultation`."""

    code = "unknown_consultation"


class BadConsultation(Invalid):
    """An instant, a status or a day of a consultation does not fit. Facts: `field`."""

    code = "bad_consultation"


@explains("uq_consultation_source", "A consultation of this source is here already.")
class ConsultationSourceTaken(Conflict):
    """A consultation came from this source before."""

    code = "consultation_source_taken"


class WrongConsultationStatus(Refused):
    """The consultation is past this step, or before it. Facts: `consultation`, `status`."""

    code = "wrong_consultation_status"


class ConsultationBilled(Refused):
    """A live invoice is for this consultation. Facts: `consultation`, `invoice`."""

    code = "consultation_billed"


@dataclass(frozen=True, slots=True)
class ConsultationView:
    """A visit. `at` is when it is or was: opened, else planned. `reason` is that of a cancelled one."""

    id: str
    patient_id: str
    patient_name: str
    provider_id: str
    provider_name: str
    kind: str
    status: str
    at: datetime
    planned_at: datetime | None
    opened_at: datetime | None
    closed_at: datetime | None
    cancelled_at: datetime | None
    reason: str
    source: str | None


def plan_consultation(
    tx: Transaction, *, patient_id: str, provider_id: str, planned_at: datetime, kind: str = "visit", source: str | None = None
) -> ConsultationView:
    """Plan a visit for an aware instant, today or later. Raises `UnknownPatient`, `UnknownProvider`, `BadConsultation`, `BadText`."""
    tx.require("consultations.manage")
    if planned_at.utcoffset() is None:
        raise BadConsultation("The planned time has no time zone: give it with one.", field="planned_at")
    if planned_at > tx.at + PLANNED_AHEAD:
        raise BadConsultation("A consultation can be planned ten years ahead at most: look at the year.", field="planned_at")
    if planned_at < tx.at - timedelta(days=1) or clock.business_date(planned_at, tx.clinic.time_zone) < tx.business_date:
        raise BadConsultation(f"A consultation can't be planned for the past: today is {tx.business_date}.", field="planned_at")
    return _add(tx, patient_id, provider_id, kind=kind, source=source, status="planned", at=planned_at, planned_at=planned_at)


def open_consultation(
    tx: Transaction, *, patient_id: str, provider_id: str, kind: str = "visit", source: str | None = None
) -> ConsultationView:
    """Open a visit that was not planned. Raises `UnknownPatient`, `UnknownProvider`, `BadText`, `ConsultationSourceTaken`."""
    tx.require("consultations.manage")
    return _add(tx, patient_id, provider_id, kind=kind, source=source, status="open", at=tx.at, opened_at=tx.at)


def open_planned_consultation(tx: Transaction, *, consultation_id: str) -> ConsultationView:
    """Open a visit that was planned. Raises `UnknownConsultation`, `WrongConsultationStatus`."""
    tx.require("consultations.manage")
    row = _locked(tx, consultation_id)
    if row.status != "planned":
        cure = {"open": "go on with it", "closed": "open a new one", "cancelled": "plan or open a new one"}[row.status]
        raise _wrong(row, f"so it can't be opened: {cure}.")
    row.status, row.opened_at, row.at = "open", tx.at, tx.at
    return _moved(tx, row, "consultation.opened")


def close_consultation(tx: Transaction, *, consultation_id: str) -> ConsultationView:
    """Close an open visit; it stays closed. Raises `UnknownConsultation`, `WrongConsultationStatus`."""
    tx.require("consultations.manage")
    row = _locked(tx, consultation_id)
    if row.status != "open":
        cure = {"planned": "open it first", "closed": "there is nothing left to do", "cancelled": "open a new one"}[row.status]
        raise _wrong(row, f"so it can't be closed: {cure}.")
    if row.opened_at is not None and tx.at < row.opened_at:
        raise _wrong(row, "and was opened later than that: close it at a later instant.")
    row.status, row.closed_at = "closed", tx.at
    return _moved(tx, row, "consultation.closed")


def cancel_consultation(tx: Transaction, *, consultation_id: str, reason: str) -> ConsultationView:
    """Cancel a visit that is not closed and not billed. Raises `UnknownConsultation`, `WrongConsultationStatus`, `ConsultationBilled`, `BadText`."""
    tx.require("consultations.manage")
    why = check_line(reason, "The reason", longest=500)
    row = _locked(tx, consultation_id)
    if row.status not in {"planned", "open"}:
        cure = {"closed": "cancel or correct its invoice instead", "cancelled": "there is nothing left to do"}[row.status]
        raise _wrong(row, f"so it can't be cancelled: {cure}.")
    bill = tx.session.execute(
        select(Invoice.id, Invoice.number).where(Invoice.consultation_id == row.id, Invoice.status != "cancelled").limit(1)
    ).one_or_none()
    if bill is not None:
        raise ConsultationBilled(
            f"This consultation is billed on invoice {bill.number or bill.id}: cancel that one first.", consultation=row.id, invoice=bill.id
        )
    row.status, row.cancelled_at, row.reason = "cancelled", tx.at, why
    return _moved(tx, row, "consultation.cancelled")


def read_consultation(tx: Transaction, *, consultation_id: str) -> ConsultationView:
    """Return a consultation. Raises `UnknownConsultation`."""
    tx.require("consultations.read")
    return _read(tx, consultation_id)


def list_consultations(
    tx: Transaction,
    *,
    status: str | None = None,
    patient_id: str | None = None,
    provider_id: str | None = None,
    on: date | None = None,
    limit: int = 50,
    after: str | None = None,
) -> tuple[ConsultationView, ...]:
    """Return consultations in the order in which they are or were, those of a status, patient, provider or day of the clinic.

    `after` is the last id of the page before. Raises `BadConsultation`, `UnknownPatient`, `UnknownProvider`, `UnknownConsultation`.
    """
    tx.require("consultations.read")
    statement = _consultations().order_by(Consultation.at, Consultation.id).limit(check_limit(limit))
    if status is not None:
        if status not in STATUSES:
            raise BadConsultation(f"{status[:40]!r} is no status of a consultation: say one of {', '.join(STATUSES)}.", field="status")
        statement = statement.where(Consultation.status == status)
    if patient_id is not None:
        statement = statement.where(Consultation.patient_id == read_patient(tx, patient_id=patient_id).id)
    if provider_id is not None:
        statement = statement.where(Consultation.provider_id == _provider(tx, provider_id).id)
    if on is not None:
        if not date(1900, 1, 1) <= on < date(9999, 1, 1):
            raise BadConsultation(f"There are no consultations on {on}: look at the year.", field="on")
        statement = statement.where(_on(on, tx.clinic.time_zone))
    if after is not None:
        last = _read(tx, after)
        statement = statement.where(behind(Consultation.at, last.at, Consultation.id, last.id))
    return tuple(ConsultationView(*row) for row in tx.session.execute(statement))


def _add(
    tx: Transaction, patient_id: str, provider_id: str, *, kind: str, source: str | None, status: str, **instants: datetime
) -> ConsultationView:
    patient = read_patient(tx, patient_id=patient_id)
    provider = _provider(tx, provider_id)
    if not (provider.provider and provider.active):
        raise _unknown_provider(provider_id)
    row = Consultation(
        patient_id=patient.id,
        provider_id=provider.id,
        kind=check_line(kind, "The kind of visit", longest=60),
        status=status,
        reason="",
        source=check_source(source),
        created_at=tx.at,
        **instants,
    )
    tx.session.add(row)
    tx.session.flush()  # gives the id, and says at once if the source is taken
    return _moved(tx, row, "consultation.planned" if status == "planned" else "consultation.opened")


def _moved(tx: Transaction, row: Consultation, moment: str) -> ConsultationView:
    facts: dict[str, Any] = {"patient_id": row.patient_id, "provider_id": row.provider_id, "kind": row.kind}
    tx.audit(moment, "consultation", row.id, **facts, source=row.source)
    tx.emit(moment, row.id, **facts)
    return _read(tx, row.id)


def _locked(tx: Transaction, consultation_id: str) -> Consultation:
    row = find_row(tx, Consultation, consultation_id, lock=True)
    if row is None:
        raise _unknown(consultation_id)
    return row


def _provider(tx: Transaction, provider_id: str) -> Membership:
    found = find_row(tx, Membership, provider_id)
    if found is None:
        raise _unknown_provider(provider_id)
    return found


def _read(tx: Transaction, consultation_id: str) -> ConsultationView:
    found = find_row(tx, Consultation, consultation_id)
    if found is None:
        raise _unknown(consultation_id)
    return ConsultationView(*tx.session.execute(_consultations().where(Consultation.id == found.id)).one())


def _consultations() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Consultation.id,
            Consultation.patient_id,
            Patient.name.label("patient_name"),
            Consultation.provider_id,
            Membership.name.label("provider_name"),
            Consultation.kind,
            Consultation.status,
            Consultation.at,
            Consultation.planned_at,
            Consultation.opened_at,
            Consultation.closed_at,
            Consultation.cancelled_at,
            Consultation.reason,
            Consultation.source,
        )
        .join(Patient, Patient.id == Consultation.patient_id)
        .join(Membership, Membership.id == Consultation.provider_id)
    )


def _on(day: date, zone: str) -> ColumnElement[bool]:
    # A day of the clinic is not always 24 hours long.
    begins, ends = (datetime.combine(each, time.min, tzinfo=clock.zone(zone)).astimezone(UTC) for each in (day, day + timedelta(days=1)))
    return and_(begins <= Consultation.at, ends > Consultation.at)


def _wrong(row: Consultation, rest: str) -> WrongConsultationStatus:
    return WrongConsultationStatus(f"This consultation is {row.status}, {rest}", consultation=row.id, status=row.status)


def _unknown(consultation_id: str) -> UnknownConsultation:
    return UnknownConsultation(
        f"There is no consultation {consultation_id[:60]!r} in this clinic: `billing consultation list` shows what there is.",
        consultation=consultation_id,
    )


def _unknown_provider(provider_id: str) -> UnknownProvider:
    return UnknownProvider(
        f"There is no active provider {provider_id[:60]!r} in this clinic: `billing staff list` shows them.", provider=provider_id
    )
