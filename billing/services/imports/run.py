"""The import of a whole export: checked first, then visit by visit in short units. Knows neither files nor what a record is.

A visit is one unit: the invoice with its payer's part, the patient's part in cash, the claim that the payer pays, all money under
keys of its own. So it can be stopped at any moment and run again. All are dated when the visit began: numbers of invoices and receipts
rise with their dates, also past long stays.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import bindparam, select

from billing import registry
from billing.database import Database
from billing.errors import BillingError, Conflict
from billing.facts import Records
from billing.model import CLINIC, Invoice, canonical_json
from billing.model import Claim as ClaimOnPayer
from billing.model.lists import texts
from billing.model.types import NIL_ID, IdType
from billing.money import Currency, format_amount, parse_amount, round_cash
from billing.registry import Registry
from billing.rules.settlement import Scope
from billing.rules.tenders import Tender
from billing.services import shifts
from billing.services.claims import pay_claims
from billing.services.covering import Cover, cover_invoice
from billing.services.imports.claiming import Claimed, claim_records, find_culprit
from billing.services.imports.people import ENTRY, Importers, prepare_importers, prepare_patients, prepare_payers, prepare_providers
from billing.services.imports.synthea import BadExport, Export, ExportVisit, located
from billing.services.imports.visits import KnownService, VisitBilled, VisitToBill, bill_visit
from billing.services.payments import take_payment
from billing.transaction import ClinicFacts, Transaction
from billing.trips import Query, Row

T = TypeVar("T")

BATCH = 200
"""So many visits, patients or providers are looked up at once."""


class VisitChanged(Conflict):
    """The export says something else of a visit that was imported before. Facts: `visit`, `total`, `imported_total`."""

    code = "visit_changed"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records of one kind and code that became nothing, and why."""

    kind: str
    code: str
    description: str
    reason: str
    count: int


NOT_CLAIMED = "no department claims it"
NOBODY = Importers(NIL_ID, "")
"""Stands for the importing actors as long as nothing is stored: they may not exist yet."""

_STATES = Query(
    select(Invoice.source, Invoice.id, Invoice.status, Invoice.total_minor, Invoice.amount_paid_minor)
    .where(Invoice.clinic_id == CLINIC, Invoice.source.op("IN")(texts("sources")))
    .order_by(Invoice.created_at, Invoice.id)
)

_CLAIM = Query(
    select(ClaimOnPayer.id).where(ClaimOnPayer.clinic_id == CLINIC, ClaimOnPayer.invoice_id == bindparam("invoice_id", type_=IdType()))
)


def import_export(
    database: Database, *, export: Export, clinic: str, actor: str, done: Callable[[int], None] = lambda _: None
) -> tuple[Skipped, ...]:
    """Import an export into a clinic and return what was skipped; `done` hears how many visits are done. What is there already stays.

    The actor needs `imports.run` and is audited; the units themselves are run by the importing actor.
    Every record is claimed once before anything is stored, so a bad cell, or a LINE_TOTAL that is not the sum of its visit, stops the
    import before it begins. Raises errors that name file and line; the visits before that one stand, and a rerun goes on behind them.
    """
    plugins, facts = database.read(_ground, actor=actor, clinic=clinic)
    totals, skipped = _check(plugins, facts, export)
    importers = database.run(lambda tx: prepare_importers(tx, visits=len(export.visits)), actor=actor, clinic=clinic)
    work = _Work(database, clinic, plugins, facts, export, importers, totals)
    work.prepare_people()
    for visits in _batched(export.visits):
        states = work.states(visits)
        for visit in visits:
            try:
                work.carry_out(visit, states.get(visit.source))
            except BillingError as error:
                raise located(error, visit.place) from error
            done(1)
    work.close_shift()
    return skipped


def _ground(tx: Transaction) -> tuple[Registry, ClinicFacts]:
    tx.require("imports.run")
    return registry.of(tx), tx.clinic


def _check(plugins: Registry, clinic: ClinicFacts, export: Export) -> tuple[dict[str, int], tuple[Skipped, ...]]:
    """Claim all records once; return what each visit comes to, and what nobody claims."""
    totals: dict[str, int] = {}
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for visit in export.visits:
        claimed = _claim(plugins, clinic, export, visit, NOBODY)
        _amount(visit, "PAYER_COVERAGE", clinic.currency)
        totals[visit.source] = claimed.total_minor
        for record in claimed.skipped:
            counts[record.kind, record.row.get("CODE", ""), record.row.get("DESCRIPTION", ""), NOT_CLAIMED] += 1
    for (kind, reason), count in export.unplaced.items():
        counts[kind, "", "", reason] += count
    return totals, tuple(Skipped(*what, count) for what, count in sorted(counts.items()))


def _claim(plugins: Registry, clinic: ClinicFacts, export: Export, visit: ExportVisit, importers: Importers) -> Claimed:
    """Return the claims of a visit. Raises an error that names file and line."""
    placed = export.records(visit)
    records = Records(
        visit_id=visit.source,
        at=visit.started_at,
        currency=clinic.currency,
        rows=tuple(record for record, _ in placed),
        entered_by=importers.entered_by,
        verified_by=importers.verified_by,
    )
    try:
        claimed = claim_records(plugins, clinic, records)
    except BillingError as error:
        culprit = find_culprit(plugins, clinic, records)
        place = next((place for record, place in placed if record is culprit), visit.place)
        raise located(error, place) from error
    stated = _amount(visit, "LINE_TOTAL", clinic.currency)
    if stated not in {None, claimed.total_minor}:
        comes_to = format_amount(claimed.total_minor, clinic.currency)
        raise BadExport(
            f"{visit.place.file}, line {visit.place.line}: LINE_TOTAL is {visit.row['LINE_TOTAL']}, but what departments claim of the "
            f"visit comes to {comes_to}: mend the export, or enable the plugin whose records are missing.",
            file=visit.place.file,
            line=visit.place.line,
            column="LINE_TOTAL",
        )
    return claimed


def _amount(visit: ExportVisit, column: str, currency: Currency) -> int | None:
    """Return an amount of the visit's own record in minor units, None where it has none. Raises `BadAmount` naming file and line."""
    if not visit.row.get(column):
        return None
    try:
        return parse_amount(visit.row[column], currency)
    except BillingError as error:
        raise located(error, visit.place) from None


@dataclass(frozen=True, slots=True)
class _Work:
    """An import under way: where, what, as whom; and what it has learned so far."""

    database: Database
    clinic: str
    plugins: Registry
    facts: ClinicFacts
    export: Export
    importers: Importers
    totals: Mapping[str, int]
    patients: dict[str, str] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    services: dict[str, KnownService] = field(default_factory=dict)
    shifts: list[str] = field(default_factory=list)
    """The shift that was opened or found open, once something is paid."""

    def prepare_people(self) -> None:
        """Make the patients, payers and providers that are not there yet."""
        for patients in _batched(tuple(self.export.patients.values())):
            self.patients.update(self._run(lambda tx, these=patients: prepare_patients(tx, these)))  # type: ignore[misc]
        names = {each.provider: self.export.providers.get(each.provider) or f"Provider {each.provider[:8]}" for each in self.export.visits}
        payers = {
            _payer(each): self.export.payers.get(each.row["PAYER"]) or each.row["PAYER"] or "Unknown"
            for each in self.export.visits
            if each.row.get("PAYER_COVERAGE")
        }
        self._run(lambda tx: prepare_payers(tx, payers))
        for providers in _batched(tuple(names.items())):
            self.providers.update(self._run(lambda tx, these=providers: prepare_providers(tx, dict(these))))  # type: ignore[misc]

    def close_shift(self) -> None:
        """Close the shift that imported cash went to, also one that an import which was stopped has left; nobody counts it."""
        if self.database.read(lambda tx: tx.actor.shift, actor=ENTRY, clinic=self.clinic):
            self._run(lambda tx: shifts.close_shift(tx, counted=None))

    def _open_shift(self) -> None:
        # That of an import which was stopped is used on.
        def unit(tx: Transaction) -> str:
            found = tx.actor.shift
            return found.id if found else shifts.open_shift(tx, drawer=ENTRY, float_minor=0, kind="import").id

        if not self.shifts:
            self.shifts.append(self._run(unit))

    def states(self, visits: Sequence[ExportVisit]) -> dict[str, Row]:
        """Return the invoices of the visits that have one by source, a live one before a cancelled one."""
        sources = canonical_json([visit.source for visit in visits])
        rows = self.database.read(lambda tx: tx.rows(_STATES, sources=sources), actor=ENTRY, clinic=self.clinic)
        return {row.source: row for row in sorted(rows, key=lambda row: row.status != "cancelled")}

    def carry_out(self, visit: ExportVisit, state: Row | None) -> None:
        """Do what is missing of a visit, in one unit. An invoice that people have cancelled since stays cancelled."""
        if state is None:
            self._bill_and_pay(visit)
            return
        if state.status == "cancelled":
            return
        if state.total_minor != self.totals[visit.source]:
            raise self._changed(visit, state.total_minor)
        if state.status != "paid":
            self._open_shift()
            self._run(lambda tx: self._pay(tx, visit, state.id, state.total_minor, state.amount_paid_minor), at=visit.started_at)

    def _bill_and_pay(self, visit: ExportVisit) -> None:
        claimed = _claim(self.plugins, self.facts, self.export, visit, self.importers)
        if not claimed.claims:
            return  # counted as skipped, record by record
        self._open_shift()
        to_bill = VisitToBill(
            source=visit.source,
            patient_id=self.patients[visit.patient],
            provider_id=self.providers[visit.provider],
            kind=visit.row["ENCOUNTERCLASS"] or "visit",
            ended_at=visit.ended_at,
            claims=claimed.claims,
            expected_total_minor=claimed.total_minor,
        )

        def unit(tx: Transaction) -> VisitBilled:
            billed = bill_visit(tx, visit=to_bill, services=self.services, key=_key(visit, "invoice"))
            if billed.services:  # else it was billed before under this key, and paid in the same unit
                self._pay(tx, visit, billed.invoice_id, billed.total_minor, 0)
            return billed

        self.services.update(self._run(unit, at=visit.started_at).services)

    def _pay(self, tx: Transaction, visit: ExportVisit, invoice_id: str, total_minor: int, paid_minor: int) -> None:
        due_minor = total_minor - paid_minor
        # Of a visit that an older import has begun to pay, the payer's part was taken on account.
        covered_minor = 0 if paid_minor else min(_amount(visit, "PAYER_COVERAGE", self.facts.currency) or 0, due_minor)
        if covered_minor:
            cover_invoice(tx, invoice_id=invoice_id, cover=Cover(payer=_payer(visit), amount_minor=covered_minor))
        rest_minor = due_minor - covered_minor
        cash = [Tender("cash", round_cash(rest_minor, self.facts.currency))] if rest_minor else []
        take_payment(tx, invoice_id=invoice_id, scope=Scope.all(), tenders=cash, key=_key(visit, "cash"))
        if covered_minor:
            claim = tx.row(_CLAIM, invoice_id=invoice_id)
            assert claim is not None, "a covered invoice has a claim once it is issued"
            pay_claims(
                tx,
                payer=_payer(visit),
                amount_minor=covered_minor,
                reference=visit.source,
                parts={claim.id: covered_minor},
                key=_key(visit, "claim"),
            )

    def _run(self, unit: Callable[[Transaction], T], **when: Any) -> T:
        return self.database.run(unit, actor=ENTRY, clinic=self.clinic, **when)

    def _changed(self, visit: ExportVisit, imported_minor: int) -> VisitChanged:
        imported, total = (format_amount(minor, self.facts.currency) for minor in (imported_minor, self.totals[visit.source]))
        return VisitChanged(
            f"The encounter {visit.source} was imported with a total of {imported}; now it comes to {total}: correct its invoice by hand.",
            visit=visit.source,
            total=total,
            imported_total=imported,
        )


def _payer(visit: ExportVisit) -> str:
    """Return the code by which a visit's payer is known here; one that the visit does not name is nobody in particular."""
    return visit.row["PAYER"] or "unknown"


def _key(visit: ExportVisit, step: str) -> str:
    return f"synthea:{visit.source}:{step}"


def _batched(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(values)
    while batch := tuple(islice(rest, BATCH)):
        yield batch
