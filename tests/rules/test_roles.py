"""The role table: each cell of it, what policies and plugins add, and what nobody but the operator may."""

import pytest

from billing.errors import Invalid
from billing.rules.roles import (
    CASHIER_CREATES_INVOICES,
    OPERATOR,
    PERMISSIONS,
    POLICY_GRANTS,
    ROLES,
    Permission,
    Role,
    UnknownRole,
    describe,
    permissions_of,
)

NAMES = [permission.name for permission in PERMISSIONS]

# One line a permission, one column a role: clinician, cashier, manager, auditor, admin, importer. The operator has all.
MATRIX = """
clinics.manage        . . . . x .
staff.manage          . . . . x .
providers.manage      . . . . x x
plugins.manage        . . . . x .
departments.manage    . . . . x .
series.manage         . . . . x .
patients.read         x x x x x x
patients.write        x x . . x x
prices.read           x x x x x x
prices.manage         . . x . . x
prices.override       . . x . . x
consultations.read    x x x x x x
consultations.manage  x . . . x x
invoices.read         x x x x x x
invoices.create       x . . . x x
invoices.free_text    . . x . . .
invoices.issue        x x . . x x
invoices.cancel       . . x . . .
payments.take         . x . . . x
payments.reverse      . x x . . .
payments.void         . . x . . .
payments.refund       . . x . . .
invoices.write_off    . . x . . .
approvals.give        . . x . . .
discounts.approve     . . x . . .
discounts.manage      . . x . . .
wallets.read          x x x x . .
wallets.use           . x . . . x
shifts.work           . x x . . x
shifts.read           . . x x x .
payers.read           x x x x x x
payers.manage         . . x . x x
claims.manage         . . x . . x
periods.close         . . x . . .
accounts.manage       . . x . x .
journal.read          . . x x . .
reports.read          . . x x . .
reminders.send        . . x . . .
receipts.print        . x x . . .
documents.read        x x x x x x
exports.read          . . x x . .
imports.run           . . . . . x
dates.backdate        . . . . . x
audit.read            . . x x x .
audit.verify          . . . x . .
doctor.run            . . x x x .
backups.make          . . . . . .
"""
ROWS = [line.split() for line in MATRIX.strip().splitlines()]
COLUMNS = [role for role in Role if role is not Role.OPERATOR]
CELLS = [(role, row[0], mark == "x") for row in ROWS for role, mark in zip(COLUMNS, row[1:], strict=True)]


@pytest.mark.parametrize(("role", "permission", "granted"), CELLS)
def test_each_cell_of_the_role_matrix(role: Role, permission: str, *, granted: bool) -> None:
    assert (permission in permissions_of(role)) is granted


def test_matrix_has_a_row_for_each_permission() -> None:
    assert [row[0] for row in ROWS] == NAMES


def test_roles_grant_only_declared_permissions() -> None:
    granted = {name for names in ROLES.values() for name in names} | {name for _, names in POLICY_GRANTS.values() for name in names}

    assert granted == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_operator_has_every_permission_that_of_plugins_too() -> None:
    grants = {"clinician": ["orders.place"], "taxidermist": ["owls.stuff"]}

    assert permissions_of(OPERATOR, plugin_grants=grants) == {*NAMES, "orders.place", "owls.stuff"}


def test_administration_is_no_right_to_money() -> None:
    money = {"payments.take", "prices.override", "prices.manage", "invoices.free_text", "invoices.cancel", "dates.backdate"}
    back = {"payments.reverse", "payments.void", "payments.refund", "invoices.write_off", "approvals.give", "discounts.approve"}
    moved = {"wallets.use", "shifts.work", "claims.manage", "periods.close"}

    assert not permissions_of(Role.ADMIN) & (money | back | moved)


def test_who_takes_money_begins_a_reversal_and_cannot_finish_it_alone() -> None:
    cashier = permissions_of(Role.CASHIER)

    assert {"payments.take", "payments.reverse"} <= cashier
    assert not cashier & {"payments.void", "payments.refund", "invoices.write_off", "approvals.give", "discounts.approve"}
    assert "payments.take" not in permissions_of(Role.MANAGER)


def test_auditor_reads_everything_and_changes_nothing() -> None:
    changing = {name for name in permissions_of(Role.AUDITOR) if not name.endswith((".read", ".verify", ".run"))}

    assert changing == set()
    assert {name for name in NAMES if name.endswith(".read")} <= permissions_of(Role.AUDITOR)


def test_cashier_creates_invoices_only_where_the_clinic_allows_it() -> None:
    allowed = permissions_of(Role.CASHIER, policy_flags={CASHIER_CREATES_INVOICES})

    assert allowed - permissions_of(Role.CASHIER) == {"invoices.create"}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CASHIER])
def test_policy_for_cashiers_changes_no_other_role(role: Role) -> None:
    assert permissions_of(role, policy_flags={CASHIER_CREATES_INVOICES}) == permissions_of(role)


def test_plugin_adds_permissions_to_the_roles_that_it_names() -> None:
    grants = {"clinician": ["results.enter", "results.verify"], "cashier": ["results.read"]}

    assert permissions_of("clinician", plugin_grants=grants) - permissions_of("clinician") == {"results.enter", "results.verify"}
    assert permissions_of("cashier", plugin_grants=grants) - permissions_of("cashier") == {"results.read"}
    assert permissions_of("manager", plugin_grants=grants) == permissions_of("manager")


def test_role_of_a_plugin_has_what_the_plugin_grants() -> None:
    assert permissions_of("groomer", plugin_grants={"groomer": ["patients.read", "baths.give"]}) == {"patients.read", "baths.give"}


@pytest.mark.parametrize("role", ["", "boss", "Cashier", "vet", "clinician "])
def test_unknown_role_is_refused_with_the_known_ones(role: str) -> None:
    with pytest.raises(UnknownRole, match="admin, auditor, cashier, clinician, groomer, importer, manager, operator") as refusal:
        permissions_of(role, plugin_grants={"groomer": []})

    assert refusal.value.code == "unknown_role"
    assert isinstance(refusal.value, Invalid)
    assert refusal.value.role == role


@pytest.mark.parametrize("role", Role)
def test_policy_about_something_else_grants_nothing(role: Role) -> None:
    assert permissions_of(role, policy_flags=["number_at_issue", "cash_needs_shift"]) == permissions_of(role)


def test_description_is_the_table() -> None:
    rows = {row.name: row for row in describe()}

    assert list(rows) == NAMES
    for role in Role:
        assert {name for name, row in rows.items() if role in row.roles} == permissions_of(role)
    assert rows["invoices.create"].by_policy == (("cashier", CASHIER_CREATES_INVOICES),)
    assert all(row.by_policy == () for name, row in rows.items() if name != "invoices.create")


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda permission: permission.name)
def test_permission_is_described_for_people(permission: Permission) -> None:
    described = {row.name: row.description for row in describe()}

    text = described[permission.name]

    assert text == permission.description
    assert text.endswith(".")
    assert text[0].isupper()
