"""The gap report: of each number series and period, how many numbers were given out, how many documents have one, and which are missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

from sqlalchemy import Text, bindparam, func, select

from billing.model import CLINIC, Invoice, NumberCounter, NumberSeries, Payment, Reversal, WalletMove
from billing.model.types import WholeType
from billing.services import exports
from billing.transaction import Transaction
from billing.trips import Query

_SERIES, _PERIOD = bindparam("series", type_=Text()), bindparam("period", type_=Text())
_COUNTERS = Query(
    select(NumberSeries.kind, NumberSeries.series, NumberCounter.period, NumberSeries.start_value, NumberCounter.latest_value)
    .join(NumberCounter, (NumberCounter.clinic_id == NumberSeries.clinic_id) & (NumberCounter.series == NumberSeries.series))
    .where(NumberSeries.clinic_id == CLINIC)
)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """How the documents of one table that have numbers of a kind are counted, and read in order."""

    count: Query
    values: Query

    @classmethod
    def of(cls, table: Any, period: Any, value: Any) -> "_Numbers":
        of_series = table.clinic_id == CLINIC, table.series == _SERIES, period == _PERIOD
        counted = select(func.count().label("documents"), func.min(value).label("least"), func.max(value).label("most")).where(*of_series)
        after, limit = bindparam("after", type_=WholeType()), bindparam("limit", type_=WholeType())
        read = select(value.label("value")).where(*of_series, value > after).order_by(value).limit(limit).offset(0)
        return cls(Query(counted), Query(read))


_NUMBERS: dict[str, Sequence[_Numbers]] = {
    "invoice": [_Numbers.of(Invoice, Invoice.number_period, Invoice.number_value)],
    "receipt": [
        _Numbers.of(Payment, Payment.receipt_period, Payment.receipt_value),
        _Numbers.of(WalletMove, WalletMove.receipt_period, WalletMove.receipt_value),
    ],
    "credit_note": [_Numbers.of(Reversal, Reversal.number_period, Reversal.number_value)],
}


@dataclass(frozen=True, slots=True)
class SeriesGaps:
    """A series in a period: its numbers go from `first` to `latest`, so many documents have one. Ranges are written like 7 or 12-15.

    `missing` are numbers that no document has, `twice` those that two have, `outside` those below the first or above the latest one.
    """

    kind: str
    series: str
    period: str
    first: int
    latest: int
    documents: int
    complete: bool
    missing: tuple[str, ...]
    twice: tuple[str, ...]
    outside: tuple[str, ...]


def list_gaps(tx: Transaction) -> list[SeriesGaps]:
    """Return every series and period that has given out a number, with what is missing of it: receipts are those of payments and of wallets."""
    tx.require("reports.read")
    found = [_of_counter(tx, row) for row in tx.rows(_COUNTERS)]
    return sorted(found, key=lambda each: (each.kind, each.series, each.period))


def _of_counter(tx: Transaction, row: Any) -> SeriesGaps:
    tables = _NUMBERS[row.kind]
    place = {"series": row.series, "period": row.period}
    counts = [rows[0] for rows in tx.trip(*((each.count, place) for each in tables))]
    documents = sum(each.documents for each in counts)
    least = min((each.least for each in counts if each.documents), default=row.start_value)
    most = max((each.most for each in counts if each.documents), default=row.latest_value)
    head = row.kind, row.series, row.period, row.start_value, row.latest_value, documents
    # In one table the key lets no number stand twice: as many documents as numbers, within the bounds, are all of them.
    in_one_table = sum(each.documents > 0 for each in counts) <= 1
    within = row.start_value <= least and most <= row.latest_value
    if in_one_table and within and documents == row.latest_value - row.start_value + 1:
        return SeriesGaps(*head, complete=True, missing=(), twice=(), outside=())
    missing, twice, outside = list[tuple[int, int]](), list[tuple[int, int]](), list[tuple[int, int]]()
    expected = row.start_value
    before = None
    for value in merge(*(_values(tx, each, place) for each in tables)):
        if value == before:
            _add(twice, value)
        elif not row.start_value <= value <= row.latest_value:
            _add(outside, value)
        else:
            if value > expected:
                missing.append((expected, value - 1))
            expected = value + 1
        before = value
    if expected <= row.latest_value:
        missing.append((expected, row.latest_value))
    return SeriesGaps(*head, not (missing or twice or outside), _written(missing), _written(twice), _written(outside))


def _values(tx: Transaction, numbers: _Numbers, place: dict[str, Any]) -> Iterator[int]:
    after = -(2**62)
    while rows := tx.rows(numbers.values, after=after, limit=exports.BATCH, **place):
        yield from (row.value for row in rows)
        after = rows[-1].value


def _add(ranges: list[tuple[int, int]], value: int) -> None:
    if ranges and ranges[-1][1] in {value - 1, value}:
        ranges[-1] = ranges[-1][0], value
    else:
        ranges.append((value, value))


def _written(ranges: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
