"""What can be seen of a clinic, in the same form of the model and of the database: ids are left out, the order of rows stands for them."""

from typing import Any

from billing_consultation.model import FollowUp, Share
from billing_laboratory.model import LabOrder, LabResult
from billing_pharmacy.model import Batch, Product, Reservation
from sqlalchemy import func, select

from billing.model import InvoiceItem, Membership, NumberCounter, Patient, Payment, SourceClaim
from billing.services import listing
from billing.transaction import Transaction
from tests.model import clinic as model


def of_model(clinic: model.ModelClinic) -> dict[str, Any]:
    """Return what can be seen of the model."""
    return {
        "invoices": [_of_invoice(clinic, each) for each in clinic.invoices],
        "payments": clinic.payments,
        "counters": dict(clinic.counters),
        "claims": clinic.claims(),
        "batches": [(each.service, each.lot, each.expires, each.on_hand) for each in clinic.batches],
        "windows": clinic.windows,
    }


def _of_invoice(clinic: model.ModelClinic, invoice: model.Invoice) -> tuple[Any, ...]:
    due = 0 if invoice.status == "cancelled" else invoice.due
    late = invoice.status in {"sent", "partial"} and due > 0 and invoice.due_date is not None and invoice.due_date < clinic.today
    return (
        invoice.number,
        "overdue" if late else invoice.status,
        sum(item.taxable for item in invoice.items),
        sum(item.tax for item in invoice.items),
        model.total(invoice.items),
        invoice.paid,
        due,
        invoice.due_date,
        [_of_item(item) for item in invoice.items],
    )


def _of_item(item: model.Item) -> tuple[Any, ...]:
    service = item.line.service
    own = (service.code, item.line.quantity, item.price, item.net, item.taxable, item.tax)
    order = ("ordered", service.analytes) if item.receipt and service.analytes else None
    return (*own, item.receipt, item.reservation, order, item.share)


def of_clinic(tx: Transaction) -> dict[str, Any]:
    """Return the same of the clinic of this unit."""
    invoices = sorted(listing.every_invoice(tx), key=lambda row: (row.created_at, row.id))
    items = _items(tx)
    places = {row.id: place for place, row in enumerate(invoices)}
    payments = tx.session.scalars(select(Payment).order_by(Payment.taken_at, Payment.id))
    return {
        "invoices": [
            (
                row.number,
                row.status,
                row.net_minor,
                row.tax_minor,
                row.total_minor,
                row.amount_paid_minor,
                row.amount_due_minor,
                row.due_date,
                items[row.id],
            )
            for row in invoices
        ],
        "payments": [
            (
                each.receipt_number,
                places[each.invoice_id],
                each.scope,
                each.due_minor,
                each.change_minor,
                each.rounding_minor,
                each.applied_minor,
                each.business_date,
            )
            for each in payments
        ],
        "counters": {(each.series, each.period): each.latest_value for each in tx.session.scalars(select(NumberCounter))},
        "claims": set(tx.session.scalars(select(SourceClaim.source))),
        "batches": _batches(tx),
        "windows": _windows(tx),
    }


def _items(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
    receipts: dict[str | None, str] = {row.id: row.receipt_number for row in tx.session.scalars(select(Payment))}
    reserved = {row.item_id: row.status for row in tx.session.scalars(select(Reservation))}
    counted = select(LabResult.order_id, func.count()).where(LabResult.status == "pending").group_by(LabResult.order_id)
    pending = {row[0]: row[1] for row in tx.session.execute(counted)}
    orders = {row.item_id: (row.status, pending[row.id]) for row in tx.session.scalars(select(LabOrder))}
    shares = {row.item_id: row.amount_minor for row in tx.session.scalars(select(Share))}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in tx.session.scalars(select(InvoiceItem).order_by(InvoiceItem.position)):
        own = (row.code, row.quantity_milli, row.unit_price_e4, row.net_minor, row.taxable_minor, row.tax_minor)
        done = (receipts.get(row.payment_id), reserved.get(row.id), orders.get(row.id), shares.get(row.id, 0))
        found.setdefault(row.invoice_id, []).append((*own, *done))
    return found


def _batches(tx: Transaction) -> list[tuple[Any, ...]]:
    codes = {row.service_id: row.code for row in tx.session.scalars(select(Product))}
    rows = tx.session.scalars(select(Batch).order_by(Batch.id))
    return [(codes[row.service_id], row.lot, row.expires_on, row.on_hand_milli) for row in rows]


def _windows(tx: Transaction) -> dict[tuple[str, str], tuple[Any, ...]]:
    patients = {row.id: row.name for row in tx.session.scalars(select(Patient))}
    providers = {row.id: row.name for row in tx.session.scalars(select(Membership))}
    return {
        (patients[row.patient_id], providers[row.provider_id]): (row.free_from_date, row.free_through_date, row.visits_left)
        for row in tx.session.scalars(select(FollowUp))
    }
