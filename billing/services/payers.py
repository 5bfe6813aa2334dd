"""Payers and what they cover: insurers and companies that answer for a part of clients' bills."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import select

from billing.changes.failures import explains
from billing.errors import Conflict, Invalid, NotFound, Refused
from billing.model import Client, Coverage, Patient, Payer
from billing.rules.coverage import Terms
from billing.services.inputs import check_limit, check_line, check_source, find_row
from billing.transaction import Transaction


@explains("uq_payer_code", "A payer with this code is here already.")
class PayerTaken(Conflict):
    """The clinic has a payer with this code."""

    code = "payer_taken"


@explains("uq_payer_source", "A payer of this source is here already.")
class PayerSourceTaken(Conflict):
    """A payer came from this source before."""

    code = "payer_source_taken"


class UnknownPayer(NotFound):
    """The clinic has no such payer. Facts: `payer`."""

    code = "unknown_payer"


class UnknownCoverage(NotFound):
    """The clinic has no such coverage. Facts: `coverage`."""

    code = "unknown_coverage"


class BadCoverage(Invalid):
    """A coverage whose percentage, co-pays, caps, days or people can't be. Facts: `field`."""

    code = "bad_coverage"


class NotCovered(Refused):
    """The coverage is not of this client and patient, or not of this day. Facts: `coverage`."""

    code = "not_covered"


@dataclass(frozen=True, slots=True)
class PayerRow:
    """A payer as lists show it."""

    id: str
    code: str
    name: str
    kind: str
    active: bool


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """A coverage as lists show it; from `from_date` until before `until_date`. Minor units of the clinic's currency."""

    id: str
    payer_id: str
    client_id: str
    patient_id: str | None
    policy_number: str
    percent_bp: int
    item_copay_minor: int
    visit_copay_minor: int
    visit_cap_minor: int | None
    year_cap_minor: int | None
    from_date: date
    until_date: date | None
    active: bool


def add_payer(tx: Transaction, *, code: str, name: str, kind: str = "insurer", source: str | None = None) -> PayerRow:
    """Add a payer; `kind` is insurer or company. Raises `BadText`, `BadCoverage`, `PayerTaken`, `PayerSourceTaken`."""
    tx.require("payers.manage")
    if kind not in ("insurer", "company"):
        raise BadCoverage(f"A payer is an insurer or a company, not {kind[:40]!r}.", field="kind")
    row = Payer(
        code=check_line(code, "The code", longest=60),
        name=check_line(name, "The name"),
        kind=kind,
        active=True,
        source=check_source(source),
        created_at=tx.at,
    )
    tx.session.add(row)
    tx.session.flush()  # gives the id, and says at once if the code is taken
    tx.audit("payer.added", "payer", row.id, kind=kind)
    return PayerRow(row.id, row.code, row.name, row.kind, row.active)


def list_payers(tx: Transaction) -> list[PayerRow]:
    """Return all payers by code."""
    tx.require("payers.read")
    rows = tx.session.scalars(select(Payer).order_by(Payer.code))
    return [PayerRow(row.id, row.code, row.name, row.kind, row.active) for row in rows]


def find_payer(tx: Transaction, payer: str) -> Payer:
    """Return a payer by code or id. Raises `UnknownPayer`."""
    tx.require("payers.read")
    row = tx.session.scalars(select(Payer).where(Payer.code == payer)).one_or_none() or find_row(tx, Payer, payer)
    if row is None:
        raise UnknownPayer(f"There is no payer {payer[:60]!r} in this clinic: `billing payer list` shows them.", payer=payer)
    return row


def set_payer_active(tx: Transaction, *, payer: str, active: bool) -> PayerRow:
    """Let a payer be used, or not any more; claims on it stay. Raises `UnknownPayer`."""
    tx.require("payers.manage")
    row = find_payer(tx, payer)
    row.active = active
    tx.audit("payer.changed", "payer", row.id, active=active)
    return PayerRow(row.id, row.code, row.name, row.kind, row.active)


def add_coverage(
    tx: Transaction,
    *,
    payer: str,
    client_id: str,
    patient_id: str | None = None,
    policy_number: str = "",
    percent_bp: int,
    item_copay_minor: int = 0,
    visit_copay_minor: int = 0,
    visit_cap_minor: int | None = None,
    year_cap_minor: int | None = None,
    from_date: date | None = None,
    until_date: date | None = None,
) -> CoverageRow:
    """Say what a payer answers for of a client's bills. Raises `UnknownPayer`, `BadCoverage`."""
    tx.require("payers.manage")
    row = find_payer(tx, payer)
    if find_row(tx, Client, client_id) is None:
        raise BadCoverage("There is no such client in this clinic.", field="client_id")
    patient = find_row(tx, Patient, patient_id) if patient_id else None
    if patient_id and (patient is None or patient.client_id != client_id):
        raise BadCoverage("The patient is not one of this client's.", field="patient_id")
    start = from_date or tx.business_date
    bounds = {
        "percent_bp": 0 <= percent_bp <= 10000,
        "item_copay_minor": item_copay_minor >= 0,
        "visit_copay_minor": visit_copay_minor >= 0,
        "visit_cap_minor": visit_cap_minor is None or visit_cap_minor >= 0,
        "year_cap_minor": year_cap_minor is None or year_cap_minor >= 0,
        "until_date": until_date is None or until_date > start,
    }
    if wrong := [field for field, right in bounds.items() if not right]:
        raise BadCoverage(
            f"{wrong[0]} does not fit: a percentage up to 100, amounts from zero, an end after the beginning.", field=wrong[0]
        )
    made = Coverage(
        payer_id=row.id,
        client_id=client_id,
        patient_id=patient_id,
        policy_number=check_line(policy_number, "The policy number", longest=100, empty=True),
        percent_bp=percent_bp,
        item_copay_minor=item_copay_minor,
        visit_copay_minor=visit_copay_minor,
        visit_cap_minor=visit_cap_minor,
        year_cap_minor=year_cap_minor,
        from_date=start,
        until_date=until_date,
        active=True,
        created_at=tx.at,
    )
    tx.session.add(made)
    tx.session.flush()
    tx.audit("coverage.added", "coverage", made.id, payer_id=row.id, client_id=client_id, percent_bp=percent_bp)
    return _seen(made)


def end_coverage(tx: Transaction, *, coverage_id: str) -> CoverageRow:
    """End a coverage today; bills that it covers already stay covered. Raises `UnknownCoverage`."""
    tx.require("payers.manage")
    row = read_coverage(tx, coverage_id, lock=True)
    row.active = False
    tx.audit("coverage.ended", "coverage", row.id)
    return _seen(row)


def list_coverages(
    tx: Transaction, *, client_id: str | None = None, limit: int = 50, after: CoverageRow | None = None
) -> list[CoverageRow]:
    """Return a page of coverages, of one client if given. Raises `BadLimit`."""
    tx.require("payers.read")
    statement = select(Coverage)
    if client_id is not None:
        statement = statement.where(Coverage.client_id == client_id)
    if after is not None:
        statement = statement.where(Coverage.id > after.id)
    return [_seen(row) for row in tx.session.scalars(statement.order_by(Coverage.id).limit(check_limit(limit)))]


def read_coverage(tx: Transaction, coverage_id: str, *, lock: bool = False) -> Coverage:
    """Return a coverage's row. Raises `UnknownCoverage`."""
    tx.require("payers.read")
    row = find_row(tx, Coverage, coverage_id, lock=lock)
    if row is None:
        raise UnknownCoverage(f"There is no coverage {coverage_id[:60]!r} in this clinic.", coverage=coverage_id)
    return row


def terms_of(row: Coverage, *, used_minor: int) -> Terms:
    """Return a coverage's terms for one bill, of which `used_minor` are used up this year."""
    caps = [
        each for each in (row.visit_cap_minor, None if row.year_cap_minor is None else row.year_cap_minor - used_minor) if each is not None
    ]
    return Terms(row.percent_bp, row.item_copay_minor, row.visit_copay_minor, min(caps) if caps else None)


def _seen(row: Coverage) -> CoverageRow:
    return CoverageRow(**{name: getattr(row, name) for name in CoverageRow.__slots__})
