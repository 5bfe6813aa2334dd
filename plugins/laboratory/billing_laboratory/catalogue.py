"""What the laboratory can do: tests, analytes and reference ranges, set up by those who manage it. Knows no orders."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Text, cast, func, select

from billing.plugin import Base, Conflict, Invalid, NotFound, Refused, Transaction, find_service
from billing_laboratory.model import Analyte, LabTest, PanelMember, ReferenceRange
from billing_laboratory.permissions import MANAGE, READ
from billing_laboratory.rules import DEPARTMENT, Range, ValueKind, as_range, check_range, range_text, read_loinc, read_text

MOST_ANALYTES = 100
"""No panel is longer."""

_SERVICE = Base.metadata.tables["service"]


class UnknownAnalyte(NotFound):
    """The laboratory measures no analyte of that LOINC code. Facts: `loinc`."""

    code = "unknown_lab_analyte"


class UnknownTest(NotFound):
    """The service names no test of the laboratory. Facts: `service`."""

    code = "unknown_lab_test"


class UnknownRange(NotFound):
    """There is no such reference range. Facts: `range`."""

    code = "unknown_reference_range"


class OtherDepartment(Refused):
    """A test is a service of the laboratory only. Facts: `service`, `department`."""

    code = "not_a_laboratory_service"


class TestTaken(Conflict):
    """The service names a test already. Facts: `service`."""

    __test__ = False  # it is an error, not one of pytest's classes
    code = "lab_test_taken"


class AnalyteTaken(Conflict):
    """The laboratory knows an analyte of that LOINC code already. Facts: `loinc`."""

    code = "lab_analyte_taken"


class ImpossiblePanel(Invalid):
    """A panel names no analyte, too many, or one twice."""

    code = "impossible_panel"


@dataclass(frozen=True, slots=True)
class TestRow:
    """A test as it is listed: its service's code, and the LOINC codes of its analytes in order."""

    __test__ = False  # it is a row, not one of pytest's classes

    service: str
    loinc: str
    name: str
    specimen: str
    analytes: tuple[str, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class AnalyteRow:
    """An analyte as it is listed."""

    loinc: str
    name: str
    unit: str
    value_kind: str
    decimals: int | None


@dataclass(frozen=True, slots=True)
class RangeRow:
    """A reference range as it is listed. Ages in days, the second excluded; `normal` is what a report prints."""

    id: str
    analyte: str
    name: str
    species: str
    sex: str
    age_from_days: int
    age_until_days: int | None
    normal: str
    critical_low: str
    critical_high: str


def add_test(tx: Transaction, *, service_code: str, loinc: str, name: str = "", specimen: str, analytes: Sequence[str] = ()) -> str:
    """Make a service of the price list order a test, and return the test's id.

    `analytes` are LOINC codes in the order of the report; without any the test measures the one analyte that has its own code.
    Without a name it is called as on the price list.
    Raises `NotFound` for an unknown service or analyte, `OtherDepartment`, `TestTaken`, and `Invalid` errors.
    """
    tx.require(MANAGE)
    service = find_service(tx, service_code)
    if service.department != DEPARTMENT:
        raise OtherDepartment(
            f"{service.code} belongs to the department {service.department}: only services of {DEPARTMENT} order tests.",
            service=service.code,
            department=service.department,
        )
    code, members = read_loinc(loinc), _members(tx, analytes or [loinc])
    if tx.session.scalar(select(LabTest.id).where(LabTest.service_id == service.id)) is not None:
        raise TestTaken(f"{service.code} orders a test already: see `billing lab test list`.", service=service.code)
    test = LabTest(
        service_id=service.id,
        loinc=code,
        name=read_text(name or service.description, what="The test's name"),
        specimen=read_text(specimen, what="The specimen"),
        active=True,
        created_at=tx.at,
    )
    tx.session.add(test)
    tx.session.flush()  # its members refer to it
    for position, analyte_id in enumerate(members, start=1):
        tx.session.add(PanelMember(test_id=test.id, analyte_id=analyte_id, position=position))
    tx.audit("lab.test.added", "lab_test", test.id, service=service.code, loinc=code, analytes=len(members))
    return test.id


def retire_test(tx: Transaction, *, service_code: str) -> None:
    """Take a test out of use: it can't be billed or paid any more; what is ordered goes on. Raises `UnknownTest`."""
    tx.require(MANAGE)
    service = find_service(tx, service_code)
    test = tx.session.scalars(select(LabTest).where(LabTest.service_id == service.id, LabTest.active).with_for_update()).one_or_none()
    if test is None:
        raise UnknownTest(f"{service.code} orders no test that is in use.", service=service.code)
    test.active = False
    tx.audit("lab.test.retired", "lab_test", test.id, service=service.code)


def add_analyte(
    tx: Transaction, *, loinc: str, name: str, unit: str = "", value_kind: str = ValueKind.NUMERIC, decimals: int | None = None
) -> str:
    """Add what can be measured, and return its id. `decimals` limits what may be entered. Raises `AnalyteTaken` and `Invalid` errors."""
    tx.require(MANAGE)
    code = read_loinc(loinc)
    if value_kind not in set(ValueKind):
        raise Invalid(f"An analyte is reported as {' or '.join(ValueKind)}, not {value_kind[:20]!r}.", value_kind=value_kind)
    if decimals is not None and not (value_kind == ValueKind.NUMERIC and 0 <= decimals <= 9):
        raise Invalid("An analyte reported as a number has 0 to 9 decimals; one in words has none.", decimals=decimals)
    if tx.session.scalar(select(Analyte.id).where(Analyte.loinc == code)) is not None:
        raise AnalyteTaken(f"The laboratory knows {code} already: see `billing lab analyte list`.", loinc=code)
    analyte = Analyte(
        loinc=code,
        name=read_text(name, what="The analyte's name"),
        unit=read_text(unit, what="The unit", empty=True),
        value_kind=str(value_kind),
        decimals=decimals,
        created_at=tx.at,
    )
    tx.session.add(analyte)
    tx.session.flush()  # makes the id
    tx.audit("lab.analyte.added", "lab_analyte", analyte.id, loinc=code)
    return analyte.id


def add_range(tx: Transaction, *, analyte_code: str, limits: Range) -> str:
    """Add a reference range behind the analyte's others, and return its id. Raises `UnknownAnalyte` and `ImpossibleRange`."""
    tx.require(MANAGE)
    analyte = find_analyte(tx, analyte_code)
    check_range(limits, kind=analyte.value_kind)
    species = (limits.species or "").strip().casefold()
    latest = tx.session.scalar(select(func.max(ReferenceRange.position)).where(ReferenceRange.analyte_id == analyte.id))
    kept = replace(
        limits,
        position=(latest or 0) + 1,
        species=read_text(species, what="The species") if species else None,
        normal_text=None if limits.normal_text is None else read_text(limits.normal_text, what="The normal finding"),
    )
    row = ReferenceRange(analyte_id=analyte.id, **asdict(kept), active=True, created_at=tx.at)
    tx.session.add(row)
    tx.session.flush()  # makes the id
    tx.audit("lab.range.added", "lab_range", row.id, loinc=analyte.loinc)
    return row.id


def retire_range(tx: Transaction, *, range_id: str) -> None:
    """Stop judging results by a range; verified results keep what they were judged by. Raises `UnknownRange`."""
    tx.require(MANAGE)
    # Compared as text: what is no id at all is not found either, on any database.
    named = cast(ReferenceRange.id, Text) == range_id.strip().lower()
    row = tx.session.scalars(select(ReferenceRange).where(named, ReferenceRange.active).with_for_update()).one_or_none()
    if row is None:
        raise UnknownRange("There is no such reference range in use: see `billing lab range list`.", range=range_id)
    row.active = False
    tx.audit("lab.range.retired", "lab_range", row.id)


def find_analyte(tx: Transaction, code: str) -> Analyte:
    """Return the analyte with this LOINC code. Raises `UnknownAnalyte`."""
    found = tx.session.scalars(select(Analyte).where(Analyte.loinc == code.strip())).one_or_none()
    if found is None:
        raise UnknownAnalyte(f"The laboratory measures no {code[:20]!r}: add it with `billing lab analyte add`.", loinc=code)
    return found


def ranges_of(tx: Transaction, analyte_id: str) -> list[Range]:
    """Return the ranges in use of an analyte."""
    rows = tx.session.scalars(select(ReferenceRange).where(ReferenceRange.analyte_id == analyte_id, ReferenceRange.active))
    return [as_range(row) for row in rows]


def list_tests(tx: Transaction) -> list[TestRow]:
    """List the tests by the code of their service."""
    tx.require(READ)
    members: dict[str, list[str]] = {}
    of_tests = (
        select(PanelMember.test_id, Analyte.loinc)
        .join(Analyte, (Analyte.clinic_id == PanelMember.clinic_id) & (Analyte.id == PanelMember.analyte_id))
        .order_by(PanelMember.position)
    )
    for test_id, loinc in tx.session.execute(of_tests):
        members.setdefault(test_id, []).append(loinc)
    tests = (
        select(LabTest, _SERVICE.c.code)
        .join(_SERVICE, (_SERVICE.c.clinic_id == LabTest.clinic_id) & (_SERVICE.c.id == LabTest.service_id))
        .order_by(_SERVICE.c.code)
    )
    return [
        TestRow(code, test.loinc, test.name, test.specimen, tuple(members.get(test.id, ())), test.active)
        for test, code in tx.session.execute(tests)
    ]


def list_analytes(tx: Transaction) -> list[AnalyteRow]:
    """List the analytes by name."""
    tx.require(READ)
    rows = tx.session.scalars(select(Analyte).order_by(Analyte.name, Analyte.loinc))
    return [AnalyteRow(row.loinc, row.name, row.unit, row.value_kind, row.decimals) for row in rows]


def list_ranges(tx: Transaction, *, analyte_code: str | None = None) -> list[RangeRow]:
    """List the reference ranges in use, of one analyte or of all."""
    tx.require(READ)
    ranges = (
        select(ReferenceRange, Analyte)
        .join(Analyte, (Analyte.clinic_id == ReferenceRange.clinic_id) & (Analyte.id == ReferenceRange.analyte_id))
        .where(ReferenceRange.active)
        .order_by(Analyte.name, Analyte.loinc, ReferenceRange.position)
    )
    if analyte_code is not None:
        ranges = ranges.where(ReferenceRange.analyte_id == find_analyte(tx, analyte_code).id)
    return [
        RangeRow(
            id=row.id,
            analyte=analyte.loinc,
            name=analyte.name,
            species=row.species or "person",
            sex=row.sex or "any",
            age_from_days=row.age_from_days,
            age_until_days=row.age_until_days,
            normal=range_text(as_range(row)),
            critical_low=row.critical_low or "",
            critical_high=row.critical_high or "",
        )
        for row, analyte in tx.session.execute(ranges)
    ]


def _members(tx: Transaction, codes: Sequence[str]) -> list[str]:
    if not 0 < len(codes) <= MOST_ANALYTES or len(set(codes)) != len(codes):
        raise ImpossiblePanel(f"A panel names 1 to {MOST_ANALYTES} analytes, each once.")
    return [find_analyte(tx, code).id for code in codes]
