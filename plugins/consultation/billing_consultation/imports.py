"""Visits and procedures of an import, and those of the demonstration. It must not know files or where records come from.

A visit is priced by its own row; fees of this clinic don't apply to what another system has billed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.plugin import (
    Change,
    Claim,
    ImportedItem,
    Invalid,
    Known,
    QuotingClinic,
    Record,
    Records,
    insert,
    parse_quantity,
    parse_unit_price,
    put,
)
from billing_consultation import needs
from billing_consultation.model import Terms, Visit
from billing_consultation.rules import share_bp_of

DEPARTMENT = "consultation"


class IncompleteRecord(Invalid):
    """A visit or procedure lacks a column that its item needs. Facts: `column`, `visit`."""

    code = "incomplete_record"


def claims(records: Records) -> Iterator[Claim]:
    """Claim each visit and each procedure as an item of its own: repeated rows are real. Raises `IncompleteRecord`, `BadUnitPrice`."""
    for record in records.rows:
        if record.kind == "visit":
            yield _claim(records, record, prefix="VISIT", cost="BASE_ENCOUNTER_COST", given=_handed_on(record))
        elif record.kind == "procedure":
            yield _claim(records, record, prefix="PROC", cost="BASE_COST", given={})


def changes(items: tuple[ImportedItem, ...], known: Known) -> Iterator[Change]:
    """Mark services as visits that are none yet, and agree the terms that a visit brings in a clinic that has none."""
    marked = {row.service_id for row in known[needs.IMPORTED_VISITS]}
    visits = [item for item in items if item.given.get("visit") is not None]
    for service_id in dict.fromkeys(item.service_id for item in visits):
        if service_id not in marked:
            yield put(Visit, {"service_id": service_id}, follow_up=True)
    brought = [item.given["terms"] for item in visits if "terms" in item.given]
    if brought and not known[needs.CLINIC_TERMS]:
        yield insert(Terms, provider_id=None, **brought[0])


def demonstration(clinic: QuotingClinic) -> Iterator[Record]:
    """Bring six visits of people and animals: the fifth is the first patient's follow-up, free by the terms that the visits bring."""
    for visit, kind, code, description, cost in _VISITS:
        row = {"VISIT": visit, "ENCOUNTERCLASS": kind, "CODE": code, "DESCRIPTION": description, "BASE_ENCOUNTER_COST": cost}
        yield Record("visit", row | _DEMO_TERMS, clinic.at)
    for visit, code, description, cost in _PROCEDURES:
        yield Record("procedure", {"VISIT": visit, "CODE": code, "DESCRIPTION": description, "BASE_COST": cost}, clinic.at)


_DEMO_TERMS = {"SHARE_PERCENT": "40", "FOLLOW_UP_DAYS": "14"}

_VISITS = (
    ("1", "ambulatory", "GENERAL", "General consultation", "45.00"),
    ("2", "ambulatory", "GENERAL", "General consultation", "45.00"),
    ("3", "ambulatory", "SMALL-ANIMAL", "Examination of a small animal", "38.00"),
    ("4", "ambulatory", "SMALL-ANIMAL", "Examination of a small animal", "38.00"),
    ("5", "ambulatory", "GENERAL", "General consultation", "0.00"),
    ("6", "home", "STABLE", "Visit to the stable", "95.00"),
)

_PROCEDURES = (
    ("2", "ECG", "Electrocardiogram, 12 leads", "28.50"),
    ("3", "CLAWS", "Claw trimming", "14.00"),
    ("4", "DENTAL", "Dental scaling under sedation", "120.00"),
    ("6", "LAMENESS", "Lameness examination with flexion tests", "65.00"),
    ("6", "NERVE-BLOCK", "Nerve block, one limb", "40.00"),
    ("6", "NERVE-BLOCK", "Nerve block, one limb", "40.00"),
)


def _claim(records: Records, record: Record, *, prefix: str, cost: str, given: Mapping[str, Any]) -> Claim:
    code = _cell(record, "CODE", records.visit_id)
    return Claim(
        record=record,
        department=DEPARTMENT,
        code=f"{prefix}-{code}",
        description=_cell(record, "DESCRIPTION", records.visit_id),
        unit_price_e4=parse_unit_price(_cell(record, cost, records.visit_id), records.currency),
        given=given,
    )


def _handed_on(visit: Record) -> dict[str, Any]:
    """Return the visit's kind, and the clinic's terms where our own records name them (other systems' exports don't)."""
    given: dict[str, Any] = {"visit": visit.row.get("ENCOUNTERCLASS", "")}
    if "FOLLOW_UP_DAYS" in visit.row:
        given["terms"] = {
            "share_bp": share_bp_of(visit.row["SHARE_PERCENT"]),
            "follow_up_days": parse_quantity(visit.row["FOLLOW_UP_DAYS"]) // 1000,
            "follow_up_price_e4": 0,
            "follow_up_visits": 1,
        }
    return given


def _cell(record: Record, column: str, visit_id: str) -> str:
    if text := record.row.get(column, "").strip():
        return text
    raise IncompleteRecord(
        f"A {record.kind} of visit {visit_id} has no {column}: it can't be billed. Mend the file.", column=column, visit=visit_id
    )
