from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from billing import clock
from billing.model import AuditEntry, Client
from billing.rules.texts import BadText
from billing.services import patients
from billing.services.inputs import BadLimit
from billing.services.patients import BadPatient, PatientView
from billing.testing.world import World
from billing.transaction import PermissionMissing

HOSTILE = ["", "  ", "a\0b", "a\x1bb", "a\nb", "a\N{LINE SEPARATOR}b", "\ud800", "x" * 1_000_000]
NO_IDS = ["", "nobody", "a\0b", "01890000-0000-7000-8000-000000000000", "x" * 1_000_000, "\ud800"]


def add(world: World, name: str = "Ada", *, clinic: str | None = None, **options: Any) -> PatientView:
    return world.run(lambda tx: patients.add_patient(tx, name=name, **options), clinic=clinic)


def owner(world: World, name: str = "Olga Owner", *, clinic: str | None = None, **options: Any) -> str:
    return world.run(lambda tx: patients.add_client(tx, name=name, **options), clinic=clinic).id


def found(world: World, text: str) -> list[str]:
    return [each.name for each in world.read(lambda tx: patients.find_patients(tx, text=text))]


def test_person_without_a_client_pays_in_person(world: World) -> None:
    made = add(world, "Ada Lovelace", sex="female", birth_date=date(1990, 12, 10), source="emr-7")

    payer = world.read(lambda tx: patients.read_client(tx, client_id=made.client_id))
    assert payer.name == "Ada Lovelace"
    assert (made.client_name, made.kind, made.sex, made.birth_date, made.species) == (
        "Ada Lovelace",
        "person",
        "female",
        date(1990, 12, 10),
        None,
    )
    assert world.read(lambda tx: patients.read_patient(tx, patient_id=made.id)) == made


def test_animal_belongs_to_its_client(world: World) -> None:
    client = owner(world, phone="+49 30 1234-5", email="olga@example.org", address="Street 1\n10115 Berlin")

    made = add(world, "Rex", kind="animal", client_id=client, species=" Dog ", breed="Beagle")

    assert (made.client_id, made.client_name, made.client_phone) == (client, "Olga Owner", "+49 30 1234-5")
    assert (made.species, made.breed, made.sex) == ("dog", "Beagle", "unknown")


def test_what_does_not_fit_is_refused_by_its_field(world: World) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("kind", {"kind": "robot"}),
        ("sex", {"sex": "f"}),
        ("sex", {"sex": ""}),
        ("birth_date", {"birth_date": date(2026, 5, 2)}),
        ("birth_date", {"birth_date": date(1799, 12, 31)}),
        ("birth_date", {"birth_date": "2020-01-01"}),
        ("birth_date", {"birth_date": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("species", {"species": "dog"}),
        ("breed", {"breed": "Beagle"}),
        ("species", {"kind": "animal"}),
        ("species", {"kind": "animal", "species": ""}),
        ("client_id", {"kind": "animal", "species": "dog"}),
    ]

    with clock.fixed(datetime(2026, 5, 1, 12, tzinfo=UTC)):
        for field, options in cases:
            with pytest.raises(BadPatient) as refused:
                add(world, **options)
            assert refused.value.facts["field"] == field, options

    assert world.read(patients.list_patients) == ()
    assert world.read(lambda tx: tx.session.scalars(select(Client.id)).all()) == []


def test_born_today_is_by_the_date_of_the_clinic(world: World) -> None:
    with clock.fixed(datetime(2026, 5, 1, 22, 30, tzinfo=UTC)):  # half past midnight in Berlin
        assert add(world, birth_date=date(2026, 5, 2)).birth_date == date(2026, 5, 2)
        with pytest.raises(BadPatient, match="today is 2026-05-02 in this clinic"):
            add(world, birth_date=date(2026, 5, 3))


def test_text_that_can_not_be_printed_is_refused(world: World) -> None:
    client = owner(world)

    for text in HOSTILE:
        with pytest.raises(BadText):
            add(world, text)
        with pytest.raises(BadText):
            owner(world, text)
    for text in filter(str.strip, HOSTILE):
        with pytest.raises(BadText):
            add(world, kind="animal", client_id=client, species=text)
        with pytest.raises(BadText):
            add(world, source=text)
        with pytest.raises(BadText):
            owner(world, phone=text)


def test_email_address_that_nothing_reaches_is_refused(world: World) -> None:
    for email in ("olga", "olga@", "@example.org", "a@b@c", "olga @example.org"):
        with pytest.raises(patients.BadClient, match="no email address"):
            owner(world, email=email)


def test_names_of_every_script_come_back_as_they_were_and_are_found(world: World) -> None:
    for name in ("Zoë Ångström-O'Neill", "王小明", "عائشة", "=cmd|' /C calc'!A0", "Иван Петров", "🐶 Rex"):
        made = add(world, name)

        assert world.read(partial(patients.read_patient, patient_id=made.id)).name == name
        assert found(world, name[:3]) == [name]


def test_source_brings_one_patient_and_one_client_to_a_clinic(world: World) -> None:
    add(world, source="emr-7")
    add(world, source="emr-7", clinic="south")
    owner(world, source="emr-7")

    with pytest.raises(patients.PatientSourceTaken):
        add(world, source="emr-7")
    with pytest.raises(patients.ClientSourceTaken):
        owner(world, source="emr-7")

    assert len(world.read(patients.list_patients)) == 1


def test_patient_is_changed_field_by_field(world: World) -> None:
    client = owner(world)
    rex = add(world, "Rex", kind="animal", client_id=client, species="dog", breed="Beagle", birth_date=date(2020, 1, 1))
    another = owner(world, "Nina New")

    changes = {"name": "Max", "sex": "male", "birth_date": None, "breed": None, "client_id": another}
    changed = world.run(lambda tx: patients.update_patient(tx, patient_id=rex.id, changes=changes))

    assert (changed.name, changed.sex, changed.birth_date, changed.species, changed.breed) == ("Max", "male", None, "dog", None)
    assert changed.client_name == "Nina New"
    assert world.read(lambda tx: patients.read_patient(tx, patient_id=rex.id)) == changed


def test_change_that_does_not_fit_leaves_the_patient_alone(world: World) -> None:
    rex = add(world, "Rex", kind="animal", client_id=owner(world), species="dog")

    for field, value in {"species": None, "sex": None, "birth_date": date(2999, 1, 1), "kind": "person", "clinic_id": "x"}.items():
        with pytest.raises(BadPatient) as refused:
            world.run(partial(patients.update_patient, patient_id=rex.id, changes={"name": "Max", field: value}))
        assert refused.value.facts["field"] == field

    assert world.read(lambda tx: patients.read_patient(tx, patient_id=rex.id)) == rex


def test_name_can_not_be_cleared(world: World) -> None:
    ada = add(world)

    with pytest.raises(BadText, match="The patient's name is empty"):
        world.run(lambda tx: patients.update_patient(tx, patient_id=ada.id, changes={"name": None}))


def test_client_is_changed_field_by_field(world: World) -> None:
    client = owner(world)

    changed = world.run(lambda tx: patients.update_client(tx, client_id=client, changes={"phone": "030 1", "email": "o@example.org"}))

    assert (changed.name, changed.phone, changed.email) == ("Olga Owner", "030 1", "o@example.org")
    with pytest.raises(patients.BadClient, match="what can: name, phone, email, address"):
        world.run(lambda tx: patients.update_client(tx, client_id=client, changes={"source": "x"}))


def test_no_id_and_another_clinics_id_are_answered_alike(world: World) -> None:
    abroad, here = add(world, clinic="south"), add(world)

    for named in [*NO_IDS, abroad.id]:
        for read in (partial(patients.read_patient, patient_id=named), partial(patients.list_patients, after=named)):
            with pytest.raises(patients.UnknownPatient, match=r"There is no patient .* in this clinic"):
                world.read(read)
        with pytest.raises(patients.UnknownPatient):
            world.run(partial(patients.update_patient, patient_id=named, changes={"name": "X"}))
    for named in [*NO_IDS, abroad.client_id]:
        with pytest.raises(patients.UnknownClient, match=r"There is no client .* in this clinic"):
            world.read(partial(patients.read_client, client_id=named))
        with pytest.raises(patients.UnknownClient):
            add(world, client_id=named)
        with pytest.raises(patients.UnknownClient):
            world.run(partial(patients.update_client, client_id=named, changes={"name": "X"}))
        with pytest.raises(patients.UnknownClient):
            world.run(partial(patients.update_patient, patient_id=here.id, changes={"client_id": named}))


def test_patients_are_found_by_the_beginning_of_a_word_or_of_the_phone(world: World) -> None:
    anna = owner(world, "Anna Schmidt", phone="(030) 12/34-5")
    add(world, "Anna Schmidt", client_id=anna)
    add(world, "Rex", kind="animal", client_id=anna, species="dog")
    add(world, "Åsa Öberg")
    add(world, "%_ literally", client_id=owner(world, "Zed", phone="+49 171"))
    add(world, "Anna Abroad", clinic="south")

    by_text = {
        "an": ["Anna Schmidt", "Rex"],
        "SCHM": ["Anna Schmidt", "Rex"],
        "rex": ["Rex"],
        "åsa": ["Åsa Öberg"],
        "ÖB": ["Åsa Öberg"],
        "chm": [],
        "%": ["%_ literally"],
        "_": [],
        "0301": ["Anna Schmidt", "Rex"],
        "030 12-34": ["Anna Schmidt", "Rex"],
        "(030)": ["Anna Schmidt", "Rex"],
        "+4": ["%_ literally"],
        "301": [],
        "-- ()": [],
        "'; DROP TABLE patient; --": [],
    }

    assert {text: found(world, text) for text in by_text} == by_text


def test_search_for_what_nobody_is_called_is_refused(world: World) -> None:
    for text in HOSTILE:
        with pytest.raises(BadText, match="What to look for"):
            found(world, text)


def test_list_goes_on_behind_a_patient_and_shows_only_this_clinic(world: World) -> None:
    made = [add(world, name).id for name in ("Same", "Alpha", "Same", "Ωmega", "Same")]
    add(world, "Abroad", clinic="south")

    pages: list[PatientView] = []
    while page := world.read(partial(patients.list_patients, limit=2, after=pages[-1].id if pages else None)):
        pages += page

    assert tuple(pages) == world.read(patients.list_patients)
    assert sorted(each.id for each in pages) == sorted(made)


def test_list_shows_the_patients_of_one_client(world: World) -> None:
    client = owner(world)
    add(world, "Rex", kind="animal", client_id=client, species="dog")
    add(world, "Ada")

    assert [each.name for each in world.read(lambda tx: patients.list_patients(tx, client_id=client))] == ["Rex"]


def test_page_has_bounds(world: World) -> None:
    for limit in (0, -1, 1001):
        with pytest.raises(BadLimit):
            world.read(partial(patients.list_patients, limit=limit))
        with pytest.raises(BadLimit):
            world.read(partial(patients.find_patients, text="a", limit=limit))


def test_who_may_not_write_is_refused_and_that_is_audited(world: World, hire: Callable[[str], str]) -> None:
    auditor = hire("auditor")
    ada = add(world)

    for unit in (
        lambda tx: patients.add_patient(tx, name="X"),
        lambda tx: patients.add_client(tx, name="X"),
        lambda tx: patients.update_patient(tx, patient_id=ada.id, changes={"name": "X"}),
        lambda tx: patients.update_client(tx, client_id=ada.client_id, changes={"name": "X"}),
    ):
        with pytest.raises(PermissionMissing):
            world.run(unit, actor=auditor)

    refusals = world.read(
        lambda tx: tx.session.scalars(select(AuditEntry.subject_id).where(AuditEntry.action == "permission.refused")).all()
    )
    assert list(refusals) == ["patients.write"] * 4
    assert world.read(lambda tx: patients.read_patient(tx, patient_id=ada.id), actor=auditor) == ada


def test_audit_names_ids_and_fields_and_never_a_person(world: World) -> None:
    ada = add(world, "Ada Lovelace")
    world.run(lambda tx: patients.update_patient(tx, patient_id=ada.id, changes={"name": "Ada King"}))

    entries = world.read(
        lambda tx: tx.session.execute(
            select(AuditEntry.action, AuditEntry.subject_id, AuditEntry.data).where(AuditEntry.subject.in_(["patient", "client"]))
        ).all()
    )
    assert [tuple(each) for each in entries] == [
        ("client.added", ada.client_id, {"source": None}),
        ("patient.added", ada.id, {"client_id": ada.client_id, "kind": "person", "source": None}),
        ("patient.changed", ada.id, {"client_id": ada.client_id, "fields": ["name"]}),
    ]


def test_clients_are_listed_by_name_a_page_at_a_time(world: World) -> None:
    made = {name: world.run(lambda tx, n=name: patients.add_client(tx, name=n)).id for name in ("Zoe", "Ann", "Mia")}  # type: ignore[misc]

    first = world.read(lambda tx: patients.list_clients(tx, limit=2))
    rest = world.read(lambda tx: patients.list_clients(tx, limit=2, after=first[-1].id))

    assert [each.id for each in (*first, *rest)] == [made["Ann"], made["Mia"], made["Zoe"]]
