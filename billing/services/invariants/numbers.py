"""What must always hold of document numbers: no gap, no twin, and counters that stand where the documents do."""

from typing import Any

from sqlalchemy import and_, exists, func, or_, select, union_all

from billing.changes.declare import Invariant
from billing.model import CLINIC, Invoice, NumberCounter, NumberSeries, Payment, Reversal, WalletMove


def _series(kind: str, words: str, table: Any, *, period: Any, value: Any, printed: Any) -> tuple[Invariant, ...]:
    """Return what must hold of the numbers of one kind of document."""
    used = (
        select(
            table.series.label("series"),
            period.label("period"),
            func.min(value).label("least"),
            func.max(value).label("latest"),
            func.count(value.distinct()).label("numbers"),
            func.count().label("documents"),
        )
        .where(table.clinic_id == CLINIC, value.is_not(None))
        .group_by(table.series, period)
        .subquery(f"{kind}_numbers")
    )
    counted = exists(
        select(NumberCounter.series)
        .join(NumberSeries, and_(NumberSeries.clinic_id == NumberCounter.clinic_id, NumberSeries.series == NumberCounter.series))
        .where(
            NumberCounter.clinic_id == CLINIC,
            NumberCounter.series == table.series,
            NumberCounter.period == period,
            NumberSeries.kind == kind,
        )
    )
    return (
        Invariant(
            f"{kind}_numbers_gapless",
            f"The numbers of {words} go from their series' first one up to the counter, without a gap or a twin.",
            select(NumberCounter.series, NumberCounter.period, NumberCounter.latest_value, used.c.least, used.c.latest, used.c.documents)
            .join(NumberSeries, and_(NumberSeries.clinic_id == NumberCounter.clinic_id, NumberSeries.series == NumberCounter.series))
            .outerjoin(used, and_(used.c.series == NumberCounter.series, used.c.period == NumberCounter.period))
            .where(
                NumberCounter.clinic_id == CLINIC,
                NumberSeries.kind == kind,
                or_(
                    used.c.documents.is_(None),
                    used.c.least != NumberSeries.start_value,
                    used.c.latest != NumberCounter.latest_value,
                    used.c.documents != NumberCounter.latest_value - NumberSeries.start_value + 1,
                    used.c.documents != used.c.numbers,
                ),
            ),
        ),
        Invariant(
            f"{kind}_number_counted",
            f"The numbers of {words} come from a counter of a series for them.",
            select(table.id, printed).where(table.clinic_id == CLINIC, value.is_not(None), ~counted),
        ),
        Invariant(
            f"{kind}_number_prints_once",
            f"No two of {words} show the same number.",
            select(printed, func.count().label("documents"))
            .where(table.clinic_id == CLINIC, printed.is_not(None))
            .group_by(printed)
            .having(func.count() > 1),
        ),
    )


_RECEIPTS = (
    union_all(
        *(
            select(
                table.clinic_id.label("clinic_id"),
                table.id.label("id"),
                table.series.label("series"),
                table.receipt_period.label("receipt_period"),
                table.receipt_value.label("receipt_value"),
                table.receipt_number.label("receipt_number"),
            ).where(table.clinic_id == CLINIC)
            for table in (Payment, WalletMove)
        )
    )
    .subquery("receipts")
    .c
)
"""Top-ups and pay-outs of wallets have receipts of the same series as payments."""

NUMBERS = (
    *_series("invoice", "invoices", Invoice, period=Invoice.number_period, value=Invoice.number_value, printed=Invoice.number),
    *_series(
        "receipt",
        "receipts",
        _RECEIPTS,
        period=_RECEIPTS.receipt_period,
        value=_RECEIPTS.receipt_value,
        printed=_RECEIPTS.receipt_number,
    ),
    *_series("credit_note", "credit notes", Reversal, period=Reversal.number_period, value=Reversal.number_value, printed=Reversal.number),
    Invariant(
        "invoice_number_whole",
        "An invoice's series, period, value and printed number stand together, and an issued invoice has them.",
        select(Invoice.id, Invoice.number).where(
            Invoice.clinic_id == CLINIC,
            or_(
                Invoice.series.is_(None) != Invoice.number_value.is_(None),
                Invoice.number_period.is_(None) != Invoice.number_value.is_(None),
                Invoice.number.is_(None) != Invoice.number_value.is_(None),
                and_(Invoice.issued_at.is_not(None), Invoice.number_value.is_(None)),
            ),
        ),
    ),
)
"""The numbers' invariants."""
