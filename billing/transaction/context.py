"""Where and as whom a unit of work acts: the clinic and the actor, read once when the unit begins."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import bindparam, select

from billing.errors import NotFound
from billing.model import CLINIC, AuditHead, Clinic, ClinicCode, ClinicPlugin, Department, Membership, NumberSeries, Shift, Staff
from billing.model.types import NIL_ID
from billing.money import Currency, currency
from billing.transaction.scope import scope_calls
from billing.trips import Call, Query, Row, Trips


class UnknownClinic(NotFound):
    """There is no such clinic for this actor. Facts: `clinic`."""

    code = "unknown_clinic"


class UnknownActor(NotFound):
    """Nobody active signs in by this name. Facts: `login`."""

    code = "unknown_actor"


@dataclass(frozen=True, slots=True)
class DepartmentFacts:
    """A department of the clinic, in the clinic's order."""

    code: str
    plugin: str
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A number series of the clinic; the standard one of its kind is used where none is named."""

    series: str
    kind: str
    format: str
    reset: str
    start_value: int
    standard: bool


@dataclass(frozen=True, slots=True)
class ClinicFacts:
    """The clinic of a unit, as it stood when the unit began. `settings` are the enabled plugins' settings by plugin name."""

    id: str
    code: str
    name: str
    currency: Currency
    time_zone: str
    language: str
    rounding: str
    prices_include_tax: bool
    payment_days: int
    policy: Mapping[str, Any]
    departments: tuple[DepartmentFacts, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    series: tuple[SeriesFacts, ...] = ()
    address: str = ""
    tax_number: str = ""
    closed_through: date | None = None
    """The last day of the latest closed month."""

    def department(self, code: str) -> DepartmentFacts | None:
        """Return the department with this code, if the clinic has it."""
        return next((each for each in self.departments if each.code == code), None)


@dataclass(frozen=True, slots=True)
class ShiftFacts:
    """The open shift of who acts."""

    id: str
    kind: str
    drawer: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a member of staff, with what they may do in this clinic, and their open shift."""

    id: str
    login: str
    name: str
    role: str
    permissions: frozenset[str]
    membership_id: str | None = None
    operator: bool = False
    shift: ShiftFacts | None = None


NOBODY = Actor(id=NIL_ID, login="", name="", role="", permissions=frozenset())
"""Who acts before anybody exists."""

Permissions = Callable[[str, Mapping[str, Any], Collection[str]], frozenset[str]]
"""Answers what a role may do, by the clinic's policy and its enabled plugins."""


@dataclass(frozen=True, slots=True)
class Context:
    """A clinic and an actor as they were read once, and the row by which each later unit asks whether that still holds."""

    clinic: ClinicFacts
    actor: Actor
    check: Row
    opening: Sequence[Call]
    """What a unit with this context opens with, behind its BEGIN: the name of the clinic, and the question."""


_CHECK = Query(
    select(
        Clinic.revision,
        Staff.id.label("staff_id"),
        Staff.login,
        Staff.name,
        Staff.is_operator,
        Staff.active,
        Membership.id.label("membership_id"),
        Membership.role,
        Membership.active.label("member"),
        Shift.id.label("shift_id"),
        Shift.kind.label("shift_kind"),
        Shift.drawer.label("shift_drawer"),
    )
    .select_from(Clinic)
    .join(Staff, Staff.login == bindparam("login"))
    .outerjoin(Membership, (Membership.clinic_id == Clinic.clinic_id) & (Membership.staff_id == Staff.id))
    .outerjoin(Shift, (Shift.clinic_id == Clinic.clinic_id) & (Shift.cashier_id == Staff.id) & Shift.closed_at.is_(None))
    .where(Clinic.clinic_id == CLINIC)
)
"""Who acts, in which shift, and the revision of the clinic's set-up: it is another one after each change of the rows that `ClinicFacts` are made of."""

_CLINIC_ID = Query(select(ClinicCode.clinic_id).where(ClinicCode.code == bindparam("code")))
_STAFF = Query(select(Staff.id, Staff.login, Staff.name, Staff.is_operator, Staff.active).where(Staff.login == bindparam("login")))
_CLINIC = Query(
    select(*Clinic.__table__.columns, AuditHead.closed_through)
    .outerjoin(AuditHead, AuditHead.clinic_id == Clinic.clinic_id)
    .where(Clinic.clinic_id == CLINIC)
)
_DEPARTMENTS = Query(
    select(Department.code, Department.plugin, Department.name, Department.position)
    .where(Department.clinic_id == CLINIC)
    .order_by(Department.position, Department.code)
)
_PLUGINS = Query(select(ClinicPlugin.plugin, ClinicPlugin.settings).where(ClinicPlugin.clinic_id == CLINIC, ClinicPlugin.enabled))
_SERIES = Query(
    select(NumberSeries.series, NumberSeries.kind, NumberSeries.format, NumberSeries.reset, NumberSeries.start_value, NumberSeries.standard)
    .where(NumberSeries.clinic_id == CLINIC)
    .order_by(NumberSeries.series)
)


def read_clinic_id(trips: Trips, code: str) -> str:
    """Return the id of the clinic with this code. It never changes, so the boundary keeps it. Raises `UnknownClinic`."""
    prepared = _CLINIC_ID.prepared(trips.dialect)
    found = trips.trip([(prepared, prepared.encode({"code": code}))])[0]
    if not found:
        raise _unknown_clinic(code)
    return str(found[0].clinic_id)


def read_actor(trips: Trips, login: str, permissions: Permissions) -> Actor:
    """Return who acts outside of any clinic: only the operator may do anything there. Raises `UnknownActor`."""
    prepared = _STAFF.prepared(trips.dialect)
    found = trips.trip([(prepared, prepared.encode({"login": login}))])[0]
    if not found or not found[0].active:
        raise _unknown_actor(login)
    person = found[0]
    role = "operator" if person.is_operator else ""
    allowed = permissions(role, {}, ()) if role else frozenset()
    return Actor(person.id, person.login, person.name, role, allowed, operator=person.is_operator)


def context_calls(dialect: str, clinic_id: str, login: str) -> list[Call]:
    """Return the calls that name the clinic and read the whole context of a unit; the last one asks for the row by which it is kept."""
    values = {"clinic_id": clinic_id, "login": login}
    found = [query.prepared(dialect) for query in (_CLINIC, _DEPARTMENTS, _PLUGINS, _SERIES, _CHECK)]
    return [*scope_calls(dialect, clinic_id), *((prepared, prepared.encode(values)) for prepared in found)]


def still_holds(kept: Context, rows: Sequence[Row]) -> bool:
    """Say whether a kept context is what the database says now."""
    return bool(rows) and rows[0] == kept.check


def context_from(calls: Sequence[Call], rows: Sequence[Sequence[Row]], code: str, login: str, permissions: Permissions) -> Context:
    """Return the whole context from the rows of its calls. Raises `UnknownActor`, and `UnknownClinic` for who has no place in it too."""
    (clinic,), departments, plugins, series, found = rows[-5:]
    if not found or not found[0].active:
        raise _unknown_actor(login)
    check = found[0]
    if not check.is_operator and not check.member:
        raise _unknown_clinic(code)
    settings = {row.plugin: row.settings for row in plugins}
    role = "operator" if check.is_operator else check.role
    actor = Actor(
        id=check.staff_id,
        login=check.login,
        name=check.name,
        role=role,
        permissions=permissions(role, clinic.policy, settings),
        membership_id=check.membership_id,
        operator=check.is_operator,
        shift=None if check.shift_id is None else ShiftFacts(check.shift_id, check.shift_kind, check.shift_drawer),
    )
    return Context(_facts(clinic, departments, settings, series), actor, check, [*calls[:-5], calls[-1]])


def _facts(clinic: Row, departments: Sequence[Row], settings: Mapping[str, Any], series: Sequence[Row]) -> ClinicFacts:
    return ClinicFacts(
        id=clinic.clinic_id,
        code=clinic.code,
        name=clinic.name,
        currency=currency(clinic.currency),
        time_zone=clinic.time_zone,
        language=clinic.language,
        rounding=clinic.rounding,
        prices_include_tax=clinic.prices_include_tax,
        payment_days=clinic.payment_days,
        policy=clinic.policy,
        departments=tuple(DepartmentFacts(*each) for each in departments),
        settings=settings,
        series=tuple(SeriesFacts(*each) for each in series),
        address=clinic.address,
        tax_number=clinic.tax_number,
        closed_through=clinic.closed_through,
    )


def _unknown_actor(login: str) -> UnknownActor:
    return UnknownActor(
        f"Nobody active signs in as {login!r}: name a member of staff with --as LOGIN, or run `billing init` first.", login=login
    )


def _unknown_clinic(code: str) -> UnknownClinic:
    return UnknownClinic(f"There is no clinic {code!r}: `billing clinic list` shows yours.", clinic=code)
