"""G10: a payment through the service API on SQLite against the same rows written by hand on sqlite3, flushed at each commit and not."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cashiers import LaxRawCashier, LaxServiceCashier, RawCashier, ServiceCashier, deal, works
from bench.clinic import found, open_bench, prepare
from bench.report import Section, Table
from bench.rounds import Plan, cpu, median, percentile, rate, ratios, run

FULL, RAW_FULL = "service API, FULL", "by hand, FULL"
NORMAL, RAW_NORMAL = "service API, NORMAL", "by hand, NORMAL"
AGAINST = {FULL: RAW_FULL, RAW_FULL: RAW_FULL, NORMAL: RAW_NORMAL, RAW_NORMAL: RAW_NORMAL}
CONTENDERS: Mapping[str, Any] = {FULL: ServiceCashier, RAW_FULL: RawCashier, NORMAL: LaxServiceCashier, RAW_NORMAL: LaxRawCashier}
PER_BLOCK = 60


def measure(rounds: int) -> Section:
    """Return the table of G10."""
    plan = Plan(CONTENDERS, rounds, PER_BLOCK)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'billing.sqlite3')}"
        prepare(url)
        database = open_bench(url)
        pieces = works(database, found(database, "north"), plan.pieces * len(CONTENDERS))
        database.dispose()
        blocks = run(url, plan, [deal(pieces, list(CONTENDERS), plan.pieces)])
    rows = [
        (
            name,
            f"{median(blocks, name, rate):.0f}",
            str(ratios(blocks, name, against, rate)),
            str(ratios(blocks, name, against, cpu)),
            f"{median(blocks, name, cpu):.2f}",
            f"{percentile(blocks, name, 0.5):.1f} / {percentile(blocks, name, 0.99):.1f}",
        )
        for name, against in AGAINST.items()
    ]
    return Section(
        "sqlite",
        "G10: one payment of 5 items on SQLite",
        f"One process, {rounds} interleaved rounds of {PER_BLOCK} payments; journal WAL, foreign keys on. FULL is flushed at each commit and is "
        "what the framework sets; NORMAL may forget the latest payments in a power cut. Goal: at least 0.5 at FULL.",
        [Table(("who", "payments/s", "rate to by hand", "CPU to by hand", "CPU-ms", "p50 / p99 ms"), rows)],
    )
