"""What must always hold of the price list: what a service costs is the latest entry of its history."""

from sqlalchemy import exists, func, select

from billing.changes.declare import Invariant
from billing.model import CLINIC, Service, ServicePrice

_LATEST = (
    select(ServicePrice.service_id, func.max(ServicePrice.valid_from_at).label("valid_from_at"))
    .where(ServicePrice.clinic_id == CLINIC)
    .group_by(ServicePrice.service_id)
    .subquery("latest")
)
_SAYS_SO = exists(
    select(ServicePrice.id).where(
        ServicePrice.clinic_id == CLINIC,
        ServicePrice.service_id == Service.id,
        ServicePrice.valid_from_at == _LATEST.c.valid_from_at,
        ServicePrice.unit_price_e4 == Service.unit_price_e4,
        ServicePrice.tax_category == Service.tax_category,
        ServicePrice.tax_rate_bp == Service.tax_rate_bp,
    )
)

PRICES = (
    Invariant(
        "service_costs_its_latest_price",
        "A service has the price and the tax that its history says it has had last.",
        select(Service.id, Service.code).join(_LATEST, _LATEST.c.service_id == Service.id).where(Service.clinic_id == CLINIC, ~_SAYS_SO),
    ),
)
"""The price list's invariants."""
