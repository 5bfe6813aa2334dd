from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from billing import clock
from billing.model import AuditEntry, Event
from billing.rules.texts import BadText
from billing.services import consultations, staff
from billing.services.consultations import BadConsultation, ConsultationView, WrongConsultationStatus
from billing.services.inputs import BadLimit
from billing.services.invoice_steps import cancel_invoice
from billing.services.patients import UnknownPatient
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOSTILE = ["", "  ", "a\0b", "a\nb", "\ud800", "x" * 1_000_000]
NO_IDS = ["", "nobody", "a\0b", "01890000-0000-7000-8000-000000000000", "x" * 1_000_000, "\ud800"]

Beside = Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]


class Visits:
    """The consultations of one patient with one provider."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.patient_id = world.patient()
        self.provider_id = world.run(lambda tx: staff.add_provider(tx, name="Dr Who")).id
        self.who: dict[str, Any] = {"patient_id": self.patient_id, "provider_id": self.provider_id}

    def plan(self, planned_at: datetime = NOON + timedelta(hours=2), **options: Any) -> ConsultationView:
        return self.world.run(partial(consultations.plan_consultation, **self.who, planned_at=planned_at, **options))

    def open(self, **options: Any) -> ConsultationView:
        return self.world.run(partial(consultations.open_consultation, **self.who, **options))

    def move(self, step: Callable[..., ConsultationView], consultation_id: str, **options: Any) -> ConsultationView:
        return self.world.run(partial(step, consultation_id=consultation_id, **options))

    def list(self, **options: Any) -> list[str]:
        return [each.id for each in self.world.read(partial(consultations.list_consultations, **options))]


@pytest.fixture
def visits(world: World) -> Visits:
    return Visits(world)


def test_planned_visit_is_opened_and_closed(visits: Visits) -> None:
    with clock.fixed(NOON):
        planned = visits.plan(kind="vaccination", source="agenda-1")
        opened = visits.move(consultations.open_planned_consultation, planned.id)
    with clock.fixed(NOON + timedelta(minutes=20)):
        closed = visits.move(consultations.close_consultation, planned.id)

    assert (planned.status, planned.at, planned.opened_at) == ("planned", NOON + timedelta(hours=2), None)
    assert (opened.status, opened.at, opened.opened_at) == ("open", NOON, NOON)
    assert closed == ConsultationView(
        id=planned.id,
        patient_id=visits.patient_id,
        patient_name="Ada",
        provider_id=visits.provider_id,
        provider_name="Dr Who",
        kind="vaccination",
        status="closed",
        at=NOON,
        planned_at=NOON + timedelta(hours=2),
        opened_at=NOON,
        closed_at=NOON + timedelta(minutes=20),
        cancelled_at=None,
        reason="",
        source="agenda-1",
    )
    assert visits.world.read(partial(consultations.read_consultation, consultation_id=planned.id)) == closed


def test_visit_that_was_not_planned_is_open_at_once(visits: Visits) -> None:
    with clock.fixed(NOON):
        opened = visits.open()

    assert (opened.status, opened.kind, opened.at, opened.planned_at) == ("open", "visit", NOON, None)


def test_visit_is_cancelled_with_a_reason_before_it_is_closed(visits: Visits) -> None:
    with clock.fixed(NOON):
        for made in (visits.plan(), visits.open()):
            cancelled = visits.move(consultations.cancel_consultation, made.id, reason=" did not come ")
            assert (cancelled.status, cancelled.cancelled_at, cancelled.reason) == ("cancelled", NOON, "did not come")


def test_reason_must_be_given_in_words(visits: Visits) -> None:
    made = visits.open()

    for reason in HOSTILE:
        with pytest.raises(BadText, match="The reason"):
            visits.move(consultations.cancel_consultation, made.id, reason=reason)


def test_wrong_step_is_refused_and_says_what_to_do(visits: Visits) -> None:
    open_, close, cancel = (
        consultations.open_planned_consultation,
        consultations.close_consultation,
        partial(consultations.cancel_consultation, reason="no"),
    )
    with clock.fixed(NOON):
        planned, opened, closed, cancelled = visits.plan().id, visits.open().id, visits.open().id, visits.open().id
        visits.move(close, closed)
        visits.move(cancel, cancelled)
        before = visits.world.dump()

    for step, made, words in (
        (close, planned, "is planned, so it can't be closed: open it first"),
        (open_, opened, "is open, so it can't be opened: go on with it"),
        (open_, closed, "is closed, so it can't be opened: open a new one"),
        (close, closed, "is closed, so it can't be closed: there is nothing left to do"),
        (cancel, closed, "is closed, so it can't be cancelled: cancel or correct its invoice"),
        (open_, cancelled, "is cancelled, so it can't be opened: plan or open a new one"),
        (close, cancelled, "is cancelled, so it can't be closed: open a new one"),
        (cancel, cancelled, "is cancelled, so it can't be cancelled: there is nothing left to do"),
    ):
        with pytest.raises(WrongConsultationStatus, match=words):
            visits.move(step, made)

    assert visits.world.dump() == before


def test_visit_is_not_closed_before_it_was_opened(visits: Visits) -> None:
    with clock.fixed(NOON):
        made = visits.open()
    close = partial(consultations.close_consultation, consultation_id=made.id)

    with pytest.raises(WrongConsultationStatus, match="opened later"):
        visits.world.run(close, at=NOON - timedelta(minutes=1))

    assert visits.world.run(close, at=NOON).closed_at == NOON


def test_visit_is_planned_for_today_or_later_by_the_clinics_date(visits: Visits) -> None:
    with clock.fixed(datetime(2026, 5, 1, 22, 30, tzinfo=UTC)):  # half past midnight in Berlin, on May 2nd
        assert visits.plan(datetime(2026, 5, 1, 22, 10, tzinfo=UTC)).status == "planned"
        with pytest.raises(BadConsultation, match="today is 2026-05-02"):
            visits.plan(datetime(2026, 5, 1, 21, 59, tzinfo=UTC))
        with pytest.raises(BadConsultation, match="no time zone"):
            visits.plan(datetime(2026, 5, 3, 12))
        for at in (datetime.min, datetime(1, 1, 1, 2)):
            with pytest.raises(BadConsultation, match="for the past"):
                visits.plan(at.replace(tzinfo=timezone(timedelta(hours=14))))
        for at in (datetime.max, datetime(2036, 5, 4)):
            with pytest.raises(BadConsultation, match="ten years ahead at most"):
                visits.plan(at.replace(tzinfo=timezone(timedelta(hours=-12))))


def test_closing_by_two_at_once_closes_once(visits: Visits, beside: Beside) -> None:
    made = visits.open()

    second = beside(
        partial(consultations.close_consultation, consultation_id=made.id),
        partial(consultations.cancel_consultation, consultation_id=made.id, reason="no"),
    )

    assert isinstance(second.exception(), WrongConsultationStatus)
    assert visits.world.read(partial(consultations.read_consultation, consultation_id=made.id)).status == "closed"


def test_billed_visit_is_cancelled_only_after_its_invoice(visits: Visits) -> None:
    world = visits.world
    world.service("XRAY")
    made = visits.open()
    bill = world.invoice("XRAY", patient_id=visits.patient_id, consultation_id=made.id)

    with pytest.raises(consultations.ConsultationBilled, match=f"billed on invoice {bill.number}"):
        visits.move(consultations.cancel_consultation, made.id, reason="no")

    world.run(partial(cancel_invoice, invoice_id=bill.id, reason="no"))
    assert visits.move(consultations.cancel_consultation, made.id, reason="no").status == "cancelled"


def test_source_brings_one_visit_to_a_clinic(visits: Visits) -> None:
    visits.open(source="encounter-1")

    with pytest.raises(consultations.ConsultationSourceTaken):
        visits.open(source="encounter-1")


def test_text_that_can_not_be_printed_is_refused(visits: Visits) -> None:
    for text in HOSTILE:
        with pytest.raises(BadText):
            visits.open(kind=text)
        with pytest.raises(BadText):
            visits.open(source=text)

    assert visits.list() == []


def test_only_an_active_provider_sees_patients(visits: Visits) -> None:
    world = visits.world
    cashier = world.run(lambda tx: staff.add_staff(tx, login="carl", name="Carl", role="cashier")).id
    world.run(lambda tx: staff.deactivate_membership(tx, member=visits.provider_id))

    for provider_id in (cashier, visits.provider_id):
        with pytest.raises(staff.UnknownProvider):
            visits.world.run(partial(consultations.open_consultation, patient_id=visits.patient_id, provider_id=provider_id))


def test_no_id_and_another_clinics_id_are_answered_alike(visits: Visits) -> None:
    world = visits.world
    patient = world.patient(clinic="south")
    provider = world.run(lambda tx: staff.add_provider(tx, name="Dr Abroad"), clinic="south").id
    abroad = world.run(partial(consultations.open_consultation, patient_id=patient, provider_id=provider), clinic="south").id

    for named in [*NO_IDS, abroad]:
        for unit in (
            partial(consultations.open_planned_consultation, consultation_id=named),
            partial(consultations.close_consultation, consultation_id=named),
            partial(consultations.cancel_consultation, consultation_id=named, reason="no"),
            partial(consultations.read_consultation, consultation_id=named),
            partial(consultations.list_consultations, after=named),
        ):
            with pytest.raises(consultations.UnknownConsultation, match=r"There is no consultation .* in this clinic"):
                world.run(unit)
    for named in [*NO_IDS, patient]:
        with pytest.raises(UnknownPatient):
            world.run(partial(consultations.open_consultation, **visits.who | {"patient_id": named}))
        with pytest.raises(UnknownPatient):
            visits.list(patient_id=named)
    for named in [*NO_IDS, provider]:
        with pytest.raises(staff.UnknownProvider):
            world.run(partial(consultations.plan_consultation, **visits.who | {"provider_id": named}, planned_at=clock.now()))
        with pytest.raises(staff.UnknownProvider):
            visits.list(provider_id=named)


def test_list_is_narrowed_by_status_patient_provider_and_day(visits: Visits) -> None:
    with clock.fixed(NOON):
        planned, opened = visits.plan(), visits.open()
        another = Visits(visits.world)
        elsewhere = another.open()

    assert visits.list() == [opened.id, elsewhere.id, planned.id]
    assert visits.list(status="planned") == [planned.id]
    assert visits.list(patient_id=another.patient_id) == visits.list(provider_id=another.provider_id) == [elsewhere.id]
    assert visits.list(status="open", provider_id=visits.provider_id, on=date(2026, 5, 1)) == [opened.id]
    assert visits.list(on=date(2026, 5, 2)) == []
    for status in ("", "done", "a\0b"):
        with pytest.raises(BadConsultation, match="planned, open, closed, cancelled"):
            visits.list(status=status)
    for day in (date.min, date.max):
        with pytest.raises(BadConsultation, match="look at the year"):
            visits.list(on=day)
    with pytest.raises(BadLimit):
        visits.list(limit=0)


def test_day_of_the_list_is_the_clinics_even_when_it_is_23_hours_long(visits: Visits) -> None:
    # In Berlin, March 29th 2026 begins at 23:00 UTC and ends at 22:00 UTC.
    made = {}
    for hour, at in {
        "before": datetime(2026, 3, 28, 22, 59, tzinfo=UTC),
        "first": datetime(2026, 3, 28, 23, 0, tzinfo=UTC),
        "last": datetime(2026, 3, 29, 21, 59, 59, 999_999, tzinfo=UTC),
        "after": datetime(2026, 3, 29, 22, 0, tzinfo=UTC),
    }.items():
        with clock.fixed(at):
            made[hour] = visits.open().id

    assert visits.list(on=date(2026, 3, 29)) == [made["first"], made["last"]]


def test_list_goes_on_behind_a_visit_and_shows_only_this_clinic(visits: Visits) -> None:
    with clock.fixed(NOON):
        made = {visits.plan(NOON + timedelta(hours=hour % 3)).id for hour in range(5)}
        visits.world.run(
            partial(
                consultations.open_consultation,
                patient_id=visits.world.patient(clinic="south"),
                provider_id=visits.world.run(lambda tx: staff.add_provider(tx, name="Dr Abroad"), clinic="south").id,
            ),
            clinic="south",
        )

    pages: list[str] = []
    while page := visits.list(limit=2, after=pages[-1] if pages else None):
        pages += page

    assert pages == visits.list()
    assert set(pages) == made


def test_who_may_only_read_is_refused(visits: Visits, hire: Callable[[str], str]) -> None:
    cashier, made = hire("cashier"), visits.open()

    for unit in (
        partial(consultations.open_consultation, **visits.who),
        partial(consultations.plan_consultation, **visits.who, planned_at=clock.now()),
        partial(consultations.open_planned_consultation, consultation_id=made.id),
        partial(consultations.close_consultation, consultation_id=made.id),
        partial(consultations.cancel_consultation, consultation_id=made.id, reason="no"),
    ):
        with pytest.raises(PermissionMissing, match=r"consultations\.manage"):
            visits.world.run(unit, actor=cashier)

    assert visits.world.read(partial(consultations.read_consultation, consultation_id=made.id), actor=cashier) == made


def test_each_step_is_audited_and_told(visits: Visits) -> None:
    planned = visits.plan(clock.now() + timedelta(hours=1))
    visits.move(consultations.open_planned_consultation, planned.id)
    visits.move(consultations.close_consultation, planned.id)
    visits.move(consultations.cancel_consultation, visits.open().id, reason="did not come")

    def told(tx: Transaction) -> tuple[list[Any], list[Any]]:
        entries = select(AuditEntry.action).where(AuditEntry.subject == "consultation").order_by(AuditEntry.position)
        return list(tx.session.scalars(entries)), list(tx.session.execute(select(Event.topic, Event.data).order_by(Event.id)))

    audited, events = visits.world.read(told)
    assert audited == [f"consultation.{step}" for step in ("planned", "opened", "closed", "opened", "cancelled")]
    assert [topic for topic, _ in events] == audited
    assert all(data == {**visits.who, "kind": "visit"} for _, data in events)
