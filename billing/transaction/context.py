"""Where and as whom a unit of work acts: the clinic and the actor, read once when the unit begins."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select

from billing.errors import NotFound
from billing.model import CLINIC, Clinic, ClinicCode, ClinicPlugin, Department, Membership, NumberSeries, Staff
from billing.model.types import NIL_ID
from billing.money import Currency, currency
from billing.transaction.scope import scope_calls
from billing.trips import Query, Trips


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

    def department(self, code: str) -> DepartmentFacts | None:
        """Return the department with this code, if the clinic has it."""
        return next((each for each in self.departments if each.code == code), None)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a member of staff, with what they may do in this clinic."""

    id: str
    login: str
    name: str
    role: str
    permissions: frozenset[str]
    membership_id: str | None = None
    operator: bool = False


NOBODY = Actor(id=NIL_ID, login="", name="", role="", permissions=frozenset())
"""Who acts before anybody exists."""

Permissions = Callable[[str, Mapping[str, Any], Collection[str]], frozenset[str]]
"""Answers what a role may do, by the clinic's policy and its enabled plugins."""

_CLINIC_ID = Query(select(ClinicCode.clinic_id).where(ClinicCode.code == bindparam("code")))
_STAFF = Query(select(Staff.id, Staff.login, Staff.name, Staff.is_operator, Staff.active).where(Staff.login == bindparam("login")))
_CLINIC = Query(select(*Clinic.__table__.columns).where(Clinic.clinic_id == CLINIC))
_MEMBER = Query(
    select(Membership.id, Membership.role, Membership.active)
    .join(Staff, Staff.id == Membership.staff_id)
    .where(Membership.clinic_id == CLINIC, Staff.login == bindparam("login"))
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
    return _actor(trips.trip([(prepared, prepared.encode({"login": login}))])[0], login, (), {}, (), permissions, code=None)


def read_context(trips: Trips, *, clinic_id: str, code: str, login: str, permissions: Permissions) -> tuple[ClinicFacts, Actor]:
    """Return clinic and actor of a unit, in one trip. Raises `UnknownActor`, and `UnknownClinic` for who has no place in it too."""
    queries = (_STAFF, _MEMBER, _CLINIC, _DEPARTMENTS, _PLUGINS, _SERIES)
    values = {"clinic_id": clinic_id, "login": login}
    prepared = [query.prepared(trips.dialect) for query in queries]
    scope = scope_calls(trips.dialect, clinic_id)
    answers = trips.trip([*scope, *((each, each.encode(values)) for each in prepared)])
    staff, member, clinic, departments, plugins, series = answers[len(scope) :]
    settings = {row.plugin: row.settings for row in plugins}
    row = clinic[0]
    facts = ClinicFacts(
        id=row.clinic_id,
        code=row.code,
        name=row.name,
        currency=currency(row.currency),
        time_zone=row.time_zone,
        language=row.language,
        rounding=row.rounding,
        prices_include_tax=row.prices_include_tax,
        payment_days=row.payment_days,
        policy=row.policy,
        departments=tuple(DepartmentFacts(*each) for each in departments),
        settings=settings,
        series=tuple(SeriesFacts(*each) for each in series),
        address=row.address,
        tax_number=row.tax_number,
    )
    return facts, _actor(staff, login, member, row.policy, settings, permissions, code=code)


def _actor(
    staff: Sequence[Any],
    login: str,
    member: Sequence[Any],
    policy: Mapping[str, Any],
    plugins: Collection[str],
    permissions: Permissions,
    *,
    code: str | None,
) -> Actor:
    if not staff or not staff[0].active:
        raise UnknownActor(
            f"Nobody active signs in as {login!r}: name a member of staff with --as LOGIN, or run `billing init` first.", login=login
        )
    person = staff[0]
    if code is not None and not person.is_operator and not (member and member[0].active):
        raise _unknown_clinic(code)
    role = "operator" if person.is_operator else (member[0].role if member else "")
    return Actor(
        id=person.id,
        login=person.login,
        name=person.name,
        role=role,
        permissions=permissions(role, policy, plugins) if role else frozenset(),
        membership_id=member[0].id if member else None,
        operator=person.is_operator,
    )


def _unknown_clinic(code: str) -> UnknownClinic:
    return UnknownClinic(f"There is no clinic {code!r}: `billing clinic list` shows yours.", clinic=code)
