"""Who an import needs: the two importing actors, the patients with their clients, the providers. Made once, found again by their source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from billing.errors import BillingError, Refused
from billing.model import CLINIC, Membership, Patient, Staff, canonical_json
from billing.model.lists import texts
from billing.rules.roles import Role
from billing.services.imports.synthea import ExportPatient, located
from billing.services.patients import add_client, add_patient
from billing.services.payers import add_payer, list_payers
from billing.services.staff import add_provider, add_staff
from billing.transaction import Transaction
from billing.trips import Query

ENTRY, VERIFICATION = "import-entry", "import-verify"
"""The logins of the importing actors. The first one runs the units, so that their keys are the same whoever starts the import."""

_NAMES = {ENTRY: "Import, entry", VERIFICATION: "Import, verification"}


class ImporterUnfit(Refused):
    """An importing actor has lost its place or its role in this clinic. Facts: `login`."""

    code = "importer_unfit"


@dataclass(frozen=True, slots=True)
class Importers:
    """The staff ids of who enters and who verifies."""

    entered_by: str
    verified_by: str


_PATIENTS = Query(select(Patient.source, Patient.id).where(Patient.clinic_id == CLINIC, Patient.source.op("IN")(texts("sources"))))
_PROVIDERS = Query(
    select(Membership.source, Membership.id).where(
        Membership.clinic_id == CLINIC, Membership.provider, Membership.source.op("IN")(texts("sources"))
    )
)


def prepare_importers(tx: Transaction, *, visits: int) -> Importers:
    """Note that the actor starts an import of so many visits, and make the two importing actors members of this clinic if they are not yet.

    Needs `imports.run`, and `staff.manage` where a member is missing. Raises `ImporterUnfit`.
    """
    tx.require("imports.run")
    tx.audit("import.started", "clinic", tx.clinic_id, visits=visits)
    members = select(Staff.login, Membership.staff_id, Membership.role, Membership.active).join(Staff, Staff.id == Membership.staff_id)
    found = {row.login: row for row in tx.session.execute(members.where(Staff.login.in_(_NAMES)))}
    staff_ids = {}
    for login, name in _NAMES.items():
        if login not in found:
            staff_ids[login] = add_staff(tx, login=login, name=name, role=str(Role.IMPORTER)).staff_id
            continue
        if not (found[login].active and found[login].role == Role.IMPORTER):
            raise ImporterUnfit(
                f"{login} can't import here: `billing staff` can activate it and give it the role {Role.IMPORTER}.", login=login
            )
        staff_ids[login] = found[login].staff_id
    return Importers(*(str(staff_ids[login]) for login in (ENTRY, VERIFICATION)))


def prepare_patients(tx: Transaction, patients: Sequence[ExportPatient]) -> dict[str, str]:
    """Add those patients that are not here yet, each as the client of itself; return patient ids by source."""
    tx.require("imports.run")
    found = _known(tx, _PATIENTS, (patient.source for patient in patients))
    for patient in patients:
        if patient.source not in found:
            try:
                client = add_client(tx, name=patient.name, address=patient.address, source=patient.source)
                given = {"name": patient.name, "sex": patient.sex, "birth_date": patient.birth_date}
                found[patient.source] = add_patient(tx, client_id=client.id, source=patient.source, **given).id  # type: ignore[arg-type]
            except BillingError as error:
                raise located(error, patient.place) from error
    return found


def prepare_payers(tx: Transaction, names: Mapping[str, str]) -> None:
    """Add those payers (code -> name) that are not here yet."""
    tx.require("imports.run")
    here = {row.code for row in list_payers(tx)}
    for code, name in names.items():
        if code not in here:
            add_payer(tx, code=code, name=name)


def prepare_providers(tx: Transaction, names: Mapping[str, str]) -> dict[str, str]:
    """Add those providers (source -> name) that are not here yet, without a sign-in; return membership ids by source."""
    tx.require("imports.run")
    found = _known(tx, _PROVIDERS, names)
    for source, name in names.items():
        if source not in found:
            found[source] = add_provider(tx, name=name, source=source).id
    return found


def _known(tx: Transaction, query: Query, sources: Iterable[str]) -> dict[str, str]:
    return dict(tx.rows(query, sources=canonical_json(sorted(sources))))
