"""G1 and G2: a payment through the service API against the stored function of peer.sql, on the same tables, with 1, 2 and 4 clients."""

from collections.abc import Mapping
from typing import Any

from bench.cashiers import PeerCashier, ServiceCashier, deal, install_peer, settle, works
from bench.clinic import database_on, found, open_bench, running_server
from bench.report import Section, Table
from bench.rounds import Block, Plan, cpu, median, percentile, rate, ratios, run

SERVICE, PEER = "service API", "PL/pgSQL function"
CLIENTS = (1, 2, 4)
PER_BLOCK = 60
CONTENDERS: Mapping[str, Any] = {SERVICE: ServiceCashier, PEER: PeerCashier}


def measure(rounds: int) -> Section:
    """Return the table of G1 and G2."""
    plan = Plan(CONTENDERS, rounds, PER_BLOCK)
    rows = []
    with running_server() as server:
        url = database_on(server, "payments")
        install_peer(url)
        database = open_bench(url)
        places = [found(database, f"clinic{place}") for place in range(max(CLIENTS))]
        for clients in CLIENTS:
            own = [works(database, place, plan.pieces * len(CONTENDERS)) for place in places[:clients]]
            settle(url)
            blocks = run(url, plan, [deal(pieces, list(CONTENDERS), plan.pieces) for pieces in own])
            rows += [_row(blocks, name, clients) for name in CONTENDERS]
        database.dispose()
    head = ("clients", "who", "payments/s", "rate to the function", "CPU to the function", "client + server CPU-ms", "p50 / p99 ms")
    return Section(
        "payments",
        "G1 and G2: one payment of 5 items with all three departments",
        f"{rounds} interleaved rounds of {PER_BLOCK} payments for each client; each client in a clinic of its own; every payment has an "
        "idempotency key, an audit entry and an event. Goals: rate at least 0.70 (0.85), CPU at most 1.6 (1.4).",
        [Table(head, rows)],
    )


def _row(blocks: list[Block], name: str, clients: int) -> tuple[str, ...]:
    return (
        str(clients),
        name,
        f"{median(blocks, name, rate):.0f}",
        str(ratios(blocks, name, PEER, rate)),
        str(ratios(blocks, name, PEER, cpu)),
        f"{median(blocks, name, lambda block: block.client_ms):.2f} + {median(blocks, name, lambda block: block.server_ms):.2f}",
        f"{percentile(blocks, name, 0.5):.1f} / {percentile(blocks, name, 0.99):.1f}",
    )
