"""Document numbers: which series, which period, printed how. The number itself is taken by the write that needs it, as late as can be."""

from billing.errors import NotFound
from billing.model.writes import Number
from billing.rules import numbers
from billing.transaction import SeriesFacts, Transaction


class UnknownSeries(NotFound):
    """The clinic has no such series. Facts: `series`."""

    code = "unknown_series"


def next_number(tx: Transaction, *, kind: str, series: str | None = None) -> Number:
    """Return the number that the document of this unit will get, from the standard series of its kind or the one named.

    The period is that of the clinic's business date, so a series resets at local midnight. Raises `UnknownSeries`.
    """
    chosen = _series(tx, kind, series)
    reset = numbers.Reset(chosen.reset)
    period = numbers.period(reset, tx.business_date)
    prefix, digits, suffix = numbers.affixes(numbers.parse_format(chosen.format, reset), period)
    return Number(series=chosen.series, period=period, prefix=prefix, digits=digits, suffix=suffix, start_value=chosen.start_value)


def _series(tx: Transaction, kind: str, series: str | None) -> SeriesFacts:
    of_kind = [each for each in tx.clinic.series if each.kind == kind]
    for each in of_kind:
        if each.series == series or (series is None and each.standard):
            return each
    raise UnknownSeries(f"There is no {kind} series {series or '(standard)'}: `billing series list` shows what there is.", series=series)
