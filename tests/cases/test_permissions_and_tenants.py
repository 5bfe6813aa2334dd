"""Permissions and clinics, over every service there is: who is let in, and what another clinic's id is answered with."""

import inspect
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TextIO, get_origin

import pytest
from billing_consultation.services import mark_visit
from billing_laboratory.catalogue import add_range
from billing_laboratory.model import LabOrder
from billing_laboratory.rules import Range
from sqlalchemy import select

from billing.errors import BillingError, NotFound
from billing.model import new_id
from billing.model.types import NIL_ID
from billing.rules.roles import PERMISSIONS, Role
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import consultations, patients, prices, shifts, staff
from billing.services.audit import list_entries
from billing.services.quotation import NewItem
from billing.services.reversals import Returned
from billing.testing.race import Undone
from billing.testing.surface import Service, find_services
from billing.transaction import PermissionMissing, Transaction

if TYPE_CHECKING:
    from tests.cases.conftest import CaseWorld

ROLES = [role for role in Role if role is not Role.OPERATOR]

# Steps that services are made of: none takes a person's request, each runs behind a service's own check.
INNER = {
    "billing.services": [
        *(
            "acting",
            "documents.content",
            "inputs",
            "invariants.acts",
            "invariants.code",
            "invoice_rows",
            "keys",
            "numbering",
            "open_invoice",
            "parties",
        ),
        *(
            "accounts.chart",
            "approvals.decide",
            "approvals.find_live",
            "booking",
            "discount_limits",
            "journal",
            "ledger",
            "shift_report.read_figures",
        ),
        *("reversal_books", "reversal_writes", "reversible", "takings", "tills", "undoing", "wallet_rows"),
        *("payable", "price_answers", "price_checks", "quoting", "setup", "audit.recompute", "doctor.rules_of", "listing.seen"),
        *(
            "invoices.open_draft",
            "discounts.give_by_code",
            "shift_report.cash_of_shift",
            "invoices.rewrite_draft",
            "invoice_steps.prepare_issue",
            "invoice_steps.ask_step",
            "invoice_steps.record_issue",
        ),
    ],
    "billing_pharmacy": ["shelf"],
    "billing_laboratory": ["catalogue.find_analyte", "catalogue.ranges_of"],
    "billing_consultation": [],
}
SERVICES = [*find_services(INNER)]

# What everybody may do, and why.
OPEN = {"clinics.list_clinics": "shows people the clinics that they are members of"}

STUBS: tuple[tuple[Any, Callable[[], Any]], ...] = (
    (str, new_id),
    (int, lambda: 1),
    (date, lambda: date(2030, 1, 31)),
    (datetime, lambda: datetime(2030, 1, 31, tzinfo=UTC)),
    (Scope, Scope.all),
    (Tender, lambda: Tender("card", 1)),
    (TextIO, io.StringIO),
    (Mapping, dict),
    (Sequence, tuple),
    (Iterable, tuple),
    (Collection, tuple),
)


def _stubs(service: Service) -> dict[str, Any]:
    """Return values that fit the signature, for the parameters that have no default."""
    needed = {name: each.annotation for name, each in service.parameters.items() if each.default is each.empty}
    return {
        name: next((make() for kind, make in STUBS if kind is (get_origin(wanted) or wanted)), None)
        for name, wanted in needed.items()
        if name not in {"options", "values"}
    }


def _answer(tx: Transaction, service: Service, given: Mapping[str, Any]) -> Any:
    answer = service.function(tx, **given)
    return next(answer, None) if inspect.isgenerator(answer) else answer


# --- permissions --------------------------------------------------------------------------------------------------------------------


def _try(tx: Transaction, service: Service) -> None:
    """Call the service; whatever it answers but a missing permission, it has let in, and nothing of it stays."""
    try:
        _answer(tx, service, _stubs(service))
    except PermissionMissing:
        raise
    except Exception as error:
        raise Undone("let in") from error
    raise Undone("let in")


def _missing(world: "CaseWorld", unit: Callable[[Transaction], None], **options: Any) -> str | None:
    """Return the permission for which the unit was refused, or None where it was let in."""
    try:
        world.run(unit, **options)
    except PermissionMissing as refusal:
        return str(refusal.facts["permission"])
    except Undone:
        return None
    raise AssertionError("a unit that is always undone")


def _demanded(world: "CaseWorld", service: Service) -> frozenset[str]:
    """Return all permissions that the service asks for, one after the other, until it lets in."""
    granted: set[str] = set()

    def unit(tx: Transaction) -> None:
        tx.actor = replace(tx.actor, permissions=frozenset(granted))
        _try(tx, service)

    while missing := _missing(world, unit):
        assert missing not in granted
        granted.add(missing)
    return frozenset(granted)


@pytest.mark.case("P45")
def test_each_service_lets_in_exactly_the_roles_of_its_permission(world: "CaseWorld") -> None:
    """hmislk/hmis#12907: the privilege to cancel depended on an option."""
    for role in ROLES:
        world.run(lambda tx, role=role: staff.add_staff(tx, login=f"the-{role}", name=f"The {role}", role=role))  # type: ignore[misc]
    plugins = world.registry.plugins
    declared = {role: world.registry.permissions_of(role, {}, [each.name for each in plugins]) for role in ROLES}
    known = {each.name for each in PERMISSIONS} | {each.name for plugin in plugins for each in plugin.declaration.permissions}
    wrong, refused = [], 0

    for service in SERVICES:
        demanded = _demanded(world, service)
        assert demanded <= known, f"{service.name} asks for a permission that nobody has declared"
        assert bool(demanded) is (service.name not in OPEN), f"{service.name} has no declared permission"
        for role in ROLES:
            missing = _missing(world, lambda tx, service=service: _try(tx, service), actor=f"the-{role}")  # type: ignore[misc]
            refused += missing is not None
            if (missing is None) is not (demanded <= declared[role]):
                wrong.append((service.name, role, missing))

    assert wrong == []
    assert len(SERVICES) > 90
    assert sum(each.actor.startswith("the-") for each in _refusals(world)) == refused, "a refusal is an audit entry too"


def _refusals(world: "CaseWorld") -> Iterator[Any]:
    after = None
    while page := world.read(lambda tx, after=after: list_entries(tx, action="permission.refused", after=after, limit=500)):  # type: ignore[misc]
        yield from page
        after = page[-1].position


# --- clinics ------------------------------------------------------------------------------------------------------------------------

# What a parameter names where it names something of the clinic, for all services or for one.
KINDS = {
    **{name: name for name in ("patient_id", "client_id", "consultation_id", "payment_id", "order_id", "range_id", "member", "shift_id")},
    **dict.fromkeys(["invoice_id", "invoice", "audit.list_entries.subject_id"], "invoice"),
    **dict.fromkeys(["provider_id", "provider", "staff.find_provider.text"], "provider"),
    **dict.fromkeys(["code", "service_code", "service"], "code"),
    **dict.fromkeys(["payment", "approvals.give_approval.subject_id"], "payment_id"),
    "queries.find_order.name": "order_id",
}
LISTS = {
    *("audit.list_entries.subject_id", "listing.every_invoice.patient_id", "listing.list_invoices.patient_id"),
    *("listing.list_payments.invoice_id", "payment_preview.preview_payment.consultation_id", "payments.take_payment.consultation_id"),
    "payers.list_coverages.client_id",
}
"""What narrows a list, which is empty then; a visit's list of open invoices, too."""

NEW = {
    "discount_codes.add_code.code",
    "payers.add_payer.code",
    "prices.add_service.code",
    "clinics.create_clinic.code",
    "staff.add_staff.provider",
}
"""The same words for what is being made."""

GOOD = {
    "items": [NewItem("VISIT")],
    "reversals.refund_items.items": [Returned(NIL_ID)],
    "reversal_preview.preview_refund.items": [Returned(NIL_ID)],
    "permission": "payments.void",
    "tenders": [Tender("card", 1)],
    "changes": {"name": "Ada"},
    "role": "cashier",
    "value": "5",
    "code": "AMOX",
    "service_code": "AMOX",
    "service": "VISIT",
    "lot": "AMOX-1",
    "loinc": "2345-7",
    "analyte_code": "2345-7",
    "specimen": "serum",
    "department": "pharmacy",
    "quantity_milli": 1000,
    "reason": "why",
}
"""What is right in South, where a value that fits is not enough."""


def _founded(world: "CaseWorld", clinic: str) -> dict[str, str]:
    """Return something of the clinic's own of each kind."""
    patient = world.patient(clinic=clinic)
    bill = world.n1(clinic=clinic, patient_id=patient)
    taken = world.pay(bill.id, "card 44", scope="laboratory", clinic=clinic)
    draft = world.invoice("VISIT", clinic=clinic, patient_id=patient)

    def unit(tx: Transaction) -> dict[str, str]:
        provider = staff.add_provider(tx, name=f"Dr. {clinic}").id
        visit = consultations.open_consultation(tx, patient_id=patient, provider_id=provider)
        own = prices.add_service(tx, code=f"OF-{clinic}", department="pharmacy", description="Only here", unit_price_e4=1)
        order = tx.session.scalars(select(LabOrder.id)).one()
        mark_visit(tx, service="VISIT")
        limits = add_range(tx, analyte_code="2345-7", limits=Range(low="1"))
        client = patients.read_patient(tx, patient_id=patient).client_id
        found = {"consultation_id": visit.id, "provider": provider, "member": provider, "code": own.code, "order_id": order}
        shift = shifts.open_shift(tx, drawer="front", float_minor=0)
        return found | {"range_id": limits, "client_id": client, "shift_id": shift.id}

    return {"patient_id": patient, "invoice": draft.id, "payment_id": taken.id} | world.run(unit, clinic=clinic)


def _requests(own: Mapping[str, str]) -> Iterator[tuple[str, Service, str, Callable[[str], dict[str, Any]]]]:
    """Yield each way to name something: what it is called, the service, the kind, and the values around a name."""

    def around(right: dict[str, Any], parameter: str, wrap: Callable[[str], Any] = str) -> Callable[[str], dict[str, Any]]:
        return lambda name: right | {parameter: wrap(name)}

    for service in SERVICES:
        stubs = _stubs(service).items()
        right = {name: GOOD.get(f"{service.name}.{name}", GOOD.get(name, own.get(KINDS.get(name, ""), value))) for name, value in stubs}
        for parameter in service.parameters:
            called = f"{service.name}.{parameter}"
            kind = KINDS.get(called) or KINDS.get(parameter)
            if kind and called not in NEW:
                yield called, service, kind, around(right, parameter)
        if "items" in service.parameters and f"{service.name}.items" not in GOOD:
            in_item = around(right, "items", lambda name: [NewItem("VISIT", provider_id=name)])
            yield f"{service.name}.items.provider_id", service, "provider", in_item
        if service.name == "patients.update_patient":
            yield f"{service.name}.changes.client_id", service, "client_id", around(right, "changes", lambda name: {"client_id": name})


def _outcome(world: "CaseWorld", service: Service, given: Mapping[str, Any], named: str) -> tuple[bool, str]:
    """Return what South is answered, with the name taken out, and whether that was: there is no such thing. Nothing stays."""

    def unit(tx: Transaction) -> None:
        raise Undone(repr(_answer(tx, service, given)))

    try:
        world.run(unit, clinic="south")
    except BillingError as answer:
        facts = {} if isinstance(answer, Undone) else answer.facts
        return isinstance(answer, NotFound), f"{answer.code}: {answer.sentence} {facts}".replace(named, "NAME")
    raise AssertionError("a unit that is always undone")


@pytest.mark.case("P47")
def test_what_is_norths_does_not_exist_for_south_in_any_service(world: "CaseWorld") -> None:
    """Hasnayeen/invobook#1523: one model missed the filter by tenant."""
    theirs, own = _founded(world, "north"), _founded(world, "south")
    before = world.dump()
    wrong, found = [], set()

    for called, service, kind, around in _requests(own):
        name, nobodys = theirs[kind], "OF-nobody" if kind == "code" else new_id()
        (not_found, answer), (_, other) = (_outcome(world, service, around(each), each) for each in (name, nobodys))
        if answer != other:
            wrong.append((called, answer, other))
        if not_found:
            found.add(called)

    assert wrong == []
    assert {called for called, *_ in _requests(own)} - found == LISTS
    assert world.dump() == before
