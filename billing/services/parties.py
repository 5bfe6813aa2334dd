"""The names that an invoice shows, kept with it when it is issued: a reprint says what the original said, whatever is renamed later."""

from typing import Any

from billing.model import Client, Membership, Patient
from billing.transaction import Transaction
from billing.trips import Row

PARTY_COLUMNS = (
    Patient.name.label("patient_name"),
    Client.name.label("client_name"),
    Client.address.label("client_address"),
    Membership.name.label("provider_name"),
)
"""What a statement on an invoice reads of its parties; beside the patient's own columns."""


def parties(tx: Transaction, invoice: Row) -> dict[str, Any]:
    """Return what documents say beside items and amounts, as JSON: the names, and the language, zone and order of departments to say it in.

    `invoice` is a row of open_invoice's statements.
    """
    patient = {
        "name": invoice.patient_name,
        "kind": invoice.patient_kind,
        "species": invoice.patient_species,
        "breed": invoice.patient_breed,
    }
    return {
        "language": tx.clinic.language,
        "time_zone": tx.clinic.time_zone,
        "departments": [[each.code, each.name] for each in tx.clinic.departments],
        "clinic": {"name": tx.clinic.name, "address": tx.clinic.address, "tax_number": tx.clinic.tax_number},
        "client": {"name": invoice.client_name, "address": invoice.client_address},
        "patient": patient,
        "provider": {"name": invoice.provider_name} if invoice.provider_name is not None else None,
    }
