"""The consultation department as the core calls it: prices of visits, shares and follow-ups of what is paid. It holds no connection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import click

from billing.plugin import (
    BilledItem,
    Change,
    Claim,
    Declaration,
    Department,
    ImportedItem,
    ImportFacts,
    InvoiceFacts,
    Known,
    PaidItem,
    PaymentFacts,
    Permission,
    Price,
    Quote,
    QuotedLine,
    QuotingClinic,
    Record,
    Records,
    RefundedItem,
    RefundFacts,
    effect,
    hookimpl,
    insert,
    put,
    tell,
)
from billing_consultation import imports, invariants, needs
from billing_consultation.model import Fee, FollowUp, Share, Terms, Visit
from billing_consultation.rules import (
    PAID,
    REFUNDED,
    AgreedTerms,
    ListedFee,
    PaidVisit,
    Window,
    fee_for,
    paid_before,
    settle_visits,
    share_of,
    share_to_reverse,
    visits_in,
)


@hookimpl
def declare() -> Declaration:
    """Provide the department `consultation` and what belongs to it."""
    return Declaration(
        departments=(Department(imports.DEPARTMENT, "Consultation"),),
        tables=(Visit, Fee, Terms, FollowUp, Share),
        migrations="billing_consultation.migrations",
        needs=needs.ALL,
        permissions=(
            Permission("fees.read", "See the fees of visits, and what is agreed with providers."),
            Permission("fees.manage", "Set the fees of visits, and what is agreed with providers."),
            Permission("shares.read", "See the providers' shares of what was paid."),
        ),
        grants={
            "clinician": ("fees.read",),
            "manager": ("fees.read", "fees.manage", "shares.read"),
            "admin": ("fees.read", "fees.manage", "shares.read"),
            "auditor": ("fees.read", "shares.read"),
        },
        record_kinds=("visit", "procedure"),
        invariants=invariants.ALL,
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `billing fee`."""
    from billing_consultation.commands import fee

    cli.add_command(fee)


@hookimpl
def quote_lines(clinic: QuotingClinic, lines: tuple[QuotedLine, ...], known: Known) -> Iterator[Quote]:
    """Price visits: as a follow-up where a window covers them, else by the fee that fits best, else by the price list (no answer).

    Several visits on one bill use the window up in their order. A price that was quoted stands on its draft, even if the window
    is used up by another bill before this one is paid.
    """
    takes_part = {row.service_id: row.follow_up for row in known[needs.QUOTED_VISITS]}
    fees = [ListedFee(*row) for row in known[needs.QUOTED_FEES]]
    windows = {(row.patient_id, row.provider_id): Window(*row) for row in known[needs.QUOTED_WINDOWS]}
    for line in sorted(lines, key=lambda line: line.position):
        if line.service_id not in takes_part:
            continue
        fee = fee_for((fee for fee in fees if fee.service_id == line.service_id), provider_id=line.provider_id, kind=line.visit)
        price_e4 = line.unit_price_e4 if fee is None else fee.unit_price_e4
        whose = (line.patient.id, line.provider_id or "")
        window, visits = windows.get(whose), visits_in(line.quantity_milli)
        if takes_part[line.service_id] and window is not None and window.covers(visits=visits, day=clinic.business_date):
            windows[whose] = window.less(visits)
            # min: a follow-up never costs more than the visit itself
            yield Price(line.position, min(window.unit_price_e4, price_e4), f"follow-up until {window.free_through_date.isoformat()}")
        elif fee is not None:
            yield Price(line.position, fee.unit_price_e4, fee.reason)


@hookimpl
def on_invoice_issued(invoice: InvoiceFacts, items: tuple[BilledItem, ...], known: Known) -> Iterator[Change]:
    """Tell other systems that visits were billed."""
    visits = {row.service_id for row in known[needs.BILLED_VISITS]}
    if item_ids := [item.id for item in items if item.service_id in visits]:
        yield tell(
            "visit.billed",
            invoice_id=invoice.id,
            patient_id=invoice.patient.id,
            consultation_id=invoice.consultation_id,
            item_ids=item_ids,
        )


@hookimpl
def on_items_paid(payment: PaymentFacts, items: tuple[PaidItem, ...], known: Known) -> Iterator[Change]:
    """Record the providers' shares, open follow-up windows for visits paid in full, count them down for follow-ups.

    An item without a provider, or whose provider has no terms in a clinic without terms, has an effect and nothing else.
    """
    takes_part = {row.service_id: row.follow_up for row in known[needs.PAID_VISITS]}
    terms = {row.provider_id: AgreedTerms(*row[1:]) for row in known[needs.PAID_TERMS]}
    windows = {row.provider_id: Window(*row) for row in known[needs.PAID_WINDOWS]}
    used: dict[str, int] = {}
    for provider_id, visits in _visits_by_provider(items, takes_part).items():
        settlement = settle_visits(
            windows.get(provider_id),
            visits,
            terms=terms.get(provider_id, terms.get(None)),
            patient_id=payment.patient.id,
            provider_id=provider_id,
            payment_id=payment.id,
            day=payment.business_date,
        )
        used |= settlement.used
        if settlement.window is not None and settlement.window != windows.get(provider_id):
            yield _put(settlement.window)
    for item in items:
        agreed = terms.get(item.provider_id, terms.get(None)) if item.provider_id else None
        share_minor = share_of(item.taxable_minor, agreed.share_bp) if agreed else 0
        if share_minor:
            yield _share(item, payment, share_minor)
        follow_up = {"follow_up_of": windows[item.provider_id or ""].item_id, "visits": used[item.id]} if item.id in used else {}
        kind = "visit" if item.service_id in takes_part else "procedure"
        yield effect(item, kind + PAID, row=item.provider_id, quantity_milli=item.quantity_milli, share_minor=share_minor, **follow_up)


@hookimpl
def on_items_refunded(refund: RefundFacts, items: tuple[RefundedItem, ...], known: Known) -> Iterator[Change]:
    """Take shares back in proportion; close windows whose visit is refunded whole; give whole refunded follow-ups back to theirs."""
    before = {row.provider_id: Window(*row) for row in known[needs.REFUNDED_WINDOWS]}
    windows = dict(before)
    for returned in items:
        done = paid_before(returned.effects)
        provider_id = returned.item.provider_id
        share_minor = share_to_reverse(
            done.share_minor,
            paid_milli=done.quantity_milli,
            returned_milli=done.returned_milli,
            returning_milli=returned.quantity_milli,
        )
        if share_minor:
            yield _share(returned.item, refund, -share_minor)
        if provider_id in windows and done.left_milli(returned.quantity_milli) == 0:
            windows[provider_id] = windows[provider_id].without(done, item_id=returned.id, at=refund.at)
        yield effect(returned, done.kind + REFUNDED, row=provider_id, quantity_milli=returned.quantity_milli, share_minor=-share_minor)
    for provider_id, window in windows.items():
        if window != before[provider_id]:
            yield _put(window)


@hookimpl
def import_records(records: Records) -> Iterator[Claim]:
    """Claim visits and procedures."""
    return imports.claims(records)


@hookimpl
def on_records_imported(imported: ImportFacts, items: tuple[ImportedItem, ...], known: Known) -> Iterator[Change]:
    """Mark imported visits as visits."""
    del imported
    return imports.changes(items, known)


@hookimpl
def demo_records(clinic: QuotingClinic) -> Iterator[Record]:
    """Bring the visits and procedures of the demonstration."""
    return imports.demonstration(clinic)


def _visits_by_provider(items: Sequence[PaidItem], takes_part: Mapping[str | None, bool]) -> dict[str, list[PaidVisit]]:
    found: dict[str, list[PaidVisit]] = {}
    for item in items:
        if item.provider_id and takes_part.get(item.service_id):
            visit = PaidVisit(item.id, item.unit_price_e4, item.taxable_minor, visits_in(item.quantity_milli))
            found.setdefault(item.provider_id, []).append(visit)
    return found


def _share(item: BilledItem, action: PaymentFacts | RefundFacts, amount_minor: int) -> Change:
    return insert(
        Share,
        provider_id=item.provider_id,
        item_id=item.id,
        action_id=action.id,
        amount_minor=amount_minor,
        at=action.at,
        business_date=action.business_date,
    )


def _put(window: Window) -> Change:
    columns = {each.name: getattr(window, each.name) for each in fields(window)}
    return put(FollowUp, {name: columns.pop(name) for name in ("patient_id", "provider_id")}, **columns)
