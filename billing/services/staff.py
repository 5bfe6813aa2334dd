"""Staff and providers: who is a member of a clinic, in which role, and who sees patients. Knows no password and no sign-in."""

import re
from dataclasses import dataclass

from sqlalchemy import Select, and_, or_, select

from billing import registry
from billing.changes.failures import explains
from billing.errors import Conflict, Invalid, NotFound, Refused
from billing.model import Membership, Staff
from billing.rules.roles import ROLES, Role, UnknownRole
from billing.rules.texts import BadText
from billing.services.inputs import behind, canonical_id, check_limit, check_line, check_source, find_row
from billing.transaction import Transaction

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


class BadLogin(Invalid):
    """The text can't be a login. Facts: `login`."""

    code = "bad_login"


@explains("uq_staff_login", "Somebody has just added this login: do it once more.")
class LoginJustAdded(Conflict):
    """Two clinics added the same person at the same moment."""

    code = "login_just_added"


@explains("uq_membership_staff_id", "This login is a member of the clinic already: change the role, or activate the membership.")
class AlreadyMember(Conflict):
    """The person has a place in this clinic, perhaps one that is not active."""

    code = "already_member"


@explains("uq_membership_source", "A provider of this source is here already.")
class ProviderSourceTaken(Conflict):
    """A provider came from this source before."""

    code = "provider_source_taken"


class UnknownMember(NotFound):
    """The clinic has no such member. Facts: `member`."""

    code = "unknown_member"


class UnknownProvider(NotFound):
    """The clinic has no such provider who sees patients now. Facts: `provider`."""

    code = "unknown_provider"


class AmbiguousProvider(Refused):
    """Several providers have this name. Facts: `provider`, `ids`."""

    code = "ambiguous_provider"


class LastAdmin(Refused):
    """A clinic keeps at least one active admin. Facts: `member`."""

    code = "last_admin"


class MemberUnchanged(Refused):
    """The member is as wanted already, or has no sign-in that a role would be for. Facts: `member`."""

    code = "member_unchanged"


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member of the clinic. `login` is None for a provider who does not sign in."""

    id: str
    staff_id: str | None
    login: str | None
    name: str
    role: str
    provider: bool
    active: bool


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """Who sees patients, by membership."""

    id: str
    name: str


def add_staff(tx: Transaction, *, login: str, name: str, role: str, provider: bool = False) -> MemberView:
    """Make a person a member of this clinic; a login that no clinic knows yet is added. A known person keeps the name that the others see.

    Raises `BadLogin`, `BadText`, `UnknownRole`, `AlreadyMember`.
    """
    tx.require("staff.manage")
    if not _LOGIN.fullmatch(login):
        raise BadLogin(f"{login[:40]!r} can't be a login: use small letters, digits and . _ @ + - (100 at most).", login=login)
    shown, granted = check_line(name, "The name"), _check_role(tx, role)
    person = tx.session.scalars(select(Staff).where(Staff.login == login)).one_or_none()
    if person is None:
        person = Staff(login=login, name=shown, is_operator=False, active=True, created_at=tx.at)
        tx.session.add(person)
        tx.session.flush()  # the membership refers to the person
    member = Membership(staff_id=person.id, name=shown, role=granted, provider=provider, active=True, created_at=tx.at)
    tx.session.add(member)
    tx.session.flush()  # gives the id, and says at once if the person is a member already
    tx.audit("staff.added", "membership", member.id, staff_id=person.id, role=granted, provider=provider)
    return _view(member, login)


def add_provider(tx: Transaction, *, name: str, source: str | None = None) -> ProviderFacts:
    """Add somebody who sees patients and does not sign in. Raises `BadText`, `ProviderSourceTaken`."""
    tx.require("providers.manage")
    member = Membership(
        name=check_line(name, "The name"),
        role=str(Role.CLINICIAN),
        provider=True,
        active=True,
        source=check_source(source),
        created_at=tx.at,
    )
    tx.session.add(member)
    tx.session.flush()  # gives the id, and says at once if the source is taken
    tx.audit("provider.added", "membership", member.id, source=member.source)
    return ProviderFacts(member.id, member.name)


def change_role(tx: Transaction, *, member: str, role: str) -> MemberView:
    """Give a member (by membership id or login) another role. Raises `UnknownMember`, `UnknownRole`, `LastAdmin`, `MemberUnchanged`."""
    tx.require("staff.manage")
    granted = _check_role(tx, role)
    row, login, other_admins = _locked(tx, member)
    if row.staff_id is None:
        raise MemberUnchanged("This provider does not sign in, so there is nothing that a role would allow.", member=member)
    if row.role == granted:
        raise MemberUnchanged(f"The role is {granted} already.", member=member)
    _keep_an_admin(row, other_admins)
    tx.audit("staff.role_changed", "membership", row.id, role=granted, was=row.role)
    row.role = granted
    return _view(row, login)


def deactivate_membership(tx: Transaction, *, member: str) -> MemberView:
    """End what a member (by membership id or login) may do here; what they did stays theirs. Raises as `change_role` does."""
    tx.require("staff.manage")
    row, login, other_admins = _locked(tx, member)
    if not row.active:
        raise MemberUnchanged("This membership is not active already.", member=member)
    _keep_an_admin(row, other_admins)
    row.active = False
    tx.audit("staff.deactivated", "membership", row.id)
    return _view(row, login)


def activate_membership(tx: Transaction, *, member: str) -> MemberView:
    """Let a member (by membership id or login) act here again. Raises `UnknownMember`, `MemberUnchanged`."""
    tx.require("staff.manage")
    row, login, _ = _locked(tx, member)
    if row.active:
        raise MemberUnchanged("This membership is active already.", member=member)
    row.active = True
    tx.audit("staff.activated", "membership", row.id)
    return _view(row, login)


def list_staff(tx: Transaction, *, providers: bool = False, limit: int = 100, after: str | None = None) -> tuple[MemberView, ...]:
    """Return members by name, those that are not active too; `providers` leaves out who sees no patients. `after` is a page's last id.

    Everybody who works with consultations may see who works here. Raises `UnknownMember` for another `after`.
    """
    tx.require("consultations.read")
    statement = _members().order_by(Membership.name, Membership.id).limit(check_limit(limit))
    if providers:
        statement = statement.where(Membership.provider)
    if after is not None:
        last = find_row(tx, Membership, after)
        if last is None:
            raise _unknown_member(after)
        statement = statement.where(behind(Membership.name, last.name, Membership.id, last.id))
    return tuple(_view(row, login) for row, login in tx.session.execute(statement))


def find_provider(tx: Transaction, text: str) -> ProviderFacts:
    """Return the active provider with this membership id, login or exact name, tried in this order.

    Raises `UnknownProvider`, and `AmbiguousProvider` where several have the name.
    """
    tx.require("consultations.read")
    try:
        wanted = check_line(text, "The provider")
    except BadText:
        raise _unknown_provider(text) from None
    seen = select(Membership.id, Membership.name).where(Membership.provider, Membership.active)
    for condition in (
        Membership.id == canonical_id(wanted),
        Membership.staff_id.in_(select(Staff.id).where(Staff.login == wanted)),
        Membership.name == wanted,
    ):
        found = tx.session.execute(seen.where(condition).order_by(Membership.id)).all()
        if len(found) > 1:
            ids = tuple(row.id for row in found)
            raise AmbiguousProvider(
                f"{len(ids)} providers have this name: give one of the ids {', '.join(ids[:5])}.", provider=wanted, ids=ids
            )
        if found:
            return ProviderFacts(*found[0])
    raise _unknown_provider(text)


def _check_role(tx: Transaction, role: str) -> str:
    # The operator is a role of the installation: nobody in a clinic can give all permissions away.
    by_plugins = {granted for plugin in registry.of(tx).enabled(tx.clinic) for granted in plugin.declaration.grants}
    known = {*map(str, ROLES), *by_plugins} - {Role.OPERATOR}
    if role not in known:
        raise UnknownRole(f"{role[:40]!r} is no role that can be given here: choose from {', '.join(sorted(known))}.", role=role)
    return role


def _locked(tx: Transaction, member: str) -> tuple[Membership, str | None, list[Membership]]:
    """Lock a member and all active admins, in one order, so that two admins can't demote each other; return also the other admins."""
    by_login = Membership.staff_id.in_(select(Staff.id).where(Staff.login == member)) if _LOGIN.fullmatch(member) else None
    known = canonical_id(member)
    wanted = Membership.id == known if known else by_login
    if wanted is None:
        raise _unknown_member(member)
    admins = and_(Membership.role == str(Role.ADMIN), Membership.active)
    rows = tx.session.scalars(
        select(Membership).where(or_(wanted, admins)).order_by(Membership.id).with_for_update().execution_options(populate_existing=True)
    ).all()
    found = tx.session.execute(_members().where(wanted)).one_or_none()
    if found is None:
        raise _unknown_member(member)
    row, login = found
    return row, login, [each for each in rows if each is not row and each.role == Role.ADMIN and each.active]


def _keep_an_admin(member: Membership, other_admins: list[Membership]) -> None:
    if member.role == Role.ADMIN and member.active and not other_admins:
        raise LastAdmin("This is the clinic's last active admin: make somebody else an admin first.", member=member.id)


def _members() -> Select[Membership, str | None]:
    return select(Membership, Staff.login).join(Staff, Staff.id == Membership.staff_id, isouter=True)


def _view(row: Membership, login: str | None) -> MemberView:
    return MemberView(row.id, row.staff_id, login, row.name, row.role, row.provider, row.active)


def _unknown_member(member: str) -> UnknownMember:
    return UnknownMember(f"There is no member {member[:60]!r} in this clinic: `billing staff list` shows who is there.", member=member)


def _unknown_provider(text: str) -> UnknownProvider:
    return UnknownProvider(
        f"There is no active provider {text[:60]!r} in this clinic: give a membership id, a login or the exact name.", provider=text
    )
