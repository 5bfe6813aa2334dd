"""What the laboratory makes of another system's observations: items at the price of the record, tests for new services, results. Pure.

A laboratory result is measured on a specimen. A file of observations also holds what is none, and is left alone, to be counted as skipped:
- answers and assessments: text other than a finding. LOINC 56799-0 (an address), 88020-3 and 88021-1 (classes of heart disease) are such;
- numbers measured on the patient: told by their code.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Self

from pydantic import AwareDatetime, ValidationError, model_validator

from billing.plugin import (
    BilledItem,
    Change,
    Claim,
    ImportedItem,
    ImportFacts,
    Invalid,
    Known,
    PluginModel,
    Record,
    Records,
    insert,
    new_id,
    parse_unit_price,
)
from billing_laboratory.model import Analyte, LabTest, PanelMember, ReferenceRange
from billing_laboratory.needs import ANALYTES, IMPORTED_PANELS, IMPORTED_RANGES
from billing_laboratory.rules import DEPARTMENT, Range, ValueKind, as_range, check_range, finding, is_loinc_shaped, read_value

_FINDINGS = frozenset(
    {"positive", "negative", "detected", "not detected", "present", "absent", "reactive", "non-reactive", "indeterminate"}
)
_CODED_FINDING = "(qualifier value)"
_ON_THE_PATIENT = frozenset({"10230-1"})
"""Numbers that no specimen gives: the left ventricular ejection fraction is seen by ultrasound."""

_SPECIMENS = ("serum or plasma", "plasma", "serum", "urine", "blood", "respiratory specimen")
_NO_UNIT = "n/a"


class UnreadableObservation(Invalid):
    """A record of an observation, or what an item was given of one, can't be read. Facts: `code`."""

    code = "unreadable_observation"


class Observation(PluginModel):
    """What an imported item carries: what was measured, how, by whom. Without a value it was only ordered."""

    loinc: str
    name: str
    specimen: str
    unit: str
    value_kind: ValueKind
    value: str | None = None
    measured_at: AwareDatetime
    entered_by: str
    verified_by: str
    normal: Range | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.entered_by == self.verified_by:
            raise ValueError("a result is entered by one and verified by another")
        return self


def observation_of(item: BilledItem | ImportedItem) -> Observation | None:
    """Return what an import gave to the item, or None for an item of the till. Raises `UnreadableObservation`."""
    if not item.given:
        return None
    try:
        return Observation.model_validate(item.given)
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"])) or "the result"
        sentence = f"{item.code} came with a result that can't be read: {where}: {what['msg']}."
        raise UnreadableObservation(sentence, code=item.code) from None


# --- records to items ---------------------------------------------------------------------------------------------------------------


def claims(records: Records) -> Iterator[Claim]:
    """Claim the laboratory results among a visit's records, each as an item of its own, free unless the record has a BASE_COST."""
    for record in records.rows:
        if record.kind == "observation" and _is_laboratory(record.row):
            yield _claim(record, records)


def _is_laboratory(row: Mapping[str, str]) -> bool:
    code, value = row.get("CODE", ""), row.get("VALUE", "")
    if not is_loinc_shaped(code) or code in _ON_THE_PATIENT:
        return False
    if row.get("TYPE") == ValueKind.TEXT:
        return finding(value) in _FINDINGS or value.strip().endswith(_CODED_FINDING)
    return row.get("TYPE") == ValueKind.NUMERIC


def _claim(record: Record, records: Records) -> Claim:
    row = record.row
    code, name, kind = row["CODE"], row.get("DESCRIPTION", "").strip(), ValueKind(row["TYPE"])
    if not name:
        raise UnreadableObservation(f"The observation {code} of visit {records.visit_id} has no DESCRIPTION.", code=code)
    value = row.get("VALUE", "").strip()
    unit = row.get("UNITS", "").strip()
    observation = Observation(
        loinc=code,
        name=name,
        specimen=row.get("SPECIMEN") or _specimen(name),
        unit="" if unit == _NO_UNIT else unit,
        value_kind=kind,
        value=read_value(value, kind=kind) if value else None,
        measured_at=record.at,
        entered_by=records.entered_by,
        verified_by=records.verified_by,
        normal=_normal(row, kind=kind),
    )
    return Claim(
        record=record,
        department=DEPARTMENT,
        code=f"LAB-{code}",
        description=name,
        unit_price_e4=parse_unit_price(row.get("BASE_COST") or "0", records.currency),
        given=observation.model_dump(mode="json", exclude_none=True),
    )


def _specimen(name: str) -> str:
    lowered = name.casefold()
    return next((each for each in _SPECIMENS if each in lowered), "unspecified")


def _normal(row: Mapping[str, str], *, kind: ValueKind) -> Range | None:
    columns = {"low": "LOW", "high": "HIGH", "critical_low": "CRITICAL_LOW", "critical_high": "CRITICAL_HIGH", "normal_text": "NORMAL"}
    limits: dict[str, Any] = {name: row[column].strip() for name, column in columns.items() if row.get(column)}
    if not limits:
        return None
    found = replace(Range(sex=row.get("SEX") or None, species=(row.get("SPECIES") or "").strip().casefold() or None), **limits)
    check_range(found, kind=kind)
    return found


# --- items to tests -----------------------------------------------------------------------------------------------------------------


def new_tests(imported: ImportFacts, items: Iterable[ImportedItem], known: Known) -> Iterator[Change]:
    """Say which tests, analytes and ranges must stand before the items are paid; each once, however often it is named.

    What the laboratory knows already stays as it is: an analyte keeps its name and unit, and the ranges for whom it has some.
    """
    measured = {(row.service_id, row.loinc): row.analyte_id for row in known[IMPORTED_PANELS]}
    analytes = {row.loinc: row.id for row in known[ANALYTES]}
    tested = {service_id for service_id, _ in measured}
    ranges = [(row.analyte_id, as_range(row)) for row in known[IMPORTED_RANGES]]
    # The ranges of an analyte that only other tests measure were not read, so none may be added to it.
    judged = set(measured.values())
    for item in items:
        observation = observation_of(item)
        if observation is None:
            continue
        if item.service_id not in tested:
            tested.add(item.service_id)
            if observation.loinc not in analytes:
                analytes[observation.loinc] = new_id()
                judged.add(analytes[observation.loinc])
                yield _new_analyte(imported, analytes[observation.loinc], observation)
            measured[item.service_id, observation.loinc] = analytes[observation.loinc]
            yield from _new_test(imported, item, observation, analyte_id=analytes[observation.loinc])
        analyte_id = measured.get((item.service_id, observation.loinc))
        if observation.normal is not None and analyte_id is not None and analyte_id in judged:
            yield from _new_range(imported, analyte_id, observation.normal, ranges)


def _new_analyte(imported: ImportFacts, analyte_id: str, observation: Observation) -> Change:
    return insert(
        Analyte,
        id=analyte_id,
        loinc=observation.loinc,
        name=observation.name,
        unit=observation.unit,
        value_kind=observation.value_kind.value,
        decimals=None,
        created_at=imported.at,
    )


def _new_test(imported: ImportFacts, item: ImportedItem, observation: Observation, *, analyte_id: str) -> Iterator[Change]:
    test_id = new_id()
    yield insert(
        LabTest,
        id=test_id,
        service_id=item.service_id,
        loinc=observation.loinc,
        name=observation.name,
        specimen=observation.specimen,
        active=True,
        created_at=imported.at,
    )
    yield insert(PanelMember, test_id=test_id, analyte_id=analyte_id, position=1)


def _new_range(imported: ImportFacts, analyte_id: str, normal: Range, ranges: list[tuple[str, Range]]) -> Iterator[Change]:
    of_analyte = [each for key, each in ranges if key == analyte_id]
    if any((each.sex, each.species) == (normal.sex, normal.species) for each in of_analyte):
        return
    positioned = replace(normal, position=max((each.position for each in of_analyte), default=0) + 1)
    ranges.append((analyte_id, positioned))
    yield insert(ReferenceRange, analyte_id=analyte_id, **asdict(positioned), active=True, created_at=imported.at)
