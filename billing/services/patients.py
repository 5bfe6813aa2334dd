"""Clients, who pay, and patients, who are cared for: people and animals. Knows nothing of what is billed to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, or_, select

from billing.changes.failures import explains
from billing.errors import Conflict, Invalid, NotFound
from billing.model import Client, Patient
from billing.rules.texts import check_text
from billing.services.inputs import behind, check_limit, check_line, check_source, find_row, has_word
from billing.transaction import Transaction

SEXES = ("female", "male", "other", "unknown")
FIRST_BIRTH_YEAR = 1800
"""Tortoises have lived that long; an earlier year is a slip of the keyboard."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+?[ ()./-]*[0-9][0-9 ()./-]*")
_PHONE_SIGNS = " ()./-"


class UnknownClient(NotFound):
    """There is no such client in this clinic. Facts: `client`."""

    code = "unknown_client"


class UnknownPatient(NotFound):
    """There is no such patient in this clinic. Facts: `patient`."""

    code = "unknown_patient"


class BadClient(Invalid):
    """Something about a client does not fit. Facts: `field`."""

    code = "bad_client"


class BadPatient(Invalid):
    """Something about a patient does not fit. Facts: `field`."""

    code = "bad_patient"


@explains("uq_client_source", "A client of this source is here already.")
class ClientSourceTaken(Conflict):
    """A client came from this source before."""

    code = "client_source_taken"


@explains("uq_patient_source", "A patient of this source is here already.")
class PatientSourceTaken(Conflict):
    """A patient came from this source before."""

    code = "patient_source_taken"


@dataclass(frozen=True, slots=True)
class ClientView:
    """Who pays, and how to reach them."""

    id: str
    name: str
    phone: str
    email: str
    address: str
    source: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PatientView:
    """Who is cared for, and who pays. Only an animal has species and breed."""

    id: str
    name: str
    kind: str
    sex: str
    birth_date: date | None
    species: str | None
    breed: str | None
    client_id: str
    client_name: str
    client_phone: str
    source: str | None
    created_at: datetime


def add_client(tx: Transaction, *, name: str, phone: str = "", email: str = "", address: str = "", source: str | None = None) -> ClientView:
    """Add somebody who pays. Raises `BadText`, `BadClient`, `ClientSourceTaken`."""
    tx.require("patients.write")
    checked = _check_client({"name": name, "phone": phone, "email": email, "address": address})
    client = Client(**checked, source=check_source(source), created_at=tx.at)
    tx.session.add(client)
    tx.session.flush()  # gives the id, and says at once if the source is taken
    tx.audit("client.added", "client", client.id, source=client.source)
    return _client_view(client)


def update_client(tx: Transaction, *, client_id: str, changes: Mapping[str, str]) -> ClientView:
    """Change name, phone, email or address of a client. Raises `UnknownClient`, `BadText`, `BadClient`."""
    tx.require("patients.write")
    client = _client(tx, client_id, lock=True)
    for field, value in _check_client(changes).items():
        setattr(client, field, value)
    tx.audit("client.changed", "client", client.id, fields=sorted(changes))
    return _client_view(client)


def read_client(tx: Transaction, *, client_id: str) -> ClientView:
    """Return a client. Raises `UnknownClient`."""
    tx.require("patients.read")
    return _client_view(_client(tx, client_id))


def list_clients(tx: Transaction, *, limit: int = 50, after: str | None = None) -> tuple[ClientView, ...]:
    """Return those who pay, by name. `after` is the last id of the page before. Raises `UnknownClient`."""
    tx.require("patients.read")
    statement = select(Client).order_by(Client.name, Client.id).limit(check_limit(limit))
    if after is not None:
        last = _client(tx, after)
        statement = statement.where(behind(Client.name, last.name, Client.id, last.id))
    return tuple(_client_view(row) for row in tx.session.scalars(statement))


def add_patient(
    tx: Transaction,
    *,
    name: str,
    kind: Literal["person", "animal"] = "person",
    client_id: str | None = None,
    sex: str = "unknown",
    birth_date: date | None = None,
    species: str | None = None,
    breed: str | None = None,
    source: str | None = None,
) -> PatientView:
    """Add a patient of a client; a person without one pays in person: a client of the same name is made.

    Raises `BadText`, `BadPatient` naming the field, `UnknownClient`, `PatientSourceTaken`.
    """
    tx.require("patients.write")
    if kind not in {"person", "animal"}:
        raise BadPatient(f"{kind[:40]!r} is no kind of patient: say person or animal.", field="kind")
    given = {"name": name, "sex": sex, "birth_date": birth_date, "species": species, "breed": breed}
    checked, origin = _check_patient(given, kind=kind, today=tx.business_date), check_source(source)
    if client_id is None and kind == "animal":
        raise BadPatient("An animal belongs to a client: add who pays first, then name the client.", field="client_id")
    payer = add_client(tx, name=checked["name"]).id if client_id is None else _client(tx, client_id).id
    patient = Patient(client_id=payer, kind=kind, **checked, source=origin, created_at=tx.at)
    tx.session.add(patient)
    tx.session.flush()  # gives the id, and says at once if the source is taken
    tx.audit("patient.added", "patient", patient.id, client_id=payer, kind=kind, source=origin)
    return _read(tx, patient.id)


def update_patient(tx: Transaction, *, patient_id: str, changes: Mapping[str, Any]) -> PatientView:
    """Change name, sex, birth_date, species, breed or client_id of a patient; None clears a birth date or a breed.

    The name of a person's client stays as it is, and invoices keep the client that they were made for.
    Raises `UnknownPatient`, `UnknownClient`, `BadText`, `BadPatient` naming the field.
    """
    tx.require("patients.write")
    patient = find_row(tx, Patient, patient_id, lock=True)
    if patient is None:
        raise _unknown_patient(patient_id)
    now = {field: getattr(patient, field) for field in ("name", "sex", "birth_date", "species", "breed")}
    if unknown := sorted(set(changes) - {*now, "client_id"}):
        raise BadPatient(f"{unknown[0][:40]!r} of a patient can't be changed; what can: {', '.join(now)}, client_id.", field=unknown[0])
    asked = {field: value for field, value in changes.items() if field in now}
    checked = _check_patient(now | asked, kind=patient.kind, today=tx.business_date)
    if "client_id" in changes:
        checked["client_id"] = _client(tx, str(changes["client_id"])).id
    for field, value in checked.items():
        setattr(patient, field, value)
    tx.audit("patient.changed", "patient", patient.id, fields=sorted(changes), client_id=patient.client_id)
    return _read(tx, patient.id)


def read_patient(tx: Transaction, *, patient_id: str) -> PatientView:
    """Return a patient. Raises `UnknownPatient`."""
    tx.require("patients.read")
    return _read(tx, patient_id)


def list_patients(tx: Transaction, *, client_id: str | None = None, limit: int = 50, after: str | None = None) -> tuple[PatientView, ...]:
    """Return patients by name, of one client or all. `after` is the last id of the page before. Raises `UnknownPatient`, `UnknownClient`."""
    tx.require("patients.read")
    statement = _patients().order_by(Patient.name, Patient.id).limit(check_limit(limit))
    if client_id is not None:
        statement = statement.where(Patient.client_id == _client(tx, client_id).id)
    if after is not None:
        last = _read(tx, after)
        statement = statement.where(behind(Patient.name, last.name, Patient.id, last.id))
    return tuple(PatientView(*row) for row in tx.session.execute(statement))


def find_patients(tx: Transaction, *, text: str, limit: int = 20) -> tuple[PatientView, ...]:
    """Return the patients, by name, of whom a word of the name, or of the client's, begins with the text, or the client's phone does.

    Capitals don't matter, nor blanks and signs in a phone number. Raises `BadText` for a text that nobody's name could begin with.
    """
    tx.require("patients.read")
    wanted = check_line(text, "What to look for", longest=100)
    of_client = has_word(Client.name, wanted)
    if _PHONE.fullmatch(wanted):
        of_client = or_(of_client, _phone_begins(wanted))
    # A list of clients, not the joined one: the database then looks at each client once, and joins only those found.
    matches = or_(has_word(Patient.name, wanted), Patient.client_id.in_(select(Client.id).where(of_client)))
    statement = _patients().where(matches).order_by(Patient.name, Patient.id).limit(check_limit(limit))
    return tuple(PatientView(*row) for row in tx.session.execute(statement))


def _check_client(given: Mapping[str, str]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for field, value in given.items():
        match field:
            case "name":
                checked[field] = check_line(value, "The client's name")
            case "phone":
                checked[field] = check_line(value, "The phone number", longest=60, empty=True)
            case "email":
                checked[field] = check_line(value, "The email address", longest=200, empty=True)
                if checked[field] and not _EMAIL.fullmatch(checked[field]):
                    raise BadClient(f"{value[:60]!r} is no email address: write it like name@example.org.", field=field)
            case "address":
                checked[field] = check_text(value, "The address", longest=500, empty=True)
            case _:
                raise BadClient(f"{field[:40]!r} of a client can't be changed; what can: name, phone, email, address.", field=field)
    return checked


def _check_patient(given: Mapping[str, Any], *, kind: str, today: date) -> dict[str, Any]:
    sex, born = given["sex"], given["birth_date"]
    if sex not in SEXES:
        raise BadPatient(f"{str(sex)[:40]!r} can't be recorded as sex: say one of {', '.join(SEXES)}.", field="sex")
    if born is not None and (not isinstance(born, date) or isinstance(born, datetime)):
        raise BadPatient("The birth date is no day: write it like 2019-05-31.", field="birth_date")
    if born is not None and not born.year >= FIRST_BIRTH_YEAR:
        raise BadPatient(f"The birth date {born} lies too far back: years from {FIRST_BIRTH_YEAR} on can be recorded.", field="birth_date")
    if born is not None and born > today:
        raise BadPatient(f"The birth date {born} lies in the future: today is {today} in this clinic.", field="birth_date")
    species, breed = given["species"], given["breed"]
    if kind == "person" and (species or breed):
        raise BadPatient("A person has no species and no breed: leave them out, or add an animal.", field="species" if species else "breed")
    if kind == "animal" and not species:
        raise BadPatient("An animal needs a species, such as dog.", field="species")
    return {
        "name": check_line(given["name"] or "", "The patient's name"),
        "sex": sex,
        "birth_date": born,
        # One spelling: reference values and statistics go by it.
        "species": check_line(species, "The species", longest=60).casefold() if species else None,
        "breed": check_line(breed, "The breed", longest=100) if breed else None,
    }


def _client(tx: Transaction, client_id: str, *, lock: bool = False) -> Client:
    client = find_row(tx, Client, client_id, lock=lock)
    if client is None:
        raise UnknownClient(f"There is no client {client_id[:60]!r} in this clinic.", client=client_id)
    return client


def _read(tx: Transaction, patient_id: str) -> PatientView:
    found = find_row(tx, Patient, patient_id)
    if found is None:
        raise _unknown_patient(patient_id)
    return PatientView(*tx.session.execute(_patients().where(Patient.id == found.id)).one())


def _patients() -> Select[*tuple[Any, ...]]:
    own = (Patient.id, Patient.name, Patient.kind, Patient.sex, Patient.birth_date, Patient.species, Patient.breed, Patient.client_id)
    return select(*own, Client.name, Client.phone, Patient.source, Patient.created_at).join(Client, Client.id == Patient.client_id)


def _phone_begins(text: str) -> ColumnElement[bool]:
    plain: ColumnElement[str] = reduce(lambda column, sign: func.replace(column, sign, ""), _PHONE_SIGNS, Client.phone)  # type: ignore[arg-type]
    return plain.startswith("".join(sign for sign in text if sign not in _PHONE_SIGNS), autoescape=True)


def _client_view(row: Client) -> ClientView:
    return ClientView(row.id, row.name, row.phone, row.email, row.address, row.source, row.created_at)


def _unknown_patient(patient_id: str) -> UnknownPatient:
    return UnknownPatient(
        f"There is no patient {patient_id[:60]!r} in this clinic: `billing patient find` looks for one.", patient=patient_id
    )
