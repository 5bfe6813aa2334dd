"""Clinics: founded with all that they need to take money, their policy, departments and plugins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from babel import Locale, UnknownLocaleError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import bindparam, select

from billing import clock, registry
from billing.changes.failures import explains
from billing.errors import Conflict, Invalid, NotFound, Refused
from billing.model import CLINIC, AuditHead, Clinic, ClinicCode, ClinicPlugin, Department, Membership, NumberSeries, Staff, new_id
from billing.money import currency
from billing.rules import chain
from billing.rules.texts import check_code, check_text
from billing.rules.totals import Rounding
from billing.services.inputs import check_line
from billing.transaction import ClinicFacts, Transaction
from billing.trips import Query

STANDARD_SERIES = {"invoice": "INV-{year}-{number:05}", "receipt": "R-{year}-{number:05}", "credit_note": "CN-{year}-{number:05}"}

_clinic = select(Clinic.code, Clinic.name, Clinic.currency, Clinic.time_zone, Clinic.language).where(Clinic.clinic_id == CLINIC)
_CLINIC = Query(_clinic)
_CLINIC_OF_MEMBER = Query(
    _clinic.join(Membership, Membership.clinic_id == Clinic.clinic_id)
    .join(Staff, Staff.id == Membership.staff_id)
    .where(Staff.login == bindparam("login"), Membership.active)
)


class BadPolicy(Invalid):
    """A clinic's policy has an unknown name or a value that does not fit. Facts: `field`."""

    code = "bad_policy"


class BadLanguage(Invalid):
    """There is no such language. Facts: `language`."""

    code = "bad_language"


@explains("pk_clinic_code", "This clinic code is taken: choose another one.")
class ClinicCodeTaken(Conflict):
    """Another clinic has this code."""

    code = "clinic_code_taken"


class UnknownDepartmentHere(NotFound):
    """The clinic has no such department. Facts: `department`."""

    code = "unknown_department"


class PluginBroken(Refused):
    """A quarantined plugin can't be enabled. Facts: `plugin`."""

    code = "plugin_broken"


class ReminderLevel(BaseModel):
    """A level of reminders: so many days after the due date, with a fee that is told and not booked (minor units of the clinic's currency)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(ge=1, le=3650)
    fee_minor: int = Field(default=0, ge=0)


class Policy(BaseModel):
    """What a clinic chooses. `numbers_at` says when an invoice gets its number.

    `early_lock_release` (PostgreSQL): the rows that all cashiers wait for are free before the disk has the commit; the answer still waits for it.
    `cash_needs_shift`: cash moves only in one's own open shift. `second_person`: void, refund, return, write-off and pay-out need somebody
    else's approval, also for who may do them. `reference_for`: methods of which each tender needs a reference. `discount_limits`: the most
    that a role may give away by itself, in basis points of the lines; a role that is not named has no limit. `expected_is_blind`: a cashier
    sees what the own shift should have only after counting it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers_at: Literal["creation", "issue"] = "creation"
    cashier_creates_invoices: bool = False
    early_lock_release: bool = False
    cash_needs_shift: bool = True
    second_person: bool = False
    reference_for: tuple[str, ...] = ()
    discount_limits: dict[str, Annotated[int, Field(ge=0, le=10000)]] = Field(default_factory=lambda: {"cashier": 500, "clinician": 1000})
    reminders: tuple[ReminderLevel, ...] = (ReminderLevel(days=7), ReminderLevel(days=21), ReminderLevel(days=35))
    expected_is_blind: bool = True


@dataclass(frozen=True, slots=True)
class ClinicRow:
    """A clinic as lists show it."""

    code: str
    name: str
    currency: str
    time_zone: str
    language: str


def create_clinic(
    tx: Transaction,
    *,
    code: str,
    name: str,
    currency_code: str,
    time_zone: str,
    language: str = "en",
    rounding: Rounding = Rounding.DOCUMENT,
    prices_include_tax: bool = False,
    payment_days: int = 14,
    address: str = "",
    tax_number: str = "",
    policy: Mapping[str, Any] | None = None,
) -> ClinicFacts:
    """Found a clinic: its series are ready and all healthy plugins enabled, so it can take money at once.

    Raises `Invalid` errors for what does not fit, `ClinicCodeTaken`. Needs `clinics.manage` outside of any clinic: the operator has it.
    """
    tx.require("clinics.manage")
    money, zone = currency(currency_code), clock.zone(time_zone)
    if not 0 <= payment_days <= 3650:
        raise BadPolicy("The days for payment must be between 0 and 3650.", field="payment_days")
    clinic = Clinic(
        clinic_id=new_id(),
        code=check_code(code, "The clinic code"),
        name=check_line(name, "The clinic's name"),
        address=check_text(address, "The address", longest=500, empty=True),
        tax_number=check_line(tax_number, "The tax number", longest=60, empty=True),
        currency=money.code,
        time_zone=str(zone),
        language=check_language(language),
        rounding=str(rounding),
        prices_include_tax=prices_include_tax,
        payment_days=payment_days,
        policy=check_policy(policy or {}).model_dump(),
        created_at=tx.at,
    )
    facts = ClinicFacts(
        id=clinic.clinic_id,
        code=clinic.code,
        name=clinic.name,
        currency=money,
        time_zone=clinic.time_zone,
        language=clinic.language,
        rounding=clinic.rounding,
        prices_include_tax=prices_include_tax,
        payment_days=payment_days,
        policy=clinic.policy,
        address=clinic.address,
        tax_number=clinic.tax_number,
    )
    tx.found_clinic(facts)
    tx.session.add_all([ClinicCode(code=clinic.code, clinic_id=clinic.clinic_id), clinic])
    tx.session.flush()  # departments and the audit head refer to the clinic
    tx.session.add(AuditHead(position=0, hash=chain.GENESIS, previous_hash=chain.GENESIS))
    _add_series(tx)
    _add_plugins(tx)
    tx.audit("clinic.created", "clinic", clinic.clinic_id, code=clinic.code, currency=money.code)
    return facts


def update_clinic(tx: Transaction, *, changes: Mapping[str, Any]) -> None:
    """Change what may change of a clinic: name, address, tax_number, language, time_zone, rounding, prices_include_tax, payment_days, policy.

    Issued documents keep what they were issued with. Code and currency stay for ever. Raises `BadPolicy` for other names.
    """
    tx.require("clinics.manage")
    checks: dict[str, Callable[[Any], Any]] = {
        "name": lambda value: check_line(value, "The clinic's name"),
        "address": lambda value: check_text(value, "The address", longest=500, empty=True),
        "tax_number": lambda value: check_line(value, "The tax number", longest=60, empty=True),
        "language": check_language,
        "time_zone": lambda value: str(clock.zone(value)),
        "rounding": lambda value: str(Rounding(value)),
        "prices_include_tax": bool,
        "payment_days": int,
        "policy": lambda value: check_policy({**tx.clinic.policy, **value}).model_dump(),
    }
    clinic = tx.session.scalars(select(Clinic).with_for_update()).one()
    for field, value in changes.items():
        if field not in checks:
            raise BadPolicy(f"{field} of a clinic can't be changed; what can: {', '.join(checks)}.", field=field)
        try:
            setattr(clinic, field, checks[field](value))
        except ValueError:
            raise BadPolicy(f"{value!r} does not fit {field}.", field=field) from None
    tx.audit("clinic.changed", "clinic", clinic.clinic_id, fields=sorted(changes))


def list_clinics(tx: Transaction) -> list[ClinicRow]:
    """Return the clinics that the actor is a member of; the operator sees all. Runs outside of any clinic."""
    found = tx.rows_of_each_clinic(_CLINIC) if tx.actor.operator else tx.rows_of_each_clinic(_CLINIC_OF_MEMBER, login=tx.actor.login)
    return [ClinicRow(*row) for row in found]


def order_departments(tx: Transaction, *, codes: Sequence[str]) -> None:
    """Set the order in which departments are shown and settled; departments not named keep their order behind these. Raises `UnknownDepartmentHere`."""
    tx.require("departments.manage")
    rows = {row.code: row for row in tx.session.scalars(select(Department).order_by(Department.position, Department.code))}
    if unknown := [code for code in codes if code not in rows]:
        raise UnknownDepartmentHere(f"There is no department {unknown[0]!r}: the clinic has {', '.join(rows)}.", department=unknown[0])
    for position, code in enumerate(dict.fromkeys([*codes, *rows])):
        rows[code].position = position
    tx.audit("departments.ordered", "clinic", tx.clinic_id, codes=list(codes))


def set_plugin(tx: Transaction, *, name: str, enabled: bool | None = None, settings: Mapping[str, Any] | None = None) -> None:
    """Enable or disable a plugin for the clinic, or change its settings (checked by the plugin's model). Its rows stay either way."""
    tx.require("plugins.manage")
    plugin = registry.of(tx).plugin(name)
    if enabled and plugin.error is not None:
        raise PluginBroken(f"The plugin {name} is quarantined ({plugin.error}): mend it first.", plugin=name)
    row = tx.session.scalars(select(ClinicPlugin).where(ClinicPlugin.plugin == name)).one_or_none()
    if row is None:
        row = ClinicPlugin(plugin=name, enabled=False, settings={}, changed_at=tx.at)
        tx.session.add(row)
    if settings is not None:
        registry.of(tx).check_settings(plugin, {**row.settings, **settings})
        row.settings = {**row.settings, **settings}
    if enabled is not None:
        row.enabled = enabled
    row.changed_at = tx.at
    if row.enabled:
        _add_departments(tx, name)
    tx.audit("plugin.set", "plugin", name, enabled=row.enabled, settings=sorted(settings or {}))


def check_policy(values: Mapping[str, Any]) -> Policy:
    """Return a clinic's policy. Raises `BadPolicy` naming the field."""
    try:
        return Policy(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BadPolicy(f"The policy {field} does not fit: {first['msg']}. Known: {', '.join(Policy.model_fields)}.", field=field) from None


def check_language(language: str) -> str:
    """Return the language tag of a locale that documents can be printed in (`en`, `de_CH`). Raises `BadLanguage`."""
    try:
        return str(Locale.parse(language.replace("-", "_")))
    except (UnknownLocaleError, ValueError, TypeError):
        raise BadLanguage(f"There is no language {language[:40]!r}: give a tag such as en, de or fr_CH.", language=language) from None


def _add_series(tx: Transaction) -> None:
    for kind, shape in STANDARD_SERIES.items():
        tx.session.add(NumberSeries(series=kind, kind=kind, format=shape, reset="year", start_value=1, standard=True, created_at=tx.at))


def _add_plugins(tx: Transaction) -> None:
    for plugin in registry.of(tx).healthy:
        tx.session.add(ClinicPlugin(plugin=plugin.name, enabled=True, settings={}, changed_at=tx.at))
        _add_departments(tx, plugin.name)


def _add_departments(tx: Transaction, name: str) -> None:
    here = set(tx.session.scalars(select(Department.code)))
    new = [each for each in registry.of(tx).plugin(name).declaration.departments if each.code not in here]
    for position, department in enumerate(new, start=len(here)):
        tx.session.add(Department(code=department.code, plugin=name, name=department.name, position=position))
