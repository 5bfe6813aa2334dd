"""What must hold because of what plugins declare: an effect for every paid item of theirs, change and rounding only by methods that have them."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Select, exists, func, or_, select

from billing.changes.declare import Invariant
from billing.model import CLINIC, Effect, InvoiceItem, Payment, Tender
from billing.registry import Registry
from billing.rules.tenders import CORE_METHODS
from billing.services.invariants.journal import takings_are_the_journal


def of_departments(registry: Registry) -> Iterator[Invariant]:
    """Return what the installed plugins' departments and methods make hold, for clinics that use them and clinics that did."""
    methods = [*CORE_METHODS.values(), *(method for plugin in registry.healthy for method in plugin.declaration.methods)]
    yield Invariant(
        "change_by_method",
        "Change was given only out of methods that give change.",
        select(Payment.id, Payment.receipt_number, Payment.change_minor).where(
            Payment.clinic_id == CLINIC,
            Payment.change_minor
            > _tenders(
                {each.code for each in methods if each.gives_change}, func.coalesce(func.sum(Tender.amount_minor), 0)
            ).scalar_subquery(),
        ),
    )
    yield Invariant(
        "rounding_by_method",
        "Cash rounding is on payments that had cash in them only.",
        select(Payment.id, Payment.receipt_number, Payment.rounding_minor).where(
            Payment.clinic_id == CLINIC,
            Payment.rounding_minor != 0,
            ~exists(_tenders({each.code for each in methods if each.rounds_cash}, Tender.id)),
        ),
    )
    yield takings_are_the_journal(methods)
    for plugin in registry.healthy:
        if codes := sorted(each.code for each in plugin.declaration.departments if each.effects):
            yield _effects(plugin.name, codes)


def _tenders(methods: Collection[str], what: Any) -> Select[Any]:
    return select(what).where(Tender.clinic_id == CLINIC, Tender.payment_id == Payment.id, Tender.method.in_(sorted(methods)))


def _effects(plugin: str, departments: Collection[str]) -> Invariant:
    done = exists(
        select(Effect.id).where(
            Effect.clinic_id == CLINIC,
            Effect.item_id == InvoiceItem.id,
            Effect.action_id == InvoiceItem.payment_id,
            Effect.plugin == plugin,
        )
    )
    return Invariant(
        f"{plugin}_paid_items_have_effects",
        f"For every paid item of {' and '.join(departments)} its plugin {plugin} recorded, with the payment, what it did.",
        select(InvoiceItem.id, InvoiceItem.invoice_id, InvoiceItem.payment_id).where(
            InvoiceItem.clinic_id == CLINIC,
            InvoiceItem.payment_id.is_not(None),
            or_(*(InvoiceItem.department == each for each in departments)),
            ~done,
        ),
    )
