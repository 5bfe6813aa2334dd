"""A small clinic made from nothing, for the demonstration: staff, people, animals, and the visits that the plugins bring. Names no department."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing import registry
from billing.changes.kernel import violation
from billing.database import Database
from billing.errors import Misconfigured
from billing.facts import QuotingClinic, Record, Records
from billing.services import clinics
from billing.services.imports.claiming import claim_records
from billing.services.imports.visits import VisitToBill, bill_visit
from billing.services.patients import add_client, add_patient
from billing.services.setup import OPERATOR_LOGIN, make_operator
from billing.services.staff import add_staff
from billing.transaction import Transaction

CLINIC, CASHIER = "demo", "lena"

_STAFF = (
    ("ines", "Dr. Ines Vogel", "clinician", True),
    ("paul", "Dr. Paul Brandt", "clinician", True),
    (CASHIER, "Lena Fuchs", "cashier", False),
    ("nils", "Nils Aydin", "clinician", False),
    ("sofia", "Sofia Marek", "clinician", False),
)
"""Login, name, role, and who sees patients. The last two measure and verify results."""

_ENTERS, _VERIFIES = "nils", "sofia"
_BETWEEN = timedelta(minutes=25)
_LASTS = timedelta(minutes=20)


class NothingToShow(Misconfigured):
    """No plugin brings anything that the demonstration could bill."""

    code = "nothing_to_show"


@dataclass(frozen=True, slots=True)
class _Patient:
    """A patient of the demonstration, and the visits that are theirs."""

    visits: tuple[str, ...]
    name: str
    client: str
    provider: str
    sex: str
    age: timedelta
    kind: Literal["person", "animal"] = "person"
    species: str | None = None
    breed: str | None = None


_YEAR = timedelta(days=365)
_PATIENTS = (
    _Patient(("1", "5"), "Mara Lindner", "Mara Lindner", "ines", "female", 34 * _YEAR),
    _Patient(("2",), "Jonas Petersen", "Jonas Petersen", "ines", "male", 71 * _YEAR),
    _Patient(("3",), "Balu", "Ada Okafor", "paul", "male", 6 * _YEAR, "animal", "dog", "Labrador"),
    _Patient(("4",), "Minka", "Tomas Ruiz", "paul", "female", 11 * _YEAR, "animal", "cat"),
    _Patient(("6",), "Fjalar", "Stud Farm Hansen", "paul", "male", 9 * _YEAR, "animal", "horse", "Icelandic"),
)


@dataclass(frozen=True, slots=True)
class DemoVisit:
    """A visit of the demonstration, billed and not paid. `patient` says who it is: "Balu (dog of Ada Okafor)"."""

    number: str
    patient: str
    provider: str
    invoice_id: str


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who takes part: ids of patients by visit; ids of memberships and staff, and names, by login."""

    patients: Mapping[str, str]
    providers: Mapping[str, str]
    staff: Mapping[str, str]
    names: Mapping[str, str]


def build_clinic(database: Database) -> tuple[DemoVisit, ...]:
    """Fill an empty database: the clinic, who works there, who comes, and one draft for each visit of today. Raises `NothingToShow`."""
    database.set_up(make_operator)
    now = database.run(_found, actor=OPERATOR_LOGIN)
    cast = database.run(_settle_in, actor=OPERATOR_LOGIN, clinic=CLINIC)
    records = database.read(_records, actor=OPERATOR_LOGIN, clinic=CLINIC)
    visits = []
    for place, (number, patient) in enumerate(_visits()):
        at = now - _BETWEEN * (len(_visits()) - place)
        made = database.run(
            lambda tx, number=number, patient=patient: _bill(tx, number, patient, records.get(number, ()), cast),  # type: ignore[misc]
            actor=OPERATOR_LOGIN,
            clinic=CLINIC,
            at=at,
        )
        if made is not None:
            visits.append(made)
    if not visits:
        raise NothingToShow("No plugin brings anything to show: install the plugins of this repository, then run the demonstration again.")
    return tuple(visits)


def _found(tx: Transaction) -> datetime:
    clinics.create_clinic(
        tx,
        code=CLINIC,
        name="Clinic at the Old Mill",
        currency_code="EUR",
        time_zone="Europe/Berlin",
        address="Mill Lane 1\n10115 Berlin",
    )
    return tx.at


def _settle_in(tx: Transaction) -> _Cast:
    members = {login: add_staff(tx, login=login, name=name, role=role, provider=provider) for login, name, role, provider in _STAFF}
    clients = {name: add_client(tx, name=name).id for name in dict.fromkeys(patient.client for patient in _PATIENTS)}
    patients: dict[str, str] = {}
    for each in _PATIENTS:
        added = add_patient(
            tx,
            name=each.name,
            kind=each.kind,
            client_id=clients[each.client],
            sex=each.sex,
            birth_date=tx.business_date - each.age,
            species=each.species,
            breed=each.breed,
        )
        patients |= dict.fromkeys(each.visits, added.id)
    return _Cast(
        patients=patients,
        providers={login: member.id for login, member in members.items()},
        staff={login: str(member.staff_id) for login, member in members.items()},
        names={login: member.name for login, member in members.items()},
    )


def _records(tx: Transaction) -> dict[str, tuple[Record, ...]]:
    """Return what the plugins bring, by the visit that their column VISIT names."""
    plugins = registry.of(tx)
    clinic = QuotingClinic(tx.clinic_id, tx.clinic.currency, tx.business_date, tx.at)
    known = {number for number, _ in _visits()}
    found: dict[str, tuple[Record, ...]] = {}
    for plugin in plugins.enabled(tx.clinic):
        for record in plugins.demo_records(plugin, clinic):
            number = record.row.get("VISIT", "")
            if number not in known:
                raise violation(
                    plugin.name, "demo_records", f"it brought a record of visit {number!r}; there are {', '.join(sorted(known))}"
                )
            found[number] = (*found.get(number, ()), record)
    return found


def _bill(tx: Transaction, number: str, patient: _Patient, rows: tuple[Record, ...], cast: _Cast) -> DemoVisit | None:
    records = Records(
        visit_id=number,
        at=tx.at,
        currency=tx.clinic.currency,
        rows=rows,
        entered_by=cast.staff[_ENTERS],
        verified_by=cast.staff[_VERIFIES],
    )
    claims = claim_records(registry.of(tx), tx.clinic, records).claims
    if not claims:
        return None
    kinds = (row.row.get("ENCOUNTERCLASS") for row in rows if row.kind == "visit")
    billed = bill_visit(
        tx,
        visit=VisitToBill(
            source=f"demo:{number}",
            patient_id=cast.patients[number],
            provider_id=cast.providers[patient.provider],
            kind=next(kinds, None) or "visit",
            ended_at=tx.at + _LASTS,
            claims=claims,
        ),
    )
    shown = f"{patient.name} ({patient.species} of {patient.client})" if patient.species else patient.name
    return DemoVisit(number, shown, cast.names[patient.provider], billed.invoice_id)


def _visits() -> list[tuple[str, _Patient]]:
    return sorted((number, patient) for patient in _PATIENTS for number in patient.visits)
