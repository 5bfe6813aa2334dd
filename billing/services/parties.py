"""The names that an invoice shows, kept with it when it is issued: a reprint says what the original said, whatever is renamed later."""

from typing import Any

from sqlalchemy import bindparam, select

from billing.model import CLINIC, Client, Membership, Patient
from billing.model.types import IdType
from billing.transaction import Transaction
from billing.trips import Query

_PATIENT = Query(
    select(Patient.name, Patient.kind, Patient.species, Patient.breed, Client.name.label("client"), Client.address.label("client_address"))
    .join(Client, (Client.clinic_id == Patient.clinic_id) & (Client.id == Patient.client_id))
    .where(Patient.clinic_id == CLINIC, Patient.id == bindparam("patient_id", type_=IdType()))
)
_PROVIDER = Query(select(Membership.name).where(Membership.clinic_id == CLINIC, Membership.id == bindparam("provider_id", type_=IdType())))


def parties(tx: Transaction, *, patient_id: str, provider_id: str | None) -> dict[str, Any]:
    """Return what documents say beside items and amounts, as JSON: the names, and the language, zone and order of departments to say it in."""
    patients, providers = tx.trip((_PATIENT, {"patient_id": patient_id}), (_PROVIDER, {"provider_id": provider_id}))
    patient = patients[0]
    return {
        "language": tx.clinic.language,
        "time_zone": tx.clinic.time_zone,
        "departments": [[each.code, each.name] for each in tx.clinic.departments],
        "clinic": {"name": tx.clinic.name, "address": tx.clinic.address, "tax_number": tx.clinic.tax_number},
        "client": {"name": patient.client, "address": patient.client_address},
        "patient": {"name": patient.name, "kind": patient.kind, "species": patient.species, "breed": patient.breed},
        "provider": {"name": providers[0].name} if providers else None,
    }
