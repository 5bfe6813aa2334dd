"""The report of an order, as lines that can be read and printed. Pure: it chooses what is shown and knows no table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from billing.plugin import local
from billing_laboratory.rules import OPEN_RESULT, RELEASED_RESULT, ResultStatus

_LEGEND = "Flags: N normal, L low, H high, LL and HH critical, A abnormal. Without a flag no reference range applies."


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """A result's row as the report reads it, in the order of the panel."""

    id: str
    loinc: str
    name: str
    status: str
    value: str | None
    unit: str
    flag: str
    range_text: str
    reason: str
    measured_at: datetime | None
    verified_at: datetime | None
    supersedes_id: str | None


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One analyte of the report. A value that nobody has verified is not shown."""

    loinc: str
    analyte: str
    value: str
    unit: str
    flag: str
    range: str
    status: str
    measured_at: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report: what it is about, its lines, and notes below."""

    header: tuple[str, ...]
    lines: tuple[ReportLine, ...]
    notes: tuple[str, ...]


def compose(
    *,
    clinic: str,
    zone: str,
    order_id: str,
    status: str,
    test: str,
    specimen: str,
    ordered_at: datetime,
    collected_at: datetime | None,
    patient: str,
    birth_date: date | None,
    species: str | None,
    sex: str,
    results: Sequence[ReportedResult],
) -> Report:
    """Compose the report of an order from all rows of its results; instants are shown in `zone`."""
    who = [patient, species or "", sex, f"born {birth_date}" if birth_date else ""]
    when = [f"Ordered {_shown(ordered_at, zone)}", f"collected {_shown(collected_at, zone)}" if collected_at else ""]
    header = (
        f"{clinic}: laboratory report of order {order_id} ({status.replace('_', ' ')})",
        f"{test}, {specimen}",
        ", ".join(each for each in who if each),
        ", ".join(each for each in when if each),
    )
    lines, notes = [], []
    for _, group in groupby(results, key=lambda each: each.loinc):
        rows = list(group)
        lines.append(_line(rows, zone))
        notes += _notes(rows, zone)
    awaited = sum(line.status in OPEN_RESULT for line in lines)
    if awaited:
        notes.append(f"Not complete: {awaited} of {len(lines)} results are awaited.")
    return Report(header, tuple(lines), (*notes, _LEGEND))


def _line(rows: Sequence[ReportedResult], zone: str) -> ReportLine:
    current = _current(rows)
    if current is None:
        latest = rows[-1]
        return ReportLine(latest.loinc, latest.name, "", latest.unit, "", "", latest.status, "")
    measured = _shown(current.measured_at, zone) if current.measured_at else ""
    return ReportLine(
        current.loinc, current.name, current.value or "", current.unit, current.flag, current.range_text, current.status, measured
    )


def _notes(rows: Sequence[ReportedResult], zone: str) -> list[str]:
    by_id = {row.id: row for row in rows}
    notes = [
        f"{row.name} was amended on {_shown(row.verified_at, zone)} from {by_id[row.supersedes_id].value} to {row.value}: {row.reason}"
        for row in rows
        if row.status == ResultStatus.AMENDED and row.supersedes_id is not None and row.verified_at is not None
    ]
    if _current(rows) is not None and any(row.status in OPEN_RESULT for row in rows):
        notes.append(f"{rows[0].name}: an amendment waits to be verified.")
    return notes


def _current(rows: Sequence[ReportedResult]) -> ReportedResult | None:
    released = [row for row in rows if row.status in RELEASED_RESULT]
    replaced = {row.supersedes_id for row in released}
    return next((row for row in released if row.id not in replaced), None)


def _shown(at: datetime, zone: str) -> str:
    return local(at, zone).strftime("%Y-%m-%d %H:%M")
