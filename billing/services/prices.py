"""The price list: services with price and tax, and the history of every price. Knows nothing of invoices or files.

Unit prices are ten-thousandths of a minor unit of the clinic's currency, tax rates basis points.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, or_, select

from billing.changes.failures import explains
from billing.errors import Conflict, NotFound, Refused
from billing.model import CLINIC, Service, ServicePrice
from billing.rules.texts import BadText, check_service_code
from billing.services.inputs import check_limit, check_line, has_word
from billing.services.price_checks import check_department, check_description, check_price, check_unit, choose_tax
from billing.transaction import Transaction
from billing.trips import Query


class UnknownService(NotFound):
    """There is no such service on the price list. Facts: `service`."""

    code = "unknown_service"


@explains("uq_service_code", "This code is on the price list already: change that service, or choose another code.")
class ServiceCodeTaken(Conflict):
    """A service of this clinic has the code, perhaps a retired one."""

    code = "service_code_taken"


class ServiceUnchanged(Refused):
    """The service is as wanted already. Facts: `service`."""

    code = "service_unchanged"


class PriceInThePast(Refused):
    """The service has a newer price than the one to be recorded. Facts: `service`."""

    code = "price_in_the_past"


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """An entry of the price list as it is now."""

    id: str
    code: str
    department: str
    description: str
    unit: str
    unit_price_e4: int
    tax_category: str
    tax_rate_bp: int
    active: bool


@dataclass(frozen=True, slots=True)
class PriceView:
    """A price that a service has had from an instant on, and who set it."""

    valid_from_at: datetime
    unit_price_e4: int
    tax_category: str
    tax_rate_bp: int
    actor_id: str


COLUMNS = (
    Service.id,
    Service.code,
    Service.department,
    Service.description,
    Service.unit,
    Service.unit_price_e4,
    Service.tax_category,
    Service.tax_rate_bp,
    Service.active,
)
"""The columns of `ServiceFacts`."""

_BY_CODE = Query(select(*COLUMNS).where(Service.clinic_id == CLINIC, Service.code == bindparam("code")))


def add_service(
    tx: Transaction,
    *,
    code: str,
    department: str,
    description: str,
    unit_price_e4: int,
    tax_category: str | None = None,
    tax_rate_bp: int | None = None,
    unit: str = "each",
) -> ServiceFacts:
    """Put a service on the price list. Without a tax it is outside the scope of tax (see `choose_tax`).

    Raises `BadText`, `BadUnitPrice`, `BadTaxGroup`, `UnknownDepartmentHere`, `ServiceCodeTaken`.
    """
    tx.require("prices.manage")
    tax = choose_tax(tax_category, tax_rate_bp)
    row = Service(
        code=check_service_code(code),
        department=check_department(tx, department),
        description=check_description(description),
        unit=check_unit(unit),
        unit_price_e4=check_price(unit_price_e4),
        tax_category=tax.category,
        tax_rate_bp=tax.rate_bp,
        active=True,
        created_at=tx.at,
    )
    tx.session.add(row)
    tx.session.flush()  # its first price refers to it
    _keep_price(tx, row)
    tx.audit("service.added", "service", row.id, code=row.code, department=row.department, **_amounts(row))
    return _facts(row)


def update_service(
    tx: Transaction, *, code: str, department: str | None = None, description: str | None = None, unit: str | None = None
) -> ServiceFacts:
    """Change what a service is called and where it belongs; issued items keep what they were billed as.

    Raises `UnknownService`, `ServiceUnchanged`, `BadText`, `UnknownDepartmentHere`.
    """
    tx.require("prices.manage")
    row = _locked(tx, code)
    before = _facts(row)
    if department is not None:
        row.department = check_department(tx, department)
    if description is not None:
        row.description = check_description(description)
    if unit is not None:
        row.unit = check_unit(unit)
    if _facts(row) == before:
        raise _unchanged(code)
    tx.audit("service.changed", "service", row.id, code=row.code, department=row.department, was=before.department)
    return _facts(row)


def change_price(
    tx: Transaction, *, code: str, unit_price_e4: int | None = None, tax_category: str | None = None, tax_rate_bp: int | None = None
) -> ServiceFacts:
    """Set a service's price, its tax, or both, from now on. A tax is given whole, as for `add_service`; without one it stays.

    Raises `UnknownService`, `ServiceUnchanged`, `PriceInThePast`, `BadUnitPrice`, `BadTaxGroup`.
    """
    tx.require("prices.manage")
    row = _locked(tx, code)
    before, was = _facts(row), _amounts(row)
    if unit_price_e4 is not None:
        row.unit_price_e4 = check_price(unit_price_e4)
    if tax_category is not None or tax_rate_bp is not None:
        tax = choose_tax(tax_category, tax_rate_bp)
        row.tax_category, row.tax_rate_bp = tax.category, tax.rate_bp
    if _facts(row) == before:
        raise _unchanged(code)
    latest = tx.session.scalar(select(func.max(ServicePrice.valid_from_at)).where(ServicePrice.service_id == row.id))
    if latest is not None and tx.at < latest:
        raise PriceInThePast(
            f"{code} has a newer price, of {latest:%Y-%m-%d %H:%M} UTC: prices are changed forward in time only.", service=code
        )
    _keep_price(tx, row)
    tx.audit("price.changed", "service", row.id, code=row.code, was=was, **_amounts(row))
    return _facts(row)


def retire_service(tx: Transaction, *, code: str) -> ServiceFacts:
    """Take a service off sale; it stays for what was billed. Raises `UnknownService`, `ServiceUnchanged`."""
    tx.require("prices.manage")
    return _set_active(tx, code, active=False)


def reactivate_service(tx: Transaction, *, code: str) -> ServiceFacts:
    """Sell a retired service again. Raises `UnknownService`, `ServiceUnchanged`."""
    tx.require("prices.manage")
    return _set_active(tx, code, active=True)


def find_service(tx: Transaction, code: str) -> ServiceFacts:
    """Return the service with this code, a retired one too. Raises `UnknownService`."""
    tx.require("prices.read")
    row = tx.row(_BY_CODE, code=_possible(code))
    if row is None:
        raise _unknown(code)
    return ServiceFacts(*row)


def list_services(
    tx: Transaction,
    *,
    department: str | None = None,
    search: str | None = None,
    retired: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> tuple[ServiceFacts, ...]:
    """Return services by code: of a department, whose code or a word of whose description begins with `search`; retired ones if asked for.

    `after` is the last code of the page before. Raises `UnknownDepartmentHere`, `BadText`.
    """
    tx.require("prices.read")
    statement = select(*COLUMNS).order_by(Service.code).limit(check_limit(limit))
    if not retired:
        statement = statement.where(Service.active)
    if department is not None:
        statement = statement.where(Service.department == check_department(tx, department))
    if search is not None:
        wanted = check_line(search, "What to look for", longest=100)
        statement = statement.where(or_(Service.code.istartswith(wanted, autoescape=True), has_word(Service.description, wanted)))
    if after is not None:
        statement = statement.where(Service.code > check_service_code(after))
    return tuple(ServiceFacts(*row) for row in tx.session.execute(statement))


def price_history(tx: Transaction, *, code: str) -> tuple[PriceView, ...]:
    """Return all prices of a service, the first one first; the latest is the service's own. Raises `UnknownService`."""
    service = find_service(tx, code)
    statement = (
        select(
            ServicePrice.valid_from_at,
            ServicePrice.unit_price_e4,
            ServicePrice.tax_category,
            ServicePrice.tax_rate_bp,
            ServicePrice.actor_id,
        )
        .where(ServicePrice.service_id == service.id)
        .order_by(ServicePrice.valid_from_at, ServicePrice.id)
    )
    return tuple(PriceView(*row) for row in tx.session.execute(statement))


def _set_active(tx: Transaction, code: str, *, active: bool) -> ServiceFacts:
    row = _locked(tx, code)
    if row.active == active:
        raise _unchanged(code)
    row.active = active
    tx.audit("service.reactivated" if active else "service.retired", "service", row.id, code=row.code)
    return _facts(row)


def _locked(tx: Transaction, code: str) -> Service:
    statement = select(Service).where(Service.code == _possible(code)).with_for_update().execution_options(populate_existing=True)
    row = tx.session.scalars(statement).one_or_none()
    if row is None:
        raise _unknown(code)
    return row


def _possible(code: str) -> str:
    # PostgreSQL refuses to look for some texts; what can't be a code is not on the list.
    try:
        return check_service_code(code)
    except BadText:
        raise _unknown(code) from None


def _keep_price(tx: Transaction, row: Service) -> None:
    tx.session.add(
        ServicePrice(
            service_id=row.id,
            valid_from_at=tx.at,
            unit_price_e4=row.unit_price_e4,
            tax_category=row.tax_category,
            tax_rate_bp=row.tax_rate_bp,
            actor_id=tx.actor.id,
        )
    )


def _amounts(row: Service) -> dict[str, Any]:
    return {"unit_price_e4": row.unit_price_e4, "tax_category": row.tax_category, "tax_rate_bp": row.tax_rate_bp}


def _facts(row: Service) -> ServiceFacts:
    return ServiceFacts(*(getattr(row, column.key) for column in COLUMNS))


def _unchanged(code: str) -> ServiceUnchanged:
    return ServiceUnchanged(f"{code} is so already: nothing was changed.", service=code)


def _unknown(code: str) -> UnknownService:
    return UnknownService(f"There is no service {code[:60]!r} on the price list: `billing price list` shows what there is.", service=code)
