"""Whose records are these: asks the plugins what they make of a visit. Pure; knows neither files nor a database."""

from collections.abc import Container
from dataclasses import dataclass, replace

from billing.changes.kernel import violation
from billing.errors import BillingError, Misconfigured
from billing.facts import Claim, Record, Records
from billing.registry import Plugin, Registry
from billing.rules.totals import Line
from billing.services.quotation import UNTAXED
from billing.transaction import ClinicFacts


class ClaimedTwice(Misconfigured):
    """Two plugins claim the same record. Facts: `kind`, `plugins`."""

    code = "record_claimed_twice"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The records of a visit, in their order: those that become items, and those that nobody wants."""

    claims: tuple[Claim, ...]
    skipped: tuple[Record, ...]

    @property
    def total_minor(self) -> int:
        """What the items come to, in minor units: untaxed, as imported items are."""
        return sum(Line(each.quantity_milli, each.unit_price_e4, UNTAXED).net_minor() for each in self.claims)


def claim_records(plugins: Registry, clinic: ClinicFacts, records: Records) -> Claimed:
    """Ask the clinic's plugins, each for the kinds that it declared. Raises `ClaimedTwice`, `PluginViolation`, and what a plugin raises."""
    places = {id(record): place for place, record in enumerate(records.rows)}
    owners: dict[int, Plugin] = {}
    found: list[tuple[int, Claim]] = []
    for plugin in plugins.enabled(clinic):
        own = tuple(record for record in records.rows if record.kind in plugin.declaration.record_kinds)
        if not own:
            continue
        given = {id(record) for record in own}
        for claim in plugins.import_records(plugin, replace(records, rows=own)):
            _check(plugin, claim, given)
            owner = owners.setdefault(id(claim.record), plugin)
            if owner is not plugin:
                raise _claimed_twice(claim.record, owner, plugin)
            found.append((places[id(claim.record)], claim))
    found.sort(key=lambda each: each[0])
    return Claimed(tuple(claim for _, claim in found), tuple(record for record in records.rows if id(record) not in owners))


def find_culprit(plugins: Registry, clinic: ClinicFacts, records: Records) -> Record | None:
    """Return the record that the plugins refuse by itself, or None: a plugin that raises does not say at which record it was."""
    for record in records.rows:
        try:
            claim_records(plugins, clinic, replace(records, rows=(record,)))
        except BillingError:
            return record
    return None


def _check(plugin: Plugin, claim: object, given: Container[int]) -> None:
    if not isinstance(claim, Claim) or id(claim.record) not in given:
        raise violation(plugin.name, "import_records", f"it answered {type(claim).__name__}, which claims no record that it was given")
    if claim.department not in {each.code for each in plugin.declaration.departments}:
        raise violation(plugin.name, "import_records", f"it claimed a record for {claim.department}, which is no department of its own")


def _claimed_twice(record: Record, one: Plugin, other: Plugin) -> ClaimedTwice:
    code = record.row.get("CODE", "")
    return ClaimedTwice(
        f"The plugins {one.name} and {other.name} both claim the {record.kind} {code}: disable one of them in this clinic.",
        kind=record.kind,
        plugins=[one.name, other.name],
    )
