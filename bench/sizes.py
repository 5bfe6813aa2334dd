"""G4: a payment of 100 items against one of 5, through the service API and through the stored function."""

from collections.abc import Mapping
from typing import Any

from bench.cashiers import PeerCashier, ServiceCashier, install_peer, settle, works
from bench.clinic import database_on, found, items_of, open_bench, running_server
from bench.report import Section, Table
from bench.rounds import Block, Plan, cpu, percentile, ratios, run

SMALL, LARGE = 5, 100
WHO: Mapping[str, Any] = {"service API": ServiceCashier, "PL/pgSQL function": PeerCashier}
PER_BLOCK = 12


def measure(rounds: int) -> Section:
    """Return the table of G4."""
    contenders = {f"{who}, {size} items": cashier for who, cashier in WHO.items() for size in (SMALL, LARGE)}
    plan = Plan(contenders, rounds, PER_BLOCK)
    with running_server() as server:
        url = database_on(server, "sizes")
        install_peer(url)
        database = open_bench(url)
        clinic = found(database, "north")
        work = {f"{who}, {size} items": works(database, clinic, plan.pieces, items_of(size)) for who in WHO for size in (SMALL, LARGE)}
        database.dispose()
        settle(url)
        blocks = run(url, plan, [work])
    rows = [
        (
            who,
            *(f"{percentile(blocks, f'{who}, {size} items', 0.5):.1f}" for size in (SMALL, LARGE)),
            str(ratios(blocks, f"{who}, {LARGE} items", f"{who}, {SMALL} items", _time)),
            str(ratios(blocks, f"{who}, {LARGE} items", f"{who}, {SMALL} items", cpu)),
        )
        for who in WHO
    ]
    return Section(
        "sizes",
        f"G4: {LARGE} items against {SMALL}",
        f"One client, {rounds} interleaved rounds of {PER_BLOCK} payments; 20 times the rows. Goal: at most 4.5 times the time.",
        [Table(("who", f"p50 of {SMALL} items, ms", f"p50 of {LARGE} items, ms", "time", "CPU"), rows)],
    )


def _time(block: Block) -> float:
    return 1 / block.rate
