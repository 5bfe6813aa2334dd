"""What the pharmacy does in each step of an invoice: ordering reserves, paying dispenses, refunding takes back. It holds no connection.

A batch may be sold through its expiry day; from the next day on it is expired. The hooks of imports stand in imports.py.
"""

from collections.abc import Iterable, Iterator

import click

from billing.plugin import (
    BilledItem,
    Change,
    Declaration,
    Department,
    InvoiceFacts,
    Known,
    PaidItem,
    PaymentFacts,
    Permission,
    RefundedItem,
    RefundFacts,
    Refused,
    adjust,
    change,
    effect,
    format_quantity,
    hookimpl,
    insert,
    put,
)
from billing_pharmacy.imports import demo_records, import_records, on_records_imported
from billing_pharmacy.invariants import INVARIANTS
from billing_pharmacy.model import ADJUSTMENT, DISPENSED, HELD, RELEASED, RETURN, SALE, Batch, Move, Product, Reservation
from billing_pharmacy.needs import BILLED_PRODUCTS, NEEDS, PRODUCTS, RESERVATIONS, SHELF
from billing_pharmacy.rules import STOCK_DISPENSED, STOCK_RETURNED, Shortage, dispensed_batches, first_expired_first_out, returns, shortages

__all__ = ["demo_records", "import_records", "on_records_imported"]  # hooks, found here by their names


class NotAProduct(Refused):
    """An item of the pharmacy is not kept in stock. It wins over `out_of_stock`. Facts: `item`, `item_code`."""

    code = "not_a_product"


class OutOfStock(Refused):
    """More is wanted than may be sold. Facts: `item`, `item_code`, `wanted_milli`, `left_milli` of the first shortage; all `shortages`."""

    code = "out_of_stock"


class MoreThanDispensed(Refused):
    """More is to come back than the patient was given and still has. Facts: `item`, `item_code`, `wanted_milli`, `left_milli`."""

    code = "more_than_dispensed"


@hookimpl
def declare() -> Declaration:
    """Declare the department, its tables, its needs and who may see and move stock."""
    return Declaration(
        departments=(Department("pharmacy", "Pharmacy", effects=True),),
        tables=(Product, Batch, Move, Reservation),
        migrations="billing_pharmacy.migrations",
        needs=NEEDS,
        permissions=(
            Permission("stock.read", "See products, batches and stock moves of the pharmacy."),
            Permission("stock.manage", "Add products of the pharmacy; receive, adjust and write off their stock."),
        ),
        grants={
            "clinician": ("stock.read",),
            "cashier": ("stock.read",),
            "auditor": ("stock.read",),
            "manager": ("stock.read", "stock.manage"),
            "admin": ("stock.read", "stock.manage"),
            "importer": ("stock.read", "stock.manage"),
        },
        record_kinds=("medication", "immunization"),
        invariants=INVARIANTS,
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add the group `stock`."""
    from billing_pharmacy.commands import stock

    cli.add_command(stock)


@hookimpl
def on_invoice_created(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterator[Change]:
    """Hold what the new items want."""
    return _reserve(invoice, items, known, HELD)


@hookimpl
def on_invoice_changed(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterator[Change]:
    """Hold what the items want now; an item that was taken out has taken its reservation along."""
    return _reserve(invoice, items, known, HELD)


@hookimpl
def on_invoice_cancelled(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterator[Change]:
    """Hold nothing any more."""
    return _reserve(invoice, items, known, RELEASED)


@hookimpl
def on_invoice_written_off(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterator[Change]:
    """Let go what was held for items that will not be paid any more."""
    return _reserve(invoice, items, known, RELEASED)


@hookimpl
def before_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
    """Refuse what is no product, or of which less may be sold than is wanted."""
    _require_stock(payment, items, known)


@hookimpl
def on_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterator[Change]:
    """Dispense: the batches that expire first, in as many as it takes."""
    _require_stock(payment, items, known)
    for item, batch, quantity in first_expired_first_out(known[SHELF], items, today=payment.business_date):
        yield adjust(Batch, batch.id, on_hand_milli=-quantity, at_least=0)
        yield insert(
            Move,
            batch_id=batch.id,
            quantity_milli=-quantity,
            reason=SALE,
            item_id=item.id,
            action_id=payment.id,
            business_date=payment.business_date,
            at=payment.at,
            actor_id=payment.actor_id,
            note="",
            source=None,
        )
        yield effect(item, STOCK_DISPENSED, row=batch.id, quantity_milli=quantity)
    for item in items:
        yield _reservation(item, DISPENSED, payment)


@hookimpl
def before_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> None:
    """Refuse to take back more than was dispensed and has not come back yet."""
    del refund, known
    for each in items:
        left = sum(dispensed_batches(each.effects).values())
        if each.quantity_milli > left:
            wanted = format_quantity(each.quantity_milli)
            raise MoreThanDispensed(
                f"{each.item.code}: {wanted} can't come back to the pharmacy: {format_quantity(left)} were dispensed and are still out.",
                item=each.id,
                item_code=each.item.code,
                wanted_milli=each.quantity_milli,
                left_milli=left,
            )


@hookimpl
def on_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> Iterator[Change]:
    """Put back into the very batches that the items came from, the latest dispensed first; one that has expired is not sold again.

    What comes back destroyed comes into its batch and leaves it again, so that moves say both and the shelf has no more than before.
    """
    before_items_refunded(refund, items, known)
    dispensed = {row.item_id for row in known[RESERVATIONS] if row.status == DISPENSED}
    for each in items:
        destroyed = each.condition == "destroyed"
        for batch_id, quantity in returns(each.effects, each.quantity_milli):
            if not destroyed:
                yield adjust(Batch, batch_id, on_hand_milli=quantity)
            yield _came_back(refund, batch_id, quantity, item_id=each.id)
            if destroyed:
                yield _destroyed(refund, batch_id, quantity)
            condition = {"condition": each.condition} if destroyed else {}
            yield effect(each, STOCK_RETURNED, row=batch_id, quantity_milli=quantity, **condition)
        if each.id in dispensed and each.quantity_milli == sum(dispensed_batches(each.effects).values()):
            yield change(Reservation, {"item_id": each.id}, expect={"status": DISPENSED}, status=RELEASED, changed_at=refund.at)


def _came_back(refund: RefundFacts, batch_id: str, quantity_milli: int, *, item_id: str) -> Change:
    return insert(
        Move,
        batch_id=batch_id,
        quantity_milli=quantity_milli,
        reason=RETURN,
        item_id=item_id,
        action_id=refund.id,
        business_date=refund.business_date,
        at=refund.at,
        actor_id=refund.actor_id,
        note=refund.reason,
        source=None,
    )


def _destroyed(refund: RefundFacts, batch_id: str, quantity_milli: int) -> Change:
    return insert(
        Move,
        batch_id=batch_id,
        quantity_milli=-quantity_milli,
        reason=ADJUSTMENT,
        item_id=None,
        action_id=None,
        business_date=refund.business_date,
        at=refund.at,
        actor_id=refund.actor_id,
        note=f"destroyed on return: {refund.reason}",
        source=None,
    )


def _require_stock(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> None:
    products = {row.service_id for row in known[PRODUCTS]}
    strange = [item for item in items if item.service_id not in products]
    if strange:
        codes = ", ".join(dict.fromkeys(item.code or item.description for item in strange))
        raise NotAProduct(
            f"{codes}: not a product of the pharmacy. Receive stock of it with `billing stock receive`, or take it off the invoice.",
            item=strange[0].id,
            item_code=strange[0].code,
        )
    short = shortages(known[SHELF], items, today=payment.business_date)
    if short:
        raise OutOfStock(
            f"Not enough in stock: {'; '.join(map(_told, short))}.",
            item=short[0].item_id,
            item_code=short[0].code,
            wanted_milli=short[0].wanted_milli,
            left_milli=short[0].left_milli,
            shortages=[{"item_code": each.code, "wanted_milli": each.wanted_milli, "left_milli": each.left_milli} for each in short],
        )


def _told(short: Shortage) -> str:
    unsold = ((short.expired_milli, "expired"), (short.blocked_milli, "blocked"))
    aside = ", ".join(f"{format_quantity(milli)} {why}" for milli, why in unsold if milli)
    wanted, left = format_quantity(short.wanted_milli), format_quantity(short.left_milli)
    return f"{short.code}: {wanted} wanted, {left} left" + (f" ({aside})" if aside else "")


def _reserve(invoice: InvoiceFacts, items: Iterable[BilledItem], known: Known, status: str) -> Iterator[Change]:
    products = {row.service_id for row in known[BILLED_PRODUCTS]}
    return (_reservation(item, status, invoice) for item in items if item.service_id in products)


def _reservation(item: BilledItem, status: str, action: InvoiceFacts | PaymentFacts) -> Change:
    return put(
        Reservation,
        {"item_id": item.id},
        service_id=item.service_id,
        quantity_milli=item.quantity_milli,
        status=status,
        changed_at=action.at,
    )
