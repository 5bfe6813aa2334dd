from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from billing.model import AuditEntry, Staff
from billing.plugin import Declaration, hookimpl
from billing.rules.roles import UnknownRole
from billing.rules.texts import BadText
from billing.services import staff
from billing.testing.shelf import Desk
from billing.testing.world import World
from billing.transaction import PermissionMissing, Transaction, UnknownActor, UnknownClinic

HOSTILE = ["", "  ", "a\0b", "a\x1bb", "a\nb", "a\N{LINE SEPARATOR}b", "\ud800", "x" * 1_000_000]

Beside = Callable[[Callable[[Transaction], Any], Callable[[Transaction], Any]], Future[Any]]


def add(world: World, login: str, role: str = "cashier", **options: Any) -> staff.MemberView:
    clinic = options.pop("clinic", None)
    return world.run(
        lambda tx: staff.add_staff(tx, login=login, name=options.pop("name", login.title()), role=role, **options), clinic=clinic
    )


def audited(world: World, action: str) -> list[dict[str, Any]]:
    return list(world.read(lambda tx: tx.session.scalars(select(AuditEntry.data).where(AuditEntry.action == action)).all()))


def test_person_added_can_act_in_the_clinic_by_the_role(world: World) -> None:
    made = add(world, "anna", "manager", provider=True)

    actor = world.read(lambda tx: tx.actor, actor="anna")
    assert (actor.role, actor.membership_id) == ("manager", made.id)
    assert made == staff.MemberView(made.id, actor.id, "anna", "Anna", "manager", provider=True, active=True)
    assert audited(world, "staff.added") == [{"staff_id": actor.id, "role": "manager", "provider": True}]


def test_person_of_another_clinic_gets_a_place_here_and_stays_one_person(world: World) -> None:
    there = add(world, "anna", "admin", clinic="south")

    here = add(world, "anna", "cashier", name="Anna of North")

    assert here.staff_id == there.staff_id
    assert here.id != there.id
    assert world.read(lambda tx: tx.session.scalars(select(Staff.name).where(Staff.login == "anna")).all()) == ["Anna"]


def test_role_in_one_clinic_is_none_in_another(world: World) -> None:
    add(world, "anna", "admin", clinic="south")

    with pytest.raises(UnknownClinic):
        world.read(lambda tx: tx.actor, actor="anna")


def test_member_can_not_be_added_twice(world: World) -> None:
    add(world, "anna")

    with pytest.raises(staff.AlreadyMember, match="member of the clinic already"):
        add(world, "anna", "manager")


def test_person_added_by_two_at_once_is_added_once(world: World, beside: Beside) -> None:
    def unit(tx: Transaction) -> staff.MemberView:
        return staff.add_staff(tx, login="anna", name="Anna", role="cashier")

    second = beside(unit, unit)

    assert isinstance(second.exception(), (staff.LoginJustAdded, staff.AlreadyMember))
    assert len(world.read(staff.list_staff)) == 1


def test_login_that_nobody_could_type_is_refused(world: World) -> None:
    for login in [*HOSTILE, "Anna", "-anna", "anna müller", "änna", "anna;drop"]:
        with pytest.raises(staff.BadLogin):
            add(world, login, name="Anna")

    assert world.read(staff.list_staff) == ()


def test_name_that_can_not_be_printed_is_refused(world: World) -> None:
    for name in HOSTILE:
        with pytest.raises(BadText, match="The name"):
            add(world, "anna", name=name)
        with pytest.raises(BadText, match="The name"):
            world.run(partial(staff.add_provider, name=name))


def test_names_of_every_script_come_back_as_they_were(world: World) -> None:
    names = ["Zoë Ångström-O'Neill", "王小明", "عائشة", "=cmd|' /C calc'!A0", "Ωμέγα"]

    for place, name in enumerate(names):
        add(world, f"someone{place}", name=name)

    assert {each.name for each in world.read(staff.list_staff)} == set(names)


def test_role_that_a_clinic_can_not_give_is_refused(world: World) -> None:
    for role in ("operator", "owner", "", "Admin", "x" * 1_000_000, "a\0b"):
        with pytest.raises(UnknownRole, match="choose from admin, auditor, cashier, clinician, importer, manager"):
            add(world, "anna", role)


def test_role_of_an_enabled_plugin_can_be_given(database_url: str) -> None:
    class Ward(Desk):
        @hookimpl
        def declare(self) -> Declaration:
            return Declaration(grants={"nurse": ("patients.read",)})

    world = World(database_url, plugins={"ward": Ward()})

    made = add(world, "nora", "nurse")

    assert world.read(lambda tx: tx.actor.permissions, actor="nora") == {"patients.read"}
    assert made.role == "nurse"
    world.dispose()


def test_only_an_admin_manages_staff(world: World, hire: Callable[[str], str]) -> None:
    for role in ("clinician", "cashier", "manager", "auditor", "importer"):
        login = hire(role)
        for unit in (
            partial(staff.add_staff, login="anna", name="Anna", role="admin"),
            partial(staff.change_role, member=login, role="admin"),
            partial(staff.deactivate_membership, member=login),
            partial(staff.activate_membership, member=login),
        ):
            with pytest.raises(PermissionMissing):
                world.run(unit, actor=login)

    assert all(each.login == f"the-{each.role}" and each.active for each in world.read(staff.list_staff))


def test_admin_adds_staff_and_providers(world: World, hire: Callable[[str], str]) -> None:
    admin = hire("admin")

    world.run(lambda tx: staff.add_staff(tx, login="anna", name="Anna", role="cashier"), actor=admin)
    world.run(lambda tx: staff.add_provider(tx, name="Dr Who"), actor=admin)

    assert [each.name for each in world.read(staff.list_staff)] == ["Anna", "Dr Who", "The admin"]


def test_provider_does_not_sign_in(world: World) -> None:
    made = world.run(lambda tx: staff.add_provider(tx, name="Dr Who", source="gallifrey-1"))

    listed = world.read(lambda tx: staff.list_staff(tx, providers=True))
    assert listed == (staff.MemberView(made.id, None, None, "Dr Who", "clinician", provider=True, active=True),)
    with pytest.raises(UnknownActor):
        world.read(lambda tx: tx.actor, actor="Dr Who")


def test_source_brings_one_provider_to_a_clinic(world: World) -> None:
    world.run(lambda tx: staff.add_provider(tx, name="Dr Who", source="gallifrey-1"))
    world.run(lambda tx: staff.add_provider(tx, name="Dr Who", source="gallifrey-1"), clinic="south")

    with pytest.raises(staff.ProviderSourceTaken):
        world.run(lambda tx: staff.add_provider(tx, name="Another", source="gallifrey-1"))


def test_role_is_changed_by_login_or_id(world: World) -> None:
    made = add(world, "anna")

    world.run(lambda tx: staff.change_role(tx, member="anna", role="manager"))
    changed = world.run(lambda tx: staff.change_role(tx, member=made.id.upper(), role="auditor"))

    assert (changed.id, changed.role) == (made.id, "auditor")
    assert world.read(lambda tx: tx.actor.role, actor="anna") == "auditor"
    assert audited(world, "staff.role_changed") == [{"role": "manager", "was": "cashier"}, {"role": "auditor", "was": "manager"}]


def test_role_of_who_does_not_sign_in_and_the_same_role_change_nothing(world: World) -> None:
    add(world, "anna")
    provider = world.run(lambda tx: staff.add_provider(tx, name="Dr Who"))

    with pytest.raises(staff.MemberUnchanged, match="already"):
        world.run(lambda tx: staff.change_role(tx, member="anna", role="cashier"))
    with pytest.raises(staff.MemberUnchanged, match="does not sign in"):
        world.run(lambda tx: staff.change_role(tx, member=provider.id, role="cashier"))


def test_member_who_is_deactivated_can_not_act_until_activated(world: World) -> None:
    add(world, "anna")

    world.run(lambda tx: staff.deactivate_membership(tx, member="anna"))
    with pytest.raises(UnknownClinic):
        world.read(lambda tx: tx.actor, actor="anna")
    with pytest.raises(staff.MemberUnchanged):
        world.run(lambda tx: staff.deactivate_membership(tx, member="anna"))

    world.run(lambda tx: staff.activate_membership(tx, member="anna"))
    assert world.read(lambda tx: tx.actor.login, actor="anna") == "anna"
    with pytest.raises(staff.MemberUnchanged):
        world.run(lambda tx: staff.activate_membership(tx, member="anna"))


@pytest.mark.parametrize(
    "unit",
    [
        lambda tx, member: staff.deactivate_membership(tx, member=member),
        lambda tx, member: staff.change_role(tx, member=member, role="manager"),
    ],
    ids=["deactivate", "demote"],
)
def test_last_admin_stays_whoever_asks(world: World, unit: Callable[[Transaction, str], Any]) -> None:
    add(world, "anna", "admin")
    add(world, "abroad", "admin", clinic="south")
    add(world, "idle", "admin")
    world.run(lambda tx: staff.deactivate_membership(tx, member="idle"))

    for actor in ("anna", "operator"):
        with pytest.raises(staff.LastAdmin, match="make somebody else an admin first"):
            world.run(lambda tx: unit(tx, "anna"), actor=actor)

    add(world, "berta", "admin")
    assert world.run(lambda tx: unit(tx, "anna"), actor="anna").login == "anna"


def test_two_admins_can_not_demote_each_other_at_once(world: World, beside: Beside) -> None:
    add(world, "anna", "admin")
    add(world, "berta", "admin")

    second = beside(
        lambda tx: staff.change_role(tx, member="anna", role="cashier"), lambda tx: staff.deactivate_membership(tx, member="berta")
    )

    assert isinstance(second.exception(), staff.LastAdmin)
    assert {each.login: each.role for each in world.read(staff.list_staff)} == {"anna": "cashier", "berta": "admin"}


def test_member_of_no_clinic_or_of_another_is_not_found(world: World) -> None:
    abroad = add(world, "abroad", clinic="south")

    for member in [*HOSTILE, "nobody", "01890000-0000-7000-8000-000000000000", "abroad", abroad.id]:
        for unit in (
            partial(staff.deactivate_membership, member=member),
            partial(staff.activate_membership, member=member),
            partial(staff.change_role, member=member, role="cashier"),
        ):
            with pytest.raises(staff.UnknownMember, match="There is no member"):
                world.run(unit)


def test_list_goes_on_behind_a_member_and_shows_only_this_clinic(world: World) -> None:
    for login in ("carl", "anna", "berta", "dora"):
        add(world, login, name="Same Name" if login in {"berta", "carl"} else login.title())
    abroad = add(world, "abroad", clinic="south")

    seen: list[str | None] = []
    after = None
    while page := world.read(partial(staff.list_staff, limit=1, after=after)):
        seen.append(page[0].login)
        after = page[0].id

    assert seen == [each.login for each in world.read(staff.list_staff)]
    assert set(seen) == {"anna", "berta", "carl", "dora"}
    with pytest.raises(staff.UnknownMember):
        world.read(lambda tx: staff.list_staff(tx, after=abroad.id))


def test_provider_is_found_by_id_login_and_name(world: World) -> None:
    anna = add(world, "anna", provider=True, name="Dr Anna Zoë")
    who = world.run(lambda tx: staff.add_provider(tx, name="Dr Who"))

    for text in (anna.id, anna.id.upper(), "anna", "Dr Anna Zoë", "  Dr Anna Zoë "):
        assert world.read(lambda tx: staff.find_provider(tx, text)) == staff.ProviderFacts(anna.id, "Dr Anna Zoë")  # noqa: B023 - run at once
    assert world.read(lambda tx: staff.find_provider(tx, "Dr Who")).id == who.id


def test_name_of_two_providers_is_answered_with_their_ids(world: World) -> None:
    ids = {world.run(lambda tx: staff.add_provider(tx, name="Dr Who")).id for _ in range(2)}

    with pytest.raises(staff.AmbiguousProvider) as refused:
        world.read(lambda tx: staff.find_provider(tx, "Dr Who"))

    assert set(refused.value.facts["ids"]) == ids  # type: ignore[call-overload]
    assert all(each in refused.value.sentence for each in ids)


def test_who_sees_no_patients_here_now_is_no_provider(world: World) -> None:
    world.run(lambda tx: staff.add_provider(tx, name="Dr Who"))
    world.run(lambda tx: staff.add_provider(tx, name="abroad"), clinic="south")
    add(world, "cashier", name="cashier")
    add(world, "idle", name="idle", provider=True)
    world.run(lambda tx: staff.deactivate_membership(tx, member="idle"))

    for text in [*HOSTILE, "dr who", "Dr%", "cashier", "idle", "abroad"]:
        with pytest.raises(staff.UnknownProvider, match="There is no active provider"):
            world.read(lambda tx: staff.find_provider(tx, text))  # noqa: B023 - run at once
