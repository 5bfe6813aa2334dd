"""What a clinic's staff do with fees, terms and shares. It must not know commands, nor how a visit is quoted or paid."""

from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import select

from billing.plugin import Base, Invalid, NotFound, Refused, Transaction, find_provider, find_service
from billing_consultation.imports import DEPARTMENT
from billing_consultation.model import Fee, Share, Terms, Visit
from billing_consultation.rules import AgreedTerms, check_terms

NOTHING_AGREED = AgreedTerms(share_bp=0, follow_up_days=0, follow_up_price_e4=0, follow_up_visits=0)

# Our foreign keys point to these; lists show names from them.
_SERVICE = Base.metadata.tables["service"]
_PROVIDER = Base.metadata.tables["membership"]
_ITEM = Base.metadata.tables["invoice_item"]


class OtherDepartment(Refused):
    """Only services of this department can be visits. Facts: `service`, `department`."""

    code = "other_department"


class NotAVisit(Refused):
    """The service is not marked as a visit, so it has its list price only. Facts: `service`."""

    code = "not_a_visit"


class BadFee(Invalid):
    """The fee names neither provider nor kind, is negative, or ends before it begins. Facts: `service`."""

    code = "bad_fee"


class NoSuchFee(NotFound):
    """No fee of this scope holds on that day or later. Facts: `service`."""

    code = "no_such_fee"


@dataclass(frozen=True, slots=True)
class FeeEntry:
    """A line of the list of fees. Without provider and kind it is the price list's own; it holds on the days [from, until)."""

    service: str
    description: str
    follow_up: bool
    provider: str | None
    kind: str
    unit_price_e4: int
    valid_from_date: date | None
    valid_until_date: date | None


@dataclass(frozen=True, slots=True)
class TermsEntry:
    """What is agreed with a provider, or (None) with all others."""

    provider: str | None
    terms: AgreedTerms


@dataclass(frozen=True, slots=True)
class ShareEntry:
    """A share of an item, in minor units; below zero where a refund took it back."""

    id: str
    business_date: date
    provider: str
    item_id: str
    item: str
    amount_minor: int
    paid_out: bool


@dataclass(frozen=True, slots=True)
class ShareTotal:
    """What a provider earned in a period, and what of it is still to be paid out, in minor units."""

    provider: str
    amount_minor: int
    open_minor: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of a period, and their totals by provider."""

    entries: tuple[ShareEntry, ...]
    totals: tuple[ShareTotal, ...]


def mark_visit(tx: Transaction, *, service: str, follow_up: bool = True) -> None:
    """Say that a service is a visit, and whether it takes part in follow-ups. Raises `NotFound`, `OtherDepartment`."""
    tx.require("fees.manage")
    facts = find_service(tx, service)
    if facts.department != DEPARTMENT:
        raise OtherDepartment(
            f"{facts.code} belongs to the department {facts.department}: only services of {DEPARTMENT} can be visits.",
            service=facts.code,
            department=facts.department,
        )
    visit = _visit(tx, facts.id)
    if visit is None:
        tx.session.add(Visit(service_id=facts.id, follow_up=follow_up))
    else:
        visit.follow_up = follow_up
    tx.audit("visit.mark", "service", facts.id, service=facts.code, follow_up=follow_up)


def set_fee(
    tx: Transaction,
    *,
    service: str,
    unit_price_e4: int,
    provider: str | None = None,
    kind: str = "",
    valid_from_date: date | None = None,
    valid_until_date: date | None = None,
) -> None:
    """Set what a visit costs with a provider, for a kind of visit, or both, on the days [from, until); from today, for good, unless said.

    Raises `NotFound`, `NotAVisit`, `BadFee`.
    """
    tx.require("fees.manage")
    facts, provider_id, kind = _scope(tx, service, provider, kind)
    first = valid_from_date or tx.business_date
    if unit_price_e4 < 0:
        raise BadFee("A fee can't be negative.", service=facts.code)
    if valid_until_date is not None and valid_until_date <= first:
        raise BadFee(f"The fee would end on {valid_until_date}, before it begins on {first}: give a later day.", service=facts.code)
    fee = tx.session.scalars(_fees_of(facts.id, provider_id, kind).where(Fee.valid_from_date == first)).one_or_none()
    if fee is None:
        fee = Fee(service_id=facts.id, provider_id=provider_id, kind=kind, valid_from_date=first)
        tx.session.add(fee)
    fee.unit_price_e4, fee.valid_until_date = unit_price_e4, valid_until_date
    tx.audit(
        "fee.set",
        "service",
        facts.id,
        service=facts.code,
        provider_id=provider_id,
        kind=kind,
        unit_price_e4=unit_price_e4,
        from_date=str(first),
        until_date=valid_until_date and str(valid_until_date),
    )


def end_fee(tx: Transaction, *, service: str, provider: str | None = None, kind: str = "", until_date: date | None = None) -> None:
    """End the fees of a scope: from `until_date` (today) on the next rank or the price list counts. Raises `NotFound`, `NoSuchFee`."""
    tx.require("fees.manage")
    facts, provider_id, kind = _scope(tx, service, provider, kind)
    until = until_date or tx.business_date
    open_ones = Fee.valid_until_date.is_(None) | (Fee.valid_until_date > until)
    fees = tx.session.scalars(_fees_of(facts.id, provider_id, kind).where(open_ones)).all()
    if not fees:
        raise NoSuchFee(f"No such fee of {facts.code} holds on {until} or later: `billing fee list` shows them.", service=facts.code)
    for fee in fees:
        fee.valid_until_date = max(until, fee.valid_from_date)
    tx.audit("fee.end", "service", facts.id, service=facts.code, provider_id=provider_id, kind=kind, until_date=str(until))


def set_terms(
    tx: Transaction,
    *,
    provider: str | None = None,
    share_bp: int | None = None,
    follow_up_days: int | None = None,
    follow_up_price_e4: int | None = None,
    follow_up_visits: int | None = None,
) -> AgreedTerms:
    """Agree terms with a provider, or (None) with all who have none of their own; return them.

    What is not given stays as it is; a provider's first terms of their own begin as the clinic's. They count for what is paid from now
    on. Raises `NotFound`, `BadTerms`.
    """
    tx.require("fees.manage")
    provider_id = find_provider(tx, provider).id if provider else None
    agreed = tx.session.scalars(select(Terms).where(Terms.provider_id == provider_id)).one_or_none()
    clinics = tx.session.scalars(select(Terms).where(Terms.provider_id.is_(None))).one_or_none()
    base = agreed or clinics
    given = {
        "share_bp": share_bp,
        "follow_up_days": follow_up_days,
        "follow_up_price_e4": follow_up_price_e4,
        "follow_up_visits": follow_up_visits,
    }
    terms = check_terms(replace(_agreed(base) if base else NOTHING_AGREED, **{name: n for name, n in given.items() if n is not None}))
    if agreed is None:
        agreed = Terms(provider_id=provider_id)
        tx.session.add(agreed)
    for name, number in asdict(terms).items():
        setattr(agreed, name, number)
    tx.audit("terms.set", "provider" if provider_id else "clinic", provider_id or tx.clinic_id, **asdict(terms))
    return terms


def list_terms(tx: Transaction) -> tuple[TermsEntry, ...]:
    """List what is agreed: the clinic's terms first, then the providers' own, by name."""
    tx.require("fees.read")
    rows = tx.session.execute(select(Terms, _PROVIDER.c.name).outerjoin(_PROVIDER, _named(Terms.clinic_id, Terms.provider_id, _PROVIDER)))
    entries = (TermsEntry(name, _agreed(terms)) for terms, name in rows)
    return tuple(sorted(entries, key=lambda entry: (entry.provider is not None, entry.provider or "")))


def list_fees(tx: Transaction, *, service: str | None = None) -> tuple[FeeEntry, ...]:
    """List all visits (or one) with their list price, and their fees; those of the past too."""
    tx.require("fees.read")
    wanted = Visit.service_id == find_service(tx, service).id if service else Visit.service_id.is_not(None)
    visits = tx.session.execute(
        select(Visit.follow_up, _SERVICE.c.code, _SERVICE.c.description, _SERVICE.c.unit_price_e4)
        .join(_SERVICE, _named(Visit.clinic_id, Visit.service_id, _SERVICE))
        .where(wanted)
    )
    entries = [FeeEntry(row.code, row.description, row.follow_up, None, "", row.unit_price_e4, None, None) for row in visits]
    fees = tx.session.execute(
        select(Fee, Visit.follow_up, _SERVICE.c.code, _SERVICE.c.description, _PROVIDER.c.name)
        .join(Visit, (Visit.clinic_id == Fee.clinic_id) & (Visit.service_id == Fee.service_id))
        .join(_SERVICE, _named(Fee.clinic_id, Fee.service_id, _SERVICE))
        .outerjoin(_PROVIDER, _named(Fee.clinic_id, Fee.provider_id, _PROVIDER))
        .where(wanted)
    )
    entries += [
        FeeEntry(code, description, follow_up, name, fee.kind, fee.unit_price_e4, fee.valid_from_date, fee.valid_until_date)
        for fee, follow_up, code, description, name in fees
    ]
    return tuple(sorted(entries, key=lambda each: (each.service, each.provider or "", each.kind, each.valid_from_date or date.min)))


def list_shares(tx: Transaction, *, provider: str | None = None, from_date: date | None = None, until_date: date | None = None) -> Shares:
    """List the shares of a provider (of all, if None) of the days [from, until), oldest first, with totals. Raises `NotFound`."""
    tx.require("shares.read")
    query = (
        select(Share, _PROVIDER.c.name, _ITEM.c.code)
        .join(_PROVIDER, _named(Share.clinic_id, Share.provider_id, _PROVIDER))
        .join(_ITEM, _named(Share.clinic_id, Share.item_id, _ITEM))
        .order_by(Share.business_date, Share.id)
    )
    if provider is not None:
        query = query.where(Share.provider_id == find_provider(tx, provider).id)
    if from_date is not None:
        query = query.where(Share.business_date >= from_date)
    if until_date is not None:
        query = query.where(Share.business_date < until_date)
    totals: dict[str, ShareTotal] = {}
    entries = []
    for share, name, code in tx.session.execute(query):
        paid_out = share.paid_out_id is not None
        entries.append(ShareEntry(share.id, share.business_date, name, share.item_id, code, share.amount_minor, paid_out))
        total = totals.get(share.provider_id, ShareTotal(name, 0, 0))
        open_minor = 0 if paid_out else share.amount_minor
        totals[share.provider_id] = ShareTotal(name, total.amount_minor + share.amount_minor, total.open_minor + open_minor)
    return Shares(tuple(entries), tuple(sorted(totals.values(), key=lambda total: total.provider)))


def _scope(tx: Transaction, service: str, provider: str | None, kind: str) -> tuple[Any, str | None, str]:
    facts = find_service(tx, service)
    if _visit(tx, facts.id) is None:
        raise NotAVisit(f"{facts.code} is not marked as a visit: `billing fee visit {facts.code}` does that.", service=facts.code)
    if not (provider or kind.strip()):
        raise BadFee(
            f"Name a provider, a kind of visit, or both: the price of {facts.code} for all is the price list's.", service=facts.code
        )
    return facts, find_provider(tx, provider).id if provider else None, kind.strip()


def _visit(tx: Transaction, service_id: str) -> Visit | None:
    return tx.session.scalars(select(Visit).where(Visit.service_id == service_id)).one_or_none()


def _fees_of(service_id: str, provider_id: str | None, kind: str) -> Any:
    return select(Fee).where(Fee.service_id == service_id, Fee.provider_id == provider_id, Fee.kind == kind)


def _agreed(terms: Terms) -> AgreedTerms:
    return AgreedTerms(terms.share_bp, terms.follow_up_days, terms.follow_up_price_e4, terms.follow_up_visits)


def _named(clinic_id: Any, own_id: Any, table: Any) -> Any:
    return (table.c.clinic_id == clinic_id) & (table.c.id == own_id)
