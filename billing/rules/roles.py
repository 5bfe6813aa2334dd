"""Who may do what: permissions and roles as one table, for services, interfaces, docs and tests. It must not know staff or clinics.

The smallest sensible roles: who takes money can't give it back alone, an approval is never one's own, and running the installation is no
right to money.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from billing.errors import Invalid


class UnknownRole(Invalid):
    """There is no role of that name, in the core or a plugin. Facts: `role`."""

    code = "unknown_role"


class Role(StrEnum):
    """The core's roles; plugins may add some. Operator is the local one that sets the installation up: everything, audited."""

    CLINICIAN = "clinician"
    CASHIER = "cashier"
    MANAGER = "manager"
    AUDITOR = "auditor"
    ADMIN = "admin"
    IMPORTER = "importer"
    OPERATOR = "operator"


OPERATOR = Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Permission:
    """The right to one kind of act, named noun.verb."""

    name: str
    description: str


PERMISSIONS: tuple[Permission, ...] = (
    Permission("clinics.manage", "Create clinics and set their policies, language, taxes and time zone."),
    Permission("staff.manage", "Add staff, and give and take their roles."),
    Permission("providers.manage", "Add those who see patients, without a sign-in."),
    Permission("plugins.manage", "Enable and disable plugins for a clinic and change their settings."),
    Permission("departments.manage", "Name departments and set the order in which they are settled."),
    Permission("series.manage", "Set the number formats of invoices, receipts and credit notes."),
    Permission("patients.read", "See clients and patients."),
    Permission("patients.write", "Add and change clients and patients."),
    Permission("prices.read", "See the price list and its history."),
    Permission("prices.manage", "Change the price list."),
    Permission("prices.override", "Give an item another price than that of the price list."),
    Permission("consultations.read", "See consultations."),
    Permission("consultations.manage", "Open and close consultations and order during them."),
    Permission("invoices.read", "See invoices and payments."),
    Permission("invoices.create", "Create invoices and edit drafts."),
    Permission("invoices.free_text", "Bill items that are not on the price list."),
    Permission("invoices.issue", "Issue invoices."),
    Permission("invoices.cancel", "Cancel invoices of which nothing is paid."),
    Permission("payments.take", "Take payments."),
    Permission("payments.reverse", "Begin a void, refund, return or write-off; somebody else's approval may be needed."),
    Permission("payments.void", "Void a payment, and approve that."),
    Permission(
        "payments.refund", "Give money back: refunds, returns, cancellations after payment, pay-outs of a wallet; and approve that."
    ),
    Permission("invoices.write_off", "Write off what is due, and approve that."),
    Permission("approvals.give", "Give an approval, of what one may do oneself."),
    Permission("discounts.approve", "Approve discounts beyond the limit of a role."),
    Permission("discounts.manage", "Add and end discount codes."),
    Permission("wallets.read", "See the wallets of clients and their statements."),
    Permission("wallets.use", "Top a client's wallet up, and begin a pay-out of it."),
    Permission("shifts.work", "Open, count and close one's own shift, and move cash in and out of it."),
    Permission("shifts.read", "See everybody's shifts and their reports."),
    Permission("payers.read", "See payers and coverages."),
    Permission("payers.manage", "Add and change payers and coverages."),
    Permission("claims.manage", "Submit claims to payers, and book what they pay and reject."),
    Permission("periods.close", "Close a month."),
    Permission("accounts.manage", "Name and number the accounts of the journal."),
    Permission("journal.read", "See the journal and its balances, and export it."),
    Permission("reports.read", "See reports of takings, receivables, tax, shifts, voids and discounts."),
    Permission("reminders.send", "Remind of overdue invoices."),
    Permission("receipts.print", "Print and reprint receipts."),
    Permission("documents.read", "See and print invoices as documents."),
    Permission("exports.read", "Export lists as files."),
    Permission("imports.run", "Import records of another system."),
    Permission("dates.backdate", "Record with an instant of the past."),
    Permission("audit.read", "See the audit trail."),
    Permission("audit.verify", "Verify the audit trail's chain."),
    Permission("doctor.run", "Check the books against all invariants."),
    Permission("backups.make", "Back the database up and restore it."),
)

_DESK = frozenset(
    {"patients.read", "patients.write", "prices.read", "consultations.read", "invoices.read", "invoices.issue", "documents.read"}
    | {"payers.read"}
)
_CARE = _DESK | {"invoices.create", "consultations.manage"}
_READS_ALL = frozenset(permission.name for permission in PERMISSIONS if permission.name.endswith(".read"))

ROLES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        Role.CLINICIAN: _CARE | {"wallets.read"},
        Role.CASHIER: _DESK | {"payments.take", "payments.reverse", "receipts.print", "shifts.work", "wallets.read", "wallets.use"},
        Role.MANAGER: _READS_ALL
        | {"prices.manage", "prices.override", "invoices.free_text", "invoices.cancel", "receipts.print", "doctor.run"}
        | {"payments.reverse", "payments.void", "payments.refund", "invoices.write_off", "approvals.give", "shifts.work"}
        | {"discounts.approve", "discounts.manage", "payers.manage", "claims.manage"}
        | {"periods.close", "accounts.manage", "reminders.send"},
        Role.AUDITOR: _READS_ALL | {"audit.verify", "doctor.run"},
        Role.ADMIN: _CARE
        | {"clinics.manage", "staff.manage", "providers.manage", "plugins.manage", "departments.manage", "series.manage"}
        | {"audit.read", "doctor.run", "shifts.read", "payers.manage", "accounts.manage"},
        Role.IMPORTER: _CARE
        | {"imports.run", "dates.backdate", "providers.manage", "prices.manage", "prices.override", "payments.take"}
        | {"wallets.use", "shifts.work", "payers.manage", "claims.manage"},
        Role.OPERATOR: frozenset(permission.name for permission in PERMISSIONS),
    }
)

CASHIER_CREATES_INVOICES = "cashier_creates_invoices"

# What a clinic may choose beyond the table: flag -> (role, permissions).
POLICY_GRANTS: Mapping[str, tuple[Role, frozenset[str]]] = MappingProxyType(
    {CASHIER_CREATES_INVOICES: (Role.CASHIER, frozenset({"invoices.create"}))}
)


def permissions_of(
    role: str,
    *,
    policy_flags: Collection[str] = (),
    plugin_grants: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> frozenset[str]:
    """Name all permissions that a role has in a clinic.

    `policy_flags` names the policies that the clinic switched on; those that are no key of `POLICY_GRANTS` grant nothing.
    `plugin_grants` is what its plugins grant: role -> permissions.
    A role that only a plugin grants to is a role of that plugin. The operator has every permission that anybody is granted.
    Raises `UnknownRole`.
    """
    if role not in ROLES and role not in plugin_grants:
        known = ", ".join(sorted({*ROLES, *plugin_grants}))
        raise UnknownRole(f"{role[:40]!r} is no role: choose from {known}.", role=role)
    if role == Role.OPERATOR:
        return ROLES[role].union(*plugin_grants.values())
    by_policy = (permissions for flag, (granted_to, permissions) in POLICY_GRANTS.items() if flag in policy_flags and granted_to == role)
    return ROLES.get(role, frozenset()).union(plugin_grants.get(role, ()), *by_policy)


@dataclass(frozen=True, slots=True)
class DescribedPermission:
    """One row of the table for people: the roles that have a permission, and those that a clinic's policy may give it, role -> flag."""

    name: str
    description: str
    roles: tuple[str, ...]
    by_policy: tuple[tuple[str, str], ...]


def describe() -> tuple[DescribedPermission, ...]:
    """List the core's whole table, a row for each permission, for docs and tests."""
    return tuple(
        DescribedPermission(
            name=permission.name,
            description=permission.description,
            roles=tuple(str(role) for role, granted in ROLES.items() if permission.name in granted),
            by_policy=tuple((str(role), flag) for flag, (role, granted) in POLICY_GRANTS.items() if permission.name in granted),
        )
        for permission in PERMISSIONS
    )
