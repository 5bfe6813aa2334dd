"""G5: one clinic with eight cashiers, whose payments wait for one number and one end of the chain: commit as usual, and with early lock release.

A slow disk is emulated by a pause before each flush (`commit_delay` with no siblings asked for).
"""

from typing import Any

from bench.cashiers import ServiceCashier, connect, deal, settle, works
from bench.clinic import database_on, found, open_bench, running_server
from bench.report import Section, Table
from bench.rounds import Block, Plan, median, percentile, rate, ratios, run
from billing.services.clinics import Policy
from billing.testing.postgres import SUPERUSER, as_role

CASHIERS = 8
PER_BLOCK = 25
FLUSHES_MS = (0, 2, 5)
PLAIN, EARLY = "commit as usual", "early lock release"


def measure(rounds: int) -> Section:
    """Return the table of G5."""
    rows = []
    policies: dict[str, dict[str, Any] | None] = {PLAIN: None, EARLY: {"early_lock_release": True}}
    if "early_lock_release" not in Policy.model_fields:
        print("There is no policy early_lock_release: only the usual commit is measured.")
        del policies[EARLY]
    with running_server() as server:
        url = database_on(server, "hot")
        database = open_bench(url)
        clinics = {name: found(database, name.replace(" ", "-"), policy) for name, policy in policies.items()}
        plan = Plan(dict.fromkeys(clinics, ServiceCashier), rounds, PER_BLOCK)
        for flush_ms in FLUSHES_MS:
            work: list[dict[str, Any]] = [{} for _ in range(CASHIERS)]
            for name, clinic in clinics.items():
                pieces = works(database, clinic, plan.pieces * CASHIERS)
                for place in range(CASHIERS):
                    work[place] |= deal(pieces[place::CASHIERS], [name], plan.pieces)
            settle(url)
            with connect(as_role(url, SUPERUSER)) as connection:
                connection.execute(f"ALTER DATABASE hot SET commit_delay = {flush_ms * 1000}")
                connection.execute("ALTER DATABASE hot SET commit_siblings = 0")
            blocks = run(url, plan, work)
            rows += [_row(blocks, name, flush_ms) for name in clinics]
        database.dispose()
    return Section(
        "hot_clinic",
        f"G5: one clinic, {CASHIERS} cashiers",
        f"{rounds} interleaved rounds of {PER_BLOCK} payments for each cashier; a slower flush is emulated. Goal: at least 4 at +5 ms.",
        [Table(("flush", "who", "payments/s", "rate to the usual commit", "p50 / p99 ms"), rows)],
    )


def _row(blocks: list[Block], name: str, flush_ms: int) -> tuple[str, ...]:
    return (
        f"+{flush_ms} ms" if flush_ms else "as it is",
        name,
        f"{median(blocks, name, rate):.0f}",
        str(ratios(blocks, name, PLAIN, rate)),
        f"{percentile(blocks, name, 0.5):.1f} / {percentile(blocks, name, 0.99):.1f}",
    )
