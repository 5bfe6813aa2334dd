"""A Synthea CSV export as visits with their records: read whole, checked, grouped by visit. Knows no clinic and no database.

Everything that can be said of a file without knowing prices is said here, before anything is stored.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

from billing.errors import BillingError, Invalid
from billing.facts import Record

ENCOUNTERS, PATIENTS, PAYERS, PROVIDERS = "encounters.csv", "patients.csv", "payers.csv", "providers.csv"

NEVER_KEPT = frozenset({"SSN", "DRIVERS", "PASSPORT"})
"""Columns that identify a person elsewhere: no bill needs them, so they are dropped as soon as a line is split."""

NO_VISIT, UNKNOWN_VISIT = "it names no visit", f"its visit is not in {ENCOUNTERS}"
SEXES = MappingProxyType({"F": "female", "M": "male"})


class BadExport(Invalid):
    """The export can't be imported as it is. Facts: `file`, and where they are known `line` and `column`."""

    code = "bad_export"


@dataclass(frozen=True, slots=True)
class _Kind:
    """The records of one kind: their files (one of them), the column with their instant, and the columns that must be there."""

    kind: str
    files: tuple[str, ...]
    at: str
    columns: tuple[str, ...]


_VISIT_COLUMNS = (
    *("Id", "START", "STOP", "PATIENT", "PROVIDER", "PAYER", "ENCOUNTERCLASS"),
    *("CODE", "DESCRIPTION", "BASE_ENCOUNTER_COST", "PAYER_COVERAGE"),
)
_OWN = ("PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION")
_KINDS = (
    _Kind("procedure", ("procedures.csv",), "START", ("START", *_OWN, "BASE_COST")),
    _Kind("medication", ("medications.csv",), "START", ("START", *_OWN, "BASE_COST", "DISPENSES")),
    _Kind("immunization", ("immunizations.csv",), "DATE", ("DATE", *_OWN, "BASE_COST")),
    _Kind("observation", ("lab_observations.csv", "observations.csv"), "DATE", ("DATE", *_OWN, "VALUE", "UNITS", "TYPE")),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the export something stands."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class ExportPatient:
    """A patient of the export, who also pays."""

    source: str
    name: str
    sex: str
    birth_date: date
    address: str
    place: Place


@dataclass(frozen=True, slots=True)
class ExportVisit:
    """A visit of the export. `row` is its own record; amounts in it are texts, since the clinic's currency says how they are read.

    `ended_at` is never before `started_at`: a visit without an end, or that was not over yet, ends when it starts.
    """

    source: str
    patient: str
    provider: str
    started_at: datetime
    ended_at: datetime
    row: Mapping[str, str]
    place: Place


@dataclass(frozen=True, slots=True)
class _Child:
    columns: tuple[str, ...]
    values: tuple[str, ...]
    kind: str
    at: datetime
    place: Place


@dataclass(frozen=True, slots=True)
class Export:
    """A whole export: visits in the order of (START, Id), and what belongs to them. `unplaced` counts records of no visit, by kind and reason."""

    visits: tuple[ExportVisit, ...]
    patients: Mapping[str, ExportPatient]
    providers: Mapping[str, str]
    payers: Mapping[str, str]
    unplaced: Mapping[tuple[str, str], int]
    children: Mapping[str, tuple[_Child, ...]]

    def records(self, visit: ExportVisit) -> tuple[tuple[Record, Place], ...]:
        """Return the visit's records, itself first, each with its place."""
        own = (Record("visit", visit.row, visit.started_at), visit.place)
        below = (
            (Record(child.kind, dict(zip(child.columns, child.values, strict=True)), child.at), child.place)
            for child in self.children.get(visit.source, ())
        )
        return (own, *below)


def read_export(folder: Path, *, now: datetime) -> Export:
    """Read the export in a folder; `now` is when it is read, since no visit starts later. Raises `BadExport` naming file, line and column."""
    if not folder.is_dir():
        raise BadExport(f"There is no folder {folder}: name the one that holds {ENCOUNTERS}.", file=str(folder))
    patients = _patients(folder)
    visits = _visits(folder, patients, now)
    unplaced: Counter[tuple[str, str]] = Counter()
    children: dict[str, list[_Child]] = {}
    for kind in _KINDS:
        _read_children(folder, kind, visits, children, unplaced)
    return Export(
        visits=tuple(sorted(visits.values(), key=lambda visit: (visit.started_at, visit.source))),
        patients=patients,
        providers=_names(folder, PROVIDERS) if (folder / PROVIDERS).is_file() else {},
        payers=_names(folder, PAYERS),
        unplaced=unplaced,
        children={source: tuple(found) for source, found in children.items()},
    )


def located(error: BillingError, place: Place) -> BillingError:
    """Return the same error with the place in the export that it came from."""
    facts = {**error.facts, "file": place.file, "line": place.line}
    return type(error)(f"{place.file}, line {place.line}: {error.sentence}", **facts)


def _patients(folder: Path) -> dict[str, ExportPatient]:
    found: dict[str, ExportPatient] = {}
    for place, row in _rows(folder, PATIENTS, ("Id", "BIRTHDATE", "FIRST", "LAST", "GENDER")):
        source = _cell(row, "Id", place)
        if source in found:
            raise _bad(place, f"the patient {source} stands here again: keep one line of each", column="Id")
        town = " ".join(part for part in (row.get("ZIP", ""), row.get("CITY", "")) if part)
        found[source] = ExportPatient(
            source=source,
            name=" ".join(part for part in (row["FIRST"], row["LAST"]) if part) or source,
            sex=SEXES.get(row["GENDER"], "unknown"),
            birth_date=_instant(row, "BIRTHDATE", place).date(),
            address="\n".join(part for part in (row.get("ADDRESS", ""), town, row.get("STATE", "")) if part),
            place=place,
        )
    return found


def _visits(folder: Path, patients: Mapping[str, ExportPatient], now: datetime) -> dict[str, ExportVisit]:
    found: dict[str, ExportVisit] = {}
    for place, row in _rows(folder, ENCOUNTERS, _VISIT_COLUMNS):
        source, patient = _cell(row, "Id", place), _cell(row, "PATIENT", place)
        if source in found:
            first = found[source].place.line
            raise _bad(place, f"the encounter {source} stands in line {first} already: keep one of them", column="Id")
        if patient not in patients:
            raise _bad(
                place, f"the patient {patient[:60]} is not in {PATIENTS}: add the patient, or leave the encounter out", column="PATIENT"
            )
        started_at = _instant(row, "START", place)
        stopped_at = _instant(row, "STOP", place) if row["STOP"] else started_at
        if started_at > now:
            raise _bad(place, f"the encounter starts in the future ({row['START']}): leave it out until it is over", column="START")
        if stopped_at < started_at:
            raise _bad(place, f"the encounter ends ({row['STOP']}) before it starts ({row['START']}): mend the dates", column="STOP")
        found[source] = ExportVisit(
            source=source,
            patient=patient,
            provider=_cell(row, "PROVIDER", place),
            started_at=started_at,
            ended_at=stopped_at if stopped_at <= now else started_at,
            row=row,
            place=place,
        )
    if not found:
        raise BadExport(f"{ENCOUNTERS} has no encounter: there is nothing to import.", file=ENCOUNTERS)
    return found


def _read_children(
    folder: Path,
    kind: _Kind,
    visits: Mapping[str, ExportVisit],
    children: dict[str, list[_Child]],
    unplaced: Counter[tuple[str, str]],
) -> None:
    file = next((name for name in kind.files if (folder / name).is_file()), kind.files[0])
    for place, row in _rows(folder, file, kind.columns):
        visit = visits.get(row["ENCOUNTER"])
        if visit is None:
            unplaced[kind.kind, UNKNOWN_VISIT if row["ENCOUNTER"] else NO_VISIT] += 1
            continue
        if row["PATIENT"] != visit.patient:
            raise _bad(place, f"the record is of another patient than its encounter {visit.source}: mend one of them", column="PATIENT")
        child = _Child(tuple(row), tuple(row.values()), kind.kind, _instant(row, kind.at, place), place)
        children.setdefault(visit.source, []).append(child)


def _names(folder: Path, file: str) -> dict[str, str]:
    return {_cell(row, "Id", place): row["NAME"] for place, row in _rows(folder, file, ("Id", "NAME"))}


def _rows(folder: Path, file: str, needed: tuple[str, ...]) -> Iterator[tuple[Place, dict[str, str]]]:
    """Yield the lines of a file by column, without blanks around the cells. Raises `BadExport`."""
    try:
        with (folder / file).open(encoding="utf-8-sig", newline="") as opened:
            lines = csv.reader(opened, strict=True)
            header = next(lines, [])
            if missing := [name for name in needed if name not in header]:
                raise BadExport(f"{file} has no column {missing[0]}: export it with all its columns.", file=file, line=1, column=missing[0])
            kept = [(at, name) for at, name in enumerate(header) if name not in NEVER_KEPT]
            for cells in lines:
                place = Place(file, lines.line_num)
                if len(cells) != len(header):
                    raise _bad(place, f"there are {len(cells)} cells, and {len(header)} columns: mend the line")
                yield place, {name: cells[at].strip() for at, name in kept}
    except FileNotFoundError:
        raise BadExport(f"{folder} has no {file}: name the folder of a whole export.", file=file) from None
    except UnicodeDecodeError:
        raise BadExport(f"{file} is no text in UTF-8: export it again, as UTF-8.", file=file) from None
    except (OSError, csv.Error) as error:
        raise BadExport(f"{file} can't be read: {error}.", file=file) from None


def _cell(row: Mapping[str, str], column: str, place: Place) -> str:
    if not row[column]:
        raise _bad(place, f"{column} is empty: complete the line", column=column)
    return row[column]


def _instant(row: Mapping[str, str], column: str, place: Place) -> datetime:
    try:
        at = datetime.fromisoformat(row[column])
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad(place, f"{column} is {row[column][:40]!r}: write an instant like 2013-09-11T17:54:08Z", column=column) from None


def _bad(place: Place, what: str, *, column: str | None = None) -> BadExport:
    return BadExport(f"{place.file}, line {place.line}: {what}.", file=place.file, line=place.line, column=column)
