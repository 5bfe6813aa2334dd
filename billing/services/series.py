"""Number series: which a clinic has, how they print, which is the standard one. It must not take a number; counters only go on.

No two documents of a kind may ever print the same number. So a new format is compared with all formats of its kind: those in use, and
those that were used before a change, which the audit trail keeps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from sqlalchemy import select

from billing.errors import Conflict, Invalid, Refused
from billing.model import AuditEntry, Clinic, NumberCounter, NumberSeries
from billing.rules.numbers import MAX_DIGITS, NumberFormat, Reset, parse_format, period, render
from billing.rules.texts import check_code
from billing.services.clinics import STANDARD_SERIES
from billing.services.numbering import UnknownSeries
from billing.transaction import Transaction

KINDS = tuple(STANDARD_SERIES)
MOST_START_VALUE = 99_999_999
"""Up to here a printed number is sure to have at most 40 characters."""

_CHANGED = "series.changed"


class BadSeries(Invalid):
    """A series has an unknown kind or reset, or starts out of bounds. Facts: `field`."""

    code = "bad_series"


class SeriesTaken(Conflict):
    """The clinic has a series of this name. Facts: `series`."""

    code = "series_taken"


class NumbersWouldRepeat(Refused):
    """Two series of a kind could print the same number. Facts: `series`, `format`."""

    code = "numbers_would_repeat"


class SeriesUnchanged(Refused):
    """The series is as wanted already. Facts: `series`."""

    code = "series_unchanged"


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A series, its latest number of the period of today (None before the first), and the number that comes next."""

    series: str
    kind: str
    format: str
    reset: str
    start_value: int
    standard: bool
    period: str
    latest_value: int | None
    next_number: str


def add_series(
    tx: Transaction,
    *,
    series: str,
    kind: str,
    format: str,  # noqa: A002 - what it is called everywhere
    reset: str,
    start_value: int = 1,
    standard: bool = False,
) -> SeriesView:
    """Add a series, for documents that name it; as the standard one of its kind, for all that name none.

    Raises `BadText`, `BadSeries`, `BadNumberFormat`, `NumbersWouldRepeat`, `SeriesTaken`.
    """
    tx.require("series.manage")
    name = check_code(series, "The series")
    if kind not in KINDS:
        raise BadSeries(f"{kind[:40]!r} is no kind of document: say one of {', '.join(KINDS)}.", field="kind")
    if not 1 <= start_value <= MOST_START_VALUE:
        raise BadSeries(f"A series starts between 1 and {MOST_START_VALUE}, not at {start_value}.", field="start_value")
    shape = parse_format(format, _reset(reset))
    rows = _locked(tx)
    if name in rows:
        raise SeriesTaken(f"The series {name} is there already: choose another name, or change that one.", series=name)
    _refuse_repeats(tx, rows, name, kind, shape)
    row = NumberSeries(
        series=name, kind=kind, format=str(shape), reset=str(shape.reset), start_value=start_value, standard=False, created_at=tx.at
    )
    tx.session.add(row)
    tx.audit("series.added", "series", name, kind=kind, format=row.format, reset=row.reset, start_value=start_value)
    if standard:
        _make_standard(tx, rows, row)
    return _view(tx, row, {})


def change_series(tx: Transaction, *, series: str, format: str | None = None, reset: str | None = None) -> SeriesView:  # noqa: A002
    """Print a series' numbers in another way from the next one on, or let it start again by another period. Counters go on.

    Raises `UnknownSeries`, `SeriesUnchanged`, `BadSeries`, `BadNumberFormat`, `NumbersWouldRepeat`.
    """
    tx.require("series.manage")
    rows = _locked(tx)
    row = _one(rows, series)
    shape = parse_format(format or row.format, _reset(reset or row.reset))
    before = parse_format(row.format, Reset(row.reset))
    if shape == before:
        raise _unchanged(row)
    _refuse_repeats(tx, rows, row.series, row.kind, shape)
    tx.audit(_CHANGED, "series", row.series, format=str(shape), reset=str(shape.reset), was={"format": row.format, "reset": row.reset})
    row.format, row.reset = str(shape), str(shape.reset)
    return _view(tx, row, _counters(tx))


def make_standard(tx: Transaction, *, series: str) -> SeriesView:
    """Let a series be the standard one of its kind; the one before stays for documents that name it. Raises `UnknownSeries`, `SeriesUnchanged`."""
    tx.require("series.manage")
    rows = _locked(tx)
    row = _one(rows, series)
    if row.standard:
        raise _unchanged(row)
    _make_standard(tx, rows, row)
    return _view(tx, row, _counters(tx))


def list_series(tx: Transaction) -> tuple[SeriesView, ...]:
    """Return the clinic's series by kind, the standard one first."""
    tx.require("invoices.read")
    rows = sorted(tx.session.scalars(select(NumberSeries)), key=lambda row: (KINDS.index(row.kind), not row.standard, row.series))
    counters = _counters(tx)
    return tuple(_view(tx, row, counters) for row in rows)


def may_print_alike(one: NumberFormat, other: NumberFormat) -> bool:
    """Say whether two formats could print the same number, of whatever value and period. It may say yes where no calendar would allow it."""
    return any(
        len(ours) == len(theirs) and all(a & b for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in product(_shapes(one), _shapes(other))
    )


_DIGITS = frozenset("0123456789")
_FIELDS = {"{year}": (_DIGITS,) * 4, "{month}": (frozenset("01"), _DIGITS)}


def _shapes(number_format: NumberFormat) -> Iterator[tuple[frozenset[str], ...]]:
    """Give, for each length of the number, the characters that may stand at each place."""
    prefix, suffix = tuple(_characters(number_format.prefix)), tuple(_characters(number_format.suffix))
    yield (*prefix, *(_DIGITS,) * number_format.digits, *suffix)
    for length in range(number_format.digits + 1, MAX_DIGITS + 1):  # more digits than asked for: no zero in front
        yield (*prefix, _DIGITS - {"0"}, *(_DIGITS,) * (length - 1), *suffix)


def _characters(around: str) -> Iterator[frozenset[str]]:
    while around:
        field = next((each for each in _FIELDS if around.startswith(each)), None)
        yield from _FIELDS[field] if field else (frozenset(around[0]),)
        around = around[len(field or around[0]) :]


def _refuse_repeats(tx: Transaction, rows: dict[str, NumberSeries], series: str, kind: str, shape: NumberFormat) -> None:
    for name, used in _formats_ever_used(tx, [row for row in rows.values() if row.kind == kind]):
        same_counter = name == series and (used.prefix, used.suffix, used.reset) == (shape.prefix, shape.suffix, shape.reset)
        if not same_counter and may_print_alike(shape, used):
            whose = f"the series {name} prints or has printed" if name != series else "this series has printed so far"
            sentence = f"Numbers like {shape} could be the same as numbers like {used}, which {whose}: choose another beginning."
            raise NumbersWouldRepeat(sentence, series=name, format=str(used))


def _formats_ever_used(tx: Transaction, rows: list[NumberSeries]) -> Iterator[tuple[str, NumberFormat]]:
    for row in rows:
        yield row.series, parse_format(row.format, Reset(row.reset))
    changes = select(AuditEntry.subject_id, AuditEntry.data).where(
        AuditEntry.subject_id.in_([row.series for row in rows]), AuditEntry.subject == "series", AuditEntry.action == _CHANGED
    )
    for series, data in tx.session.execute(changes):
        yield series, parse_format(data["was"]["format"], Reset(data["was"]["reset"]))


def _locked(tx: Transaction) -> dict[str, NumberSeries]:
    # Two people at the series: the clinic's row makes the second one wait, and then see what the first one has added.
    tx.session.scalars(select(Clinic.clinic_id).with_for_update()).one()
    rows = tx.session.scalars(select(NumberSeries).order_by(NumberSeries.series).execution_options(populate_existing=True))
    return {row.series: row for row in rows}


def _make_standard(tx: Transaction, rows: dict[str, NumberSeries], chosen: NumberSeries) -> None:
    for row in rows.values():
        if row.kind == chosen.kind:
            row.standard = False
    chosen.standard = True
    tx.audit("series.made_standard", "series", chosen.series, kind=chosen.kind)


def _reset(text: str) -> Reset:
    try:
        return Reset(text)
    except ValueError:
        raise BadSeries(f"{text[:40]!r} is no reset: say one of {', '.join(Reset)}.", field="reset") from None


def _one(rows: dict[str, NumberSeries], series: str) -> NumberSeries:
    if series not in rows:
        raise UnknownSeries(f"There is no series {series[:60]!r} in this clinic: it has {', '.join(rows)}.", series=series)
    return rows[series]


def _counters(tx: Transaction) -> dict[tuple[str, str], int]:
    found = tx.session.execute(select(NumberCounter.series, NumberCounter.period, NumberCounter.latest_value))
    return {(series, counted): latest for series, counted, latest in found}


def _view(tx: Transaction, row: NumberSeries, counters: dict[tuple[str, str], int]) -> SeriesView:
    shape = parse_format(row.format, Reset(row.reset))
    now = period(shape.reset, tx.business_date)
    latest = counters.get((row.series, now))
    following = row.start_value if latest is None else latest + 1
    return SeriesView(
        row.series, row.kind, row.format, row.reset, row.start_value, row.standard, now, latest, render(shape, following, now)
    )


def _unchanged(row: NumberSeries) -> SeriesUnchanged:
    return SeriesUnchanged(f"The series {row.series} is so already: nothing was changed.", series=row.series)
